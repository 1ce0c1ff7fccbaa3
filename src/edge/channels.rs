//! Which session a viewer means, and its feed: started by the first request, ended by itself.

use crate::api::types::{Refusal, SessionSpan};
use crate::base::ids::{Channel, Session as Number};
use crate::base::time::{Mono, Wall};
use crate::edge::feed;
use crate::edge::mended::{as_far, mended};
use crate::edge::metrics::Edge;
use crate::edge::session::Session;
use crate::edge::sources::Sources;
use crate::rt::task;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long what is known of a channel's sessions counts: as long as a cache keeps where a moment
/// leads to.
const FRESH: Duration = Duration::from_secs(1);

/// Channels whose sessions are remembered; then they are forgotten, and asked for again.
const SPANS: usize = 1_000;

type Spans = Arc<[SessionSpan]>;

/// What is known of a channel's sessions since a moment; whoever asks meanwhile waits for the same
/// answer.
#[derive(Debug, Clone)]
struct Told {
    at: Mono,
    all: Arc<OnceCell<Spans>>,
    /// What was known before.
    before: Option<Spans>,
}

type Watched = HashMap<(Channel, Number), Arc<Session>>;

/// The watched sessions of this edge. Cheap to clone.
#[derive(Clone)]
pub struct Channels {
    sources: Sources,
    watched: Arc<Mutex<Watched>>,
    told: Arc<Mutex<HashMap<Channel, Told>>>,
    metrics: Edge,
}

/// What a channel's name stands for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Current {
    /// No session, or its last one is over.
    None,
    /// A session that waits for its first media.
    Starting(Number),
    /// A session with media.
    Open(Number),
}

impl Channels {
    /// Nothing is watched yet.
    pub fn new(sources: Sources, metrics: Edge) -> Channels {
        Channels { sources, watched: Arc::default(), told: Arc::default(), metrics }
    }

    /// What feeds read from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What the channel's name stands for now.
    pub fn current(&self, channel: &Channel) -> Current {
        let table = self.sources.directory.table();
        let table = table.borrow();
        match table.sessions.get(channel) {
            Some(live) if live.over => Current::None,
            Some(live) if live.open => Current::Open(live.session),
            Some(live) => Current::Starting(live.session),
            None => Current::None,
        }
    }

    /// How many sessions are watched, and how far behind `now` the end of what is listed of one is,
    /// in microseconds, where that is furthest of those on air.
    pub fn figures(&self, now: Wall) -> (usize, Option<i64>) {
        let all: Vec<Arc<Session>> = self.watched(|w| w.values().cloned().collect());
        let of = |session: &Arc<Session>| {
            let opened = session.opened().borrow().clone()?;
            let live = opened.renditions.iter().filter(|r| !r.read().window.is_over());
            let ends = live.filter_map(|r| r.read().window.end_wall());
            ends.min().map(|end| now.since(end))
        };
        (all.len(), all.iter().filter_map(of).max())
    }

    fn watched<R>(&self, f: impl FnOnce(&mut Watched) -> R) -> R {
        f(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A session's shared state; its feed runs from now on. `None` when the channel never had it.
    pub async fn session(
        &self,
        channel: &Channel,
        number: Number,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        let now = self.sources.clock.now().mono;
        let key = (channel.clone(), number);
        if let Some(session) = self.watched(|w| w.get(&key).cloned()) {
            session.touch(now);
            return Ok(Some(session));
        }
        // Only sessions that exist get a feed: a stranger's numbers cost a look-up and nothing that
        // stays.
        if self.sources.directory.find(channel, number).await?.is_none() {
            return Ok(None);
        }
        let (session, new) = self.watched(|w| {
            if let Some(session) = w.get(&key) {
                return (session.clone(), false);
            }
            let session = Arc::new(Session::new(channel.clone(), number, now));
            w.insert(key.clone(), session.clone());
            (session, true)
        });
        session.touch(now);
        if new {
            self.start(session.clone(), key);
        }
        Ok(Some(session))
    }

    /// Does this session's feed run?
    pub(super) fn feeds(&self, session: &Arc<Session>) -> bool {
        let key = (session.channel.clone(), session.number);
        self.watched(|w| w.get(&key).is_some_and(|s| Arc::ptr_eq(s, session)))
    }

    /// All sessions of a channel, oldest first. Where they can't be asked for, those that were told
    /// last.
    pub async fn sessions(&self, channel: &Channel) -> Result<Spans, Refusal> {
        let Told { all, before, .. } = self.told(channel);
        let ask = async || self.sources.directory.sessions(channel).await.map(Spans::from);
        match (all.get_or_try_init(ask).await, before) {
            (Ok(all), _) => Ok(all.clone()),
            (Err(_), Some(before)) => Ok(before),
            (Err(e), None) => Err(e),
        }
    }

    /// What is known of a channel's sessions, if that is still fresh, or is to be asked for now.
    fn told(&self, channel: &Channel) -> Told {
        let now = self.sources.clock.now().mono;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.get(channel).cloned();
        if let Some(known) = known.as_ref().filter(|k| now.since(k.at) < FRESH) {
            return known.clone();
        }
        let before = known.and_then(|known| known.all.get().cloned().or(known.before));
        let new = Told { at: now, all: Arc::default(), before };
        if told.len() >= SPANS {
            told.clear();
        }
        told.insert(channel.clone(), new.clone());
        new
    }

    fn start(&self, session: Arc<Session>, key: (Channel, Number)) {
        let (channels, feeds) = (self.clone(), self.metrics.feeds.clone());
        task::spawn(format!("feed {} s{}", key.0, key.1), async move {
            feeds.inc();
            // Removed also when the feed panics: the next request starts a new one.
            let _entry = Entry {
                channels: channels.clone(),
                key: key.clone(),
                session: Arc::clone(&session),
            };
            let mut run = pin!(feed::run(session.clone(), channels.sources.clone()));
            tokio::select! {
                () = &mut run => {}
                // Who waits for something of this one still gets it: nobody asks it anew, and it
                // ends for that.
                () = channels.renewed(&session, &key) => run.await,
            }
            feeds.dec();
        });
    }

    /// Resolves when the session is read anew, and the other one has taken its place.
    async fn renewed(&self, session: &Arc<Session>, key: &(Channel, Number)) {
        let Sources { logs, clock, .. } = &self.sources;
        mended(session, logs, clock).await;
        let next = Arc::new(Session::new(key.0.clone(), key.1, clock.now().mono));
        self.start(Arc::clone(&next), key.clone());
        as_far(session, &next, clock).await;
        self.watched(|w| w.insert(key.clone(), next));
    }
}

/// A feed's place in the table, for as long as it runs.
struct Entry {
    channels: Channels,
    key: (Channel, Number),
    session: Arc<Session>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.channels.watched(|w| {
            if w.get(&self.key).is_some_and(|s| Arc::ptr_eq(s, &self.session)) {
                w.remove(&self.key);
            }
        });
    }
}
