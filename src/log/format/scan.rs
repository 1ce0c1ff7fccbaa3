//! Walks records one after another through a run of bytes and says exactly where and why it
//! stopped.

use crate::log::format::record::{Frame, FrameError, Record, decode, frame};
use bytes::Bytes;
use std::ops::Range;

/// Where and why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Bytes of good records before it.
    pub at: usize,
    /// `None`: the bytes end with a record's end.
    pub why: Option<FrameError>,
}

/// One record and the bytes it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Byte range in what is scanned.
    pub range: Range<usize>,
    /// Its head.
    pub frame: Frame,
    /// Its content; [`Record::Unknown`] too when a mark's body cannot be understood.
    pub record: Record,
}

/// An iterator over the records of a run of bytes that starts at a record.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    bytes: &'a Bytes,
    at: usize,
    verify: bool,
    stop: Option<Stop>,
}

impl<'a> Scan<'a> {
    /// Scans bytes from anywhere: every checksum is verified.
    pub fn new(bytes: &'a Bytes) -> Scan<'a> {
        Scan { bytes, at: 0, verify: true, stop: None }
    }

    /// Scans bytes whose checksums have been verified, or that never left this process.
    pub fn trusted(bytes: &'a Bytes) -> Scan<'a> {
        Scan { bytes, at: 0, verify: false, stop: None }
    }

    /// Where it ended; `None` while records may follow.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// The next frame's head alone, moving past it.
    fn step(&mut self) -> Option<(Range<usize>, Frame)> {
        if self.stop.is_some() {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let why = if rest.is_empty() {
            None
        } else {
            match frame(rest, self.verify) {
                Ok(f) if f.len <= rest.len() => {
                    let range = self.at..self.at + f.len;
                    self.at = range.end;
                    return Some((range, f));
                }
                Ok(f) => Some(FrameError::Incomplete { need: f.len }),
                Err(e) => Some(e),
            }
        };
        self.stop = Some(Stop { at: self.at, why });
        None
    }

    /// Walks to the end without looking into the records.
    pub fn run(mut self) -> Stop {
        loop {
            if self.step().is_none()
                && let Some(stop) = self.stop
            {
                return stop;
            }
        }
    }
}

impl Iterator for Scan<'_> {
    type Item = Located;

    fn next(&mut self) -> Option<Located> {
        let (range, frame) = self.step()?;
        let record = decode(frame, &self.bytes.slice(range.clone()))
            .unwrap_or(Record::Unknown { kind: frame.kind });
        Some(Located { range, frame, record })
    }
}
