//! The recipes as they are run: `replay-in-ci.sh` passes, and fails when something is altered;
//! `two-origins-two-edges.sh` loses an origin and goes on, `watch-from-an-hour-ago.sh` watches that
//! again, `record-collect-rewatch.sh` watches what is in a bucket, `publish-to-a-bucket.sh` what is
//! put there while it is live.

use crate::{castctl, root, text};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn clip() -> String {
    root().join("tests/fixtures/media/bbb.flv").display().to_string()
}

fn recipe(words: &[&str], binary: &Path) -> Output {
    Command::new(root().join("recipes/replay-in-ci.sh"))
        .args(words)
        .env("CASTCTL", binary)
        .env("SPEED", "max")
        .stdin(Stdio::null())
        .output()
        .expect("the recipe runs")
}

fn checksum(recording: &str) -> String {
    let out = castctl(&["replay", recording, "--digest", "--json"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    json["checksum"].as_str().expect("a checksum").to_owned()
}

/// The clip with one bit of one payload turned.
fn altered(dir: &Path) -> String {
    let path = dir.join("altered.flv");
    let mut bytes = std::fs::read(clip()).expect("the clip");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    path.display().to_string()
}

#[test]
fn the_recipe_passes_and_finds_an_altered_recording() {
    let binary = Path::new(env!("CARGO_BIN_EXE_castctl"));
    let sum = checksum(&clip());
    let good = recipe(&[&clip(), &sum], binary);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stderr).contains("ok: 250 packets of video"), "{}", text(&good.stderr));
    let dir = tempfile::tempdir().expect("a directory");
    let bad = altered(dir.path());
    assert_ne!(checksum(&bad), sum);
    let out = recipe(&[&bad, &sum], binary);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("DIFFERS: the recording's checksum"));
    assert_eq!(recipe(&[], binary).status.code(), Some(2));
}

/// Runs a recipe that starts its own servers; its exit code, and what it said.
fn of_its_own(name: &str, words: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(root().join("recipes").join(name))
        .args(words)
        .env("CASTCTL", env!("CARGO_BIN_EXE_castctl"))
        .stdin(Stdio::null())
        .output()
        .expect("the recipe runs");
    (out.status.code(), text(&out.stderr))
}

#[test]
fn the_recipe_of_a_cluster_goes_on_without_an_origin() {
    let (code, said) = of_its_own("two-origins-two-edges.sh", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("both edges go on with g2-"), "{said}");
    assert!(said.contains("session 1 on south"), "{said}");
}

#[test]
fn the_recipe_of_a_drain_loses_nothing() {
    let (code, said) = of_its_own("drain-an-origin.sh", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the origin is back on air; nothing was lost"), "{said}");
    assert!(said.contains("north-agent"), "{said}");
}

#[test]
fn the_recipe_of_a_rewind_watches_both_origins() {
    let (code, said) = of_its_own("watch-from-an-hour-ago.sh", &["20"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("segments of both origins, and it goes on"), "{said}");
    assert!(said.contains("s were played"), "{said}");
    let (code, said) = of_its_own("watch-from-an-hour-ago.sh", &["yesterday"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("[SECONDS] [CLIP]"), "{said}");
}

/// A castctl that publishes something else than it was given: what a broken path would do.
#[test]
fn the_recipe_finds_a_path_that_alters_the_media() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bad, script) = (altered(dir.path()), dir.path().join("castctl"));
    let body = format!(
        "#!/bin/sh\n\
         case \"$1 $3\" in 'replay rtmp:'*) shift 2; set -- replay '{bad}' \"$@\" ;; esac\n\
         exec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_castctl")
    );
    std::fs::write(&script, body).expect("written");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("executable");
    let out = recipe(&[&clip()], &script);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("DIFFERS: the log is not the recording"));
}

#[test]
fn the_recipe_watches_a_recording_out_of_its_bucket() {
    let dir = tempfile::tempdir().expect("a directory");
    let bucket = format!("file://{}/archive", dir.path().display());
    let (code, said) = of_its_own("record-collect-rewatch.sh", &[&bucket]);
    assert_eq!(code, Some(0), "{said}");
    let ok = format!("ok: show/s1/g1 is in {bucket}: 250 packets of video");
    assert!(said.contains(&ok), "{said}");
    // Another recording of that name is not mixed with it.
    let (code, said) = of_its_own("record-collect-rewatch.sh", &[&bucket]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("there is another object of that name"), "{said}");
    let (code, said) = of_its_own("record-collect-rewatch.sh", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("BUCKET [CLIP]"), "{said}");
}

#[test]
fn the_recipe_is_live_in_a_bucket() {
    let dir = tempfile::tempdir().expect("a directory");
    let bucket = format!("file://{}/public", dir.path().display());
    let (code, said) = of_its_own("publish-to-a-bucket.sh", &[&bucket]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("of 2 renditions, each the edge's"), "{said}");
    // A session of that name is there: a server that begins anew leaves it as it is.
    let there = dir.path().join("public/live/show/s1/video/index.m3u8");
    let before = std::fs::read(&there).expect("pushed");
    let (code, said) = of_its_own("publish-to-a-bucket.sh", &[&bucket]);
    assert_ne!(code, Some(0), "{said}");
    assert!(std::fs::read(&there).expect("pushed") == before, "it was replaced");
    for words in [&[][..], &["s3://bucket/prefix"]] {
        let (code, said) = of_its_own("publish-to-a-bucket.sh", words);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("BUCKET [PUBLIC] [CLIP]"), "{said}");
    }
}
