//! Entry points for fuzzing: any bytes in, no panic, no memory beyond the input's own order. `cargo
//! test` runs them over seeded mutations of real logs.

use crate::base::ids::Generation;
use crate::log::format::Position;
use crate::log::format::durable::Durable;
use crate::log::format::extent::{Header, footer_start};
use crate::log::format::footer::Footer;
use crate::log::format::index::Indexer;
use crate::log::format::scan::Scan;
use crate::log::format::stream::{Item, StreamHeader, StreamReader, read_index};
use crate::log::format::version::Range;
use bytes::{Bytes, BytesMut};

/// Reads `data` as the heads of files and streams, and as what is sent to agree on a version; what
/// is one must survive being written again.
fn heads(data: &[u8]) {
    if let Ok(header) = Header::decode(data) {
        assert_eq!(Header::decode(&header.encode()), Ok(header), "a header is stable");
    }
    let reads = Range::TODAY;
    if let Ok(header) = StreamHeader::decode(data, reads) {
        assert_eq!(StreamHeader::decode(&header.encode(), reads), Ok(header), "so is a stream's");
    }
    if let Some(range) = std::str::from_utf8(data).ok().and_then(Range::parse) {
        assert_eq!(Range::parse(&range.to_string()), Some(range), "and a range");
    }
}

/// Reads `data` as heads and as a run of records, indexes them, and builds the footer; returns the
/// records found.
pub fn fuzz_scan(data: &[u8]) -> usize {
    heads(data);
    let from = Position::default();
    let claim = Durable::search(data, Generation(1), from);
    assert!(claim.is_none_or(|p| p.offset <= data.len() as u64), "a claim is of the past");
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

/// Reads `data` as what a node sends, in two pieces, and as an index; returns the bytes of records
/// found.
pub fn fuzz_stream(data: &[u8]) -> usize {
    let (reads, want) = (Range::TODAY, Generation(1));
    let _ = read_index(Bytes::copy_from_slice(data), reads, want);
    let mut reader = StreamReader::new(reads, want);
    let (one, two) = data.split_at(data.len() / 2);
    let mut n = 0;
    for piece in [one, two] {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.next() {
                Ok(Some(Item::Records { bytes, .. })) => n += bytes.len(),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return n,
            }
        }
    }
    assert!(n <= data.len(), "nothing is invented");
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
