//! Which versions of the format there are, who may read what, and how two nodes agree on one. The
//! rules of compatibility stand here; the bytes that carry the numbers are `extent`'s and
//! `stream`'s.
//!
//! A version is raised when what is written changes. An addition that older readers may ignore (a
//! new kind of record, a field at the end of a known body, a new flag) leaves the *oldest reader*
//! where it was; a change of what old readers already interpret raises that too. So a reader needs
//! no list of future versions: it reads whatever names an oldest reader that is not newer than
//! itself.

use std::fmt;

/// The version this code writes. 1: the first. 2: cues. 3: rungs.
pub const VERSION: u16 = 3;

/// The oldest version whose readers understand what this code writes.
pub const OLDEST_READER: u16 = 1;

/// The oldest version that this code still reads.
pub const OLDEST_READ: u16 = 1;

/// Who wrote an extent, and who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wrote {
    /// The version of the writer.
    pub version: u16,
    /// The oldest version whose readers understand it; at most `version`.
    pub oldest_reader: u16,
}

impl Wrote {
    /// By this code.
    pub const TODAY: Wrote = Wrote { version: VERSION, oldest_reader: OLDEST_READER };

    /// What a writer of this version reads: all that this code does, and its own.
    pub fn reads(self) -> Range {
        Range { oldest: OLDEST_READ, newest: self.version }
    }

    /// Reads `2-1`: version 2, which readers of version 1 and later understand. `None` for anything
    /// else.
    pub fn parse(text: &str) -> Option<Wrote> {
        let (version, oldest) = text.split_once('-')?;
        // A range is written the other way round and knows what a number is.
        let Range { oldest, newest } = Range::parse(&format!("{oldest}-{version}"))?;
        Some(Wrote { version: newest, oldest_reader: oldest })
    }

    /// The versions a reader may have to be sent these bytes.
    pub fn readers(self) -> Range {
        Range { oldest: self.oldest_reader, newest: self.version }
    }
}

impl Default for Wrote {
    fn default() -> Wrote {
        Wrote::TODAY
    }
}

/// Versions that somebody understands, both ends included. Written `1-3`, or `1` for one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
}

impl Range {
    /// What this code reads.
    pub const TODAY: Range = Range { oldest: OLDEST_READ, newest: VERSION };

    /// Does a reader of these versions understand what was written so?
    pub fn reads(self, wrote: Wrote) -> bool {
        wrote.version >= self.oldest && wrote.oldest_reader <= self.newest
    }

    /// Reads what [`fmt::Display`] wrote; `None` for anything else, also for an empty range.
    pub fn parse(text: &str) -> Option<Range> {
        let (oldest, newest) = text.split_once('-').unwrap_or((text, text));
        // `parse` alone would take a sign.
        let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok())?;
        let range = Range { oldest: number(oldest)?, newest: number(newest)? };
        (range.oldest <= range.newest && range.oldest > 0).then_some(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.oldest == self.newest {
            true => write!(f, "{}", self.oldest),
            false => write!(f, "{}-{}", self.oldest, self.newest),
        }
    }
}

/// Two nodes have no version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no common version of the log format: the log can be sent as version {sends}, the reader \
     understands {reads}; upgrade the {}", self.older()
)]
pub struct NoCommonVersion {
    /// What the side that has the log can send.
    pub sends: Range,
    /// What the side that asks for it reads.
    pub reads: Range,
}

impl NoCommonVersion {
    /// Who has to be upgraded.
    fn older(&self) -> &'static str {
        if self.sends.oldest > self.reads.newest { "reader" } else { "sender" }
    }
}

/// The version in which a log is sent: the highest that both sides know. The bytes are the same in
/// any case; the answer tells the reader which meaning they have for it.
///
/// # Errors
/// The ranges do not meet; the message names both and who has to be upgraded.
pub fn negotiate(sends: Range, reads: Range) -> Result<u16, NoCommonVersion> {
    let version = sends.newest.min(reads.newest);
    if version < sends.oldest.max(reads.oldest) {
        return Err(NoCommonVersion { sends, reads });
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(oldest: u16, newest: u16) -> Range {
        Range { oldest, newest }
    }

    #[test]
    fn the_highest_common_version_is_chosen_or_both_ranges_are_named() {
        for (sends, reads, want) in [
            ((1, 1), (1, 1), Ok(1)),
            ((1, 2), (1, 1), Ok(1)),
            ((1, 1), (1, 2), Ok(1)),
            ((1, 3), (2, 5), Ok(3)),
            ((2, 5), (1, 3), Ok(3)),
            ((2, 2), (1, 1), Err("as version 2, the reader understands 1; upgrade the reader")),
            ((1, 1), (2, 4), Err("as version 1, the reader understands 2-4; upgrade the sender")),
            ((4, 6), (1, 3), Err("as version 4-6, the reader understands 1-3; upgrade the reader")),
        ] {
            let got = negotiate(range(sends.0, sends.1), range(reads.0, reads.1));
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{sends:?} {reads:?}"),
                (Err(e), Err(want)) => assert!(e.to_string().ends_with(want), "{e}"),
                (got, _) => panic!("{sends:?} {reads:?}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_range_is_written_and_read_back_and_nothing_else_is_read() {
        for r in [range(1, 1), range(1, 2), range(9, 65_535)] {
            assert_eq!(Range::parse(&r.to_string()), Some(r));
        }
        for bad in ["", "-", "1-", "-1", "+1", "0", "0-1", "2-1", "1-2-3", "65536", "1 - 2", "x"] {
            assert_eq!(Range::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn who_wrote_is_read_from_two_numbers() {
        let wrote = |version, oldest_reader| Some(Wrote { version, oldest_reader });
        assert_eq!(Wrote::parse("2-1"), wrote(2, 1));
        assert_eq!(Wrote::parse("3-3"), wrote(3, 3));
        assert_eq!(wrote(3, 2).map(Wrote::reads), Some(range(1, 3)));
        for bad in ["", "2", "1-2", "2-0", "-1", "2-", "2-1-1", "+2-1", "65536-1"] {
            assert_eq!(Wrote::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_reader_needs_no_list_of_later_versions() {
        let today = Range::TODAY;
        assert!(today.reads(Wrote::TODAY));
        assert!(today.reads(Wrote { version: 9, oldest_reader: 1 }), "additions only");
        assert!(
            !today.reads(Wrote { version: 9, oldest_reader: VERSION + 1 }),
            "a changed meaning"
        );
        assert!(range(1, VERSION + 1).reads(Wrote::TODAY), "the next build reads today's logs");
        assert!(!range(VERSION + 1, VERSION + 2).reads(Wrote::TODAY), "until it drops them");
    }
}
