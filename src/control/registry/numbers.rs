//! Which numbers the next generation starts from. Pure: the last generation in, the next one out.

use crate::api::types::{End, LastSegment, NodeName, Report, TrackEnd};
use crate::base::ids::{Generation, Msn, Session};
use crate::base::time::Wall;

/// A channel's first MSN. Not 0: some players take a playlist that starts at 0 for one that has
/// only begun and wait.
const FIRST_MSN: Msn = Msn(1000);

/// A channel's newest generation as stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastGeneration {
    pub(super) generation: Generation,
    pub(super) session: Session,
    pub(super) node: NodeName,
    pub(super) base: Msn,
    pub(super) dseq: u64,
    pub(super) granted: Wall,
    /// The last report and when it was received.
    pub(super) report: Option<(Report, Wall)>,
    pub(super) end: Option<End>,
}

/// What the next generation starts from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Next {
    pub(super) session: Session,
    pub(super) generation: Generation,
    pub(super) base: Msn,
    pub(super) dseq: u64,
    /// The end of the generation before, in the same session.
    pub(super) previous: Option<(Generation, End)>,
    /// An end that had to be decided here, because the writer never told its own.
    pub(super) decided: Option<End>,
}

/// The numbers after `last`; `session` is the newest session and whether it is over; `min_segment`
/// in microseconds.
pub(super) fn next(
    last: Option<&LastGeneration>,
    session: Option<(Session, bool)>,
    now: Wall,
    min_segment: i64,
) -> Next {
    let new_session = Session(session.map_or(0, |s| s.0.0) + 1);
    let Some(last) = last else {
        return Next {
            session: new_session,
            generation: Generation(1),
            base: FIRST_MSN,
            dseq: 0,
            previous: None,
            decided: None,
        };
    };
    let (end, base, decided) = match &last.end {
        Some(end) => (end.clone(), Msn(end.msn + 1), None),
        None => {
            let end = presumed_end(last);
            // A writer keeps MSN <= acked + elapsed / min_segment + 1: whatever it wrote since is
            // below this base.
            let since = now.since(last.report.map_or(last.granted, |r| r.1)).max(0);
            let passed = u64::try_from(since / min_segment.max(1)).unwrap_or(0);
            (end.clone(), Msn(end.msn + passed + 2), Some(end))
        }
    };
    let joined = session.filter(|(s, over)| !over && *s == last.session);
    Next {
        session: joined.map_or(new_session, |s| s.0),
        generation: Generation(last.generation.0 + 1),
        base,
        dseq: end.dseq,
        previous: joined.map(|_| (last.generation, end)),
        decided,
    }
}

/// The end of a writer that nobody can ask: its last report; the segment that had started then
/// can't be served.
fn presumed_end(last: &LastGeneration) -> End {
    let (msn, dseq, wall) = match last.report {
        Some((r, _)) => (r.msn.0, r.dseq, r.wall),
        None => (last.base.0.saturating_sub(1), last.dseq, last.granted),
    };
    let lost = |track| TrackEnd { track, msn, parts: 0, last: LastSegment::Lost };
    let tracks = if last.report.is_some() { vec![lost(1), lost(2)] } else { Vec::new() };
    End { msn, dseq, wall: wall.0, tracks, session_over: false }
}
