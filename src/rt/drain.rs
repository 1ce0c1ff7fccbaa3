//! Drain: one signal that everything with a life of its own watches, and the phases a process goes
//! through.

use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where a process is in its life; shown on the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Sockets are bound, stores are being opened.
    Starting,
    /// Ready.
    Serving,
    /// Not ready; what runs may finish until the deadline.
    Draining,
}

/// Told to drain once; every clone sees it. A child drains with its parent, or alone.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    token: CancellationToken,
}

impl Drain {
    /// A signal nobody has given yet.
    pub fn new() -> Drain {
        Drain::default()
    }

    /// A signal that also fires when this one does.
    pub fn child(&self) -> Drain {
        Drain { token: self.token.child_token() }
    }

    /// Starts the drain. Idempotent.
    pub fn start(&self) {
        self.token.cancel();
    }

    /// Has it started?
    pub fn started(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when the drain starts.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }
}

/// Counts the work that a drain waits for.
#[derive(Debug, Clone, Default)]
pub struct Work {
    tracker: TaskTracker,
}

impl Work {
    /// Nothing to wait for yet.
    pub fn new() -> Work {
        Work::default()
    }

    /// Holds the drain open until the guard is dropped.
    pub fn guard(&self) -> impl Send + Sync + 'static + use<> {
        self.tracker.token()
    }

    /// Is nothing held open now?
    pub fn is_idle(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until every guard is dropped; `false` when the deadline came first.
    pub async fn finish(&self, deadline: Duration) -> bool {
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}
