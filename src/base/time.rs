//! Three times, never mixed: media ticks with a timescale, wall clock, and monotonic instants.
//!
//! Invariant: this file never reads a clock; `rt::clock` makes the values, everything else gets
//! them as arguments.

use std::fmt;
use std::time::Duration;

/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;

/// Ticks per second of a track's media clock (RTMP video and audio: 1000). Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timescale(u32);

impl Timescale {
    /// RTMP and FLV count milliseconds.
    pub const MILLIS: Timescale = Timescale(1000);

    /// A timescale of `ticks` per second; `None` for zero.
    pub const fn new(ticks: u32) -> Option<Timescale> {
        if ticks == 0 { None } else { Some(Timescale(ticks)) }
    }

    /// Ticks per second.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Ticks to microseconds, rounded to the nearest.
    pub fn to_micros(self, ticks: i64) -> i64 {
        div_round(i128::from(ticks) * i128::from(MICROS), i128::from(self.0))
    }

    /// Microseconds to ticks, rounded to the nearest.
    pub fn from_micros(self, micros: i64) -> i64 {
        div_round(i128::from(micros) * i128::from(self.0), i128::from(MICROS))
    }

    /// Ticks of this timescale in ticks of `to`, rounded to the nearest.
    pub fn convert(self, ticks: i64, to: Timescale) -> i64 {
        div_round(i128::from(ticks) * i128::from(to.0), i128::from(self.0))
    }
}

/// `a / b` rounded to the nearest, halves up; saturates at the ends of `i64`.
fn div_round(a: i128, b: i128) -> i64 {
    let q = (2 * a + b).div_euclid(2 * b);
    i64::try_from(q).unwrap_or(if q < 0 { i64::MIN } else { i64::MAX })
}

/// A wall-clock moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// The moment `micros` later (earlier when negative); saturates.
    pub fn plus(self, micros: i64) -> Wall {
        Wall(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; negative when it is later.
    pub fn since(self, earlier: Wall) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 in UTC with milliseconds (`2026-11-20T17:23:06.125Z`), the form EXT-X-PROGRAM-DATE-TIME
/// uses.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.div_euclid(1000);
        let (secs, ms) = (millis.div_euclid(1000), millis.rem_euclid(1000));
        let (days, rem) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
        let (y, m, d) = civil_from_days(days);
        let (h, min, s) = (rem / 3600, rem / 60 % 60, rem % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{ms:03}Z")
    }
}

/// Days since 1970-01-01 to a proleptic Gregorian date (year, month 1-12, day 1-31).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Counted in 400-year eras that start on 1 March, so that a leap day is the last day of its
    // year.
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// A monotonic instant: microseconds since the process's clock began. Comparable only within one
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This instant plus a duration; saturates.
    pub fn plus(self, d: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time since an earlier instant; zero when it is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// One reading of the clock, handed to every core: both times belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For time-outs and pacing.
    pub mono: Mono,
    /// For what people and playlists see.
    pub wall: Wall,
}

/// A `Duration` in whole microseconds, as the records and the planners count; saturates.
pub fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_prints_as_rfc3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_795_195_386_125_999, "2026-11-20T17:23:06.125Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Wall(micros).to_string(), text);
        }
    }

    #[test]
    fn ticks_convert_to_the_nearest() {
        let ms = Timescale::MILLIS;
        let hz90 = Timescale::new(90_000).expect("not zero");
        assert_eq!(ms.convert(33, hz90), 2970);
        assert_eq!(hz90.convert(3003, ms), 33);
        assert_eq!(Timescale::new(44_100).expect("not zero").to_micros(1024), 23_220);
        assert_eq!(ms.to_micros(i64::MAX), i64::MAX);
    }
}
