//! What the API server counts.

use crate::telemetry::metrics::{ByReason, Counter, Family, Gauge, Metrics};

/// Counters and gauges of the API server.
#[derive(Debug, Clone)]
pub struct Api {
    /// Sockets open.
    pub connections: Gauge,
    /// Answers by what they were.
    pub answers: Family<ByReason, Counter>,
    /// Writers that were asked to stop before a grant, by what came of it.
    pub stops: Family<ByReason, Counter>,
}

impl Api {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Api {
        let room = metrics.room("api");
        Api {
            connections: room.gauge("connections", "Sockets of nodes and operators"),
            answers: room.counters("answers", "Answers by what they were"),
            stops: room.counters("stops", "Writers asked to stop before a grant"),
        }
    }
}
