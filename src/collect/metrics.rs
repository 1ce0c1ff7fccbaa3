//! What the collector counts.

use crate::telemetry::metrics::{Counter, Gauge, Metrics};

/// Counters and gauges of the collector.
#[derive(Debug, Clone)]
pub struct Collect {
    /// Sealed logs that it serves.
    pub held: Gauge,
    /// Those of them that the registry does not know of yet.
    pub untold: Gauge,
    /// Logs that it sealed because their writer was gone.
    pub sealed: Counter,
}

impl Collect {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Collect {
        let room = metrics.room("collect");
        Collect {
            held: room.gauge("held_logs", "Sealed logs on this disk, served to other nodes"),
            untold: room.gauge("untold_logs", "Sealed logs that the registry does not know of"),
            sealed: room.counter("sealed_logs", "Logs sealed because their writer was gone"),
        }
    }
}

/// What is counted of uploads.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// Extents put into the bucket.
    pub extents: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Rounds in which something could not be collected.
    pub failures: Counter,
    /// Sealed extents that are only here, after the newest round.
    pub left: Gauge,
    /// Their bytes.
    pub left_bytes: Gauge,
    /// Logs whose last extent is not sealed.
    pub open: Gauge,
    /// Extents removed here, because they are in the bucket.
    pub removed: Counter,
    /// Their bytes.
    pub removed_bytes: Counter,
}

impl Uploads {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Uploads {
        let room = metrics.room("collect");
        Uploads {
            extents: room.counter("uploaded_extents", "Extents put into the bucket"),
            bytes: room.counter("uploaded_bytes", "Bytes of extents put into the bucket"),
            failures: room.counter("failed_rounds", "Rounds in which something was left"),
            left: room.gauge("left_extents", "Sealed extents that could not be collected yet"),
            left_bytes: room.gauge("left_bytes", "Bytes of sealed extents that are only here"),
            open: room.gauge("open_logs", "Logs whose last extent is not sealed"),
            removed: room.counter("removed_extents", "Collected extents removed from this disk"),
            removed_bytes: room.counter("removed_bytes", "Bytes of collected extents removed"),
        }
    }
}
