//! One job at its node: the source's log is read, a worker makes the rungs of it, each is written
//! to a log of its own. A worker that crashes is followed by another, which goes on with the next
//! segment; the rungs have a gap until then.

use crate::api::client::Client;
use crate::api::convert::{end_from_api, end_to_api, record_from_api};
use crate::api::directory::Directory;
use crate::api::jobs::Order;
use crate::api::types::{Refusal, Report, Table};
use crate::base::ids::{Channel, Generation, Job, Msn, Session, TrackId, Writer};
use crate::base::time::Now;
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::id::{LogId, Rung as RungOf};
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::log::subscription::{From, Subscription};
use crate::media::timeline::mark::{End, GenerationStart, Mark, SegmentStart};
use crate::media::timeline::rung::{Begin, Rung};
use crate::media::track::{FrameRate, Kind};
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::transcode::feed::{Feed, Heard};
use crate::transcode::metrics::Transcode;
use crate::transcode::recorded::{RecordError, Recorded, nominal};
use crate::transcode::settings::{AudioSettings, RungSettings, Settings};
use crate::transcode::wire::Output;
use crate::transcode::worker::{self, Outputs, Worker, WorkerError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Segments of a source that are made from its beginning though they are over: a job that comes so
/// late catches up. More of them are a gap, or viewers would wait for what nobody watches.
const FRESH: u64 = 2;

/// How much later than needed a job begins that follows one which could not be asked: it may list
/// the segment that begins now.
const MARGIN: u64 = 1;

/// How long a source that others have gone on after may still say something.
const LAST_WORDS: Duration = Duration::from_millis(1_500);

/// How long a worker may take to code what it still has.
const FLUSH: Duration = Duration::from_secs(3);

/// Pause before the registry is asked again, and before another worker is started.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What is heard of the source and waits: a part's samples of both tracks.
const HEARD_MAX: usize = 1_024;

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
    /// A castctl, whose workers do the coding.
    pub program: PathBuf,
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
}

impl Which {
    fn source(&self) -> LogId {
        LogId::source(self.channel.clone(), self.session, self.generation)
    }

    fn writer(&self) -> Writer {
        Writer { generation: self.generation, job: Some(self.job) }
    }

    fn of(&self) -> (Generation, Job) {
        (self.generation, self.job)
    }

    /// Has the source been replaced, or this job?
    fn is_past(&self, table: &Table) -> bool {
        table.sessions.get(&self.channel).is_none_or(|live| {
            live.session != self.session
                || live.over
                || live.generations.iter().any(|(g, _)| *g > self.generation)
                || live.jobs.iter().any(|(g, j, _)| (*g, *j) > self.of())
        })
    }
}

/// What was read of the source before anything was made of it.
struct Head {
    start: Option<GenerationStart>,
    marks: Vec<Mark>,
    backlog: Vec<Batch>,
    newest: Msn,
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

/// Does a job until its source is over, somebody else does it, or `stop`.
///
/// # Errors
/// It can't be done here.
pub async fn run(ctx: &Context, which: &Which, stop: &Drain) -> Result<(), Failed> {
    let Some(order) = order(ctx, which, stop).await? else { return Ok(()) };
    if order.ended {
        return Ok(());
    }
    let (head, log) = tokio::select! {
        read = head(ctx, which) => read?,
        () = stop.wait() => return Ok(()),
        () = past(ctx, which) => return Ok(()),
    };
    let Some(start) = head.start.clone() else { return Ok(()) };
    let running = Running::begin(ctx, which, &order, &start, &head).await?;
    running.run(head, log, &order, stop).await
}

/// What there is to do; `None` when it is not wanted any more.
async fn order(ctx: &Context, which: &Which, stop: &Drain) -> Result<Option<Order>, Failed> {
    let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
    loop {
        match ctx.client.job(&which.channel, which.of()).await {
            Ok(order) => return Ok(Some(order)),
            Err(Refusal::Unavailable(why)) => tracing::debug!("{why}"),
            Err(e) => return Err(e.into()),
        }
        let until = ctx.clock.now().mono.plus(backoff.pause());
        tokio::select! {
            () = ctx.clock.sleep_until(until) => {}
            () = stop.wait() => return Ok(None),
        }
    }
}

/// Resolves when others have gone on and the source has had its last words.
async fn past(ctx: &Context, which: &Which) {
    let mut table = ctx.directory.table();
    while !which.is_past(&table.borrow_and_update()) {
        if table.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    ctx.clock.sleep_until(ctx.clock.now().mono.plus(LAST_WORDS)).await;
}

/// Reads what there is of the source.
async fn head(ctx: &Context, which: &Which) -> Result<(Head, Option<Subscription>), Failed> {
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

/// A job that has begun.
struct Running<'a> {
    ctx: &'a Context,
    which: &'a Which,
    rungs: Vec<Recorded>,
    base: Msn,
    all: bool,
    settings: Settings,
    reports: watch::Sender<Option<Report>>,
}

impl<'a> Running<'a> {
    /// Makes the rungs' logs.
    async fn begin(
        ctx: &'a Context,
        which: &'a Which,
        order: &Order,
        start: &GenerationStart,
        head: &Head,
    ) -> Result<Running<'a>, Failed> {
        let before = order.previous.as_ref().filter(|b| b.generation == which.generation);
        let from = before.map_or(start.base, |b| Msn(b.end.msn + 1).max(start.base));
        let dseq = before.map_or(start.dseq, |b| b.end.dseq);
        let late = head.newest.0.saturating_sub(from.0) > FRESH;
        let margin = if before.is_some_and(|b| !b.exact) { MARGIN } else { 0 };
        let base = match late || margin > 0 {
            true => Msn((head.newest.0 + 1 + margin).max(from.0)),
            false => from,
        };
        let previous = order.previous.as_ref().map(|b| {
            let writer = Writer { generation: b.generation, job: Some(b.job) };
            (writer, end_from_api(&b.end))
        });
        let record = record_from_api(&order.record);
        let patience = Duration::from_secs(u64::from(record.target_duration));
        let begin = Begin { from, base, dseq };
        let mut rungs = Vec::new();
        for (track, name, source, kind, rate) in tracks(order) {
            let rung = Some(Arc::new(RungOf { job: which.job, name: name.as_str().into() }));
            let id = LogId { rung, ..which.source() };
            let generation = GenerationStart {
                session: which.session,
                generation: which.generation,
                job: Some(which.job),
                base: from,
                dseq,
                previous: previous.clone(),
            };
            let mut log = ctx.logs.create(&id, generation).await?;
            log.append_mark(&Mark::Session(record.clone()))?;
            log.flush();
            let cut = Rung::new(nominal(track, kind, rate), record.part_target, patience, begin);
            rungs.push(Recorded::new(source, rate, cut, log));
        }
        tracing::info!(channel = %which.channel, job = %which.writer(), rungs = rungs.len(), %base,
            "transcoding");
        let (settings, reports) = (settings(order), watch::Sender::new(None));
        let all = base == start.base;
        Ok(Running { ctx, which, rungs, base, all, settings, reports })
    }

    async fn run(
        mut self,
        head: Head,
        log: Option<Subscription>,
        order: &Order,
        stop: &Drain,
    ) -> Result<(), Failed> {
        let (heard_tx, mut heard) = mpsc::channel(HEARD_MAX);
        let (workers, workers_rx) = mpsc::channel(1);
        let now = self.ctx.clock.now();
        head.marks.iter().for_each(|m| self.source_mark(now, m));
        let feed = Feed {
            log: self.which.source(),
            source: self.ctx.sources.clone(),
            clock: self.ctx.clock.clone(),
            base: self.base,
            all: self.all,
            heard: heard_tx,
            workers: workers_rx,
        };
        let feeding = log.map(|log| {
            let name = format!("feed {}", self.which.source());
            task::spawn(name, feed.run(head.backlog, log))
        });
        let told = self.tell(order);
        let done = match feeding.is_some() {
            true => self.make(&mut heard, workers, stop).await,
            false => Ok(()),
        };
        if let Some(feeding) = feeding {
            feeding.abort();
        }
        told.abort();
        self.end().await?;
        done
    }

    /// Tells the registry of each segment that starts, the newest where it is behind.
    fn tell(&self, order: &Order) -> tokio::task::JoinHandle<Option<()>> {
        let (client, channel, of) =
            (self.ctx.client.clone(), order.channel.clone(), self.which.of());
        let mut reports = self.reports.subscribe();
        task::spawn("job reports", async move {
            while reports.changed().await.is_ok() {
                let Some(report) = *reports.borrow_and_update() else { continue };
                if let Err(e) = client.job_report(&channel, of, report).await {
                    tracing::debug!(%channel, "a report was not taken: {e}");
                }
            }
        })
    }

    /// Makes rungs until the source is over, others go on, or `stop`.
    async fn make(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        workers: mpsc::Sender<worker::Source>,
        stop: &Drain,
    ) -> Result<(), Failed> {
        let clock = self.ctx.clock.clone();
        let past = past(self.ctx, self.which);
        tokio::pin!(past);
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let (mut worker, mut outputs) = self.start(&workers).await?;
        loop {
            let due = self.rungs.iter().filter_map(Recorded::due).min();
            let timer = async {
                match due {
                    Some(due) => clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = heard.recv() => match event {
                    Some(Heard::Sample(track, seq, pts)) => {
                        let now = clock.now();
                        self.rungs.iter_mut().for_each(|r| r.source_sample(now, track, seq, pts));
                    }
                    Some(Heard::Mark(mark)) => self.source_mark(clock.now(), &mark),
                    Some(Heard::Over) | None => break,
                },
                output = outputs.next() => match output {
                    Ok(Some(output)) => self.output(output)?,
                    Ok(None) | Err(_) => {
                        self.crashed(worker).await;
                        clock.sleep_until(clock.now().mono.plus(backoff.pause())).await;
                        (worker, outputs) = self.start(&workers).await?;
                    }
                },
                () = timer => {
                    let now = clock.now();
                    self.rungs.iter_mut().for_each(|r| r.tick(now));
                }
                () = &mut past => break,
                () = stop.wait() => break,
            }
            self.settle().await?;
        }
        // The feed's side of the worker is closed with it, and the worker finishes.
        heard.close();
        while heard.recv().await.is_some() {}
        let until = clock.now().mono.plus(FLUSH);
        loop {
            tokio::select! {
                output = outputs.next() => match output {
                    Ok(Some(output)) => self.output(output)?,
                    Ok(None) | Err(_) => return Ok(()),
                },
                () = clock.sleep_until(until) => return Ok(()),
            }
            self.settle().await?;
        }
    }

    async fn start(
        &self,
        workers: &mpsc::Sender<worker::Source>,
    ) -> Result<(Worker, Outputs), Failed> {
        let (worker, source, outputs) = Worker::start(&self.ctx.program, &self.settings)?;
        tracing::debug!(job = %self.which.writer(), pid = worker.pid(), "a worker begins");
        // A feed that is over needs none.
        let _ = workers.send(source).await;
        Ok((worker, outputs))
    }

    async fn crashed(&self, mut worker: Worker) {
        self.ctx.metrics.crashes.inc();
        let (channel, job) = (&self.which.channel, self.which.writer());
        match worker.ended().await {
            Ok(ended) => tracing::error!(%channel, %job, "the worker ended ({:?}), another one \
                goes on with the next segment: {}", ended.end, ended.said),
            Err(e) => tracing::error!(%channel, %job, "the worker is gone: {e}"),
        }
    }

    fn source_mark(&mut self, now: Now, mark: &Mark) {
        self.rungs.iter_mut().for_each(|r| r.source_mark(now, mark));
    }

    fn output(&mut self, output: Output) -> Result<(), Failed> {
        match output {
            Output::Track(track) => {
                if let Some(r) = self.rungs.iter_mut().find(|r| r.track() == track.id) {
                    r.configure(track)?;
                }
            }
            Output::Packet(packet) => {
                if let Some(r) = self.rungs.iter_mut().find(|r| r.track() == packet.track) {
                    r.packet(packet);
                }
            }
            Output::Report(report) => self.ctx.metrics.note(&self.which.channel, &report),
        }
        Ok(())
    }

    /// Writes what was decided, and tells of the newest segment.
    async fn settle(&mut self) -> Result<(), Failed> {
        let mut newest: Option<SegmentStart> = None;
        for r in &mut self.rungs {
            let started = r.settle()?;
            newest = started.into_iter().chain(newest).max_by_key(|s| s.msn);
            r.ready().await?;
        }
        if let Some(s) = newest {
            let (msn, dseq, wall, acked) = (s.msn, s.dseq, s.wall, Msn::default());
            self.reports.send_if_modified(|report| {
                let new = report.is_none_or(|r| r.msn < msn);
                if new {
                    *report = Some(Report { msn, dseq, wall, acked });
                }
                new
            });
        }
        Ok(())
    }

    /// Ends the rungs and tells where.
    async fn end(mut self) -> Result<(), Failed> {
        let mut ends = Vec::new();
        for r in &mut self.rungs {
            r.finish();
            r.settle()?;
            ends.extend(r.end().cloned());
        }
        for r in std::mem::take(&mut self.rungs) {
            r.seal().await?;
        }
        let Some(end) = joined(ends) else { return Ok(()) };
        tracing::info!(channel = %self.which.channel, job = %self.which.writer(), msn = %end.msn,
            "the rungs end");
        let told = self.ctx.client.job_end(&self.which.channel, self.which.of(), end_to_api(&end));
        if let Err(e) = told.await {
            tracing::warn!(channel = %self.which.channel, job = %self.which.writer(),
                "the registry did not take the end: {e}");
        }
        Ok(())
    }
}

/// The end of all rungs.
pub(super) fn joined(ends: Vec<End>) -> Option<End> {
    ends.into_iter().reduce(|a, b| End {
        msn: a.msn.max(b.msn),
        dseq: a.dseq.max(b.dseq),
        wall: a.wall.max(b.wall),
        tracks: a.tracks.into_iter().chain(b.tracks).collect(),
        session_over: a.session_over || b.session_over,
    })
}

type Made = (TrackId, String, TrackId, Kind, FrameRate);

/// What is made, of which of the source's tracks, at which rate.
fn tracks(order: &Order) -> Vec<Made> {
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
fn settings(order: &Order) -> Settings {
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
