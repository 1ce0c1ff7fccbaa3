//! How segments get listed: which number and discontinuity number may come next, opening and
//! completing, filling in
//! numbers without marks, and what leaves the live window and the live edge. Called by
//! `hls::window`, which reads the marks.

use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};
use crate::hls::error::MarkError;
use crate::hls::name::File;
use crate::hls::playlist::BLOCK;
use crate::hls::segment::{Open, Segment};
use crate::hls::window::{
    BREAKS_MAX, HOLE_MAX, LIVE_WINDOW, PART_TARGET_DURATIONS, SKIP_TARGET_DURATIONS, Window,
};

/// Shortest gap segment in microseconds, where the clock leaves no time for the missing numbers.
const GAP_MIN: i64 = 1_000;

impl Window {
    /// The number that the next segment must have; `None`: any.
    pub(super) fn next_msn(&self) -> Option<Msn> {
        match &self.open {
            Some(open) => Some(open.msn.next()),
            None => self.segments.back().map(|s| s.msn.next()),
        }
    }

    pub(super) fn due(&self, got: Msn) -> Result<(), MarkError> {
        match self.next_msn() {
            Some(want) if got < want || got.0 - want.0 > HOLE_MAX => {
                Err(MarkError::Msn { got, want })
            }
            _ => Ok(()),
        }
    }

    /// How many EXT-X-DISCONTINUITY tags stand before a segment that follows all that is here.
    pub(super) fn breaks(&self, msn: Msn, dseq: u64, flag: bool) -> Result<u32, MarkError> {
        let listed = self.open.as_ref().filter(|o| o.msn != msn && !o.parts.is_empty());
        let before = listed.map(|o| o.dseq).or_else(|| self.segments.back().map(|s| s.dseq));
        let Some(have) = before else { return Ok(u32::from(flag && dseq > 0)) };
        match dseq.checked_sub(have) {
            Some(n) if n <= BREAKS_MAX => Ok(n as u32),
            _ => Err(MarkError::Dseq { msn, got: dseq, have }),
        }
    }

    /// Opens a segment; `init` is `None` for a gap, which leaves the init section in force as it
    /// was.
    pub(super) fn begin(
        &mut self,
        msn: Msn,
        wall: Wall,
        dseq: u64,
        flag: bool,
        init: Option<u32>,
    ) -> Result<(), MarkError> {
        let breaks = self.breaks(msn, dseq, flag)?;
        let in_force = self.segments.back().and_then(|s| s.init);
        if let Some(i) = init {
            self.inits[i as usize].listed = true;
        }
        let map = init.filter(|_| init != in_force).map(|i| &*self.inits[i as usize].hash);
        self.text.begin(breaks, map, wall);
        self.open = Some(Open {
            msn,
            writer: self.writer.unwrap_or_default(),
            wall,
            dseq,
            breaks,
            init: init.or(in_force),
            first_seq: self.next_seq.unwrap_or_default(),
            started: init.is_some(),
            lost: false,
            parts: Vec::new(),
        });
        Ok(())
    }

    /// Completes the open segment, if there is one: with `gap_duration` as a gap of that length,
    /// else with the sum of its parts. True when that listed a segment.
    pub(super) fn close(&mut self, gap_duration: Option<i64>) -> bool {
        let Some(open) = self.open.take() else { return false };
        if open.parts.is_empty() && gap_duration.is_none() {
            return false;
        }
        let (writer, msn, gap) = (open.writer, open.msn, open.is_gap());
        let duration = gap_duration.unwrap_or_else(|| open.duration());
        let file =
            if gap { File::Gap { writer, msn, n: 0 } } else { File::Segment { writer, msn } };
        self.text.finish(gap, duration, &file);
        let begins = self.segments.back().map_or(0, |s| s.end);
        let breaks = u64::from(open.breaks);
        self.first.get_or_insert((msn, open.dseq.saturating_sub(breaks)));
        self.segments.push_back(Segment {
            msn,
            writer,
            wall: open.wall,
            duration,
            dseq: open.dseq,
            gap,
            parts: open.parts.into_boxed_slice(),
            breaks: open.breaks,
            init: open.init,
            first_seq: open.first_seq,
            end: begins.saturating_add(duration),
            text_at: 0,
            body_at: 0,
        });
        self.slide();
        self.retire();
        self.forget();
        if let (Some(head), Some(now)) = (self.segments.get(self.head), self.end_wall()) {
            self.cues.slide(head.msn, now);
        }
        true
    }

    /// Lists numbers before `msn` that no mark accounts for; they share the time until `wall`.
    pub(super) fn fill(&mut self, msn: Msn, wall: Wall) -> bool {
        let Some(last) = self.segments.back() else { return false };
        let (first, missing) = (last.msn.next(), msn.0.saturating_sub(last.msn.0 + 1));
        if missing == 0 {
            return false;
        }
        // What was listed may reach a little beyond the next writer's now, where its dates ran
        // ahead of the clock: dates may overlap by less than a second, and never go back
        // (draft-pantos-hls-rfc8216bis-22, 6.2.1).
        let least = GAP_MIN.saturating_mul(missing.cast_signed());
        let latest = wall.plus(-least).max(last.wall);
        let (mut start, dseq) = (last.wall.plus(last.duration).min(latest), last.dseq);
        let limit = i64::from(self.session.target_duration) * MICROS;
        let each = (wall.since(start) / missing.cast_signed()).clamp(GAP_MIN, limit.max(GAP_MIN));
        for n in first.0..msn.0 {
            // The same discontinuity number as the segment before: that cannot be refused.
            if self.begin(Msn(n), start, dseq, false, None).is_ok() {
                self.close(Some(each));
            }
            start = start.plus(each);
        }
        true
    }

    fn target_durations(&self, n: i64) -> i64 {
        n * i64::from(self.session.target_duration) * MICROS
    }

    /// Moves the head of the live window.
    fn slide(&mut self) {
        let keep = LIVE_WINDOW.max(self.target_durations(PART_TARGET_DURATIONS));
        let end = self.segments.back().map_or(0, |s| s.end);
        while self.head + 1 < self.segments.len() && end - self.segments[self.head].end >= keep {
            self.head += 1;
        }
    }

    /// Drops the part lines of segments that have left the live edge.
    pub(super) fn retire(&mut self) {
        let near = self.target_durations(PART_TARGET_DURATIONS);
        let end = self.segments.back().map_or(0, |s| s.end)
            + self.open.as_ref().map_or(0, |o| o.duration());
        while self.segments.get(self.parted).is_some_and(|s| end - s.end > near) {
            if let Some((at, body)) = self.text.retire() {
                self.segments[self.parted].text_at = at;
                self.segments[self.parted].body_at = body;
            }
            self.parted += 1;
        }
    }

    /// Freezes the text of segments that delta updates skip, and lets go of what is known of those
    /// that have left the live window.
    fn forget(&mut self) {
        let boundary = self.target_durations(SKIP_TARGET_DURATIONS);
        let end = self.segments.back().map_or(0, |s| s.end);
        while self.segments.get(self.skip).is_some_and(|s| end - s.end > boundary) {
            self.skip += 1;
            if self.segments.get(self.skip).is_some_and(|s| s.msn.0.is_multiple_of(BLOCK)) {
                self.text.freeze(self.text_at(self.skip));
            }
        }
        let old = if self.keep { 0 } else { self.head.min(self.skip) };
        for segment in self.segments.drain(..old) {
            self.past.push(&segment);
        }
        (self.head, self.skip, self.parted) = (self.head - old, self.skip - old, self.parted - old);
    }

    /// Where the text without parts continues with segment `at`.
    pub(super) fn text_at(&self, at: usize) -> usize {
        if at < self.parted { self.segments[at].text_at } else { self.text.len() }
    }

    /// Number of the first segment of the live window, and its discontinuity number before its
    /// tags.
    pub(super) fn head_numbers(&self) -> (Msn, u64) {
        let (msn, dseq, breaks) = match (self.segments.get(self.head), &self.open) {
            (Some(s), _) => (s.msn, s.dseq, s.breaks),
            (None, Some(o)) => (o.msn, o.dseq, o.breaks),
            (None, None) => (Msn(0), 0, 0),
        };
        (msn, dseq.saturating_sub(breaks.into()))
    }
}
