//! Names of objects, below the archive's prefix.

use crate::base::log_id::LogId;
use std::fmt;
use std::str::FromStr;

/// What an object of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Whose log it is: the first object of each.
    Claim,
    /// An extent, as it lay on the node's disk.
    Extent(u32),
    /// Every extent is there, and none will follow: the last object.
    Sealed,
}

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The log.
    pub log: LogId,
    /// Which object of it.
    pub part: Part,
}

/// The name of [`Part::Claim`].
const CLAIM: &str = "claim.json";

/// The name of [`Part::Sealed`].
const SEALED: &str = "sealed.json";

/// What the name of an extent ends with.
const EXTENT: &str = ".extent";

impl Key {
    /// The name of an object of a log.
    pub fn of(log: &LogId, part: Part) -> String {
        Key { log: log.clone(), part }.to_string()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.log)?;
        match self.part {
            Part::Claim => f.write_str(CLAIM),
            Part::Extent(n) => write!(f, "{n:08}{EXTENT}"),
            Part::Sealed => f.write_str(SEALED),
        }
    }
}

/// Why a name is none of an archive's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an archive's object, like main/s1/g1/00000000.extent")]
pub struct NotAKey;

impl FromStr for Key {
    type Err = NotAKey;

    /// Reads what [`fmt::Display`] wrote, and nothing else.
    fn from_str(s: &str) -> Result<Key, NotAKey> {
        let (log, name) = s.rsplit_once('/').ok_or(NotAKey)?;
        let log: LogId = log.parse().map_err(|_| NotAKey)?;
        let part = match name {
            CLAIM => Part::Claim,
            SEALED => Part::Sealed,
            name => {
                let number = name.strip_suffix(EXTENT).and_then(|n| n.parse().ok());
                Part::Extent(number.ok_or(NotAKey)?)
            }
        };
        let key = Key { log, part };
        if key.to_string() == s { Ok(key) } else { Err(NotAKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_no_others_are() {
        let log: LogId = "main/s12/g34".parse().expect("a log");
        for (part, name) in [
            (Part::Claim, "main/s12/g34/claim.json"),
            (Part::Extent(0), "main/s12/g34/00000000.extent"),
            (Part::Extent(123), "main/s12/g34/00000123.extent"),
            (Part::Sealed, "main/s12/g34/sealed.json"),
        ] {
            let key = Key { log: log.clone(), part };
            assert_eq!(key.to_string(), name);
            assert_eq!(Key::of(&log, part), name);
            assert_eq!(name.parse(), Ok(key));
        }
        for other in [
            "main/s12/g34",
            "main/s12/g34/",
            "main/s12/g34/lock",
            "main/s12/g34/0.extent",
            "main/s012/g34/00000000.extent",
            "main/s12/g34/x/00000000.extent",
            "Main/s12/g34/claim.json",
            "main/12/g34/claim.json",
            "main/s12/g34/00000000.extent.torn",
        ] {
            assert_eq!(other.parse::<Key>(), Err(NotAKey), "{other}");
        }
    }
}
