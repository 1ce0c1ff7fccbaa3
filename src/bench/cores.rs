//! Which core runs what: a server on one and the load on another, so that neither has the other's
//! time and each one's share of its core says how near its end it is.

use crate::bench::error::BenchError;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A core for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// The server's.
    pub server: usize,
    /// The load's: publisher, viewers, wrk.
    pub load: usize,
}

impl Cores {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// There is only one: load and server would measure each other.
    pub fn two() -> Result<Cores, BenchError> {
        let allowed = sched_getaffinity(None).map_err(cannot)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|n| allowed.is_set(*n));
        match (cores.next(), cores.next()) {
            (Some(server), Some(load)) => Ok(Cores { server, load }),
            _ => Err(BenchError::OneCore),
        }
    }
}

/// This thread, and all that it starts, on one core; back where it was when this is dropped.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// Pins this thread.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn to(core: usize) -> Result<Pinned, BenchError> {
        let before = sched_getaffinity(None).map_err(cannot)?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).map_err(cannot)?;
        Ok(Pinned { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

fn cannot(e: Errno) -> BenchError {
    BenchError::io("choose a core for", "this process")(e.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_pinned_and_let_go() {
        let before = sched_getaffinity(None).expect("Linux tells");
        let first = (0..CpuSet::MAX_CPU).find(|n| before.is_set(*n)).expect("one at least");
        let pinned = Pinned::to(first).expect("one of its own");
        let now = sched_getaffinity(None).expect("Linux tells");
        assert_eq!((now.count(), now.is_set(first)), (1, true));
        assert!(matches!(Cores::two(), Err(BenchError::OneCore)));
        drop(pinned);
        assert_eq!(sched_getaffinity(None).expect("Linux tells"), before);
    }
}
