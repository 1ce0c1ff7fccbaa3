//! Times of a replay: when a message is due, and which timestamp it has in the second round and
//! later. Pure.

use crate::base::time::Timescale;
use crate::replay::message::MessageKind;

/// A step back of more milliseconds than this is an encoder's new clock and not reordering: what
/// follows is due from now on, its timestamps stay as they are.
const STEP_BACK_MAX: i64 = 1000;

/// The times of one track in one round, milliseconds.
#[derive(Debug, Clone, Copy)]
struct Lane {
    min: i64,
    max: i64,
    count: i64,
}

impl Lane {
    /// Where the next frame would be: the newest plus the mean distance of two frames.
    fn end(self) -> i64 {
        let gaps = self.count - 1;
        let mean = if gaps > 0 { (self.max - self.min + gaps / 2) / gaps } else { 0 };
        self.max.saturating_add(mean.max(1))
    }
}

/// The times of a replay.
#[derive(Debug, Clone, Default)]
pub(super) struct Timeline {
    /// Added to the recording's times in this round.
    offset: i64,
    video: Option<Lane>,
    audio: Option<Lane>,
    /// What is due at media time zero, on the shifted clock.
    origin: Option<i64>,
    newest: i64,
    due: i64,
}

impl Timeline {
    /// A message with the recording's DTS in milliseconds: its timestamp modulo 2^32, and when it
    /// is due in microseconds.
    pub(super) fn place(&mut self, kind: MessageKind, dts: i64) -> (u32, i64) {
        let shifted = dts.wrapping_add(self.offset);
        if kind.is_media() {
            self.media(kind, dts, shifted);
        }
        // Modulo 2^32 is what RTMP counts in.
        (shifted as u32, self.due)
    }

    fn media(&mut self, kind: MessageKind, dts: i64, shifted: i64) {
        let lane = if kind == MessageKind::Video { &mut self.video } else { &mut self.audio };
        *lane = Some(match *lane {
            None => Lane { min: dts, max: dts, count: 1 },
            Some(l) => Lane { min: l.min.min(dts), max: l.max.max(dts), count: l.count + 1 },
        });
        let mut origin = *self.origin.get_or_insert_with(|| {
            self.newest = shifted;
            shifted
        });
        if self.newest.saturating_sub(shifted) > STEP_BACK_MAX {
            origin = shifted.saturating_sub(self.due / 1000);
            (self.origin, self.newest) = (Some(origin), shifted);
        }
        self.newest = self.newest.max(shifted);
        let at = Timescale::MILLIS.to_micros(shifted.saturating_sub(origin));
        self.due = self.due.max(at);
    }

    /// The recording starts again: no track's first frame comes before one frame after its last.
    /// Tracks that start or end apart leave the smallest hole that keeps them together.
    pub(super) fn next_round(&mut self) {
        let lanes = self.video.into_iter().chain(self.audio);
        let length = lanes.map(|l| l.end().saturating_sub(l.min)).max();
        self.offset = self.offset.wrapping_add(length.unwrap_or(0));
        (self.video, self.audio) = (None, None);
    }

    /// Did this round have any media?
    pub(super) fn any(&self) -> bool {
        self.video.is_some() || self.audio.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MessageKind::{Audio, Video, VideoConfig};

    /// Places (kind, dts) pairs; gives (timestamp, due in ms).
    fn run(t: &mut Timeline, list: &[(MessageKind, i64)]) -> Vec<(u32, i64)> {
        list.iter()
            .map(|(k, d)| {
                let (ts, due) = t.place(*k, *d);
                (ts, due / 1000)
            })
            .collect()
    }

    #[test]
    fn due_times_start_at_zero_and_never_go_back() {
        let mut t = Timeline::default();
        let list = [(VideoConfig, 500), (Video, 500), (Audio, 490), (Video, 540), (Audio, 513)];
        let want = [(500, 0), (500, 0), (490, 0), (540, 40), (513, 40)];
        assert_eq!(run(&mut t, &list), want);
    }

    #[test]
    fn a_new_clock_is_due_from_where_the_old_one_stopped() {
        let mut t = Timeline::default();
        let list = [(Video, 9000), (Video, 12_000), (Video, 40), (Video, 80), (Video, 10_000)];
        let want = [(9000, 0), (12_000, 3000), (40, 3000), (80, 3040), (10_000, 12_960)];
        assert_eq!(run(&mut t, &list), want);
    }

    #[test]
    fn a_step_back_is_reordering_up_to_the_limit() {
        let at = |step: i64| {
            let list = [(Video, 0), (Video, 9000), (Audio, 9000 - step), (Video, 9040)];
            run(&mut Timeline::default(), &list)[3].1
        };
        assert_eq!(at(STEP_BACK_MAX), 9040, "reordered: the clock is the same");
        assert_eq!(at(STEP_BACK_MAX + 1), 9000 + STEP_BACK_MAX + 1 + 40, "a clock set back");
    }

    #[test]
    fn rounds_join_one_frame_after_the_later_track() {
        let mut t = Timeline::default();
        let round = [(Video, 0), (Audio, 0), (Audio, 23), (Video, 40), (Audio, 46), (Video, 80)];
        run(&mut t, &round);
        t.next_round();
        let second = run(&mut t, &round);
        assert_eq!(second[0], (120, 120));
        assert_eq!(second[5], (200, 200));
        t.next_round();
        assert_eq!(run(&mut t, &round)[0], (240, 240));
    }

    #[test]
    fn tracks_that_start_apart_leave_the_smallest_hole() {
        let mut t = Timeline::default();
        let round = [(Audio, 0), (Video, 80), (Audio, 23), (Video, 120), (Audio, 46)];
        run(&mut t, &round);
        t.next_round();
        // Audio lasts 69 ms, video 80: video goes on at 160, audio 11 ms after its end.
        assert_eq!(
            run(&mut t, &round),
            [(80, 120), (160, 160), (103, 160), (200, 200), (126, 200)]
        );
    }

    #[test]
    fn timestamps_wrap_at_32_bits() {
        let mut t = Timeline::default();
        let start = i64::from(u32::MAX) - 10;
        let list = [(Video, start), (Video, start + 40)];
        assert_eq!(run(&mut t, &list), [(u32::MAX - 10, 0), (29, 40)]);
        assert_eq!(run(&mut Timeline::default(), &[(Video, -20)]), [(u32::MAX - 19, 0)]);
    }
}
