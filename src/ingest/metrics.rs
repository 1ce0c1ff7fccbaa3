//! What the receiving side counts.

use crate::telemetry::metrics::{ByReason, Counter, Family, Gauge, Metrics};

/// Counters and gauges of the receiving side.
#[derive(Debug, Clone)]
pub struct Ingest {
    /// Sockets open.
    pub connections: Gauge,
    /// Publishes under way.
    pub publishers: Gauge,
    /// Publishes refused or ended by us, by reason.
    pub refused: Family<ByReason, Counter>,
    /// Coded packets received.
    pub packets: Counter,
    /// Coded bytes received.
    pub bytes: Counter,
    /// Messages that could not be read and were left out.
    pub malformed: Counter,
}

impl Ingest {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Ingest {
        let room = metrics.room("ingest");
        Ingest {
            connections: room.gauge("connections", "Sockets open"),
            publishers: room.gauge("publishers", "Publishes under way"),
            refused: room.counters("refused", "Publishes refused or ended, by reason"),
            packets: room.counter("packets", "Coded packets received"),
            bytes: room.counter("bytes", "Coded bytes received"),
            malformed: room.counter("malformed_messages", "Messages left out as unreadable"),
        }
    }
}
