//! The part of a report that logs have.

use crate::log::format::Position;
use serde::Serialize;

/// Of a log, or several generations of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFacts {
    /// The generations, oldest first.
    pub generations: Vec<GenerationFacts>,
    /// Segment starts.
    pub segments: u64,
    /// ... without a key frame.
    pub dependent_segments: u64,
    /// Part ends.
    pub parts: u64,
    /// Gap records.
    pub gaps: u64,
    /// Segment starts with a discontinuity.
    pub discontinuities: u64,
    /// Cues, each once.
    pub cues: u64,
    /// Packets that no segment lists.
    pub unlisted_packets: u64,
    /// Records of kinds that are not known.
    pub unknown_records: u64,
    /// What the bytes are spent on.
    pub cost: Cost,
}

/// What a log's bytes are spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Payloads of packets.
    pub media_bytes: u64,
    /// Heads of packets' records.
    pub head_bytes: u64,
    /// Marks.
    pub mark_bytes: u64,
    /// Extents' headers, footers and trailers.
    pub extent_bytes: u64,
    /// Bytes that belong to nothing.
    pub damaged_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

/// One writer incarnation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerationFacts {
    /// Its directory.
    pub directory: String,
    /// The number.
    pub generation: u64,
    /// Its session.
    pub session: Option<u64>,
    /// The first MSN it may use.
    pub base: Option<u64>,
    /// The generation before, in the same session.
    pub previous: Option<u64>,
    /// Lowest MSN in its marks.
    pub first_msn: Option<u64>,
    /// Highest MSN in its marks.
    pub last_msn: Option<u64>,
    /// Wall clock of its first segment, RFC 3339.
    pub from: Option<String>,
    /// Wall clock of its last mark, RFC 3339.
    pub to: Option<String>,
    /// The session's EXT-X-TARGETDURATION, seconds.
    pub target_duration: Option<u32>,
    /// The session's PART-TARGET, seconds.
    pub part_target: Option<f64>,
    /// The aimed-at segment length, seconds.
    pub segment_target: Option<f64>,
    /// It has an end record.
    pub ended: bool,
    /// ... which says that the session is over.
    pub session_over: bool,
    /// Where its newest whole record ends: readers see the log up to here.
    pub visible: Place,
    /// How far the newest note in the log says that it is durable; it may be farther. `None`
    /// without a note: the log is young, or is never synced.
    pub durable: Option<Place>,
    /// Its extents.
    pub extents: Vec<ExtentFacts>,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The extent.
    pub extent: u32,
    /// Byte offset in its file.
    pub offset: u64,
}

impl From<Position> for Place {
    fn from(p: Position) -> Place {
        Place { extent: p.extent, offset: p.offset }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.extent, self.offset)
    }
}

/// One extent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtentFacts {
    /// Its index.
    pub extent: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// Good records.
    pub records: u64,
    /// It has a footer and a trailer.
    pub sealed: bool,
    /// The footer is what its records amount to; null when it has none or cannot be compared.
    pub footer_ok: Option<bool>,
    /// It was rolled at a limit and not at a segment start.
    pub forced_roll: bool,
    /// Bytes in the middle that are no records.
    pub damaged_bytes: u64,
    /// Bytes behind the last good record.
    pub torn_bytes: u64,
}
