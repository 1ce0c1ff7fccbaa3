//! Quantities as people write them: `2s`, `500ms`, `6Mbps`, `64MiB`. One parser for the manifest
//! and the flags.

use std::fmt;
use std::time::Duration;

/// Why a quantity is refused; the message names what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A duration without a known unit.
    #[error(
        "{0:?} is not a duration: write a number and a unit, ms, s, m or h (for example \
         500ms, 2s)"
    )]
    Duration(String),
    /// A size without a known unit.
    #[error(
        "{0:?} is not a size: write a number and a unit, B, KiB, MiB, GiB or TiB (for \
         example 64MiB)"
    )]
    Bytes(String),
    /// A bit rate without a known unit.
    #[error(
        "{0:?} is not a bit rate: write a number and a unit, bps, kbps or Mbps (for \
         example 2500kbps)"
    )]
    Bitrate(String),
    /// A number of bits without a known unit.
    #[error("{0:?} is not a number of bits: write a number and a unit, kb or Mb (for example 3Mb)")]
    Bits(String),
}

/// `12.5s` to (12.5, "s"); `None` without a number in front.
fn split(s: &str) -> Option<(f64, &str)> {
    let at = s.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(s.len());
    let n: f64 = s[..at].parse().ok()?;
    (n.is_finite() && n <= 1e15).then_some((n, s[at..].trim()))
}

/// Parses `500ms`, `2s`, `1.5m`, `4h` to whole microseconds.
pub fn duration(s: &str) -> Result<Duration, UnitError> {
    let err = || UnitError::Duration(s.to_owned());
    let (n, unit) = split(s).ok_or_else(err)?;
    let micros = match unit {
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return Err(err()),
    };
    Ok(Duration::from_micros((n * micros).round() as u64))
}

/// Parses `64MiB` and the like to bytes.
pub fn bytes(s: &str) -> Result<u64, UnitError> {
    let err = || UnitError::Bytes(s.to_owned());
    let (n, unit) = split(s).ok_or_else(err)?;
    let power = match unit {
        "B" => 0,
        "KiB" => 1,
        "MiB" => 2,
        "GiB" => 3,
        "TiB" => 4,
        _ => return Err(err()),
    };
    Ok((n * 1024f64.powi(power)).round() as u64)
}

/// Parses `2500kbps` and the like to bits per second.
pub fn bitrate(s: &str) -> Result<u64, UnitError> {
    let err = || UnitError::Bitrate(s.to_owned());
    let (n, unit) = split(s).ok_or_else(err)?;
    let factor = match unit {
        "bps" => 1.0,
        "kbps" => 1e3,
        "Mbps" => 1e6,
        _ => return Err(err()),
    };
    Ok((n * factor).round() as u64)
}

/// Parses `3Mb`, `800kb` to bits.
pub fn bits(s: &str) -> Result<u64, UnitError> {
    let err = || UnitError::Bits(s.to_owned());
    let (n, unit) = split(s).ok_or_else(err)?;
    let factor = match unit {
        "kb" => 1e3,
        "Mb" => 1e6,
        _ => return Err(err()),
    };
    Ok((n * factor).round() as u64)
}

/// A bit rate as [`bitrate`] reads it: `2.8Mbps`, `480kbps`.
pub struct HumanRate(pub u64);

impl fmt::Display for HumanRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kilo = self.0 as f64 / 1e3;
        // A rate in whole hundredths of a megabit, or beyond ten, is shorter in megabits.
        if self.0 >= 1_000_000 && (self.0.is_multiple_of(10_000) || self.0 >= 10_000_000) {
            f.pad(&format!("{}Mbps", kilo / 1e3))
        } else {
            f.pad(&format!("{kilo}kbps"))
        }
    }
}

/// A byte count for people: `1.5 MiB`.
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut n = self.0 as f64 / 1024.0;
        let mut i = 0;
        while n >= 1024.0 && i + 1 < units.len() {
            n /= 1024.0;
            i += 1;
        }
        write!(f, "{n:.1} {}", units[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["2", "2 sec", "s", "-1s", "1e3s", ""] {
            assert_eq!(duration(bad), Err(UnitError::Duration(bad.into())));
        }
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bitrate("2.5Mbps"), Ok(2_500_000));
        assert!(bytes("64MB").is_err());
        assert_eq!((bits("3Mb"), bits("0.5kb")), (Ok(3_000_000), Ok(500)));
        assert_eq!(bits("3Mbps"), Err(UnitError::Bits("3Mbps".into())));
        for (rate, shown) in [
            (2_800_000, "2.8Mbps"),
            (480_000, "480kbps"),
            (2_799_500, "2799.5kbps"),
            (100_001_000, "100.001Mbps"),
            (0, "0kbps"),
        ] {
            assert_eq!(HumanRate(rate).to_string(), shown);
            assert_eq!(bitrate(shown), Ok(rate));
        }
        assert_eq!(HumanBytes(1_572_864).to_string(), "1.5 MiB");
    }
}
