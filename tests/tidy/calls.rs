//! Calls and words that have a better place: one clock, one way to spawn, one end of the process,
//! no stubs.

use crate::Finding;
use crate::source::Source;

/// A call by path: its last segments, the one module that may make it, what to do instead.
const BANNED: &[(&[&str], &str, &str)] = &[
    (&["Instant", "now"], "rt/clock", "ask rt::clock, or take `Now` as an argument"),
    (&["SystemTime", "now"], "rt/clock", "ask rt::clock, or take `Now` as an argument"),
    (&["tokio", "spawn"], "rt/task", "use rt::task::spawn: a task has a name and a supervisor"),
    (&["task", "spawn"], "rt/task", "use rt::task::spawn: a task has a name and a supervisor"),
    (&["process", "exit"], "", "return an exit code; only the binary ends the process"),
];

/// Macros that print: data goes out through `cmd`.
const PRINTS: &[&str] = &["println", "eprintln", "print", "eprint"];

/// Macros that stand for code that is not there.
const STUBS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Words of unfinished work. In halves, so that this file may say them.
const WORDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Rules for `src`.
pub(crate) fn check(file: &Source, found: &mut Vec<Finding>) {
    let mut report = |at: usize, what: String, mend: &str| {
        let (line, mend) = (file.line(at), mend.to_owned());
        found.push(Finding { file: file.file.clone(), line, rule: "call", what, mend });
    };
    let named = file.paths();
    let task_is_ours = named.iter().any(|n| n.path == ["crate", "rt", "task"]);
    for n in &named {
        let path = n.path.join("::");
        let ours = path.contains("rt::task::") || (task_is_ours && path == "task::spawn");
        for (bad, home, mend) in BANNED {
            if ends_with(&n.path, bad) && file.module != *home && !ours {
                report(n.at, format!("`{path}`"), mend);
            }
        }
        let is_macro = file.code[n.at..].trim_start_matches(path.as_str()).starts_with('!');
        let prints = is_macro && PRINTS.contains(&path.as_str()) && !file.is_test(n.at);
        if prints && !file.module.starts_with("cmd") && file.module != "bin" {
            report(n.at, format!("`{path}!` outside `cmd`"), "return the text, or log it");
        }
    }
    for (at, _) in file.code.match_indices(".unwrap()") {
        if !file.is_test(at) {
            let mend = "handle it, or `expect(\"why this cannot be\")` for a proven invariant";
            report(at, "`.unwrap()` in production code".into(), mend);
        }
    }
}

/// Rules for `src` and `tests`.
pub(crate) fn check_everywhere(file: &Source, found: &mut Vec<Finding>) {
    let mut report = |line: usize, what: String, mend: &str| {
        let mend = mend.to_owned();
        found.push(Finding { file: file.file.clone(), line, rule: "stub", what, mend });
    };
    for n in file.paths() {
        let name = n.path.join("::");
        let is_macro = file.code[n.at..].trim_start_matches(name.as_str()).starts_with('!');
        if is_macro && STUBS.contains(&name.as_str()) {
            report(file.line(n.at), format!("`{name}!`"), "write the code, or leave the path out");
        }
    }
    for (at, _) in file.code.match_indices("#[ignore") {
        report(file.line(at), "an ignored test".into(), "make it run, or delete it");
    }
    for (i, line) in file.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        if let Some(word) = words.find(|w| WORDS.contains(w)) {
            report(i + 1, format!("the word {word}"), "do it now, or open an issue");
        }
    }
}

fn ends_with(path: &[String], tail: &[&str]) -> bool {
    path.len() >= tail.len() && path[path.len() - tail.len()..].iter().eq(tail)
}
