//! `castctl schedule` as a user meets it: figures, exit codes, places of mistakes.

use crate::{castctl, text};
use serde_json::Value;

fn json(words: &[&str]) -> Value {
    let out = castctl(words);
    assert_eq!(out.status.code(), Some(0), "{words:?}: {}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("one JSON object")
}

#[test]
fn an_estimate_is_the_sum_of_its_rows_and_grows_with_the_source() {
    let of =
        |source: &str| json(&["schedule", "estimate", "default", "--source", source, "--json"]);
    let hd = of("1080p30");
    let rungs = hd["rungs"].as_array().expect("rungs");
    assert_eq!(rungs.len(), 4);
    let number = |v: &Value, field: &str| v[field].as_f64().expect("a number");
    let each: f64 = rungs.iter().map(|r| number(r, "scale") + number(r, "encodeCost")).sum();
    let sum = number(&hd, "decode") + each + number(&hd, "sound");
    assert_eq!(number(&hd, "total"), sum.ceil());
    assert!(number(&of("1080p60"), "total") > number(&hd, "total"));
    assert_eq!(of("480p30")["rungs"].as_array().map(Vec::len), Some(3), "none is enlarged");
    let out = castctl(&["schedule", "estimate", "default"]);
    let table = text(&out.stdout);
    assert!(table.contains("1280x720") && table.contains("h264 veryfast"), "{table}");
}

#[test]
fn a_ladder_and_a_machine_may_come_from_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let manifest = file(
        "castctl.yaml",
        "ladders: [{name: one, rungs: [{name: low, height: 240, bitrate: 400kbps}]}]",
    );
    let rates = "  decode h264 pixels: 1\n  scale from: 0\n  encode h264 medium pixels: 10\n";
    let machine = file("m.yaml", &format!("name: m\nmeasured: by hand\nrates:\n{rates}"));
    let words = ["schedule", "estimate", "one", "--manifest", &manifest, "--machine", &machine];
    let estimate = json(&[&words[..], &["--json"]].concat());
    // 62.208 million pixels a second are decoded for 1 each, 3.0672 million encoded for 10.
    assert_eq!(estimate["total"], 93);
    let broken = file("broken.yaml", "name: m\nmeasured: by hand\nrates:\n  scale up: 1\n");
    for (words, says) in [
        (&["schedule", "estimate", "sports"][..], "\"sports\" is no ladder: default, none"),
        (&["schedule", "estimate", "default", "--source", "big"], "\"big\" is no source"),
        (&["schedule", "estimate", "default", "--machine", &broken], "yaml:4:3: \"scale up\" is"),
        (&["schedule", "estimate", "default", "--machine", &machine, "--source-codec", "av1"], "m"),
        (&["schedule", "estimate", "default", "--machine", "cray"], "built in: epyc-9004"),
        (&["schedule", "simulate"], "required"),
        (&["schedule", "simulate", &broken], "broken.yaml:1:"),
    ] {
        let out = castctl(words);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }
}

#[test]
fn a_day_is_the_same_whenever_it_is_simulated() {
    let words = ["schedule", "simulate", "--generate", "7", "--nodes", "20", "--jobs", "200"];
    let day = || json(&[&words[..], &["--json"]].concat());
    let (mut one, mut two) = (day(), day());
    for report in [&mut one, &mut two] {
        let report = report.as_object_mut().expect("an object");
        // What it took is this machine's affair.
        for field in ["placementsPerSecond", "slowestPlanMs"] {
            assert!(report.remove(field).and_then(|v| v.as_f64()) > Some(0.0), "{field}");
        }
    }
    assert_eq!(one, two);
    assert_eq!((&one["violations"], &one["jobs"]), (&0.into(), &200.into()));
    let told = castctl(&[&words[..], &["--explain"]].concat());
    let told = text(&told.stdout);
    assert!(told.contains("chosen: the least is left there"), "{told}");
}

#[test]
fn a_recorded_day_is_lived_through_from_its_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("day.jsonl");
    let day = "{\"atMs\":0,\"event\":{\"join\":{\"node\":\"a\",\"capacity\":1000}}}\n\
               {\"atMs\":9,\"event\":{\"start\":{\"job\":\"x\",\"millicores\":800}}}\n\
               {\"atMs\":9,\"event\":{\"start\":{\"job\":\"y\",\"millicores\":800}}}\n\
               {\"atMs\":60000,\"event\":{\"stop\":{\"job\":\"x\"}}}\n";
    std::fs::write(&path, day).expect("written");
    let words = ["schedule", "simulate", path.to_str().expect("UTF-8"), "--json"];
    let report = json(&words);
    // The second waits until the first is over.
    let figures = ["jobs", "placements", "refused", "violations"].map(|f| report[f].clone());
    assert_eq!(figures, [2, 2, 1, 0].map(Value::from));
}

#[test]
fn a_registry_that_cannot_be_asked_is_a_failure_and_no_empty_plan() {
    // Nobody listens on the port of discard (RFC 863).
    let round = ["schedule", "--once", "--dry-run", "--api", "http://127.0.0.1:9"];
    let out = castctl(&round);
    assert_eq!(out.status.code(), Some(3), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("the registry is unavailable"), "{}", text(&out.stderr));
    // Its flags are not those of its verbs.
    let out = castctl(&["schedule", "--once", "estimate", "default"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
}
