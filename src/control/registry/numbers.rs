//! Which numbers a writer may have used, and which the next one starts from. Pure: what is stored
//! and what was said go in, what to store and what to answer come out.
//!
//! Invariant: a base lies above every number that the writers before it showed until edges knew of
//! its grant, whatever was lost, late or said twice. That takes a clock that is not set back while
//! a writer is not heard; one that is set back lowers nothing that is stored.

use crate::api::types::{
    End, LastSegment, NodeName, Refusal, Report, SessionEnd, SessionSpan, TrackEnd, Want,
};
use crate::base::ids::{Generation, Msn, Session};
use crate::base::time::Wall;
use std::time::Duration;

/// A channel's first MSN. Not 0: some players take a playlist that starts at 0 for one that has
/// only begun and wait.
const FIRST_MSN: Msn = Msn(1000);

/// How long after a grant an edge may still list what the writer before it shows: the bound of the
/// edges' watch. A replica looks for changes every 250 ms and tells them at once; a watch that says
/// nothing for longer is asked again. What nobody told of is computed at that moment.
pub(super) const FENCE_DELAY: Duration = Duration::from_secs(1);

/// One part in so many is what two machines' clocks may drift apart: 500 ppm is the most that a
/// kernel corrects by NTP. A writer counts with its own clock.
const DRIFT: i64 = 2000;

/// A number and the moment from which the writer's allowance is counted: it keeps
/// `MSN <= msn + floor((now - at) / minSegment) + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) msn: Msn,
    pub(super) at: Wall,
}

/// Time as a clock that drifts ahead may have counted it.
fn drifted(micros: i64) -> i64 {
    let micros = micros.max(0);
    micros.saturating_add(micros / DRIFT)
}

impl Line {
    /// The highest number that the writer may have used at `now`.
    fn reach(self, now: Wall, min_segment: i64) -> u64 {
        let passed = drifted(now.since(self.at)) / min_segment.max(1);
        self.msn.0.saturating_add(passed.unsigned_abs()).saturating_add(1)
    }

    /// The line that reaches further at every later moment; `other` is not the earlier one.
    fn or_later(self, other: Line, min_segment: i64) -> Line {
        let ahead = i128::from(other.msn.0) - i128::from(self.msn.0);
        let waited = i128::from(drifted(other.at.since(self.at)));
        if waited > ahead * i128::from(min_segment.max(1)) { self } else { other }
    }
}

/// A channel's newest generation as stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastGeneration {
    pub(super) generation: Generation,
    pub(super) session: Session,
    pub(super) node: NodeName,
    /// The stored key it publishes with; empty for one of the manifest's, and for nobody's.
    pub(super) key: String,
    pub(super) base: Msn,
    pub(super) dseq: u64,
    pub(super) granted: Wall,
    /// The newest report and when it was received first.
    pub(super) report: Option<(Report, Wall)>,
    /// What its writer may have used: the furthest line of those that it may count from.
    pub(super) line: Line,
    pub(super) end: Option<End>,
}

impl LastGeneration {
    /// The newest number that was reported, or what the grant confirms.
    fn newest(&self) -> Line {
        match self.report {
            Some((report, at)) => Line { msn: report.msn, at },
            None => Line { msn: Msn(self.base.0.saturating_sub(1)), at: self.granted },
        }
    }

    /// `now`, never before anything that is stored: a clock that was set back lowers nothing.
    fn no_earlier(&self, now: Wall) -> Wall {
        now.max(self.granted).max(self.newest().at).max(self.line.at)
    }
}

/// What the next generation starts from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Next {
    pub(super) session: Session,
    pub(super) generation: Generation,
    pub(super) base: Msn,
    pub(super) dseq: u64,
    /// When it is granted.
    pub(super) granted: Wall,
    /// The end of the generation before, in the same session.
    pub(super) previous: Option<(Generation, End)>,
    /// An end that had to be decided here, because the writer never told its own.
    pub(super) decided: Option<End>,
}

/// May somebody write? With a key always: the caller has asked the writer to stop. Without one an
/// open session is taken up: by the node that wrote it last, or when that node is not `alive`.
///
/// # Errors
/// `Conflict` says what is in the way.
pub(super) fn may_write(
    want: &Want,
    last: Option<&LastGeneration>,
    session: Option<(Session, bool)>,
    alive: bool,
) -> Result<(), Refusal> {
    let open = session.filter(|(_, over)| !over).map(|(s, _)| s);
    match last {
        _ if want.key.is_some() => Ok(()),
        Some(last) if open == Some(last.session) => match last.node == want.node || !alive {
            true => Ok(()),
            false => {
                let (node, generation) = (&last.node, last.generation);
                Err(Refusal::Conflict(format!("{node} has it: generation {generation}")))
            }
        },
        _ => Err(Refusal::Conflict("there is no open session to take up".into())),
    }
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
            granted: now,
            previous: None,
            decided: None,
        };
    };
    let now = last.no_earlier(now);
    let (end, base, decided) = match &last.end {
        Some(end) => (end.clone(), Msn(end.msn + 1), None),
        None => {
            let end = presumed_end(last);
            let known = now.plus(i64::try_from(FENCE_DELAY.as_micros()).unwrap_or(i64::MAX));
            let reach = |line: Line| line.reach(known, min_segment);
            let base = Msn(reach(last.line).max(reach(last.newest())) + 1);
            (end.clone(), base, Some(end))
        }
    };
    let joined = session.filter(|(s, over)| !over && *s == last.session);
    Next {
        session: joined.map_or(new_session, |s| s.0),
        generation: Generation(last.generation.0 + 1),
        base,
        dseq: end.dseq,
        granted: now,
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

/// What a report changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    pub(super) report: Report,
    pub(super) received: Wall,
    pub(super) line: Line,
}

/// Generation `generation` reported; `None`: it says nothing new (it came twice, or late).
///
/// The writer's allowance is counted from the newest answer that it *has*, which the report tells:
/// an answer may be lost, and a report late. Until it is known to count from the newest report, the
/// furthest line of all since then holds.
///
/// # Errors
/// `Fenced` when a newer generation writes, or its end is decided.
pub(super) fn reported(
    last: Option<&LastGeneration>,
    generation: Generation,
    report: Report,
    now: Wall,
    min_segment: i64,
) -> Result<Option<Progress>, Refusal> {
    let last = last.filter(|l| l.generation == generation && l.end.is_none());
    let last = last.ok_or(Refusal::Fenced(generation))?;
    let newest = last.newest();
    if report.msn <= newest.msn {
        return Ok(None);
    }
    let received = last.no_earlier(now);
    let line = if report.acked >= newest.msn { newest } else { last.line };
    let line = line.or_later(Line { msn: report.msn, at: received }, min_segment);
    Ok(Some(Progress { report, received, line }))
}

/// A channel's sessions (number, over, constants set), oldest first, with what its generations,
/// newest first, say of them. One whose generations are not known is left out.
pub(super) fn spans(
    sessions: &[(Session, bool, bool)],
    generations: &[LastGeneration],
) -> Vec<SessionSpan> {
    let span = |&(session, over, open): &(Session, bool, bool)| {
        let mut mine = generations.iter().filter(|g| g.session == session);
        let newest = mine.next()?;
        let oldest = mine.next_back().unwrap_or(newest);
        let end = || {
            let end = newest.end.clone().unwrap_or_else(|| presumed_end(newest));
            SessionEnd { last: Msn(end.msn), date: Wall(end.wall) }
        };
        let (first, start) = (oldest.base, oldest.granted);
        Some(SessionSpan { session, open, first, start, end: over.then(end) })
    };
    sessions.iter().filter_map(span).collect()
}

/// What a told end changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// It is the generation's end: none was decided.
    pub(super) decides: bool,
    /// The session is over.
    pub(super) over: bool,
}

/// Generation `generation` tells its end.
///
/// # Errors
/// `Fenced` when a newer generation writes.
pub(super) fn ended(
    last: Option<&LastGeneration>,
    generation: Generation,
    end: &End,
) -> Result<Ending, Refusal> {
    let last = last.filter(|l| l.generation == generation).ok_or(Refusal::Fenced(generation))?;
    Ok(Ending { decides: last.end.is_none(), over: end.session_over })
}
