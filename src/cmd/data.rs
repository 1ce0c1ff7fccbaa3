//! Who may use a data directory.

use crate::cmd::common::Failure;
use std::fs::File;
use std::path::Path;

/// One process at a time has a data directory; the lock goes with the process.
pub fn own(dir: &Path) -> Result<File, Failure> {
    let cannot = |e: std::io::Error| {
        Failure::failed(format!("cannot use the data directory {}: {e}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(cannot)?;
    lock(dir, "lock", "another castctl runs on")
}

/// One process at a time brings what lies in a data directory to a bucket; others may be at work
/// in it.
pub fn own_for_collecting(dir: &Path) -> Result<File, Failure> {
    lock(dir, "collect.lock", "another castctl collects")
}

fn lock(dir: &Path, name: &str, other: &str) -> Result<File, Failure> {
    let cannot = |e: std::io::Error| {
        Failure::failed(format!("cannot use the data directory {}: {e}", dir.display()))
    };
    let file = File::create(dir.join(name)).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = format!("{other} the data directory {}", dir.display());
            Err(Failure::failed(message).hint("stop it, or name another directory with --data"))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(cannot(e)),
    }
}
