//! A feed reads the logs of one session, writer after writer, the source's and beside them those of
//! its rungs, and moves its renditions on (`edge::reading`). Sealed extents are read by their
//! footers alone, the rest by subscription.

use crate::base::ids::Writer;
use crate::edge::leave::{Leave, Left};
use crate::edge::line::Line;
use crate::edge::reading::Reading;
use crate::edge::session::{Opened, Session, idle};
use crate::edge::sources::Sources;
use crate::edge::{anew, away, behind};
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::subscription::From;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pause after a log could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Reads a session until nobody wants it any more.
pub async fn run(session: Arc<Session>, sources: Sources) {
    tokio::select! {
        () = idle(session.clone(), sources.clock.clone()) => {}
        () = Feed::new(&session, Line::Source, &sources, None).follow() => {}
        () = rungs(&session, &sources) => {}
    }
    tracing::debug!(channel = %session.channel, session = %session.number, "feed ends");
}

/// Reads the rungs, once it is known which there are.
async fn rungs(session: &Arc<Session>, sources: &Sources) {
    let mut opened = session.opened();
    let known = opened.wait_for(Option::is_some).await.ok().and_then(|o| o.clone());
    let Some(opened) = known else { return std::future::pending().await };
    let rungs = opened.renditions.iter().filter(|r| r.track.is_rung());
    let mut feeds: FuturesUnordered<_> = rungs
        .map(|r| {
            let line = Line::Rung(r.name.as_str().into());
            Feed::new(session, line, sources, Some(Arc::clone(&opened))).follow()
        })
        .collect();
    while feeds.next().await.is_some() {}
    std::future::pending().await
}

/// Reads one line.
struct Feed {
    reading: Reading,
    nudge: watch::Receiver<()>,
}

impl Feed {
    fn new(
        session: &Arc<Session>,
        line: Line,
        sources: &Sources,
        opened: Option<Arc<Opened>>,
    ) -> Feed {
        let reading = Reading::new(Arc::clone(session), line, sources.clone(), opened);
        Feed { reading, nudge: session.nudge.subscribe() }
    }

    /// Reads the logs of the line's writers in order, waiting for new ones.
    async fn follow(mut self) {
        let mut table = self.reading.sources.directory.table();
        let mut created = self.reading.sources.logs.watch();
        let mut done: Option<Writer> = None;
        loop {
            table.mark_unchanged();
            created.mark_unchanged();
            let (channel, number) = (&self.reading.session.channel, self.reading.session.number);
            let live = match self.reading.sources.directory.find(channel, number).await {
                Ok(Some(live)) => live,
                Ok(None) => return,
                Err(e) => {
                    tracing::warn!(%channel, "{e}");
                    self.pause(RETRY).await;
                    continue;
                }
            };
            let next = self.reading.line.next(&live, done);
            match next {
                Some(writer) => {
                    let newest = !self.reading.line.is_past(&live, writer);
                    match self.read(writer, newest).await {
                        Ok(()) if self.reading.behind.is_in_the_way() => self.read_on().await,
                        Ok(()) => {
                            self.set_waits(false);
                            done = Some(writer);
                        }
                        // Granted, but its log is not there yet, or will not be.
                        Err(LogError::NotFound { .. }) if !newest => {
                            self.read_what_is_left(writer).await;
                            done = Some(writer);
                        }
                        Err(LogError::NotFound { .. }) => tokio::select! {
                            () = self.idle_until(&mut table) => {}
                            () = created.changed() => {}
                        },
                        Err(e) => {
                            self.reading.unreadable(writer, &e);
                            let id = self.log(writer);
                            let wait = !newest && !self.reading.shown;
                            let wait = wait && away::is_worth_waiting(&self.reading.sources, &id);
                            self.set_waits(wait);
                            self.pause(RETRY).await;
                            if !newest && !wait {
                                self.read_what_is_left(writer).await;
                                done = Some(writer);
                            }
                        }
                    }
                }
                None => {
                    if let (true, Some(last)) = (live.over, done) {
                        self.reading.session_over(last);
                    }
                    self.idle_until(&mut table).await;
                }
            }
        }
    }

    /// Reads on in a writer whose log has more than was read of it.
    async fn read_on(&mut self) {
        let Some((writer, until)) = self.reading.behind.take() else { return };
        let channel = &self.reading.session.channel;
        tracing::debug!(%channel, %writer, "it has more: reading on");
        self.reading.again = Some(writer);
        self.set_waits(!self.reading.shown);
        let clock = self.reading.sources.clock.clone();
        let again = async {
            // What it says is known: it was read before.
            let _ = self.read(writer, false).await;
            clock.sleep_until(clock.now().mono.plus(behind::AGAIN)).await;
        };
        tokio::select! {
            () = again => {}
            () = clock.sleep_until(until) => {}
        }
    }

    /// Takes what a bucket has of a log whose rest can't be had: it was on air, and who goes on
    /// without it would list less than others.
    async fn read_what_is_left(&mut self, writer: Writer) {
        let id = self.log(writer);
        let left = self.reading.sources.logs.left_in_bucket(&id).await;
        let left = left.inspect_err(|e| tracing::warn!(log = %id, "it can't be read: {e}"));
        let Ok(Some(index)) = left else { return };
        let extents = index.footers.len();
        tracing::warn!(log = %id, extents, "its end is lost: what was collected is shown");
        self.reading.begin(false);
        // Some of it may have been read before.
        self.reading.again = Some(writer);
        for footer in &index.footers {
            self.reading.footer(writer, footer);
        }
    }

    /// Says that who asks is better off at another edge; that a rung is away is no reason for it.
    fn set_waits(&self, waits: bool) {
        if self.reading.line == Line::Source {
            self.reading.session.set_waits(waits);
        }
    }

    fn log(&self, writer: Writer) -> LogId {
        self.reading.session.log(self.reading.line.rung(), writer)
    }

    async fn pause(&self, length: Duration) {
        let until = self.reading.sources.clock.now().mono.plus(length);
        self.reading.sources.clock.sleep_until(until).await;
    }

    async fn idle_until<T>(&mut self, table: &mut tokio::sync::watch::Receiver<T>) {
        self.reading.publish(true);
        loop {
            tokio::select! {
                changed = table.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                Ok(()) = self.nudge.changed() => self.reading.publish(true),
            }
        }
    }

    /// Reads one writer's log to its end; `newest` when none is known that goes on after it.
    async fn read(&mut self, writer: Writer, newest: bool) -> Result<(), LogError> {
        let id = self.log(writer);
        self.reading.begin(newest);
        let index = away::index(&self.reading.sources, &id, newest).await?;
        for footer in &index.footers {
            self.reading.footer(writer, footer);
        }
        if index.sealed || self.reading.behind.is_in_the_way() {
            return Ok(());
        }
        if let Some(last) = index.footers.last() {
            self.reading.resume(last);
        }
        let mut log = self.reading.sources.logs.subscribe(&id, From::Position(index.tail)).await?;
        let mut leave = Leave::new(&self.reading.sources, id.clone());
        loop {
            let batch = tokio::select! {
                batch = log.next() => batch?,
                left = leave.due() => match left {
                    Left::Moved => {
                        let at = From::Position(log.position());
                        log = self.reading.sources.logs.subscribe(&id, at).await?;
                        continue;
                    }
                    // Who says nothing at all has no more to say.
                    Left::Replaced if log.caught_up() || !log.is_heard() => return Ok(()),
                    Left::Replaced => continue,
                },
                Ok(()) = self.nudge.changed() => {
                    self.reading.publish(newest && log.caught_up());
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            for entry in batch.records() {
                let begins = self.reading.entry(writer, entry);
                if begins && newest && self.reading.shown {
                    self.reading.publish(true);
                    self.pause(anew::ALONE).await;
                }
            }
            if self.reading.behind.is_in_the_way() {
                return Ok(());
            }
            // While a backlog is read nobody sees the past go by, also not who asks for the DVR
            // playlist meanwhile: a player that joins there would begin where the feed happens to
            // be. What is shown is the newest.
            self.reading.publish(newest && log.caught_up());
        }
        Ok(())
    }
}
