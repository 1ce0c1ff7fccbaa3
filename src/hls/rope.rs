//! Playlist text in strands that versions share: what a version has in common with the one before
//! it is not copied, hashed or compressed again. Three hours of a DVR playlist are a list of blocks
//! that every version and every answer refers to.
//!
//! Where a text is divided into strands follows from the text itself (`hls::playlist` says how), so
//! two edges with the same text have the same strands, the same hash and the same gzip bytes.
//!
//! gzip (RFC 1952): every strand is deflated for itself, once, and ended by a full flush, which
//! leaves an unfinished deflate stream on a byte boundary (RFC 1951, 3.2.4). One behind the other
//! they are one stream, and with a head, a last empty block and the checksum they are one member.

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use std::sync::{Arc, OnceLock};

/// Head of every member: deflate, no name, no time, so that the same text gives the same bytes; an
/// unknown operating system.
pub const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The deflate stream's last block: final, fixed codes, empty.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Bytes behind the deflated strands: the last block, the checksum, the length.
pub const GZIP_END: usize = LAST_BLOCK.len() + 8;

/// CRC-64: names versions of our own text, no adversary chooses it.
fn hash(bytes: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes)
}

/// The hash of a sequence, from the hash of what is before and the hash of what comes next.
fn fold(before: u64, next: u64) -> u64 {
    let (mut both, tail) = ([0; 16], next.to_le_bytes());
    both[..8].copy_from_slice(&before.to_le_bytes());
    both[8..].copy_from_slice(&tail);
    hash(&both)
}

/// A piece of text that never changes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Strand(Arc<Piece>);

#[derive(Debug)]
struct Piece {
    text: Bytes,
    hash: u64,
    packed: OnceLock<Packed>,
}

/// The deflated form of a strand, and the checksum that the member's is combined from.
#[derive(Debug)]
struct Packed {
    bytes: Bytes,
    crc: Crc,
}

impl Strand {
    /// A strand of this text.
    pub fn new(text: String) -> Strand {
        let text = Bytes::from(text);
        Strand(Arc::new(Piece { hash: hash(&text), text, packed: OnceLock::new() }))
    }

    /// Its bytes.
    pub fn text(&self) -> &Bytes {
        &self.0.text
    }

    /// Its text from a byte on; nothing is copied.
    pub fn after(&self, at: usize) -> Strand {
        let text = self.0.text.slice(at..);
        Strand(Arc::new(Piece { hash: hash(&text), text, packed: OnceLock::new() }))
    }

    /// Its part of a gzip member; made when it is first asked for.
    pub fn packed(&self) -> &Bytes {
        &self.pack().bytes
    }

    fn pack(&self) -> &Packed {
        self.0.packed.get_or_init(|| Packed::new(&self.0.text))
    }

    fn is(&self, other: &Strand) -> bool {
        self.0.hash == other.0.hash && self.0.text == other.0.text
    }
}

impl Packed {
    fn new(text: &[u8]) -> Packed {
        let mut crc = Crc::new();
        crc.update(text);
        let mut bytes = Vec::with_capacity(text.len() / 4 + 64);
        if !text.is_empty() {
            let mut deflate = Compress::new(Compression::default(), false);
            loop {
                let rest = &text[deflate.total_in() as usize..];
                // Fails only on misuse: the state is new and the flush always the same.
                let done = deflate.compress_vec(rest, &mut bytes, FlushCompress::Full);
                let read_all = deflate.total_in() as usize == text.len();
                // A flush is whole when it left room.
                if done.is_err() || read_all && bytes.len() < bytes.capacity() {
                    break;
                }
                bytes.reserve(text.len() / 4 + 64);
            }
        }
        bytes.shrink_to_fit();
        Packed { bytes: bytes.into(), crc }
    }
}

/// Blocks of text in order: a list that is made anew when a block is added and shared until then.
#[derive(Debug, Default)]
pub struct Blocks {
    strands: Vec<Strand>,
    len: usize,
    hash: u64,
    /// Bytes of the deflated blocks, and their checksum.
    packed: OnceLock<(usize, Crc)>,
}

impl Blocks {
    /// These blocks and one more.
    pub fn and(&self, text: &str) -> Blocks {
        self.with(&[Strand::new(text.to_owned())])
    }

    /// These blocks and more, which others have too.
    pub fn with(&self, more: &[Strand]) -> Blocks {
        let (mut len, mut hash, mut strands) = (self.len, self.hash, self.strands.clone());
        for strand in more {
            len += strand.text().len();
            hash = fold(hash, strand.0.hash);
        }
        strands.extend_from_slice(more);
        Blocks { strands, len, hash, packed: OnceLock::new() }
    }

    /// Each of them.
    pub fn strands(&self) -> &[Strand] {
        &self.strands
    }

    /// Bytes of all blocks.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends the bytes of a range to `out`. Looks for it from the end.
    pub fn copy(&self, out: &mut String, from: usize, to: usize) {
        let (mut end, mut found) = (self.len, Vec::new());
        for strand in self.strands.iter().rev() {
            let start = end - strand.text().len();
            if start < to && end > from {
                let bytes = strand.text().slice(from.max(start) - start..to.min(end) - start);
                found.push(bytes);
            }
            if start <= from {
                break;
            }
            end = start;
        }
        for bytes in found.iter().rev() {
            out.push_str(&String::from_utf8_lossy(bytes));
        }
    }

    fn pack(&self) -> &(usize, Crc) {
        self.packed.get_or_init(|| {
            let (mut len, mut crc) = (0, Crc::new());
            for strand in &self.strands {
                let packed = strand.pack();
                len += packed.bytes.len();
                crc.combine(&packed.crc);
            }
            (len, crc)
        })
    }
}

/// One strand, or a shared list of them.
#[derive(Debug, Clone)]
pub enum Run {
    /// A strand.
    One(Strand),
    /// Blocks.
    Many(Arc<Blocks>),
}

/// A text: strands in order. Never changes.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    runs: Vec<Run>,
    len: usize,
    hash: u64,
}

/// A place in a rope, to walk over its strands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    run: usize,
    strand: usize,
}

impl Rope {
    /// The text of these runs.
    pub fn new(runs: Vec<Run>) -> Rope {
        let (mut len, mut hash) = (0, 0);
        for run in &runs {
            let (bytes, of_run) = match run {
                Run::One(strand) => (strand.text().len(), strand.0.hash),
                Run::Many(blocks) => (blocks.len, blocks.hash),
            };
            len += bytes;
            hash = fold(hash, of_run);
        }
        Rope { runs, len, hash }
    }

    /// The same text, with the strands of `before` in the place of equal ones: what was compressed
    /// of them is not compressed again.
    pub fn sharing(mut self, before: &Rope) -> Rope {
        for (run, known) in self.runs.iter_mut().zip(&before.runs) {
            if let (Run::One(strand), Run::One(known)) = (&mut *run, known)
                && strand.is(known)
            {
                *strand = known.clone();
            }
        }
        self
    }

    /// What it was made of.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes of the text.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is the text empty?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A function of the text's bytes alone.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The strand at `at`, and moves on.
    pub fn next(&self, at: &mut Cursor) -> Option<&Strand> {
        loop {
            match self.runs.get(at.run)? {
                Run::One(strand) => {
                    at.run += 1;
                    return Some(strand);
                }
                Run::Many(blocks) => match blocks.strands.get(at.strand) {
                    Some(strand) => {
                        at.strand += 1;
                        return Some(strand);
                    }
                    None => (at.run, at.strand) = (at.run + 1, 0),
                },
            }
        }
    }

    /// Its strands in order.
    pub fn strands(&self) -> impl Iterator<Item = &Strand> {
        let mut at = Cursor::default();
        std::iter::from_fn(move || self.next(&mut at))
    }

    /// The whole text in one piece: a copy.
    pub fn concat(&self) -> String {
        let bytes: Vec<u8> = self.strands().flat_map(|s| s.text().iter().copied()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Bytes of it that nobody has compressed yet.
    pub fn unpacked(&self) -> usize {
        let missing = self.strands().filter(|s| s.0.packed.get().is_none());
        missing.map(|s| s.text().len()).sum()
    }

    /// Bytes of the gzip member, and what stands behind the deflated strands in it.
    pub fn gzip(&self) -> (usize, [u8; GZIP_END]) {
        let (mut len, mut crc) = (GZIP_HEAD.len() + GZIP_END, Crc::new());
        for run in &self.runs {
            match run {
                Run::One(strand) => {
                    let packed = strand.pack();
                    len += packed.bytes.len();
                    crc.combine(&packed.crc);
                }
                Run::Many(blocks) => {
                    let (bytes, of_blocks) = blocks.pack();
                    len += bytes;
                    crc.combine(of_blocks);
                }
            }
        }
        let mut end = [0; GZIP_END];
        end[..2].copy_from_slice(&LAST_BLOCK);
        end[2..6].copy_from_slice(&crc.sum().to_le_bytes());
        // Modulo 2^32 (RFC 1952, 2.3.1).
        end[6..].copy_from_slice(&(self.len as u32).to_le_bytes());
        (len, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn gunzip(rope: &Rope) -> Vec<u8> {
        let (len, end) = rope.gzip();
        let mut member = GZIP_HEAD.to_vec();
        rope.strands().for_each(|s| member.extend_from_slice(s.packed()));
        member.extend_from_slice(&end);
        assert_eq!(member.len(), len);
        let (mut read, mut out) = (flate2::bufread::GzDecoder::new(&member[..]), Vec::new());
        read.read_to_end(&mut out).expect("one right member");
        assert!(read.into_inner().is_empty(), "nothing behind it");
        out
    }

    fn one(text: &str) -> Run {
        Run::One(Strand::new(text.to_owned()))
    }

    #[test]
    fn strands_behind_one_another_are_one_gzip_member() {
        let long: String = (0..9_000).map(|n| format!("line {n}\n")).collect();
        let blocks = Blocks::default().and("first\n").and(&long).and("third\n");
        for runs in [
            vec![],
            vec![one("")],
            vec![one("a\n")],
            vec![one("head\n"), Run::Many(Arc::new(blocks)), one(""), one(&long), one("tail\n")],
        ] {
            let rope = Rope::new(runs);
            let text = rope.concat();
            assert_eq!(rope.len(), text.len());
            assert_eq!(gunzip(&rope), text.as_bytes());
            assert_eq!(rope.unpacked(), 0);
        }
    }

    #[test]
    fn equal_strands_of_the_version_before_are_taken_over() {
        let before = Rope::new(vec![one("head\n"), one("body\n")]);
        let _ = before.gzip();
        let next = Rope::new(vec![one("head\n"), one("body 2\n"), one("tail\n")]);
        let (hash, unpacked) = (next.hash(), next.unpacked());
        let next = next.sharing(&before);
        assert_eq!((next.hash(), next.concat().as_str()), (hash, "head\nbody 2\ntail\n"));
        assert_eq!(unpacked - next.unpacked(), "head\n".len());
    }

    #[test]
    fn the_hash_tells_texts_apart_and_ranges_are_found() {
        let blocks = Blocks::default().and("one\n").and("two\n").and("three\n");
        let mut seen = std::collections::BTreeSet::new();
        for runs in [
            vec![one("a"), one("b")],
            vec![one("b"), one("a")],
            vec![one("ab")],
            vec![one("a"), Run::Many(Arc::new(Blocks::default())), one("c")],
        ] {
            assert!(seen.insert(Rope::new(runs).hash()));
        }
        for (from, to, want) in [(0, 14, "one\ntwo\nthree\n"), (5, 9, "wo\nt"), (8, 8, "")] {
            let mut out = String::new();
            blocks.copy(&mut out, from, to);
            assert_eq!(out, want);
        }
    }
}
