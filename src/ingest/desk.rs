//! Who holds which channel. A publisher is handed from its owner to the next connection whole;
//! while no connection has it, the `away` task does: it writes gaps and ends the session when the
//! reconnect window is over.
//!
//! Invariant: the table's lock is never held across an await.

use crate::api::convert;
use crate::api::orders::Order;
use crate::api::types::{ChannelSettings, End as Told, Unfinished};
use crate::base::ids::{Channel, Generation};
use crate::base::time::{Mono, Wall};
use crate::ingest::context::{ClaimError, Context, Ends, PublishError};
use crate::ingest::cues;
use crate::ingest::publisher::Publisher;
use crate::ingest::seat::{Asked, Handover, Seat, Table};
use crate::ingest::stalled::Stalled;
use crate::media::timeline::mark::End;
use crate::rt::drain::{Drain, Work};
use crate::rt::task;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a new connection waits for the publisher that the old one holds; above the longest wait
/// of an owner for the registry (one lease).
const HANDOVER_MAX: Duration = Duration::from_secs(8);

/// The table of channels with a publisher. Shared by all connections of an origin.
#[derive(Clone)]
pub struct Desk {
    ctx: Arc<Context>,
    slots: Arc<Mutex<Table>>,
    drain: Drain,
    work: Work,
}

impl Desk {
    /// An empty table. `work` counts publishers for the drain.
    pub fn new(ctx: Arc<Context>, drain: Drain, work: Work) -> Desk {
        Desk { ctx, slots: Arc::default(), drain, work }
    }

    /// Resolves when the origin drains.
    pub(super) async fn draining(&self) {
        self.drain.wait().await;
    }

    /// What publishers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.ctx
    }

    pub(super) fn table<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.slots.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the channel's seat for a connection with `key`; answers the owner to take the
    /// publisher from.
    fn sit(
        &self,
        channel: &Channel,
        key: Option<&str>,
    ) -> Result<(Seat, Option<oneshot::Sender<Handover>>), ClaimError> {
        self.table(|t| {
            let held = t.slots.get(channel).and_then(|s| s.key.as_deref());
            if let (Some(held), Some(key)) = (held, key)
                && held != key
            {
                return Err(ClaimError::InUse(channel.clone()));
            }
            Ok(t.seat(channel, key))
        })
    }

    /// Leaves a seat, unless somebody else sits there already.
    pub fn release(&self, seat: &Seat) {
        self.table(|t| {
            if t.slots.get(&seat.channel).is_some_and(|s| s.seat == seat.number) {
                t.slots.remove(&seat.channel);
            }
        });
    }

    /// The channel's publisher for a connection that presented `key`: the one that is there, or a
    /// new generation.
    pub async fn claim(
        &self,
        settings: &Arc<ChannelSettings>,
        key: &str,
    ) -> Result<(Box<Publisher>, Seat), ClaimError> {
        if self.drain.started() {
            return Err(ClaimError::Draining);
        }
        // Who waits for the disk to be well is not disturbed before it is; and no generation is
        // granted that could not be written.
        if !self.table(|t| t.slots.get(&settings.name).is_some_and(|s| !s.stalled)) {
            self.ctx.logs.usable().await.map_err(PublishError::from)?;
        }
        let (seat, owner) = self.sit(&settings.name, Some(key))?;
        let owned = owner.is_some();
        match self.take_over(settings, key, owner).await {
            Ok(publisher) => Ok((publisher, seat)),
            Err(e @ ClaimError::Publish(_)) if owned => {
                // Whoever held the session has let go of it.
                let over = self.ctx.clock.now().mono.plus(settings.reconnect_window);
                self.stall(settings.clone(), seat, over, None);
                Err(e)
            }
            Err(e) => {
                self.release(&seat);
                Err(e)
            }
        }
    }

    async fn take_over(
        &self,
        settings: &Arc<ChannelSettings>,
        key: &str,
        owner: Option<oneshot::Sender<Handover>>,
    ) -> Result<Box<Publisher>, ClaimError> {
        if let Some(owner) = owner {
            let (give, given) = oneshot::channel();
            if owner.send(give).is_ok() {
                match tokio::time::timeout(HANDOVER_MAX, given).await {
                    Ok(Ok(publisher)) => return Ok(publisher),
                    // The owner ended the publisher instead: a new generation follows.
                    Ok(Err(_)) => {}
                    Err(_) => return Err(ClaimError::Stuck(settings.name.clone())),
                }
            }
        }
        self.ctx.logs.usable().await.map_err(PublishError::from)?;
        let want = self.ctx.want(Some(key));
        let grant = self.ctx.client.grant(&settings.name, want).await;
        let grant = grant.map_err(PublishError::from)?;
        tracing::info!(channel = %settings.name, session = %grant.session,
            generation = %grant.generation, base = %grant.base, "granted");
        Ok(Box::new(Publisher::new(self.ctx.clone(), settings.clone(), grant)))
    }

    /// The connection is gone: the publisher waits for the next one in a task of its own.
    pub fn leave(&self, publisher: Box<Publisher>, seat: Seat) {
        // A session that never had media has nothing to wait for.
        let window = match publisher.is_worth_waiting() {
            true => publisher.settings().reconnect_window,
            false => Duration::ZERO,
        };
        let over = self.ctx.clock.now().mono.plus(window);
        self.away(publisher, seat, over);
    }

    /// As [`Desk::leave`], until a given moment.
    pub(super) fn away(&self, publisher: Box<Publisher>, seat: Seat, over: Mono) {
        self.table(|t| {
            if let Some(s) = t.slots.get_mut(&seat.channel).filter(|s| s.seat == seat.number) {
                (s.key, s.stalled) = (None, false);
            }
        });
        let desk = self.clone();
        let guard = self.work.guard();
        task::spawn(format!("away {}", seat.channel), async move {
            desk.wait_for_publisher(publisher, seat, over).await;
            drop(guard);
        });
    }

    async fn wait_for_publisher(&self, mut publisher: Box<Publisher>, mut seat: Seat, over: Mono) {
        let clock = self.ctx.clock.clone();
        loop {
            let due = publisher.poll_timeout().map_or(over, |t| t.min(over));
            tokio::select! {
                biased;
                asked = seat.asked() => match asked {
                    Asked::Publisher(Some(handover)) => {
                        return self.give(publisher, handover).await;
                    }
                    Asked::Publisher(None) => return self.end(publisher, &seat, false).await,
                    Asked::Order(Order::Cue(post)) => {
                        cues::post(&mut publisher, post).await;
                        continue;
                    }
                    Asked::Order(Order::Stop(stop)) => {
                        match self.stop(publisher, &seat, stop).await {
                            Some(same) => publisher = same,
                            None => return,
                        }
                        continue;
                    }
                },
                () = self.drain.wait() => return self.end(publisher, &seat, false).await,
                () = clock.sleep_until(due) => {}
            }
            if clock.now().mono >= over {
                return self.end(publisher, &seat, true).await;
            }
            if let Err(e) = publisher.settle().await {
                tracing::error!(channel = %seat.channel, "gaps can't be written: {e}");
                return self.give_up_until(publisher, seat, &e, over).await;
            }
        }
    }

    /// Hands a publisher to the connection that asked for it. One that has given up asking does not
    /// take it: then it waits for the next, unless the channel has an owner already.
    pub async fn give(&self, publisher: Box<Publisher>, to: Handover) {
        let Err(publisher) = to.send(publisher) else { return };
        let channel = publisher.settings().name.clone();
        tracing::warn!(%channel, "the connection that asked for the publisher is gone");
        match self.sit_if_free(&channel) {
            Some(seat) => self.leave(publisher, seat),
            None => drop(self.finish(publisher, &channel, false).await),
        }
    }

    /// A seat for a publisher without a connection, if nobody sits there.
    fn sit_if_free(&self, channel: &Channel) -> Option<Seat> {
        self.table(|t| (!t.slots.contains_key(channel)).then(|| t.seat(channel, None).0))
    }

    /// Ends a publisher for good.
    pub async fn end(&self, publisher: Box<Publisher>, seat: &Seat, session_over: bool) {
        drop(self.finish(publisher, &seat.channel, session_over).await);
        self.release(seat);
    }

    /// Ends a publisher; what the registry could not be told of it.
    async fn finish(
        &self,
        publisher: Box<Publisher>,
        channel: &Channel,
        session_over: bool,
    ) -> Option<(Generation, Told)> {
        let generation = publisher.generation();
        let ended = publisher.end(session_over).await;
        match ended.result {
            Ok(()) => tracing::info!(%channel, %generation, session_over, "ended"),
            Err(e) => tracing::error!(%channel, %generation, "ended badly: {e}"),
        }
        ended.untold.map(|end| (generation, end))
    }

    /// Ends a publisher that can go on no more. Where its disk is why, its session waits for the
    /// disk, and for its encoder, as long as it would for the encoder alone.
    pub async fn give_up(&self, publisher: Box<Publisher>, seat: Seat, why: &PublishError) {
        let over = self.ctx.clock.now().mono.plus(publisher.settings().reconnect_window);
        self.give_up_until(publisher, seat, why, over).await;
    }

    async fn give_up_until(
        &self,
        publisher: Box<Publisher>,
        seat: Seat,
        why: &PublishError,
        over: Mono,
    ) {
        if !matches!(why, PublishError::Log(_)) {
            // A newer generation has the session.
            return self.end(publisher, &seat, false).await;
        }
        let settings = publisher.settings().clone();
        let untold = self.finish(publisher, &seat.channel, false).await;
        self.stall(settings, seat, over, untold);
    }

    fn stall(
        &self,
        settings: Arc<ChannelSettings>,
        seat: Seat,
        over: Mono,
        untold: Option<(Generation, Told)>,
    ) {
        self.table(|t| {
            if let Some(s) = t.slots.get_mut(&seat.channel).filter(|s| s.seat == seat.number) {
                (s.key, s.stalled) = (None, true);
            }
        });
        let stalled = Stalled { desk: self.clone(), settings, over, untold };
        let guard = self.work.guard();
        task::spawn(format!("stalled {}", seat.channel), async move {
            stalled.run(seat).await;
            drop(guard);
        });
    }

    /// After a restart: ends of logs that lost their writer are told, and sessions whose window is
    /// open are taken up again, each by a new generation that writes gaps until its encoder is
    /// back.
    pub async fn take_up(&self, ends: &mut Ends) -> Result<(), PublishError> {
        for open in self.ctx.client.unfinished(self.ctx.node.clone()).await? {
            let key = (open.settings.name.clone(), open.session, open.generation);
            self.take_up_one(open, ends.remove(&key), "after a restart").await;
        }
        Ok(())
    }

    /// Sessions of origins that are gone, which the registry wants this one to go on with: gaps are
    /// written until the encoder is back somewhere, or the reconnect window is over.
    pub async fn take_up_others(&self) {
        let all = match self.ctx.client.unfinished(self.ctx.node.clone()).await {
            Ok(all) => all,
            Err(e) => return tracing::warn!("sessions to take up can't be asked for: {e}"),
        };
        for open in all {
            if !self.drain.started() && !self.is_held(&open.settings.name) {
                self.take_up_one(open, None, "its origin is gone").await;
            }
        }
    }

    async fn take_up_one(&self, open: Unfinished, end: Option<End>, why: &str) {
        let Unfinished { settings, session, generation, .. } = open;
        // Before the registry is asked: an encoder that comes meanwhile waits for this publisher.
        let Some(seat) = self.sit_if_free(&settings.name) else { return };
        let result = self.go_on(&settings, &open.end, end, generation).await;
        let now = self.ctx.clock.now();
        match result {
            Ok((publisher, ended)) => {
                tracing::info!(channel = %settings.name, %session,
                    generation = %publisher.generation(), "taken up again: {why}");
                // What is left of the window counts from now: this process's clock may be younger
                // than the absence.
                let gone = ended.map_or(0, |e| now.wall.since(e)).max(0);
                let gone = Duration::from_micros(gone.unsigned_abs());
                let left = settings.reconnect_window.saturating_sub(gone);
                self.away(publisher, seat, now.mono.plus(left));
            }
            Err((e, untold)) => {
                tracing::error!(channel = %settings.name, %session,
                    "can't be taken up again yet: {e}");
                let over = now.mono.plus(settings.reconnect_window);
                self.stall(settings.clone(), seat, over, untold);
            }
        }
    }

    /// A generation that goes on after one that has ended, and when that one did. The registry is
    /// told that end first, where it has not decided one. An error comes with an end that the
    /// registry could not be told.
    async fn go_on(
        &self,
        settings: &Arc<ChannelSettings>,
        decided: &Option<Told>,
        end: Option<End>,
        generation: Generation,
    ) -> Result<(Box<Publisher>, Option<Wall>), (PublishError, Option<(Generation, Told)>)> {
        let (client, channel) = (&self.ctx.client, &settings.name);
        if let (None, Some(end)) = (decided, &end) {
            let told = client.end(channel, generation, convert::end_to_api(end)).await;
            told.map_err(|e| (e.into(), None))?;
        }
        let grant = client.grant(channel, self.ctx.want(None)).await;
        let grant = grant.map_err(|e| (e.into(), None))?;
        let (generation, before) = (grant.generation, grant.previous.as_ref());
        let ended = before.map(|(_, e)| Wall(e.wall));
        let mut publisher = Box::new(Publisher::new(self.ctx.clone(), settings.clone(), grant));
        match publisher.resume().await {
            Ok(()) => Ok((publisher, ended)),
            Err(e) => {
                let untold = publisher.end(false).await.untold;
                Err((e, untold.map(|end| (generation, end))))
            }
        }
    }

    /// The generation that a channel's owner writes, for tests and status.
    pub fn is_held(&self, channel: &Channel) -> bool {
        self.table(|t| t.slots.contains_key(channel))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::client::{self, Call};
    use crate::api::types::{Durability, Grant, Pace};
    use crate::base::ids::{Msn, Session};
    use crate::ingest::decided::Decided;
    use crate::ingest::metrics::Ingest;
    use crate::log::logs::Logs;
    use crate::log::options::Options;
    use crate::rt::clock::Clock;
    use crate::telemetry::metrics::Metrics;

    /// At a moment, with logs in a directory; and the calls that its registry gets.
    pub(in crate::ingest) fn context(
        dir: &std::path::Path,
        now: Wall,
    ) -> (Arc<Context>, client::Calls) {
        let (client, calls, _) = client::embedded();
        let ctx = Context {
            node: "node".into(),
            logs: Logs::open(dir, Options::default()).expect("a directory of our own"),
            client,
            clock: Clock::starting_at(now),
            metrics: Ingest::register(&Metrics::new()),
            decided: Decided::default(),
        };
        (Arc::new(ctx), calls)
    }

    fn desk(dir: &std::path::Path) -> (Desk, client::Calls) {
        let (ctx, calls) = context(dir, Wall(0));
        (Desk::new(ctx, Drain::new(), Work::new()), calls)
    }

    /// The channel `main`, of segments of a second.
    pub(in crate::ingest) fn settings() -> Arc<ChannelSettings> {
        let second = Duration::from_secs(1);
        Arc::new(ChannelSettings {
            name: "main".parse().expect("a channel name"),
            segment: second,
            target_duration: 2 * second,
            part: second / 5,
            reconnect_window: second,
            pace: Pace::Wall,
            frame_rate: (30, 1),
            latency_budget: second / 5,
            durability: Durability::Never,
            ladder: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_encoder_that_comes_while_its_session_is_taken_up_goes_on_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (desk, mut calls) = desk(dir.path());
        let (settings, taking) = (settings(), desk.clone());
        let take_up = task::spawn("take up", async move { taking.take_up_others().await });
        let Some(Call::Unfinished(_, reply)) = calls.calls.recv().await else { panic!("asked") };
        let (session, generation) = (Session(3), Generation(5));
        let open = Unfinished { settings: settings.clone(), session, generation, end: None };
        reply.send(Ok(vec![open])).expect("awaited");
        let Some(Call::Grant(_, _, reply)) = calls.calls.recv().await else { panic!("asked") };
        let (claiming, of) = (desk.clone(), settings.clone());
        let encoder = task::spawn("encoder", async move { claiming.claim(&of, "its-key").await });
        // It sits, and waits for the publisher.
        while desk.table(|t| t.slots.values().all(|s| s.key.is_none())) {
            tokio::task::yield_now().await;
        }
        let (generation, base, dseq) = (Generation(6), Msn(1_100), 0);
        let (previous, record, render) = (None, None, None);
        let grant = Grant { session, generation, base, dseq, previous, record, render };
        reply.send(Ok(grant)).expect("awaited");
        take_up.await.expect("it ends");
        let (publisher, _seat) = encoder.await.expect("ends").expect("runs").expect("admitted");
        assert_eq!(publisher.generation(), Generation(6));
        assert!(calls.calls.try_recv().is_err(), "and no other generation was granted");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_does_not_let_go_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let (desk, _calls) = desk(dir.path());
        let (settings, channel) = (settings(), "main".parse().expect("a channel name"));
        // Asked to hand over, it does nothing.
        let (_owner, _) = desk.sit(&channel, Some("key-of-main")).expect("nobody sits there");
        let other = desk.claim(&settings, "another-key").await.expect_err("another's channel");
        let said = "channel main is being published to with another key; stop that encoder first";
        assert_eq!(other.to_string(), said);
        let begun = desk.context().clock.now().mono;
        let stuck = desk.claim(&settings, "key-of-main").await.expect_err("never handed over");
        let said = "the connection that holds channel main does not let go of it; try again";
        assert_eq!((stuck.to_string().as_str(), stuck.reason()), (said, "stuck"));
        let waited = desk.context().clock.now().mono.since(begun);
        assert_eq!(waited.as_secs(), HANDOVER_MAX.as_secs());
        assert!(!desk.is_held(&channel), "the next one is granted a generation of its own");
    }
}
