//! A job's middle: what is heard of its source and what its worker makes go into the rungs, until
//! one of them ends or others go on.

use crate::rt::backoff::Backoff;
use crate::rt::drain::Drain;
use crate::transcode::begin::{AGAIN, Failed};
use crate::transcode::feed::Heard;
use crate::transcode::leave::{Leave, leave};
use crate::transcode::recorded::Recorded;
use crate::transcode::run::{Running, Worked};
use crate::transcode::wire::Output;
use crate::transcode::worker::{self, Outputs, Worker};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a worker may take to code what it still has.
const FLUSH: Duration = Duration::from_secs(3);

/// Workers that end one after another and have made nothing: the next would not either. What this
/// machine's libraries have not, or its memory, another's may have.
const FRUITLESS: u32 = 3;

impl Running<'_> {
    /// Makes rungs until the source is over, others go on, or `stop`; without a worker, their gaps.
    pub(super) async fn make(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        workers: mpsc::Sender<worker::Source>,
        ready: Option<Worked>,
        stop: &Drain,
    ) -> Result<(), Failed> {
        let clock = self.ctx.clock.clone();
        let leaving = leave(self.ctx, self.which, stop);
        tokio::pin!(leaving);
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        let (mut fruitless, mut handed) = (0, None);
        let mut working = self.begun(ready, Some(&workers)).await;
        // A feed that waits for a worker goes on without.
        let workers = working.is_some().then_some(workers);
        loop {
            let due = self.rungs.iter().filter_map(Recorded::due).chain(handed).min();
            let output = async {
                match &mut working {
                    Some((_, outputs)) => outputs.next().await,
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
                output = output => match output {
                    Ok(Some(output)) => {
                        if matches!(output, Output::Packet(_)) {
                            fruitless = 0;
                        }
                        self.output(output)?;
                    }
                    Ok(None) | Err(_) => {
                        let said = self.crashed(working.take()).await;
                        fruitless += 1;
                        (fruitless < FRUITLESS).then_some(()).ok_or(Failed::Fruitless(said))?;
                        clock.sleep_until(clock.now().mono.plus(backoff.pause())).await;
                        working = self.begun(Some(self.start()?), workers.as_ref()).await;
                    }
                },
                () = clock.sleep_until_due(due) => {
                    let now = clock.now();
                    self.rungs.iter_mut().for_each(|r| r.tick(now));
                }
                why = &mut leaving, if handed.is_none() => match why {
                    Leave::Over => break,
                    Leave::Handed => handed = Some(clock.now().mono.plus(self.hand_over())),
                },
            }
            self.settle().await?;
            let late = handed.is_some_and(|until| until <= clock.now().mono);
            if late || self.rungs.iter().all(|r| r.end().is_some()) {
                return Ok(());
            }
        }
        self.flush(heard, working).await
    }

    /// The feed's side of the worker is closed with it, and the worker finishes.
    async fn flush(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        working: Option<(Worker, Outputs)>,
    ) -> Result<(), Failed> {
        heard.close();
        while heard.recv().await.is_some() {}
        let clock = self.ctx.clock.clone();
        let until = clock.now().mono.plus(FLUSH);
        let Some((_worker, mut outputs)) = working else { return Ok(()) };
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

    /// The next segment is another node's; how long this one may take to come to it.
    fn hand_over(&mut self) -> Duration {
        let until = self.heard.next();
        self.rungs.iter_mut().for_each(|r| r.hand_over(until));
        tracing::info!(channel = %self.which.channel, job = %self.which.writer(), %until,
            "another node goes on");
        self.patience * 2
    }

    fn start(&self) -> Result<Worked, Failed> {
        let program = self.ctx.program.as_ref().ok_or(Failed::NoProgram)?;
        Ok(Worker::start(program, &self.settings)?)
    }

    /// A worker begins: the feed sends to it what it reads.
    async fn begun(
        &mut self,
        worked: Option<Worked>,
        workers: Option<&mpsc::Sender<worker::Source>>,
    ) -> Option<(Worker, Outputs)> {
        let (worker, source, outputs) = worked?;
        self.pid = worker.pid();
        tracing::debug!(job = %self.which.writer(), pid = self.pid, "a worker begins");
        // A feed that is over needs none.
        let _ = workers?.send(source).await;
        Some((worker, outputs))
    }

    /// Tells that a worker ended before its job, and how.
    async fn crashed(&self, working: Option<(Worker, Outputs)>) -> String {
        self.ctx.metrics.crashes.inc();
        let Some((mut worker, _)) = working else { return String::new() };
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
}
