//! One session: all its renditions at once, and the playlists that name them.

use crate::api::directory::Directory;
use crate::base::ids::{Channel, Session as Number};
use crate::base::time::MICROS;
use crate::hls::name::Place;
use crate::push::bucket::Bucket;
use crate::push::error::PushError;
use crate::push::index;
use crate::push::live::{Live, Session};
use crate::push::rendition::{Listed, Pushed};
use crate::telemetry::metrics::{ByChannel, Raised};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pause before a session is followed again that could not be.
const RETRY: Duration = Duration::from_secs(1);

/// How often the figures are brought up to date.
const FIGURES: Duration = Duration::from_secs(1);

/// A session that is to be pushed.
pub(super) struct Job<L> {
    pub(super) live: L,
    pub(super) directory: Directory,
    pub(super) bucket: Bucket,
    pub(super) channel: Channel,
    pub(super) number: Number,
    /// Nothing is pushed of renditions that the bucket has nothing of: the session was over before
    /// anybody was asked to push it.
    pub(super) known_only: bool,
}

impl<L: Live> Job<L> {
    /// Pushes until the session is over and all of it is in the bucket.
    pub(super) async fn run(self) -> Result<(), PushError> {
        let _counted = Raised::new(&self.bucket.metrics.sessions);
        while self.may_have_media().await {
            match self.live.follow(&self.channel, self.number).await {
                Ok(Some(session)) => match self.push(session).await {
                    Err(PushError::Gone) => continue,
                    end => return end,
                },
                Ok(None) => return Ok(()),
                Err(e) => tracing::debug!(channel = %self.channel, session = %self.number, "{e}"),
            }
            let clock = &self.bucket.clock;
            tokio::select! {
                () = clock.sleep_until(clock.now().mono.plus(RETRY)) => {}
                () = self.bucket.drain.wait() => return Err(PushError::Stopped),
            }
        }
        Ok(())
    }

    /// Waits until the session has constants, without which there is nothing to read; `false`: it
    /// ended without.
    async fn may_have_media(&self) -> bool {
        let mut table = self.directory.table();
        loop {
            let live = table.borrow_and_update().sessions.get(&self.channel).cloned();
            match live.filter(|live| live.session == self.number) {
                Some(live) if !live.open && live.over => return false,
                Some(live) if !live.open => tokio::select! {
                    changed = table.changed() => if changed.is_err() { return false },
                    () = self.bucket.drain.wait() => return false,
                },
                // One of the past is asked for by its number.
                _ => break,
            }
        }
        match self.directory.find(&self.channel, self.number).await {
            Ok(found) => found.is_some_and(|live| live.open),
            Err(_) => true,
        }
    }

    async fn push(&self, session: L::Session) -> Result<(), PushError> {
        let record = Arc::clone(session.record());
        let listed = Arc::new(watch::Sender::new(Listed::new()));
        let mut all: FuturesUnordered<_> = record
            .renditions
            .iter()
            .filter(|r| r.offered)
            .map(|r| {
                let (channel, session_number) = (self.channel.clone(), self.number);
                let place = Place { channel, session: session_number, rendition: r.name.clone() };
                let pushed = Pushed {
                    session: session.clone(),
                    record: Arc::clone(&record),
                    bucket: self.bucket.clone(),
                    place,
                    kind: r.kind,
                    listed: Arc::clone(&listed),
                    inits: HashSet::new(),
                };
                pushed.run(self.known_only)
            })
            .collect();
        let renditions = async {
            while let Some(end) = all.next().await {
                end?;
            }
            Ok(())
        };
        let named = Named { of: listed.subscribe(), put: HashSet::new() };
        let end = tokio::select! {
            end = renditions => end,
            () = session.held() => Err(PushError::Gone),
            end = self.name(named, &session) => end,
            () = self.count(&listed) => Ok(()),
        };
        self.bucket.metrics.behind.remove(&ByChannel::new(&self.channel));
        end?;
        // What became known last.
        let all = listed.borrow().clone();
        if index::is_enough(&record, |name| all.contains_key(name)) {
            let of = (&self.channel, self.number);
            index::put(&self.bucket, of, &record, |name| all.contains_key(name)).await?;
        }
        Ok(())
    }

    /// Puts the multivariant playlists when what they name is there, and again when more is; ends
    /// with what keeps it from that.
    async fn name(&self, mut named: Named, session: &L::Session) -> Result<(), PushError> {
        let record = session.record();
        loop {
            let names: HashSet<String> = named.of.borrow_and_update().keys().cloned().collect();
            let enough = index::is_enough(record, |name| names.contains(name));
            if enough && names != named.put {
                let of = (&self.channel, self.number);
                index::put(&self.bucket, of, record, |name| names.contains(name)).await?;
                named.put = names;
            }
            if named.of.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Keeps the figures.
    async fn count(&self, listed: &watch::Sender<Listed>) {
        let clock = &self.bucket.clock;
        let behind = self.bucket.metrics.behind.clone();
        loop {
            let now = clock.now();
            let end = listed.borrow().values().min().copied();
            if let Some(end) = end {
                let seconds = now.wall.since(end) as f64 / MICROS as f64;
                behind.get_or_create(&ByChannel::new(&self.channel)).set(seconds);
            }
            clock.sleep_until(now.mono.plus(FIGURES)).await;
        }
    }
}

/// What the multivariant playlists name.
struct Named {
    of: watch::Receiver<Listed>,
    put: HashSet<String>,
}
