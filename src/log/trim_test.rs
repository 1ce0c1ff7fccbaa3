//! A log of which the oldest extents were removed, for everybody who reads it: while it is written,
//! afterwards, repaired, and with a bucket behind its node.

use crate::base::ids::Msn;
use crate::catalog::key::{Key, Part};
use crate::log::archive::Archive;
use crate::log::batch::Batch;
use crate::log::bucket::Bucket;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::fixture::write_log;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::Disk;
use crate::log::id::{LogId, extent_name};
use crate::log::index::Index;
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::log::remote::wire::Since;
use crate::log::repair::repair;
use crate::log::source::Source;
use crate::log::subscription::{From, Piece, Subscription};
use crate::log::trim::{remove, trim};
use crate::media::timeline::mark::Mark;
use crate::rt::clock::Clock;
use crate::store::open::in_memory;
use crate::store::port::Store;
use crate::store::sum::Sum;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The extent that the log begins with.
const FIRST: u32 = 1;

/// A log of extents of two seconds, and a copy of all of it in a bucket.
struct Site {
    data: TempDir,
    dir: PathBuf,
    id: LogId,
    store: Store,
    /// As it was.
    index: Index,
    records: Vec<u8>,
}

fn open(data: &Path) -> Logs {
    Logs::open(data, Options { low_space: 0, ..Options::default() }).expect("opens")
}

async fn all(mut log: Subscription) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(batch) = log.next().await.expect("records") {
        out.extend_from_slice(batch.bytes());
    }
    out
}

fn bytes(batches: &[Batch]) -> Vec<u8> {
    batches.iter().flat_map(|b| b.bytes().to_vec()).collect()
}

impl Site {
    async fn new(seal: bool) -> Site {
        let data = tempfile::tempdir().expect("a directory");
        let dir = write_log(data.path(), 2_000_000, seal).await;
        let (store, log) = (in_memory(), LogDir::open(&dir).expect("a log"));
        let id = log.id().clone();
        for extent in log.extents().iter().filter(|n| matches!(log.footer(**n), Ok(Some(_)))) {
            let bytes = std::fs::read(dir.join(extent_name(*extent))).expect("an extent");
            let sum = Sum::of(&bytes);
            store
                .create(&Key::of(&id, Part::Extent(*extent)), bytes.into(), &sum)
                .await
                .expect("put");
        }
        let logs = open(data.path());
        let index = logs.index(&id).await.expect("its marks");
        assert!(index.footers.len() as u32 > FIRST + 1, "{} extents", index.footers.len());
        let records = all(logs.subscribe(&id, From::Start).expect("there")).await;
        Site { data, dir, id, store, index, records }
    }

    fn trim(&self) {
        let removed = trim(&Disk, &self.dir, &self.id, FIRST).expect("trimmed");
        assert!(removed.extents == FIRST && removed.bytes > 0, "{removed:?}");
    }

    fn logs(&self) -> Logs {
        open(self.data.path())
    }

    fn bucket(&self) -> Bucket {
        let archive = Archive::over(self.store.clone()).expect("a thread");
        Bucket::on(Arc::new(archive), Path::new(self.store.url()), Clock::system())
    }

    fn archived(&self) -> Source {
        Source::Local(self.logs()).behind(self.bucket(), Clock::system())
    }
}

fn start() -> Position {
    Position { extent: FIRST, ..HEADER_POSITION }
}

fn removed<T: std::fmt::Debug>(result: Result<T, LogError>) {
    assert!(matches!(result, Err(LogError::Removed { first: FIRST, .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_begin_where_the_log_begins_and_are_told_of_what_is_removed() {
    for seal in [true, false] {
        let site = Site::new(seal).await;
        let (logs, id) = (site.logs(), &site.id);
        let early = logs.subscribe(id, From::Start).expect("there");
        let mut reads = logs.subscribe(id, From::Start).expect("there");
        let mut read = reads.next().await.expect("readable").expect("records").bytes().to_vec();
        site.trim();
        // Who reads an extent reads on in it, and behind it.
        while let Some(batch) = reads.next().await.expect("it reads on") {
            read.extend_from_slice(batch.bytes());
        }
        assert!(read == site.records);
        let mut early = early;
        removed(early.next().await);
        let index = logs.index(id).await.expect("its marks");
        let was = &site.index.footers[FIRST as usize..];
        assert_eq!((index.tail, index.sealed), (site.index.tail, seal));
        let own: Vec<_> = index.footers.iter().map(|f| f.own()).collect();
        assert_eq!(own, was.iter().map(|f| (**f).clone()).collect::<Vec<_>>());
        let first = index.footers[0].marks().next().expect("a mark").mark;
        assert_eq!(first, site.index.footers[0].marks().next().expect("a mark").mark);
        assert!(matches!(&first, Mark::Generation(start) if start.base == Msn(7)), "{first:?}");
        let rest = all(logs.subscribe(id, From::Start).expect("there")).await;
        assert!(site.records.ends_with(&rest) && rest.len() < site.records.len());
        // Positions are as they were.
        let end = site.index.footers[FIRST as usize].end();
        let piece = logs.read(id, start()..end).await.expect("there");
        assert_eq!(piece[0].first(), start());
        removed(logs.read(id, HEADER_POSITION..end).await);
        removed(logs.piece(id, HEADER_POSITION).await);
        assert!(logs.wrote(id).await.is_ok());
        assert_eq!(logs.stats().damaged, 0);
        // By its path it is the same.
        let dir = LogDir::open(&site.dir).expect("a log");
        assert_eq!(dir.extents().first(), Some(&FIRST));
        assert!(all(dir.read_from(FIRST)).await == rest);
        let report = repair(&Disk, &site.dir, false, &mut |_| ()).expect("looked at");
        assert!(!report.changed, "{report:?}");
        assert!(
            report.notes.iter().any(|n| n == "the extents before 1 were removed"),
            "{report:?}"
        );
        // Recovery reads on from what is there.
        let sealed = logs.recover().await.expect("looked");
        assert_eq!(sealed.len(), usize::from(!seal));
        for log in sealed {
            assert_eq!(log.start.map(|s| s.base), Some(Msn(7)));
            assert!(log.end.is_some_and(|end| end.msn > Msn(8)) && log.cut.is_none());
        }
        assert!(logs.index(id).await.expect("its marks").sealed);
        let none = logs.create(id, fixture_start(&first)).await;
        assert!(matches!(none, Err(LogError::Exists { .. })), "{none:?}");
    }
}

fn fixture_start(mark: &Mark) -> crate::media::timeline::mark::GenerationStart {
    match mark {
        Mark::Generation(start) => start.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_removed_stays() {
    let site = Site::new(false).await;
    let last = site.index.tail.extent;
    let e = trim(&Disk, &site.dir, &site.id, last).expect_err("it is written").to_string();
    assert!(e.contains("it is not sealed, so the log cannot begin with it"), "{e}");
    trim(&Disk, &site.dir, &site.id, last + 1).expect_err("there is none");
    let none = |name: &str| name.ends_with("collected");
    assert_eq!(remove(&Disk, &site.dir, &site.id, &none).expect("looked"), None, "it may go on");
    std::fs::rename(site.dir.join(extent_name(1)), site.dir.join("elsewhere")).expect("moved");
    let e = trim(&Disk, &site.dir, &site.id, FIRST).expect_err("one is missing").to_string();
    assert!(e.contains("00000001.extent is damaged"), "{e}");
    assert!(site.dir.join(extent_name(0)).exists());

    let site = Site::new(true).await;
    let aside = site.dir.join("00000009.extent.orphan");
    std::fs::write(&aside, b"kept").expect("written");
    assert_eq!(remove(&Disk, &site.dir, &site.id, &none).expect("looked"), None, "set aside");
    std::fs::remove_file(&aside).expect("removed");
    let logs = site.logs();
    let mut reads = logs.subscribe(&site.id, From::Start).expect("there");
    reads.next().await.expect("readable").expect("records");
    let gone = remove(&Disk, &site.dir, &site.id, &none).expect("removed").expect("all of it");
    assert_eq!(gone.extents as usize, site.index.footers.len());
    assert!(!site.dir.exists() && !site.dir.parent().expect("a session").exists());
    let told = loop {
        match reads.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(told, Err(LogError::NotFound { .. })), "no end is made up: {told:?}");
    let none = logs.index(&site.id).await;
    assert!(matches!(none, Err(LogError::NotFound { .. })), "{none:?}");
    assert!(logs.list().await.expect("listed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_has_a_log_begin_with_what_is_left() {
    let site = Site::new(true).await;
    site.trim();
    let mut bytes = std::fs::read(site.dir.join("trimmed")).expect("there");
    bytes[8] ^= 1;
    std::fs::write(site.dir.join("trimmed"), &bytes).expect("written");
    assert!(site.logs().index(&site.id).await.is_err(), "damaged");
    let dry = repair(&Disk, &site.dir, true, &mut |_| ()).expect("looked at");
    assert!(dry.changed, "{dry:?}");
    assert!(site.logs().index(&site.id).await.is_err(), "untouched");
    let report = repair(&Disk, &site.dir, false, &mut |_| ()).expect("repaired");
    assert!(report.changed, "{report:?}");
    let index = site.logs().index(&site.id).await.expect("its marks");
    assert_eq!(index.footers[0].extent, FIRST);
    // An extent that is lost although nobody removed it.
    std::fs::remove_file(site.dir.join(extent_name(FIRST))).expect("lost");
    let report = repair(&Disk, &site.dir, false, &mut |_| ()).expect("repaired");
    let said = "extents 1 to 1 are lost: the log begins with 2 now";
    assert!(report.changed && report.notes.iter().any(|n| n == said), "{report:?}");
    let index = site.logs().index(&site.id).await.expect("its marks");
    assert_eq!(index.footers[0].extent, FIRST + 1);
    let again = repair(&Disk, &site.dir, false, &mut |_| ()).expect("looked at");
    assert!(!again.changed, "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bucket_behind_it_the_log_is_what_it_was() {
    for seal in [true, false] {
        let site = Site::new(seal).await;
        let (source, id) = (site.archived(), &site.id);
        let mut reads = source.subscribe(id, From::Start).await.expect("there");
        let mut read = Vec::new();
        site.trim();
        let index = source.index(id).await.expect("its marks");
        assert_eq!(index.footers, site.index.footers, "as it was");
        assert_eq!((index.tail, index.sealed), (site.index.tail, seal));
        for since in [Since::Extent(0), Since::Extent(FIRST), Since::Msn(Msn(8))] {
            let got = source.index_since(id, since).await.expect("its marks");
            let mut want = site.index.clone();
            want.forget(since);
            assert_eq!(got.footers.len(), want.footers.len(), "{since:?}");
            assert!(
                got.footers.iter().zip(&want.footers).all(|(a, b)| a.own() == **b),
                "{since:?}"
            );
        }
        // From the first record to the last, without a seam, also for who was overtaken.
        let whole = all(source.subscribe(id, From::Start).await.expect("there")).await;
        assert!(whole == site.records);
        while let Some(batch) = reads.next().await.expect("it reads on") {
            read.extend_from_slice(batch.bytes());
        }
        assert!(read == site.records);
        let inside = site.index.footers[0].marks().nth(5).expect("a mark").at;
        let rest = all(source.subscribe(id, From::Position(inside)).await.expect("there")).await;
        assert!(site.records.ends_with(&rest));
        let ends: Vec<Position> = site.index.footers.iter().map(|f| f.end()).collect();
        for range in [HEADER_POSITION..ends[0], inside..ends[1], inside..ends[2], inside..start()] {
            let got = source.read(id, range.clone()).await.expect("read");
            let from = got.first().map(Batch::first);
            assert_eq!(from, Some(range.start), "{range:?}");
            let at = site.records.len()
                - all(source.subscribe(id, From::Position(range.start)).await.expect("there"))
                    .await
                    .len();
            let got = bytes(&got);
            assert!(site.records[at..].starts_with(&got), "{range:?}");
        }
        let piece = source.piece(id, inside).await.expect("there");
        assert!(matches!(&piece, Piece::Records(b) if b.first() == inside), "{piece:?}");

        // A bucket that lacks some of it keeps nobody from the rest.
        site.store.delete(&Key::of(id, Part::Extent(0))).await.expect("deleted");
        let source = site.archived();
        let index = source.index(id).await.expect("its marks");
        assert_eq!(index.footers[0].extent, FIRST);
        let log = source.subscribe(id, From::Start).await.expect("there");
        assert_eq!(log.position(), start());
        let e = source.read(id, inside..ends[1]).await.expect_err("nowhere");
        assert_eq!(e.kind(), crate::base::error::Kind::NotFound, "{e}");
    }
}
