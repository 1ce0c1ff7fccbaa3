//! Entry points for fuzzing: any bytes in, no panic, no memory beyond the input's own order. `cargo
//! test` runs them over seeded mutations of real logs.

use crate::log::format::extent::{Header, footer_start};
use crate::log::format::footer::Footer;
use crate::log::format::index::Indexer;
use crate::log::format::scan::Scan;
use bytes::{Bytes, BytesMut};

/// Reads `data` as a header and as a run of records, indexes them, and builds the footer; returns
/// the records found.
pub fn fuzz_scan(data: &[u8]) -> usize {
    let _ = Header::decode(data);
    let bytes = Bytes::copy_from_slice(data);
    let mut scan = Scan::new(&bytes);
    let (mut index, mut n) = (Indexer::new(), 0);
    for found in scan.by_ref() {
        let raw = &bytes[found.range.clone()];
        if index.observe(found.range.start as u64, raw, &found.record).is_err() {
            break;
        }
        n += 1;
    }
    // Unverified walking believes every length and must be as safe.
    let trusted = Scan::trusted(&bytes).count();
    assert!(trusted >= n, "verification can only find fewer records");
    let mut out = BytesMut::new();
    index.footer(data.len() as u64).encode(&mut out);
    n
}

/// Reads `data` as a footer; when it is one, it must survive being written again.
pub fn fuzz_footer(data: &[u8]) -> Option<usize> {
    let _ = footer_start(data.len() as u64, data);
    let footer = Footer::decode(&Bytes::copy_from_slice(data)).ok()?;
    let marks = footer.marks().count();
    let mut out = BytesMut::new();
    footer.encode(&mut out);
    assert_eq!(Footer::decode(&out.freeze()).as_ref(), Ok(&footer), "a footer is stable");
    Some(marks)
}
