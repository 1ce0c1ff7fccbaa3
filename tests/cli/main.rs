//! The command line as a user meets it: help, manual pages, completions, exit codes, messages.
//! Goldens are rewritten by `UPDATE_GOLDEN=1 cargo test --test cli`.

mod inspect;
mod recipe;
mod repair;
mod schedule;

use clap::CommandFactory;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn castctl(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_castctl"))
        .args(words)
        .stdin(Stdio::null())
        .env("COLUMNS", "100")
        .output()
        .expect("castctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Compares with a golden file, or rewrites it.
fn golden(file: &Path, got: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, got).expect("golden written");
        return;
    }
    let want = std::fs::read_to_string(file).unwrap_or_default();
    let at = want.lines().zip(got.lines()).position(|(a, b)| a != b);
    assert!(
        want == got,
        "{} differs from line {}: run UPDATE_GOLDEN=1 cargo test --test cli and look at the diff",
        file.display(),
        at.map_or(want.lines().count().min(got.lines().count()), |n| n) + 1
    );
}

/// Every command's words, depth first.
fn commands(of: &clap::Command, words: &[String], out: &mut Vec<Vec<String>>) {
    out.push(words.to_vec());
    for sub in of.get_subcommands().filter(|s| s.get_name() != "help") {
        let mut words = words.to_vec();
        words.push(sub.get_name().to_owned());
        commands(sub, &words, out);
    }
}

fn every_command() -> Vec<Vec<String>> {
    let mut out = Vec::new();
    commands(&castctl::cmd::Cli::command(), &[], &mut out);
    out
}

#[test]
fn the_help_tree_is_the_golden_one() {
    let mut tree = String::new();
    for words in every_command() {
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        tree += &format!("$ castctl {}\n", [&words[..], &["--help"]].concat().join(" "));
        words.push("--help");
        let out = castctl(&words);
        assert_eq!(out.status.code(), Some(0), "{words:?}");
        tree += &text(&out.stdout);
        tree.push('\n');
    }
    golden(&root().join("tests/golden/help.txt"), &tree);
}

#[test]
fn the_description_of_the_api_is_the_golden_one() {
    let text = serde_json::to_string_pretty(&castctl::control::openapi::document()).expect("JSON");
    golden(&root().join("tests/golden/openapi.json"), &(text + "\n"));
}

#[test]
fn every_command_and_flag_says_what_it_does() {
    fn check(c: &clap::Command) {
        assert!(c.get_about().is_some(), "{} has no sentence", c.get_name());
        for a in c.get_arguments().filter(|a| !a.is_hide_set()) {
            assert!(a.get_help().is_some(), "{} {} has no help", c.get_name(), a.get_id());
        }
        c.get_subcommands().for_each(check);
    }
    let mut cli = castctl::cmd::Cli::command();
    cli.build();
    check(&cli);
}

#[test]
fn the_manual_pages_are_in_step() {
    let dir = tempfile::tempdir().expect("temp dir");
    let out = castctl(&["man", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let names = |dir: &Path| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .expect("directory")
            .map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"))
            .filter(|n| n.ends_with(".1"))
            .collect();
        names.sort();
        names
    };
    let made = names(dir.path());
    for name in &made {
        let page = std::fs::read_to_string(dir.path().join(name)).expect("page");
        golden(&root().join("man").join(name), &page);
    }
    assert_eq!(names(&root().join("man")), made, "a page of a command that is gone?");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let out = castctl(&["completions", shell]);
        assert_eq!(out.status.code(), Some(0));
        let script = text(&out.stdout);
        for words in every_command() {
            let last = words.last().map_or("castctl", String::as_str);
            assert!(script.contains(last), "{shell}: {last}");
        }
    }
}

#[test]
fn exit_codes_mean_something() {
    let bad = root().join("tests/fixtures/manifest/unknown-field.yaml");
    let bad = bad.to_str().expect("UTF-8");
    let good = root().join("recipes/castctl.yaml");
    let good = good.to_str().expect("UTF-8");
    for (words, code, says) in [
        (&["--version"][..], 0, ""),
        (&["--help"], 0, ""),
        (&[], 2, "Usage"),
        (&["upp"], 2, "unrecognized subcommand"),
        (&["up", "--rtmp", "nowhere"], 2, "invalid socket address"),
        (&["up", "--manifest", "/nonexistent.yaml"], 2, "cannot read /nonexistent.yaml"),
        (&["up", "--manifest", bad], 2, "unknown-field.yaml:3:5: channels[0].segmnt"),
        (&["manifest", "check", bad], 2, "unknown-field.yaml:3:5: channels[0].segmnt"),
        (&["manifest", "check", good], 0, "no mistake"),
        (&["man", "/proc/nowhere"], 3, "cannot write to /proc/nowhere"),
    ] {
        let out = castctl(words);
        let stderr = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(says), "{words:?}: {stderr}");
    }
}

#[test]
fn a_closed_pipe_is_success() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_castctl"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("castctl runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}
