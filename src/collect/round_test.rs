//! Rounds over logs on a disk, into a bucket in memory.

use crate::catalog::about::{Claim, LAYOUT, Sealed, to_json};
use crate::collect::marks::{self, Mark};
use crate::collect::rebuild::rebuild;
use crate::collect::round::{Collector, Options, Step};
use crate::collect::summary::Summary;
use crate::log::fixture::write_log;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::store::open::in_memory;
use crate::store::port::Store;
use crate::store::sum::Sum;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

const OPTIONS: Options = Options { concurrency: 2, bandwidth: None, read_back: false };

struct Site {
    data: TempDir,
    dir: PathBuf,
    store: Store,
    sent: Arc<AtomicU64>,
}

impl Site {
    /// A log of several extents and an empty bucket.
    async fn new(seal: bool) -> Site {
        let data = tempfile::tempdir().expect("a directory");
        let dir = write_log(data.path(), 3_000_000, seal).await;
        Site { data, dir, store: in_memory(), sent: Arc::default() }
    }

    /// A collector that knows nothing yet, as one that was just started.
    fn collector(&self, options: Options) -> Collector {
        let sent = Arc::clone(&self.sent);
        let tell = move |step| {
            if let Step::Sent(bytes) = step {
                sent.fetch_add(bytes, Ordering::Relaxed);
            }
        };
        let (data, store, clock) = (self.data.path(), self.store.clone(), Clock::system());
        Collector::new(data, store, options, clock, Arc::new(tell))
    }

    async fn round(&self) -> Summary {
        self.collector(OPTIONS).round(&Drain::new()).await.expect("listed")
    }

    fn sent(&self) -> u64 {
        self.sent.swap(0, Ordering::Relaxed)
    }

    fn extents(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(&self.dir)
            .expect("a directory")
            .map(|e| e.expect("a name").path())
            .filter(|p| p.extension().is_some_and(|e| e == "extent"))
            .collect();
        all.sort();
        all
    }

    async fn is_whole(&self) {
        for path in self.extents() {
            let bytes = std::fs::read(&path).expect("an extent");
            let key = format!("main/s2/g3/{}", name(&path));
            let facts = self.store.head(&key).await.expect("it is there");
            assert_eq!(facts.sum, Some(Sum::of(&bytes)));
            let there = self.store.range(&key, 0..facts.bytes).await.expect("readable");
            assert!(there == bytes, "{key}");
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_log_is_collected_whole_and_only_once() {
    let site = Site::new(true).await;
    let summary = site.round().await;
    let n = site.extents().len() as u64;
    assert_eq!((summary.uploaded, summary.there, summary.left), (n, 0, 0), "{summary:?}");
    assert!(summary.logs[0].whole && !summary.is_short(), "{summary:?}");
    assert_eq!(site.sent(), summary.uploaded_bytes);
    site.is_whole().await;
    let sealed = site.store.small("main/s2/g3/sealed.json").await.expect("the last object");
    assert_eq!(sealed, to_json(&Sealed { layout: LAYOUT, extents: n as u32 }));
    // Marked: another process asks nothing of the bucket.
    let again = site.round().await;
    assert!(again.uploaded == 0 && again.logs[0].whole, "{again:?}");
    // Without its marks, as after a kill before they were written: nothing is sent twice.
    std::fs::remove_file(marks::of_log(&site.dir)).expect("removed");
    for extent in 0..n as u32 {
        std::fs::remove_file(marks::of_extent(&site.dir, extent)).expect("removed");
    }
    let again = site.round().await;
    assert_eq!((again.uploaded, again.there, site.sent()), (0, n, 0), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_extent_is_left_for_the_next_time() {
    let site = Site::new(false).await;
    let summary = site.round().await;
    let n = site.extents().len() as u64;
    assert_eq!((summary.uploaded, summary.left), (n - 1, 0), "{summary:?}");
    assert!(summary.logs[0].open && !summary.logs[0].whole && !summary.is_short(), "{summary:?}");
    let listed = site.store.list("main", None).await.expect("listed");
    assert!(listed.iter().all(|e| !e.key.ends_with("sealed.json")), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_logs_object_is_never_replaced() {
    let site = Site::new(true).await;
    let claim =
        Claim { layout: LAYOUT, log: "main/s2/g3".into(), first: Sum::of(b"x").to_string() };
    let text = to_json(&claim);
    let sum = Sum::of(&text);
    site.store.create("main/s2/g3/claim.json", text.into(), &sum).await.expect("put");
    let summary = site.round().await;
    let why = summary.logs[0].why.clone().expect("a reason");
    assert!(why.contains("there is another object of that name"), "{why}");
    assert_eq!((summary.uploaded, summary.left), (0, site.extents().len() as u64));
    assert!(summary.is_short() && site.sent() == 0);

    // The same of an extent in the middle.
    let site = Site::new(true).await;
    let (key, other) = ("main/s2/g3/00000001.extent", b"something else");
    site.store.create(key, other[..].into(), &Sum::of(other)).await.expect("put");
    let summary = site.round().await;
    let why = summary.logs[0].why.clone().expect("a reason");
    assert!(why.contains("it has 14 bytes and not"), "{why}");
    assert_eq!(summary.uploaded, 1, "the one before it");
    assert!(site.store.small(key).await.expect("there") == other[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_damage_nothing_is_collected_until_it_is_mended() {
    let site = Site::new(true).await;
    let path = &site.extents()[1];
    let whole = std::fs::read(path).expect("an extent");
    let mut bad = whole.clone();
    bad[1000] ^= 1;
    std::fs::write(path, bad).expect("written");
    let summary = site.round().await;
    assert_eq!((summary.uploaded, summary.left), (1, site.extents().len() as u64 - 1));
    let why = summary.logs[0].why.clone().expect("a reason");
    assert!(why.contains("00000001.extent is damaged at byte"), "{why}");
    std::fs::write(path, whole).expect("mended");
    assert!(!site.round().await.is_short());
    site.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_an_extent_is_not_called_whole() {
    let site = Site::new(true).await;
    std::fs::remove_file(&site.extents()[1]).expect("removed");
    for _ in 0..2 {
        let summary = site.round().await;
        let why = summary.logs[0].why.clone().expect("a reason");
        assert!(why.starts_with("extent 1 is not in "), "{why}");
        assert!(summary.is_short() && !summary.logs[0].whole, "{summary:?}");
    }
    assert!(site.store.head("main/s2/g3/sealed.json").await.is_err());
    // What was collected before may be gone.
    let mark = Mark::extent(site.store.url(), 1, &Sum::of(b""));
    mark.write(&marks::of_extent(&site.dir, 1)).expect("written");
    let summary = site.round().await;
    assert!(summary.logs[0].whole && !summary.is_short(), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bucket_is_another_matter_and_a_drain_begins_nothing() {
    let site = Site::new(true).await;
    let drain = Drain::new();
    drain.start();
    let summary = site.collector(OPTIONS).round(&drain).await.expect("listed");
    assert_eq!((summary.uploaded, summary.left), (0, site.extents().len() as u64));
    assert_eq!(summary.logs[0].why.as_deref(), Some("the end came first"));
    let left = site.collector(OPTIONS).left().await.expect("listed");
    assert_eq!((left.left, left.left_bytes), (summary.left, summary.left_bytes));

    let mark = Mark { to: "s3://elsewhere".into(), bytes: 1, sha256: None };
    mark.write(&marks::of_log(&site.dir)).expect("written");
    mark.write(&marks::of_extent(&site.dir, 0)).expect("written");
    let read_back = Options { read_back: true, ..OPTIONS };
    let summary = site.collector(read_back).round(&Drain::new()).await.expect("listed");
    assert_eq!(summary.uploaded, site.extents().len() as u64, "{summary:?}");
    site.is_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_alone_tells_what_is_in_it() {
    let site = Site::new(true).await;
    site.round().await;
    let mut told = Vec::new();
    let read = rebuild(&site.store, &mut |done, all| told.push((done, all))).await;
    let (catalog, lost) = read.expect("readable");
    assert_eq!(catalog.findings(), Vec::<String>::new());
    let (id, log) = catalog.logs.first_key_value().expect("a log");
    assert_eq!(id.to_string(), "main/s2/g3");
    assert_eq!(log.sealed, Some(site.extents().len() as u32));
    for (n, path) in site.extents().iter().enumerate() {
        let extent = &log.extents[&(n as u32)];
        assert_eq!(extent.bytes, path.metadata().expect("a file").len());
        assert!(extent.covers.as_ref().is_ok_and(|c| c.wall.is_some()), "{extent:?}");
    }
    assert_eq!(told.last().map(|(done, all)| done == all), Some(true), "{told:?}");
    let lost = lost.generations(&catalog);
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].base.0, lost[0].dseq, lost[0].log.generation.0), (7, 1, 3));
    let record = lost[0].record.as_ref().expect("the session's constants");
    assert_eq!((record.target_duration, record.renditions.len()), (4, 2));
    let end = &lost[0].end;
    assert!(end.msn > 7 && end.session_over && end.tracks.len() == 2, "{end:?}");

    site.store.delete("main/s2/g3/00000001.extent").await.expect("deleted");
    let (catalog, lost) = rebuild(&site.store, &mut |_, _| {}).await.expect("readable");
    assert_eq!(catalog.findings(), ["main/s2/g3: extent(s) 1 are not there"]);
    // What comes behind a hole vouches for the numbers all the same.
    assert_eq!(lost.generations(&catalog)[0].end.msn, end.msn);
}
