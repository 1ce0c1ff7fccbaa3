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
