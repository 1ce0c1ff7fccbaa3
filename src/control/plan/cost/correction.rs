//! What is learnt of a job or a node that runs: how much more or less it takes than was estimated.

use serde::{Deserialize, Serialize};

/// Least that is believed, per mille of the estimate: pictures that stand still take about half of
/// what they were calibrated with, and a measurement below it is a job that has no source.
pub const RATIO_MIN: u32 = 400;

/// Most that is believed, per mille: the hardest pictures take about twice as much; what takes more
/// does something else, and would empty its node if it were believed.
pub const RATIO_MAX: u32 = 2_500;

/// A new measurement counts one in so many: with one every two seconds, a scene that is twice as
/// hard is believed by half within 12 s, and a single picture by nothing.
const WEIGHT: u32 = 8;

/// How much something takes, per mille of what was estimated; in bounds and smoothed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Correction(u32);

impl Default for Correction {
    fn default() -> Correction {
        Correction(1_000)
    }
}

impl Correction {
    /// As it was stored: a ratio per mille.
    pub fn stored(per_mille: u32) -> Correction {
        Correction(per_mille)
    }

    /// After one more measurement; both in millicores. An estimate of nothing teaches nothing.
    pub fn learn(self, estimated: u32, measured: u32) -> Correction {
        if estimated == 0 {
            return self;
        }
        let ratio = u64::from(measured) * 1_000 / u64::from(estimated);
        let ratio = u32::try_from(ratio).unwrap_or(RATIO_MAX).clamp(RATIO_MIN, RATIO_MAX);
        let sum = self.0 * (WEIGHT - 1) + ratio;
        // Away from what it was, so that the last steps are made too.
        let next = if ratio > self.0 { sum.div_ceil(WEIGHT) } else { sum / WEIGHT };
        Correction(next)
    }

    /// An estimate with it, rounded up.
    pub fn apply(self, estimated: u32) -> u32 {
        let corrected = u64::from(estimated) * u64::from(self.per_mille());
        u32::try_from(corrected.div_ceil(1_000)).unwrap_or(u32::MAX)
    }

    /// The ratio, never outside its bounds, whatever it was read from.
    pub fn per_mille(self) -> u32 {
        self.0.clamp(RATIO_MIN, RATIO_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: usize, estimated: u32, measured: u32) -> Correction {
        (0..times).fold(Correction::default(), |c, _| c.learn(estimated, measured))
    }

    #[test]
    fn it_comes_to_what_is_measured_and_not_at_once() {
        assert_eq!(Correction::default().apply(700), 700);
        assert_eq!(after(1, 1_000, 2_000).per_mille(), 1_125);
        assert!((1_480..1_560).contains(&after(5, 1_000, 2_000).per_mille()));
        assert_eq!(after(100, 1_000, 2_000).per_mille(), 2_000);
        assert_eq!(after(100, 1_000, 700).per_mille(), 700);
        assert_eq!(after(100, 1_000, 700).apply(1_001), 701);
        assert_eq!(after(5, 0, 700), Correction::default());
    }

    #[test]
    fn no_measurement_takes_it_out_of_its_bounds() {
        assert_eq!(after(200, 1_000, 0).per_mille(), RATIO_MIN);
        assert_eq!(after(200, 1, u32::MAX).per_mille(), RATIO_MAX);
        assert_eq!(after(200, 1, u32::MAX).apply(u32::MAX), u32::MAX);
        let read: Correction = serde_json::from_str("90000").expect("a number");
        assert_eq!(read.per_mille(), RATIO_MAX);
    }
}
