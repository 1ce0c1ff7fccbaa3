//! Whether the stores take what they are given: said by readiness when one has not for a while.

use crate::base::time::Mono;
use crate::telemetry::ready::Latch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A store that does nothing for so long is away; less is a hiccup, which players do not notice.
pub(super) const AWAY: Duration = Duration::from_secs(10);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Health(Arc<Inner>);

struct Inner {
    latch: Latch,
    /// Since when a store does nothing, by its URL, and whether that was told.
    failing: Mutex<BTreeMap<String, (Mono, bool)>>,
}

impl Health {
    /// Everything is well.
    pub(super) fn new(latch: Latch) -> Health {
        latch.open();
        Health(Arc::new(Inner { latch, failing: Mutex::default() }))
    }

    /// A store did what it was asked for.
    pub(super) fn well(&self, url: &str) {
        let mut failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, told)) = failing.remove(url) {
            tracing::info!(bucket = url, "it is pushed to again");
            if told && failing.values().all(|(_, told)| !told) {
                self.0.latch.open();
            }
        }
    }

    /// It did not.
    pub(super) fn failed(&self, url: &str, why: &dyn std::fmt::Display, now: Mono) {
        let mut failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failing.contains_key(url);
        let (since, told) = failing.entry(url.to_owned()).or_insert((now, false));
        if !known {
            tracing::warn!(bucket = url, "nothing can be pushed to it, trying until it can: {why}");
        }
        if now.since(*since) >= AWAY {
            *told = true;
            self.0.latch.close(&format!("nothing can be pushed: {why}"));
        }
    }
}
