//! Where the rungs' key frames are: at the first picture, in the order of showing, at or past the
//! first sample of each of the source's segments. Pure.
//!
//! A segment's mark names the number of its first sample. In a log it comes right before that
//! sample's packet; where sound leads, its pictures may have come before it.

use crate::base::ids::Seq;
use crate::log::format::OPEN_SAMPLES_MAX;
use std::collections::VecDeque;

/// Segments whose first picture has not been shown yet, at most: a decoder holds some pictures, not
/// several segments. Of more the oldest are forgotten; their key frames would all be at one
/// picture.
const DUE: usize = 16;

/// See the file's description.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// The first sample of a segment that was marked and has not come.
    awaited: Option<Seq>,
    /// Samples that have come, for marks that come after them.
    recent: VecDeque<(Seq, i64)>,
    /// PTS of the first samples whose pictures have not been shown.
    due: VecDeque<i64>,
}

impl Starts {
    /// A segment starts with this sample.
    pub(super) fn mark(&mut self, first: Seq) {
        match self.recent.iter().rev().find(|(seq, _)| *seq == first) {
            Some((_, pts)) => self.add(*pts),
            None => self.awaited = Some(first),
        }
    }

    /// A sample with its PTS, in decoding order; `None` is one of no segment.
    pub(super) fn sample(&mut self, seq: Option<Seq>, pts: i64) {
        let Some(seq) = seq else { return };
        if self.awaited.is_some_and(|first| seq >= first) {
            self.awaited = None;
            self.add(pts);
        }
        self.recent.push_back((seq, pts));
        if self.recent.len() > OPEN_SAMPLES_MAX {
            self.recent.pop_front();
        }
    }

    /// The next picture in the order of showing: must it be a key frame?
    pub(super) fn picture(&mut self, pts: i64) -> bool {
        let before = self.due.len();
        self.due.retain(|due| *due > pts);
        self.due.len() < before
    }

    /// Another time base begins: what was to come on the old one does not.
    pub(super) fn forget(&mut self) {
        self.due.clear();
        self.recent.clear();
    }

    fn add(&mut self, pts: i64) {
        self.due.push_back(pts);
        if self.due.len() > DUE {
            self.due.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_picture_shown_at_or_past_the_first_sample() {
        let mut s = Starts::default();
        s.mark(Seq(7));
        s.sample(Some(Seq(6)), 240);
        s.sample(None, 900);
        assert!(!s.picture(240));
        s.sample(Some(Seq(7)), 400);
        // Pictures that are decoded after it and shown before it.
        s.sample(Some(Seq(8)), 320);
        assert!(!s.picture(280) && !s.picture(320) && s.picture(400) && !s.picture(440));
        // The sample itself is missing.
        s.mark(Seq(20));
        s.sample(Some(Seq(21)), 1_040);
        assert!(!s.picture(1_000) && s.picture(1_080) && !s.picture(1_120));
    }

    #[test]
    fn a_mark_behind_its_sample_counts_at_once() {
        let mut s = Starts::default();
        s.sample(Some(Seq(3)), 120);
        s.sample(Some(Seq(4)), 160);
        assert!(!s.picture(120));
        s.mark(Seq(3));
        assert!(s.picture(160) && !s.picture(200));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten_with_its_time_base() {
        let mut s = Starts::default();
        for n in 0..2 * OPEN_SAMPLES_MAX as u64 {
            s.mark(Seq(n));
            s.sample(Some(Seq(n)), 1_000_000);
        }
        assert_eq!((s.recent.len(), s.due.len()), (OPEN_SAMPLES_MAX, DUE));
        s.mark(Seq(u64::MAX));
        s.forget();
        assert!(!s.picture(2_000_000));
        s.sample(Some(Seq(u64::MAX)), 5);
        assert!(s.picture(5), "what is awaited is the new time base's");
    }
}
