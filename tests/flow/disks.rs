//! Disks that fill up or turn read-only under a running server: a small file system of its own in a
//! mount namespace of its own, which needs no privilege. The publisher is told why, readiness says
//! so, what is stored stays readable, and when the disk is well again so is everything else.
//!
//! `mount -o remount,ro` is refused while a log is being written. What turns a disk read-only under
//! open files is the kernel, when it finds the file system broken (`errors=remount-ro`); that is a
//! file system of the tests here, behind the door that the server has for it.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::process::{Up, run};
use crate::server::{KEY, Server, brisk, within};
use castctl::cmd::recorder::Recording;
use castctl::log::dir::LogDir;
use castctl::log::format::record::Record;
use castctl::log::format::version::Wrote;
use castctl::log::fs::{Disk, FileSystem, Lock, LogFile, Open};
use castctl::media::timeline::mark::Mark;
use castctl::rtmp::error::SessionError;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        command.env("CASTCTL_INTERNAL", "127.0.0.1:0");
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

    /// See [`readiness`].
    async fn readiness(&self, status: StatusCode, text: &str) {
        readiness(self.up.ports()[2], status, text).await;
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

/// Waits until `/readyz` answers so, with `text` in its body.
async fn readiness(admin: SocketAddr, status: StatusCode, text: &str) {
    let url = format!("http://{admin}/readyz");
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

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    let block = vec![0; 64 << 10];
    while file.write_all(&block).is_ok() {}
}

/// Publishes until the server ends it; its words.
async fn until_ended(encoder: &mut Encoder) -> String {
    let tags = clip::heavy(&clip::looped(&clip::bbb(), 60));
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

/// The machine's disk, which turns read-only under open files while this says so.
#[derive(Debug, Clone, Default)]
struct Turning(Arc<AtomicBool>);

impl Turning {
    fn turn(&self, read_only: bool) {
        self.0.store(read_only, Ordering::SeqCst);
    }

    fn writable(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(rustix::io::Errno::ROFS.into()),
            false => Ok(()),
        }
    }
}

impl FileSystem for Turning {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        match dir.is_dir() {
            true => Ok(()),
            false => self.writable().and_then(|()| Disk.create_dir_all(dir)),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        if how != Open::Read {
            self.writable()?;
        }
        let file = Disk.open(path, how)?;
        Ok(Arc::new(TurningFile { file, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.writable().and_then(|()| Disk.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.writable().and_then(|()| Disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        self.writable().and_then(|()| Disk.lock(path))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        Disk.free_space(dir)
    }

    fn stamp(&self, path: &Path) -> io::Result<u64> {
        Disk.stamp(path)
    }

    fn is_read_only(&self, _dir: &Path) -> io::Result<bool> {
        Ok(self.writable().is_err())
    }
}

#[derive(Debug)]
struct TurningFile {
    file: Arc<dyn LogFile>,
    disk: Turning,
}

impl LogFile for TurningFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bufs: &[&[u8]], offset: u64) -> io::Result<()> {
        self.disk.writable().and_then(|()| self.file.write_at(bufs, offset))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.writable().and_then(|()| self.file.truncate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.writable().and_then(|()| self.file.sync_data())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.writable().and_then(|()| self.file.allocate(offset, len))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_ends_the_publish_and_recovers_with_it() {
    let disk = Turning::default();
    let recording = Recording { disk: Arc::new(disk.clone()), ..Recording::new(Wrote::TODAY) };
    let server = Server::on(recording, vec![brisk("main", &[KEY])], |_| ()).await;
    readiness(server.admin, StatusCode::OK, "serving").await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let publish = castctl::rt::task::spawn("encoder", async move {
        let tags = clip::looped(&clip::bbb(), 60);
        encoder.real_time(&tags, |t| t).await.expect_err("the disk is read-only").to_string()
    });
    let session = fetched::session(&server.url("/"), "main").await;
    fetched::media_until(&session, "video", |p| complete(p) >= 2).await;
    disk.turn(true);
    let why = within("the end of the publish", publish).await.expect("joined").expect("no panic");
    assert!(why.contains("NetStream.Publish.Failed"), "{why}");
    assert!(why.contains("Read-only file system"), "{why}");
    readiness(server.admin, StatusCode::SERVICE_UNAVAILABLE, "is read-only").await;
    let refused = Encoder::connect(server.rtmp, KEY).await.err().expect("refused").to_string();
    assert!(refused.contains("is read-only: remount it for writing"), "{refused}");
    stored(&session).await;
    let before = fetched::media_until(&session, "video", |_| true).await;
    let listed = before.segments.iter().filter(|s| s.uri.is_some()).map(|s| s.msn).max();

    disk.turn(false);
    readiness(server.admin, StatusCode::OK, "serving").await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted again");
    let tags = clip::looped(&clip::bbb(), 4);
    encoder.real_time(&tags, |t| t).await.expect("taken");
    let back = |p: &Playlist| {
        let last = p.segments.last().is_some_and(|s| !s.gap);
        breaks(p) >= 1 && complete(p) >= 3 && last
    };
    let list = fetched::media_until(&session, "video", back).await;
    let msns: Vec<u64> = list.segments.iter().map(|s| s.msn).collect();
    assert!(msns.windows(2).all(|w| w[1] == w[0] + 1), "{msns:?}");
    assert!(msns.last().copied() > listed, "numbers go on: {msns:?} behind {listed:?}");
    stored(&session).await;
    encoder.finish().await;
    server.stop().await;
}
