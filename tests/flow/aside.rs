//! A transcoder that is of no cluster: it makes rungs of what an upstream has, and passes that on.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::ladder::{MANIFEST, goes_on_behind, whole};
use crate::nodes::{Nodes, addr, base, the_same_at};
use crate::oracle::{Exception, Oracle};
use crate::server::{KEY, local, silent, within};
use reqwest::Url;
use rustix::process::Signal;

/// The renditions that a session's multivariant playlist names.
async fn named(session: &Url) -> Vec<String> {
    let list = fetched::text(session.clone()).await;
    let paths = list.lines().filter(|l| l.ends_with("/index.m3u8"));
    let mut names: Vec<String> =
        paths.filter_map(|l| Some(l.strip_suffix("/index.m3u8")?.to_owned())).collect();
    names.sort();
    names
}

/// Edges of the transcoder serve the source with its rungs; an edge of the origin knows of none. A
/// transcoder that is killed goes on with its jobs when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcoder_of_one_upstream_serves_its_channels_with_rungs() {
    let nodes = Nodes::with(
        "segment: 1s\n  targetDuration: 2s\n  part: 200ms\n  latencyBudget: 200ms\n  \
         reconnectWindow: 5s",
    );
    let ladder = nodes.dir().join("ladder.yaml");
    std::fs::write(&ladder, MANIFEST).expect("written");
    let origin = nodes.origin(local(), local()).await;
    let transcoder = nodes.transcoder(origin.line("internal"), &ladder, local()).await;
    let internal = addr(&transcoder, "internal");
    let edge = nodes.edge(transcoder.line("internal"), local()).await;
    let plain = nodes.edge(origin.line("internal"), local()).await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    let mut encoder = Encoder::connect(addr(&origin, "rtmp"), KEY).await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), 30);
    let publishing = async {
        encoder.real_time(&tags, |t| t).await.expect("taken");
        encoder.finish().await;
    };
    let watching = async {
        let session = fetched::session(&base(&edge), "main").await;
        let rungs = fetched::media_until(&session, "180p", |p| whole(p) >= 3).await;
        assert_eq!(named(&session).await, ["180p", "90p", "video"]);
        let there = base(&plain).join(session.path()).expect("a URL");
        assert_eq!(named(&there).await, ["video"]);
        let before = oracle.media();

        oracle.except(Exception::StandsStill);
        transcoder.process.signal(Signal::KILL);
        assert_eq!(transcoder.process.ended().await.code, None, "killed");
        let transcoder = nodes.transcoder(origin.line("internal"), &ladder, internal).await;
        let last = rungs.segments.last().expect("some").msn;
        for name in ["180p", "90p"] {
            let back = fetched::media_until(&session, name, goes_on_behind(last + 1)).await;
            assert!(back.segments.iter().all(|s| s.discontinuity == 0), "{back:?}");
        }
        the_same_at(&base(&edge), &before).await;
        for name in ["video", "180p", "90p"] {
            fetched::media_until(&session, name, |p| p.ended).await;
        }
        transcoder
    };
    let ((), transcoder) = tokio::join!(publishing, watching);
    silent(&oracle.report().await);
    for up in [edge, plain, transcoder, origin] {
        up.process.signal(Signal::TERM);
        let ended = within("the end", up.process.ended()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
}
