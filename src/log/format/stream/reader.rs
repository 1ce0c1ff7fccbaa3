//! Takes a stream apart as it arrives, in whatever pieces: header, runs of verified records with
//! their positions, and what the sender says beside them.

use crate::base::ids::Generation;
use crate::log::format::extent::TRAILER_LEN;
use crate::log::format::footer::Footer;
use crate::log::format::record::{Frame, FrameError, frame, kind};
use crate::log::format::stream::{STREAM_HEADER_LEN, StreamError, StreamHeader};
use crate::log::format::version::Range;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, Position};
use bytes::{Bytes, BytesMut};

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Whole records of one extent, verified.
    Records {
        /// Where the first starts.
        first: Position,
        /// Their bytes.
        bytes: Bytes,
    },
    /// The next record lies here.
    Moved(Position),
    /// The sender's log goes this far.
    Reach(Position),
    /// Nothing follows.
    Sealed,
}

/// Reads one stream. Holds at most one record and one piece of what was pushed.
#[derive(Debug)]
pub struct StreamReader {
    reads: Range,
    want: Generation,
    at: Option<Position>,
    /// The start of a record that is not complete yet.
    carry: BytesMut,
    /// What follows it.
    chunk: Bytes,
}

impl StreamReader {
    /// Of a log of generation `want`, by a reader of these versions.
    pub fn new(reads: Range, want: Generation) -> StreamReader {
        let (carry, chunk) = (BytesMut::new(), Bytes::new());
        StreamReader { reads, want, at: None, carry, chunk }
    }

    /// Where the next record starts; `None` before the header has arrived.
    pub fn position(&self) -> Option<Position> {
        self.at
    }

    /// Takes in the next piece. [`StreamReader::next`] must have said `None` since the last.
    pub fn push(&mut self, piece: Bytes) {
        if self.carry.is_empty() && self.chunk.is_empty() {
            self.chunk = piece;
        } else {
            self.carry.extend_from_slice(&std::mem::take(&mut self.chunk));
            self.carry.extend_from_slice(&piece);
        }
    }

    /// The next item of what was pushed; `None` when more is needed. After an error the stream is
    /// of no use; what was read before it stands.
    #[allow(clippy::should_implement_trait, reason = "None is not its end: push gives it more")]
    pub fn next(&mut self) -> Result<Option<Item>, StreamError> {
        let Some(at) = self.at else {
            let Some(head) = self.take(STREAM_HEADER_LEN) else { return Ok(None) };
            let header = StreamHeader::decode(&head, self.reads)?;
            if header.generation != self.want {
                let (got, want) = (header.generation, self.want);
                return Err(StreamError::Generation { got, want });
            }
            self.at = Some(header.position);
            return self.next();
        };
        let (run, stop) = run(self.rest());
        if run > 0 {
            let Some(bytes) = self.take(run) else { return Ok(None) };
            self.at = Some(Position { offset: at.offset + run as u64, ..at });
            return Ok(Some(Item::Records { first: at, bytes }));
        }
        match stop {
            Ok(Some(f)) => {
                let Some(bytes) = self.take(f.len) else { return Ok(None) };
                let item = own(f, &bytes).ok_or(StreamError::Kind { at, kind: f.kind })?;
                if let Item::Moved(to) = item {
                    self.at = Some(to);
                }
                Ok(Some(item))
            }
            Ok(None) | Err(FrameError::Incomplete { .. }) => {
                self.keep();
                Ok(None)
            }
            Err(why) => Err(StreamError::Record { at, why }),
        }
    }

    fn rest(&self) -> &[u8] {
        if self.carry.is_empty() { &self.chunk } else { &self.carry }
    }

    /// The first `n` bytes of what is there.
    fn take(&mut self, n: usize) -> Option<Bytes> {
        if self.rest().len() < n {
            self.keep();
            return None;
        }
        Some(match self.carry.is_empty() {
            true => self.chunk.split_to(n),
            false => self.carry.split_to(n).freeze(),
        })
    }

    /// Keeps what is left of a piece until the next arrives, without holding the piece.
    fn keep(&mut self) {
        self.carry.extend_from_slice(&std::mem::take(&mut self.chunk));
    }
}

/// Bytes of whole records of the log at the start of `bytes`, and what stands behind them: a record
/// of the stream's own, nothing, or no record.
fn run(bytes: &[u8]) -> (usize, Result<Option<Frame>, FrameError>) {
    let mut len = 0;
    while len < bytes.len() {
        match frame(&bytes[len..], true) {
            Ok(f) if f.kind < kind::FOOTER => len += f.len,
            Ok(f) => return (len, Ok(Some(f))),
            Err(e) => return (len, Err(e)),
        }
    }
    (len, Ok(None))
}

/// A record of the stream's own.
fn own(f: Frame, bytes: &Bytes) -> Option<Item> {
    let body = &bytes[FRAME_PREFIX + FRAME_HEAD..];
    let position = || {
        let (extent, rest) = body.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        let (extent, offset) = (u32::from_le_bytes(*extent), u64::from_le_bytes(*offset));
        // Room for what follows: no file is that long.
        (offset <= i64::MAX as u64).then_some(Position { extent, offset })
    };
    match f.kind {
        kind::MOVED => position().map(Item::Moved),
        kind::REACH => position().map(Item::Reach),
        kind::SEALED => Some(Item::Sealed),
        _ => None,
    }
}

/// Reads a whole index: the footers, where to read on, and whether the log is sealed.
pub fn read_index(
    mut bytes: Bytes,
    reads: Range,
    want: Generation,
) -> Result<(Vec<Footer>, Position, bool), StreamError> {
    let header = StreamHeader::decode(&bytes, reads)?;
    if header.generation != want {
        return Err(StreamError::Generation { got: header.generation, want });
    }
    let at = header.position;
    let mut rest = bytes.split_off(STREAM_HEADER_LEN);
    let (mut footers, mut sealed) = (Vec::new(), false);
    while !rest.is_empty() {
        let f = frame(&rest, true).map_err(|why| StreamError::Record { at, why })?;
        let wrong = StreamError::Kind { at, kind: f.kind };
        let len = match f.kind {
            kind::FOOTER if !sealed => {
                footers.push(Footer::decode(&rest)?);
                f.len + TRAILER_LEN
            }
            kind::SEALED if !sealed => {
                sealed = true;
                f.len
            }
            _ => return Err(wrong),
        };
        if len > rest.len() {
            return Err(wrong);
        }
        let _ = rest.split_to(len);
    }
    Ok((footers, at, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Msn, Seq, TrackId};
    use crate::base::time::Wall;
    use crate::log::format::record::{encode_mark, encode_packet};
    use crate::log::format::stream::{put_moved, put_reach, put_sealed};
    use crate::log::format::version::{VERSION, Wrote};
    use crate::media::packet::Packet;
    use crate::media::timeline::mark::{End, Mark};

    const AT: Position = Position { extent: 2, offset: 4_096 };
    const NEXT: Position = Position { extent: 3, offset: 32 };

    fn header() -> StreamHeader {
        let today = (Wrote::TODAY, Range::TODAY);
        StreamHeader::answer(today.0, today.1, Generation(7), AT).expect("today reads today")
    }

    fn records(n: u64) -> BytesMut {
        let mut out = BytesMut::new();
        for i in 0..n {
            let payload = Bytes::from(vec![i as u8; 300 + i as usize]);
            let packet = Packet { track: TrackId::VIDEO, dts: 0, cts: 0, key: false, payload };
            encode_packet(&mut out, &packet, Some(Seq(i))).expect("it fits");
        }
        out
    }

    /// A stream of two extents, and what is in it.
    fn stream() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (first, second) = (records(5), records(3));
        let mut out = BytesMut::new();
        out.extend_from_slice(&header().encode());
        put_reach(&mut out, Position { extent: 3, offset: 99 });
        out.extend_from_slice(&first);
        put_moved(&mut out, NEXT);
        out.extend_from_slice(&second);
        put_sealed(&mut out);
        (out.to_vec(), first.to_vec(), second.to_vec())
    }

    #[test]
    fn a_stream_in_pieces_of_any_length_gives_the_same_records_at_the_same_places() {
        let (bytes, first, second) = stream();
        for step in [1, 2, 7, 11, 39, 40, 41, 100, 333, 1000, bytes.len()] {
            let mut reader = StreamReader::new(Range::TODAY, Generation(7));
            let (mut got, mut at) = ([Vec::new(), Vec::new()], AT);
            let (mut reach, mut sealed) = (None, false);
            for piece in bytes.chunks(step) {
                reader.push(Bytes::copy_from_slice(piece));
                while let Some(item) = reader.next().expect("a good stream") {
                    assert!(!sealed, "nothing follows");
                    match item {
                        Item::Records { first, bytes } => {
                            assert_eq!(first, at);
                            at.offset += bytes.len() as u64;
                            got[usize::from(at.extent == 3)].extend_from_slice(&bytes);
                        }
                        Item::Moved(to) => at = to,
                        Item::Reach(to) => reach = Some(to),
                        Item::Sealed => sealed = true,
                    }
                    assert_eq!(reader.position(), Some(at));
                }
            }
            assert_eq!(got, [first.clone(), second.clone()], "{step}");
            assert_eq!((reach, sealed), (Some(Position { extent: 3, offset: 99 }), true));
        }
    }

    #[test]
    fn whole_records_of_a_piece_are_not_copied() {
        let mut reader = StreamReader::new(Range::TODAY, Generation(7));
        reader.push(Bytes::copy_from_slice(&header().encode()));
        assert_eq!(reader.next(), Ok(None));
        let piece = records(4).freeze();
        reader.push(piece.clone());
        let Ok(Some(Item::Records { bytes, .. })) = reader.next() else { panic!("records") };
        assert_eq!(bytes.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn every_flipped_byte_is_an_error_or_a_wait_and_invents_nothing() {
        let (bytes, first, second) = stream();
        let good = [first, second].concat();
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            let mut reader = StreamReader::new(Range::TODAY, Generation(7));
            reader.push(bad.into());
            let mut got = Vec::new();
            while let Ok(Some(item)) = reader.next() {
                if let Item::Records { bytes, .. } = item {
                    got.extend_from_slice(&bytes);
                }
            }
            assert!(good.starts_with(&got), "byte {i}");
        }
    }

    #[test]
    fn what_is_no_stream_of_this_log_is_said_so() {
        let (bytes, ..) = stream();
        let read = |bytes: Vec<u8>, reads, want| {
            let mut reader = StreamReader::new(reads, Generation(want));
            reader.push(bytes.into());
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return "waits".to_owned(),
                    Err(e) => return e.to_string(),
                }
            }
        };
        let today = Range::TODAY;
        let later = Range { oldest: VERSION + 1, newest: VERSION + 2 };
        let chose = format!("the sender chose version {VERSION}, asked for was {later}");
        let mut kind = header().encode().to_vec();
        let mut out = BytesMut::new();
        put_sealed(&mut out);
        let at = out.len() - 4;
        // A footer has no place in a stream of records.
        out[at] = kind::FOOTER;
        let sum = crate::log::format::crc(&out[8..]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        kind.extend_from_slice(&out);
        for (bytes, reads, want, says) in [
            (bytes.clone(), today, 7, "waits"),
            (bytes.clone(), today, 8, "the sender sent generation 7, asked for was 8"),
            (bytes.clone(), later, 7, &*chose),
            (b"HTTP/1.1 ".repeat(9), today, 7, "this is not a stream of a castctl log"),
            (kind, today, 7, "at 2:4096 of the sender's log: a malformed record of kind 128"),
        ] {
            assert_eq!(read(bytes, reads, want), says);
        }
    }

    #[test]
    fn an_index_is_read_whole_or_not_at_all() {
        let mut indexer = crate::log::format::index::Indexer::new();
        let mut record = BytesMut::new();
        let end =
            End { msn: Msn(3), dseq: 0, wall: Wall(0), tracks: Vec::new(), session_over: true };
        let mark = Mark::End(end);
        encode_mark(&mut record, &mark).expect("it fits");
        indexer.mark(32, &record, Some(&mark)).expect("it fits");
        let footer = indexer.footer(32 + record.len() as u64);
        let mut out = BytesMut::from(&header().encode()[..]);
        footer.encode(&mut out);
        footer.encode(&mut out);
        let open = out.clone().freeze();
        put_sealed(&mut out);
        let read = |b: Bytes| read_index(b, Range::TODAY, Generation(7));
        let both = vec![footer.clone(), footer];
        assert_eq!(read(open.clone()), Ok((both.clone(), AT, false)));
        assert_eq!(read(out.clone().freeze()), Ok((both, AT, true)));
        let first = open.len() - (open.len() - STREAM_HEADER_LEN) / 2;
        for cut in (0..first).filter(|c| *c != STREAM_HEADER_LEN) {
            assert!(read(open.slice(..cut)).is_err(), "{cut} bytes");
        }
    }
}
