//! Readiness: a latch for everything that must be well before this process may get traffic, and the
//! phase that follows from them. No sockets here: `admin` shows it, and which latches a process has
//! is its command's business (`cmd::up`).

use crate::rt::drain::Phase;
use std::sync::Arc;
use tokio::sync::watch;

/// Why a new latch is closed.
const NOT_YET: &str = "not open yet";
/// Why the latch of something that ended is closed.
const ENDED: &str = "it has ended";

#[derive(Debug, Default)]
struct State {
    /// Name, and why it is closed; `None` when open.
    latches: Vec<(String, Option<String>)>,
    /// Every latch has been open at once.
    served: bool,
    draining: bool,
}

impl State {
    fn all_open(&self) -> bool {
        self.latches.iter().all(|(_, closed)| closed.is_none())
    }

    fn phase(&self) -> Phase {
        match (self.draining, self.served) {
            (true, _) => Phase::Draining,
            (false, true) => Phase::Serving,
            (false, false) => Phase::Starting,
        }
    }
}

/// A process's readiness. Cheap to clone; clones share it.
///
/// Take every latch before the first is opened: the phase becomes `Serving` as soon as all latches
/// there are stand open, and never goes back to `Starting`. Without any latch it stays `Starting`.
#[derive(Debug, Clone)]
pub struct Ready {
    state: Arc<watch::Sender<State>>,
}

/// What a probe sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Where the process is in its life.
    pub phase: Phase,
    /// Traffic may come: serving, and every latch open.
    pub ready: bool,
    /// Closed latches: name, and why.
    pub waiting: Vec<(String, String)>,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready::new()
    }
}

impl Ready {
    /// No latches, not draining.
    pub fn new() -> Ready {
        Ready { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// A new latch, closed. The name is for people: `rtmp`, `disk`.
    pub fn latch(&self, name: &str) -> Latch {
        let mut index = 0;
        self.state.send_modify(|s| {
            index = s.latches.len();
            s.latches.push((name.to_owned(), Some(NOT_YET.to_owned())));
        });
        Latch { ready: self.clone(), index }
    }

    /// Not ready from now on, whatever the latches say. Idempotent.
    pub fn drain(&self) {
        self.state.send_modify(|s| s.draining = true);
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.state.borrow().phase()
    }

    /// Phase and latches at one moment.
    pub fn readiness(&self) -> Readiness {
        let s = self.state.borrow();
        let closed = s.latches.iter().filter_map(|(n, why)| why.clone().map(|w| (n.clone(), w)));
        let phase = s.phase();
        Readiness {
            phase,
            ready: phase == Phase::Serving && s.all_open(),
            waiting: closed.collect(),
        }
    }

    /// Resolves when the process is ready (at once when it is), or when it drains: `true` for
    /// ready.
    pub async fn wait(&self) -> bool {
        let mut changes = self.state.subscribe();
        let settled = |s: &State| s.draining || (s.served && s.all_open());
        match changes.wait_for(settled).await {
            Ok(s) => !s.draining,
            Err(_) => false,
        }
    }

    fn set(&self, index: usize, why: Option<String>) {
        self.state.send_if_modified(|s| {
            let Some((_, closed)) = s.latches.get_mut(index) else { return false };
            if *closed == why {
                return false;
            }
            *closed = why;
            s.served |= s.all_open();
            true
        });
    }
}

/// One thing that must be well. Held by what it speaks of: dropped, it is closed ("it has ended"),
/// so that a service that dies takes the readiness with it.
#[derive(Debug)]
#[must_use = "a dropped latch is closed"]
pub struct Latch {
    ready: Ready,
    index: usize,
}

impl Latch {
    /// All is well. Idempotent.
    pub fn open(&self) {
        self.ready.set(self.index, None);
    }

    /// Not well (again), for this reason (`disk full`).
    pub fn close(&self, why: &str) {
        self.ready.set(self.index, Some(why.to_owned()));
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.close(ENDED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ready: &Ready) -> (Phase, bool, String) {
        let r = ready.readiness();
        let waiting: Vec<String> = r.waiting.iter().map(|(n, w)| format!("{n}: {w}")).collect();
        (r.phase, r.ready, waiting.join(", "))
    }

    #[test]
    fn ready_is_every_latch_open_and_no_drain() {
        let ready = Ready::new();
        assert_eq!(seen(&ready), (Phase::Starting, false, String::new()));
        let (rtmp, disk) = (ready.latch("rtmp"), ready.latch("disk"));
        rtmp.open();
        assert_eq!(seen(&ready), (Phase::Starting, false, "disk: not open yet".into()));
        disk.open();
        assert_eq!(seen(&ready), (Phase::Serving, true, String::new()));
        disk.close("disk full");
        assert_eq!(seen(&ready), (Phase::Serving, false, "disk: disk full".into()));
        disk.open();
        assert!(ready.readiness().ready);
        drop(rtmp);
        assert_eq!(seen(&ready), (Phase::Serving, false, "rtmp: it has ended".into()));
        ready.drain();
        disk.close("late");
        disk.open();
        assert_eq!(seen(&ready), (Phase::Draining, false, "rtmp: it has ended".into()));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_latch_or_the_drain() {
        let ready = Ready::new();
        let (a, b) = (ready.latch("a"), ready.latch("b"));
        let open = async {
            a.open();
            tokio::task::yield_now().await;
            b.open();
        };
        let (was_ready, ()) = tokio::join!(ready.wait(), open);
        assert!(was_ready);
        b.close("gone");
        let (was_ready, ()) = tokio::join!(ready.wait(), async { ready.drain() });
        assert!(!was_ready);
    }
}
