//! One suite for the store's port, on everything that is behind it: a directory, memory, S3
//! (moto, s3s-fs), Azure (azurite), and Google's client in front of a server that speaks S3.

use crate::bucket::{Azurite, BUCKET, Moto, Proxy, S3s};
use bytes::Bytes;
use castctl::store::error::StoreError;
use castctl::store::open::{Access, in_memory, open};
use castctl::store::port::{Entry, SMALL_MAX, Store};
use castctl::store::sum::Sum;
use castctl::store::upload::PART_BYTES;

/// Bytes that no two parts of have in common.
fn made_up(len: u64, seed: u8) -> Bytes {
    let byte = |i: u64| (i.wrapping_mul(31) >> 8) as u8 ^ (i as u8) ^ seed;
    (0..len).map(byte).collect::<Vec<u8>>().into()
}

/// Puts an object in parts.
async fn uploaded(store: &Store, key: &str, bytes: &Bytes) {
    let mut upload = store.upload(key, &Sum::of(bytes)).await.expect("begun");
    let parts: Vec<_> = (0..bytes.len())
        .step_by(PART_BYTES as usize)
        .map(|at| bytes.slice(at..bytes.len().min(at + PART_BYTES as usize)))
        .map(|part| upload.part(part))
        .collect();
    for part in parts {
        part.await.expect("taken");
    }
    upload.finish().await.expect("whole");
}

/// Everything that the port promises.
async fn suite(store: &Store) {
    let small = made_up(1000, 1);
    let sum = Sum::of(&small);

    // Put once, found as it was put, never replaced.
    store.create("a/s1/one", small.clone(), &sum).await.expect("put");
    let facts = store.head("a/s1/one").await.expect("there");
    assert_eq!(facts.bytes, 1000);
    assert_eq!(facts.sum, store.keeps_sums().then_some(sum));
    assert_eq!(store.small("a/s1/one").await.expect("read"), small);
    let other = made_up(10, 2);
    let again = store.create("a/s1/one", other.clone(), &Sum::of(&other)).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    assert_eq!(store.small("a/s1/one").await.expect("read"), small);

    // In parts, and read by range across them.
    let large = made_up(2 * PART_BYTES + 12_345, 3);
    uploaded(store, "a/s1/two", &large).await;
    let facts = store.head("a/s1/two").await.expect("there");
    assert_eq!(facts.bytes, large.len() as u64);
    assert_eq!(facts.sum, store.keeps_sums().then_some(Sum::of(&large)));
    let end = large.len() as u64;
    for range in [0..1, PART_BYTES - 5..PART_BYTES + 5, end - 16..end, 7..7, 0..end] {
        let got = store.range("a/s1/two", range.clone()).await.expect("read");
        assert!(got == large[range.start as usize..range.end as usize], "{range:?}");
    }
    let beyond = store.range("a/s1/two", end - 5..end + 5).await;
    assert!(beyond.is_err(), "all of a range or none of it: {beyond:?}");
    let large = store.small("a/s1/two").await.expect_err("it is no small object");
    assert!(matches!(large, StoreError::Corrupt { .. }), "{SMALL_MAX}: {large}");

    // Nothing half is seen, during an upload and after it was given up.
    let mut half = store.upload("a/s1/half", &sum).await.expect("begun");
    half.part(made_up(PART_BYTES, 4)).await.expect("taken");
    let unseen = store.head("a/s1/half").await;
    assert!(matches!(unseen, Err(StoreError::NotFound { .. })), "{unseen:?}");
    half.abort().await;
    let unseen = store.head("a/s1/half").await;
    assert!(matches!(unseen, Err(StoreError::NotFound { .. })), "{unseen:?}");

    // Listings: all below a name, what lies behind one of them, and level by level.
    store.create("a/s2/three", other.clone(), &Sum::of(&other)).await.expect("put");
    let entry = |key: &str, bytes| Entry { key: key.to_owned(), bytes };
    let all = [entry("a/s1/one", 1000), entry("a/s1/two", end), entry("a/s2/three", 10)];
    assert_eq!(store.list("", None).await.expect("listed"), all);
    assert_eq!(store.list("a/s1", None).await.expect("listed"), all[..2]);
    assert_eq!(store.list("a", Some("a/s1/one")).await.expect("listed"), all[1..]);
    assert_eq!(store.list("a/s", None).await.expect("a name is no beginning of names"), []);
    let level = store.folder("a").await.expect("listed");
    assert_eq!((level.folders, level.objects.len()), (vec!["s1".into(), "s2".into()], 0));
    assert_eq!(store.folder("a/s1").await.expect("listed").objects, ["one", "two"]);

    // Deleted once or twice.
    store.delete("a/s2/three").await.expect("deleted");
    store.delete("a/s2/three").await.expect("and that is no error again");
    for missing in ["a/s2/three", "nothing/at/all"] {
        let e = store.small(missing).await.expect_err(missing);
        assert!(matches!(e, StoreError::NotFound { .. }), "{e}");
        let e = store.range(missing, 0..1).await.expect_err(missing);
        assert!(matches!(e, StoreError::NotFound { .. }), "{e}");
        assert!(e.to_string().starts_with(&store.url_of(missing)), "{e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_the_ports_promises() {
    suite(&in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_keeps_the_ports_promises() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("file://{}/pre/fix", dir.path().display());
    suite(&open(&url, &Access::default()).expect("a store")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_ports_promises_also_as_google_asks_for_it() {
    let moto = Moto::start().await;
    suite(&Proxy::before(moto.addr).await.store("pre/fix")).await;
    suite(&Proxy::before(moto.addr).await.google("other")).await;
}

/// A server that checks signatures, and keeps objects as files.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_of_s3_keeps_the_ports_promises() {
    suite(&S3s::start().await.store("pre/fix")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_ports_promises() {
    let azurite = Azurite::start().await;
    let url = format!("az://{BUCKET}/pre/fix");
    suite(&open(&url, &azurite.access()).expect("a store")).await;
}

/// What a store says is told in its words, and what can be done about it is in the kind.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_and_one_that_is_away_are_told_apart() {
    let moto = Moto::start().await;
    let proxy = Proxy::before(moto.addr).await;
    let store = proxy.store("x");
    proxy.deny();
    let refused = store.small("a").await.expect_err("refused");
    assert!(matches!(refused, StoreError::Denied { .. }), "{refused}");
    assert!(refused.to_string().contains("the store refuses"), "{refused}");
    proxy.well();
    assert!(matches!(store.small("a").await, Err(StoreError::NotFound { .. })));
    drop(moto);
    let away = store.small("a").await.expect_err("nobody is there");
    assert!(matches!(away, StoreError::Unavailable { .. }), "{away}");
}
