//! How fast bytes go out: a rate that holds over parts, not within one.

use crate::base::time::Mono;
use crate::rt::clock::Clock;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A rate that several uploads share.
#[derive(Debug)]
pub struct Pace {
    clock: Clock,
    /// Bytes a second.
    rate: Option<u64>,
    /// From when on the next bytes may go.
    next: Mutex<Mono>,
}

impl Pace {
    /// So many bytes a second, or as many as there are.
    pub fn new(clock: Clock, rate: Option<u64>) -> Pace {
        let next = Mutex::new(clock.now().mono);
        Pace { clock, rate, next }
    }

    /// Waits until so many bytes may go.
    pub async fn take(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let micros = bytes.saturating_mul(1_000_000) / rate.max(1);
        let now = self.clock.now().mono;
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = (*next).max(now);
            *next = at.plus(Duration::from_micros(micros));
            at
        };
        self.clock.sleep_until(at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_the_time_that_their_rate_says_and_none_is_saved_up() {
        let clock = Clock::system();
        let pace = Pace::new(clock.clone(), Some(1000));
        let begun = clock.now().mono;
        for _ in 0..3 {
            pace.take(2000).await;
        }
        assert_eq!(clock.now().mono.since(begun), Duration::from_secs(4), "after two of three");
        clock.sleep_until(clock.now().mono.plus(Duration::from_secs(60))).await;
        let begun = clock.now().mono;
        pace.take(1000).await;
        pace.take(1000).await;
        assert_eq!(clock.now().mono.since(begun), Duration::from_secs(1));
        Pace::new(clock.clone(), None).take(u64::MAX).await;
    }
}
