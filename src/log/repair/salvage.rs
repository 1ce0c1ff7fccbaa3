//! One extent's bytes, read as far as they can be: every good record, over damage and on behind it.
//! Pure. What the records mean together is `mend`'s business; which file they came from is nobody's
//! here.
//!
//! Where no record begins, three things are tried in this order:
//! 1. The footer, when it is whole: it holds every mark verbatim with its place, so a damaged mark
//!    is taken from there, and the next mark's place is where reading goes on at the latest.
//! 2. The record's own length. Where a good record follows at its end, only this one is lost.
//!    Where instead the record's checksum is right for the bytes up to some good record, only its
//!    length field was damaged, and the record is whole again.
//! 3. A search, byte by byte, for the next good record. Checksums are tried only where a length is
//!    plausible, and no more than [`SEARCH_FACTOR`] bytes of them for each byte that is searched,
//!    so the cost stays linear whatever the bytes are. A packet or mark whose number is not above
//!    the newest of its track is not believed: media may hold what looks like a record, and what is
//!    left of a footer copies of marks.

use crate::base::ids::TrackId;
use crate::log::format::extent::{HEADER_LEN, Header, HeaderError, TRAILER_LEN, footer_start};
use crate::log::format::footer::{FOOTER_HEAD, Footer, SPAN_LEN};
use crate::log::format::record::{Frame, FrameError, Record, decode, frame, kind};
use crate::log::format::{FRAME_PREFIX, MARK_MAX, crc};
use crate::media::timeline::mark::Mark;
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::collections::HashMap;

/// Bytes of checksums that a search may try for each byte it moves on. In random bytes one place in
/// 2^16 has the length and kind of a packet, which is 8 MiB on average: 128.
pub const SEARCH_FACTOR: usize = 512;

/// ... and at the start of a search: the first candidate may be the largest record.
pub const SEARCH_START: usize = 64 << 20;

/// A footer's marks are believed when at least one in so many lies in the file as it says.
const AGREE_SHARE: usize = 4;

/// Good records between a damaged record's head and its end that are tried as that end: the next
/// one is nearly always it, and media made of such records must not cost more than reading it.
const END_TRIES: usize = 64;

/// What lies in an extent, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// A good record.
    Record(Found),
    /// A record whose bytes in the file are damaged, whole again: a mark out of the footer, or a
    /// record whose length field alone was hit.
    Restored {
        /// The record as it was.
        found: Found,
        /// What its bytes in the file showed.
        why: FrameError,
    },
    /// Bytes that belong to no record that can be read.
    Lost {
        /// Where in the file.
        at: u64,
        /// How many.
        len: u64,
        /// What is wrong where they begin.
        why: FrameError,
        /// Nothing good follows and the extent has no footer: a torn tail.
        tail: bool,
    },
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it begins in the file.
    pub at: u64,
    /// Its bytes.
    pub raw: Bytes,
    /// Its head.
    pub frame: Frame,
    /// Its content.
    pub record: Record,
}

/// The two ends of an extent and how much of it is what.
#[derive(Debug, Clone, PartialEq)]
pub struct Ends {
    /// The header, or what is wrong with it.
    pub header: Result<Header, HeaderError>,
    /// The footer, when it is whole and lies where it says.
    pub footer: Option<Footer>,
    /// What is wrong at the end of an extent that was sealed: the footer, its trailer, or bytes
    /// behind it.
    pub footer_fault: Option<String>,
    /// Where the records end: at the footer, or where nothing good follows.
    pub records_end: u64,
    /// Places that look like a record's head and were not tried, because too many do.
    pub untried: u64,
}

impl Ends {
    /// Was the extent sealed once, whatever has become of its footer?
    pub fn was_sealed(&self) -> bool {
        self.footer.is_some() || self.footer_fault.is_some()
    }
}

/// Reads the extent `index`, whose whole file is `bytes`; `each` gets its pieces in order.
pub fn salvage(index: u32, bytes: &Bytes, each: &mut dyn FnMut(Piece)) -> Ends {
    let header = Header::decode(bytes);
    let len = bytes.len();
    let tail = &bytes[len.saturating_sub(TRAILER_LEN)..];
    let promised = footer_start(len as u64, tail).map(|at| at as usize);
    let mut walk = Walk {
        index,
        bytes,
        promised,
        footer: None,
        fault: None,
        hints: Vec::new(),
        newest: HashMap::new(),
        parts: HashMap::new(),
        begun: HashMap::new(),
        untried: Cell::new(0),
        each,
    };
    if let Some(at) = promised {
        match walk.footer_at(at) {
            Ok(footer) => walk.hints = walk.believed(&footer),
            Err(why) => walk.fault = Some(why),
        }
    }
    let start = match &header {
        Ok(_) => HEADER_LEN,
        // What the footer says of the first record's place is right.
        Err(_) if !walk.hints.is_empty() => HEADER_LEN,
        Err(_) if bytes.get(HEADER_LEN..).is_some_and(|b| frame(b, true).is_ok()) => HEADER_LEN,
        Err(_) if len <= HEADER_LEN => len,
        // The file's first bytes may be gone, not only changed.
        Err(_) => walk.search(0, len).unwrap_or(HEADER_LEN),
    };
    if start > HEADER_LEN {
        let (at, why) = (HEADER_LEN as u64, FrameError::Checksum);
        (walk.each)(Piece::Lost { at, len: start as u64 - at, why, tail: start == len });
    }
    let records_end = walk.run(start) as u64;
    let Walk { footer, fault, untried, .. } = walk;
    let footer_fault = if footer.is_some() && promised.is_some() { None } else { fault };
    Ends { header, footer, footer_fault, records_end, untried: untried.get() }
}

struct Walk<'a> {
    index: u32,
    bytes: &'a Bytes,
    /// Where the footer lies, if the trailer is right.
    promised: Option<usize>,
    footer: Option<Footer>,
    fault: Option<String>,
    /// Marks that the footer holds: where they lie and their bytes.
    hints: Vec<(usize, Bytes)>,
    newest: HashMap<TrackId, u64>,
    /// The last sample of the newest part, and the newest segment that began.
    parts: HashMap<TrackId, u64>,
    begun: HashMap<TrackId, u64>,
    untried: Cell<u64>,
    each: &'a mut dyn FnMut(Piece),
}

impl Walk<'_> {
    /// The footer at `at`, if it is this extent's and lies where it says.
    fn footer_at(&self, at: usize) -> Result<Footer, String> {
        let footer = Footer::decode(&self.bytes.slice(at..)).map_err(|e| e.to_string())?;
        if footer.extent != self.index {
            return Err(format!("the footer is that of extent {}", footer.extent));
        }
        if footer.records_end != at as u64 {
            return Err("the footer belongs elsewhere".into());
        }
        Ok(footer)
    }

    /// The footer's marks with their places, if enough of them lie there and no other record does:
    /// a footer of another log may be whole, and have the right number.
    fn believed(&self, footer: &Footer) -> Vec<(usize, Bytes)> {
        let all: Vec<(usize, Bytes)> = footer.raw_marks().map(|(at, b)| (at as usize, b)).collect();
        let mut agree = 0;
        for (at, raw) in &all {
            let there = self.bytes.get(*at..).unwrap_or_default();
            if there.starts_with(raw) {
                agree += 1;
            } else if frame(there, true).is_ok() {
                return Vec::new();
            }
        }
        if agree > 0 && agree * AGREE_SHARE >= all.len() { all } else { Vec::new() }
    }

    /// Walks from `at` to the end of the records and answers where that is.
    fn run(&mut self, mut at: usize) -> usize {
        let len = self.bytes.len();
        loop {
            if Some(at) == self.promised {
                self.footer = self.footer_at(at).ok();
                return at;
            }
            if at >= len {
                return at;
            }
            match frame(&self.bytes[at..], true) {
                Ok(f) if f.kind == kind::FOOTER => match self.met_footer(at, f) {
                    Some(end) => return end,
                    None => at = self.hole(at, FrameError::Checksum),
                },
                Ok(f) => {
                    let found = self.found(at, self.bytes.slice(at..at + f.len), f);
                    (self.each)(Piece::Record(found));
                    at += f.len;
                }
                Err(why) => match self.hole(at, why) {
                    end if end == len && self.footer.is_none() => return at,
                    next => at = next,
                },
            }
        }
    }

    /// A footer where records were due: the end of them, if it is this extent's, or if nothing but
    /// its trailer follows.
    fn met_footer(&mut self, at: usize, f: Frame) -> Option<usize> {
        match self.footer_at(at) {
            Ok(footer) => {
                let behind = self.bytes.len() - at - f.len;
                let why = match behind {
                    0..TRAILER_LEN => "the trailer behind the footer is cut off".to_owned(),
                    TRAILER_LEN => "the trailer behind the footer is damaged".to_owned(),
                    n => format!("{} bytes that nobody wrote follow the footer", n - TRAILER_LEN),
                };
                self.fault = Some(why);
                self.footer = Some(footer);
                Some(at)
            }
            Err(why) if self.bytes.len() - at - f.len <= TRAILER_LEN => {
                self.fault = Some(why);
                Some(at)
            }
            Err(_) => None,
        }
    }

    fn found(&mut self, at: usize, raw: Bytes, frame: Frame) -> Found {
        let record = decode(frame, &raw).unwrap_or(Record::Unknown { kind: frame.kind });
        let (newest, track, number) = match &record {
            Record::Packet { packet, seq: Some(seq) } => (&mut self.newest, packet.track, seq.0),
            Record::Mark(Mark::PartEnd(p)) => (&mut self.parts, p.track, p.last_seq.0),
            Record::Mark(Mark::SegmentStart(s)) => (&mut self.begun, s.track, s.msn.0),
            _ => return Found { at: at as u64, raw, frame, record },
        };
        let newest = newest.entry(track).or_insert(number);
        *newest = number.max(*newest);
        Found { at: at as u64, raw, frame, record }
    }

    /// Says what is lost where no record begins; answers where to read on.
    fn hole(&mut self, at: usize, why: FrameError) -> usize {
        let next = self.hints.partition_point(|(hint, _)| *hint < at);
        if let Some((hint, raw)) = self.hints.get(next).cloned()
            && hint == at
            && let Ok(f) = frame(&raw, true)
        {
            let found = self.found(at, raw, f);
            (self.each)(Piece::Restored { found, why });
            return at + f.len;
        }
        if self.own_footer(at) {
            self.fault = Some("the footer is cut off or damaged".into());
            return self.bytes.len();
        }
        let end = self.promised.filter(|p| *p > at).unwrap_or(self.bytes.len());
        let limit = self.hints.get(next).map_or(end, |(hint, _)| (*hint).min(end));
        let skipped = self.skip(at, limit);
        let next = match skipped {
            Some(n) => self.search_fixed(at, n).unwrap_or(n),
            None => self.search(at + 1, limit).unwrap_or(limit),
        };
        if let Some((raw, f)) = self.relength(at, next) {
            let found = self.found(at, raw, f);
            (self.each)(Piece::Restored { found, why });
            return next;
        }
        let torn = next == self.bytes.len();
        let (at, len) = (at as u64, (next - at) as u64);
        (self.each)(Piece::Lost { at, len, why, tail: torn });
        next
    }

    /// Is what lies at `at` the beginning of this extent's footer, which says where it lies?
    fn own_footer(&self, at: usize) -> bool {
        let place = [&self.index.to_le_bytes()[..], &(at as u64).to_le_bytes()].concat();
        let head = self.bytes.get(at..at + FOOTER_HEAD).unwrap_or_default();
        head.ends_with(&place) && head[FRAME_PREFIX] == kind::FOOTER
    }

    /// Does a footer's copy of a mark begin at `at`, with the mark's place before it? The footer
    /// around it is damaged then, or it would not be searched.
    fn copied(&self, at: usize) -> bool {
        let place = |from: Option<usize>, span: u8| {
            let rest = from.and_then(|from| self.bytes.get(from..))?;
            let (offset, rest) = rest.split_first_chunk()?;
            let here = (HEADER_LEN as u64..at as u64).contains(&u64::from_le_bytes(*offset));
            (here && rest.first() == Some(&span)).then(|| &rest[1..])
        };
        let plain = at.checked_sub(9);
        let spanned = at.checked_sub(9 + SPAN_LEN);
        // The extents of a span are this one or earlier ones.
        let extent =
            |b: &[u8]| b.first_chunk().is_some_and(|e| u32::from_le_bytes(*e) <= self.index);
        place(plain, 0).is_some()
            || place(spanned, 1).is_some_and(|s| extent(s) && extent(&s[SPAN_LEN / 2..]))
    }

    /// Where the record at `at` ends by its own length, if something good is there.
    fn skip(&self, at: usize, limit: usize) -> Option<usize> {
        let n = at + frame(&self.bytes[at..], false).ok()?.len;
        let hint = || self.hints.binary_search_by_key(&n, |(at, _)| *at).is_ok();
        let good = || Some(n) == self.promised || hint() || self.good(n, limit);
        (n <= limit && good()).then_some(n)
    }

    /// Is there a good record at `at` that ends before `limit`?
    fn good(&self, at: usize, limit: usize) -> bool {
        self.bytes.get(at..limit).is_some_and(|b| frame(b, true).is_ok())
    }

    /// The next good record from `from` on, before `limit`.
    fn search(&self, from: usize, limit: usize) -> Option<usize> {
        self.candidates(from, limit).find(|at| self.plausible(*at))
    }

    /// The first good record between `at` and `to` up to which the checksum of the record at `at`
    /// is right.
    fn search_fixed(&self, at: usize, to: usize) -> Option<usize> {
        self.candidates(at + 1, to).take(END_TRIES).find(|t| self.relength(at, *t).is_some())
    }

    /// Places where a good record begins. A record may end behind `limit` only if that is where the
    /// bytes end.
    fn candidates(&self, from: usize, limit: usize) -> impl Iterator<Item = usize> + '_ {
        let mut budget = SEARCH_START;
        (from..limit).filter(move |at| {
            budget = budget.saturating_add(SEARCH_FACTOR);
            let rest = &self.bytes[*at..];
            let Ok(f) = frame(rest, false) else { return false };
            let mark = f.len <= MARK_MAX && f.kind != 0;
            if f.len > rest.len() || !(mark || matches!(f.kind, kind::PACKET | kind::FOOTER)) {
                return false;
            }
            if f.len > budget {
                self.untried.set(self.untried.get() + 1);
                return false;
            }
            budget -= f.len;
            frame(rest, true).is_ok() && (f.kind == kind::PACKET || !self.copied(*at))
        })
    }

    /// Media may hold what looks like a record; a packet's number goes on from the ones before.
    fn plausible(&self, at: usize) -> bool {
        let rest = self.bytes.slice(at..);
        let Ok(f) = frame(&rest, false) else { return false };
        match decode(f, &rest) {
            Ok(Record::Packet { packet, seq: Some(seq) }) => {
                self.newest.get(&packet.track).is_none_or(|newest| seq.0 > *newest)
            }
            Ok(Record::Mark(Mark::PartEnd(p))) => {
                self.parts.get(&p.track).is_none_or(|newest| p.last_seq.0 > *newest)
            }
            Ok(Record::Mark(Mark::SegmentStart(s))) => {
                self.begun.get(&s.track).is_none_or(|newest| s.msn.0 > *newest)
            }
            Ok(Record::Unknown { kind: kind::FOOTER }) => self.footer_at(at).is_ok(),
            _ => true,
        }
    }

    /// The record at `at` with the length that ends it at `end`, if its checksum is right then.
    fn relength(&self, at: usize, end: usize) -> Option<(Bytes, Frame)> {
        let raw = self.bytes.get(at..end)?;
        let covered = raw.get(FRAME_PREFIX..)?;
        if crc(covered).to_le_bytes() != raw[4..FRAME_PREFIX] {
            return None;
        }
        let mut fixed = BytesMut::from(raw);
        fixed[..4].copy_from_slice(&u32::try_from(covered.len()).ok()?.to_le_bytes());
        let fixed = fixed.freeze();
        let f = frame(&fixed, true).ok()?;
        (f.kind != kind::FOOTER).then_some((fixed, f))
    }
}
