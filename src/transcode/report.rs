//! What a worker tells of itself: sums since its start.

use crate::base::ids::TrackId;
use serde::{Deserialize, Serialize};

/// What has been done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Pictures that were decoded.
    pub decoded: u64,
    /// Packets of pictures that could not be decoded, and pictures out of their order.
    pub broken: u64,
    /// Packets of sound that could not be decoded.
    pub broken_sound: u64,
    /// Microseconds from the newest picture that was decoded to the newest packet of pictures that
    /// was read: how far decoding is behind.
    pub behind_micros: i64,
    /// Each rung, in the order of the settings.
    pub rungs: Vec<RungReport>,
}

/// One rung.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RungReport {
    /// Its track.
    pub track: TrackId,
    /// Pictures that were encoded.
    pub encoded: u64,
    /// Pictures that its frame rate left out.
    pub capped: u64,
    /// Pictures that were left out because the rung was too far behind.
    pub late: u64,
}
