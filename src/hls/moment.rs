//! A moment as it stands in a URL: seconds since 1970, to the millisecond if wanted
//! (`1795195386.125`), or RFC 3339 in UTC as EXT-X-PROGRAM-DATE-TIME has it
//! (`2026-11-20T17:23:06.125Z`, or without its milliseconds). Nothing else: no offset, whose `+`
//! is a space to some, and no second that does not exist.

use crate::base::time::{MICROS, Wall};
use std::fmt;
use std::str::FromStr;

/// Most digits of whole seconds: until the year 5138.
const SECONDS_DIGITS: usize = 11;

/// A moment and how it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    wall: Wall,
    text: Box<str>,
}

impl Moment {
    /// When that is.
    pub fn wall(&self) -> Wall {
        self.wall
    }
}

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a moment: write seconds since 1970 (1795195386 or 1795195386.125) or a date in UTC \
     (2026-11-20T17:23:06Z or 2026-11-20T17:23:06.125Z)"
)]
pub struct NotAMoment;

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(s: &str) -> Result<Moment, NotAMoment> {
        let wall = if s.ends_with('Z') { date(s) } else { seconds(s) };
        wall.map(|wall| Moment { wall, text: s.into() }).ok_or(NotAMoment)
    }
}

fn date(s: &str) -> Option<Wall> {
    let wall: Wall = s.parse().ok()?;
    let printed = wall.to_string();
    let short = printed.strip_suffix(".000Z").is_some_and(|p| s.strip_suffix('Z') == Some(p));
    (printed == s || short).then_some(wall)
}

fn seconds(s: &str) -> Option<Wall> {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = s.split_once('.').unwrap_or((s, "0"));
    let plain = (1..=SECONDS_DIGITS).contains(&whole.len()) && digits(whole);
    let exact = (1..=3).contains(&part.len()) && digits(part);
    if !plain || !exact || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let (whole, part) = (whole.parse::<i64>().ok()?, format!("{part:0<6}").parse::<i64>().ok()?);
    Some(Wall(whole * MICROS + part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_and_printed_as_it_was_written() {
        for (text, micros) in [
            ("0", 0),
            ("1795195386", 1_795_195_386_000_000),
            ("1795195386.1", 1_795_195_386_100_000),
            ("1795195386.120", 1_795_195_386_120_000),
            ("1795195386.125", 1_795_195_386_125_000),
            ("99999999999.999", 99_999_999_999_999_000),
            ("2026-11-20T17:23:06Z", 1_795_195_386_000_000),
            ("2026-11-20T17:23:06.000Z", 1_795_195_386_000_000),
            ("2026-11-20T17:23:06.125Z", 1_795_195_386_125_000),
        ] {
            let moment: Moment = text.parse().expect(text);
            assert_eq!((moment.wall(), &*moment.to_string()), (Wall(micros), text));
        }
    }

    #[test]
    fn other_spellings_are_refused_with_an_example() {
        let longer = "1".repeat(SECONDS_DIGITS + 1);
        for bad in [
            "",
            "-1",
            "+1",
            "01",
            "1.",
            ".5",
            "1.1234",
            "1e9",
            "now",
            &longer,
            "2026-11-20T17:23:06",
            "2026-11-20T17:23:06z",
            "2026-11-20 17:23:06Z",
            "2026-11-20T17:23:06.1Z",
            "2026-11-20T17:23:06.1250Z",
            "2026-11-20T17:23:60Z",
            "2026-02-30T17:23:06Z",
            "2026-11-20T17:23:06+00:00",
            "2026-11-20T17:23:06%2B00:00",
        ] {
            assert_eq!(bad.parse::<Moment>(), Err(NotAMoment), "{bad:?}");
        }
        let said = NotAMoment.to_string();
        assert!(said.contains("1795195386.125") && said.contains("2026-11-20T17:23:06Z"), "{said}");
    }
}
