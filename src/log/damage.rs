//! Logs in which damage was found, by recovery or by a reader, for as long as their files are as
//! they were then: an operator has to know without having read every line of the process's log.

use crate::log::error::LogError;
use crate::log::fs::{FileSystem, device_failed};
use crate::log::id::LogId;
use crate::log::shared::lock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where a log is damaged, and how its file looked from outside when that was seen.
struct Found {
    path: PathBuf,
    stamp: Option<u64>,
}

/// The logs of a data directory that are known to be damaged.
#[derive(Default)]
pub(super) struct Damages {
    found: Mutex<BTreeMap<LogId, Found>>,
}

/// The damaged file that an error names, or the one that the disk does not give back; `None` when
/// it is about something else, as a log of a later version.
fn file(e: &LogError) -> Option<&Path> {
    match e {
        LogError::Damaged { path, .. } => Some(path),
        LogError::Header { path, source } if source.is_damage() => Some(path),
        LogError::Io { path, source, .. } if device_failed(source) => Some(path),
        _ => None,
    }
}

impl Damages {
    /// Remembers the log if the error says that it is damaged.
    pub(super) fn note(&self, fs: &dyn FileSystem, id: &LogId, e: &LogError) {
        let Some(path) = file(e) else { return };
        let stamp = fs.stamp(path).ok();
        lock(&self.found).insert(id.clone(), Found { path: path.to_owned(), stamp });
    }

    /// Forgets the logs whose damaged file was replaced or is gone: who reads them next looks
    /// again. Blocks.
    pub(super) fn look(&self, fs: &dyn FileSystem) {
        let changed = |f: &Found| match fs.stamp(&f.path) {
            Ok(stamp) => f.stamp.is_none_or(|was| was != stamp),
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        };
        lock(&self.found).retain(|id, found| {
            let changed = changed(found);
            if changed {
                tracing::info!(log = %id, file = %found.path.display(),
                    "the damaged file was replaced");
            }
            !changed
        });
    }

    /// Forgets one log.
    pub(super) fn forget(&self, id: &LogId) {
        lock(&self.found).remove(id);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.found).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Generation, Session};
    use crate::log::fixture;
    use crate::log::fs::Disk;
    use crate::log::logs::Logs;
    use crate::log::options::Options;
    use crate::log::repair::repair;
    use crate::log::subscription::From;

    #[tokio::test]
    async fn damage_is_counted_once_it_is_met_and_until_it_is_mended() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = fixture::write_log(data.path(), 4_000_000, true).await;
        let logs = Logs::open(data.path(), Options::default()).expect("opened");
        let channel = "main".parse().expect("a name");
        let id = LogId { channel, session: Session(2), generation: Generation(3), rung: None };
        let read = async || {
            let mut log = logs.subscribe(&id, From::Start).expect("there is one");
            while log.next().await?.is_some() {}
            Ok::<_, LogError>(())
        };
        read().await.expect("sound");
        assert_eq!(logs.stats().damaged, 0);
        let path = dir.join("00000001.extent");
        let sound = std::fs::read(&path).expect("an extent");
        let mut bytes = sound.clone();
        bytes[sound.len() / 2] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        // Nobody has read it yet.
        assert_eq!(logs.stats().damaged, 0);
        for _ in 0..2 {
            read().await.expect_err("damaged");
            logs.look(false).await;
            assert_eq!(logs.stats().damaged, 1, "one log, however often it is read");
        }
        repair(&Disk, &dir, false, &mut |_| ()).expect("repaired");
        logs.look(false).await;
        assert_eq!(logs.stats().damaged, 0);
        read().await.expect("sound again");
        // What recovery refuses counts too: a header that no crash damages.
        std::fs::remove_file(dir.join("sealed")).ok();
        let mut bytes = std::fs::read(dir.join("00000000.extent")).expect("an extent");
        bytes[8] ^= 1;
        std::fs::write(dir.join("00000000.extent"), &bytes).expect("written");
        assert!(logs.recover().await.expect("the others are").is_empty());
        assert_eq!(logs.stats().damaged, 1);
    }
}
