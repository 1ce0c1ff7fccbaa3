//! When a log is not read on although it has not ended: a newer writer goes on with the session,
//! and the writer of this one is gone, or is not to be listened to any more; or the log is read
//! somewhere else now.

use crate::api::types::Table;
use crate::base::time::Mono;
use crate::edge::line::Line;
use crate::edge::sources::Sources;
use crate::log::id::LogId;
use crate::log::source::{Moved, Source};
use crate::rt::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a writer that was replaced may take to say its last: it seals the log as soon
/// as it is asked to stop, or learns it with its next report. Whoever can be asked has
/// answered by then; who can't be keeps viewers waiting no longer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a log is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// For the next generation's.
    Replaced,
    /// To read on in it somewhere else.
    Moved,
}

/// Watches for one log's reader.
pub struct Leave {
    id: LogId,
    line: Line,
    table: watch::Receiver<Arc<Table>>,
    clock: Clock,
    logs: Source,
    moved: Moved,
    /// Where the log is read.
    place: Option<String>,
    /// A newer writer was seen: when this one is left.
    at: Option<Mono>,
}

impl Leave {
    /// For a log that is about to be read.
    pub fn new(sources: &Sources, id: LogId) -> Leave {
        let Sources { logs, directory, clock, .. } = sources.clone();
        let (mut table, moved, place) = (directory.table(), logs.moved(), logs.place(&id));
        // It is looked at first of all.
        table.mark_changed();
        let line = Line::of(&id);
        Leave { id, line, table, clock, logs, moved, place, at: None }
    }

    fn is_replaced(&self, table: &Table) -> bool {
        table.sessions.get(&self.id.channel).is_some_and(|live| {
            live.session > self.id.session
                || (live.session == self.id.session && self.line.is_past(live, self.id.writer()))
        })
    }

    /// Resolves when it is time to leave. Cancel-safe; may be asked again.
    pub async fn due(&mut self) -> Left {
        loop {
            let at = self.at;
            let clock = self.clock.clone();
            let over = clock.sleep_until_due(at);
            tokio::select! {
                () = over => {
                    // Whoever is still reading what there is asks again.
                    self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
                    return Left::Replaced;
                }
                changed = self.table.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = self.moved.changed() => {}
            }
            if let Some(place) = self.look() {
                tracing::info!(log = %self.id, "it is read from {place} now");
                return Left::Moved;
            }
        }
    }

    /// What the table says now; where the log is read, if that is another place.
    fn look(&mut self) -> Option<String> {
        let table = Arc::clone(&self.table.borrow_and_update());
        let place = self.logs.place(&self.id).filter(|place| Some(place) != self.place.as_ref());
        // Whoever is asked next has as long for it.
        if (self.at.is_none() || place.is_some()) && self.is_replaced(&table) {
            self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
        }
        if place.is_some() {
            self.place.clone_from(&place);
        }
        place
    }
}
