//! The agent on a virtual clock, with a store that takes its permission away for ten minutes.

use crate::cmd::collect::archive::Work;
use crate::cmd::collect::watch::{AGAIN_MAX, Watch, told};
use crate::collect::metrics::Uploads;
use crate::collect::retention::Policy;
use crate::collect::round::Options;
use crate::log::fixture::write_log;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::store::refusing::{Refused, refusing};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const OPTIONS: Options = Options { concurrency: 2, bandwidth: None, read_back: false };

/// How long permission is gone, in minutes.
const GONE: u64 = 10;

/// A node that records: once a minute another log is sealed in its data directory.
struct Node {
    made: TempDir,
    log: PathBuf,
    data: TempDir,
}

impl Node {
    async fn new() -> Node {
        let (made, data) = (tempfile::tempdir(), tempfile::tempdir());
        let (made, data) = (made.expect("a directory"), data.expect("a directory"));
        let log = write_log(made.path(), 1_000_000, true).await;
        std::fs::create_dir(data.path().join("logs")).expect("made");
        Node { made, log, data }
    }

    /// Files of the log whose name says so, by name.
    fn files(&self, of: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
        let names = std::fs::read_dir(&self.log).expect("listed").map(|e| e.expect("a name"));
        let names = names.filter_map(|e| e.file_name().into_string().ok()).filter(|n| of(n));
        names.map(|n| (n.clone(), std::fs::read(self.log.join(n)).expect("read"))).collect()
    }

    fn extents(&self) -> BTreeMap<String, Vec<u8>> {
        self.files(|name| name.ends_with(".extent"))
    }

    /// A log of the channel `c{n}` is there, as far as `of` says.
    fn has(&self, n: u64, of: impl Fn(&str) -> bool) {
        let dir = self.data.path().join(format!("logs/c{n}/s2/g3"));
        std::fs::create_dir_all(&dir).expect("made");
        for (name, bytes) in self.files(|name| name != "lock" && of(name)) {
            std::fs::write(dir.join(name), bytes).expect("written");
        }
    }

    /// What lies beside the log of channel `c{n}`, but for extents and their marks.
    fn beside(&self, n: u64) -> BTreeSet<String> {
        let dir = self.data.path().join(format!("logs/c{n}/s2/g3"));
        let names = std::fs::read_dir(dir).expect("listed").map(|e| e.expect("a name"));
        let names = names.filter_map(|e| e.file_name().into_string().ok());
        let own = |name: &str| name.ends_with(".extent") || name.ends_with(".collected");
        names.filter(|name| !own(name)).collect()
    }
}

/// The number behind a metric's name.
fn metric(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text().expect("text");
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("castctl_collect_{name} ")));
    line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{name}:\n{text}"))
}

async fn permission_is_lost(refused: Refused) {
    let (node, clock) = (Node::new().await, Clock::system());
    let (store, refusing) = refusing(&clock);
    let (ready, metrics) = (Ready::new(), Metrics::new());
    let (counted, latch) = (Uploads::register(&metrics), ready.latch("collect"));
    let (options, finish, policy) = (OPTIONS, Duration::from_secs(20), Policy::default());
    let data = node.data.path().to_owned();
    let work = Work { data, to: String::new(), options, policy, seal: None, finish, api: None };
    let bringing = work.with(store.clone(), &clock, told(&counted)).expect("a data directory");
    let mut watch = Watch::new(Arc::new(bringing), clock.clone(), counted, latch);
    let pause = async |time| clock.sleep_until(clock.now().mono.plus(time)).await;
    let minute = Duration::from_secs(60);
    let of_log = node.extents().len() as u64;
    assert!(of_log > 3, "{of_log} extents");
    let closed = || ready.readiness().waiting.first().map(|(_, why)| why.clone());

    let story = async |told: &Drain| {
        // Two extents of a log are there; the others follow when permission is gone.
        node.has(0, |name| name < "00000002");
        pause(minute).await;
        assert_eq!((metric(&metrics, "uploaded_extents_total"), closed()), (2, None));

        refusing.refuse(refused);
        node.has(0, |_| true);
        for n in 1..=GONE {
            node.has(n, |_| true);
            pause(minute).await;
            let why = closed().expect("it is not ready");
            assert!(why.contains("the store refuses: 403 Forbidden"), "{why}");
            assert!(metric(&metrics, "left_extents") >= (n - 1) * of_log);
        }
        let (left, asked) = (GONE * of_log + of_log - 2, refusing.asked());
        assert_eq!(metric(&metrics, "left_extents"), left);
        assert!(metric(&metrics, "left_bytes") > 0 && !ready.readiness().ready);
        // It goes on trying, oftener than once a minute, and soon no oftener than twice.
        let rounds = metric(&metrics, "failed_rounds_total");
        assert!((GONE..=2 * GONE + 10).contains(&rounds), "{rounds} rounds");
        // A round learns from the first refusals, however many logs wait.
        let most = rounds * OPTIONS.concurrency as u64 * 3;
        assert!((rounds..=most).contains(&asked.refused), "{} requests", asked.refused);
        assert_eq!(metric(&metrics, "uploaded_extents_total"), 2);

        refusing.refuse(Refused::Nothing);
        pause(AGAIN_MAX + Duration::from_secs(10)).await;
        assert_eq!((metric(&metrics, "left_extents"), metric(&metrics, "left_bytes")), (0, 0));
        assert_eq!(metric(&metrics, "uploaded_extents_total"), left + 2);
        assert!(ready.readiness().ready && closed().is_none(), "{:?}", ready.readiness());
        told.start();
    };
    let (told, cut) = (Drain::new(), Drain::new());
    tokio::join!(watch.rounds(&told, &cut), story(&told));

    let asked = refusing.asked();
    let extents = node.extents();
    for n in 0..=GONE {
        for (name, bytes) in &extents {
            let key = format!("c{n}/s2/g3/{name}");
            let there = store.range(&key, 0..bytes.len() as u64).await.expect("it is there");
            assert!(there == *bytes, "{key} is another one");
        }
        // Whatever was tried, nothing but the marks is new on the disk.
        assert_eq!(node.beside(n), sealed(&node), "c{n}");
    }
    assert!(asked.puts.values().all(|n| *n == 1), "put again: {:?}", asked.puts);
    let objects = (GONE + 1) * (of_log + 2);
    assert_eq!(asked.puts.len() as u64, objects, "extents, claims and ends: {:?}", asked.puts);
    let largest = extents.values().map(Vec::len).max().unwrap_or(0);
    assert!(asked.held_max <= OPTIONS.concurrency * largest, "{} bytes", asked.held_max);
    drop(node.made);
}

/// What a sealed log and its mark have beside the extents.
fn sealed(node: &Node) -> BTreeSet<String> {
    let own = |name: &str| !name.ends_with(".extent") && name != "lock";
    node.files(own).into_keys().chain(["collected".to_owned()]).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_permission_cost_nothing_and_are_told() {
    permission_is_lost(Refused::Everything).await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_permission_to_put_cost_nothing_and_are_told() {
    permission_is_lost(Refused::Puts).await;
}
