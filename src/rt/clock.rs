//! The only clock. It runs on the runtime's timer, so a paused test runtime owns both of its times.

#![allow(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]

use crate::base::time::{Mono, Now, Wall};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A source of both times. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    /// `Some`: the wall clock is this moment plus the monotonic time since `start` (tests). `None`:
    /// the system's.
    virtual_start: Option<Wall>,
}

impl Clock {
    /// The machine's clock; must be made inside a runtime.
    pub fn system() -> Clock {
        Clock { start: Instant::now(), virtual_start: None }
    }

    /// A wall clock that starts at `wall` and runs with the runtime's timer: under a paused runtime
    /// it moves only when the test moves it.
    pub fn starting_at(wall: Wall) -> Clock {
        Clock { start: Instant::now(), virtual_start: Some(wall) }
    }

    /// Both times, read together.
    pub fn now(&self) -> Now {
        let elapsed = self.start.elapsed();
        let mono = Mono(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
        let wall = match self.virtual_start {
            Some(start) => start.plus(i64::try_from(mono.0).unwrap_or(i64::MAX)),
            None => system_wall(),
        };
        Now { mono, wall }
    }

    /// Sleeps until the monotonic instant; returns at once when it has passed.
    pub async fn sleep_until(&self, at: Mono) {
        tokio::time::sleep_until(self.start + Duration::from_micros(at.0)).await;
    }

    /// Sleeps until the instant, if there is one; else for ever.
    pub async fn sleep_until_due(&self, due: Option<Mono>) {
        match due {
            Some(at) => self.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

fn system_wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
