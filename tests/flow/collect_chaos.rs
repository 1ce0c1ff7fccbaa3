//! `kill -9` of a node's origin, its agent and its collector, at random moments, under ten
//! publishers. Then everything is read back: each log is in the bucket as it lies on the disk, byte
//! for byte, and in it each packet that a publisher was told is taken.
//!
//! `COLLECT_KILLS` says how often (default 16; `scripts/collect-chaos` kills 200 times), and
//! `COLLECT_SEED` whom and when. A second reader looks at the bucket all the while.

use crate::bucket::{Moto, Proxy};
use crate::chaos::encoders::{self, Publish, Shared};
use crate::chaos::link::own_port;
use crate::clip;
use crate::cluster::{Cluster, kill, stop};
use crate::collected::{extents, is_whole, only_once, url};
use crate::process::{Up, castctl as run_castctl};
use crate::rewound::regular;
use crate::server::{PATIENCE, within};
use bytes::Bytes;
use castctl::base::random::Random;
use castctl::base::time::Wall;
use castctl::collect::marks::{Mark, of_extent};
use castctl::log::format::record::Record;
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use castctl::log::subscription::From;
use castctl::media::flv::file::Tag;
use castctl::rt::clock::Clock;
use castctl::rt::task;
use castctl::store::port::Store;
use castctl::store::sum::Sum;
use hyper::Method;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHANNELS: usize = 10;

/// Kills of CI's run.
const KILLS: u64 = 16;

/// Longest pause between two kills, milliseconds: a round of the collector takes about so long.
const PAUSE: u64 = 2_400;

/// Media of an extent, as long as a segment: several are sealed between two kills of the origin.
const EXTENT: &str = "--extent=1s";

/// More memory no collector takes: four requests of at most 8 MiB each, and the program itself.
const MEMORY: u64 = 128 << 20;

/// Times that count on over a publisher's connections are not needed: each has its own million of
/// milliseconds (`chaos/encoders.rs`), and what is below it is the clip's.
const STEP: i64 = 1 << 20;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |v| v.parse().expect("a number"))
}

fn key(channel: usize) -> String {
    format!("collect-key-{channel}")
}

fn manifest() -> String {
    let channel = |n| {
        format!(
            "  - name: c{n}\n    keys: [{}]\n    segment: 1s\n    targetDuration: 2s\n    \
             part: 200ms\n    latencyBudget: 200ms\n    reconnectWindow: 60s\n",
            key(n)
        )
    };
    "channels:\n".to_owned() + &(0..CHANNELS).map(channel).collect::<String>()
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Collector,
    Origin,
    Agent,
}

impl Who {
    fn any(random: &mut Random) -> Who {
        match random.below(10) {
            0..=5 => Who::Collector,
            6 | 7 => Who::Origin,
            _ => Who::Agent,
        }
    }
}

/// One node of a cluster, with its agent and its collector, and the bucket.
struct Site {
    cluster: Cluster,
    proxy: Proxy,
    moto: Moto,
    rtmp: SocketAddr,
    running: BTreeMap<Who, Up>,
    kills: BTreeMap<Who, u64>,
    /// The most memory that a collector had when it was killed.
    memory: u64,
}

impl Site {
    async fn start() -> Site {
        let text = manifest();
        let (moto, cluster) = tokio::join!(Moto::start(), Cluster::of_a_manifest(&text, ""));
        let (proxy, rtmp) = (Proxy::before(moto.addr).await, own_port());
        let (running, kills) = (BTreeMap::new(), BTreeMap::new());
        let mut site = Site { cluster, proxy, moto, rtmp, running, kills, memory: 0 };
        for who in [Who::Origin, Who::Agent, Who::Collector] {
            let up = site.begin(who).await;
            site.running.insert(who, up);
        }
        site
    }

    async fn begin(&self, who: Who) -> Up {
        let data = format!("--data={}", self.cluster.dir("one").display());
        let (rtmp, to) = (format!("--rtmp={}", self.rtmp), url("archive"));
        let words: &[&str] = match who {
            Who::Origin => &["ingest", "--node=one", "--internal=127.0.0.1:0", &rtmp, EXTENT],
            Who::Agent => &["collect", "--serve-only", "--node=agent", "--internal=127.0.0.1:0"],
            Who::Collector => &["collect", "--watch", "--to", &to],
        };
        let words = [words, &[&data]].concat();
        self.cluster.lasting(&words, &self.proxy.settings()).await
    }

    /// Kills one and starts it again.
    async fn strike(&mut self, who: Who) {
        let up = self.running.remove(&who).expect("it runs");
        if who == Who::Collector {
            self.memory = self.memory.max(memory(&up));
        }
        kill(up).await;
        *self.kills.entry(who).or_default() += 1;
        let up = self.begin(who).await;
        self.running.insert(who, up);
    }

    /// Ends the node in good order, and collects until nothing is left.
    async fn end(&mut self) -> Value {
        let mut running = std::mem::take(&mut self.running);
        let collector = running.remove(&Who::Collector).expect("it runs");
        self.memory = self.memory.max(memory(&collector));
        for who in [Who::Origin, Who::Agent] {
            stop(running.remove(&who).into_iter().collect()).await;
        }
        kill(collector).await;
        let (data, to) = (self.cluster.dir("one").display().to_string(), url("archive"));
        let words = ["collect", "--once", "--seal", "--json", "--to", &to, "--data", &data];
        within("nothing to be left", async {
            loop {
                let ended = self.cluster.tool(&words, &self.proxy.settings()).await;
                let said: Value = serde_json::from_str(&ended.out).unwrap_or_default();
                if ended.code == Some(0) && said["left"] == 0 && said["open"] == 0 {
                    return said;
                }
            }
        })
        .await
    }
}

/// The most memory that a process has had.
fn memory(up: &Up) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", up.process.pid()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// The publishers, and what each was told is taken.
struct Publishers {
    records: Vec<Shared>,
    tasks: Vec<JoinHandle<Option<()>>>,
    stop: watch::Sender<bool>,
}

impl Publishers {
    fn begin(rtmp: SocketAddr, tags: &Arc<Vec<Tag>>) -> Publishers {
        let (stop, stopped) = watch::channel(false);
        let clock = Clock::system();
        let (mut records, mut tasks) = (Vec::new(), Vec::new());
        for n in 0..CHANNELS {
            let (key, tags, clock) = (key(n), Arc::clone(tags), clock.clone());
            let publish = Publish { rtmp, key, tags, goes_on: false, clock };
            let record = Shared::default();
            let task = encoders::publish(publish, record.clone(), stopped.clone());
            tasks.push(task::spawn(format!("publisher {n}"), task));
            records.push(record);
        }
        Publishers { records, tasks, stop }
    }

    fn taken(&self) -> Vec<usize> {
        self.records.iter().map(|r| r.get().acknowledged.len()).collect()
    }

    /// Waits until more is taken of each.
    async fn all_on_air(&self) {
        let before = self.taken();
        let all = async {
            while self.taken().iter().zip(&before).any(|(now, before)| now <= before) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            let words: Vec<_> = self.records.iter().map(|r| r.get().words.clone()).collect();
            panic!("somebody is off the air: {before:?}, {:?}: {words:#?}", self.taken());
        }
    }

    async fn end(&mut self) {
        self.stop.send_replace(true);
        for task in self.tasks.drain(..) {
            within("a publisher to end", task).await.expect("not aborted").expect("no panic");
        }
    }
}

/// Looks at the bucket until it is told to end: whatever is listed is whole, always. All that was
/// seen, with its checksum.
async fn looks(store: Store, stop: watch::Receiver<bool>) -> BTreeMap<String, Sum> {
    let mut seen = BTreeMap::new();
    loop {
        let last = *stop.borrow();
        for entry in store.list("", None).await.expect("listed") {
            if seen.contains_key(&entry.key) {
                continue;
            }
            let facts = store.head(&entry.key).await.expect("listed, so it is there");
            let bytes = store.range(&entry.key, 0..facts.bytes).await.expect("read");
            let sum = Sum::of(&bytes);
            assert_eq!((facts.bytes, facts.sum), (entry.bytes, Some(sum)), "{}", entry.key);
            seen.insert(entry.key, sum);
        }
        if last {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The bytes of every object as files of a data directory.
async fn copied(store: &Store) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for entry in store.list("", None).await.expect("listed") {
        let path = dir.path().join("logs").join(&entry.key);
        std::fs::create_dir_all(path.parent().expect("a log's directory")).expect("made");
        let bytes = store.range(&entry.key, 0..entry.bytes).await.expect("read");
        std::fs::write(path, bytes).expect("written");
    }
    dir
}

/// What the logs of a data directory have of each channel, each packet compared with what was
/// sent. The number of logs with it.
async fn packets(data: &Path, tags: &[Tag]) -> (BTreeMap<String, HashSet<encoders::Id>>, usize) {
    let sent = clip::units(tags).into_iter().map(|u| ((u.track, u.dts), u.payload));
    let sent: HashMap<encoders::Id, Bytes> = sent.collect();
    let logs = Logs::open(data, Options::default()).expect("the copy");
    let (all, mut found) = (logs.list().await.expect("logs"), BTreeMap::new());
    for log in &all {
        assert!(log.sealed, "{}", log.id);
        let of: &mut HashSet<_> = found.entry(log.id.channel.to_string()).or_default();
        let mut reader = logs.subscribe(&log.id, From::Start).expect("a log");
        while let Some(batch) = reader.next().await.expect("a sound log") {
            for entry in batch.records() {
                let Record::Packet { packet, .. } = entry.record else { continue };
                let was = sent.get(&(packet.track, packet.dts % STEP));
                assert_eq!(was, Some(&packet.payload), "{}: {}", log.id, packet.dts);
                of.insert((packet.track, packet.dts));
            }
        }
    }
    (found, all.len())
}

/// Objects whose bytes were sent though their mark was written: their names. With it, how many
/// times bytes were sent in all, and how often the store refused them, because they were there.
fn repeated(proxy: &Proxy, data: &Path) -> (Vec<String>, usize, usize) {
    let (mut late, mut sent, mut refused) = (Vec::new(), 0, 0);
    for put in proxy.asked().iter().filter(|a| a.method == Method::PUT && a.bytes > 0) {
        (sent, refused) = (sent + 1, refused + usize::from(!put.acknowledged));
        let (_, name) = put.path.split_once("/archive/").expect("an object's path");
        let Some(extent) = name.strip_suffix(".extent") else { continue };
        let (log, extent) = extent.rsplit_once('/').expect("an extent of a log");
        let mark = of_extent(&data.join("logs").join(log), extent.parse().expect("its number"));
        let written = mark.metadata().and_then(|m| m.modified()).expect("all are marked");
        let micros = written.duration_since(UNIX_EPOCH).expect("not so long ago").as_micros();
        if put.at > Wall(micros as i64) {
            late.push(name.to_owned());
        }
        assert_eq!(Mark::read(&mark).map(|m| m.to), Some(url("archive")));
    }
    (late, sent, refused)
}

/// What castctl itself reads of each session, here and there, is the same, and all of it is known
/// from the bucket alone.
async fn the_same_there(site: &Site) {
    let settings = site.proxy.settings();
    let words = ["collect", "--rebuild-catalog", &url("archive"), "--json"];
    let ended = site.cluster.tool(&words, &settings).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let catalog: Value = serde_json::from_str(&ended.out).expect("JSON");
    let logs = catalog["logs"].as_array().expect("logs");
    assert!(logs.iter().all(|log| log["whole"] == true), "{catalog}");
    for n in 0..CHANNELS {
        let here = site.cluster.dir("one").join(format!("logs/c{n}/s1")).display().to_string();
        let there = format!("{}/c{n}/s1", url("archive"));
        let here = run_castctl(&["replay", &here, "--digest", "--json"]).await;
        let mut command = crate::process::plain();
        command.args(["replay", &there, "--digest", "--json"]).envs(settings.iter().cloned());
        let there = crate::process::run(&mut command).await;
        assert_eq!((here.code, there.code), (Some(0), Some(0)), "{}\n{}", here.err, there.err);
        assert_eq!(here.out, there.out, "c{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_of_a_node_all_of_it_is_in_the_bucket_once() {
    let (kills, seed) = (number("COLLECT_KILLS", KILLS), number("COLLECT_SEED", 1));
    let mut site = Site::start().await;
    // A key frame every second, and longer than any publisher is on air.
    let clip = regular(site.cluster.dir("").as_path(), 10).await;
    let tags = Arc::new(clip::looped(&clip, 1_000));
    let mut publishers = Publishers::begin(site.rtmp, &tags);
    let (tell, told) = watch::channel(false);
    let own = Proxy::before(site.moto.addr).await.store("archive");
    let looking = task::spawn("a look at the bucket", looks(own.clone(), told));
    publishers.all_on_air().await;
    let mut random = Random::new(seed);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.below(PAUSE))).await;
        let who = Who::any(&mut random);
        if who == Who::Origin {
            publishers.all_on_air().await;
        }
        site.strike(who).await;
    }
    publishers.all_on_air().await;
    publishers.end().await;
    let said = site.end().await;
    tell.send_replace(true);
    let seen = within("the last look", looking).await.expect("not aborted").expect("no panic");

    let data = site.cluster.dir("one");
    let (copy, here) = (copied(&own).await, extents(&data));
    let (found, logs) = packets(copy.path(), &tags).await;
    let taken: Vec<(String, Vec<encoders::Id>)> = (publishers.records.iter().enumerate())
        .map(|(n, r)| (format!("c{n}"), std::mem::take(&mut r.get().acknowledged)))
        .collect();
    let has = |c: &String, id| found.get(c).is_some_and(|of| of.contains(id));
    let missing: Vec<_> =
        taken.iter().flat_map(|(c, ids)| ids.iter().filter(move |id| !has(c, id))).collect();
    let (late, sent, refused) = repeated(&site.proxy, &data);
    let bytes: usize = here.values().map(Vec::len).sum();
    writeln!(
        std::io::stderr(),
        "seed {seed}, kills {:?}, publishers {CHANNELS}; logs {logs}, extents {} ({bytes} bytes); \
         packets in them {}, acknowledged {}, of them missing {}; put with bytes {sent} times, \
         refused because there {refused}, after their mark {}; memory of a collector {} MiB",
        site.kills,
        here.len(),
        found.values().map(HashSet::len).sum::<usize>(),
        taken.iter().map(|(_, ids)| ids.len()).sum::<usize>(),
        missing.len(),
        late.len(),
        site.memory >> 20
    )
    .expect("stderr");
    assert_eq!(site.kills.len(), 3, "each was killed");
    assert!(logs > CHANNELS && here.len() > 3 * logs / 2, "{logs} logs, {} extents", here.len());
    assert!(taken.iter().all(|(_, ids)| !ids.is_empty()), "something was taken of each");
    assert!(missing.is_empty(), "acknowledged, and not in the bucket: {missing:?}");
    is_whole(&own, &data).await;
    only_once(&site.proxy);
    assert!(late.is_empty(), "put again though marked: {late:?}");
    for (name, bytes) in &here {
        assert_eq!(seen.get(name), Some(&Sum::of(bytes)), "{name} was another one before");
    }
    assert!(
        said["logs"].as_array().is_some_and(|l| l.iter().all(|l| l["whole"] == true)),
        "{said}"
    );
    assert!(site.memory > 0 && site.memory < MEMORY, "{} bytes", site.memory);
    the_same_there(&site).await;
    stop(std::mem::take(&mut site.cluster.apis)).await;
}
