//! Where media begins anew, behind an absence or with a generation: the first part of each track is
//! shown alone for a moment, however much of the log is there already.
//!
//! hls.js (1.7.4) that finds several parts of sound behind a discontinuity of which it has no
//! picture yet takes the first aside, goes on with the second, and then waits for the end of the
//! first for ever. An edge that reads what a new writer has recorded meanwhile would show it that.

use crate::base::ids::TrackId;
use crate::media::timeline::mark::Mark;
use std::collections::HashSet;
use std::time::Duration;

/// For how long: a blocked reload is woken and answered within a few milliseconds, and what comes
/// next is late by this once.
pub const ALONE: Duration = Duration::from_millis(100);

/// Knows which tracks have begun.
#[derive(Debug, Default)]
pub struct Anew(HashSet<TrackId>);

impl Anew {
    /// Takes a mark; is it the first part of its track?
    pub fn begins(&mut self, mark: &Mark) -> bool {
        match mark {
            Mark::Generation(_) => self.0.clear(),
            Mark::Gap(gap) => drop(self.0.remove(&gap.track)),
            Mark::PartEnd(part) => return self.0.insert(part.track),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Generation, Msn, Seq, Session};
    use crate::base::time::Wall;
    use crate::media::timeline::mark::{Gap, GenerationStart, PartEnd};

    fn part(track: TrackId) -> Mark {
        let (msn, seq) = (Msn(1000), Seq(7));
        let (first_seq, last_seq, decode_time, duration) = (seq, seq, 0, 500_000);
        let (part, independent) = (0, true);
        Mark::PartEnd(PartEnd {
            track,
            msn,
            part,
            first_seq,
            last_seq,
            decode_time,
            duration,
            independent,
        })
    }

    #[test]
    fn the_first_part_of_each_track_begins_and_the_first_behind_an_absence() {
        let (generation, base) = (Generation(2), Msn(1000));
        let (session, dseq, previous) = (Session(1), 0, None);
        let start = GenerationStart { session, generation, job: None, base, dseq, previous };
        let (track, msn, wall) = (TrackId::AUDIO, Msn(1001), Wall(0));
        let gap = Gap { track, msn, part: None, duration: 2_000_000, wall, dseq };
        let marks = [
            part(TrackId::VIDEO),
            part(TrackId::AUDIO),
            part(TrackId::VIDEO),
            Mark::Gap(gap),
            part(TrackId::VIDEO),
            part(TrackId::AUDIO),
            part(TrackId::AUDIO),
            Mark::Generation(start),
            part(TrackId::VIDEO),
            part(TrackId::AUDIO),
        ];
        let mut anew = Anew::default();
        let begins: Vec<bool> = marks.iter().map(|mark| anew.begins(mark)).collect();
        let want = [true, true, false, false, false, true, false, false, true, true];
        assert_eq!(begins, want);
    }
}
