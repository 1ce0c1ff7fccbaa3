//! The oldest of a recording is removed while it is on air: who reads the bucket too has all of the
//! session, who does not has what is left, and nobody live notices.

use crate::clip;
use crate::fetched;
use crate::nodes::the_same_at;
use crate::oracle::{Exception, Oracle};
use crate::process::Up;
use crate::rewound::{list, said};
use crate::server::{KEY, brisk, silent, within};
use crate::stage::{Stage, tell};
use castctl::ingest::publisher::Publisher;
use castctl::media::flv::file::Tag;
use castctl::rt::clock::Clock;
use reqwest::StatusCode;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The DVR playlist of the session.
const DVR: &str = "/live/main/s1/video/dvr.m3u8";

/// Tells a publisher the tags when they are due.
async fn on_air(publisher: &mut Publisher, tags: &[Tag]) {
    let clock = Clock::system();
    let begun = clock.now().mono;
    for tag in tags {
        let due = Duration::from_millis(tag.timestamp.into());
        clock.sleep_until(begun.plus(due)).await;
        tell(publisher, std::slice::from_ref(tag)).await;
    }
}

/// A collector that removes what was on air a few seconds ago.
async fn collector(data: &Path, to: &str) -> Up {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    command.args(["collect", "--watch", "--keep", "3s", "--admin", "127.0.0.1:0", "--to", to]);
    command.arg("--data").arg(data);
    Up::run_until(command, "admin").await
}

/// Waits until the log's first extents are gone.
async fn until_trimmed(dir: PathBuf) {
    within("the oldest extents to be removed", async {
        while !dir.join("trimmed").exists() || dir.join("00000000.extent").exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_of_a_session_is_watched_from_the_bucket_while_its_node_keeps_only_the_newest() {
    let mut stage = Stage::set(brisk("main", &[KEY])).await;
    let archive = tempfile::tempdir().expect("a directory");
    let to = format!("file://{}", archive.path().display());
    let origin = stage.origin().await;
    let warm = stage.edge_from(&origin, Some(&to)).await;
    let agent = collector(stage.data(), &to).await;
    let oracle = Oracle::watch(vec![warm.clone()], "main");
    oracle.except(Exception::StandsStill);
    oracle.except(Exception::Holes);
    let tags = clip::looped(&clip::bbb(), 30);
    let mut publisher = stage.publisher().await;
    let log = stage.data().join("logs/main/s1/g1");
    let (cold, bare) =
        (stage.edge_from(&origin, Some(&to)).await, stage.edge_from(&origin, None).await);
    let viewers = async {
        until_trimmed(log).await;
        // All of the session, and the same bytes.
        let of = async |base: &reqwest::Url| said(DVR, &list(base, DVR).await);
        let (was, is) = (of(&warm).await, of(&cold).await);
        let n = was.len().min(is.len());
        assert!(n > 3, "{n} segments");
        assert_eq!(was[..n], is[..n], "what both list");
        the_same_at(&cold, &oracle.media()).await;
        // Who has no bucket begins later, and is live. Nothing is removed while that is looked at.
        agent.process.signal(Signal::STOP);
        let left = of(&bare).await;
        let sound = DVR.replace("/video/", "/audio/");
        for (url, _, gap, _) in said(&sound, &list(&bare, &sound).await) {
            assert!(!gap, "{url}");
            fetched::ok(bare.join(&url).expect("a URL")).await;
        }
        let at = was.iter().position(|s| s.0 == left[0].0).expect("it begins with one of them");
        assert!(at > 0, "it begins with {:?}", left[0]);
        let n = left.len().min(was.len() - at);
        assert_eq!(left[..n], was[at..at + n], "what is left is the same");
        for (url, ..) in &left[..n] {
            fetched::ok(bare.join(url).expect("a URL")).await;
        }
        let old = fetched::get(bare.join(&was[0].0).expect("a URL")).await;
        assert_eq!(old.status(), StatusCode::NOT_FOUND);
        agent.process.signal(Signal::CONT);
        let session = fetched::session(&bare, "main").await;
        let newest = fetched::media(&session, "video").await.next().expect("a number").0;
        fetched::media_until(&session, "video", |p| p.next().is_some_and(|n| n.0 > newest + 2))
            .await;
    };
    tokio::join!(on_air(&mut publisher, &tags), viewers);

    // The writer dies; who starts on the trimmed log seals it, and goes on.
    drop(publisher);
    let sealed = stage.recover().await;
    let [log] = &sealed[..] else { panic!("{sealed:?}") };
    assert!(log.start.is_some() && log.end.is_some() && log.cut.is_none(), "{log:?}");
    let mut publisher = stage.publisher().await;
    on_air(&mut publisher, &clip::looped(&clip::bbb(), 6)).await;
    let session = fetched::session(&warm, "main").await;
    let second = |p: &crate::oracle::playlist::Playlist| {
        let of = |s: &&crate::oracle::playlist::Segment| {
            s.uri.as_ref().is_some_and(|uri| uri.contains("/g2-") && !s.gap)
        };
        p.segments.iter().filter(of).count() > 1
    };
    fetched::media_until(&session, "video", second).await;
    let late = stage.edge_from(&origin, Some(&to)).await;
    let (was, is) = (said(DVR, &list(&warm, DVR).await), said(DVR, &list(&late, DVR).await));
    let n = was.len().min(is.len());
    assert_eq!(was[..n], is[..n], "what both list");
    the_same_at(&late, &oracle.media()).await;
    silent(&oracle.report().await);
    drop(agent);
    stage.close();
}
