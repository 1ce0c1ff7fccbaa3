//! Disks that fill up or turn read-only under a running server: a small file system of its own in a
//! mount namespace of its own, which needs no privilege. The publisher is told why, readiness says
//! so, what is stored stays readable, and when the disk is well again so is everything else.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::process::{Up, run};
use crate::server::within;
use castctl::log::dir::LogDir;
use castctl::log::format::record::Record;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::media::timeline::mark::Mark;
use castctl::rtmp::error::SessionError;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const MANIFEST: &str = "\
channels:
  - name: main
    keys: [main-key-1]
    segment: 1s
    part: 200ms
    reconnectWindow: 8s
server:
  lowSpace: 8MiB
";

const KEY: &str = "main-key-1";

struct Site {
    up: Up,
    data: PathBuf,
    _dir: TempDir,
}

impl Site {
    /// A server whose data directory is a file system of 64 MiB; its logs, with `apart`, another.
    async fn start(apart: bool) -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, manifest) = (dir.path().join("data"), dir.path().join("castctl.yaml"));
        std::fs::create_dir(&data).expect("a directory");
        std::fs::write(&manifest, MANIFEST).expect("a file");
        let logs =
            if apart { "mkdir $1/logs && mount -t tmpfs -o size=64m x $1/logs &&" } else { "" };
        let script = format!(
            "mount -t tmpfs -o size=64m x $1 && {logs} exec $0 up --data $1 --manifest $2 \
             --rtmp 127.0.0.1:0 --viewers 127.0.0.1:0 --admin 127.0.0.1:0"
        );
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        command.arg(env!("CARGO_BIN_EXE_castctl")).arg(&data).arg(&manifest);
        command.env("NO_COLOR", "1").env_remove("CASTCTL_MANIFEST").env_remove("CASTCTL_DATA");
        Site { up: Up::run(command).await, data, _dir: dir }
    }

    fn rtmp(&self) -> SocketAddr {
        self.up.ports()[0]
    }

    fn base(&self) -> Url {
        self.up.base().parse().expect("a URL")
    }

    /// A path on the server's file system, as it is seen from here.
    fn inside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.up.process.pid()));
        root.join(self.data.strip_prefix("/").expect("absolute")).join(name)
    }

    /// Waits until `/readyz` answers so, with `text` in its body.
    async fn readiness(&self, status: StatusCode, text: &str) {
        let url = format!("http://{}/readyz", self.up.ports()[2]);
        within(text, async {
            loop {
                let answer = reqwest::get(&url).await.expect("an answer");
                let found = answer.status();
                let body = answer.text().await.expect("a body");
                if found == status && body.contains(text) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn remount(&self, how: &str) {
        let mut command = Command::new("nsenter");
        let pid = self.up.process.pid().to_string();
        command.args(["-t", &pid, "-U", "-m", "--preserve-credentials"]);
        command.args(["mount", "-o", &format!("remount,{how}")]).arg(self.data.join("logs"));
        let ended = run(&mut command).await;
        assert_eq!(ended.code, Some(0), "remount,{how}: {}", ended.err);
    }

    async fn publish(&self) -> Result<Encoder, SessionError> {
        Encoder::connect(self.rtmp(), KEY).await
    }

    async fn metric(&self, line: &str) -> bool {
        let url = format!("http://{}/metrics", self.up.ports()[2]);
        let text = reqwest::get(url).await.expect("an answer").text().await.expect("a body");
        text.lines().any(|l| l == line)
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    let block = vec![0; 64 << 10];
    while file.write_all(&block).is_ok() {}
}

/// Every picture with 20 kB more, as filler data (H.264 7.3.2.7): what is reserved is soon used up.
fn heavy(tags: &[Tag]) -> Vec<Tag> {
    let filler = [&20_000u32.to_be_bytes()[..], &[12], &[0xff; 19_998], &[0x80]].concat();
    let picture = |t: &Tag| t.kind == TagKind::Video && t.body.get(1) == Some(&1);
    let body = |t: &Tag| match picture(t) {
        true => [&t.body[..], &filler].concat().into(),
        false => t.body.clone(),
    };
    tags.iter().map(|t| Tag { body: body(t), ..t.clone() }).collect()
}

/// Publishes until the server ends it; its words.
async fn until_ended(encoder: &mut Encoder) -> String {
    let tags = heavy(&clip::looped(&clip::bbb(), 60));
    let ended = within("the end of the publish", encoder.real_time(&tags, |t| t)).await;
    ended.expect_err("the disk is full").to_string()
}

fn breaks(p: &Playlist) -> u64 {
    p.segments.iter().skip(1).map(|s| s.discontinuity).sum()
}

fn complete(p: &Playlist) -> usize {
    p.segments.iter().filter(|s| s.uri.is_some() && !s.gap).count()
}

/// Every complete segment that is listed can be fetched.
async fn stored(session: &Url) {
    let list = fetched::media_until(session, "video", |_| true).await;
    let base = session.join("video/index.m3u8").expect("a URL");
    assert!(complete(&list) >= 1);
    for uri in list.segments.iter().filter(|s| !s.gap).filter_map(|s| s.uri.as_ref()) {
        let answer = fetched::get(base.join(uri).expect("a URL")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{uri} is stored");
    }
}

/// A log that was closed as it should be, on a disk without room: its last record says how its
/// generation ended, and its footer follows.
async fn ended(dir: &Path) {
    let log = LogDir::open(dir).expect("a log");
    let last = *log.extents().last().expect("an extent");
    let footer = log.footer(last).expect("readable").expect("sealed");
    let mut records = log.read_from(last);
    let mut newest = None;
    while let Some(batch) = records.next().await.expect("a sound log") {
        newest = batch.records().last();
    }
    let newest = newest.expect("records");
    let Record::Mark(Mark::End(end)) = &newest.record else { panic!("{newest:?}") };
    assert_eq!((end.tracks.len(), end.session_over), (2, false));
    assert_eq!(newest.end, footer.end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_publish_and_room_takes_the_session_up_again() {
    let mut site = Site::start(false).await;
    site.readiness(StatusCode::OK, "serving").await;
    let mut encoder = site.publish().await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), 1);
    encoder.real_time(&tags[..tags.len() / 2], |t| t).await.expect("sent");
    let session = fetched::session(&site.base(), "main").await;
    drop(encoder);

    // An encoder that is connected while the disk fills up.
    let mut encoder = site.publish().await.expect("accepted");
    fill(&site.inside("filler"));
    let why = until_ended(&mut encoder).await;
    assert!(why.contains("NetStream.Publish.Failed"), "{why}");
    assert!(why.contains("No space left on device"), "{why}");
    site.up.process.says("the log has stopped").await;
    site.readiness(StatusCode::SERVICE_UNAVAILABLE, "free, less than the").await;
    assert!(site.metric("castctl_log_disk_low 1").await);
    stored(&session).await;
    for _ in 0..3 {
        let refused = site.publish().await.err().expect("refused").to_string();
        assert!(refused.contains("NetStream.Publish.Failed"), "{refused}");
        assert!(refused.contains("free, less than the"), "{refused}");
    }
    assert_eq!(site.up.process.said().matches("granted").count(), 1, "no generation is wasted");
    site.up.process.says("ended badly").await;
    ended(&site.inside("logs/main/s1/g1")).await;

    // Room again: gaps first, then the encoder's return.
    std::fs::remove_file(site.inside("filler")).expect("removed");
    site.readiness(StatusCode::OK, "serving").await;
    site.up.process.says("the session is taken up").await;
    let mut encoder = site.publish().await.expect("accepted without a restart");
    let back = castctl::rt::task::spawn("encoder", async move {
        let why = until_ended(&mut encoder).await;
        assert!(why.contains("No space left on device"), "{why}");
    });
    let list =
        fetched::media_until(&session, "video", |p| breaks(p) >= 1 && complete(p) >= 3).await;
    let first = list.segments.first().expect("segments").msn;
    assert!(list.segments.iter().enumerate().all(|(i, s)| s.msn == first + i as u64));

    // Full again, and this time for longer than the session waits.
    fill(&site.inside("filler"));
    assert!(within("the end", back).await.expect("joined").is_some());
    fetched::media_until(&session, "video", |p| p.ended).await;
    stored(&session).await;
    site.up.process.signal(Signal::TERM);
    assert_eq!(within("the end", site.up.process.ended()).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_takes_no_publish_and_serves_what_it_has() {
    let mut site = Site::start(true).await;
    let mut encoder = site.publish().await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), 1);
    encoder.real_time(&tags[..tags.len() / 2], |t| t).await.expect("sent");
    let session = fetched::session(&site.base(), "main").await;
    encoder.finish().await;
    // The session waits for its encoder, and then no log is open any more.
    fetched::media_until(&session, "video", |p| p.ended).await;
    site.up.process.says("ended").await;
    site.remount("ro").await;
    site.readiness(StatusCode::SERVICE_UNAVAILABLE, "is read-only").await;
    let refused = site.publish().await.err().expect("refused").to_string();
    assert!(refused.contains("NetStream.Publish.Failed"), "{refused}");
    assert!(refused.contains("is read-only: remount it for writing"), "{refused}");
    stored(&session).await;
    site.remount("rw").await;
    site.readiness(StatusCode::OK, "serving").await;
    let mut encoder = site.publish().await.expect("accepted again");
    encoder.real_time(&tags[..tags.len() / 4], |t| t).await.expect("sent");
    site.up.process.signal(Signal::TERM);
    assert_eq!(within("the end", site.up.process.ended()).await.code, Some(0));
}
