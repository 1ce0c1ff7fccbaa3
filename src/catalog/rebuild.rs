//! The catalog of an archive, put together again from the bucket alone.

use crate::base::ids::Msn;
use crate::base::log_id::LogId;
use crate::base::time::Wall;
use crate::catalog::key::{Key, Part};
use std::collections::{BTreeMap, BTreeSet};

/// What an extent's footer says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Covers {
    /// From the first to the last moment that its marks date.
    pub wall: Option<(Wall, Wall)>,
    /// The lowest and the highest segment that they name.
    pub msn: Option<(Msn, Msn)>,
}

/// An extent in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Its length.
    pub bytes: u64,
    /// What it covers, or why that cannot be told.
    pub covers: Result<Covers, String>,
}

/// A log in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// It says whose it is.
    pub claimed: bool,
    /// Its extents by their numbers.
    pub extents: BTreeMap<u32, Extent>,
    /// How many extents it has, where it is known that none follows.
    pub sealed: Option<u32>,
}

impl Stored {
    /// Bytes of its extents.
    pub fn bytes(&self) -> u64 {
        self.extents.values().map(|e| e.bytes).sum()
    }

    /// From the first to the last moment that it covers.
    pub fn wall(&self) -> Option<(Wall, Wall)> {
        let walls = || self.covered().filter_map(|c| c.wall);
        Some((walls().map(|w| w.0).min()?, walls().map(|w| w.1).max()?))
    }

    /// The lowest and the highest segment.
    pub fn msn(&self) -> Option<(Msn, Msn)> {
        let all = || self.covered().filter_map(|c| c.msn);
        Some((all().map(|m| m.0).min()?, all().map(|m| m.1).max()?))
    }

    fn covered(&self) -> impl Iterator<Item = Covers> + '_ {
        self.extents.values().filter_map(|e| e.covers.as_ref().ok().copied())
    }

    /// Extents before the last that are not there.
    pub fn missing(&self) -> Vec<u32> {
        let past = self.sealed.or_else(|| self.extents.keys().last().map(|last| last + 1));
        // Not more than a listing can have shown: a seal may say any number.
        let past = past.unwrap_or(0).min(self.extents.len() as u32 + MISSING_MAX);
        (0..past).filter(|n| !self.extents.contains_key(n)).collect()
    }
}

/// Most missing extents that are named: a log that lost more than an hour is looked at by hand.
pub const MISSING_MAX: u32 = 64;

/// Everything in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// The logs.
    pub logs: BTreeMap<LogId, Stored>,
    /// Objects that are none of an archive's.
    pub strangers: BTreeSet<String>,
}

impl Catalog {
    /// Takes in a name of the listing; whether more is to be learned from the object.
    pub fn name(&mut self, name: &str, bytes: u64) -> Option<Key> {
        let Ok(key) = name.parse::<Key>() else {
            self.strangers.insert(name.to_owned());
            return None;
        };
        let log = self.logs.entry(key.log.clone()).or_default();
        match key.part {
            Part::Claim => {
                log.claimed = true;
                return None;
            }
            Part::Extent(n) => {
                let covers = Err("its footer was not read".to_owned());
                log.extents.insert(n, Extent { bytes, covers });
            }
            Part::Sealed => {}
        }
        Some(key)
    }

    /// Takes in what an extent's footer says, or why it could not be read.
    pub fn covers(&mut self, key: &Key, covers: Result<Covers, String>) {
        if let Part::Extent(n) = key.part
            && let Some(log) = self.logs.get_mut(&key.log)
            && let Some(extent) = log.extents.get_mut(&n)
        {
            extent.covers = covers;
        }
    }

    /// Takes in how many extents a log has.
    pub fn sealed(&mut self, log: &LogId, extents: u32) {
        self.logs.entry(log.clone()).or_default().sealed = Some(extents);
    }

    /// What is wrong, a line each.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, log) in &self.logs {
            let missing = log.missing();
            if !missing.is_empty() {
                let numbers: Vec<String> = missing.iter().map(u32::to_string).collect();
                found.push(format!("{id}: extent(s) {} are not there", numbers.join(", ")));
            }
            if !log.claimed {
                found.push(format!("{id}: its claim is not there"));
            }
            for (n, extent) in &log.extents {
                if let Err(why) = &extent.covers {
                    found.push(format!("{id}: extent {n}: {why}"));
                }
            }
        }
        found.extend(self.strangers.iter().map(|name| format!("{name}: no object of an archive")));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Catalog {
        let mut catalog = Catalog::default();
        for name in names {
            if let Some(key) = catalog.name(name, 10) {
                let (wall, msn) = (Some((Wall(1), Wall(5))), Some((Msn(7), Msn(9))));
                catalog.covers(&key, Ok(Covers { wall, msn }));
            }
        }
        catalog
    }

    #[test]
    fn a_whole_log_is_a_row_and_no_finding() {
        let names = ["a/s1/g1/00000000.extent", "a/s1/g1/00000001.extent", "a/s1/g1/claim.json"];
        let mut catalog = of(&names);
        let log = catalog.logs.keys().next().expect("a log").clone();
        assert_eq!(log.to_string(), "a/s1/g1");
        catalog.sealed(&log, 2);
        let stored = &catalog.logs[&log];
        assert_eq!((stored.bytes(), stored.sealed), (20, Some(2)));
        assert_eq!(stored.wall(), Some((Wall(1), Wall(5))));
        assert_eq!(stored.msn(), Some((Msn(7), Msn(9))));
        assert_eq!(catalog.findings(), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_and_what_does_not_belong_is_said() {
        let mut catalog = of(&["a/s1/g1/00000002.extent", "index.html"]);
        let log = catalog.logs.keys().next().expect("a log").clone();
        let key = Key { log: log.clone(), part: Part::Extent(2) };
        catalog.covers(&key, Err("no footer".into()));
        assert_eq!(
            catalog.findings(),
            [
                "a/s1/g1: extent(s) 0, 1 are not there",
                "a/s1/g1: its claim is not there",
                "a/s1/g1: extent 2: no footer",
                "index.html: no object of an archive",
            ]
        );
        // A seal that says any number does not make the list any length.
        catalog.sealed(&log, u32::MAX);
        let missing = catalog.logs[&log].missing();
        assert_eq!(missing.len() as u32, MISSING_MAX, "{missing:?}");
    }
}
