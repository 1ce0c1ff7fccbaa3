//! Notices that a log was repaired while its session is watched: its media lies in other places
//! then than the feed has noted. A feed that ends is begun anew by the next request.

use crate::base::ids::{Generation, TrackId};
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
        if let Some(generation) = moved(&session, &logs).await {
            tracing::info!(channel = %session.channel, session = %session.number, %generation,
                "the log was repaired: it is read anew");
            return;
        }
        clock.sleep_until(clock.now().mono.plus(PAUSE)).await;
    }
}

/// A generation whose media has moved.
async fn moved(session: &Session, logs: &Source) -> Option<Generation> {
    let opened = session.opened().borrow().clone()?;
    let noted: BTreeSet<Generation> =
        opened.renditions.iter().flat_map(|r| r.read().generations()).collect();
    for generation in noted {
        let (channel, session) = (session.channel.clone(), session.number);
        let id = LogId { channel, session, generation };
        let Ok(index) = logs.index(&id).await else { continue };
        if index.sealed && differs(&opened, generation, &index) {
            logs.forget_damage(&id);
            return Some(generation);
        }
    }
    None
}

/// Does media of a log lie elsewhere than it was noted?
fn differs(opened: &Opened, generation: Generation, index: &Index) -> bool {
    let (mut now, mut trail) = (HashMap::<TrackId, Places>::new(), Trail::default());
    for m in index.footers.iter().flat_map(|f| f.marks()) {
        if let Some((p, span)) = trail.listed(&m, opened.carriers()) {
            now.entry(p.track).or_default().part(generation, p.msn, span);
        }
    }
    opened.renditions.iter().any(|r| {
        let now = now.remove(&r.track).unwrap_or_default();
        !r.read().has_noted(generation, &now)
    })
}
