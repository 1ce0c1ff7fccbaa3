//! The part of a report that HLS streams have.

use serde::Serialize;

/// Of an HLS stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HlsFacts {
    /// Variants of the multivariant playlist; null when the URL is a media playlist.
    pub variants: Option<Vec<VariantFacts>>,
    /// The media playlists that were followed.
    pub playlists: Vec<PlaylistFacts>,
}

/// One variant of a multivariant playlist.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantFacts {
    /// Its address as it stands there.
    pub uri: String,
    /// BANDWIDTH.
    pub bandwidth: Option<u64>,
    /// CODECS.
    pub codecs: Option<String>,
    /// RESOLUTION.
    pub resolution: Option<String>,
    /// FRAME-RATE.
    pub frame_rate: Option<f64>,
}

/// One media playlist.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaylistFacts {
    /// Its address.
    pub url: String,
    /// `video`, `audio` or `media`.
    pub role: String,
    /// EXT-X-TARGETDURATION, seconds.
    pub target_duration: Option<f64>,
    /// PART-TARGET, seconds.
    pub part_target: Option<f64>,
    /// PART-HOLD-BACK, seconds.
    pub part_hold_back: Option<f64>,
    /// Blocking reloads are offered.
    pub blocking_reload: bool,
    /// It has ended.
    pub ended: bool,
    /// Different versions seen.
    pub versions: u64,
    /// Reloads that failed.
    pub failed_reloads: u64,
    /// Longest wait for a reload, seconds.
    pub slowest_reload_seconds: Option<f64>,
    /// First and last media sequence number of the newest version.
    pub first_msn: Option<u64>,
    /// See `first_msn`.
    pub last_msn: Option<u64>,
    /// Length of the newest version, seconds.
    pub window_seconds: f64,
    /// Segments in the newest version.
    pub segments: u64,
    /// Gaps in the newest version.
    pub gaps: u64,
    /// Discontinuities in the newest version.
    pub discontinuities: u64,
    /// Now minus the end of the newest part by its date: least, median and most over the versions.
    pub latency_seconds: Option<Spread>,
    /// Media files looked into.
    pub fetched: u64,
    /// ... that could not be fetched.
    pub failed: u64,
    /// Largest difference between a listed duration and the media's, seconds.
    pub duration_error_seconds: Option<f64>,
}

/// Least, median and most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Most.
    pub max: f64,
}
