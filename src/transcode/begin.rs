//! Before a job begins: what it is, what the registry wants of it, what there is of its source.

use crate::api::client::Client;
use crate::api::directory::Directory;
use crate::api::jobs::Order;
use crate::api::types::{Refusal, Table};
use crate::base::ids::{Channel, Generation, Job, Msn, Session, TrackId, Writer};
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::log::subscription::{From, Subscription};
use crate::media::timeline::mark::{GenerationStart, Mark};
use crate::media::track::{FrameRate, Kind};
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::transcode::metrics::Transcode;
use crate::transcode::recorded::RecordError;
use crate::transcode::settings::{AudioSettings, RungSettings, Settings};
use crate::transcode::worker::WorkerError;
use std::path::PathBuf;
use std::time::Duration;

/// How long a source that others have gone on after may still say something.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(1_500);

/// Pause before the registry is asked again, and before another worker is started.
pub(super) const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How often it is asked whether the job before has ended: what its source says meanwhile waits.
const ASK: Duration = Duration::from_millis(100);

/// What jobs work with. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The logs that are written.
    pub logs: Logs,
    /// Nobody else writes in their directory.
    pub alone: bool,
    /// Where sources are read.
    pub sources: Source,
    /// The registry.
    pub client: Client,
    /// What the registry shows.
    pub directory: Directory,
    /// The clock.
    pub clock: Clock,
    /// A castctl, whose workers do the coding; `None`: nothing is made here, gaps are written.
    pub program: Option<PathBuf>,
    /// The first worker of each job of this channel aborts after so many pictures.
    pub crash: Option<(Channel, u64)>,
    /// There are other nodes to hand jobs over to.
    pub hands_over: bool,
    /// What is counted.
    pub metrics: Transcode,
}

/// Names a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Which {
    /// Of this channel.
    pub channel: Channel,
    /// Of this session.
    pub session: Session,
    /// Of this generation.
    pub generation: Generation,
    /// Its number.
    pub job: Job,
}

/// Why a job can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The registry does not want it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A rung.
    #[error(transparent)]
    Rung(#[from] RecordError),
    /// No worker can be started.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Workers end before they have made anything.
    #[error("its workers make nothing: {0}")]
    Fruitless(String),
    /// It is none of its jobs.
    #[error("this node makes no rungs")]
    NoProgram,
}

impl Which {
    pub(super) fn source(&self) -> LogId {
        LogId::source(self.channel.clone(), self.session, self.generation)
    }

    pub(super) fn writer(&self) -> Writer {
        Writer { generation: self.generation, job: Some(self.job) }
    }

    pub(super) fn of(&self) -> (Generation, Job) {
        (self.generation, self.job)
    }

    /// Who makes the rungs after this job, as the registry shows it.
    pub(super) fn next(&self, table: &Table) -> Next {
        let Some(live) = table.sessions.get(&self.channel) else { return Next::OtherSource };
        let newest = live.generations.last().map(|(g, _)| *g);
        if live.session != self.session || live.over || newest > Some(self.generation) {
            return Next::OtherSource;
        }
        match live.jobs.iter().any(|(g, j, _)| (*g, *j) > self.of()) {
            true => Next::OtherNode,
            false => Next::Nobody,
        }
    }
}

/// Has somebody else a job's rungs to make?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nobody,
    /// Its source has gone on without it.
    OtherSource,
    /// Another node goes on with the same source.
    OtherNode,
}

/// What was read of the source before anything was made of it.
pub(super) struct Head {
    pub(super) start: Option<GenerationStart>,
    pub(super) marks: Vec<Mark>,
    pub(super) backlog: Vec<Batch>,
    pub(super) newest: Msn,
}

impl Head {
    fn note(&mut self, mark: &Mark) {
        match mark {
            Mark::Generation(start) => self.start = Some(start.clone()),
            Mark::SegmentStart(s) => self.newest = self.newest.max(s.msn),
            Mark::Gap(g) => self.newest = self.newest.max(g.msn),
            _ => {}
        }
    }
}

/// What there is to do; `None` when it is not wanted any more. With `whole`, as soon as it is known
/// where the job before has ended.
pub(super) async fn order(
    ctx: &Context,
    which: &Which,
    stop: &Drain,
    whole: bool,
) -> Result<Option<Order>, Failed> {
    let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
    loop {
        let pause = match ctx.client.job(&which.channel, which.of()).await {
            Ok(order) if order.awaits && whole => ASK,
            Ok(order) => return Ok(Some(order)),
            Err(Refusal::Unavailable(why)) => {
                tracing::debug!("{why}");
                backoff.pause()
            }
            Err(e) => return Err(e.into()),
        };
        tokio::select! {
            () = ctx.clock.sleep_until(ctx.clock.now().mono.plus(pause)) => {}
            () = stop.wait() => return Ok(None),
        }
    }
}

/// Resolves when others have gone on and the source has had its last words.
pub(super) async fn past(ctx: &Context, which: &Which) {
    let mut table = ctx.directory.table();
    while which.next(&table.borrow_and_update()) == Next::Nobody {
        if table.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    ctx.clock.sleep_until(ctx.clock.now().mono.plus(LAST_WORDS)).await;
}

/// Reads what there is of the source.
pub(super) async fn head(
    ctx: &Context,
    which: &Which,
) -> Result<(Head, Option<Subscription>), Failed> {
    let id = which.source();
    let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
    let (index, mut log) = loop {
        let read = async {
            let index = ctx.sources.index(&id).await?;
            let log = ctx.sources.subscribe(&id, From::Position(index.tail)).await?;
            Ok::<_, LogError>((index, log))
        };
        match read.await {
            Ok(read) => break read,
            Err(e) => tracing::debug!(log = %id, "the source can't be read yet: {e}"),
        }
        ctx.clock.sleep_until(ctx.clock.now().mono.plus(backoff.pause())).await;
    };
    let (start, backlog, newest) = (None, Vec::new(), Msn::default());
    let mut head = Head { start, marks: Vec::new(), backlog, newest };
    for m in index.footers.iter().flat_map(|f| f.marks()) {
        head.note(&m.mark);
        head.marks.push(m.mark);
    }
    if index.sealed {
        return Ok((head, None));
    }
    while let Some(batch) = log.next().await? {
        for entry in batch.records() {
            if let Record::Mark(mark) = &entry.record {
                head.note(mark);
            }
        }
        head.backlog.push(batch);
        if log.caught_up() {
            return Ok((head, Some(log)));
        }
    }
    Ok((head, None))
}

pub(super) type Made = (TrackId, String, TrackId, Kind, FrameRate);

/// What is made, of which of the source's tracks, at which rate.
pub(super) fn tracks(order: &Order) -> Vec<Made> {
    let usual = FrameRate::new(30, 1);
    let rungs = order.work.rungs.iter().filter_map(|r| {
        let (num, den) = r.rung.frame_rate;
        let rate = FrameRate::new(num, den).or(usual)?;
        let name = r.rung.name.as_str().to_owned();
        Some((TrackId(r.track), name, TrackId::VIDEO, Kind::Video, rate))
    });
    let sound = order.work.sound.iter().filter_map(|s| {
        Some((TrackId(s.track), s.name.clone(), TrackId::AUDIO, Kind::Audio, usual?))
    });
    rungs.chain(sound).collect()
}

/// What a worker is told.
pub(super) fn settings(order: &Order) -> Settings {
    let video = order.record.renditions.iter().find(|r| r.video);
    let source = video.and_then(|r| r.frame_rate_millis).map_or((0, 1), |millis| (millis, 1_000));
    let rungs = order.work.rungs.iter();
    let rungs = rungs.filter_map(|r| RungSettings::of(&r.rung, source, TrackId(r.track))).collect();
    let audio = order.work.sound.as_ref().map(|s| AudioSettings {
        track: TrackId(s.track),
        codec: s.codec,
        bitrate: s.bitrate,
        channels: s.channels,
    });
    let lateness_micros = i64::from(order.record.target_duration) * 1_000_000 / 2;
    Settings { rungs, audio, lateness_micros, crash_after: None }
}
