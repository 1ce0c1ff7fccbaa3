//! The process's metrics: a registry that every service adds its own to, and the metric types. The
//! only door to the metrics crate: rooms take these names, never the crate's.
//!
//! A metric is `castctl_<room>_<noun>_<unit>`; units are seconds and bytes, never a fraction of
//! them. Counters get `_total` from the encoder.

use crate::telemetry::process::ProcessFigures;
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Derive it on a struct of labels or an enum of label values (with `Debug, Clone, PartialEq, Eq,
/// Hash`); the fields' and variants' names are the labels'.
pub use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
/// A number that only grows. Cheap to clone; clones share the value.
pub type Counter = prometheus_client::metrics::counter::Counter;
/// A whole number that goes up and down.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;
/// A number that goes up and down.
pub type GaugeF64 = prometheus_client::metrics::gauge::Gauge<f64, std::sync::atomic::AtomicU64>;
/// How values are distributed over fixed buckets.
pub type Histogram = prometheus_client::metrics::histogram::Histogram;
/// One metric per set of labels. Remove a set when its subject is gone: `family.remove(&labels)`.
pub type Family<L, M> = prometheus_client::metrics::family::Family<L, M>;
/// One histogram per set of labels.
pub type Histograms<L> = prometheus_client::metrics::family::Family<L, Histogram, Buckets>;

/// Buckets in seconds for what takes from a millisecond (a write) to ten seconds (a held request).
pub const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Raises a gauge by one for as long as it lives.
#[derive(Debug)]
pub struct Raised(Gauge);

impl Raised {
    /// Raises it.
    pub fn new(gauge: &Gauge) -> Raised {
        gauge.inc();
        Raised(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A set of labels.
pub trait Labels: EncodeLabelSet + Clone + fmt::Debug + Eq + Hash + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + fmt::Debug + Eq + Hash + Send + Sync + 'static> Labels for L {}

/// The label `channel`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByChannel {
    /// The channel's name; only names of configured channels, so that their number is bounded.
    pub channel: String,
}

impl ByChannel {
    /// The label for a channel.
    pub fn new(channel: &crate::base::ids::Channel) -> ByChannel {
        ByChannel { channel: channel.as_str().to_owned() }
    }
}

/// The label `reason`: a word of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// The word.
    pub reason: &'static str,
}

/// Makes a family's histograms, all with the same upper bounds.
#[derive(Debug, Clone, Copy)]
pub struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// The build, as labels of `castctl_build_info`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    names: HashSet<String>,
}

/// All metrics of a process. Cheap to clone; clones share the registry.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Mutex<Inner>>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// The process's own figures and the build; nothing else yet.
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessFigures));
        let build = Build { version: env!("CARGO_PKG_VERSION") };
        registry.register("castctl_build", "What is running", Info::new(build));
        let inner = Inner { registry, names: HashSet::new() };
        Metrics { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Where a room registers its metrics: their names start with `castctl_<room>_`.
    pub fn room(&self, room: &'static str) -> Room {
        Room { metrics: self.clone(), room }
    }

    /// Everything in the OpenMetrics text format.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut out, &inner.registry)?;
        Ok(out)
    }
}

/// A room's corner of the registry. `name` is `<noun>_<unit>` (a plain count has no unit), `help` a
/// phrase without a full stop. A name that is taken is a bug: it is logged, and the later metric
/// counts unseen.
#[derive(Debug, Clone)]
pub struct Room {
    metrics: Metrics,
    room: &'static str,
}

impl Room {
    /// A counter; `_total` comes by itself.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.add(name, help, Counter::default())
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(name, help, Gauge::default())
    }

    /// A gauge of any numbers.
    pub fn gauge_f64(&self, name: &str, help: &str) -> GaugeF64 {
        self.add(name, help, GaugeF64::default())
    }

    /// A histogram with these upper bounds, ascending (`SECONDS` for times).
    pub fn histogram(&self, name: &str, help: &str, bounds: &'static [f64]) -> Histogram {
        self.add(name, help, Buckets(bounds).new_metric())
    }

    /// A counter per set of labels.
    pub fn counters<L: Labels>(&self, name: &str, help: &str) -> Family<L, Counter> {
        self.add(name, help, Family::default())
    }

    /// A gauge per set of labels.
    pub fn gauges<L: Labels>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.add(name, help, Family::default())
    }

    /// A gauge of any numbers per set of labels.
    pub fn gauges_f64<L: Labels>(&self, name: &str, help: &str) -> Family<L, GaugeF64> {
        self.add(name, help, Family::default())
    }

    /// A histogram per set of labels.
    pub fn histograms<L: Labels>(
        &self,
        name: &str,
        help: &str,
        bounds: &'static [f64],
    ) -> Histograms<L> {
        self.add(name, help, Histograms::new_with_constructor(Buckets(bounds)))
    }

    fn add<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let name = format!("castctl_{}_{name}", self.room);
        let mut inner = self.metrics.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.names.insert(name.clone()) {
            inner.registry.register(name, help, metric.clone());
        } else {
            tracing::error!(%name, "two metrics of one name: this is a bug; one is not shown");
        }
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelValue)]
    enum Outcome {
        Accepted,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct ByOutcome {
        outcome: Outcome,
    }

    #[test]
    fn a_rooms_metrics_are_in_the_text() {
        let metrics = Metrics::new();
        let room = metrics.room("ingest");
        let by = ByChannel::new(&"main".parse().expect("a name"));
        let received = room.counters::<ByChannel>("received_bytes", "Bytes from encoders");
        received.get_or_create(&by).inc_by(42);
        room.gauge("connections", "Open connections").set(3);
        room.gauge_f64("skew_seconds", "Skew").set(-0.5);
        room.histogram("write_seconds", "Time of a write", SECONDS).observe(0.003);
        let waits = room.histograms::<ByReason>("wait_seconds", "Waits", &[1.0]);
        waits.get_or_create(&ByReason { reason: "disk" }).observe(2.0);
        let publishes = room.counters::<ByOutcome>("publishes", "Publishes");
        publishes.get_or_create(&ByOutcome { outcome: Outcome::Accepted }).inc();
        let text = metrics.text().expect("encodes");
        for line in [
            "# HELP castctl_ingest_received_bytes Bytes from encoders.",
            "castctl_ingest_received_bytes_total{channel=\"main\"} 42",
            "castctl_ingest_connections 3",
            "castctl_ingest_skew_seconds -0.5",
            "castctl_ingest_write_seconds_bucket{le=\"0.005\"} 1",
            "castctl_ingest_wait_seconds_bucket{le=\"1.0\",reason=\"disk\"} 0",
            "castctl_ingest_publishes_total{outcome=\"Accepted\"} 1",
            concat!("castctl_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        received.remove(&by);
        assert!(!metrics.text().expect("encodes").contains("channel=\"main\""));
    }

    #[test]
    fn the_process_is_measured() {
        let text = Metrics::new().text().expect("encodes");
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).expect(name);
            line.trim().parse().expect(line)
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert!(value("process_open_fds ") >= 3.0);
    }

    #[test]
    fn a_taken_name_appears_once() {
        let metrics = Metrics::new();
        metrics.room("log").gauge("open", "One").set(1);
        metrics.room("log").gauge("open", "Two").set(2);
        let text = metrics.text().expect("encodes");
        assert_eq!(text.matches("\ncastctl_log_open ").count(), 1, "{text}");
        assert!(text.contains("\ncastctl_log_open 1\n"));
    }
}
