//! Finds the sessions that are to be pushed.

use crate::api::directory::Directory;
use crate::base::ids::{Channel, Session as Number};
use crate::push::bucket::Bucket;
use crate::push::error::PushError;
use crate::push::health::Health;
use crate::push::index;
use crate::push::live::Live;
use crate::push::metrics::Push;
use crate::push::session::Job;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::store::port::Store;
use crate::telemetry::ready::Latch;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Sessions of one channel that are pushed at once: one that is live, and those before it that a
/// store which was away still lacks the ends of. Each is read while that lasts; of more, the oldest
/// is given up.
pub const SESSIONS: usize = 8;

/// Which bucket has which channel.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Of every channel that has none of its own.
    pub all: Option<Store>,
    /// Of these channels.
    pub of: BTreeMap<Channel, Store>,
}

impl Targets {
    /// Is nothing pushed?
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.of.is_empty()
    }

    fn of(&self, channel: &Channel) -> Option<&Store> {
        self.of.get(channel).or(self.all.as_ref())
    }
}

/// Pushes every session of the channels that have a bucket.
pub struct Pusher<L> {
    /// Where sessions are followed.
    pub live: L,
    /// Which there are.
    pub directory: Directory,
    /// Which channel goes where.
    pub targets: Targets,
    /// What is counted.
    pub metrics: Push,
    /// For pauses and figures.
    pub clock: Clock,
    /// How long what is due when the drain starts may take.
    pub drain_timeout: Duration,
}

type Task = JoinHandle<Option<()>>;

impl<L: Live> Pusher<L> {
    /// Pushes until the drain; then what is complete, and no more. The latch is closed while a
    /// store does nothing.
    pub async fn run(self, latch: Latch, drain: Drain) {
        let health = Health::new(latch);
        let mut table = self.directory.table();
        let mut channels: BTreeMap<Channel, Task> = BTreeMap::new();
        loop {
            let all = table.borrow_and_update().clone();
            for channel in all.sessions.keys() {
                let new = !channels.contains_key(channel);
                let Some(store) = self.targets.of(channel).filter(|_| new) else { continue };
                let bucket = Bucket {
                    store: store.clone(),
                    metrics: self.metrics.clone(),
                    health: health.clone(),
                    clock: self.clock.clone(),
                    drain: drain.clone(),
                };
                let (live, directory) = (self.live.clone(), self.directory.clone());
                let run = Sessions::new(live, directory, bucket, channel.clone()).run();
                channels.insert(channel.clone(), task::spawn(format!("push {channel}"), run));
            }
            tokio::select! {
                changed = table.changed() => if changed.is_err() { drain.wait().await },
                () = drain.wait() => {}
            }
            if drain.started() {
                break;
            }
        }
        let until = self.clock.now().mono.plus(self.drain_timeout);
        let all = async {
            for task in channels.values_mut() {
                let _ = task.await;
            }
        };
        tokio::select! {
            () = all => {}
            () = self.clock.sleep_until(until) => {
                tracing::warn!("not everything was pushed in time");
            }
        }
        channels.values().for_each(JoinHandle::abort);
    }
}

/// The sessions of one channel.
struct Sessions<L> {
    live: L,
    directory: Directory,
    bucket: Bucket,
    channel: Channel,
    /// Those that are pushed, oldest first, each with what ends it.
    pushed: VecDeque<(Number, Drain)>,
}

impl<L: Live> Sessions<L> {
    fn new(live: L, directory: Directory, bucket: Bucket, channel: Channel) -> Sessions<L> {
        Sessions { live, directory, bucket, channel, pushed: VecDeque::new() }
    }

    async fn run(mut self) {
        let mut table = self.directory.table();
        let mut running = FuturesUnordered::new();
        // What another process, or this one before it was started again, has left unfinished.
        let begun = match index::last(&self.bucket, &self.channel).await {
            Ok(begun) => begun,
            Err(e) => return self.end(None, &Err(e)),
        };
        let mut newest = None;
        loop {
            let known = table.borrow_and_update().sessions.get(&self.channel).cloned();
            if let Some(live) = known.filter(|live| newest.is_none_or(|n| live.session > n)) {
                let first = newest.replace(live.session).is_none();
                let before = begun.filter(|before| first && *before < live.session);
                running.extend(before.map(|before| self.job(before, true)));
                running.push(self.job(live.session, first && live.over));
            }
            tokio::select! {
                changed = table.changed() => if changed.is_err() { self.bucket.drain.wait().await },
                Some((number, end)) = running.next() => self.end(Some(number), &end),
                () = self.bucket.drain.wait() => {}
            }
            if self.bucket.drain.started() {
                break;
            }
        }
        while let Some((number, end)) = running.next().await {
            self.end(Some(number), &end);
        }
    }

    /// Pushes a session.
    fn job(
        &mut self,
        number: Number,
        known_only: bool,
    ) -> impl Future<Output = (Number, Result<(), PushError>)> + use<L> {
        let drain = self.bucket.drain.child();
        self.pushed.push_back((number, drain.clone()));
        if self.pushed.len() > SESSIONS
            && let Some((oldest, drain)) = self.pushed.pop_front()
        {
            let channel = &self.channel;
            tracing::error!(%channel, session = %oldest,
                "the end of it was not pushed: too many came after it");
            self.bucket.metrics.given_up.inc();
            drain.start();
        }
        let job = Job {
            live: self.live.clone(),
            directory: self.directory.clone(),
            bucket: Bucket { drain, ..self.bucket.clone() },
            channel: self.channel.clone(),
            number,
            known_only,
        };
        async move { (number, job.run().await) }
    }

    fn end(&mut self, number: Option<Number>, end: &Result<(), PushError>) {
        self.pushed.retain(|(pushed, _)| Some(*pushed) != number);
        match end {
            Ok(()) | Err(PushError::Stopped) => {}
            Err(e) => {
                let session = number.map_or("-".to_owned(), |number| number.to_string());
                tracing::error!(channel = %self.channel, session, "it is pushed no further: {e}");
                self.bucket.metrics.given_up.inc();
            }
        }
    }
}
