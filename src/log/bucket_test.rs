//! Logs in a bucket, alone and behind a node that is gone, stands still or has lost its disk: the
//! same marks, records and ends.

use crate::catalog::about::{LAYOUT, Sealed, to_json};
use crate::catalog::key::{Key, Part};
use crate::log::archive::Archive;
use crate::log::batch::Batch;
use crate::log::bucket::Bucket;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::fixture;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::id::{LogId, extent_name};
use crate::log::index::Index;
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::log::remote::wire::Since;
use crate::log::remote::{self, Remote};
use crate::log::source::Source;
use crate::log::subscription::{From, Piece, Subscription};
use crate::rt::clock::Clock;
use crate::store::open::in_memory;
use crate::store::port::Store;
use crate::store::sum::Sum;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A log of several extents on a disk, and a bucket with the same.
struct Both {
    id: LogId,
    here: Source,
    store: Store,
    extents: u32,
    _data: TempDir,
}

fn local(data: &Path) -> Source {
    Source::Local(Logs::open(data, Options { low_space: 0, ..Options::default() }).expect("opens"))
}

impl Both {
    async fn new() -> Both {
        let data = tempfile::tempdir().expect("a directory");
        let dir = fixture::write_log(data.path(), 3_000_000, true).await;
        let (store, log) = (in_memory(), LogDir::open(&dir).expect("a log"));
        let both = Both {
            id: log.id().clone(),
            here: local(data.path()),
            store,
            extents: log.extents().len() as u32,
            _data: data,
        };
        for extent in log.extents() {
            let bytes = std::fs::read(dir.join(extent_name(*extent))).expect("an extent");
            both.put(Part::Extent(*extent), bytes).await;
        }
        assert!(both.extents > 2);
        both
    }

    async fn put(&self, part: Part, bytes: Vec<u8>) {
        let sum = Sum::of(&bytes);
        self.store.create(&Key::of(&self.id, part), bytes.into(), &sum).await.expect("put");
    }

    async fn seal(&self) {
        let sealed = Sealed { layout: LAYOUT, extents: self.extents };
        self.put(Part::Sealed, to_json(&sealed)).await;
    }

    fn bucket(&self) -> Bucket {
        let archive = Archive::over(self.store.clone()).expect("a thread");
        Bucket::on(Arc::new(archive), Path::new(self.store.url()), Clock::system())
    }

    /// The bucket behind a node.
    fn behind(&self, near: Source) -> Source {
        near.behind(self.bucket(), Clock::system())
    }
}

fn marks(index: &Index) -> (Vec<crate::log::format::footer::Footer>, Position, bool) {
    let footers = index.footers.iter().map(|f| (**f).clone()).collect();
    (footers, index.tail, index.sealed)
}

fn bytes(batches: &[Batch]) -> Vec<u8> {
    batches.iter().flat_map(|b| b.bytes().to_vec()).collect()
}

async fn all(mut log: Subscription) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(batch) = log.next().await.expect("records") {
        out.extend_from_slice(batch.bytes());
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_node_lost_its_disk_is_the_same_in_the_bucket() {
    let both = Both::new().await;
    both.seal().await;
    let (id, here) = (&both.id, &both.here);
    let empty = tempfile::tempdir().expect("a directory");
    let there = both.behind(local(empty.path()));
    let index = here.index(id).await.expect("on the disk");
    assert_eq!(marks(&index), marks(&there.index(id).await.expect("in the bucket")));
    let since = Since::Extent(2);
    let some = there.index_since(id, since).await.expect("in the bucket");
    assert_eq!(marks(&some), marks(&here.index_since(id, since).await.expect("on the disk")));
    // Any range, also over the ends of extents.
    let ends: Vec<Position> = index.footers.iter().map(|f| f.end()).collect();
    let inside = index.footers[1].marks().next().expect("a mark");
    for range in [HEADER_POSITION..ends[0], inside.at..ends[1], inside.at..ends[2]] {
        let want = here.read(id, range.clone()).await.expect("on the disk");
        let got = there.read(id, range.clone()).await.expect("in the bucket");
        assert!(!want.is_empty() && bytes(&want) == bytes(&got), "{range:?}");
    }
    let piece = async |source: &Source, at| match source.piece(id, at).await.expect("there") {
        Piece::Records(batch) => (batch.first(), batch.bytes().to_vec()),
        other => panic!("{at}: {other:?}"),
    };
    assert!(piece(here, inside.at).await == piece(&there, inside.at).await);
    let behind = Position { extent: index.tail.extent + 1, ..HEADER_POSITION };
    for (at, ends) in [(index.tail, Piece::Moved(behind)), (behind, Piece::Sealed)] {
        assert_eq!(here.piece(id, at).await.expect("on the disk"), ends);
        assert_eq!(there.piece(id, at).await.expect("in the bucket"), ends);
    }
    assert_eq!(here.wrote(id).await.expect("known"), there.wrote(id).await.expect("known"));
    let want = here.subscribe(id, From::Start).await.expect("a log");
    let got = there.subscribe(id, From::Start).await.expect("a log");
    assert!(all(want).await == all(got).await, "the same records");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_may_go_on_is_not_taken_for_over_because_the_bucket_has_some_of_it() {
    let both = Both::new().await;
    let empty = tempfile::tempdir().expect("a directory");
    let there = both.behind(local(empty.path()));
    let id = &both.id;
    let none = there.index(id).await.expect_err("it may be written somewhere");
    assert!(matches!(none, LogError::NotFound { .. }), "{none}");
    let none = there.subscribe(id, From::Start).await.expect_err("the same");
    assert!(matches!(none, LogError::NotFound { .. }), "{none}");
    // Who goes on without its end has what there is.
    let left = there.left_in_bucket(id).await.expect("readable").expect("some");
    assert_eq!((left.footers.len() as u32, left.sealed), (both.extents, false));
    assert_eq!(left.tail, Position { extent: both.extents, ..HEADER_POSITION });
    assert!(there.whole_in_bucket(id).await.is_none());
    assert!(there.piece(id, left.tail).await.is_err(), "more may come");
    let other: LogId = "other/s1/g1".parse().expect("a name");
    assert!(there.left_in_bucket(&other).await.expect("readable").is_none());

    both.seal().await;
    let anew = both.behind(local(empty.path()));
    assert!(anew.index(id).await.expect("all of it").sealed);
    // What is missing in the middle ends what can be read, whatever the seal says.
    both.store.delete(&Key::of(id, Part::Extent(1))).await.expect("deleted");
    let left = both.bucket().index(id).await.expect("readable").expect("some");
    assert_eq!((left.footers.len(), left.sealed), (1, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stands_still_is_not_waited_for_where_the_bucket_has_it() {
    let both = Both::new().await;
    both.seal().await;
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let options = remote::Options::default();
    let remote = Remote::new(&url, options, Clock::system()).expect("an address");
    let there = both.behind(Source::Remote(remote));
    let end = both.here.index(&both.id).await.expect("on the disk").footers[0].end();
    for _ in 0..2 {
        let got = there.read(&both.id, HEADER_POSITION..end).await.expect("in the bucket");
        let want = both.here.read(&both.id, HEADER_POSITION..end).await.expect("on the disk");
        assert!(bytes(&got) == bytes(&want));
    }
    drop(silent);
}
