//! Which sessions of a channel may have a moment, or are crossed by a range. Values in, values out.
//!
//! A session begins when its first writer was granted, which is a little before its media, and ends
//! where its media does. One that has had no media is none.

use crate::api::types::SessionSpan;
use crate::base::ids::{Msn, Session};
use crate::base::time::Wall;

/// Sessions that one range may cross: an edge reads each of them, and keeps what it knows of them
/// while somebody watches. An encoder that is taken for gone every half an hour has so many in a
/// working day.
pub const RANGE_SESSIONS_MAX: usize = 16;

fn has_media(s: &&SessionSpan) -> bool {
    s.open && s.end.is_none_or(|end| end.last >= s.first)
}

/// The sessions that may have what happened from a moment on, the likeliest first: that with the
/// moment, or the next after it.
pub fn from(all: &[SessionSpan], at: Wall) -> Vec<Session> {
    let later = |s: &&SessionSpan| s.end.is_none_or(|end| end.date > at);
    all.iter().filter(has_media).filter(later).map(|s| s.session).collect()
}

/// The sessions that may have what happened before a moment, from `first` on, the newest first.
pub fn until(all: &[SessionSpan], first: Session, to: Wall) -> Vec<Session> {
    let mine = |s: &&SessionSpan| s.session == first || (s.session > first && s.start < to);
    all.iter().rev().filter(has_media).filter(mine).map(|s| s.session).collect()
}

/// A range crosses more sessions than [`RANGE_SESSIONS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this range has {0} sessions; {RANGE_SESSIONS_MAX} is the most that one may have")]
pub struct TooMany(usize);

/// The sessions with segments between these two, oldest first.
pub fn across(all: &[SessionSpan], (first, last): (Msn, Msn)) -> Result<Vec<SessionSpan>, TooMany> {
    let crossed = |s: &&SessionSpan| s.first <= last && s.end.is_none_or(|e| e.last >= first);
    let crossed: Vec<_> = all.iter().filter(has_media).filter(crossed).copied().collect();
    if crossed.len() > RANGE_SESSIONS_MAX { Err(TooMany(crossed.len())) } else { Ok(crossed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::SessionEnd;

    /// A session from number and second `begin` to `end`.
    fn span(session: u64, begin: u64, end: Option<u64>) -> SessionSpan {
        let wall = |n: u64| Wall(n.cast_signed() * 1_000_000);
        SessionSpan {
            session: Session(session),
            open: true,
            first: Msn(begin),
            start: wall(begin),
            end: end.map(|end| SessionEnd { last: Msn(end - 1), date: wall(end) }),
        }
    }

    fn numbers(sessions: &[Session]) -> Vec<u64> {
        sessions.iter().map(|s| s.0).collect()
    }

    /// 100 to 200, nothing to 300, 300 to 400, one without media, one that runs.
    fn sessions() -> Vec<SessionSpan> {
        let silent = SessionSpan { open: false, ..span(3, 400, Some(450)) };
        let empty = SessionSpan {
            end: Some(SessionEnd { last: Msn(449), date: Wall(455_000_000) }),
            ..span(4, 450, None)
        };
        vec![span(1, 100, Some(200)), span(2, 300, Some(400)), silent, empty, span(5, 500, None)]
    }

    #[test]
    fn a_moment_is_in_the_first_session_that_has_not_ended_before() {
        let all = sessions();
        for (second, want) in [
            (0, &[1, 2, 5][..]),
            (100, &[1, 2, 5]),
            (199, &[1, 2, 5]),
            (200, &[2, 5]),
            (250, &[2, 5]),
            (399, &[2, 5]),
            (401, &[5]),
            (1_000, &[5]),
        ] {
            assert_eq!(numbers(&from(&all, Wall(second * 1_000_000))), want, "{second}");
        }
        assert!(from(&all[..2], Wall(400_000_000)).is_empty());
        assert!(from(&[], Wall(0)).is_empty());
    }

    #[test]
    fn what_is_before_a_moment_is_in_the_newest_session_that_began_before() {
        let all = sessions();
        for (first, second, want) in [
            (1, 150, &[1][..]),
            (1, 300, &[1]),
            (1, 301, &[2, 1]),
            (2, 301, &[2]),
            (2, 10_000, &[5, 2]),
            // Its writer's clock was ahead of the registry's: it is looked into all the same.
            (2, 299, &[2]),
        ] {
            let got = until(&all, Session(first), Wall(second * 1_000_000));
            assert_eq!(numbers(&got), want, "{first} {second}");
        }
    }

    #[test]
    fn a_range_crosses_the_sessions_between_its_numbers_and_not_too_many() {
        let all = sessions();
        let crossed = |first, last| {
            let got = across(&all, (Msn(first), Msn(last))).expect("few");
            got.iter().map(|s| s.session.0).collect::<Vec<_>>()
        };
        assert_eq!(crossed(100, 199), [1]);
        assert_eq!(crossed(199, 300), [1, 2]);
        assert_eq!(crossed(100, 600), [1, 2, 5]);
        assert_eq!(crossed(200, 299), [0; 0]);
        let many = |n: usize| -> Vec<SessionSpan> {
            (0..n as u64).map(|i| span(i + 1, i * 10 + 1, Some(i * 10 + 9))).collect()
        };
        let whole = (Msn(0), Msn(100_000));
        assert!(across(&many(RANGE_SESSIONS_MAX), whole).is_ok());
        let refused = across(&many(RANGE_SESSIONS_MAX + 1), whole).expect_err("too many");
        let said = "this range has 17 sessions; 16 is the most that one may have";
        assert_eq!(refused.to_string(), said);
    }
}
