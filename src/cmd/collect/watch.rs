//! The agent: collects again and again until told to stop, and tells how it goes.

use crate::cmd::collect::archive::{Ready as Bringing, Work};
use crate::cmd::collect::print;
use crate::cmd::common::{self, Exit, Failure};
use crate::collect::metrics::Uploads;
use crate::collect::round::{Step, Tell};
use crate::collect::summary::Summary;
use crate::log::error::LogError;
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::{Latch, Ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often the disk is looked at. An extent is sealed once a minute and channel; a look costs a
/// listing of each log that is not known to be over.
const LOOK: Duration = Duration::from_secs(5);

/// Pauses after a round in which something was left: from here on, doubled.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest of those pauses: a store that is well again is found so within a minute.
pub(super) const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What goes on for as long as it runs.
pub(super) struct Watch {
    bringing: Arc<Bringing>,
    clock: Clock,
    counted: Uploads,
    latch: Latch,
    /// It was said that something is left.
    complained: bool,
}

/// Runs until told to stop. Exits with 1 where something is left then.
pub(super) async fn run(work: Work, admin: SocketAddr) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(Failure::failed)?;
    let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
    let admin = Admin::bind(admin, metrics.clone(), ready.clone()).await;
    let admin = admin.map_err(Failure::failed)?;
    let counted = Uploads::register(&metrics);
    let bringing = Arc::new(work.ready(&clock, told(&counted))?);
    let latch = ready.latch("collect");
    latch.close("nothing has been collected yet");
    common::out(format!("admin: http://{}", admin.addr()));
    let served = task::spawn("admin", admin.serve(Drain::new()));
    tracing::info!(data = %work.data.display(), to = work.to, "collecting");
    let collector = bringing.collector.clone();
    let mut watch = Watch::new(bringing, clock.clone(), counted, latch);
    let (told, cut) = (Drain::new(), Drain::new());
    let rounds = watch.rounds(&told, &cut);
    tokio::pin!(rounds);
    tokio::select! {
        () = &mut rounds => {}
        () = stop.next() => {
            ready.drain();
            told.start();
            tracing::info!("collecting what is sealed; a second signal forces the end");
            let late = clock.now().mono.plus(work.finish);
            tokio::select! {
                () = &mut rounds => {}
                () = clock.sleep_until(late) => cut.start(),
                () = stop.next() => return Ok(Exit::Forced),
            }
        }
    }
    let left = collector.left().await.map_err(Failure::failed)?;
    print::left(&left).into_iter().for_each(|text| tracing::warn!("{text}"));
    served.abort();
    Ok(if left.is_short() { Exit::No } else { Exit::Done })
}

pub(super) fn told(counted: &Uploads) -> Tell {
    let bytes = counted.bytes.clone();
    Arc::new(move |step| {
        if let Step::Sent(n) = step {
            bytes.inc_by(n);
        }
    })
}

impl Watch {
    pub(super) fn new(
        bringing: Arc<Bringing>,
        clock: Clock,
        counted: Uploads,
        latch: Latch,
    ) -> Watch {
        Watch { bringing, clock, counted, latch, complained: false }
    }

    /// Round after round; the last one begins when it is told to end.
    pub(super) async fn rounds(&mut self, told: &Drain, cut: &Drain) {
        let mut again = Backoff::new(AGAIN, AGAIN_MAX);
        loop {
            let last = told.started();
            let short = self.judge(self.bringing.round(cut).await);
            if last {
                return;
            }
            let pause = match short {
                true => again.pause(),
                false => {
                    again.reset();
                    LOOK
                }
            };
            let next = self.clock.now().mono.plus(pause);
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                () = told.wait() => {}
            }
        }
    }

    /// Tells how a round went; whether something was left.
    fn judge(&mut self, round: Result<Summary, LogError>) -> bool {
        let why = match &round {
            Ok(summary) => {
                let n = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                self.counted.extents.inc_by(summary.uploaded);
                self.counted.left.set(n(summary.left));
                self.counted.left_bytes.set(n(summary.left_bytes));
                self.counted.open.set(n(summary.open));
                self.counted.removed.inc_by(summary.removed);
                self.counted.removed_bytes.inc_by(summary.removed_bytes);
                let left = summary.logs.iter().find_map(|log| log.why.clone());
                let untold = summary.untold.as_ref().map(|e| format!("it can't be told: {e}"));
                let kept = summary.kept.as_ref().map(|e| format!("not removed: {e}"));
                left.or(untold).or(kept)
            }
            Err(e) => Some(e.to_string()),
        };
        match &why {
            Some(why) => {
                self.counted.failures.inc();
                self.latch.close(why);
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!("something can't be collected, trying until it can: {why}");
                }
            }
            None => {
                self.latch.open();
                if std::mem::take(&mut self.complained) {
                    tracing::info!("everything that is sealed is collected again");
                }
            }
        }
        why.is_some()
    }
}
