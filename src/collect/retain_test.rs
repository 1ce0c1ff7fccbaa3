//! Rounds of removal behind rounds of collecting, on a disk.

use crate::collect::marks::{self, Head};
use crate::collect::retain::Retainer;
use crate::collect::retention::Policy;
use crate::collect::round::{Collector, Options};
use crate::collect::summary::Summary;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::fixture::write_log;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::store::open::in_memory;
use crate::store::port::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const NOW: Policy = Policy { keep: Some(Duration::ZERO), free: None };

struct Site {
    data: TempDir,
    dir: PathBuf,
    store: Store,
}

impl Site {
    /// A log of several extents and an empty bucket.
    async fn new(seal: bool) -> Site {
        let data = tempfile::tempdir().expect("a directory");
        let dir = write_log(data.path(), 2_000_000, seal).await;
        Site { data, dir, store: in_memory() }
    }

    async fn collected(&self) -> Summary {
        let options = Options { concurrency: 2, bandwidth: None, read_back: false };
        let (store, clock) = (self.store.clone(), Clock::system());
        let collector = Collector::new(self.data.path(), store, options, clock, Arc::new(|_| ()));
        collector.round(&Drain::new()).await.expect("listed")
    }

    fn retainer(&self, to: &str, policy: Policy) -> Retainer {
        Retainer::new(self.data.path(), to, policy, Clock::system())
    }

    /// A round of both.
    async fn round(&self, policy: Policy) -> Summary {
        self.retainer(self.store.url(), policy).round(self.collected().await).await
    }

    fn extents(&self) -> Vec<u32> {
        LogDir::open(&self.dir).expect("a log").extents().to_vec()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_loses_its_head_and_is_collected_on() {
    let site = Site::new(false).await;
    let n = site.extents().len() as u32;
    assert!(n > 3, "{n} extents");
    let kept = site.round(Policy { keep: Some(Duration::from_secs(3600)), free: None }).await;
    assert_eq!((kept.uploaded, kept.removed, site.extents().len() as u32), (n as u64 - 1, 0, n));
    let roomy = Policy { keep: None, free: Some(1) };
    assert_eq!(site.round(roomy).await.removed, 0);
    // Room that no disk has: everything is younger than the floor.
    let short = site.round(Policy { keep: None, free: Some(u64::MAX) }).await;
    let why = short.kept.clone().expect("it says so");
    assert!(why.contains("and nothing more may be removed") && short.is_short(), "{why}");
    assert_eq!((short.removed, site.extents().len() as u32), (0, n));
    // Marks of another bucket's are no proof.
    let other = site.retainer("s3://other", NOW).round(Summary::default()).await;
    assert_eq!((other.removed, site.extents().len() as u32), (0, n));

    let gone = site.round(NOW).await;
    assert_eq!((gone.removed, gone.removed_logs, gone.kept.as_ref()), (n as u64 - 2, 0, None));
    assert_eq!((gone.logs[0].removed, gone.logs[0].gone), (n - 2, false));
    assert_eq!(site.extents(), [n - 2, n - 1], "a sealed one, and what is written");
    let head = Head::read(&marks::of_head(&site.dir)).expect("a mark");
    assert_eq!((head.extents, head.bytes), (n - 2, gone.removed_bytes));
    assert!((0..n - 2).all(|e| !marks::of_extent(&site.dir, e).exists()));
    // What was removed is no loss; what is lost is.
    for _ in 0..2 {
        let again = site.round(NOW).await;
        assert_eq!((again.uploaded, again.removed, again.is_short()), (0, 0, false), "{again:?}");
    }
    let other = Head { to: "s3://other".into(), ..head.clone() };
    other.write(&marks::of_head(&site.dir)).expect("written");
    let lost = site.collected().await;
    let why = lost.logs[0].why.clone().expect("a reason");
    assert!(why.starts_with("extent 0 is not in "), "{why}");
    head.write(&marks::of_head(&site.dir)).expect("written");
    // It is sealed in the end, called whole, and removed whole.
    let logs = crate::log::logs::Logs::open(
        site.data.path(),
        crate::log::options::Options { low_space: 0, ..crate::log::options::Options::default() },
    );
    let logs = logs.expect("opens");
    let sealed = logs.recover().await.expect("looked");
    assert!(sealed.len() == 1 && sealed[0].start.is_some() && sealed[0].extents == n);
    let end = site.round(NOW).await;
    assert!(end.logs[0].gone && end.logs[0].whole && end.removed == 2, "{end:?}");
    assert!(!site.dir.exists());
    let said = site.store.small("main/s2/g3/sealed.json").await.expect("there");
    assert!(String::from_utf8_lossy(&said).contains(&format!("\"extents\":{n}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_without_its_mark() {
    let site = Site::new(true).await;
    let n = site.extents().len() as u32;
    site.collected().await;
    let retainer = site.retainer(site.store.url(), NOW);
    // What it knows of a mark it looks for again.
    let late = site.retainer(site.store.url(), Policy { keep: Some(Duration::MAX), free: None });
    assert_eq!(late.round(Summary::default()).await.removed, 0);
    std::fs::remove_file(marks::of_extent(&site.dir, 2)).expect("removed");
    assert_eq!(retainer.round(Summary::default()).await.removed, 1, "the one before the last");
    assert_eq!(site.extents().first(), Some(&1));
    std::fs::remove_file(marks::of_extent(&site.dir, 1)).expect("removed");
    assert_eq!(retainer.round(Summary::default()).await.removed, 0);
    // It is found in the bucket, and marked again, once nothing says that all of it is.
    std::fs::remove_file(marks::of_log(&site.dir)).expect("removed");
    let again = site.round(NOW).await;
    assert_eq!((again.uploaded, again.removed as u32, site.dir.exists()), (0, n - 1, false));
    let none = LogDir::open(&site.dir);
    assert!(matches!(none, Err(LogError::NotFound { .. })), "{none:?}");
}
