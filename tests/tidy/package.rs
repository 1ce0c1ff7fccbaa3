//! What is not Rust: dependencies have a door, scripts and recipes can be run and say what they are
//! for.

use crate::Finding;
use crate::rooms::DOORS;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// All rules of this file on the package at `root`.
pub(crate) fn check(root: &Path, found: &mut Vec<Finding>) {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the package has one");
    dependencies(&manifest, found);
    for dir in ["recipes", "scripts", ".ci"] {
        let Ok(entries) = std::fs::read_dir(root.join(dir)) else { continue };
        for path in entries.flatten().map(|e| e.path()).filter(|p| p.is_file()) {
            let name = format!("{dir}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            let mode = std::fs::metadata(&path).map_or(0, |m| m.permissions().mode());
            if dir != "recipes" || name.ends_with(".sh") {
                script(&name, &std::fs::read_to_string(&path).unwrap_or_default(), mode, found);
            }
        }
    }
}

/// Every dependency of the manifest has a row in the table of doors.
pub(crate) fn dependencies(manifest: &str, found: &mut Vec<Finding>) {
    let mut section = "";
    for (i, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let name = line.split_once('=').map(|(name, _)| name.trim().replace('-', "_"));
        let Some(name) = name.filter(|_| section.ends_with("dependencies")) else { continue };
        if !line.starts_with('#') && !DOORS.iter().any(|(door, _)| *door == name) {
            let what = format!("`{name}` has no door");
            let mend = "say in DOORS of tests/tidy/rooms.rs which room may name it".to_owned();
            let file = "Cargo.toml".to_owned();
            found.push(Finding { file, line: i + 1, rule: "door", what, mend });
        }
    }
}

/// A script can be run, and its first comment says what it is for.
pub(crate) fn script(file: &str, text: &str, mode: u32, found: &mut Vec<Finding>) {
    let mut report = |line, what: &str, mend: &str| {
        let (file, what, mend) = (file.to_owned(), what.to_owned(), mend.to_owned());
        found.push(Finding { file, line, rule: "script", what, mend });
    };
    if mode & 0o111 == 0 {
        report(1, "not executable", "chmod +x");
    }
    let mut lines = text.lines();
    if !lines.next().is_some_and(|l| l.starts_with("#!")) {
        report(1, "no interpreter line", "begin with #!/usr/bin/env bash");
    }
    let purpose = lines.next().and_then(|l| l.strip_prefix("# ")).unwrap_or_default();
    if purpose.split_whitespace().count() < 3 {
        report(2, "no purpose", "say on the second line, in a comment, what it does");
    }
}
