//! Notices that a log was repaired while its session is watched: its media lies in other places
//! then than the feed has noted. A feed that ends is begun anew by the next request.

use crate::base::ids::TrackId;
use crate::edge::line::Line;
use crate::edge::places::{Places, Trail};
use crate::edge::session::{Opened, Session};
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::source::Source;
use crate::rt::clock::Clock;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks at logs that are in doubt: damage that nobody mends is asked for again
/// and again.
const PAUSE: Duration = Duration::from_secs(1);

/// Resolves when what is known of the session's logs is no longer how they are. Looks only when a
/// read has failed.
pub async fn mended(session: Arc<Session>, logs: Source, clock: Clock) {
    loop {
        session.doubt.notified().await;
        if let Some(log) = moved(&session, &logs).await {
            tracing::info!(%log, "the log was repaired: it is read anew");
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

/// Does media of a log lie elsewhere than it was noted?
fn differs(opened: &Opened, id: &LogId, index: &Index) -> bool {
    let (mut now, mut trail) = (HashMap::<TrackId, Places>::new(), Trail::default());
    let (line, writer) = (Line::of(id), id.writer());
    for m in index.footers.iter().flat_map(|f| f.marks()) {
        if let Some((p, span)) = trail.listed(&m, opened.carriers(&line)) {
            now.entry(p.track).or_default().part(writer, p.msn, span);
        }
    }
    opened.of(&line).any(|r| {
        let now = now.remove(&r.track).unwrap_or_default();
        !r.read().has_noted(writer, &now)
    })
}
