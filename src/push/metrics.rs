//! What is counted of pushing.

use crate::telemetry::metrics::{ByChannel, Counter, Family, Gauge, GaugeF64, Metrics};

/// Counters and gauges.
#[derive(Debug, Clone)]
pub struct Push {
    /// Sessions that are pushed.
    pub sessions: Gauge,
    /// Segments put into a bucket.
    pub segments: Counter,
    /// Bytes of segments and init sections put into a bucket.
    pub bytes: Counter,
    /// Versions of playlists put into a bucket.
    pub playlists: Counter,
    /// Segments that are listed as gaps because their media could not be read.
    pub lost: Counter,
    /// What a store did not do; it was tried again.
    pub failures: Counter,
    /// Sessions that are pushed no further.
    pub given_up: Counter,
    /// How far the end of what is listed in the bucket is behind the clock.
    pub behind: Family<ByChannel, GaugeF64>,
}

impl Push {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Push {
        let room = metrics.room("push");
        Push {
            sessions: room.gauge("sessions", "Sessions that are pushed"),
            segments: room.counter("segments", "Segments put into a bucket"),
            bytes: room.counter("media_bytes", "Bytes of media put into a bucket"),
            playlists: room.counter("playlists", "Versions of playlists put into a bucket"),
            lost: room.counter("lost_segments", "Segments listed as gaps: no media was to be had"),
            failures: room.counter("failures", "What a store did not do; it was tried again"),
            given_up: room.counter("given_up_sessions", "Sessions that are pushed no further"),
            behind: room.gauges_f64(
                "behind_seconds",
                "How far what is listed in the bucket is behind the clock",
            ),
        }
    }
}
