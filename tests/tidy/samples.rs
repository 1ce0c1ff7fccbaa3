//! The law can fail: every rule, shown a small breach of it, finds exactly that.

use crate::source::{Source, blank};
use crate::{calls, ids, limits, map, package, rooms, shape, tree};
use std::collections::BTreeMap;

/// All findings of the per-file rules in `text` as module `module`, as `line rule`.
fn findings(module: &str, text: &str) -> Vec<String> {
    let file = Source::new(&format!("src/{module}.rs"), module, false, text);
    let mut found = Vec::new();
    rooms::check(&file, &mut found);
    calls::check(&file, &mut found);
    calls::check_everywhere(&file, &mut found);
    found.iter().map(|f| format!("{} {}", f.line, f.rule)).collect()
}

#[test]
fn each_rule_finds_its_breach() {
    let unfinished = concat!("// TO", "DO: later\n");
    for (name, module, text, want) in [
        ("arrow up", "media/a", "use crate::hls::x::Y;\n", "1 may-import"),
        (
            "arrow in a path",
            "hls/a",
            "fn f() {\n    crate::rt::clock::Clock::x();\n}",
            "2 may-import",
        ),
        (
            "arrow in a tree",
            "hls/a",
            "use crate::{base::ids::Msn,\n    log::x::Y};",
            "2 may-import",
        ),
        ("service to service", "edge/a", "use crate::ingest::x::Y;", "1 may-import"),
        ("service to tool", "edge/a", "use crate::bench::x::Y;", "1 may-import"),
        ("format to log", "log/format/a", "use crate::log::tail::Tail;", "1 may-import"),
        ("super to the root", "hls", "use super::base::ids::Msn;", "1 may-import"),
        (
            "super out of a sub-room",
            "log/format/a",
            "use super::super::tail::Tail;",
            "1 may-import",
        ),
        ("crate root", "edge/a", "use crate::Name;", "1 crate-root"),
        ("glob from a room", "edge/a", "use crate::base::ids::*;", "1 glob"),
        ("super glob", "edge/a", "use super::*;", "1 glob"),
        ("no room", "misc/a", "fn f() {}", "1 room"),
        ("tokio in a core", "hls/a", "use tokio::sync::Notify;", "1 pure"),
        ("files in a core", "rtmp/a", "use std::{fs::File, io};", "1 pure"),
        ("a socket in a core", "hls/a", "use std::net::TcpStream;", "1 pure"),
        ("a lock in a core", "hls/a", "struct A {\n    m: std::sync::Mutex<u8>,\n}", "2 pure"),
        ("async in a core", "hls/a", "async fn f() {}", "1 pure"),
        ("logging in a core", "hls/a", "fn f() {\n    tracing::info!(1);\n}", "2 pure"),
        ("a clock in a core", "base/a", "use std::time::Instant;", "1 pure"),
        ("foreign crate", "edge/a", "use m3u8_rs::Playlist;", "1 door"),
        ("foreign crate in tests", "edge/a", "#[cfg(test)]\nuse m3u8_rs::Playlist;", "2 door"),
        ("foreign derive", "edge/a", "#[derive(clap::Args)]\nstruct A;", "1 door"),
        ("clock", "edge/a", "fn f() {\n    let _ = Instant::now();\n}", "2 call"),
        ("wall clock", "edge/a", "fn f() {\n    std::time::SystemTime::now();\n}", "2 call"),
        ("spawn", "edge/a", "fn f() {\n    tokio::spawn(x);\n}", "2 call"),
        ("task spawn", "edge/a", "use tokio::task;\nfn f() {\n    task::spawn(x);\n}", "3 call"),
        ("exit", "cmd/a", "fn f() {\n    std::process::exit(1);\n}", "2 call"),
        ("unwrap", "edge/a", "fn f() {\n    g().unwrap();\n}", "2 call"),
        ("print", "edge/a", "fn f() {\n    println!(\"x\");\n}", "2 call"),
        ("stub", "cmd/a", "fn f() {\n    todo!()\n}", "2 stub"),
        ("debug", "cmd/a", "fn f() {\n    dbg!(1);\n}", "2 stub"),
        ("ignored test", "cmd/a", "#[test]\n#[ignore]\nfn f() {}", "2 stub"),
        ("unfinished", "cmd/a", unfinished, "1 stub"),
    ] {
        assert_eq!(findings(module, text), [want], "{name}");
    }
}

#[test]
fn what_is_lawful_passes() {
    for (name, module, text) in [
        ("own room", "hls/a", "use crate::hls::b::C;\nuse super::b::D;"),
        ("sub-room of one's own", "log/tail", "use crate::log::format::record::Record;"),
        ("what the table allows", "edge/a", "use crate::log::format::record::Record;"),
        ("compose", "cmd/up", "use crate::edge::serve::Edge;\nuse crate::ingest::serve::Ingest;"),
        ("an address is a value", "manifest/a", "use std::net::SocketAddr;"),
        ("comments", "hls/a", "// use tokio; crate::log; Instant::now()\n/* .unwrap() */\n"),
        (
            "strings",
            "hls/a",
            "const A: &str = \"tokio::spawn\";\nconst B: &str = r#\"a \" b.unwrap()\"#;",
        ),
        ("characters", "hls/a", "fn f<'a>(c: &'a [u8]) {\n    let _ = ('\"', '\\'', b'/', c);\n}"),
        ("our spawn", "edge/a", "use crate::rt::task;\nfn f() {\n    task::spawn(\"x\", y);\n}"),
        ("the clock's own file", "rt/clock", "fn f() {\n    Instant::now();\n}"),
        (
            "tests may unwrap",
            "edge/a",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n    fn f() { a.unwrap() }\n}",
        ),
        ("tests of a core may read", "hls/a", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}"),
        (
            "tests may fetch",
            "telemetry/a",
            "#[cfg(test)]\nmod tests {\n    use reqwest::Client;\n}",
        ),
        ("print in cmd", "cmd/a", "fn f() {\n    println!(\"x\");\n}"),
        ("a variable named like a crate", "edge/a", "fn f(clap: u8) -> u8 {\n    clap\n}"),
        ("unwrap_or", "edge/a", "fn f() {\n    g().unwrap_or(1);\n}"),
    ] {
        assert_eq!(findings(module, text), [""; 0], "{name}");
    }
}

#[test]
fn blanking_keeps_every_offset() {
    let text = "let a = \"é { }\"; // {\nlet b = '{'; /* { /* } */ */ let c = br##\"\"#\"##;\n";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains(['{', '}', '"']), "{code}");
    assert_eq!(code.find("let c"), text.find("let c"));
}

#[test]
fn sizes_are_ratchets() {
    let body = |n: usize| "    x();\n".repeat(n);
    let long_fn =
        Source::new("src/a.rs", "a", false, &format!("fn f(a: [u8; 4]) {{\n{}}}\n", body(69)));
    let long_file = Source::new("src/b.rs", "b", false, &"const A: u8 = 1;\n".repeat(401));
    let tests = format!(
        "fn f() {{}}\n#[cfg(test)]\nmod tests {{\n    fn t() {{\n{}    }}\n}}\n",
        body(900)
    );
    let tested = Source::new("src/c.rs", "c", false, &tests);
    let files = [long_fn, long_file, tested];
    for (name, long_files, long_functions, want) in [
        ("no exceptions", &[][..], &[][..], vec!["src/a.rs::f", "src/b.rs"]),
        ("exceptions", &[("src/b.rs", 401)], &[("src/a.rs::f", 71)], vec![]),
        ("grown", &[("src/b.rs", 400)], &[("src/a.rs::f", 71)], vec!["src/b.rs"]),
        ("shrunk", &[("src/b.rs", 500)], &[("src/a.rs::f", 99)], vec!["src/a.rs::f", "src/b.rs"]),
        ("too long to except", &[("src/b.rs", 801)], &[("src/a.rs::f", 71)], vec!["src/b.rs"]),
        (
            "needless",
            &[("src/b.rs", 401), ("src/c.rs", 10)],
            &[("src/a.rs::f", 71)],
            vec!["src/c.rs"],
        ),
        ("gone", &[("src/b.rs", 401), ("src/d.rs", 500)], &[("src/a.rs::f", 71)], vec!["src/d.rs"]),
    ] {
        let mut found = Vec::new();
        shape::sizes(&files, long_files, long_functions, &mut found);
        let mut names: Vec<&str> = found.iter().filter_map(|f| f.what.split('`').nth(1)).collect();
        names.sort_unstable();
        assert_eq!(names, want, "{name}: {found:?}");
    }
}

#[test]
fn text_rules_find_their_breach() {
    let wide = format!("//! A file.\n// {}\n", "x".repeat(98));
    let link = format!("//! A file.\n// https://{}\n", "x".repeat(120));
    for (text, want) in [
        ("fn f() {}\n", Some((1, "doc"))),
        ("//!\nfn f() {}\n", Some((1, "doc"))),
        (wide.as_str(), Some((2, "columns"))),
        (link.as_str(), None),
    ] {
        let mut found = Vec::new();
        shape::check_text(&Source::new("src/a.rs", "a", false, text), &mut found);
        assert_eq!(found.first().map(|f| (f.line, f.rule)), want, "{text}");
    }
}

#[test]
fn the_tree_knows_modules_tests_and_dead_files() {
    let texts: BTreeMap<String, String> = [
        ("src/lib.rs", "//! Map.\npub mod hls;\npub mod rt;\n"),
        ("src/bin/castctl.rs", "//! Binary.\nfn main() {}\n"),
        ("src/hls/mod.rs", "//! Room.\npub mod a;\nmod tests {}\n"),
        ("src/hls/a.rs", "//! A.\n#[cfg(test)]\n#[path = \"a_test.rs\"]\nmod tests;\nmod deep;\n"),
        ("src/hls/a_test.rs", "//! Tests.\n"),
        ("src/hls/a/deep.rs", "//! Deep.\n"),
        ("src/hls/dead.rs", "//! Dead.\n"),
        ("src/rt.rs", "//! One file.\n"),
    ]
    .map(|(a, b)| (a.to_owned(), b.to_owned()))
    .into();
    let mut found = Vec::new();
    let files = tree::build(&texts, &["src/lib.rs", "src/bin/*.rs"], &mut found);
    let modules: Vec<(&str, bool)> = files.iter().map(|f| (f.module.as_str(), f.test)).collect();
    let want = [("bin", false), ("hls/a", false), ("hls/a/deep", false), ("hls/a/tests", true)];
    assert_eq!(modules[..4], want);
    assert_eq!(modules[4..], [("hls", false), ("lib", false), ("rt", false)]);
    let dead: Vec<(&str, &str)> = found.iter().map(|f| (f.file.as_str(), f.rule)).collect();
    assert_eq!(dead, [("src/hls/dead.rs", "dead")]);
}

#[test]
fn package_rules_find_their_breach() {
    let mut found = Vec::new();
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nbytes = \"1\"\nleft-pad = \"1\"\n\
                    [lints.rust]\nunsafe_code = \"forbid\"\n";
    package::dependencies(manifest, &mut found);
    assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [5]);
    for (text, mode, want) in [
        ("#!/usr/bin/env bash\n# Runs one thing well.\n", 0o755, vec![]),
        ("#!/usr/bin/env bash\n# Runs one thing well.\n", 0o644, vec![1]),
        ("#!/usr/bin/env bash\nset -eu\n", 0o755, vec![2]),
        ("# Runs one thing well.\n", 0o755, vec![1, 2]),
    ] {
        let mut found = Vec::new();
        package::script("recipes/x.sh", text, mode, &mut found);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), want, "{text}");
    }
}

#[test]
fn the_map_rule_finds_what_is_not_there() {
    let files = [
        ("src/hls/name.rs", "fn parse() {}\n"),
        ("src/hls/text.rs", "struct Text;\n"),
        ("src/hls", ""),
        ("tests/flow", ""),
        ("tests/flow/main.rs", "mod a;\n"),
        ("Cargo.toml", "[package]\n"),
    ];
    let read =
        |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, t)| (*t).to_owned());
    for (text, want) in [
        ("`hls/name.rs`, `text.rs`; `src/hls/name.rs` and `Cargo.toml`", vec![]),
        ("`tests/flow`: `main.rs`", vec![]),
        ("| a | `hls/name.rs` (`parse`), `text.rs` (`Text`) |", vec![]),
        ("`hls::name`, `/readyz`, `write(2)`, `rtmp://host/live`, `parse`", vec![]),
        ("```\nhls/gone.rs `hls/gone.rs`\n```\n", vec![]),
        ("a\n`hls/gone.rs`", vec!["2: `hls/gone.rs` is not there"]),
        ("`hls/name.rs`, `gone.rs`", vec!["1: `gone.rs` is not there"]),
        ("| `hls/name.rs` |\n| `text.rs` |", vec!["2: `text.rs` is not there"]),
        ("`hls::gone`", vec!["1: `hls::gone` is not there"]),
        ("`hls/name.rs` (`parse`, `render`)", vec!["1: `render` is not in `src/hls/name.rs`"]),
    ] {
        let mut found = Vec::new();
        map::names(text, &read, &mut found);
        let said: Vec<String> = found.iter().map(|f| format!("{}: {}", f.line, f.what)).collect();
        assert_eq!(said, want, "{text}");
    }
}

#[test]
fn a_limit_without_a_test_is_found() {
    let limit = "pub const A_MAX: u8 = 1;\nconst IDLE_TIMEOUT: u8 = 2;\nconst MAXIMAL: u8 = 3;\n";
    let inline = format!(
        "{limit}#[cfg(test)]\nmod tests {{\n    use super::*;\n    fn t() {{ A_MAX; }}\n}}\n"
    );
    let beside = "use crate::x::a::A_MAX;\nfn t() { IDLE_TIMEOUT; }\n";
    let flow = "use castctl::x::a::{A_MAX, IDLE_TIMEOUT};\n";
    let other = "use crate::x::b::A_MAX;\n// IDLE_TIMEOUT\nfn t() { \"IDLE_TIMEOUT\"; }\n";
    let why = "a reason that says what it is for";
    for (name, text, test, exempt, want) in [
        ("no test", limit, None, &[][..], vec![1, 2]),
        ("inline", &inline, None, &[], vec![2]),
        ("beside", limit, Some(("x/a/tests", beside)), &[], vec![]),
        ("flow", limit, Some(("tests/limits", flow)), &[], vec![]),
        ("another's", limit, Some(("x/b/tests", other)), &[], vec![1, 2]),
        ("exempt", limit, None, &[("x::a::A_MAX", why)], vec![2]),
        ("needless", &inline, None, &[("x::a::A_MAX", why), ("x::a::IDLE_TIMEOUT", why)], vec![1]),
        ("gone", limit, Some(("x/a/tests", beside)), &[("x::a::B_MAX", why)], vec![1]),
        ("no reason", limit, None, &[("x::a::A_MAX", ""), ("x::a::IDLE_TIMEOUT", why)], vec![1]),
    ] {
        let src = [Source::new("src/x/a.rs", "x/a", false, text)];
        let tests = test.map(|(module, text)| Source::new("tests/t.rs", module, true, text));
        let mut found = Vec::new();
        limits::judge(&src, tests.as_slice(), exempt, &mut found);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), want, "{name}: {found:?}");
    }
}

#[test]
fn a_rule_has_one_test_and_a_test_its_rule() {
    assert_eq!(ids::ids().len(), 27 + 16 + 6 + 8 + 2);
    let all = |but: &str| -> String {
        let ids = ids::ids().into_iter().filter(|id| id != but);
        ids.map(|id| format!("#[test]\nfn {id}_is_kept() {{}}\n")).collect()
    };
    let tokio = "/// Why.\n#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\nasync fn p03_x() {}";
    for (name, text, want) in [
        ("all", all(""), vec![]),
        ("one is missing", all("p03"), vec!["no test is named `p03_…`"]),
        ("in between", all("t02b"), vec!["no test is named `t02b_…`"]),
        ("async, with attributes", all("p03") + tokio, vec![]),
        ("two", all("") + tokio, vec!["`p03_x`: the rule has a test, `p03_is_kept`"]),
        (
            "a helper",
            all("p03") + "#[allow(x)]\nfn p03_x() {}",
            vec!["`p03_x` is no test", "no test is named `p03_…`"],
        ),
        (
            "unknown",
            all("") + "#[test]\nfn p28_x() {}\n#[test]\nfn d03c_x() {}",
            vec![
                "`p28_x` is named by a rule that there is not",
                "`d03c_x` is named by a rule that there is not",
            ],
        ),
        (
            "other names",
            all("") + "fn p1_x() {}\nfn m05() {}\nfn tests_x() {}\nfn p01x2_y() {}",
            vec![],
        ),
        ("a comment", all("p03") + "// #[test] fn p03_x()", vec!["no test is named `p03_…`"]),
    ] {
        let mut found = Vec::new();
        ids::check(&[Source::new("tests/flow/rules/a.rs", "a", true, &text)], &mut found);
        let said: Vec<&str> = found.iter().map(|f| f.what.as_str()).collect();
        assert_eq!(said, want, "{name}");
    }
}
