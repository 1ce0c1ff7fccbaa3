//! How long things may be, and that every file says what it is. The lists of exceptions are
//! ratchets: an entry may shrink and go, never grow.

use crate::Finding;
use crate::source::{Source, closing};

/// Columns of a line; a line that is one long link may be longer.
const COLUMNS: usize = 100;

/// Production lines of a file.
const FILE_AIM: usize = 400;

/// What an exception may have at most.
const FILE_MAX: usize = 800;

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_AIM: usize = 70;

/// An entry must follow its subject down when that has shrunk by this many lines.
const SLACK: usize = 20;

/// Files above the aim: path, production lines.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions above the aim: `path::name`, lines.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Every file opens with what it is, and no line is wider than the page.
pub(crate) fn check_text(file: &Source, found: &mut Vec<Finding>) {
    let mut report = |line: usize, rule, what: String, mend: &str| {
        let mend = mend.to_owned();
        found.push(Finding { file: file.file.clone(), line, rule, what, mend });
    };
    let first = file.text.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_none_or(|doc| doc.trim().is_empty()) {
        report(1, "doc", "no `//!` on the first line".into(), "say what the file is and is not");
    }
    for (i, line) in file.text.lines().enumerate() {
        let columns = line.chars().count();
        let link = line.contains("://") && line.split_whitespace().count() <= 2;
        if columns > COLUMNS && !link {
            report(i + 1, "columns", format!("{columns} columns"), "break the line at 100");
        }
    }
}

/// File and function sizes of all of `src`.
pub(crate) fn check_sizes(files: &[Source], found: &mut Vec<Finding>) {
    sizes(files, LONG_FILES, LONG_FUNCTIONS, found);
}

/// As [`check_sizes`], with the ratchets given.
pub(crate) fn sizes(
    files: &[Source],
    long_files: &[(&str, usize)],
    long_functions: &[(&str, usize)],
    found: &mut Vec<Finding>,
) {
    let mut measured: Vec<Measured> = Vec::new();
    for file in files {
        measured.push(Measured::file(file));
        measured.extend(functions(file));
    }
    for m in &measured {
        let list = if m.function { long_functions } else { long_files };
        let entry = list.iter().find(|(name, _)| *name == m.name).map(|(_, lines)| *lines);
        if let Some((what, mend)) = m.judge(entry) {
            let (file, line) = (m.file.clone(), m.line);
            found.push(Finding { file, line, rule: "size", what, mend });
        }
    }
    for (name, _) in long_files.iter().chain(long_functions) {
        if !measured.iter().any(|m| m.name == *name) {
            let what = format!("the ratchet names `{name}`, which is not there");
            let (file, mend) = ("tests/tidy/shape.rs".to_owned(), "remove the entry".to_owned());
            found.push(Finding { file, line: 1, rule: "size", what, mend });
        }
    }
}

struct Measured {
    name: String,
    file: String,
    line: usize,
    lines: usize,
    function: bool,
}

impl Measured {
    fn file(file: &Source) -> Measured {
        let (name, lines) = (file.file.clone(), file.production_lines());
        Measured { file: name.clone(), name, line: 1, lines, function: false }
    }

    fn judge(&self, entry: Option<usize>) -> Option<(String, String)> {
        let (thing, aim) = match self.function {
            true => ("function", FUNCTION_AIM),
            false => ("file of production code", FILE_AIM),
        };
        let Measured { name, lines, .. } = self;
        match entry {
            None if *lines > aim => Some((
                format!("`{name}` is a {thing} of {lines} lines (aim {aim})"),
                "split it along what it does".into(),
            )),
            Some(max) if *lines > max || (!self.function && max > FILE_MAX) => Some((
                format!("`{name}` has {lines} lines; its ratchet says {max}, at most {FILE_MAX}"),
                "make it shorter; a ratchet never grows".into(),
            )),
            Some(_) if *lines <= aim => Some((
                format!("`{name}` has {lines} lines and needs no exception any more"),
                "remove its entry in tests/tidy/shape.rs".into(),
            )),
            Some(max) if lines + SLACK < max => Some((
                format!("`{name}` has shrunk to {lines} lines; its ratchet says {max}"),
                format!("write {lines} in tests/tidy/shape.rs"),
            )),
            _ => None,
        }
    }
}

/// The production functions of a file.
fn functions(file: &Source) -> Vec<Measured> {
    let mut out = Vec::new();
    for n in file.paths().iter().filter(|n| n.path == ["fn"] && !file.is_test(n.at)) {
        let rest = file.code[n.at + 2..].trim_start();
        let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let Some(open) = body(&file.code, n.at).filter(|_| len > 0) else { continue };
        let lines = file.line(closing(&file.code, open) - 1) - file.line(n.at) + 1;
        let name = format!("{}::{}", file.file, &rest[..len]);
        let line = file.line(n.at);
        out.push(Measured { name, file: file.file.clone(), line, lines, function: true });
    }
    out
}

/// Where the body of the function at `at` opens; `None` for a declaration.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut i = at;
    while i < code.len() {
        match code.as_bytes()[i] {
            b'{' => return Some(i),
            b';' => return None,
            b'(' | b'[' => i = closing(code, i),
            _ => i += 1,
        }
    }
    None
}
