//! What a transcoder counts.

use crate::base::ids::Channel;
use crate::telemetry::metrics::{ByChannel, Counter, Family, Gauge, Metrics};
use crate::transcode::report::Report;

/// Counters and gauges of a transcoder.
#[derive(Debug, Clone)]
pub struct Transcode {
    /// Jobs that run.
    pub jobs: Gauge,
    /// Workers that ended before their job did.
    pub crashes: Counter,
    /// Microseconds that a job's decoding is behind its source.
    behind: Family<ByChannel, Gauge>,
    /// Pictures that a job's rungs left out because they were late.
    late: Family<ByChannel, Gauge>,
}

impl Transcode {
    /// Registers them.
    pub fn register(metrics: &Metrics) -> Transcode {
        let room = metrics.room("transcode");
        Transcode {
            jobs: room.gauge("jobs", "Jobs that run"),
            crashes: room.counter("worker_crashes", "Workers that ended before their job did"),
            behind: room.gauges("behind_micros", "How far a job's decoding is behind its source"),
            late: room.gauges("late_pictures", "Pictures of the job that runs left out as late"),
        }
    }

    /// What a worker told.
    pub fn note(&self, channel: &Channel, report: &Report) {
        let by = ByChannel { channel: channel.to_string() };
        self.behind.get_or_create(&by).set(report.behind_micros);
        let late: u64 = report.rungs.iter().map(|r| r.late).sum();
        self.late.get_or_create(&by).set(i64::try_from(late).unwrap_or(i64::MAX));
    }
}
