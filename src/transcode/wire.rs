//! Records on the pipes between a worker and its parent: as a log has them (`log::format::record`),
//! one after another, with nothing between. In one direction the source's, in the other those of
//! the rungs, and reports:
//!
//! ```text
//! 132 report  JSON (`transcode::report`)
//! ```
//!
//! Invariant: any bytes: no panic, and no more memory than one record and one piece of what was
//! read.

use crate::log::format::record::{
    FrameError, Record, decode, encode_mark, encode_other, encode_packet, frame, kind,
};
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, FormatError};
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use crate::media::track::Track;
use crate::transcode::report::Report;
use bytes::{Bytes, BytesMut};

/// Why a stream of records cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No whole record lies where one must.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A record's body is not what its kind promises, or is more than a record holds.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A report that is none.
    #[error("a report: {0}")]
    Report(String),
    /// The stream ends within a record.
    #[error("the stream ends within a record")]
    Cut,
}

/// What a worker makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The configuration of a track from here on.
    Track(Track),
    /// A packet of a track whose configuration came before.
    Packet(Packet),
    /// What has been done so far.
    Report(Report),
}

/// Takes a stream of records apart as it arrives.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: BytesMut,
}

impl Splitter {
    /// Where the next piece is read to.
    pub fn room(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The next record of a source; `None`: more is needed.
    ///
    /// # Errors
    /// These bytes are no record. The stream is of no use any more.
    pub fn record(&mut self) -> Result<Option<(Record, usize)>, WireError> {
        let Some((frame, bytes)) = self.whole()? else { return Ok(None) };
        Ok(Some((decode(frame, &bytes)?, bytes.len())))
    }

    /// The next thing that a worker made; `None`: more is needed. Records that say nothing of it
    /// are passed over.
    ///
    /// # Errors
    /// As [`Splitter::record`].
    pub fn output(&mut self) -> Result<Option<Output>, WireError> {
        while let Some((frame, bytes)) = self.whole()? {
            if frame.kind == kind::REPORT {
                let json = &bytes[FRAME_PREFIX + FRAME_HEAD..];
                let report = serde_json::from_slice(json);
                let report = report.map_err(|e| WireError::Report(e.to_string()))?;
                return Ok(Some(Output::Report(report)));
            }
            match decode(frame, &bytes)? {
                Record::Packet { packet, .. } => return Ok(Some(Output::Packet(packet))),
                Record::Mark(Mark::Track(track)) => return Ok(Some(Output::Track(track))),
                Record::Mark(_) | Record::Unknown { .. } => {}
            }
        }
        Ok(None)
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// Part of a record is there.
    pub fn end(&self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Cut) }
    }

    fn whole(&mut self) -> Result<Option<(crate::log::format::record::Frame, Bytes)>, WireError> {
        match frame(&self.bytes, true) {
            Ok(frame) => {
                let bytes = self.bytes.split_to(frame.len).freeze();
                Ok(Some((frame, bytes)))
            }
            Err(FrameError::Incomplete { need }) => {
                self.bytes.reserve(need.saturating_sub(self.bytes.len()));
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// Appends a record of a source. What a worker has no use for (`Record::Unknown`) is left out.
///
/// # Errors
/// More than a record holds; `out` is as before.
pub fn put_record(out: &mut BytesMut, record: &Record) -> Result<(), WireError> {
    match record {
        Record::Packet { packet, seq } => encode_packet(out, packet, *seq)?,
        Record::Mark(mark) => encode_mark(out, mark)?,
        Record::Unknown { .. } => 0,
    };
    Ok(())
}

/// Appends what a worker made.
///
/// # Errors
/// As [`put_record`].
pub fn put_output(out: &mut BytesMut, output: Output) -> Result<(), WireError> {
    match output {
        Output::Track(track) => drop(encode_mark(out, &Mark::Track(track))?),
        Output::Packet(packet) => drop(encode_packet(out, &packet, None)?),
        Output::Report(report) => {
            let json = serde_json::to_vec(&report).expect("plain data");
            encode_other(out, kind::REPORT, &json);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Seq, TrackId};
    use crate::base::time::Timescale;
    use crate::media::track::Codec;
    use crate::transcode::report::RungReport;
    use proptest::prelude::*;

    fn packet(bytes: usize) -> Packet {
        let payload = vec![7; bytes].into();
        Packet { track: TrackId(11), dts: 1 << 40, cts: -3, key: true, payload }
    }

    #[test]
    fn records_cross_in_any_pieces() {
        let track = Track {
            id: TrackId(11),
            codec: Codec::H264,
            timescale: Timescale::new(90_000).expect("not zero"),
            rate: None,
            config: Bytes::from_static(&[1, 2, 3]),
        };
        let rungs = vec![RungReport { track: TrackId(11), encoded: 3, capped: 2, late: 1 }];
        let report = Report { decoded: 6, rungs, ..Report::default() };
        let outputs = [Output::Track(track), Output::Packet(packet(5_000)), Output::Report(report)];
        let mut bytes = BytesMut::new();
        outputs.iter().for_each(|o| put_output(&mut bytes, o.clone()).expect("small"));
        for piece in [1, 7, 4_096, bytes.len()] {
            let (mut splitter, mut got) = (Splitter::default(), Vec::new());
            for part in bytes.chunks(piece) {
                splitter.room().extend_from_slice(part);
                got.extend(std::iter::from_fn(|| splitter.output().expect("records")));
            }
            assert_eq!(got, outputs);
            assert_eq!(splitter.end(), Ok(()));
        }
        let mut splitter = Splitter::default();
        splitter.room().extend_from_slice(&bytes[..bytes.len() - 1]);
        while splitter.output().expect("records").is_some() {}
        assert_eq!(splitter.end(), Err(WireError::Cut));
    }

    #[test]
    fn a_source_keeps_its_numbers() {
        let mut bytes = BytesMut::new();
        let record = Record::Packet { packet: packet(9), seq: Some(Seq(77)) };
        put_record(&mut bytes, &record).expect("small");
        put_record(&mut bytes, &Record::Unknown { kind: 10 }).expect("left out");
        let mut splitter = Splitter::default();
        splitter.room().extend_from_slice(&bytes);
        assert_eq!(splitter.record(), Ok(Some((record, bytes.len()))));
        assert_eq!(splitter.record(), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let mut splitter = Splitter::default();
            splitter.room().extend_from_slice(&bytes);
            while let Ok(Some(_)) = splitter.output() {}
        }
    }
}
