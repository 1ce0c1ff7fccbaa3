//! How long to wait before trying again: longer each time up to a bound, and never exactly as long
//! as everybody else.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The pauses of one caller that tries until it succeeds.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
    seed: u64,
}

impl Backoff {
    /// From about `first` on, doubling, up to about `max`.
    pub fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max, tries: 0, seed: RandomState::new().hash_one(0) }
    }

    /// The next pause: between a half and the whole of what its turn has.
    pub fn pause(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.tries.min(16)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        // xorshift: spreads callers that failed at one moment, no more.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        whole.mul_f64(0.5 + (self.seed % 1024) as f64 / 2048.0)
    }

    /// It went well: the next failure waits shortly again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, max);
        for whole in [100, 200, 400, 800, 1600, 2000, 2000] {
            let whole = Duration::from_millis(whole);
            let pause = backoff.pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= first);
        for _ in 0..100 {
            assert!(backoff.pause() <= max);
        }
    }
}
