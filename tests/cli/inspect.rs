//! `castctl inspect` and `castctl replay` as a script meets them: exit codes and JSON.

use crate::{castctl, root, text};

fn clip() -> String {
    root().join("tests/fixtures/media/bbb.flv").display().to_string()
}

#[test]
fn inspect_prints_a_table_or_json() {
    let out = castctl(&["inspect", &clip()]);
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("avc1.42c01e"), "{}", text(&out.stdout));
    assert_eq!(text(&out.stderr), "");
    let out = castctl(&["inspect", &clip(), "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    assert_eq!(json["kind"], "flv");
    assert_eq!(json["damaged"], false);
    assert_eq!(json["tracks"][0]["frameRate"], 25.0);
    assert_eq!(json["tracks"][1]["sampleRate"], 44_100);
}

#[test]
fn damage_is_exit_code_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cut.flv");
    let whole = std::fs::read(clip()).expect("the clip");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let out = castctl(&["inspect", &path.display().to_string()]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("the file is cut off"), "{}", text(&out.stdout));
}

#[test]
fn exit_codes_tell_usage_from_failure() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let rtmp = format!("rtmp://127.0.0.1:{port}/live/key");
    let http = format!("http://127.0.0.1:{port}/index.m3u8");
    let (clip, cargo) = (clip(), root().join("Cargo.toml").display().to_string());
    for (words, code) in [
        (vec!["inspect", &cargo], 2),
        (vec!["inspect", "ftp://host/file"], 2),
        (vec!["inspect", "/does/not/exist"], 3),
        (vec!["inspect", &rtmp], 3),
        (vec!["inspect", &http], 3),
        (vec!["replay", &clip, "http://host/live/key"], 2),
        (vec!["replay", "/does/not/exist.flv", &rtmp], 2),
        (vec!["replay", &cargo, &rtmp], 2),
        (vec!["replay", &clip, &rtmp, "--speed", "fast"], 2),
        (vec!["replay", &clip, &rtmp], 3),
    ] {
        let out = castctl(&words);
        assert_eq!(out.status.code(), Some(code), "{words:?}: {}", text(&out.stderr));
        assert!(text(&out.stderr).contains("error: "), "{words:?}");
        assert_eq!(text(&out.stdout), "", "{words:?}");
    }
}
