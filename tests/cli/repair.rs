//! `castctl repair` as an operator at 3 a.m. meets it.

use crate::{castctl, root, text};

#[test]
fn what_is_no_log_is_a_usage_error_and_what_is_not_there_a_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let empty = dir.path().display().to_string();
    let cargo = root().join("Cargo.toml").display().to_string();
    for (path, code) in [(&*empty, 2), (&*cargo, 2), ("/does/not/exist", 3)] {
        let out = castctl(&["repair", path]);
        assert_eq!(out.status.code(), Some(code), "{path}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("error: "), "{path}");
        assert_eq!(text(&out.stdout), "", "{path}");
    }
}
