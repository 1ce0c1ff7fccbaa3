//! Notices that a log was repaired while its session is watched: its media lies in other places
//! then than the feed has noted, and the session is to be read anew. Who is asked meanwhile goes on
//! as before, and gives way when the other is as far: what was listed is never taken back.

use crate::base::ids::{Msn, TrackId};
use crate::edge::line::Line;
use crate::edge::places::{Places, Trail};
use crate::edge::session::{Opened, Session};
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::source::Source;
use crate::rt::clock::Clock;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Pause between two looks at logs that are in doubt: damage that nobody mends is asked for again
/// and again.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause between two looks at how far the session is that is read anew.
const FAR_ENOUGH: Duration = Duration::from_millis(100);

/// Resolves when `next`, the same session read anew, lists all that is listed in `session`.
pub async fn as_far(session: &Session, next: &Session, clock: &Clock) {
    let state = |of: &Session| -> Option<Vec<(Option<Msn>, u32)>> {
        let opened = of.opened().borrow().clone()?;
        let states = opened.renditions.iter().map(|r| r.snapshots().borrow().state);
        Some(states.map(|s| s.map_or((None, 0), |s| (s.next, s.next_parts))).collect())
    };
    loop {
        let now = clock.now().mono;
        // Nobody asks for it yet, and it is wanted.
        next.touch(now);
        if let Some(reached) = state(next)
            && state(session)
                .is_none_or(|shown| reached.iter().zip(&shown).all(|(new, old)| new >= old))
        {
            return;
        }
        clock.sleep_until(now.plus(FAR_ENOUGH)).await;
    }
}

/// Resolves when what is known of the session's logs is no longer how they are. Looks only when a
/// read has failed.
pub async fn mended(session: &Session, logs: &Source, clock: &Clock) {
    loop {
        session.doubt.notified().await;
        if let Some(log) = moved(session, logs).await {
            tracing::info!(%log, "the log was repaired: its session is read anew");
            return;
        }
        clock.sleep_until(clock.now().mono.plus(PAUSE)).await;
    }
}

/// A log whose media has moved.
async fn moved(session: &Session, logs: &Source) -> Option<LogId> {
    let opened = session.opened().borrow().clone()?;
    let noted: BTreeSet<LogId> = opened
        .renditions
        .iter()
        .flat_map(|r| r.read().writers().into_iter().map(|w| session.log(&r.name, w)))
        .collect();
    for id in noted {
        let Ok(index) = logs.index(&id).await else { continue };
        if index.sealed && differs(&opened, &id, &index) {
            logs.forget_damage(&id);
            return Some(id);
        }
    }
    None
}

/// Does media of a log lie elsewhere than it was noted? That there is more of it is no change: who
/// left a silent node's log before its end has not noted all. Nor is that its oldest extents are
/// not there: its node keeps them no more.
fn differs(opened: &Opened, id: &LogId, index: &Index) -> bool {
    let (mut now, mut trail) = (HashMap::<TrackId, Places>::new(), Trail::default());
    let (line, writer) = (Line::of(id), id.writer());
    for m in index.footers.iter().flat_map(|f| f.marks()) {
        if let Some((p, span)) = trail.listed(&m, opened.carriers(&line)) {
            now.entry(p.track).or_default().part(writer, p.msn, span);
        }
    }
    let first = index.footers.first().map_or(index.tail.extent, |f| f.extent);
    opened.of(&line).any(|r| {
        let now = now.remove(&r.track).unwrap_or_default();
        !r.read().is_noted_in(writer, &now, first)
    })
}
