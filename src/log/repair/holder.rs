//! Who holds a file's lock, as far as the system tells: for a message to a person, never for a
//! decision.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The process that holds the lock on `path`: its name and number. `None` where the system does not
/// say (another machine, another container, no `/proc`).
pub(super) fn holder(path: &Path) -> Option<String> {
    let inode = std::fs::metadata(path).ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; device numbers differ from stat's on some
    // file systems, so the inode must do.
    let line = locks.lines().find(|l| {
        let place = l.split_whitespace().nth(5).and_then(|p| p.rsplit(':').next());
        l.contains("FLOCK") && place.and_then(|i| i.parse().ok()) == Some(inode)
    })?;
    let pid: u32 = line.split_whitespace().nth(4)?.parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let name = name.as_deref().map_or("process", str::trim);
    Some(format!("{name}, process {pid}"))
}
