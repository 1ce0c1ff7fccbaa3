//! Listed samples whose part has not ended.

use crate::base::ids::{Seq, TrackId};
use crate::log::format::footer::Footer;
use crate::log::format::{Position, Span};
use crate::media::fmp4::fragment::Sample;
use crate::media::timeline::mark::PartEnd;
use std::collections::{HashMap, VecDeque};

/// Samples of one track that may wait for their part's end; as many as the log's own index allows.
const PENDING_MAX: usize = 4 << 10;

/// One of them. `sample` is `None` where only its place is known.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) seq: Seq,
    pub(super) start: Position,
    pub(super) end: Position,
    pub(super) sample: Option<Sample>,
}

/// Where a part's samples lie, and they themselves where all are at hand.
pub(super) struct Taken {
    pub(super) span: Option<Span>,
    pub(super) samples: Option<Vec<Sample>>,
}

/// Those of one log.
#[derive(Debug, Default)]
pub(super) struct Waiting(HashMap<TrackId, VecDeque<Pending>>);

impl Waiting {
    /// Another log is read.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Samples of sealed extents whose part ends later: their places are known.
    pub(super) fn resume(&mut self, footer: &Footer) {
        for t in &footer.tracks {
            let places = t.open.iter().map(|o| Pending {
                seq: o.seq,
                start: o.start,
                end: Position { offset: o.start.offset + u64::from(o.len), ..o.start },
                sample: None,
            });
            self.0.insert(t.track, places.collect());
        }
    }

    /// A sample was read.
    pub(super) fn push(&mut self, track: TrackId, pending: Pending) {
        let waiting = self.0.entry(track).or_default();
        if waiting.len() >= PENDING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(pending);
    }

    /// The samples of a part that ends; `None` where they are not all there.
    pub(super) fn part(&mut self, p: &PartEnd) -> Option<Taken> {
        let waiting = self.0.entry(p.track).or_default();
        while waiting.front().is_some_and(|w| w.seq < p.first_seq) {
            waiting.pop_front();
        }
        let count = waiting.iter().take_while(|w| w.seq <= p.last_seq).count();
        let taken: Vec<Pending> = waiting.drain(..count).collect();
        if count as u64 != p.last_seq.0 - p.first_seq.0 + 1 {
            return None;
        }
        let start = taken.iter().map(|t| t.start).min();
        let span = start.zip(taken.iter().map(|t| t.end).max());
        let span = span.map(|(start, end)| Span { start, end });
        Some(Taken { span, samples: taken.into_iter().map(|t| t.sample).collect() })
    }
}
