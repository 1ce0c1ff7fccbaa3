//! Named, supervised tasks: a panic is logged with the task's name and never passes unseen.

use std::future::Future;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Spawns a task under a name. The name is on every log line of the task and in the message when it
/// panics.
#[allow(clippy::disallowed_methods, reason = "this is the supervised spawn that the ban points to")]
pub fn spawn<F>(name: impl Into<String>, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let name = name.into();
    let span = tracing::info_span!("task", name = %name);
    let inner = tokio::task::spawn(future.instrument(span));
    let guard = AbortOnDrop(inner.abort_handle());
    tokio::task::spawn(async move {
        // Aborting the outer handle ends the inner task with it.
        let _guard = guard;
        match inner.await {
            Ok(out) => Some(out),
            Err(e) if e.is_panic() => {
                tracing::error!(task = %name, "task panicked: this is a bug; the rest goes on");
                None
            }
            Err(_) => None,
        }
    })
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
