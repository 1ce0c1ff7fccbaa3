//! Marks beside a log's extents: this one is in that bucket. They are durable before anything is
//! done that relies on them, and say where to, so that another bucket is another matter.

use crate::store::sum::Sum;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The archive's URL.
    pub to: String,
    /// Bytes of the extent; of a log, of all its extents that were put there.
    pub bytes: u64,
    /// The extent's SHA-256 in hexadecimal; of a log, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What the mark says that stands for those of extents that were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The archive's URL.
    pub to: String,
    /// The extents before this one are there.
    pub extents: u32,
    /// Bytes of those.
    pub bytes: u64,
}

/// The mark of a log's removed extents.
pub fn of_head(dir: &Path) -> PathBuf {
    dir.join("head.collected")
}

/// The mark of an extent: `00000000.collected` in its log's directory.
pub fn of_extent(dir: &Path, extent: u32) -> PathBuf {
    dir.join(format!("{extent:08}.collected"))
}

/// The mark of a log that is over, and all of it in the bucket.
pub fn of_log(dir: &Path) -> PathBuf {
    dir.join("collected")
}

impl Mark {
    /// Of an extent that was found in an archive.
    pub fn extent(to: &str, bytes: u64, sum: &Sum) -> Mark {
        Mark { to: to.to_owned(), bytes, sha256: Some(sum.to_string()) }
    }

    /// Reads a mark; `None` where there is none, or none that can be read: the bucket is asked
    /// then.
    pub fn read(path: &Path) -> Option<Mark> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes a mark, whole and durable, in place of one that is there.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write(path, &serde_json::to_vec(self)?)
    }
}

impl Head {
    /// Reads the mark; `None` where there is none that can be read: nothing is known then.
    pub fn read(path: &Path) -> Option<Head> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes it as [`Mark::write`] does.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write(path, &serde_json::to_vec(self)?)
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_a_torn_one_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = of_extent(dir.path(), 7);
        assert!(path.ends_with("00000007.collected"));
        assert_eq!(Mark::read(&path), None);
        let mark = Mark::extent("s3://b/x", 5, &Sum::of(b"abcde"));
        mark.write(&path).expect("written");
        assert_eq!(Mark::read(&path), Some(mark.clone()));
        let other = Mark { to: "s3://other".into(), ..mark };
        other.write(&path).expect("written over");
        assert_eq!(Mark::read(&path), Some(other));
        std::fs::write(&path, "{\"to\":").expect("torn");
        assert_eq!(Mark::read(&path), None);
    }
}
