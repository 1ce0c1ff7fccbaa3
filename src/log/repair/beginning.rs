//! Where a log begins whose oldest extents were removed (`trim`), for a repair.

use crate::base::ids::Generation;
use crate::log::error::LogError;
use crate::log::format::trimmed::Trimmed;
use crate::log::fs::FileSystem;
use crate::log::id::extent_index;
use crate::log::reader::names;
use crate::log::trim::{say, trimmed};
use bytes::Bytes;
use std::path::Path;

/// What is said of a log's beginning.
enum Said {
    /// Nothing: it begins with extent 0.
    Nothing,
    This(Trimmed),
    /// The file that says it is damaged.
    Damaged,
}

fn said(fs: &dyn FileSystem, dir: &Path, names: &[String]) -> Result<Said, LogError> {
    match trimmed(fs, dir, names) {
        Ok(None) => Ok(Said::Nothing),
        Ok(Some(trimmed)) => Ok(Said::This(trimmed)),
        Err(LogError::Damaged { .. }) => Ok(Said::Damaged),
        Err(e) => Err(e),
    }
}

/// The indices of the extents that were not removed, as far as is known, in order.
pub(super) fn extents(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<u32>, LogError> {
    let names = names(fs, dir)?;
    let first = match said(fs, dir, &names)? {
        Said::This(trimmed) => trimmed.first,
        Said::Nothing | Said::Damaged => 0,
    };
    let mut found: Vec<u32> = names.iter().filter_map(|n| extent_index(n)).collect();
    found.retain(|n| *n >= first);
    found.sort_unstable();
    Ok(found)
}

/// What is to be said of a log whose oldest extent is this.
pub(super) fn note(
    fs: &dyn FileSystem,
    dir: &Path,
    first: u32,
) -> Result<Option<String>, LogError> {
    Ok(match said(fs, dir, &names(fs, dir)?)? {
        Said::Damaged => {
            Some(format!("what says where the log begins is damaged: it begins with {first} now"))
        }
        Said::This(t) if t.first < first => {
            let last = first - 1;
            Some(format!("extents {} to {last} are lost: the log begins with {first} now", t.first))
        }
        Said::This(_) => Some(format!("the extents before {first} were removed")),
        Said::Nothing if first > 0 => {
            Some(format!("the extents before {first} are not here, and nothing is missed there"))
        }
        Said::Nothing => None,
    })
}

/// Has a log that was trimmed begin with the oldest extent there is; is that another than was said?
pub(super) fn mend(
    fs: &dyn FileSystem,
    dir: &Path,
    generation: Generation,
    first: u32,
    dry_run: bool,
) -> Result<bool, LogError> {
    let start = match said(fs, dir, &names(fs, dir)?)? {
        Said::Damaged => Bytes::new(),
        Said::This(t) if t.first < first => t.start,
        Said::Nothing | Said::This(_) => return Ok(false),
    };
    if !dry_run {
        say(fs, dir, &Trimmed { first, generation, whole: false, start })?;
    }
    Ok(true)
}
