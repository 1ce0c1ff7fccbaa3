//! Delivery directives (6.2.5): what `_HLS_msn`, `_HLS_part` and `_HLS_skip` ask for, and whether
//! the playlist at hand answers it. A pure decision: the waiting, and the time limit on it, are the
//! caller's.
//!
//! The caller asks again after each change: a `Wait` may name a later position then (the segment
//! closed before it had the part that was asked for), and a query that was not refused at first is
//! not refused later.

use crate::base::ids::Msn;
use crate::base::time::MICROS;
use crate::hls::playlist::Skip;

/// A blocked reload is given up (503) after this many target durations (6.2.5.2).
pub const HOLD_TARGET_DURATIONS: i64 = 3;

/// How far ahead of the last complete segment `_HLS_msn` may be (6.2.5.2).
pub const ADVANCE_SEGMENTS: u64 = 2;

/// A playlist that has not grown for so much of PART-TARGET stands still: parts come one after the
/// other, late by what a write and its way to the server take.
const STANDS_PERCENT: i64 = 150;

/// A playlist that ends so many PART-TARGETs before now catches up, also while it grows: as many as
/// players are told to stay behind its end (PART-HOLD-BACK).
const LATE_PARTS: i64 = 3;

/// How long a blocked request is held before 503, in microseconds, for a target duration in
/// seconds.
pub const fn hold_limit(target_duration: u32) -> i64 {
    HOLD_TARGET_DURATIONS * target_duration as i64 * MICROS
}

/// The directives of one playlist request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
    /// `_HLS_skip`: `YES`, or `v2`, which skips date ranges too.
    pub skip: Skip,
}

/// A directive that cannot be read: 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The same directive twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Not a decimal integer below 2^64 (4.2).
    #[error("{0} must be a decimal integer")]
    NotANumber(&'static str),
    /// `_HLS_skip` knows two values.
    #[error("_HLS_skip must be YES or v2")]
    Skip,
}

impl Query {
    /// Reads the directives out of a raw query string (without `?`). Parameters that are not ours
    /// are ignored, also unknown ones that begin with `_HLS_`: signed URLs and later versions of
    /// the draft work.
    pub fn parse(raw: &str) -> Result<Query, QueryError> {
        let mut query = Query::default();
        let mut skip = None;
        for pair in raw.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => set(&mut query.msn, "_HLS_msn", integer("_HLS_msn", value)?)?,
                "_HLS_part" => set(&mut query.part, "_HLS_part", integer("_HLS_part", value)?)?,
                "_HLS_skip" if value == "YES" => set(&mut skip, "_HLS_skip", Skip::Segments)?,
                "_HLS_skip" if value == "v2" => set(&mut skip, "_HLS_skip", Skip::Ranges)?,
                "_HLS_skip" => return Err(QueryError::Skip),
                _ => {}
            }
        }
        query.skip = skip.unwrap_or_default();
        Ok(query)
    }
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), QueryError> {
    if slot.replace(value).is_some() { Err(QueryError::Twice(name)) } else { Ok(()) }
}

fn integer(name: &'static str, value: &str) -> Result<u64, QueryError> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    if digits { value.parse().ok() } else { None }.ok_or(QueryError::NotANumber(name))
}

/// How far a media playlist is: all that the decision needs. Made by `hls::window::Window::state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The segment after the last complete one, the open segment if there is one; `None` while
    /// nothing is listed.
    pub next: Option<Msn>,
    /// Listed parts of segment `next`.
    pub next_parts: u32,
    /// Parts of the last complete segment; 0 for a gap that was written as a whole.
    pub last_parts: u32,
    /// ENDLIST.
    pub ended: bool,
    /// PART-TARGET in microseconds.
    pub part_target: i64,
}

/// What to do with a playlist request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the playlist as it is.
    Now,
    /// Hold until the playlist has this; `None` means the whole segment.
    Wait {
        /// The segment that is awaited.
        msn: Msn,
        /// Its part, or the complete segment.
        part: Option<u32>,
    },
    /// Answer 400.
    Refuse(Refusal),
}

/// Why a reload is a bad request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 6.2.5.2: a part of which segment?
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutMsn,
    /// More than two segments after the last complete one.
    #[error("_HLS_msn is more than two segments past the end of the playlist")]
    MsnTooFar,
    /// Beyond the Advance Part Limit.
    #[error("_HLS_part is beyond the advance part limit")]
    PartTooFar,
}

/// The Advance Part Limit (6.2.5.2): 3 divided by PART-TARGET when that is below a second, else 3;
/// rounded up, so that a request at the limit is served.
pub fn advance_part_limit(part_target: i64) -> u64 {
    let target = part_target.clamp(1, MICROS).unsigned_abs();
    (3 * MICROS).unsigned_abs().div_ceil(target)
}

/// May another server's playlist be ahead of this one, which has not grown for `stands`, and whose
/// last media is over since `late`? All in microseconds.
pub fn may_be_behind(part_target: i64, stands: i64, late: i64) -> bool {
    stands > part_target * STANDS_PERCENT / 100 || late > part_target * LATE_PARTS
}

/// Does the playlist answer the query, now, later or never (6.2.5.2)?
///
/// A segment without any part (a gap written as a whole) counts as having whichever of its parts is
/// asked for: it will never have another, and its entry is what the client waits for.
pub fn decide(query: Query, state: State) -> Decision {
    use Decision::{Now, Refuse, Wait};
    if state.ended {
        return Now;
    }
    let Some(want) = query.msn else {
        return if query.part.is_some() { Refuse(Refusal::PartWithoutMsn) } else { Now };
    };
    let part = query.part.map(|p| u32::try_from(p).unwrap_or(u32::MAX));
    let Some(Msn(next)) = state.next else {
        return Wait { msn: Msn(want), part };
    };
    if want > next.saturating_add(ADVANCE_SEGMENTS - 1) {
        return Refuse(Refusal::MsnTooFar);
    }
    let Some(part) = part else {
        return if want < next { Now } else { Wait { msn: Msn(want), part: None } };
    };
    if want.saturating_add(1) < next {
        return Now;
    }
    if want < next {
        let has_it = part < state.last_parts || state.last_parts == 0;
        let moved_on = state.next_parts > 0;
        return if has_it || moved_on { Now } else { Wait { msn: Msn(next), part: Some(0) } };
    }
    let listed = if want == next { state.next_parts } else { 0 };
    if part < listed {
        return Now;
    }
    let ahead = u64::from(part) + 1 - u64::from(listed);
    if ahead > advance_part_limit(state.part_target) {
        return Refuse(Refusal::PartTooFar);
    }
    Wait { msn: Msn(want), part: Some(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_or_catches_up_may_be_behind() {
        let behind = |stands, late| may_be_behind(500_000, stands, late);
        assert!(!behind(700_000, 1_400_000), "the next part is on its way");
        assert!(behind(800_000, 0));
        assert!(behind(0, 1_600_000), "it grows, from a backlog");
        assert!(!behind(0, -5_000_000), "clocks differ");
    }

    #[test]
    fn directives_are_read_strictly_and_strangers_are_ignored() {
        let q = |msn, part, skip| Ok(Query { msn, part, skip });
        for (raw, want) in [
            ("", q(None, None, Skip::No)),
            ("_HLS_msn=10", q(Some(10), None, Skip::No)),
            ("_HLS_msn=10&_HLS_part=3&_HLS_skip=YES", q(Some(10), Some(3), Skip::Segments)),
            ("_HLS_part=0", q(None, Some(0), Skip::No)),
            ("_HLS_skip=v2", q(None, None, Skip::Ranges)),
            ("token=a%3Db&_HLS_msn=007&_HLS_push=1&x", q(Some(7), None, Skip::No)),
            ("_hls_msn=x", q(None, None, Skip::No)),
            ("_HLS_msn=18446744073709551615", q(Some(u64::MAX), None, Skip::No)),
            ("_HLS_msn=18446744073709551616", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn=", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn=-1", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn=+1", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn=1.5", Err(QueryError::NotANumber("_HLS_msn"))),
            ("_HLS_msn=1&_HLS_part=%31", Err(QueryError::NotANumber("_HLS_part"))),
            ("_HLS_msn=1&_HLS_msn=1", Err(QueryError::Twice("_HLS_msn"))),
            ("_HLS_skip=YES&_HLS_skip=v2", Err(QueryError::Twice("_HLS_skip"))),
            ("_HLS_skip=NO", Err(QueryError::Skip)),
        ] {
            assert_eq!(Query::parse(raw), want, "{raw:?}");
        }
    }

    /// A playlist whose last complete segment is 9 with 4 parts, and 10 is open with 2 parts.
    /// PART-TARGET 0.5 s: six parts ahead of part 1 are allowed.
    const LIVE: State = State {
        next: Some(Msn(10)),
        next_parts: 2,
        last_parts: 4,
        ended: false,
        part_target: 500_000,
    };

    #[test]
    fn the_rules_of_blocking_reload() {
        use Decision::{Now, Refuse};
        let wait = |msn, part| Decision::Wait { msn: Msn(msn), part };
        let closed = State { next_parts: 0, ..LIVE };
        let gap = State { next_parts: 0, last_parts: 0, ..LIVE };
        let long = State { part_target: 2_000_000, ..LIVE };
        let empty = State { next: None, next_parts: 0, last_parts: 0, ..LIVE };
        let ended = State { ended: true, ..LIVE };
        for (rule, state, msn, part, want) in [
            ("plain", LIVE, None, None, Now),
            ("D01 listed", LIVE, Some(9), None, Now),
            ("D01 open is not complete", LIVE, Some(10), None, wait(10, None)),
            ("D01 the one after", LIVE, Some(11), None, wait(11, None)),
            ("D02 listed", LIVE, Some(10), Some(1), Now),
            ("D02 next", LIVE, Some(10), Some(2), wait(10, Some(2))),
            ("D02 next segment", LIVE, Some(11), Some(0), wait(11, Some(0))),
            ("D02 first part of the next", closed, Some(10), Some(0), wait(10, Some(0))),
            ("D02 part of the last", LIVE, Some(9), Some(3), Now),
            ("D03 past the last part", closed, Some(9), Some(4), wait(10, Some(0))),
            ("D03 part 0 of the next is there", LIVE, Some(9), Some(4), Now),
            ("D03 far past the last part", closed, Some(9), Some(1_000_000), wait(10, Some(0))),
            ("D03 older segment", closed, Some(8), Some(9), Now),
            ("a gap without parts", gap, Some(9), Some(0), Now),
            ("D04 removed", LIVE, Some(0), Some(0), Now),
            ("D04 removed, no part", LIVE, Some(1), None, Now),
            ("D05", LIVE, None, Some(0), Refuse(Refusal::PartWithoutMsn)),
            ("D06 msn", LIVE, Some(12), None, Refuse(Refusal::MsnTooFar)),
            ("D06 msn, huge", LIVE, Some(u64::MAX), Some(0), Refuse(Refusal::MsnTooFar)),
            ("D06 at the part limit", LIVE, Some(10), Some(7), wait(10, Some(7))),
            ("D06 past it", LIVE, Some(10), Some(8), Refuse(Refusal::PartTooFar)),
            ("D06 past it, huge", LIVE, Some(10), Some(u64::MAX), Refuse(Refusal::PartTooFar)),
            ("D06 next segment, at it", LIVE, Some(11), Some(5), wait(11, Some(5))),
            ("D06 next segment, past it", LIVE, Some(11), Some(6), Refuse(Refusal::PartTooFar)),
            ("D06 long parts, at it", long, Some(10), Some(4), wait(10, Some(4))),
            ("D06 long parts, past it", long, Some(10), Some(5), Refuse(Refusal::PartTooFar)),
            ("D08 any", ended, Some(99), Some(99), Now),
            ("D08 part alone", ended, None, Some(0), Now),
            ("nothing listed yet", empty, Some(3), Some(0), wait(3, Some(0))),
        ] {
            let got = decide(Query { msn, part, skip: Skip::No }, state);
            assert_eq!(got, want, "{rule}: msn {msn:?} part {part:?}");
        }
    }

    #[test]
    fn limits_in_numbers() {
        assert_eq!(advance_part_limit(200_000), 15);
        assert_eq!(advance_part_limit(502_000), 6);
        assert_eq!(advance_part_limit(1_000_000), 3);
        assert_eq!(advance_part_limit(4_000_000), 3);
        assert_eq!(advance_part_limit(0), 3_000_000);
        assert_eq!(hold_limit(4), 12_000_000);
    }
}
