//! The law of the house, as a test: who may import whom, which crate has its door where, what is
//! never called, how long things may be. It reads the tree as text and needs nothing but the
//! standard library. It is not a linter of taste (rustfmt and clippy are); each rule here keeps a
//! promise that `ARCHITECTURE.md` makes.
//!
//! A finding reads `src/x.rs:12: rule: what; mend: how`.

#[path = "tidy/calls.rs"]
mod calls;
#[path = "tidy/ids.rs"]
mod ids;
#[path = "tidy/limits.rs"]
mod limits;
#[path = "tidy/map.rs"]
mod map;
#[path = "tidy/package.rs"]
mod package;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

/// One breach of the law.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// File, relative to the package.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// The rule's name.
    pub(crate) rule: &'static str,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, rule, what, mend } = self;
        write!(f, "{file}:{line}: {rule}: {what}; mend: {mend}")
    }
}

/// The package to judge: this one, or the one `TIDY_ROOT` names.
fn root() -> PathBuf {
    std::env::var_os("TIDY_ROOT").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Every finding in the package at `root`.
fn judge(root: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    let src = tree::load(root, "src", &["src/lib.rs", "src/bin/*.rs"], &mut found);
    let roots = ["tests/*.rs", "tests/*/main.rs", "tests/fuzz/fuzz_targets/*.rs"];
    let tests = tree::load(root, "tests", &roots, &mut found);
    for file in &src {
        rooms::check(file, &mut found);
        calls::check(file, &mut found);
    }
    shape::check_sizes(&src, &mut found);
    limits::check(&src, &tests, &mut found);
    ids::check(&tests, &mut found);
    for file in src.iter().chain(&tests) {
        shape::check_text(file, &mut found);
        calls::check_everywhere(file, &mut found);
    }
    package::check(root, &mut found);
    map::check(root, &mut found);
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_law_holds() {
    let found = judge(&root());
    let lines: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(found.is_empty(), "{} breaches of the law\n{}\n", found.len(), lines.join("\n"));
}
