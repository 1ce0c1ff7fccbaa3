//! What the edge counts.

use crate::telemetry::metrics::{ByReason, Counter, Family, Gauge, Metrics};

/// Counters and gauges of the edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Sockets open.
    pub connections: Gauge,
    /// Sessions being read.
    pub feeds: Gauge,
    /// Requests held for something to come.
    pub held: Gauge,
    /// Answers by what they were.
    pub answers: Family<ByReason, Counter>,
    /// Body bytes sent.
    pub bytes: Counter,
}

impl Edge {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Edge {
        let room = metrics.room("edge");
        Edge {
            connections: room.gauge("connections", "Sockets open"),
            feeds: room.gauge("feeds", "Sessions being read"),
            held: room.gauge("held_requests", "Requests held for something to come"),
            answers: room.counters("answers", "Answers by what they were"),
            bytes: room.counter("body_bytes", "Body bytes sent"),
        }
    }
}
