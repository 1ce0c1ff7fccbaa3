//! Three times, never mixed: media ticks with a timescale, wall clock, and monotonic instants.
//!
//! Invariant: this file never reads a clock; `rt::clock` makes the values, everything else gets
//! them as arguments.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
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

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a moment: write 2026-11-20T17:23:06.125Z, or +01:00 and the like for Z")]
pub struct WallError(String);

impl FromStr for Wall {
    type Err = WallError;

    /// Reads RFC 3339 with any offset; digits beyond microseconds are dropped.
    fn from_str(s: &str) -> Result<Wall, WallError> {
        rfc3339(s).ok_or_else(|| WallError(s.to_owned()))
    }
}

fn rfc3339(s: &str) -> Option<Wall> {
    let digits = |s: &str, range: std::ops::Range<usize>| {
        let part = s.get(range).filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<i64>().ok()
    };
    let is = |at: usize, of: &[u8]| s.as_bytes().get(at).is_some_and(|b| of.contains(b));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (y, m, d) = (digits(s, 0..4)?, digits(s, 5..7)?, digits(s, 8..10)?);
    let (h, min, sec) = (digits(s, 11..13)?, digits(s, 14..16)?, digits(s, 17..19)?);
    if h > 23 || min > 59 || sec > 60 {
        return None;
    }
    let mut rest = s.get(19..)?;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let kept = digits(fraction, 0..len.min(6)).filter(|_| len > 0)?;
        micros = kept * 10i64.pow(6 - len.min(6) as u32);
        rest = &fraction[len..];
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = if rest.starts_with('+') { 1 } else { -1 };
            let (h, min) = (digits(rest, 1..3)?, digits(rest, 4..6)?);
            let form = rest.len() == 6 && rest.starts_with(['+', '-']);
            if !form || rest.get(3..4) != Some(":") || h > 23 || min > 59 {
                return None;
            }
            sign * (h * 60 + min) * 60
        }
    };
    let days = days_from_civil(y, m, d);
    // A day that does not exist comes back as another.
    if civil_from_days(days) != (y, m, d) {
        return None;
    }
    Some(Wall((days * 86_400 + h * 3600 + min * 60 + sec - offset) * MICROS + micros))
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(y: i64, m: i64, d: i64) -> i64 {
    let y = y - i64::from(m <= 2);
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let mp = (m + 9) % 12;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5 + d - 1;
    era * 146_097 + doe - 719_468
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
    fn moments_are_read_as_they_are_printed() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00.000Z", 951_782_400_000_000),
            ("2026-11-20T17:23:06.1259999Z", 1_795_195_386_125_999),
            ("2026-11-20 18:23:06.125+01:00", 1_795_195_386_125_000),
            ("2026-11-20T12:53:06.1-04:30", 1_795_195_386_100_000),
        ] {
            assert_eq!(text.parse(), Ok(Wall(micros)), "{text}");
        }
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20T17:23:06",
            "2026-02-30T17:23:06Z",
            "2026-13-01T17:23:06Z",
            "2026-11-20T24:23:06Z",
            "2026-11-20T17:23:06.Z",
            "2026-11-20T17:23:06+0100",
            "2026-11-20T17:23:06Zé",
            "+026-11-20T17:23:06Z",
        ] {
            assert!(bad.parse::<Wall>().is_err(), "{bad}");
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
