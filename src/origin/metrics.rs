//! What the origin counts.

use crate::telemetry::metrics::{ByReason, Counter, Family, Gauge, Metrics};

/// Counters and gauges of the origin.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Sockets open.
    pub connections: Gauge,
    /// Logs being followed by other nodes, each reader counted.
    pub followers: Gauge,
    /// Answers by what they were.
    pub answers: Family<ByReason, Counter>,
    /// Bytes of records sent.
    pub bytes: Counter,
}

impl Origin {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Origin {
        let room = metrics.room("origin");
        Origin {
            connections: room.gauge("connections", "Sockets of other nodes"),
            followers: room.gauge("followers", "Readers that follow a log"),
            answers: room.counters("answers", "Answers by what they were"),
            bytes: room.counter("record_bytes", "Bytes of records sent to other nodes"),
        }
    }
}
