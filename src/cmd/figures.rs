//! What a node says of itself in its heartbeats, for `castctl status`.
//!
//! | figure | unit | of |
//! |---|---|---|
//! | `logs` | logs being written | an origin |
//! | `notDurableMs` | age of the oldest record that a machine crash could take | an origin |
//! | `uncollectedBytes` | bytes on its disk and in no bucket | an origin, a transcoder |
//! | `heldLogs` | sealed logs that it serves | a collector |
//! | `sessions` | sessions that somebody watches | an edge |
//! | `behindMs` | how far what is listed is behind the clock, where that is furthest | an edge |

use crate::api::attested::{AttestAsk, Disk};
use crate::api::cluster::Heartbeat;
use crate::cmd::reads::Reads;
use crate::edge::channels::Channels;
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::log::through::Through;
use crate::rt::clock::Clock;
use crate::telemetry::metrics::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How often the disk is counted: a look at every extent, of which a day of a channel has 1440.
const COUNT: Duration = Duration::from_secs(15);

/// Where a node's figures come from.
#[derive(Clone)]
pub struct Figures {
    /// The logs that it writes.
    pub logs: Option<Logs>,
    /// How many it has adopted.
    pub held: Option<Gauge>,
    /// What it reads.
    pub source: Source,
    /// And through whom.
    pub through: Option<Through>,
    /// What is watched of it.
    pub edge: Option<Channels>,
    /// For ages.
    pub clock: Clock,
    /// Where it keeps logs; of two processes on one disk the one that writes.
    disk: Option<Disk>,
    /// Bytes that are on it alone; below zero before they were counted.
    stored: Arc<AtomicI64>,
}

fn int<T: TryInto<i64>>(n: T) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

impl Figures {
    /// Of a node that reads this, serves that to viewers, and keeps logs there.
    pub fn new(reads: &Reads, edge: Option<Channels>, disk: Option<Disk>, clock: Clock) -> Figures {
        let logs = reads.recorder.as_ref().map(|r| r.logs.clone());
        let held = reads.adopter.as_ref().map(|a| a.metrics.held.clone());
        let (source, stored) = (reads.logs.clone(), Arc::new(AtomicI64::new(-1)));
        let through = reads.through.clone();
        Figures { logs, held, source, through, edge, clock, disk, stored }
    }

    /// Counts what is on the disk, again and again, where there is one.
    pub async fn count(self) {
        let Some(Disk { data, look }) = self.disk else { return };
        loop {
            let (data, now) = (data.clone(), self.clock.now().wall);
            let found =
                tokio::task::spawn_blocking(move || look(&data, &AttestAsk::default(), now));
            match found.await.expect("file work that panics is a bug") {
                Ok(found) => self.stored.store(int(found.bytes), Ordering::Relaxed),
                Err(e) => tracing::debug!("the disk can't be counted: {e}"),
            }
            let next = self.clock.now().mono.plus(COUNT);
            self.clock.sleep_until(next).await;
        }
    }

    /// Puts them into a heartbeat.
    pub fn say(&self, beat: &mut Heartbeat) {
        let mut set = |name: &str, value: i64| beat.figures.insert(name.to_owned(), value);
        if let Some(logs) = &self.logs {
            let written = logs.stats().logs;
            let oldest = written.iter().filter_map(|l| l.undurable).max();
            set("logs", int(written.len()));
            set("notDurableMs", int(oldest.unwrap_or_default().as_millis()));
        }
        let stored = self.stored.load(Ordering::Relaxed);
        if stored >= 0 {
            set("uncollectedBytes", stored);
        }
        if let Some(held) = &self.held {
            set("heldLogs", held.get());
        }
        if let Some(edge) = &self.edge {
            let (sessions, behind) = edge.figures(self.clock.now().wall);
            set("sessions", int(sessions));
            if let Some(behind) = behind {
                set("behindMs", behind / 1_000);
            }
        }
        beat.upstreams = self.source.followed();
        if let Some(through) = &self.through {
            (beat.through, beat.avoids) = (through.url(), through.avoided());
        }
    }
}
