//! Signals, installed by `cmd` alone: the first SIGTERM or SIGINT drains, the second forces.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT as one stream.
#[derive(Debug)]
pub struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    /// Installs the handlers; must be called inside a runtime.
    pub fn install() -> std::io::Result<Stop> {
        Ok(Stop { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Resolves at the next of either signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
