//! Files beside a log's extents that are no part of it: what recovery and repair set aside. Nothing
//! deletes them (a log that has some is never removed whole), so whoever looks at a log is told
//! that they are there.

use crate::log::id::extent_index;

/// What the name of an extent gets added when the extent before it turned out to be cut: it is kept
/// for whoever wants to look.
pub(super) const ORPHAN: &str = ".orphan";

/// ... and of the end of an extent that recovery cut off, after the byte at which it was cut.
pub(super) const TORN: &str = ".torn";

/// ... and of a file that could not be begun.
pub(super) const STUB: &str = ".stub";

/// ... and of an original that repair replaced; a later repair adds a number too.
pub(super) const DAMAGED: &str = ".damaged";

/// ... and of a repaired extent until it is in place.
pub(super) const REPAIR: &str = ".repair";

/// A kind: the suffix, and what such files are, one and several.
const KINDS: [(&str, &str, &str); 5] = [
    (
        ORPHAN,
        "extent that recovery set aside, because the one before it was cut",
        "extents that recovery set aside, because the one before them was cut",
    ),
    (
        TORN,
        "end of an extent that recovery cut off: whole records that were never durable",
        "ends of extents that recovery cut off: whole records that were never durable",
    ),
    (STUB, "file that could not be begun", "files that could not be begun"),
    (
        DAMAGED,
        "original that repair replaced; delete it once the repaired log is good enough",
        "originals that repair replaced; delete them once the repaired log is good enough",
    ),
    (
        REPAIR,
        "extent of a repair that was stopped; the next one writes it again",
        "extents of a repair that was stopped; the next one writes them again",
    ),
];

/// The suffix that says why a file was set aside.
fn kind(name: &str) -> Option<&'static str> {
    let at = name.find('.').and_then(|dot| name[dot + 1..].find('.').map(|n| dot + 1 + n))?;
    let (extent, rest) = name.split_at(at);
    extent_index(extent)?;
    let is = |suffix: &str| match suffix {
        TORN => rest.ends_with(TORN),
        DAMAGED => rest.strip_prefix(DAMAGED).is_some_and(|n| n.is_empty() || n.starts_with('.')),
        suffix => rest == suffix,
    };
    KINDS.iter().map(|k| k.0).find(|suffix| is(suffix))
}

/// What was set aside in a directory with these names: a sentence for each kind.
pub fn set_aside(names: &[String]) -> Vec<String> {
    let said = |&(suffix, one, several): &(&str, &str, &str)| {
        let of: Vec<&String> = names.iter().filter(|n| kind(n) == Some(suffix)).collect();
        let first = of.iter().min()?;
        Some(match of.len() {
            1 => format!("set aside: {first}: {one}"),
            n => format!("set aside: {first} and {} more ({suffix}): {several}", n - 1),
        })
    };
    KINDS.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_told_by_kind() {
        let names = |all: &[&str]| all.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let own = ["00000000.extent", "lock", "sealed", "x.orphan", "1.extent.torn", "a.b.torn"];
        assert!(set_aside(&names(&own)).is_empty(), "{:?}", set_aside(&names(&own)));
        let all = names(&[
            "00000002.extent.orphan",
            "00000001.extent.orphan",
            "00000001.extent.4711.torn",
            "00000003.extent.stub",
            "00000000.extent.damaged",
            "00000000.extent.damaged.2",
            "00000004.extent.repair",
        ]);
        let said = set_aside(&all);
        let starts = [
            "set aside: 00000001.extent.orphan and 1 more (.orphan): extents",
            "set aside: 00000001.extent.4711.torn: end of an extent",
            "set aside: 00000003.extent.stub: file",
            "set aside: 00000000.extent.damaged and 1 more (.damaged): originals",
            "set aside: 00000004.extent.repair: extent",
        ];
        assert_eq!(said.len(), starts.len(), "{said:#?}");
        assert!(said.iter().zip(starts).all(|(s, start)| s.starts_with(start)), "{said:#?}");
    }
}
