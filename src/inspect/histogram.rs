//! Counts of values, for medians and quantiles over hours without keeping every value.

use std::collections::BTreeMap;

/// Distinct values that are told apart; beyond it new ones count as their nearest neighbour below.
/// Frame durations and GOP lengths have a handful.
const DISTINCT_MAX: usize = 16 << 10;

/// How often each value came.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    counts: BTreeMap<i64, u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, value: i64) {
        let value = if self.counts.len() < DISTINCT_MAX || self.counts.contains_key(&value) {
            value
        } else {
            let below = self.counts.range(..=value).next_back();
            below.or(self.counts.iter().next()).map_or(value, |(v, _)| *v)
        };
        *self.counts.entry(value).or_default() += 1;
        self.total += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The smallest value that at least `share` (0 to 1) of all values do not exceed.
    pub(super) fn quantile(&self, share: f64) -> Option<i64> {
        let want = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts.iter().find_map(|(value, n)| {
            seen += n;
            (seen >= want).then_some(*value)
        })
    }

    pub(super) fn median(&self) -> Option<i64> {
        self.quantile(0.5)
    }

    pub(super) fn min(&self) -> Option<i64> {
        self.counts.keys().next().copied()
    }

    pub(super) fn max(&self) -> Option<i64> {
        self.counts.keys().next_back().copied()
    }

    /// How many values are larger.
    pub(super) fn above(&self, limit: i64) -> u64 {
        self.counts.range(limit.saturating_add(1)..).map(|(_, n)| n).sum()
    }

    /// How many values are smaller.
    pub(super) fn below(&self, limit: i64) -> u64 {
        self.counts.range(..limit).map(|(_, n)| n).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_those_told_apart_count_as_their_neighbours() {
        let mut h = Histogram::default();
        let last = 2 * (DISTINCT_MAX as i64 - 1);
        (0..DISTINCT_MAX as i64).for_each(|v| h.add(2 * v));
        assert_eq!((h.min(), h.max(), h.median()), (Some(0), Some(last), Some(last / 2 - 1)));
        for value in [3, last + 100, -5] {
            h.add(value);
        }
        assert_eq!((h.min(), h.max()), (Some(0), Some(last)), "none is added");
        assert_eq!((h.total(), h.counts.len()), (DISTINCT_MAX as u64 + 3, DISTINCT_MAX));
        assert_eq!((h.counts[&2], h.counts[&last], h.counts[&0]), (2, 2, 2));
    }
}
