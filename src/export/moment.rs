//! Ranges as people write them: moments, offsets from either end, segment numbers.

use crate::base::ids::Msn;
use crate::base::time::{Wall, micros};
use crate::base::units;
use crate::export::error::ExportError;
use std::str::FromStr;

/// A point in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// By the clock.
    Wall(Wall),
    /// Microseconds after its start.
    FromStart(i64),
    /// Microseconds before its end.
    FromEnd(i64),
}

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no point in a recording: write 2026-11-20T17:23:06.125Z, or +90s from its start, \
     or -30s from its end"
)]
pub struct MomentError(String);

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(s: &str) -> Result<Moment, MomentError> {
        let offset = |rest: &str| units::duration(rest).map(micros);
        let read = match (s.strip_prefix('+'), s.strip_prefix('-')) {
            (Some(rest), _) => offset(rest).map(Moment::FromStart).ok(),
            (_, Some(rest)) => offset(rest).map(Moment::FromEnd).ok(),
            _ => s.parse().map(Moment::Wall).ok(),
        };
        read.ok_or_else(|| MomentError(s.to_owned()))
    }
}

/// Segments from a first to a last, both included; either may be left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    /// The first.
    pub first: Option<Msn>,
    /// The last.
    pub last: Option<Msn>,
}

/// Why a text is no range of segments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of segments: write 1000..1010 (both included), 1000.. or ..1010")]
pub struct SegmentsError(String);

impl FromStr for Segments {
    type Err = SegmentsError;

    fn from_str(s: &str) -> Result<Segments, SegmentsError> {
        let wrong = || SegmentsError(s.to_owned());
        let number = |part: &str| match part {
            "" => Ok(None),
            n => n.parse().map(|n| Some(Msn(n))).map_err(|_| wrong()),
        };
        let (first, last) = s.split_once("..").ok_or_else(wrong)?;
        let (first, last) = (number(first)?, number(last)?);
        let sound = match (first, last) {
            (None, None) => false,
            (Some(a), Some(b)) => a <= b,
            _ => true,
        };
        if sound { Ok(Segments { first, last }) } else { Err(wrong()) }
    }
}

/// What of a recording is asked for, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    /// Its start; `None`: the recording's.
    pub from: Option<Moment>,
    /// Its end; `None`: the recording's.
    pub to: Option<Moment>,
    /// By segments instead.
    pub segments: Option<Segments>,
}

/// What of a recording is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// First moment.
    pub from: Option<Wall>,
    /// The moment after the last.
    pub to: Option<Wall>,
    /// First segment.
    pub first: Option<Msn>,
    /// Last segment.
    pub last: Option<Msn>,
}

impl Range {
    /// Is its start anywhere but at the recording's?
    pub fn has_start(&self) -> bool {
        self.from.is_some() || self.first.is_some()
    }
}

impl Ask {
    /// The range in a recording that covers `covers`.
    ///
    /// # Errors
    /// It ends before it begins, or counts from an end that nobody knows.
    pub fn resolve(&self, covers: Option<(Wall, Wall)>) -> Result<Range, ExportError> {
        let wall = |moment: Moment| match (moment, covers) {
            (Moment::Wall(wall), _) => Ok(wall),
            (Moment::FromStart(by), Some((start, _))) => Ok(start.plus(by)),
            (Moment::FromEnd(by), Some((_, end))) => Ok(end.plus(-by)),
            (_, None) => Err(ExportError::Nothing { covers }),
        };
        let (from, to) = (self.from.map(wall).transpose()?, self.to.map(wall).transpose()?);
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            return Err(ExportError::Backwards { from, to });
        }
        let segments = self.segments.unwrap_or(Segments { first: None, last: None });
        Ok(Range { from, to, first: segments.first, last: segments.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_segments_as_typed() {
        for (text, want) in [
            ("1970-01-01T00:00:01Z", Moment::Wall(Wall(1_000_000))),
            ("+1.5m", Moment::FromStart(90_000_000)),
            ("-30s", Moment::FromEnd(30_000_000)),
            ("+0s", Moment::FromStart(0)),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for bad in ["", "90s", "+", "-", "+90", "yesterday", "+-3s"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        let range = |first: Option<u64>, last: Option<u64>| Segments {
            first: first.map(Msn),
            last: last.map(Msn),
        };
        for (text, want) in [
            ("3..5", range(Some(3), Some(5))),
            ("3..", range(Some(3), None)),
            ("..5", range(None, Some(5))),
            ("5..5", range(Some(5), Some(5))),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for bad in ["", "..", "5", "5..3", "a..b", "1..2..3", "-1..3"] {
            assert!(bad.parse::<Segments>().is_err(), "{bad}");
        }
    }

    #[test]
    fn offsets_count_from_the_ends_of_the_recording() {
        let covers = Some((Wall(1_000_000), Wall(61_000_000)));
        let ask = |from: &str, to: &str| Ask {
            from: from.parse().ok(),
            to: to.parse().ok(),
            segments: None,
        };
        let range = ask("+10s", "-5s").resolve(covers).expect("a range");
        assert_eq!((range.from, range.to), (Some(Wall(11_000_000)), Some(Wall(56_000_000))));
        assert!(matches!(
            ask("-5s", "+10s").resolve(covers),
            Err(ExportError::Backwards { from: Wall(56_000_000), to: Wall(11_000_000) })
        ));
        assert!(matches!(ask("+1s", "").resolve(None), Err(ExportError::Nothing { .. })));
    }
}
