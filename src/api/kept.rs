//! The table on disk, so that an edge that starts while no API server answers serves every channel
//! that was on air. The file has the lines that a table is sent in.

use crate::api::types::Table;
use crate::api::wire::{Line, apply, changes};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where a table is kept.
#[derive(Debug, Clone)]
pub struct Kept(PathBuf);

impl Kept {
    /// In this directory, which is made.
    ///
    /// # Errors
    /// It can't be.
    pub fn in_dir(dir: &Path) -> std::io::Result<Kept> {
        std::fs::create_dir_all(dir)?;
        Ok(Kept(dir.join("table.ndjson")))
    }

    /// What is there; `None` where nothing is, or nothing that can be read.
    pub fn load(&self) -> Option<Table> {
        let text = match std::fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => {
                tracing::warn!("{}: the table of channels can't be read: {e}", self.0.display());
                return None;
            }
        };
        let mut table = Table::default();
        let mut whole = false;
        for line in text.lines() {
            match serde_json::from_str::<Line>(line) {
                Ok(line) => whole |= apply(&mut table, line),
                Err(e) => {
                    let file = self.0.display();
                    tracing::warn!("{file}: no table of channels, left aside: {e}");
                    return None;
                }
            }
        }
        whole.then_some(table)
    }

    /// Puts a table there, whole or not at all.
    ///
    /// # Errors
    /// The disk does not take it; what was there stays.
    pub fn store(&self, table: &Table) -> std::io::Result<()> {
        let part = self.0.with_extension("part");
        let mut out = Vec::new();
        for line in changes(&Table::default(), table).iter().chain([&Line::Known]) {
            serde_json::to_writer(&mut out, line)?;
            out.push(b'\n');
        }
        let mut file = std::fs::File::create(&part)?;
        file.write_all(&out)?;
        file.sync_data()?;
        std::fs::rename(part, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::LiveSession;
    use crate::base::ids::{Generation, Session};

    #[test]
    fn a_table_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = Kept::in_dir(&dir.path().join("new")).expect("made");
        assert_eq!(kept.load(), None);
        let mut table = Table::default();
        let generations = vec![(Generation(3), "origin-1".into())];
        let live = LiveSession {
            session: Session(2),
            over: false,
            open: true,
            generations,
            jobs: Vec::new(),
            record: None,
        };
        table.sessions.insert("main".parse().expect("a name"), live);
        table.nodes.insert("origin-1".into(), "http://10.0.0.1:8090".into());
        kept.store(&table).expect("written");
        assert_eq!(kept.load(), Some(table.clone()));
        let file = dir.path().join("new/table.ndjson");
        let text = std::fs::read_to_string(&file).expect("there");
        for bad in [&text[..text.len() - 20], "", "{}\n", "no json"] {
            std::fs::write(&file, bad).expect("written");
            assert_eq!(kept.load(), None, "{bad:?}");
        }
        kept.store(&table).expect("written over it");
        assert_eq!(kept.load(), Some(table));
    }
}
