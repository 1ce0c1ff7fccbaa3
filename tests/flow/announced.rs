//! `castctl cue` as an operator uses it: real processes, what it says and how it ends, and what
//! viewers get of it.

use crate::clip;
use crate::cues::{SAY, events, ranges};
use crate::encoder::{Encoder, stubborn};
use crate::fetched::{self, client, fragments, media_until, ok, text};
use crate::nodes::{Nodes, addr, base};
use crate::oracle::ledger::resolve;
use crate::oracle::playlist::{Playlist, Segment, moment};
use crate::process::{Ended, Up, node, run};
use crate::server::{KEY, local, within};
use castctl::api::cues::BODY_MAX;
use castctl::media::timeline::cue::CUE_DATA_MAX;
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Command;

/// Runs `castctl cue main` against a node.
pub(crate) async fn cue(api: &str, words: &[&str]) -> Ended {
    let mut castctl = Command::new(env!("CARGO_BIN_EXE_castctl"));
    castctl.env_remove("CASTCTL_API").args(["cue", "main", "--api", api]).args(words);
    run(&mut castctl).await
}

async fn stop(ups: impl IntoIterator<Item = Up>) {
    for up in ups {
        up.process.signal(Signal::TERM);
        let ended = within("the end", up.process.ended()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
}

fn lists(p: &Playlist, id: &str) -> bool {
    p.ranges.iter().any(|a| a["ID"] == id)
}

/// The first complete segment of the picture that carries an event: the event, its segment, and the
/// time of the segment's first picture in seconds.
async fn carried(session: &Url, id: &str) -> (f64, Segment, f64) {
    let mut seen = 0;
    loop {
        let more = |p: &Playlist| p.segments.iter().any(|s| s.uri.is_some() && s.msn > seen);
        let list = media_until(session, "video", more).await;
        let before = seen;
        for s in list.segments.into_iter().filter(|s| s.msn > before && !s.gap) {
            let Some(uri) = &s.uri else { break };
            seen = s.msn;
            let at = |uri: &str| session.join(&format!("video/{uri}")).expect("a URL");
            let bytes = ok(at(uri)).await;
            let Some((_, time)) = events(&bytes).into_iter().find(|(of, _)| of == id) else {
                continue;
            };
            let init = ok(at(s.map.as_ref().expect("an init section"))).await;
            let first = fragments(&bytes)[0].pts as f64 / f64::from(fetched::timescale(&init));
            return (time, s, first);
        }
    }
}

/// Asked at the origin, seen at an edge that is another process.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_announced_at_the_origin_is_seen_at_the_edges() {
    let nodes = Nodes::new();
    let origin = nodes.origin(local(), local()).await;
    let api = origin.line("internal").to_owned();
    let edge = nodes.edge(&api, local()).await;
    let tags = clip::looped(&clip::bbb(), 60);
    let encoder = task::spawn("encoder", stubborn(addr(&origin, "rtmp"), KEY.to_owned(), tags));
    let session = fetched::session(&base(&edge), "main").await;
    media_until(&session, "video", |p| p.segments.len() >= 3).await;

    let data = json!({ "say": SAY, "team": 1 }).to_string();
    let words = ["--id", "goal-1", "--class", "com.example.goal", "--duration", "4s"];
    let told = cue(&api, &[&words[..], &["--data", &data, "--json"]].concat()).await;
    assert_eq!((told.code, &*told.err), (Some(0), ""), "{told:?}");
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(
        (&told["id"], &told["session"], &told["generation"]),
        (&json!("goal-1"), &json!(1), &json!(1))
    );
    let start = told["start"].as_str().expect("a moment").to_owned();

    // The same line in every rendition, live and DVR.
    let mut lines = Vec::new();
    for rendition in ["video", "audio"] {
        media_until(&session, rendition, |p| lists(p, "goal-1")).await;
        for list in ["index.m3u8", "dvr.m3u8"] {
            let url = session.join(&format!("{rendition}/{list}")).expect("a URL");
            lines.push(ranges(&text(url).await).remove("goal-1").expect("it is listed"));
        }
    }
    lines.dedup();
    let want = format!(
        "#EXT-X-DATERANGE:ID=\"goal-1\",CLASS=\"com.example.goal\",START-DATE=\"{start}\",\
         DURATION=4.0,X-CASTCTL-DATA=\""
    );
    assert!(lines.len() == 1 && lines[0].starts_with(&want), "{lines:#?}");

    // In the media, at the moment that the dates say. Dates have milliseconds.
    let (time, segment, first) = carried(&session, "goal-1").await;
    let after = moment(&start).expect("a moment") - segment.pdt.expect("a date");
    let off = (time - first - after as f64 / 1e6).abs();
    assert!(off < 0.002, "{off} s off");
    let sound = session.join("audio/index.m3u8").expect("a URL");
    for s in fetched::media(&session, "audio").await.segments {
        let Some(uri) = s.uri else { continue };
        let url = session.join(&resolve(sound.path(), &uri)).expect("a URL");
        assert!(events(&ok(url).await).is_empty(), "the picture has it");
    }

    // An edge records nothing, and says who does.
    let asked = edge.line("internal");
    let told = cue(asked, &["--id", "goal-2", "--data", "1"]).await;
    let said = format!("refused: nothing is recorded here: ask the origin ({asked})\n");
    assert_eq!((told.code, told.err, &*told.out), (Some(1), said, ""));
    encoder.abort();
    stop([edge, origin]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why_and_ends_with_a_code() {
    let data = tempfile::tempdir().expect("a directory");
    let manifest = data.path().join("castctl.yaml");
    std::fs::write(&manifest, format!("channels:\n- name: main\n  keys: [{KEY}]\n"))
        .expect("written");
    let words = [
        "up".into(),
        format!("--manifest={}", manifest.display()),
        format!("--data={}", data.path().join("data").display()),
        "--rtmp=127.0.0.1:0".into(),
        "--viewers=127.0.0.1:0".into(),
        "--internal=127.0.0.1:0".into(),
        "--admin=127.0.0.1:0".into(),
    ];
    let up = node(&words.each_ref().map(String::as_str), "playlist").await;
    let api = up.line("internal").to_owned();
    let plain = ["--id", "a", "--data", "1"];
    let told = cue(&api, &plain).await;
    let nobody = format!("refused: nobody publishes to this channel here ({api})\n");
    assert_eq!((told.code, told.err, &*told.out), (Some(1), nobody, ""));

    let mut encoder = Encoder::connect(addr(&up, "rtmp"), KEY).await.expect("accepted");
    let encoder = task::spawn("encoder", async move {
        encoder.real_time(&clip::looped(&clip::bbb(), 60), |t| t).await
    });
    fetched::session(&up.base().parse().expect("a URL"), "main").await;
    let told = cue(&api, &plain).await;
    assert_eq!((told.code, &*told.err), (Some(0), ""));
    assert!(told.out.starts_with("a begins at ") && told.out.ends_with(" in session 1\n"));

    let long = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
    let (longer, too_long) = (long(CUE_DATA_MAX + 1), long(BODY_MAX));
    let at_most = format!("error: a cue has at most {BODY_MAX} bytes in all");
    for (words, code, said) in [
        (&plain[..], 1, "refused: this session has had a cue \"a\": give this one another id"),
        (&["--id", "b"], 2, "--data <JSON>"),
        (&["--id", "b", "--data", "{"], 2, "invalid value '{' for '--data <JSON>': EOF"),
        (&["--id", "b", "--data", "1", "--at", "noon"], 2, "\"noon\" is not a moment"),
        (&["--id", "b", "--data", "1", "--duration", "13h"], 2, "error: a cue lasts from 0 to 12"),
        (&["--id", "ä", "--data", "1"], 2, "error: a cue's id has 1 to 64 characters"),
        (
            &["--id", "b", "--data", "1", "--at", "2001-01-01T00:00:00Z"],
            2,
            "error: a cue begins within 24 hours of now",
        ),
        (&["--id", "b", "--data", &longer], 2, "error: a cue's data has 4097 bytes, 4096 are"),
        (&["--id", "b", "--data", &too_long], 2, &at_most),
    ] {
        let told = cue(&api, words).await;
        assert_eq!((told.code, &*told.out), (Some(code), ""), "{words:?}: {}", told.err);
        assert!(told.err.contains(said), "{words:?}: {}", told.err);
    }
    // As long as allowed, and no id was used up by a refusal.
    let told = cue(&api, &["--id", "b", "--data", &long(CUE_DATA_MAX)]).await;
    assert_eq!(told.code, Some(0), "{told:?}");

    // Who speaks HTTP hears the same.
    let url: Url = format!("{api}/v1/channels/main/cues").parse().expect("a URL");
    let padded = format!("{}{{\"id\":\"c\",\"data\":1}}", " ".repeat(BODY_MAX));
    for (body, status, said) in [
        (padded.as_str(), StatusCode::PAYLOAD_TOO_LARGE, &at_most["error: ".len()..]),
        ("{", StatusCode::BAD_REQUEST, "EOF while parsing"),
        ("{\"id\":\"c\"}", StatusCode::BAD_REQUEST, "missing field `data`"),
        ("{\"id\":\"a\",\"data\":1}", StatusCode::CONFLICT, "this session has had a cue \"a\""),
        (&padded[padded.len() - BODY_MAX..], StatusCode::CREATED, "\"id\":\"c\""),
    ] {
        let answer = client().post(url.clone()).body(body.to_owned()).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), status, "{said}");
        let words = answer.text().await.expect("text");
        assert!(words.contains(said), "{words}");
    }
    encoder.abort();
    stop([up]).await;
    // Nobody is there.
    let told = cue(&api, &plain).await;
    let said = format!("error: {api}: cannot connect: Connection refused");
    assert!(told.code == Some(3) && told.err.starts_with(&said), "{told:?}");
}
