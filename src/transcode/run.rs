//! One job at its node: the source's log is read, a worker makes the rungs of it, each is written
//! to a log of its own. A worker that crashes is followed by another, which goes on with the next
//! segment; the rungs have a gap until then.

use crate::api::convert::{end_from_api, end_to_api, record_from_api};
use crate::api::jobs::{Failure, JobReport, Order};
use crate::api::types::Report;
use crate::base::ids::{Msn, Writer};
use crate::base::time::Now;
use crate::log::id::{LogId, Rung as RungOf};
use crate::log::subscription::Subscription;
use crate::media::timeline::mark::{End, GenerationStart, Mark, SegmentStart};
use crate::media::timeline::rung::{Begin, Rung};
use crate::rt::backoff::Backoff;
use crate::rt::drain::Drain;
use crate::rt::{task, usage};
use crate::transcode::begin::{AGAIN, Context, Failed, Head, Which, head, order, past};
use crate::transcode::begin::{settings, tracks};
use crate::transcode::feed::{Feed, Heard};
use crate::transcode::load::Meter;
use crate::transcode::recorded::{Recorded, nominal};
use crate::transcode::settings::Settings;
use crate::transcode::wire::Output;
use crate::transcode::worker::{self, Outputs, Worker};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Segments of a source that are made from its beginning though they are over: a job that comes so
/// late catches up. More of them are a gap, or viewers would wait for what nobody watches.
const FRESH: u64 = 2;

/// How much later than needed a job begins that follows one which could not be asked: it may list
/// the segment that begins now.
const MARGIN: u64 = 1;

/// How long a worker may take to code what it still has.
const FLUSH: Duration = Duration::from_secs(3);

/// What is heard of the source and waits: a part's samples of both tracks.
const HEARD: usize = 1_024;

/// Workers that end one after another and have made nothing: the next would not either. What this
/// machine's libraries have not, or its memory, another's may have.
const FRUITLESS: u32 = 3;

/// Does a job until its source is over, somebody else does it, or `stop`.
///
/// # Errors
/// It can't be begun here. One that was begun tells by itself why it can't go on.
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

/// A job that has begun.
struct Running<'a> {
    ctx: &'a Context,
    which: &'a Which,
    rungs: Vec<Recorded>,
    base: Msn,
    all: bool,
    settings: Settings,
    reports: watch::Sender<Option<JobReport>>,
    meter: Meter,
    /// The worker that runs.
    pid: u32,
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
        let dseq = before.map_or(start.dseq, |b| b.end.dseq.max(start.dseq));
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
        let (meter, pid) = (Meter::default(), 0);
        Ok(Running { ctx, which, rungs, base, all, settings, reports, meter, pid })
    }

    async fn run(
        mut self,
        head: Head,
        log: Option<Subscription>,
        order: &Order,
        stop: &Drain,
    ) -> Result<(), Failed> {
        let (heard_tx, mut heard) = mpsc::channel(HEARD);
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
        let (ctx, which) = (self.ctx, self.which);
        match (done, self.end().await) {
            (Ok(()), Ok(None)) => {}
            (Ok(()), Ok(Some(end))) => ended(ctx, which, &end).await,
            (Err(e), Ok(end)) => failed(ctx, which, &e, end.as_ref()).await,
            (Err(e), Err(_)) | (Ok(()), Err(e)) => failed(ctx, which, &e, None).await,
        }
        Ok(())
    }

    /// Tells the registry of each segment that starts, the newest where it is behind.
    fn tell(&self, order: &Order) -> tokio::task::JoinHandle<Option<()>> {
        let (client, channel, of) =
            (self.ctx.client.clone(), order.channel.clone(), self.which.of());
        let mut reports = self.reports.subscribe();
        task::spawn("job reports", async move {
            while reports.changed().await.is_ok() {
                let Some(report) = reports.borrow_and_update().clone() else { continue };
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
        let mut fruitless = 0;
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
                    Ok(Some(output)) => {
                        if matches!(output, Output::Packet(_)) {
                            fruitless = 0;
                        }
                        self.output(output)?;
                    }
                    Ok(None) | Err(_) => {
                        let said = self.crashed(worker).await;
                        fruitless += 1;
                        (fruitless < FRUITLESS).then_some(()).ok_or(Failed::Fruitless(said))?;
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
        &mut self,
        workers: &mpsc::Sender<worker::Source>,
    ) -> Result<(Worker, Outputs), Failed> {
        let (worker, source, outputs) = Worker::start(&self.ctx.program, &self.settings)?;
        self.pid = worker.pid();
        tracing::debug!(job = %self.which.writer(), pid = self.pid, "a worker begins");
        // A feed that is over needs none.
        let _ = workers.send(source).await;
        Ok((worker, outputs))
    }

    /// Tells that a worker ended before its job, and how.
    async fn crashed(&self, mut worker: Worker) -> String {
        self.ctx.metrics.crashes.inc();
        let (channel, job) = (&self.which.channel, self.which.writer());
        match worker.ended().await {
            Ok(ended) => {
                let how = format!("{:?}: {}", ended.end, ended.said);
                tracing::error!(%channel, %job, "the worker ended, another one goes on with the \
                    next segment: {how}");
                how
            }
            Err(e) => {
                tracing::error!(%channel, %job, "the worker is gone: {e}");
                e.to_string()
            }
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
            Output::Report(report) => {
                self.meter.note(&report);
                self.ctx.metrics.note(&self.which.channel, &report);
            }
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
        let told = self.reports.borrow().as_ref().map(|r| r.report.msn);
        if let Some(s) = newest.filter(|s| told.is_none_or(|told| told < s.msn)) {
            let (msn, dseq, wall, acked) = (s.msn, s.dseq, s.wall, Msn::default());
            let now = self.ctx.clock.now().mono;
            let load = Some(self.meter.look(self.pid, usage::of(self.pid), now));
            let report = Report { msn, dseq, wall, acked };
            self.reports.send_replace(Some(JobReport { report, load }));
        }
        Ok(())
    }

    /// Ends the rungs; where.
    async fn end(mut self) -> Result<Option<End>, Failed> {
        let mut ends = Vec::new();
        for r in &mut self.rungs {
            r.finish();
            r.settle()?;
            ends.extend(r.end().cloned());
        }
        for r in std::mem::take(&mut self.rungs) {
            r.seal().await?;
        }
        Ok(joined(ends))
    }
}

/// Tells where a job ended.
async fn ended(ctx: &Context, which: &Which, end: &End) {
    let (channel, job) = (&which.channel, which.writer());
    tracing::info!(%channel, %job, msn = %end.msn, "the rungs end");
    if let Err(e) = ctx.client.job_end(channel, which.of(), end_to_api(end)).await {
        tracing::warn!(%channel, %job, "the registry did not take the end: {e}");
    }
}

/// Tells that a job can't be done here, so that another node does it, and where it ended, if that
/// is known.
pub(super) async fn failed(ctx: &Context, which: &Which, e: &Failed, end: Option<&End>) {
    let (channel, job) = (&which.channel, which.writer());
    tracing::error!(%channel, %job, "the job can't be done here: {e}");
    let failure = Failure { why: e.to_string(), end: end.map(end_to_api) };
    if let Err(e) = ctx.client.job_failed(channel, which.of(), failure).await {
        tracing::warn!(%channel, %job, "the registry was not told: {e}");
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
