//! When a log is not read on although it has not ended: a newer generation goes on with the
//! session, and the writer of this one is gone, or is not to be listened to any more; or the log is
//! read somewhere else now.

use crate::api::directory::Directory;
use crate::api::types::{LiveSession, Table};
use crate::base::error::Kind;
use crate::base::ids::Generation;
use crate::base::time::Mono;
use crate::edge::feed::Sources;
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::rt::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a generation that was replaced may take to say its last: its writer seals the log as
/// soon as it is asked to stop, or learns it with its next report. Whoever can be asked has
/// answered by then; who can't be keeps viewers waiting no longer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Watches for one log's reader.
pub struct Leave {
    id: LogId,
    directory: Directory,
    table: watch::Receiver<Arc<Table>>,
    clock: Clock,
    /// Where the log is read.
    holder: Option<String>,
    /// A newer generation was seen: when this one is left.
    at: Option<Mono>,
}

/// Is there a generation after this one, so that nothing more is to be waited for?
pub fn newer(live: &LiveSession, generation: Generation) -> bool {
    live.over || live.generations.iter().any(|g| g.0 > generation)
}

impl Leave {
    /// For a log that is about to be read.
    pub fn new(sources: &Sources, id: LogId) -> Leave {
        let Sources { directory, clock, .. } = sources.clone();
        let (table, holder) = (directory.table(), Leave::held(&directory, &id));
        Leave { id, directory, table, clock, holder, at: None }
    }

    fn held(directory: &Directory, id: &LogId) -> Option<String> {
        directory.holder(&id.channel, id.session, id.generation)
    }

    fn is_replaced(&self, table: &Table) -> bool {
        table.sessions.get(&self.id.channel).is_some_and(|live| {
            live.session > self.id.session
                || (live.session == self.id.session && newer(live, self.id.generation))
        })
    }

    /// Resolves when it is time to leave: `Ok`, for the next generation; an error where the log is
    /// to be read from its new place. Cancel-safe; may be asked again.
    pub async fn due(&mut self) -> Result<(), LogError> {
        loop {
            let table = Arc::clone(&self.table.borrow_and_update());
            let holder = Leave::held(&self.directory, &self.id);
            if holder.is_some() && holder != self.holder {
                let (url, why) = (holder.unwrap_or_default(), "the log is read here now");
                let kind = Kind::Unavailable;
                return Err(LogError::Upstream { url, why: why.into(), kind });
            }
            if self.at.is_none() && self.is_replaced(&table) {
                self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
            }
            let Some(at) = self.at else {
                if self.table.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            };
            tokio::select! {
                () = self.clock.sleep_until(at) => {
                    // Whoever is still reading what there is asks again.
                    self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
                    return Ok(());
                }
                changed = self.table.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
            }
        }
    }
}
