//! What is known about an extent while its records go by: the same code runs in the writer, in
//! recovery and in a footer's rebuilding, so the three cannot disagree.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::log::format::footer::{self, Footer, SPAN_LEN};
use crate::log::format::record::{Record, kind};
use crate::log::format::{
    FormatError, LIST_MAX, MARK_BYTES_MAX, MARKS_MAX, OPEN_SAMPLES_MAX, Position, Span,
};
use crate::media::timeline::mark::{End, GenerationStart, LastSegment, Mark, TrackEnd};
use bytes::{BufMut, BytesMut};
use std::collections::VecDeque;

/// Room for an end record, twice: in the log and in the footer's list. It has at most 15 bytes for
/// each of [`LIST_MAX`] tracks and 50 beside.
const END_ROOM: usize = 2048 + 256;

/// A listed sample that no part has taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSample {
    /// Its place in the track.
    pub seq: Seq,
    /// Where its record starts.
    pub start: Position,
    /// Bytes of its record.
    pub len: u32,
}

/// How far the marks of a track have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The newest segment.
    pub msn: Msn,
    /// Its parts so far, gap parts counted.
    pub parts: u32,
    /// What becomes of it if the log ends here.
    pub last: LastSegment,
    /// Wall clock of the end of the newest part or gap; of the segment's start while it has none.
    pub wall: Option<Wall>,
}

/// One track in one extent. Counts are the extent's own; `next_seq`, `tail` and `open` run through
/// the whole log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackIndex {
    /// The track.
    pub track: TrackId,
    /// The seq after the newest listed sample.
    pub next_seq: Seq,
    /// Packets, listed or not.
    pub packets: u64,
    /// Packets that are not listed.
    pub unlisted: u64,
    /// Key frames (every packet of audio).
    pub keys: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// How far its marks are; `None` before the first.
    pub tail: Option<Tail>,
    /// Listed samples that wait for their part's end.
    pub open: VecDeque<OpenSample>,
}

/// Reads along and keeps what a footer holds.
#[derive(Debug, Clone, Default)]
pub struct Indexer {
    extent: u32,
    tracks: Vec<TrackIndex>,
    dseq: Option<u64>,
    wall: Option<(Wall, Wall)>,
    msn: Option<(Msn, Msn)>,
    marks: u32,
    block: BytesMut,
    ended: Option<End>,
}

impl Indexer {
    /// At the start of a log's first extent.
    pub fn new() -> Indexer {
        Indexer::default()
    }

    /// At the start of the extent after the one that `footer` closes.
    pub fn resume(footer: &Footer) -> Indexer {
        let mut next = Indexer::at(footer);
        next.roll();
        next
    }

    /// As it was when it made `footer`.
    pub fn at(footer: &Footer) -> Indexer {
        let mut ended = None;
        for m in footer.marks() {
            if let Mark::End(end) = m.mark {
                ended = Some(end);
            }
        }
        Indexer {
            extent: footer.extent,
            tracks: footer.tracks.clone(),
            dseq: footer.dseq,
            wall: footer.wall,
            msn: footer.msn,
            marks: footer.marks,
            block: BytesMut::from(&footer.block[..]),
            ended,
        }
    }

    /// Moves on to the next extent.
    pub fn roll(&mut self) {
        self.extent += 1;
        self.wall = None;
        self.msn = None;
        self.marks = 0;
        self.block = BytesMut::new();
        for t in &mut self.tracks {
            (t.packets, t.unlisted, t.keys, t.bytes) = (0, 0, 0, 0);
        }
    }

    /// The extent it reads.
    pub fn extent(&self) -> u32 {
        self.extent
    }

    /// Is it time to roll, so that the footer stays within its limits?
    pub fn full(&self) -> bool {
        self.marks as usize >= MARKS_MAX / 2 || self.block.len() >= MARK_BYTES_MAX / 2
    }

    /// Takes in the record whose bytes `raw` start at `offset`. Refuses a mark beyond the limits of
    /// an extent: no writer writes it, so it is damage.
    pub fn observe(&mut self, offset: u64, raw: &[u8], record: &Record) -> Result<(), FormatError> {
        match record {
            Record::Packet { packet, seq } => {
                let len = packet.payload.len();
                self.packet(packet.track, *seq, packet.key, len, offset, raw.len());
                Ok(())
            }
            Record::Mark(mark) => self.mark(offset, raw, Some(mark)),
            // Of no use once the extent is sealed.
            Record::Unknown { kind: kind::DURABLE } => Ok(()),
            Record::Unknown { .. } => self.mark(offset, raw, None),
        }
    }

    /// Takes in a packet: `payload` bytes in a record of `len` bytes at `offset`.
    pub fn packet(
        &mut self,
        track: TrackId,
        seq: Option<Seq>,
        key: bool,
        payload: usize,
        offset: u64,
        len: usize,
    ) {
        let start = Position { extent: self.extent, offset };
        let Some(t) = self.track(track) else { return };
        t.packets += 1;
        t.keys += u64::from(key);
        t.bytes += payload as u64;
        let Some(seq) = seq else {
            t.unlisted += 1;
            return;
        };
        t.next_seq = Seq(seq.0.saturating_add(1));
        if t.open.len() >= OPEN_SAMPLES_MAX {
            t.open.pop_front();
        }
        t.open.push_back(OpenSample { seq, start, len: u32::try_from(len).unwrap_or(u32::MAX) });
    }

    /// Takes in a record that is not a packet; `None` for a kind this version does not know.
    pub fn mark(
        &mut self,
        offset: u64,
        raw: &[u8],
        mark: Option<&Mark>,
    ) -> Result<(), FormatError> {
        let bytes = self.block.len() + 9 + SPAN_LEN + raw.len();
        for (what, len, max) in [
            ("an extent's list of marks", self.marks as usize + 1, MARKS_MAX),
            ("an extent's marks in bytes", bytes, MARK_BYTES_MAX),
        ] {
            if len > max {
                return Err(FormatError::TooLarge { what, len, max });
            }
        }
        let span = mark.and_then(|m| self.apply(m));
        self.marks += 1;
        self.block.put_u64_le(offset);
        self.block.put_u8(u8::from(span.is_some()));
        if let Some(span) = span {
            for p in [span.start, span.end] {
                self.block.put_u32_le(p.extent);
                self.block.put_u64_le(p.offset);
            }
        }
        self.block.put_slice(raw);
        Ok(())
    }

    /// What a mark says about its track; the bytes of a part's samples where the mark ends one.
    fn apply(&mut self, mark: &Mark) -> Option<Span> {
        match mark {
            Mark::Generation(m) => {
                self.dseq = Some(self.dseq.map_or(m.dseq, |d| d.max(m.dseq)));
            }
            Mark::SegmentStart(m) => {
                let tail =
                    Tail { msn: m.msn, parts: 0, last: LastSegment::Lost, wall: Some(m.wall) };
                self.reached(m.track, tail, Some(m.dseq), m.wall);
            }
            Mark::PartEnd(m) => {
                let before = self.track(m.track)?.tail.and_then(|t| t.wall);
                let wall = before.map(|w| w.plus(m.duration));
                let parts = m.part.saturating_add(1);
                let tail = Tail { msn: m.msn, parts, last: LastSegment::Short, wall };
                self.reached(m.track, tail, None, wall.unwrap_or_default());
                return self.take_part(m.track, m.first_seq, m.last_seq);
            }
            Mark::Gap(m) => {
                let so_far = self.track(m.track)?.tail.filter(|t| t.msn == m.msn);
                let (parts, last) = match m.part {
                    Some(part) => (part.saturating_add(1), LastSegment::Short),
                    None => (so_far.map_or(0, |t| t.parts), LastSegment::Complete),
                };
                let end = m.wall.plus(m.duration);
                let tail = Tail { msn: m.msn, parts, last, wall: Some(end) };
                self.reached(m.track, tail, Some(m.dseq), m.wall);
            }
            Mark::End(m) => self.ended = Some(m.clone()),
            Mark::Session(_) | Mark::Track(_) | Mark::Cue(_) => {}
        }
        None
    }

    /// Notes how far a track has come and widens the extent's ranges.
    fn reached(&mut self, track: TrackId, tail: Tail, dseq: Option<u64>, from: Wall) {
        if let Some(dseq) = dseq {
            self.dseq = Some(self.dseq.map_or(dseq, |d| d.max(dseq)));
        }
        let msn = tail.msn;
        self.msn = Some(self.msn.map_or((msn, msn), |(a, b)| (a.min(msn), b.max(msn))));
        if let Some(to) = tail.wall {
            self.wall = Some(self.wall.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
        }
        if let Some(t) = self.track(track) {
            t.tail = Some(tail);
        }
    }

    /// Takes the samples of a part from those that wait; `None` where its first is not among them.
    fn take_part(&mut self, track: TrackId, first: Seq, last: Seq) -> Option<Span> {
        let open = &mut self.track(track)?.open;
        let (mut span, mut whole) = (None::<Span>, false);
        while let Some(s) = open.front().copied().filter(|s| s.seq <= last) {
            open.pop_front();
            if s.seq < first {
                continue;
            }
            whole |= s.seq == first;
            let end = Position { offset: s.start.offset.saturating_add(s.len.into()), ..s.start };
            span = Some(Span { start: span.map_or(s.start, |x| x.start), end });
        }
        span.filter(|_| whole)
    }

    /// The track's entry, made on first sight; `None` beyond [`LIST_MAX`] tracks, which no writer
    /// writes.
    fn track(&mut self, id: TrackId) -> Option<&mut TrackIndex> {
        let at = match self.tracks.iter().position(|t| t.track == id) {
            Some(at) => at,
            None if self.tracks.len() >= LIST_MAX => return None,
            None => {
                self.tracks.push(TrackIndex { track: id, ..TrackIndex::default() });
                self.tracks.len() - 1
            }
        };
        self.tracks.get_mut(at)
    }

    /// At most the bytes that end the log here: an end record, the footer with it in it, the
    /// trailer.
    pub fn closing_len(&self) -> usize {
        footer::encoded_len(&self.tracks, self.block.len()) + END_ROOM
    }

    /// The footer of the extent if its records end at `records_end`.
    pub fn footer(&self, records_end: u64) -> Footer {
        Footer {
            extent: self.extent,
            records_end,
            tracks: self.tracks.clone(),
            dseq: self.dseq,
            wall: self.wall,
            msn: self.msn,
            marks: self.marks,
            block: self.block.clone().freeze(),
        }
    }

    /// Has the end record been seen?
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// How the generation has ended if nothing follows: its end record, or else what the marks so
    /// far amount to.
    pub fn end(&self, start: &GenerationStart) -> End {
        if let Some(end) = &self.ended {
            return end.clone();
        }
        let tails = || self.tracks.iter().filter_map(|t| Some((t.track, t.tail?)));
        let before = start.previous.as_ref().map(|(_, e)| e.wall);
        End {
            msn: tails().map(|(_, t)| t.msn).max().unwrap_or(Msn(start.base.0.saturating_sub(1))),
            dseq: self.dseq.unwrap_or(start.dseq),
            wall: tails().filter_map(|(_, t)| t.wall).max().or(before).unwrap_or_default(),
            tracks: tails()
                .map(|(track, t)| TrackEnd { track, msn: t.msn, parts: t.parts, last: t.last })
                .collect(),
            session_over: false,
        }
    }
}
