//! An archived log is read as the one on the disk: the same records, footers and ends, by ranges.

use crate::log::archive::Archive;
use crate::log::carried::Carried;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::fixture;
use crate::log::format::extent::HEADER_LEN;
use crate::log::fs::{FileSystem, Open};
use crate::log::id::extent_name;
use crate::store::open::in_memory;
use crate::store::port::Store;
use crate::store::sum::{Sum, Summer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A log of several extents, and a bucket with the same.
async fn both() -> (TempDir, PathBuf, Store) {
    let data = tempfile::tempdir().expect("a directory");
    let dir = fixture::write_log(data.path(), 3_000_000, true).await;
    let store = in_memory();
    for extent in LogDir::open(&dir).expect("a log").extents() {
        let bytes = std::fs::read(dir.join(extent_name(*extent))).expect("an extent");
        let (key, sum) = (format!("main/s2/g3/{}", extent_name(*extent)), Sum::of(&bytes));
        store.create(&key, bytes.into(), &sum).await.expect("put");
    }
    (data, dir, store)
}

async fn bytes_of(log: &LogDir) -> Vec<u8> {
    let (mut records, mut all) = (log.read_from(0), Vec::new());
    while let Some(batch) = records.next().await.expect("records") {
        all.extend_from_slice(batch.bytes());
    }
    all
}

#[tokio::test]
async fn an_archived_log_is_read_as_the_one_on_the_disk() {
    let (_data, dir, store) = both().await;
    let path = Path::new(store.url()).join("main/s2/g3");
    let archive: Arc<dyn FileSystem> = Arc::new(Archive::over(store).expect("a thread"));
    let (here, there) = (LogDir::open(&dir).expect("a log"), LogDir::on(&archive, &path));
    let there = there.expect("a log");
    assert_eq!(here.id(), there.id());
    assert_eq!(here.extents(), there.extents());
    assert!(here.extents().len() > 2, "{:?}", here.extents());
    for &extent in here.extents() {
        assert_eq!(here.extent_bytes(extent), there.extent_bytes(extent));
        let footer = |log: &LogDir| log.footer(extent).expect("readable").expect("sealed");
        assert_eq!(footer(&here), footer(&there));
    }
    assert!(bytes_of(&here).await == bytes_of(&there).await, "the same records");
}

#[tokio::test]
async fn an_archive_takes_nothing_and_says_what_is_not_there() {
    let (_data, _dir, store) = both().await;
    let root = PathBuf::from(store.url());
    let archive = Archive::over(store).expect("a thread");
    assert!(archive.is_dir(&root.join("main")) && !archive.is_dir(&root.join("other")));
    assert_eq!(archive.list(&root.join("main/s2")).expect("listed"), ["g3"]);
    let kind = |e: io::Error| e.kind();
    let open = |how| archive.open(&root.join("main/s2/g3/00000000.extent"), how);
    assert_eq!(open(Open::Write).map_err(kind).err(), Some(io::ErrorKind::ReadOnlyFilesystem));
    let missing = archive.open(&root.join("main/s2/g3/00000009.extent"), Open::Read);
    assert_eq!(missing.map_err(kind).err(), Some(io::ErrorKind::NotFound));
    // Reads of any size, at any place, are those of the file.
    let file = open(Open::Read).expect("there");
    let len = file.len().expect("known");
    let mut whole = vec![0; len as usize];
    assert_eq!(file.read_at(&mut whole, 0).expect("read"), len as usize);
    for (at, want) in [(0, 1), (65_530, 20), (len - 16, 16), (len - 4, 100), (len, 1), (7, 70_000)]
    {
        let mut some = vec![0; want];
        let n = file.read_at(&mut some, at).expect("read");
        assert_eq!(n as u64, (want as u64).min(len - at), "{want} bytes at {at}");
        assert!(some[..n] == whole[at as usize..at as usize + n], "{want} bytes at {at}");
    }
}

#[tokio::test]
async fn what_is_carried_is_the_file_and_a_damaged_or_open_extent_is_not_carried() {
    let (data, dir, _) = both().await;
    let log = LogDir::open(&dir).expect("a log");
    let path = log.extent_path(1);
    let whole = std::fs::read(&path).expect("an extent");
    let sum = |carried: &Carried| {
        let mut summer = Summer::default();
        carried.verify(&mut |bytes| summer.take(bytes)).map(|()| summer.sum())
    };
    let carried = Carried::open(&log, 1).expect("readable").expect("sealed");
    assert_eq!(carried.bytes(), whole.len() as u64);
    assert_eq!(carried.footer().extent, 1);
    assert_eq!(sum(&carried).expect("whole"), Sum::of(&whole));
    assert!(carried.read(0..carried.bytes()).expect("read") == whole);
    let beyond = carried.read(0..carried.bytes() + 1).expect_err("it ends before");
    assert!(beyond.to_string().contains("become shorter"), "{beyond}");

    let mut bad = whole.clone();
    bad[HEADER_LEN + 200] ^= 1;
    std::fs::write(&path, &bad).expect("written");
    let carried = Carried::open(&log, 1).expect("both ends are good").expect("sealed");
    let damage = sum(&carried).expect_err("a record is damaged");
    assert!(matches!(damage, LogError::Damaged { .. }), "{damage}");

    std::fs::write(&path, &whole[..whole.len() - 1]).expect("cut");
    assert!(Carried::open(&log, 1).expect("readable").is_none(), "not sealed");
    drop(data);
}
