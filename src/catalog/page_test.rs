//! `man/castctl-archive.7` says what the code does: names, contents, how large what is sent is.

use crate::base::log_id::LogId;
use crate::catalog::about::{Claim, LAYOUT, Sealed, to_json};
use crate::catalog::key::{Key, Part};

const MANUAL: &str = include_str!("../../man/castctl-archive.7");

/// The lines of a table or text, as a reader sees them.
fn lines(name: &str) -> Vec<String> {
    let head = format!(".\\\" {name}");
    let lines = MANUAL.lines().skip_while(|l| *l != head).skip(1).take_while(|l| *l != ".\\\" end");
    let found: Vec<String> = lines.map(|l| l.replace("\\-", "-")).collect();
    assert!(!found.is_empty(), "no `{name}` in the page");
    found
}

fn first(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

fn log() -> LogId {
    "main/s1/g1".parse().expect("a log")
}

#[test]
fn the_names_are_the_codes_in_the_order_of_their_making() {
    let filled = |line: &String| {
        let name = first(line);
        name.replace("CHANNEL", "main").replace("SESSION", "1").replace("GENERATION", "1")
    };
    let said: Vec<String> = lines("table names").iter().map(filled).collect();
    let parts = [Part::Claim, Part::Extent(0), Part::Sealed];
    assert_eq!(said, parts.map(|part| Key::of(&log(), part)));
}

#[test]
fn the_small_objects_are_the_codes() {
    let claim = Claim { layout: LAYOUT, log: log().to_string(), first: "SHA256".into() };
    let sealed = Sealed { layout: LAYOUT, extents: 12 };
    for (name, bytes) in [("text claim", to_json(&claim)), ("text sealed", to_json(&sealed))] {
        assert_eq!(lines(name).join("\n") + "\n", String::from_utf8_lossy(&bytes), "{name}");
    }
}
