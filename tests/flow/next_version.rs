//! Logs that a second build wrote, one that pretends to be the next version of the format: what
//! this build reads of them, and what it refuses.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::fidelity::{assert_same, generations, replay};
use crate::process::{self, Ended, Up, castctl, castctl_up};
use crate::repaired::damage_a_picture;
use crate::server::{KEY, Server, fast, local, within};
use castctl::log::format::extent::Header;
use castctl::log::format::record::{Frame, kind};
use castctl::log::format::version::{Range, VERSION, Wrote};
use castctl::log::repair::salvage::{Piece, salvage};
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The version that the second build pretends.
const NEXT: u16 = VERSION + 1;

const MANIFEST: &str = "\
channels:
  - name: main
    keys: [main-key-1]
    segment: 1s
    part: 200ms
    pace: media
";

/// A data directory and what is in it.
struct Site {
    dir: tempfile::TempDir,
    ports: [SocketAddr; 3],
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("castctl.yaml"), MANIFEST).expect("a file");
        Site { dir, ports: [local(); 3] }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The only log that there is yet.
    fn log(&self) -> PathBuf {
        generations(&self.data()).remove(0)
    }

    fn extent(&self) -> PathBuf {
        self.log().join("00000000.extent")
    }

    /// Starts a server, which pretends if it is told to.
    async fn up(&mut self, pretend: Option<&str>) -> Up {
        let mut command = castctl_up(&self.data());
        command.arg("--manifest").arg(self.dir.path().join("castctl.yaml"));
        for (flag, port) in ["--rtmp", "--viewers", "--admin"].iter().zip(self.ports) {
            command.arg(flag).arg(port.to_string());
        }
        if let Some(version) = pretend {
            command.env("CASTCTL_PRETEND_FORMAT", version);
        }
        let up = Up::run(command).await;
        self.ports = up.ports();
        up
    }

    /// Publishes the clip and has a viewer fetch what is listed: every media file by its URL.
    async fn published(&self, up: &Up) -> (Encoder, BTreeMap<Url, bytes::Bytes>) {
        let mut encoder = Encoder::connect(self.ports[0], KEY).await.expect("accepted");
        encoder.at_once(&clip::bbb()).await.expect("taken");
        let session = fetched::session(&up.base().parse().expect("a URL"), "main").await;
        let list = fetched::media_until(&session, "video", |p| p.segments.len() >= 4).await;
        let base = session.join("video/index.m3u8").expect("a URL");
        let mut seen = BTreeMap::new();
        for uri in list.segments.iter().filter_map(|s| s.uri.as_ref()) {
            let url = base.join(uri).expect("a URL");
            seen.insert(url.clone(), fetched::ok(url).await);
        }
        assert!(seen.len() >= 3, "{seen:?}");
        (encoder, seen)
    }
}

async fn stop(up: Up) -> Ended {
    up.process.signal(Signal::TERM);
    let ended = within("the end", up.process.ended()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended
}

fn wrote(extent: &Path) -> Wrote {
    let bytes = std::fs::read(extent).expect("an extent");
    let any = Range { oldest: 1, newest: u16::MAX };
    Header::decode_as(any, &bytes).expect("a header").wrote
}

/// How many records of the next version's are whole.
fn later_records(extent: &Path) -> usize {
    let mut found = 0;
    salvage(0, &std::fs::read(extent).expect("an extent").into(), &mut |piece| {
        if let Piece::Record(f) = piece {
            let Frame { kind, .. } = f.frame;
            found += usize::from(kind == kind::PRETENDED);
        }
    });
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_version_adds_is_skipped_by_every_reader() {
    let mut site = Site::new();
    let up = site.up(Some(&format!("{NEXT}-1"))).await;
    let (encoder, seen) = site.published(&up).await;
    up.process.signal(Signal::KILL);
    assert_eq!(up.process.ended().await.code, None, "killed");
    drop(encoder);
    let (log, extent) = (site.log().display().to_string(), site.extent());
    assert_eq!(wrote(&extent), Wrote { version: NEXT, oldest_reader: 1 });
    let added = later_records(&extent);
    assert!(added >= 4, "one for each segment: {added}");
    let open = castctl(&["inspect", &log]).await;
    assert_eq!(open.code, Some(0), "{}", open.out);
    assert!(open.out.contains("record(s) of kinds this version does not know"), "{}", open.out);

    // Recovery, and an edge that serves the same bytes.
    let mut up = site.up(None).await;
    up.process.says("sealed a log that lost its writer").await;
    for (url, bytes) in &seen {
        assert_eq!(&fetched::ok(url.clone()).await, bytes, "{url}");
    }
    stop(up).await;
    assert_eq!(wrote(&extent).version, NEXT, "sealed, not rewritten");
    assert_eq!(later_records(&extent), added);
    let nothing = castctl(&["repair", &log]).await;
    assert!(nothing.out.contains("nothing to repair"), "{} {}", nothing.out, nothing.err);

    // Replay makes the same log, export all the pictures.
    let copy = Server::start(vec![fast("copy", &[KEY])]).await;
    let done = replay(&[&log, &copy.publish_url(KEY), "--speed", "max"]).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_same(&site.data(), copy.stop().await.path()).await;
    let movie = site.dir.path().join("clip.mp4");
    let done = castctl(&["export", &log, "--to", &movie.display().to_string()]).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let words = format!("-i {} -map 0:v -f framemd5 -", movie.display());
    let shown = process::run(&mut process::ffmpeg(&words)).await;
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert!(shown.out.lines().filter(|l| !l.starts_with('#')).count() >= 200, "{}", shown.out);

    // Repair keeps them, and who wrote the extent.
    damage_a_picture(&site.log());
    assert_eq!(castctl(&["inspect", &log]).await.code, Some(1));
    let mended = castctl(&["repair", &log]).await;
    assert_eq!(mended.code, Some(0), "{}", mended.err);
    assert_eq!(wrote(&extent), Wrote { version: NEXT, oldest_reader: 1 });
    assert_eq!(later_records(&extent), added);
    let sound = castctl(&["inspect", &log]).await;
    assert_eq!(sound.code, Some(0), "{}", sound.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_version_changes_is_refused_by_every_reader_and_left_alone() {
    let mut site = Site::new();
    let up = site.up(Some(&format!("{NEXT}-{NEXT}"))).await;
    // Its own readers understand it.
    let (encoder, seen) = site.published(&up).await;
    encoder.finish().await;
    stop(up).await;
    let (log, extent) = (site.log().display().to_string(), site.extent());
    let before = std::fs::read(&extent).expect("an extent");
    let movie = site.dir.path().join("clip.mp4").display().to_string();
    let refused = &format!(
        "was written in format version {NEXT}, for readers of version {NEXT} or newer; this \
         castctl reads {}",
        Range::TODAY
    );
    for words in [
        vec!["inspect", &log],
        vec!["inspect", &log, "--json"],
        vec!["inspect", &log, "--timeline"],
        vec!["repair", &log],
        vec!["repair", &log, "--dry-run"],
        vec!["export", &log, "--to", &movie],
        vec!["replay", &log, "--digest"],
    ] {
        let ended = castctl(&words).await;
        assert_eq!(ended.code, Some(3), "{words:?}: {} {}", ended.out, ended.err);
        assert!(ended.err.contains(refused), "{words:?}: {}", ended.err);
        assert!(ended.err.contains("00000000.extent"), "{words:?}: {}", ended.err);
        assert!(!ended.err.contains("castctl repair"), "it is not damaged: {}", ended.err);
    }

    // An older build starts, says so, and goes on in a log of its own.
    let mut up = site.up(None).await;
    let (addr, base) = (site.ports[0], up.base().parse::<Url>().expect("a URL"));
    let mut encoder = Encoder::connect(addr, KEY).await.expect("accepted");
    let again = task::spawn("encoder", async move {
        let tags = clip::looped(&clip::bbb(), 60);
        encoder.real_time(&tags, |t| t).await
    });
    let session = fetched::session(&base, "main").await;
    fetched::media_until(&session, "video", |p| {
        p.segments.iter().filter(|s| s.uri.is_some() && !s.gap).count() >= 2
    })
    .await;
    let said = up.process.says(refused).await;
    assert!(said.lines().any(|l| l.contains(refused) && l.contains("ERROR")), "{said}");
    for url in seen.keys() {
        assert_eq!(fetched::get(url.clone()).await.status(), StatusCode::NOT_FOUND, "{url}");
    }
    again.abort();
    stop(up).await;
    assert_eq!(std::fs::read(&extent).expect("an extent"), before, "not a byte is changed");
    // A look at everything looks at what it may, and does not say that all is well.
    let all = castctl(&["inspect", &site.data().display().to_string()]).await;
    assert_eq!(all.code, Some(3), "{}", all.err);
    assert!(all.out.contains(refused) && all.out.contains("avc1"), "{}", all.out);

    // The later build reads both.
    let up = site.up(Some(&format!("{NEXT}-{NEXT}"))).await;
    for (url, bytes) in &seen {
        assert_eq!(&fetched::ok(url.clone()).await, bytes, "{url}");
    }
    stop(up).await;
}
