//! Which listed samples a log still has, as ranges: an hour of packets in a few bytes. Pure.

use crate::base::ids::{Seq, TrackId};
use std::collections::HashMap;

/// The samples of every track.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    /// Per track: first and last of each run, in order.
    runs: HashMap<TrackId, Vec<(u64, u64)>>,
    /// The extents before the first one are not here: what they held is not missed.
    joined: bool,
}

impl Samples {
    /// Of a log whose first extents were taken away in good order.
    pub(super) fn joined() -> Samples {
        Samples { joined: true, ..Samples::default() }
    }

    /// A sample is there. Answers how many are missing between it and the one before.
    pub(super) fn add(&mut self, track: TrackId, seq: Seq) -> u64 {
        let first = if self.joined { seq.0 } else { 0 };
        let runs = self.runs.entry(track).or_default();
        let due = runs.last().map_or(first, |r| r.1.saturating_add(1));
        match runs.last_mut() {
            Some(run) if seq.0 == due => run.1 = seq.0,
            Some(run) if seq.0 < due => run.1 = run.1.max(seq.0),
            _ => runs.push((seq.0, seq.0)),
        }
        seq.0.saturating_sub(due)
    }

    /// Are all of these there?
    pub(super) fn all(&self, track: TrackId, first: Seq, last: Seq) -> bool {
        let Some(runs) = self.runs.get(&track) else { return false };
        let from = match runs.first() {
            Some(run) if self.joined => first.0.max(run.0),
            _ => first.0,
        };
        let at = runs.partition_point(|r| r.1 < from);
        first <= last
            && (last.0 < from || runs.get(at).is_some_and(|r| r.0 <= from && last.0 <= r.1))
    }
}
