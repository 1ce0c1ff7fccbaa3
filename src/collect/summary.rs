//! What a round has done, as values for people and programs.

use serde::Serialize;

/// All logs of a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The archive's URL.
    pub to: String,
    /// The logs, in order.
    pub logs: Vec<LogSummary>,
    /// Extents that were put into the bucket.
    pub uploaded: u64,
    /// Bytes of those.
    pub uploaded_bytes: u64,
    /// Extents that were there already.
    pub there: u64,
    /// Sealed extents that could not be collected, and are only here.
    pub left: u64,
    /// Bytes of those.
    pub left_bytes: u64,
    /// Logs whose last extent is being written, or that lost their writer.
    pub open: u64,
    /// Extents that were removed here, because they are in the bucket.
    pub removed: u64,
    /// Bytes of those.
    pub removed_bytes: u64,
    /// Logs of which all was removed.
    pub removed_logs: u64,
    /// Why something stays that was to be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
    /// Why the registry does not know of all that was collected, where it was to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
}

/// One log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSummary {
    /// Its name, `main/s1/g1`.
    pub log: String,
    /// Extents that are here.
    pub extents: u32,
    /// Those of them that were put into the bucket now.
    pub uploaded: u32,
    /// Bytes of those.
    pub uploaded_bytes: u64,
    /// Those that were there already.
    pub there: u32,
    /// Those that are sealed and could not be collected.
    pub left: u32,
    /// Bytes of those.
    pub left_bytes: u64,
    /// Its last extent is not sealed: it is being written, or its writer is gone.
    pub open: bool,
    /// All of it is in the bucket, and no more will come.
    pub whole: bool,
    /// Extents that were removed now.
    pub removed: u32,
    /// All of it was removed: it is only in the bucket.
    pub gone: bool,
    /// Why something is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Summary {
    /// Takes in a log.
    pub fn add(&mut self, log: LogSummary) {
        self.uploaded += u64::from(log.uploaded);
        self.uploaded_bytes += log.uploaded_bytes;
        self.there += u64::from(log.there);
        self.left += u64::from(log.left);
        self.left_bytes += log.left_bytes;
        self.open += u64::from(log.open);
        self.logs.push(log);
    }

    /// Notes what was removed of a log.
    pub fn remove(&mut self, log: &str, extents: u32, bytes: u64, gone: bool) {
        self.removed += u64::from(extents);
        self.removed_bytes += bytes;
        self.removed_logs += u64::from(gone);
        let at = match self.logs.binary_search_by(|row| row.log.as_str().cmp(log)) {
            Ok(at) => at,
            Err(at) => {
                let row = LogSummary { log: log.to_owned(), ..LogSummary::default() };
                self.logs.insert(at, row);
                at
            }
        };
        let row = &mut self.logs[at];
        row.whole |= gone;
        (row.removed, row.gone) = (extents, gone);
    }

    /// Is something left that should have been collected, told, or removed?
    pub fn is_short(&self) -> bool {
        self.untold.is_some()
            || self.kept.is_some()
            || self.left > 0
            || self.logs.iter().any(|log| log.why.is_some())
    }
}
