//! Which pictures a rung takes whose frame rate is capped. Pure.

use crate::base::time::Timescale;
use crate::media::track::FrameRate;

/// Pictures at a steady distance, whatever comes. Where the source has a multiple of the rate that
/// is every second, third, ... picture, else the ones that come next when one is due. A key frame
/// is always taken, and the count begins anew with it.
#[derive(Debug)]
pub(super) struct Cap {
    /// Units in a tick: the rate's numerator, so that a frame is a whole number of units.
    units: i128,
    /// Units from picture to picture.
    frame: i128,
    /// When the next one is due.
    due: Option<i128>,
}

impl Cap {
    /// A cap on pictures whose PTS have this unit.
    pub(super) fn new(rate: FrameRate, timescale: Timescale) -> Cap {
        let (num, den) = rate.parts();
        let frame = i128::from(timescale.get()) * i128::from(den);
        Cap { units: num.into(), frame, due: None }
    }

    /// Is this picture taken?
    pub(super) fn takes(&mut self, pts: i64, key: bool) -> bool {
        let at = i128::from(pts) * self.units;
        // Timestamps may be rounded to milliseconds, and jitter: a quarter of a frame early is in
        // time. A source of twice the rate has its other pictures half a frame early.
        let slack = self.frame / 4;
        match self.due {
            // What is due further on than a frame is due on another time base.
            Some(due) if !key && due - at <= self.frame => {
                if at + slack < due {
                    return false;
                }
                // After a hole the count begins anew; within one it goes on, so that jitter evens
                // out.
                let anew = at > due + self.frame;
                self.due = Some(if anew { at } else { due } + self.frame);
            }
            _ => self.due = Some(at + self.frame),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(cap: (u32, u32), scale: u32, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let rate = FrameRate::new(cap.0, cap.1).expect("in range");
        let mut cap = Cap::new(rate, Timescale::new(scale).expect("not zero"));
        times.filter(|t| cap.takes(*t, false)).collect()
    }

    #[test]
    fn every_second_picture_of_a_doubled_rate() {
        // 60 a second in milliseconds, rounded: 0, 17, 33, 50, ...
        let times = || (0..600).map(|n| (n * 1_000 + 30) / 60);
        let want: Vec<i64> = times().step_by(2).collect();
        assert_eq!(taken((30, 1), 1_000, times()), want);
        let ntsc = || (0..600).map(|n| n * 3_003 / 2);
        assert_eq!(taken((60_000, 2_002), 90_000, ntsc()), ntsc().step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn an_uneven_rate_is_kept_on_the_whole() {
        let got = taken((30, 1), 90_000, (0..5_000).map(|n| n * 1_800));
        assert!((2_998..=3_002).contains(&got.len()), "{} of 5000 at 50 a second", got.len());
        assert!(got.windows(2).all(|w| [1_800, 3_600].contains(&(w[1] - w[0]))));
    }

    #[test]
    fn a_source_at_the_rate_keeps_all_its_pictures_with_jitter() {
        let jitter = [0, 5, -5, 7, -7, 2];
        let times = || (0..600).map(|n| (n * 1_000 + 15) / 30 + jitter[n as usize % 6]);
        assert_eq!(taken((30, 1), 1_000, times()).len(), 600);
    }

    #[test]
    fn holes_steps_back_and_key_frames_begin_anew() {
        let times = [0, 33, 66, 10_000, 10_016, 10_033, 5, 20, 38].into_iter();
        assert_eq!(taken((30, 1), 1_000, times), [0, 33, 66, 10_000, 10_033, 5, 38]);
        let rate = FrameRate::new(30, 1).expect("in range");
        let mut cap = Cap::new(rate, Timescale::new(1_000).expect("not zero"));
        let got = [(0, false), (17, true), (33, false), (50, false)].map(|(t, k)| cap.takes(t, k));
        assert_eq!(got, [true, true, false, true]);
    }
}
