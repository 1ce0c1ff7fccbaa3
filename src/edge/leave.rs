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

/// The generation to read after `done`, if there is one.
pub fn next_generation(live: &LiveSession, done: Option<Generation>) -> Option<Generation> {
    live.generations.iter().map(|g| g.0).find(|g| done.is_none_or(|d| *g > d))
}

impl Leave {
    /// For a log that is about to be read.
    pub fn new(sources: &Sources, id: LogId) -> Leave {
        let Sources { directory, clock, .. } = sources.clone();
        let (mut table, holder) = (directory.table(), Leave::held(&directory, &id));
        // It is looked at first of all.
        table.mark_changed();
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
            let at = self.at;
            let clock = self.clock.clone();
            let over = async {
                match at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {
                    // Whoever is still reading what there is asks again.
                    self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
                    return Ok(());
                }
                changed = self.table.changed() => match changed {
                    Ok(()) => self.look()?,
                    Err(_) => std::future::pending::<()>().await,
                },
            }
        }
    }

    /// What the table says now.
    fn look(&mut self) -> Result<(), LogError> {
        let table = Arc::clone(&self.table.borrow_and_update());
        let holder = Leave::held(&self.directory, &self.id);
        if let Some(url) = holder.filter(|url| self.holder.as_ref() != Some(url)) {
            let (why, kind) = ("the log is read here now".into(), Kind::Unavailable);
            return Err(LogError::Upstream { url, why, kind });
        }
        if self.at.is_none() && self.is_replaced(&table) {
            self.at = Some(self.clock.now().mono.plus(LAST_WORDS));
        }
        Ok(())
    }
}
