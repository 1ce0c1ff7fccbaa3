//! One job at its node: the source's log is read, a worker makes the rungs of it, each is written
//! to a log of its own. A worker that crashes is followed by another, which goes on with the next
//! segment; the rungs have a gap until then.

use crate::api::convert::{end_from_api, record_from_api};
use crate::api::jobs::{JobReport, Order};
use crate::api::types::Report;
use crate::base::ids::{Msn, Writer};
use crate::base::time::Now;
use crate::log::id::{LogId, Rung as RungOf};
use crate::log::subscription::Subscription;
use crate::media::timeline::mark::{End, GenerationStart, Mark, SegmentStart};
use crate::media::timeline::rung::{Begin, Rung};
use crate::rt::drain::Drain;
use crate::rt::{task, usage};
use crate::transcode::begin::{Context, Failed, Head, Which, head, order, past};
use crate::transcode::begin::{settings, tracks};
use crate::transcode::feed::Feed;
use crate::transcode::load::Meter;
use crate::transcode::recorded::{Recorded, nominal};
use crate::transcode::settings::Settings;
use crate::transcode::told;
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

/// What is heard of the source and waits: a part's samples of both tracks.
const HEARD: usize = 1_024;

/// Does a job until its source is over, somebody else does it, or `stop`; then another node goes on
/// with the next segment, where there is one.
///
/// # Errors
/// It can't be begun here. One that was begun tells by itself why it can't go on.
pub async fn run(ctx: &Context, which: &Which, stop: &Drain) -> Result<(), Failed> {
    let Some(mut order) = order(ctx, which, stop, false).await? else { return Ok(()) };
    if order.ended {
        return Ok(());
    }
    let (mut head, mut log) = tokio::select! {
        read = self::head(ctx, which) => read?,
        () = stop.wait() => return Ok(()),
        () = past(ctx, which) => return Ok(()),
    };
    let Some(start) = head.start.clone() else { return Ok(()) };
    // Make before break: who is to go on is ready before the job before has ended.
    let ready = match (order.gaps, &ctx.program) {
        (true, _) => None,
        (false, Some(program)) => Some(Worker::start(program, &first(ctx, which, &order))?),
        (false, None) => return Err(Failed::NoProgram),
    };
    if order.awaits {
        let whole = tokio::select! {
            whole = self::order(ctx, which, stop, true) => whole?,
            () = past(ctx, which) => None,
        };
        let Some(whole) = whole else { return Ok(()) };
        order = whole;
        // Who could not be asked may have listed what the source has come to meanwhile.
        if order.previous.as_ref().is_some_and(|b| !b.exact) {
            (head, log) = self::head(ctx, which).await?;
        }
    }
    let running = Running::begin(ctx, which, &order, &start, &head).await?;
    running.run(head, log, &order, (ready, stop)).await
}

/// What a job's first worker is told.
fn first(ctx: &Context, which: &Which, order: &Order) -> Settings {
    let crash = ctx.crash.as_ref().filter(|(channel, _)| *channel == which.channel);
    Settings { crash_after: crash.map(|(_, after)| *after), ..settings(order) }
}

/// A worker, where records are sent to it, and what it makes.
pub(super) type Worked = (Worker, worker::Source, Outputs);

/// A job that has begun.
pub(super) struct Running<'a> {
    pub(super) ctx: &'a Context,
    pub(super) which: &'a Which,
    pub(super) rungs: Vec<Recorded>,
    base: Msn,
    all: bool,
    /// The newest number of the source.
    pub(super) heard: Msn,
    /// How long what its source has completed is waited for.
    pub(super) patience: Duration,
    pub(super) settings: Settings,
    reports: watch::Sender<Option<JobReport>>,
    pub(super) meter: Meter,
    /// The worker that runs; 0: none.
    pub(super) pid: u32,
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
        // Nothing comes that could be waited for.
        let waits = if order.gaps { Duration::ZERO } else { patience };
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
            let cut = Rung::new(nominal(track, kind, rate), record.part_target, waits, begin);
            rungs.push(Recorded::new(source, rate, cut, log));
        }
        tracing::info!(channel = %which.channel, job = %which.writer(), rungs = rungs.len(), %base,
            "transcoding");
        let (settings, reports) = (settings(order), watch::Sender::new(None));
        let all = base == start.base;
        let (meter, pid) = (Meter::default(), 0);
        let heard = Msn(from.0.saturating_sub(1));
        Ok(Running { ctx, which, rungs, base, all, heard, patience, settings, reports, meter, pid })
    }

    async fn run(
        mut self,
        head: Head,
        log: Option<Subscription>,
        order: &Order,
        (ready, stop): (Option<Worked>, &Drain),
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
        let told = told::reports(self.ctx, self.which, order, self.reports.subscribe());
        let done = match feeding.is_some() {
            true => self.make(&mut heard, workers, ready, stop).await,
            false => Ok(()),
        };
        if let Some(feeding) = feeding {
            feeding.abort();
        }
        told.abort();
        let (ctx, which) = (self.ctx, self.which);
        match (done, self.end().await) {
            (Ok(()), Ok(None)) => {}
            (Ok(()), Ok(Some(end))) => told::ended(ctx, which, &end).await,
            (Err(e), Ok(end)) => told::failed(ctx, which, &e, end.as_ref()).await,
            (Err(e), Err(_)) | (Ok(()), Err(e)) => told::failed(ctx, which, &e, None).await,
        }
        Ok(())
    }

    pub(super) fn source_mark(&mut self, now: Now, mark: &Mark) {
        match mark {
            Mark::SegmentStart(s) => self.heard = self.heard.max(s.msn),
            Mark::Gap(g) => self.heard = self.heard.max(g.msn),
            _ => {}
        }
        self.rungs.iter_mut().for_each(|r| r.source_mark(now, mark));
    }

    /// Writes what was decided, and tells of the newest segment.
    pub(super) async fn settle(&mut self) -> Result<(), Failed> {
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
            let load = (self.pid > 0).then(|| self.meter.look(self.pid, usage::of(self.pid), now));
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
