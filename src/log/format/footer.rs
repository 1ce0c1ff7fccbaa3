//! The footer of a sealed extent: its marks verbatim with their places, where each part's bytes
//! lie, and what each track had come to. A reader that only needs marks reads footers and no media.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::log::format::extent::{HEADER_LEN, TRAILER_LEN, trailer};
use crate::log::format::index::{OpenSample, Tail, TrackIndex};
use crate::log::format::mark::{last_from, last_number};
use crate::log::format::record::{
    FrameError, Record, begin, decode as decode_record, finish, frame, kind,
};
use crate::log::format::wire::{Bad, Fields, opt_u64, put_opt_u64};
use crate::log::format::{
    FRAME_HEAD, FRAME_PREFIX, LENGTH_MAX, LIST_MAX, MARK_BYTES_MAX, MARKS_MAX, OPEN_SAMPLES_MAX,
    Position, Span,
};
use crate::media::timeline::mark::Mark;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a footer's record up to and with its extent's index and the offset at which it lies.
pub const FOOTER_HEAD: usize = FRAME_PREFIX + FRAME_HEAD + 4 + 8;

/// Bytes of a span among the marks.
pub(crate) const SPAN_LEN: usize = 24;

/// Bytes of one waiting sample.
const OPEN_LEN: usize = 24;

// Even the fullest footer is one record.
const _: () =
    assert!(MARK_BYTES_MAX + LIST_MAX * (OPEN_SAMPLES_MAX * OPEN_LEN + 256) + 1024 < LENGTH_MAX);

/// What a sealed extent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The extent's index.
    pub extent: u32,
    /// Offset in the file where the records end and the footer begins.
    pub records_end: u64,
    /// One entry for each track the log has had so far.
    pub tracks: Vec<TrackIndex>,
    /// Largest discontinuity sequence number so far; `None` before any mark has said one.
    pub dseq: Option<u64>,
    /// Wall clock from the first to the last that the extent's segments, parts and gaps cover.
    pub wall: Option<(Wall, Wall)>,
    /// Lowest and highest MSN that the extent's marks name.
    pub msn: Option<(Msn, Msn)>,
    /// Records that are not packets.
    pub(super) marks: u32,
    /// Per mark: u64 offset, u8 has span, the span, the record.
    pub(super) block: Bytes,
}

/// Why a footer cannot be read. It can be rebuilt from the records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FooterError {
    /// The record around it.
    #[error("the footer: {0}")]
    Frame(#[from] FrameError),
    /// Another kind of record.
    #[error("there is a record of kind {0} where the footer should be")]
    Kind(u8),
    /// Its fields.
    #[error("the footer is malformed: {0}")]
    Malformed(&'static str),
}

impl From<Bad> for FooterError {
    fn from(bad: Bad) -> FooterError {
        FooterError::Malformed(bad.0)
    }
}

/// A mark and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedMark {
    /// Where its record starts.
    pub at: Position,
    /// Where its record ends.
    pub end: Position,
    /// The mark.
    pub mark: Mark,
    /// For a part's end: from its first sample's record to the end of its last one's; may begin in
    /// an earlier extent and has other tracks' records between. `None` when the samples are not in
    /// the log.
    pub samples: Option<Span>,
}

impl Footer {
    /// The marks in the order they were written; kinds of later versions are left out.
    pub fn marks(&self) -> impl Iterator<Item = IndexedMark> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let next = entry(&self.block, self.extent, &mut at)?;
                if let (at, end, samples, Some(mark)) = next.ok()? {
                    return Some(IndexedMark { at, end, mark, samples });
                }
            }
        })
    }

    /// Every mark's offset in the file and its record's bytes, also of kinds that are not known.
    pub fn raw_marks(&self) -> impl Iterator<Item = (u64, Bytes)> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (start, end, ..) = entry(&self.block, self.extent, &mut at)?.ok()?;
            let len = (end.offset - start.offset) as usize;
            Some((start.offset, self.block.slice(at - len..at)))
        })
    }

    /// Puts the generation's start (a record; or nothing) before the marks, for readers of a log
    /// whose first extents are not there.
    pub fn begin_with(&mut self, start: &[u8]) {
        if start.is_empty() {
            return;
        }
        let mut block = BytesMut::with_capacity(9 + start.len() + self.block.len());
        block.put_u64_le(HEADER_LEN as u64);
        block.put_u8(0);
        block.put_slice(start);
        block.put_slice(&self.block);
        (self.block, self.marks) = (block.freeze(), self.marks + 1);
    }

    /// The footer as it lies at its extent's end: without what [`Footer::begin_with`] put there.
    #[must_use]
    pub fn own(&self) -> Footer {
        let (mut own, mut at) = (self.clone(), 0);
        if self.extent > 0
            && let Some(Ok((.., Some(Mark::Generation(_))))) = entry(&self.block, 0, &mut at)
        {
            (own.block, own.marks) = (self.block.slice(at..), self.marks - 1);
        }
        own
    }

    /// The position after the last record.
    pub fn end(&self) -> Position {
        Position { extent: self.extent, offset: self.records_end }
    }

    /// Appends the footer's record and the trailer: what makes an extent sealed.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = begin(out, kind::FOOTER, 0, TrackId(0));
        out.put_u32_le(self.extent);
        out.put_u64_le(self.records_end);
        put_opt_u64(out, self.dseq);
        put_opt_u64(out, self.wall.map(|w| w.0.0 as u64));
        put_opt_u64(out, self.wall.map(|w| w.1.0 as u64));
        put_opt_u64(out, self.msn.map(|m| m.0.0));
        put_opt_u64(out, self.msn.map(|m| m.1.0));
        out.put_u16_le(self.tracks.len() as u16);
        for t in &self.tracks {
            put_track(out, t);
        }
        out.put_u32_le(self.marks);
        out.put_u32_le(self.block.len() as u32);
        out.put_slice(&self.block);
        let len = finish(out, start);
        out.put_slice(&trailer(u32::try_from(len).expect("a record's length fits u32")));
    }

    /// Reads the footer's record from the start of `bytes` (the trailer may follow).
    pub fn decode(bytes: &Bytes) -> Result<Footer, FooterError> {
        let head = frame(bytes, true)?;
        if head.kind != kind::FOOTER {
            return Err(FooterError::Kind(head.kind));
        }
        let f = &mut Fields::new(&bytes[FRAME_PREFIX + FRAME_HEAD..head.len]);
        let extent = f.u32("extent")?;
        let records_end = f.u64("records' end")?;
        let dseq = opt_u64(f, "dseq")?;
        let wall = opt_u64(f, "wall")?.zip(opt_u64(f, "wall")?);
        let msn = opt_u64(f, "msn")?.zip(opt_u64(f, "msn")?);
        let tracks = tracks(f)?;
        let marks = f.u32("marks")?;
        let block = f.blob(MARK_BYTES_MAX, "marks")?;
        let from = head.len - f.rest().len() - block.len();
        let footer = Footer {
            extent,
            records_end,
            tracks,
            dseq,
            wall: wall.map(|(a, b)| (Wall(a as i64), Wall(b as i64))),
            msn: msn.map(|(a, b)| (Msn(a), Msn(b))),
            marks,
            block: bytes.slice(from..from + block.len()),
        };
        footer.check()?;
        Ok(footer)
    }

    /// Are the marks as many as said, and does each end where the next begins?
    fn check(&self) -> Result<(), FooterError> {
        let (mut at, mut n) = (0, 0);
        while let Some(entry) = entry(&self.block, self.extent, &mut at) {
            entry?;
            n += 1;
        }
        if n != self.marks || n as usize > MARKS_MAX {
            return Err(FooterError::Malformed("number of marks"));
        }
        Ok(())
    }

    /// Bytes that footer and trailer take in the file.
    pub fn encoded_len(&self) -> usize {
        encoded_len(&self.tracks, self.block.len())
    }
}

/// At most the bytes of a footer of these tracks and a block of so many bytes, trailer included.
pub(super) fn encoded_len(tracks: &[TrackIndex], block: usize) -> usize {
    let open: usize = tracks.iter().map(|t| t.open.len() * OPEN_LEN + 128).sum();
    FRAME_PREFIX + FRAME_HEAD + 128 + open + block + TRAILER_LEN
}

/// A mark's place, its part's samples, and the mark; `None` for a kind of a later version.
type Entry = (Position, Position, Option<Span>, Option<Mark>);

/// The entry at `at` of a block; moves past it. `None` at the block's end.
fn entry(block: &Bytes, extent: u32, at: &mut usize) -> Option<Result<Entry, FooterError>> {
    (*at < block.len()).then(|| read_entry(block, extent, at))
}

fn read_entry(block: &Bytes, extent: u32, at: &mut usize) -> Result<Entry, FooterError> {
    let f = &mut Fields::new(&block[*at..]);
    let offset = f.u64("mark's offset")?;
    let samples = match f.u8("mark's span")? {
        0 => None,
        _ => Some(Span { start: position(f)?, end: position(f)? }),
    };
    let from = block.len() - f.rest().len();
    let head = frame(f.rest(), true)?;
    *at = from + head.len;
    let mark = match decode_record(head, &block.slice(from..*at)) {
        Ok(Record::Mark(mark)) => Some(mark),
        _ => None,
    };
    let end = Position { extent, offset: offset.saturating_add(head.len as u64) };
    Ok((Position { extent, offset }, end, samples, mark))
}

fn position(f: &mut Fields<'_>) -> Result<Position, Bad> {
    Ok(Position { extent: f.u32("span")?, offset: f.u64("span")? })
}

fn put_track(out: &mut BytesMut, t: &TrackIndex) {
    out.put_u16_le(t.track.0);
    for v in [t.next_seq.0, t.packets, t.unlisted, t.keys, t.bytes] {
        out.put_u64_le(v);
    }
    out.put_u8(u8::from(t.tail.is_some()));
    if let Some(tail) = t.tail {
        out.put_u64_le(tail.msn.0);
        out.put_u32_le(tail.parts);
        out.put_u8(last_number(tail.last));
        put_opt_u64(out, tail.wall.map(|w| w.0 as u64));
    }
    out.put_u32_le(t.open.len() as u32);
    for s in &t.open {
        out.put_u64_le(s.seq.0);
        out.put_u32_le(s.start.extent);
        out.put_u64_le(s.start.offset);
        out.put_u32_le(s.len);
    }
}

fn tracks(f: &mut Fields<'_>) -> Result<Vec<TrackIndex>, Bad> {
    let n = usize::from(f.u16("tracks")?);
    if n > LIST_MAX {
        return Err(Bad("tracks"));
    }
    (0..n).map(|_| track(f)).collect()
}

fn track(f: &mut Fields<'_>) -> Result<TrackIndex, Bad> {
    let mut t = TrackIndex {
        track: TrackId(f.u16("track")?),
        next_seq: Seq(f.u64("next seq")?),
        packets: f.u64("packets")?,
        unlisted: f.u64("unlisted packets")?,
        keys: f.u64("key frames")?,
        bytes: f.u64("bytes")?,
        ..TrackIndex::default()
    };
    if f.u8("track's tail")? != 0 {
        t.tail = Some(Tail {
            msn: Msn(f.u64("tail's msn")?),
            parts: f.u32("tail's parts")?,
            last: last_from(f.u8("tail's state")?).ok_or(Bad("tail's state"))?,
            wall: opt_u64(f, "tail's wall")?.map(|w| Wall(w as i64)),
        });
    }
    let open = f.u32("waiting samples")? as usize;
    if open > OPEN_SAMPLES_MAX {
        return Err(Bad("waiting samples"));
    }
    for _ in 0..open {
        let (seq, start) = (Seq(f.u64("waiting sample")?), position(f)?);
        t.open.push_back(OpenSample { seq, start, len: f.u32("waiting sample")? });
    }
    Ok(t)
}
