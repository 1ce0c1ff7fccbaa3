//! Notices that a log was repaired while its session is watched: its media lies in other places
//! then than the feed has noted. A feed that ends is begun anew by the next request.

use crate::base::ids::{Generation, Msn, TrackId};
use crate::edge::session::Session;
use crate::log::format::Span;
use crate::log::id::LogId;
use crate::log::logs::{Index, Logs};
use crate::media::timeline::mark::Mark;
use crate::rt::clock::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks at logs that are in doubt: damage that nobody mends is asked for again
/// and again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the samples of segments lie.
pub type Spans = BTreeMap<Msn, Span>;

/// Resolves when what is known of the session's logs is no longer how they are. Looks only when a
/// read has failed.
pub async fn mended(session: Arc<Session>, logs: Logs, clock: Clock) {
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
async fn moved(session: &Session, logs: &Logs) -> Option<Generation> {
    let opened = session.opened().borrow().clone()?;
    for r in &opened.renditions {
        let noted = r.read().spans();
        for (generation, noted) in noted {
            let (channel, session) = (session.channel.clone(), session.number);
            let id = LogId { channel, session, generation };
            let Ok(index) = logs.index(&id).await else { continue };
            if index.sealed && spans(&index, r.track) != noted {
                logs.forget_damage(&id);
                return Some(generation);
            }
        }
    }
    None
}

fn spans(index: &Index, track: TrackId) -> Spans {
    let mut all = Spans::new();
    for m in index.footers.iter().flat_map(|f| f.marks()) {
        if let (Mark::PartEnd(p), Some(span)) = (&m.mark, m.samples)
            && p.track == track
        {
            widen(all.entry(p.msn).or_insert(span), span);
        }
    }
    all
}

/// Takes a part's place into its segment's.
pub fn widen(segment: &mut Span, part: Span) {
    segment.start = segment.start.min(part.start);
    segment.end = segment.end.max(part.end);
}
