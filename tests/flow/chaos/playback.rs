//! A player's clock over what it has buffered. Pure: times go in, stalls come out.
//!
//! List time is in microseconds: the sum of durations from where the player joined. Where both
//! tracks have media the clock runs; over an absence that is listed as a gap it steps as soon as
//! there is media behind it, as hls.js does; where nothing is buffered it stands, and that is a
//! stall.

use castctl::base::time::Mono;
use std::time::Duration;

/// What must be buffered of both tracks for a clock that stands to run again.
const ENOUGH: i64 = 200_000;

/// How much faster a player plays that is behind its place, in percent; the watch page's.
const FASTER: i64 = 15;

/// How far behind it is then, and how much it keeps in hand.
const BEHIND: i64 = 300_000;

/// Sums of durations that were rounded to microseconds, and sound on its own grid, may leave holes
/// that no player sees (hls.js: `maxBufferHole`, 100 ms).
const HOLE: i64 = 100_000;

/// Something that a track's list has: media that was fetched, or an absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
    gap: bool,
}

/// A time without picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) from: Mono,
    pub(crate) lasted: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Playback {
    tracks: Vec<Vec<Span>>,
    /// Where the newest list ends.
    edge: i64,
    /// How far behind that the player wants to be.
    distance: i64,
    at: Option<i64>,
    ticked: Mono,
    standing: Option<Mono>,
    pub(crate) stalls: Vec<Stall>,
    /// Absences that were stepped over.
    pub(crate) steps: u64,
    /// Media time that was played.
    pub(crate) played: i64,
}

impl Playback {
    /// For so many tracks.
    pub(crate) fn new(tracks: usize) -> Playback {
        Playback {
            tracks: vec![Vec::new(); tracks],
            edge: 0,
            distance: 0,
            at: None,
            ticked: Mono(0),
            standing: None,
            stalls: Vec::new(),
            steps: 0,
            played: 0,
        }
    }

    /// A list ends there; a player keeps that far from it.
    pub(crate) fn listed(&mut self, edge: i64, distance: i64) {
        self.edge = self.edge.max(edge);
        self.distance = distance;
    }

    /// Where the player is; where it wants to begin, before it has begun.
    pub(crate) fn place(&self) -> i64 {
        self.at.unwrap_or(self.edge - self.distance)
    }

    /// A track has media, or a gap, in this span.
    pub(crate) fn add(&mut self, track: usize, (from, to): (i64, i64), gap: bool) {
        let spans = &mut self.tracks[track];
        let at = spans.partition_point(|s| s.from <= from);
        spans.insert(at, Span { from, to, gap });
        if let Some(now) = self.at {
            spans.retain(|s| s.to >= now - HOLE);
        }
    }

    /// Until where a track's media goes on from `at`; `at` where it has none there.
    fn media_until(&self, track: usize, at: i64) -> i64 {
        let mut end = at;
        for s in self.tracks[track].iter().filter(|s| !s.gap) {
            if s.from <= end + HOLE {
                end = end.max(s.to);
            }
        }
        end
    }

    /// Until where all tracks can be played from `at`.
    fn playable(&self, at: i64) -> i64 {
        (0..self.tracks.len()).map(|t| self.media_until(t, at)).min().unwrap_or(at)
    }

    /// Where enough media behind the absence at `at` begins, if all that lies between is listed as
    /// absent, or is too short to begin at and has an absence behind it.
    fn behind_gap(&self, at: i64) -> Option<i64> {
        let mut to = self.next_behind(at)?;
        loop {
            let end = self.playable(to);
            if end >= to + ENOUGH {
                return Some(to);
            }
            to = self.next_behind(end).filter(|next| *next > to)?;
        }
    }

    /// Where media begins behind the absence at `at`.
    fn next_behind(&self, at: i64) -> Option<i64> {
        let beyond = |t: usize| {
            let mut end = at;
            let mut stepped = false;
            for s in &self.tracks[t] {
                if s.from <= end + HOLE && s.to > end {
                    if !s.gap && stepped {
                        return Some(s.from.max(end));
                    }
                    stepped |= s.gap;
                    end = s.to;
                }
            }
            None
        };
        let candidates = (0..self.tracks.len()).filter_map(beyond);
        candidates.max()
    }

    /// The clock's hand moves on.
    pub(crate) fn tick(&mut self, now: Mono) {
        let passed = i64::try_from(now.since(self.ticked).as_micros()).unwrap_or(0);
        self.ticked = now;
        let Some(at) = self.at else {
            let start = self.edge - self.distance;
            if self.distance > 0 && self.playable(start) >= start + ENOUGH {
                self.at = Some(start);
            }
            return;
        };
        let limit = self.playable(at);
        match self.standing {
            None => {
                let slow = self.edge - at > self.distance + BEHIND && limit - at > BEHIND;
                let passed = if slow { passed + passed * FASTER / 100 } else { passed };
                let to = (at + passed).min(limit.max(at));
                self.played += to - at;
                self.at = Some(to);
                if to < at + passed {
                    self.run_dry(now, to);
                }
            }
            Some(from) => self.try_again(now, at, limit, from),
        }
    }

    fn run_dry(&mut self, now: Mono, at: i64) {
        match self.behind_gap(at) {
            Some(to) => {
                self.at = Some(to);
                self.steps += 1;
            }
            None => self.standing = Some(now),
        }
    }

    fn try_again(&mut self, now: Mono, at: i64, limit: i64, from: Mono) {
        let step = self.behind_gap(at);
        if limit < at + ENOUGH && step.is_none() {
            return;
        }
        if let Some(to) = step.filter(|_| limit < at + ENOUGH) {
            self.at = Some(to);
            self.steps += 1;
        }
        self.standing = None;
        self.stalls.push(Stall { from, lasted: now.since(from) });
    }

    /// The end: a stall that is not over counts as it is.
    pub(crate) fn close(&mut self, now: Mono) {
        if let Some(from) = self.standing.take() {
            self.stalls.push(Stall { from, lasted: now.since(from) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Two tracks with three seconds of media, and a player a second behind their end.
    fn playing() -> Playback {
        let mut p = Playback::new(2);
        p.listed(3 * SECOND, SECOND);
        for track in 0..2 {
            p.add(track, (0, 3 * SECOND), false);
        }
        p.tick(Mono(0));
        assert_eq!(p.place(), 2 * SECOND);
        p
    }

    fn ticks(p: &mut Playback, from: u64, to: u64) {
        (from + 1..=to).for_each(|n| p.tick(Mono(n * 100_000)));
    }

    #[test]
    fn a_clock_runs_as_long_as_both_tracks_have_media() {
        let mut p = playing();
        ticks(&mut p, 0, 10);
        assert_eq!((p.place(), p.stalls.len()), (3 * SECOND, 0));
        p.add(0, (3 * SECOND, 5 * SECOND), false);
        ticks(&mut p, 10, 15);
        assert_eq!(p.place(), 3 * SECOND, "no sound");
        p.add(1, (3 * SECOND, 5 * SECOND), false);
        ticks(&mut p, 15, 20);
        assert_eq!(p.stalls, [Stall { from: Mono(1_100_000), lasted: Duration::from_millis(500) }]);
        assert!(p.place() > 3 * SECOND);
    }

    #[test]
    fn a_gap_is_stepped_over_when_there_is_media_behind_it() {
        let mut p = playing();
        for track in 0..2 {
            p.add(track, (3 * SECOND, 9 * SECOND), true);
        }
        ticks(&mut p, 0, 15);
        assert_eq!((p.place(), p.steps), (3 * SECOND, 0));
        p.add(0, (9 * SECOND, 10 * SECOND), false);
        ticks(&mut p, 15, 16);
        assert_eq!(p.steps, 0, "no sound there");
        p.add(1, (9 * SECOND, 10 * SECOND), false);
        ticks(&mut p, 16, 18);
        assert!(p.place() > 9 * SECOND && p.steps == 1, "{p:?}");
        assert_eq!(p.stalls[0].lasted, Duration::from_millis(600));
    }

    #[test]
    fn what_is_too_short_to_begin_at_is_stepped_over_too() {
        let mut p = playing();
        let spans = [(3, 6, true), (6, 6, false), (6, 9, true), (9, 10, false)];
        for (track, (from, to, gap)) in (0..2).flat_map(|t| spans.map(|s| (t, s))) {
            let short = if from == to { ENOUGH / 2 } else { 0 };
            p.add(track, (from * SECOND, to * SECOND + short), gap);
        }
        ticks(&mut p, 0, 12);
        assert!(p.place() > 9 * SECOND && p.steps == 1, "{p:?}");
    }

    #[test]
    fn who_is_behind_plays_faster_and_a_stall_to_the_end_counts() {
        let mut p = playing();
        p.listed(6 * SECOND, SECOND);
        (0..2).for_each(|track| p.add(track, (3 * SECOND, 6 * SECOND), false));
        ticks(&mut p, 0, 10);
        assert!((3_100_000..3_200_000).contains(&p.place()), "{}", p.place());
        ticks(&mut p, 10, 60);
        p.close(Mono(6_500_000));
        assert_eq!(p.stalls.len(), 1);
    }
}
