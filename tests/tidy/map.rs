//! The map is true: every file that `ARCHITECTURE.md` names is there, and so is every function it
//! names in brackets behind a file. It judges names, not what is said about them.

use crate::Finding;
use std::path::Path;

const MAP: &str = "ARCHITECTURE.md";

/// Ends of names that are files even without a directory.
const FILES: &[&str] = &[".rs", ".js", ".mjs", ".html", ".css", ".md", ".toml", ".yaml", ".txt"];

/// The map of the package at `root`.
pub(crate) fn check(root: &Path, found: &mut Vec<Finding>) {
    let text = std::fs::read_to_string(root.join(MAP)).unwrap_or_default();
    if text.is_empty() {
        report(1, "no map".into(), "write the map of rooms and behaviours", found);
    }
    names(&text, &|path| read(root, path), found);
}

/// The text of a file; empty for a directory.
fn read(root: &Path, path: &str) -> Option<String> {
    let path = root.join(path);
    if path.is_dir() { Some(String::new()) } else { std::fs::read_to_string(path).ok() }
}

fn report(line: usize, what: String, mend: &str, found: &mut Vec<Finding>) {
    found.push(Finding { file: MAP.into(), line, rule: "map", what, mend: mend.into() });
}

/// Every name in `text`; `read` answers a file's text, given its path in the package.
///
/// A path is relative to the package or to `src`. A name without a directory stands beside the path
/// before it in the same paragraph or table row, or in the package's own directory.
pub(crate) fn names(text: &str, read: &dyn Fn(&str) -> Option<String>, found: &mut Vec<Finding>) {
    let (mut beside, mut fenced) = (String::new(), false);
    for (i, line) in text.lines().enumerate() {
        fenced ^= line.starts_with("```");
        if fenced || line.is_empty() || line.starts_with('|') {
            beside.clear();
        }
        // The file that a bracket behind it speaks of, and whether that bracket is open.
        let (mut file, mut inside): (Option<(String, String)>, bool) = (None, false);
        let mut pieces = if fenced { "" } else { line }.split('`');
        while let (Some(between), Some(name)) = (pieces.next(), pieces.next()) {
            inside = file.is_some() && (between == " (" || inside && between == ", ");
            if let Some((path, body)) = file.as_ref().filter(|_| inside && is_word(name)) {
                if !has_word(body, name) {
                    let what = format!("`{name}` is not in `{path}`");
                    report(i + 1, what, "name what is there now, or the file it went to", found);
                }
            } else if let Some(places) = places(name, &beside) {
                let there = places.iter().find_map(|p| read(p).map(|body| (p.clone(), body)));
                match there {
                    None => {
                        let what = format!("`{name}` is not there");
                        let mend = "name a path from the package or from src; a bare name stands \
                                    beside the path before it";
                        report(i + 1, what, mend, found);
                        file = None;
                    }
                    Some((path, body)) => {
                        let parent = path.rsplit_once('/').map_or("", |(dir, _)| dir);
                        beside = if body.is_empty() { &path } else { parent }.to_owned();
                        file = (!body.is_empty()).then_some((path, body));
                    }
                }
            } else {
                file = None;
            }
        }
    }
}

/// Where the thing named may lie; `None` when the name is none of a file, directory or module.
fn places(name: &str, beside: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if name.contains("::") && name.split("::").all(is_lower_word) {
        let path = format!("src/{}", name.replace("::", "/"));
        return Some(vec![format!("{path}.rs"), path]);
    }
    if name.starts_with('/') || !name.chars().all(plain) {
        return None;
    }
    if name.contains('/') {
        return Some(vec![name.to_owned(), format!("src/{name}")]);
    }
    let is_file = FILES.iter().any(|end| name.ends_with(end));
    is_file.then(|| vec![format!("{beside}/{name}").trim_start_matches('/').into(), name.into()])
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_lower_word(name: &str) -> bool {
    is_word(name) && !name.contains(|c: char| c.is_ascii_uppercase())
}

fn has_word(body: &str, word: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == word)
}
