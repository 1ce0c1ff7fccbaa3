//! Bringing a data directory's extents to a bucket: what it takes, and doing it once.

use crate::api::peers::Peers;
use crate::base::error::Kind;
use crate::cmd::collect::print;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::data;
use crate::collect::retain::Retainer;
use crate::collect::retention::Policy;
use crate::collect::round::{Collector, Options, Step, Tell};
use crate::collect::summary::Summary;
use crate::collect::tell::Teller;
use crate::log::error::LogError;
use crate::log::logs::Logs;
use crate::log::options::Options as LogOptions;
use crate::log::recover::Known;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::store::error::StoreError;
use crate::store::open::{Access, open};
use crate::store::port::Store;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What is to be brought where, and how.
pub(super) struct Work {
    pub(super) data: PathBuf,
    pub(super) to: String,
    pub(super) options: Options,
    /// What is removed here once it is there.
    pub(super) policy: Policy,
    /// Seal what lost its writer, with these options.
    pub(super) seal: Option<LogOptions>,
    /// How long may be gone on after a signal.
    pub(super) finish: Duration,
    /// Who is told what is in the bucket.
    pub(super) api: Option<Peers>,
}

/// What brings.
pub(super) struct Ready {
    pub(super) collector: Collector,
    sealer: Option<(Logs, Known)>,
    teller: Option<Mutex<Teller>>,
    retainer: Retainer,
    _own: File,
}

impl Work {
    /// Checks the words, and that nobody else brings what lies in this directory.
    pub(super) fn ready(&self, clock: &Clock, tell: Tell) -> Result<Ready, Failure> {
        let store = open(&self.to, &Access::from_env()).map_err(store_failure)?;
        self.with(store, clock, tell)
    }

    /// As [`Work::ready`], into a store that is open already.
    pub(super) fn with(&self, store: Store, clock: &Clock, tell: Tell) -> Result<Ready, Failure> {
        if !self.data.is_dir() {
            let text = format!("there is no data directory {}", self.data.display());
            return Err(Failure::usage(text).hint("name the origin's with --data"));
        }
        let own = data::own_for_collecting(&self.data)?;
        let sealer = match &self.seal {
            Some(options) => {
                let logs = Logs::open(&self.data, options.clone()).map_err(Failure::failed)?;
                Some((logs, Known::default()))
            }
            None => None,
        };
        let teller = |api: Peers| Mutex::new(Teller::new(api, &self.data, store.url()));
        let teller = self.api.clone().map(teller);
        let retainer = Retainer::new(&self.data, store.url(), self.policy, clock.clone());
        let collector = Collector::new(&self.data, store, self.options, clock.clone(), tell);
        Ok(Ready { collector, sealer, teller, retainer, _own: own })
    }
}

impl Ready {
    /// Seals what lost its writer, where that was asked for, collects what is sealed, tells of it
    /// who is to be told, and then removes what may go: who asks for it knows where it is.
    pub(super) async fn round(&self, cut: &Drain) -> Result<Summary, LogError> {
        if let Some((logs, known)) = &self.sealer {
            for log in logs.adopt(known).await?.sealed {
                log.say();
            }
        }
        let mut summary = self.collector.round(cut).await?;
        if let Some(teller) = &self.teller {
            let told = teller.lock().await.tell().await;
            summary.untold = told.err().map(|e| e.to_string());
        }
        match summary.untold.is_some() || cut.started() {
            true => Ok(summary),
            false => Ok(self.retainer.round(summary).await),
        }
    }
}

/// A store's failure, with what can be done about it.
pub(super) fn store_failure(e: StoreError) -> Failure {
    let hint = match e.kind() {
        Kind::Denied => Some("castctl-archive(7) says which permissions are needed"),
        Kind::Invalid => Some("like s3://BUCKET/PREFIX; the environment has the credentials"),
        _ => None,
    };
    let failure = Failure::of(e.kind(), e);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Collects once. The first signal lets what is under way be finished; the second forces the end.
pub(super) async fn once(work: Work, json: bool) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(Failure::failed)?;
    let (clock, cut, bar) = (Clock::system(), Drain::new(), bar());
    let ready = work.ready(&clock, told(&bar))?;
    let round = ready.round(&cut);
    tokio::pin!(round);
    let done = tokio::select! {
        done = &mut round => Some(done),
        () = stop.next() => None,
    };
    let done = match done {
        Some(done) => Some(done),
        None => {
            cut.start();
            let late = clock.now().mono.plus(work.finish);
            tokio::select! {
                done = &mut round => Some(done),
                () = clock.sleep_until(late) => None,
                () = stop.next() => return Ok(Exit::Forced),
            }
        }
    };
    bar.finish_and_clear();
    let summary = match done {
        Some(done) => done,
        None => ready.collector.left().await,
    };
    let summary = summary.map_err(Failure::failed)?;
    match json {
        true => common::out(serde_json::to_string_pretty(&summary).map_err(Failure::failed)?),
        false => common::out(print::summary(&summary)),
    }
    for text in print::left(&summary) {
        common::say(text);
    }
    Ok(if summary.is_short() { Exit::No } else { Exit::Done })
}

/// Bytes to be sent; hidden when stderr is no terminal.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {bytes} of {total_bytes} {binary_bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn told(bar: &ProgressBar) -> Tell {
    let bar = bar.clone();
    Arc::new(move |step| match step {
        Step::Found(bytes) => bar.set_length(bytes),
        Step::Sent(bytes) | Step::Spared(bytes) => bar.inc(bytes),
    })
}
