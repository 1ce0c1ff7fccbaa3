//! `kill -9` again and again under twenty publishers, every one of them and the server a process of
//! its own. What is lost is measured from the readers' own record of what they were shown.
//!
//! `CRASH_LOOP_KILLS` says how often (default 10; `scripts/crash-loop` kills 100 times), and
//! `CRASH_LOOP_SEED` when.

use crate::clip;
use crate::fetched;
use crate::oracle::ledger::resolve;
use crate::oracle::playlist::{self, Playlist};
use crate::process::{Process, Up};
use crate::server::{PATIENCE, local, within};
use castctl::rt::task;
use reqwest::{Client, StatusCode, Url};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

const CHANNELS: usize = 20;

/// Media fetched by all readers together between everybody's return and the next kill: from none to
/// about three seconds of it, so that kills fall anywhere in a part, a segment and an extent.
const BETWEEN: u64 = 600;

/// Pause before asking again for what is not there.
const RETRY: Duration = Duration::from_millis(50);

/// A media URL that a reader was shown.
#[derive(Clone, Copy)]
enum Shown {
    /// In a playlist; the server died before it was fetched.
    Listed,
    /// Fetched: its length and a hash of its bytes.
    Fetched(u64, u64),
}

/// What all readers were shown, and how many media each channel has given them.
struct Record {
    media: Mutex<BTreeMap<String, Shown>>,
    fetched: watch::Sender<[u64; CHANNELS]>,
}

impl Record {
    fn media(&self) -> MutexGuard<'_, BTreeMap<String, Shown>> {
        self.media.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a playlist lists this; false when it has been fetched already.
    fn is_new(&self, path: &str) -> bool {
        let before = *self.media().entry(path.to_owned()).or_insert(Shown::Listed);
        matches!(before, Shown::Listed)
    }
}

fn hash(bytes: &[u8]) -> Shown {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Shown::Fetched(bytes.len() as u64, hasher.finish())
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| v.parse().expect("a number"))
}

fn manifest() -> String {
    let channel = |n| {
        format!(
            "  - name: c{n}\n    keys: [crash-loop-{n}]\n    segment: 1s\n    \
             targetDuration: 2s\n    part: 200ms\n    latencyBudget: 200ms\n"
        )
    };
    "channels:\n".to_owned() + &(0..CHANNELS).map(channel).collect::<String>()
}

/// Publishes the clip for ever, by a new process whenever the last one lost its server.
async fn publisher(rtmp: SocketAddr, number: usize) {
    let mut pause = tokio::time::interval(RETRY);
    loop {
        pause.tick().await;
        if tokio::net::TcpStream::connect(rtmp).await.is_err() {
            continue;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
        let url = format!("rtmp://{rtmp}/live/crash-loop-{number}");
        command.args(["replay", "--loop"]).arg(clip::fixture()).arg(url);
        Process::start(&mut command).ended_within(Duration::MAX).await;
    }
}

async fn body(http: &Client, url: Url) -> Option<bytes::Bytes> {
    let answer = http.get(url).send().await.ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    answer.bytes().await.ok()
}

/// Follows one rendition at the live edge and notes what it is shown.
async fn reader(http: Client, list: Url, channel: usize, record: Arc<Record>) {
    let mut ask = list.clone();
    let mut pause = tokio::time::interval(RETRY);
    loop {
        let Some(text) = body(&http, std::mem::replace(&mut ask, list.clone())).await else {
            pause.tick().await;
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        let read = playlist::parse(&text).unwrap_or_else(|e| panic!("{list}: {e}:\n{text}"));
        for path in media_of(&read, &list) {
            if !record.is_new(&path) {
                continue;
            }
            let url = list.join(&path).expect("a URL");
            if let Some(bytes) = body(&http, url).await {
                record.media().insert(path, hash(&bytes));
                record.fetched.send_modify(|f| f[channel] += 1);
            }
        }
        if let Some((msn, part)) = read.next() {
            ask.set_query(Some(&format!("_HLS_msn={msn}&_HLS_part={part}")));
        }
    }
}

/// The paths of the parts and segments that a playlist lists.
fn media_of(read: &Playlist, list: &Url) -> Vec<String> {
    let mut out = Vec::new();
    for s in &read.segments {
        out.extend(s.parts.iter().filter(|p| !p.gap).map(|p| p.uri.clone()));
        out.extend(s.uri.iter().filter(|_| !s.gap).cloned());
    }
    out.iter().map(|uri| resolve(list.path(), uri)).collect()
}

/// Waits until every channel has given its readers something new.
async fn all_back(record: &Record, up: &Up) {
    let mut fetched = record.fetched.subscribe();
    let before = *fetched.borrow();
    let back = fetched.wait_for(|now| now.iter().zip(&before).all(|(n, b)| n > b));
    let back = tokio::time::timeout(PATIENCE, back).await;
    if back.is_err() {
        let now = *record.fetched.borrow();
        panic!(
            "not every channel came back; media fetched before {before:?}, after {now:?}; \
            the server said:\n{}",
            up.process.said()
        );
    }
}

async fn fetch_more(record: &Record, count: u64) {
    let mut fetched = record.fetched.subscribe();
    let aim = fetched.borrow().iter().sum::<u64>() + count;
    let enough = fetched.wait_for(|now| now.iter().sum::<u64>() >= aim);
    within("more media", enough).await.expect("the record outlives its readers");
}

/// Asks once more for all that was shown; the paths that are missing or differ.
async fn lost(http: &Client, base: &Url, record: &Record) -> Vec<String> {
    let shown = record.media().clone();
    let mut lost = Vec::new();
    for (path, before) in shown {
        let again = body(http, base.join(&path).expect("a URL")).await;
        let same = match (again.as_deref().map(hash), before) {
            (Some(Shown::Fetched(..)), Shown::Listed) => true,
            (Some(Shown::Fetched(l, h)), Shown::Fetched(len, sum)) => (l, h) == (len, sum),
            _ => false,
        };
        if !same {
            lost.push(path);
        }
    }
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_nothing_anyone_was_shown() {
    let (kills, mut seed) = (number("CRASH_LOOP_KILLS", 10), number("CRASH_LOOP_SEED", 1) | 1);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("castctl.yaml");
    std::fs::write(&file, manifest()).expect("a manifest");
    let data = dir.path().join("data");
    let mut up = Up::start(&data, Some(&file), [local(); 3]).await;
    let ports = up.ports();
    let base: Url = up.base().parse().expect("a URL");
    let publishers: Vec<_> =
        (0..CHANNELS).map(|n| task::spawn("publisher", publisher(ports[0], n))).collect();
    let record =
        Arc::new(Record { media: Mutex::default(), fetched: watch::Sender::new([0; CHANNELS]) });
    let http = fetched::client();
    let mut readers = Vec::new();
    for n in 0..CHANNELS {
        let session = fetched::session(&base, &format!("c{n}")).await;
        for rendition in ["video", "audio"] {
            let list = session.join(&format!("{rendition}/index.m3u8")).expect("a URL");
            readers.push(task::spawn("reader", reader(http.clone(), list, n, record.clone())));
        }
    }
    let mut said = String::new();
    for _ in 0..kills {
        all_back(&record, &up).await;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        fetch_more(&record, (seed >> 33) % BETWEEN).await;
        up.process.signal(Signal::KILL);
        let ended = up.process.ended().await;
        assert_eq!(ended.code, None, "killed");
        said += &ended.err;
        up = Up::start(&data, Some(&file), ports).await;
    }
    all_back(&record, &up).await;
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    said += &up.process.said();
    let sealed = said.matches("sealed a log that lost its writer").count();
    let cut = said.matches("cut_bytes=").count() - said.matches("cut_bytes=0").count();
    let lost = lost(&http, &base, &record).await;
    let shown = record.media().len();
    let size = |s: &Shown| if let Shown::Fetched(size, _) = s { *size } else { 0 };
    let bytes: u64 = record.media().values().map(size).sum();
    writeln!(
        std::io::stderr(),
        "kills {kills}, publishers {CHANNELS}, logs sealed after a kill {sealed}, of them cut \
         {cut}; media shown {shown} ({bytes} bytes), of them lost or changed {}",
        lost.len()
    )
    .expect("stderr");
    assert!(shown as u64 > kills * CHANNELS as u64, "{shown} media were shown");
    assert!(lost.is_empty(), "lost or changed: {lost:?}");
    publishers.iter().for_each(tokio::task::JoinHandle::abort);
    up.process.signal(Signal::TERM);
    assert_eq!(up.process.ended_within(PATIENCE).await.code, Some(0));
}
