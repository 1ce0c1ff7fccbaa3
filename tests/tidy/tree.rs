//! The module tree: which file is which module, what is test code, and which files nothing reaches.

use crate::Finding;
use crate::source::Source;
use std::collections::BTreeMap;
use std::path::Path;

/// Loads every `.rs` file under `dir`; files that no `mod` reaches from the `roots` are findings.
pub(crate) fn load(
    root: &Path,
    dir: &str,
    roots: &[&str],
    found: &mut Vec<Finding>,
) -> Vec<Source> {
    let mut texts = BTreeMap::new();
    collect(root, dir, &mut texts);
    build(&texts, roots, found)
}

/// All `.rs` files below `dir`, by path relative to `root`.
fn collect(root: &Path, dir: &str, out: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(root.join(dir)) else { return };
    for entry in entries.flatten() {
        let path = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if path.ends_with("/target") {
            // The fuzz package's build products.
        } else if entry.path().is_dir() {
            collect(root, &path, out);
        } else if path.ends_with(".rs") {
            let text =
                std::fs::read_to_string(entry.path()).expect("a source file is readable UTF-8");
            out.insert(path, text);
        }
    }
}

/// Walks the `mod` lines from the roots.
pub(crate) fn build(
    texts: &BTreeMap<String, String>,
    roots: &[&str],
    found: &mut Vec<Finding>,
) -> Vec<Source> {
    let mut reached: BTreeMap<String, Source> = BTreeMap::new();
    let mut todo: Vec<(String, String, bool)> = Vec::new();
    for path in texts.keys().filter(|p| roots.iter().any(|r| matches(r, p))) {
        let module = match path.as_str() {
            "src/lib.rs" => "lib",
            p if p.starts_with("src/bin/") => "bin",
            _ => "tests",
        };
        todo.push((path.clone(), module.into(), path.starts_with("tests/")));
    }
    while let Some((path, module, test)) = todo.pop() {
        let Some(text) = texts.get(&path).filter(|_| !reached.contains_key(&path)) else {
            continue;
        };
        let source = Source::new(&path, &module, test, text);
        for (name, given, for_tests) in mods(&source) {
            let at = [given].into_iter().flatten().map(|p| beside(&path, &p));
            let mut places = at.chain(places(&path, &name)).filter(|p| texts.contains_key(p));
            let inside = match module.as_str() {
                "lib" => name.clone(),
                m => format!("{m}/{name}"),
            };
            todo.extend(places.next().map(|p| (p, inside, test || for_tests)));
        }
        reached.insert(path, source);
    }
    for path in texts.keys().filter(|p| !reached.contains_key(*p)) {
        let (what, mend) = ("no `mod` reaches this file".into(), "declare it, or delete it".into());
        found.push(Finding { file: path.clone(), line: 1, rule: "dead", what, mend });
    }
    reached.into_values().collect()
}

/// `*` stands for one path component or a part of it.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, tail)) => path
            .strip_prefix(head)
            .and_then(|rest| rest.strip_suffix(tail))
            .is_some_and(|mid| !mid.is_empty() && !mid.contains('/')),
    }
}

fn beside(path: &str, name: &str) -> String {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/{name}")
}

/// Where `mod name;` in the file `path` may lie.
fn places(path: &str, name: &str) -> [String; 2] {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let is_root = matches("tests/*.rs", path) || matches("src/bin/*.rs", path);
    let base = match file {
        "mod.rs" | "lib.rs" | "main.rs" => dir.to_owned(),
        _ if is_root => dir.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
}

/// The `mod name;` lines of a file: name, `#[path]`, under `#[cfg(test)]`.
fn mods(file: &Source) -> Vec<(String, Option<String>, bool)> {
    let mut out = Vec::new();
    for n in file.paths().iter().filter(|n| n.path == ["mod"]) {
        let rest = file.code[n.at + 3..].trim_start();
        let Some((name, _)) = rest.split_once(';').filter(|(name, _)| !name.contains('{')) else {
            continue;
        };
        let from = file.code[..n.at].rfind([';', '{', '}']).map_or(0, |i| i + 1);
        let given = file.code[from..n.at].find("#[path").map(|i| &file.text[from + i..n.at]);
        let given = given.and_then(|attr| attr.split('"').nth(1)).map(String::from);
        out.push((name.trim().to_owned(), given, file.is_test(n.at)));
    }
    out
}
