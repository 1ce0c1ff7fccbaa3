//! Figures of samples. Pure.

use serde::Serialize;

/// What a set of durations amounts to, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// Half are at or below.
    pub median: f64,
    /// 95 in 100 are at or below.
    pub p95: f64,
    /// 99 in 100 are at or below.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// Figures of samples in microseconds; `None` without any.
pub fn summary(samples: &[u64]) -> Option<Summary> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        // The nearest rank: the smallest sample that so many are at or below.
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|us| *us as f64 / 1000.0)
    };
    let (median, p95, p99, max) = (at(50)?, at(95)?, at(99)?, at(100)?);
    Some(Summary { count: sorted.len(), median, p95, p99, max })
}

/// The middle of repeated measurements; of an even number, the mean of the middle two. `None`
/// without any.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mid = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted.get(mid).copied(),
        _ => Some((sorted.get(mid.checked_sub(1)?)? + sorted.get(mid)?) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_take_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).rev().map(|n| n * 1000).collect();
        let expected = Summary { count: 100, median: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(summary(&hundred), Some(expected));
        let one = Summary { count: 1, median: 0.5, p95: 0.5, p99: 0.5, max: 0.5 };
        assert_eq!(summary(&[500]), Some(one));
        assert_eq!(summary(&[]), None);
    }

    #[test]
    fn the_median_of_few() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[9.0, 1.0][..], Some(5.0)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
            (&[4.0, 1.0, 2.0, 100.0][..], Some(3.0)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
    }
}
