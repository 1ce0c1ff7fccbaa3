//! What a repair found and did. Its JSON form is `castctl repair --json`: names are camelCase,
//! times are seconds. Fields are added, never renamed.

use serde::Serialize;

/// One log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReport {
    /// Its directory.
    pub directory: String,
    /// The generation its extents are of.
    pub generation: u64,
    /// Its extents in order, those that had to be made anew too.
    pub extents: Vec<ExtentReport>,
    /// What cannot be repaired, and what a person should know.
    pub notes: Vec<String>,
    /// Something was changed, or would be.
    pub changed: bool,
}

/// One extent.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtentReport {
    /// Its index.
    pub extent: u32,
    /// Its file.
    pub file: String,
    /// Bytes of the file as it was; 0 when there was none.
    pub bytes: u64,
    /// Bytes of the file as it is now, or would be.
    pub bytes_after: u64,
    /// Records that are kept as they were, byte for byte.
    pub records_kept: u64,
    /// Damaged records that are whole again: marks that the footer held, records of which only the
    /// length field was hit, configurations that a neighbour repeats.
    pub records_restored: u64,
    /// Bytes that belong to no record any more.
    pub bytes_lost: u64,
    /// Listed packets that are missing, by their numbers.
    pub packets_lost: u64,
    /// Media that playlists can't list any more, seconds: the longest of the tracks.
    pub seconds_lost: f64,
    /// Gaps written where media is missing.
    pub gaps_written: u64,
    /// The header was damaged or missing and was made anew.
    pub header_rebuilt: bool,
    /// The footer was damaged, missing or wrong and was made anew.
    pub footer_rebuilt: bool,
    /// The file was missing.
    pub missing: bool,
    /// The file was changed, or would be.
    pub changed: bool,
    /// What is damaged, by offset in the file as it was.
    pub damage: Vec<Damage>,
    /// Where the original file is now; null when it was not changed.
    pub kept_as: Option<String>,
}

/// One damaged place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// Byte in the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong there.
    pub what: String,
}
