//! Which logs have their writer in this process. A log that is still being made is not there yet,
//! whatever its directory looks like: a reader would take it for one that its writer had left.

use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::shared::{Phase, Shared, lock};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

/// The logs of this process by their names.
#[derive(Default)]
pub(super) struct LiveLogs {
    logs: Mutex<HashMap<LogId, Live>>,
}

enum Live {
    Making,
    /// It can be read from memory until its writer has given it up.
    Open(Weak<Shared>),
}

impl Live {
    fn upgrade(&self) -> Option<Arc<Shared>> {
        match self {
            Live::Making => None,
            Live::Open(log) => log.upgrade(),
        }
    }
}

/// What is known of a log here.
pub(super) enum Found {
    /// Its writer is or was in this process.
    Here(Arc<Shared>),
    /// It is being made.
    Making,
    /// Nothing: it is as its files say.
    Unknown,
}

impl LiveLogs {
    /// Makes a log with `make`, and keeps everybody from it meanwhile.
    ///
    /// # Errors
    /// It is here already, or what `make` says.
    pub(super) fn make(
        &self,
        id: &LogId,
        dir: impl Fn() -> PathBuf,
        make: impl FnOnce() -> Result<Arc<Shared>, LogError>,
    ) -> Result<Arc<Shared>, LogError> {
        {
            let mut logs = lock(&self.logs);
            logs.retain(|_, l| matches!(l, Live::Making) || l.upgrade().is_some());
            if let Some(live) = logs.get(id) {
                let open = |s: Arc<Shared>| s.state.borrow().phase == Phase::Open;
                return Err(if live.upgrade().is_none_or(open) {
                    LogError::Held { path: dir() }
                } else {
                    LogError::Exists { path: dir() }
                });
            }
            logs.insert(id.clone(), Live::Making);
        }
        let made = make();
        let mut logs = lock(&self.logs);
        match &made {
            Ok(shared) => logs.insert(id.clone(), Live::Open(Arc::downgrade(shared))),
            Err(_) => logs.remove(id),
        };
        made
    }

    /// What is known of a log.
    pub(super) fn find(&self, id: &LogId) -> Found {
        match lock(&self.logs).get(id) {
            Some(Live::Making) => Found::Making,
            Some(open) => match open.upgrade() {
                Some(s) if s.state.borrow().phase != Phase::Gone => Found::Here(s),
                _ => Found::Unknown,
            },
            None => Found::Unknown,
        }
    }

    /// The logs that are being written.
    pub(super) fn open(&self) -> Vec<Arc<Shared>> {
        let logs = lock(&self.logs);
        let all = logs.values().filter_map(Live::upgrade);
        all.filter(|s| s.state.borrow().phase == Phase::Open).collect()
    }
}
