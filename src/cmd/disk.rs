//! What the process does about its disk: looks at it, says in `/readyz` and in the log when new
//! publishes are refused and when they are taken again, and shows in `/metrics` what the logs did.

use crate::log::logs::Logs;
use crate::log::stats::{LogStats, Stats};
use crate::rt::clock::Clock;
use crate::telemetry::metrics::{
    ByChannel, Counter, Family, Gauge, GaugeF64, Histogram, Metrics, SECONDS,
};
use crate::telemetry::ready::Latch;
use std::collections::HashSet;
use std::time::Duration;

/// How often the disk is looked at: one `statvfs`, nothing is written.
const LOOK: Duration = Duration::from_secs(1);

/// Longest pause between probes of a disk that failed. A probe writes a block.
const PROBE_MAX: Duration = Duration::from_secs(8);

/// How often the figures are brought up to date.
const FIGURES: Duration = Duration::from_secs(1);

/// Looks at the disk for as long as it runs; the latch is open while a new log would be taken.
pub async fn watch(logs: Logs, latch: Latch, clock: Clock) {
    let mut disk = logs.disk();
    let (mut said, mut pause) = (None, LOOK);
    loop {
        let state = logs.look(true).await;
        let why = state.trouble.as_ref().map(ToString::to_string);
        match (&said, &why) {
            (None, Some(why)) => {
                tracing::error!("not ready, new publishes are refused: {why}");
                pause = LOOK;
            }
            (Some(_), None) => tracing::info!("the disk is well again: publishes are taken"),
            _ => pause = (pause * 2).min(PROBE_MAX),
        }
        match &why {
            Some(why) => latch.close(why),
            None => (pause, ()) = (LOOK, latch.open()),
        }
        said = why;
        disk.mark_unchanged();
        let next = clock.now().mono.plus(pause);
        tokio::select! {
            () = clock.sleep_until(next) => {}
            // A write failed: known at once, and so is the reason.
            changed = disk.changed(), if said.is_none() => {
                if changed.is_err() {
                    return;
                }
                let why = disk.borrow().trouble.as_ref().map(ToString::to_string);
                if let Some(why) = why {
                    tracing::error!("not ready, new publishes are refused: {why}");
                    latch.close(&why);
                    said = Some(why);
                    let next = clock.now().mono.plus(LOOK);
                    clock.sleep_until(next).await;
                }
            }
        }
    }
}

/// The metrics of the room `log`.
struct Figures {
    open: Gauge,
    backlog: Gauge,
    tail: Gauge,
    not_durable: Gauge,
    failed: Gauge,
    damaged: Gauge,
    lost: Gauge,
    free: Gauge,
    low: Gauge,
    sync_errors: Counter,
    last_sync: GaugeF64,
    sync_seconds: Histogram,
    durable_after: Histogram,
    visible_bytes: Family<ByChannel, Gauge>,
    durable_bytes: Family<ByChannel, Gauge>,
    undurable: Family<ByChannel, GaugeF64>,
}

impl Figures {
    fn register(metrics: &Metrics) -> Figures {
        let room = metrics.room("log");
        Figures {
            open: room.gauge("open", "Logs being written"),
            backlog: room.gauge("backlog_bytes", "Bytes handed over and not written yet"),
            tail: room.gauge("tail_bytes", "Bytes held in memory for readers"),
            not_durable: room
                .gauge("not_durable", "Logs with visible records that are not durable"),
            failed: room.gauge("failed", "Logs that stopped after an error"),
            damaged: room.gauge(
                "damaged",
                "Logs in which damage was found, on this disk: castctl repair mends them",
            ),
            lost: room.gauge(
                "sync_failed",
                "Logs whose durable position stands for good, since a sync failed",
            ),
            free: room.gauge("disk_free_bytes", "Free bytes where the logs lie"),
            low: room.gauge("disk_low", "1 while space is low and new publishes are refused"),
            sync_errors: room.counter("sync_errors", "Syncs that failed"),
            last_sync: room.gauge_f64("last_sync_seconds", "Duration of the last sync"),
            sync_seconds: room.histogram("sync_seconds", "Duration of a log's sync", SECONDS),
            durable_after: room.histogram(
                "durable_after_seconds",
                "Age of the oldest record that a sync made durable",
                SECONDS,
            ),
            visible_bytes: room
                .gauges("visible_bytes", "Bytes of records that readers see, in the open log"),
            durable_bytes: room.gauges(
                "durable_bytes",
                "Bytes of records that a machine crash cannot take, in the open log",
            ),
            undurable: room.gauges_f64(
                "undurable_seconds",
                "Age of the oldest record that a machine crash could take",
            ),
        }
    }

    fn show(&self, s: &Stats) {
        let sum = |f: fn(&LogStats) -> u64| -> i64 {
            s.logs.iter().map(f).sum::<u64>().try_into().unwrap_or(i64::MAX)
        };
        self.open.set(s.logs.len() as i64);
        self.backlog.set(sum(|l| l.backlog));
        self.tail.set(sum(|l| l.tail_bytes));
        self.not_durable.set(sum(|l| u64::from(l.durable < l.visible)));
        self.failed.set(sum(|l| u64::from(l.failed)));
        self.damaged.set(i64::try_from(s.damaged).unwrap_or(i64::MAX));
        self.lost.set(sum(|l| u64::from(l.lost.is_some())));
        self.free.set(s.disk.free.map_or(0, |f| i64::try_from(f).unwrap_or(i64::MAX)));
        self.low.set(i64::from(s.disk.low));
        self.sync_errors.inc_by(s.sync_errors.saturating_sub(self.sync_errors.get()));
        self.last_sync.set(s.last_sync_micros as f64 / 1e6);
    }

    /// One set of labels for each channel with an open log; those that are gone leave.
    fn show_channels(&self, logs: &[LogStats], shown: &mut HashSet<ByChannel>) {
        let mut now = HashSet::new();
        for l in logs {
            let by = ByChannel::new(&l.id.channel);
            let bytes = |b: u64| i64::try_from(b).unwrap_or(i64::MAX);
            self.visible_bytes.get_or_create(&by).set(bytes(l.written));
            self.durable_bytes.get_or_create(&by).set(bytes(l.durable_bytes));
            let age = l.undurable.unwrap_or_default().as_secs_f64();
            self.undurable.get_or_create(&by).set(age);
            now.insert(by);
        }
        for gone in shown.difference(&now) {
            self.visible_bytes.remove(gone);
            self.durable_bytes.remove(gone);
            self.undurable.remove(gone);
        }
        *shown = now;
    }
}

/// Shows what the logs did since, every second.
pub async fn figures(logs: Logs, metrics: Metrics, clock: Clock) {
    let figures = Figures::register(&metrics);
    let mut shown = HashSet::new();
    loop {
        let s = logs.stats();
        figures.show(&s);
        figures.show_channels(&s.logs, &mut shown);
        for sample in logs.take_sync_samples() {
            figures.sync_seconds.observe(sample.took.as_secs_f64());
            figures.durable_after.observe(sample.age.as_secs_f64());
        }
        let next = clock.now().mono.plus(FIGURES);
        clock.sleep_until(next).await;
    }
}
