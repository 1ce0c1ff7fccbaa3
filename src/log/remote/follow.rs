//! One log of another node, brought here by one long answer for all who read it.

use crate::base::error::Kind;
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::format::stream::{Item, StreamReader};
use crate::log::id::LogId;
use crate::log::remote::wire::Ask;
use crate::log::remote::{Inner, upstream};
use crate::log::shared::{Phase, State, lock};
use crate::log::subscription::{Found, Piece};
use crate::log::tail::{Tail, Written};
use crate::media::timeline::mark::Mark;
use crate::rt::backoff::Backoff;
use crate::rt::client::said;
use crate::rt::task;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// First pause before a broken connection is made again.
const RETRY: Duration = Duration::from_millis(100);

/// Longest such pause: a node that was restarted is found again within it.
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// A log that is being followed; the task ends with the last who holds this.
pub(crate) struct Followed {
    pub(in crate::log) id: LogId,
    pub(in crate::log) tail: Mutex<Tail>,
    inner: Arc<Inner>,
    state: watch::Sender<State>,
    error: OnceLock<LogError>,
    task: OnceLock<JoinHandle<Option<()>>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Followed {
    /// Begins to follow at a record's start.
    pub(super) fn start(inner: Arc<Inner>, id: LogId, at: Position) -> Arc<Followed> {
        let log = Arc::new(Followed {
            id,
            tail: Mutex::default(),
            inner,
            state: watch::Sender::new(State { heard: false, ..State::at(at) }),
            error: OnceLock::new(),
            task: OnceLock::new(),
        });
        let weak = Arc::downgrade(&log);
        let (inner, id) = (Arc::clone(&log.inner), log.id.clone());
        let run = async move {
            let mut puller = Puller::new(at);
            let mut backoff = Backoff::new(RETRY, RETRY_LONGEST);
            let mut told = false;
            loop {
                let ended = puller.run(&inner, &id, &weak, &mut backoff, &mut told).await;
                let Some(log) = weak.upgrade() else { return };
                match ended {
                    Ok(()) => return log.over(Phase::Sealed),
                    Err(e) if lasting(&e) => {
                        let _ = log.error.set(e);
                        return log.over(Phase::Gone);
                    }
                    Err(e) if !told => tracing::warn!(log = %id, "{e}; trying until it works"),
                    Err(e) => tracing::debug!(log = %id, "{e}"),
                }
                told = true;
                let until = inner.clock.now().mono.plus(backoff.pause());
                drop(log);
                inner.clock.sleep_until(until).await;
            }
        };
        let _ = log.task.set(task::spawn(format!("follow {}", log.id), run));
        log
    }

    /// How far it is.
    pub(super) fn changes(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// It cannot be followed any further, although it is not sealed.
    pub(super) fn is_gone(&self) -> bool {
        self.state.borrow().phase == Phase::Gone
    }

    fn over(&self, phase: Phase) {
        self.state.send_modify(|s| s.phase = phase);
    }

    /// Why.
    pub(in crate::log) fn gone(&self) -> LogError {
        let unknown = || LogError::WriterGone { path: self.path() };
        self.error.get().cloned().unwrap_or_else(unknown)
    }

    /// For messages.
    pub(in crate::log) fn path(&self) -> PathBuf {
        format!("{} of {}", self.id, self.inner.base).into()
    }

    /// What lies behind the memory, at `cursor`: asked of the other node until it answers.
    pub(in crate::log) async fn look(&self, cursor: Position) -> Result<Found, LogError> {
        let mut backoff = Backoff::new(RETRY, RETRY_LONGEST);
        loop {
            match self.piece(cursor).await {
                Err(e) if !lasting(&e) => {
                    tracing::debug!(log = %self.id, "{e}");
                    let until = self.inner.clock.now().mono.plus(backoff.pause());
                    self.inner.clock.sleep_until(until).await;
                }
                found => return found,
            }
        }
    }

    async fn piece(&self, cursor: Position) -> Result<Found, LogError> {
        match self.inner.piece(&self.id, cursor).await? {
            Piece::Records(batch) => Ok(Found::Records(batch)),
            Piece::Moved(to) => Ok(Found::Moved(to)),
            Piece::Sealed => Ok(Found::End),
            Piece::Nothing => {
                let why = format!("nothing is there at {cursor}, where records were seen");
                Err(upstream(&self.inner.base, why, Kind::DataLoss))
            }
        }
    }
}

/// Would asking again be in vain?
fn lasting(e: &LogError) -> bool {
    match e {
        LogError::Upstream { kind, .. } => matches!(kind, Kind::Invalid | Kind::Conflict),
        LogError::NotFound { .. } | LogError::NoSuchPosition { .. } | LogError::Removed { .. } => {
            true
        }
        _ => false,
    }
}

/// Takes one answer after another, from where the last good record ended.
struct Puller {
    at: Position,
    /// The end of the extent before, while nothing of this one has come.
    follows: Option<Position>,
    scales: HashMap<TrackId, Timescale>,
    media: i64,
}

impl Puller {
    fn new(at: Position) -> Puller {
        Puller { at, follows: None, scales: HashMap::new(), media: 0 }
    }

    /// One answer, until it is over. `Ok`: the log is sealed.
    async fn run(
        &mut self,
        inner: &Arc<Inner>,
        id: &LogId,
        log: &std::sync::Weak<Followed>,
        backoff: &mut Backoff,
        told: &mut bool,
    ) -> Result<(), LogError> {
        let (url, mut answer) = inner.ask(id, &Ask::Tail { from: self.at }).await?;
        let mut reader = StreamReader::new(inner.options.reads, id.generation);
        let broken = |why: String| upstream(&url, why, Kind::Unavailable);
        loop {
            let chunk = match tokio::time::timeout(inner.options.silence, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Err(broken("the answer ended before the log".into())),
                Ok(Err(e)) => return Err(inner.lost(&url, said(&e))),
                Err(_) => {
                    let why = format!("nothing was heard for {:?}", inner.options.silence);
                    return Err(inner.lost(&url, why));
                }
            };
            reader.push(chunk);
            let Some(log) = log.upgrade() else { return Ok(()) };
            loop {
                match reader.next() {
                    Ok(Some(Item::Records { first, bytes })) => {
                        if first != self.at {
                            return Err(broken(format!("records at {first}, not {}", self.at)));
                        }
                        self.take(inner, &log, Batch::trusted(first, bytes));
                    }
                    Ok(Some(Item::Moved(to))) if to > self.at => {
                        self.follows.get_or_insert(self.at);
                        self.at = to;
                    }
                    Ok(Some(Item::Moved(to))) => {
                        return Err(broken(format!("it goes back from {} to {to}", self.at)));
                    }
                    Ok(Some(Item::Reach(to))) => {
                        if std::mem::take(told) {
                            tracing::info!(log = %id, "it is being followed again");
                        }
                        backoff.reset();
                        log.state.send_if_modified(|s| {
                            let news = to > s.reach || !s.heard;
                            (s.reach, s.heard) = (s.reach.max(to), true);
                            news
                        });
                    }
                    Ok(Some(Item::Sealed)) => return Ok(()),
                    Ok(None) => break,
                    Err(e) => return Err(upstream(&url, e.to_string(), Kind::Unavailable)),
                }
            }
        }
    }

    /// Shows records to who reads here.
    fn take(&mut self, inner: &Inner, log: &Followed, batch: Batch) {
        let (first, end) = (batch.first(), batch.end());
        for entry in batch.records() {
            match entry.record {
                Record::Packet { packet, .. } => {
                    let scale = self.scales.get(&packet.track).copied();
                    let micros = scale.unwrap_or(Timescale::MILLIS).to_micros(packet.dts);
                    self.media = self.media.max(micros);
                }
                Record::Mark(Mark::Track(track)) => {
                    self.scales.insert(track.id, track.timescale);
                }
                _ => {}
            }
        }
        let follows = self.follows.take().unwrap_or(first);
        let (bytes, media) = (batch.bytes().clone(), self.media);
        let written = Written { follows, first, bytes, media, segment: false, closing: 0 };
        let options = &inner.options;
        lock(&log.tail).push(written, options.tail_bytes, options.tail_micros);
        self.at = end;
        log.state.send_modify(|s| s.visible = end);
    }
}
