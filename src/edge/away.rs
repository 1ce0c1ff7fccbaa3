//! Nodes whose logs can't be read, as all feeds of an edge know them, and how long a feed waits for
//! one before it goes on without.

use crate::base::error::Kind;
use crate::base::time::Mono;
use crate::edge::sources::Sources;
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::index::Index;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a node may be away before its log is passed over by a feed that has shown nothing yet:
/// about a restart. Until then another edge, which has read that log, has more to show; a list
/// without its past would be too short, and could not be made longer again.
pub(super) const PASS_OVER: Duration = Duration::from_secs(12);

/// How long one answer of a node is waited for whose log others have gone on after: it may stand
/// still, and viewers wait for what comes behind.
const INDEX_WAIT: Duration = Duration::from_secs(3);

/// Since when nodes are away, by where they are read. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Away(Arc<Mutex<HashMap<String, Mono>>>);

impl Away {
    /// A log of this holder could not be read; for how long that has been so.
    pub fn missed(&self, holder: &str, now: Mono) -> Duration {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.since(*since.entry(holder.to_owned()).or_insert(now))
    }

    /// A log of this holder was read.
    pub fn found(&self, holder: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(holder);
    }
}

/// A log's index. A node that does not answer is waited for where nobody goes on after it; a bucket
/// that has all of the log stands in for it.
///
/// # Errors
/// It can't be read, or not in time.
pub async fn index(sources: &Sources, id: &LogId, newest: bool) -> Result<Index, LogError> {
    let until = sources.clock.now().mono.plus(INDEX_WAIT);
    tokio::select! {
        index = sources.logs.nearest_index(id) => {
            if let (Ok(_), Some(holder)) = (&index, holder(sources, id)) {
                sources.away.found(&holder);
            }
            Ok(sources.logs.with_head(id, index?).await)
        }
        () = sources.clock.sleep_until(until), if !newest => {
            // The bucket takes its time where a log is long; it is not the one that stands still.
            if let Some(index) = sources.logs.whole_in_bucket(id).await {
                return Ok(index);
            }
            let why = format!("no answer within {} s", INDEX_WAIT.as_secs());
            Err(LogError::Upstream { url: id.to_string(), why, kind: Kind::Unavailable })
        }
    }
}

/// Is a log that could not be read to be tried again before it is passed over?
pub fn is_worth_waiting(sources: &Sources, id: &LogId) -> bool {
    let now = sources.clock.now().mono;
    holder(sources, id).is_some_and(|holder| sources.away.missed(&holder, now) < PASS_OVER)
}

fn holder(sources: &Sources, id: &LogId) -> Option<String> {
    sources.directory.holder(&id.channel, id.session, id.writer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_away_until_it_is_found() {
        let away = Away::default();
        let at = |seconds: u64| Mono(seconds * 1_000_000);
        assert_eq!(away.missed("a", at(5)), Duration::ZERO);
        assert_eq!(away.clone().missed("a", at(20)), Duration::from_secs(15));
        away.found("a");
        assert_eq!(away.missed("a", at(30)), Duration::ZERO);
    }
}
