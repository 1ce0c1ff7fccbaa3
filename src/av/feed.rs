//! Samples on their way from decoder to encoder: cut into the encoder's frames, and the time of
//! each packet that the encoder makes of them. Pure.
//!
//! Times are those of the source. As long as they agree with the number of samples to a tolerance,
//! samples are counted, so that rounded timestamps make no noise. A hole as long as a frame stays a
//! hole in the times; a shorter one is filled with silence. Sound that begins before what was there
//! has ended loses what overlaps. So no error grows.
//!
//! Invariant: however the source's times move, a packet's time is off by the tolerance at most.

use std::collections::VecDeque;

/// How far the source's times may be from the count of samples, milliseconds. Half of a frame of
/// AAC at 48 kHz, so that a single frame that is missing is seen, and far above the rounding of
/// timestamps in milliseconds.
const TOLERANCE_MS: i64 = 10;

/// A step back beyond this, milliseconds, is another time base and no overlap.
const OVERLAP_MS: i64 = 1_000;

/// See the file's description.
#[derive(Debug)]
pub(super) struct Feed {
    channels: usize,
    /// Samples of a frame.
    frame: usize,
    /// Samples of a second; ticks are samples.
    rate: i64,
    /// Interleaved.
    samples: VecDeque<f32>,
    /// Number of the first sample here, from 0: the encoder got so many.
    first: i64,
    /// When the next sample sounds if none is missing.
    end: Option<i64>,
    /// From sample number on: its time.
    anchors: VecDeque<(i64, i64)>,
}

impl Feed {
    pub(super) fn new(channels: usize, frame: usize, rate: u32) -> Feed {
        let (samples, anchors) = (VecDeque::new(), VecDeque::new());
        let (channels, frame) = (channels.max(1), frame.max(1));
        Feed { channels, frame, rate: rate.into(), samples, first: 0, end: None, anchors }
    }

    /// Takes interleaved samples, the first of which sounds at `pts`.
    pub(super) fn push(&mut self, pts: i64, samples: &[f32]) {
        let count = samples.len() / self.channels;
        let mut skip = 0;
        match self.end.map(|end| pts.saturating_sub(end)) {
            None => self.anchor(pts),
            Some(off) if off.unsigned_abs() <= self.ticks(TOLERANCE_MS).unsigned_abs() => {}
            Some(hole) if (0..self.frame as i64).contains(&hole) => self.silence(hole as usize),
            Some(off) if (-self.ticks(OVERLAP_MS)..0).contains(&off) => {
                skip = usize::try_from(-off).unwrap_or(count).min(count);
            }
            Some(_) => {
                self.fill_up();
                self.anchor(pts);
            }
        }
        self.samples.extend(&samples[skip * self.channels..count * self.channels]);
        self.end = self.end.map(|end| end.saturating_add((count - skip) as i64));
    }

    /// The next whole frame, interleaved, and the number of its first sample.
    pub(super) fn frame(&mut self) -> Option<(i64, Vec<f32>)> {
        let length = self.frame * self.channels;
        if self.samples.len() < length {
            return None;
        }
        let number = self.first;
        self.first += self.frame as i64;
        Some((number, self.samples.drain(..length).collect()))
    }

    /// Completes the last frame with silence.
    pub(super) fn fill_up(&mut self) {
        let over = (self.samples.len() / self.channels) % self.frame;
        if over > 0 {
            self.silence(self.frame - over);
        }
    }

    /// The time of a packet of `length` samples, the first of which has this number; one below zero
    /// is what an encoder puts before the first. A packet with samples of both sides of a hole goes
    /// to the later side: what it has of the earlier one is silence, or the encoder's overlap.
    pub(super) fn time(&mut self, number: i64, length: i64) -> i64 {
        let last = number.saturating_add(length.max(1) - 1);
        while self.anchors.get(1).is_some_and(|(from, _)| *from <= last) {
            self.anchors.pop_front();
        }
        let (from, pts) = self.anchors.front().copied().unwrap_or_default();
        pts.saturating_add(number.saturating_sub(from))
    }

    fn anchor(&mut self, pts: i64) {
        let next = self.first + (self.samples.len() / self.channels) as i64;
        self.anchors.push_back((next, pts));
        self.end = Some(pts);
    }

    fn silence(&mut self, count: usize) {
        self.samples.extend(std::iter::repeat_n(0.0, count * self.channels));
        self.end = self.end.map(|end| end.saturating_add(count as i64));
    }

    fn ticks(&self, ms: i64) -> i64 {
        self.rate * ms / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 1_024;

    /// Frames of a feed at 48 kHz, mono, with the time of each.
    fn times(feed: &mut Feed) -> Vec<i64> {
        let numbers: Vec<i64> = std::iter::from_fn(|| Some(feed.frame()?.0)).collect();
        numbers.into_iter().map(|n| feed.time(n, FRAME)).collect()
    }

    fn push(feed: &mut Feed, pts: i64, count: i64) {
        feed.push(pts, &vec![0.5; count as usize]);
    }

    #[test]
    fn rounded_times_are_counted_over() {
        let mut feed = Feed::new(1, FRAME as usize, 48_000);
        // A day of milliseconds before, and rounding of half a millisecond either way.
        let day = 86_400 * 48_000;
        for n in 0..1_000 {
            let ms = (n * FRAME * 1_000 + 24_000) / 48_000;
            push(&mut feed, day + ms * 48, FRAME);
        }
        let want: Vec<i64> = (0..1_000).map(|n| day + n * FRAME).collect();
        assert_eq!(times(&mut feed), want);
    }

    #[test]
    fn a_hole_stays_a_hole_and_a_short_one_is_silence() {
        let mut feed = Feed::new(1, FRAME as usize, 48_000);
        push(&mut feed, 0, FRAME + 100);
        // As long as 600 samples: silence.
        push(&mut feed, FRAME + 700, FRAME);
        // Two seconds: a hole, and the frame before it is filled up.
        push(&mut feed, 96_000, FRAME);
        assert_eq!(times(&mut feed), [0, FRAME, 2 * FRAME, 96_000]);
        // A packet that the encoder began 312 samples before the hole goes to its later side.
        assert_eq!(feed.time(3 * FRAME - 312, FRAME), 96_000 - 312);
    }

    #[test]
    fn an_overlap_is_cut_and_another_time_base_begins_anew() {
        let mut feed = Feed::new(1, FRAME as usize, 48_000);
        push(&mut feed, 100_000, FRAME);
        // All of this one has sounded, 700 samples of the next.
        push(&mut feed, 100_000, FRAME);
        push(&mut feed, 100_000 + FRAME - 700, FRAME + 700);
        push(&mut feed, 5, FRAME);
        assert_eq!(times(&mut feed), [100_000, 100_000 + FRAME, 5]);
    }

    #[test]
    fn times_at_the_ends_of_what_a_number_can_be_are_no_harm() {
        let mut feed = Feed::new(2, 960, 48_000);
        for pts in [i64::MAX, i64::MIN, 0, i64::MIN, i64::MAX - 5, i64::MAX] {
            feed.push(pts, &[0.25; 2_000]);
            while let Some((number, _)) = feed.frame() {
                feed.time(number - 312, 960);
            }
        }
    }

    #[test]
    fn drift_does_not_grow() {
        let mut feed = Feed::new(1, FRAME as usize, 48_000);
        // The source's clock runs 0.5 % fast against its samples.
        let mut worst = 0;
        let mut clock = 0;
        for n in 0..5_000 {
            clock = n * FRAME * 1_005 / 1_000;
            push(&mut feed, clock, FRAME);
            let end = feed.end.expect("samples") - FRAME;
            worst = worst.max((clock - end).abs());
        }
        assert!(worst <= 480, "{worst} samples");
        let last = *times(&mut feed).last().expect("frames");
        assert!((clock - last).abs() <= 480 + FRAME, "{last} for {clock}");
    }
}
