//! A transcoder without a cluster: the sessions of an upstream are brought to the registry of this
//! process, which gives their rungs to this node (`api::client`, `Call::Mirror`).

use crate::api::client::Client;
use crate::api::convert::record_to_api;
use crate::api::directory::Directory;
use crate::api::types::{LiveSession, Refusal, SessionRecord};
use crate::base::ids::{Channel, Generation, Session, TrackId};
use crate::base::time::micros;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::id::LogId;
use crate::log::source::Source;
use crate::log::subscription::From;
use crate::media::timeline::mark::Mark;
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;

/// Pause before a log is read again that could not be read, and before the registry is asked again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a mirror works with. Cheap to clone.
#[derive(Clone)]
pub struct Mirror {
    /// What the upstream shows.
    pub upstream: Directory,
    /// Where its logs are read.
    pub sources: Source,
    /// The registry of this process.
    pub client: Client,
    /// The clock.
    pub clock: Clock,
    /// What the rungs may add to the latency of sessions.
    pub budget: Duration,
}

/// A session's constants as its source's log has them, without rungs that others make.
fn of_source(mut record: SessionRecord, budget: Duration) -> SessionRecord {
    record.renditions.retain(|r| r.track < TrackId::RUNGS.0);
    record.renditions.iter_mut().for_each(|r| r.offered = true);
    record.latency_budget = record.latency_budget.max(micros(budget));
    record
}

impl Mirror {
    /// Tells the registry whatever the upstream shows, for ever.
    pub async fn run(self) {
        let mut table = self.upstream.table();
        let mut told: BTreeMap<Channel, LiveSession> = BTreeMap::new();
        let mut opened: BTreeMap<Channel, Session> = BTreeMap::new();
        let mut opening = JoinSet::new();
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            let shown = table.borrow_and_update().clone();
            let mut refused = false;
            for (channel, live) in &shown.sessions {
                if told.get(channel) == Some(live) {
                    continue;
                }
                if let Err(e) = self.client.mirror(channel, live.clone()).await {
                    tracing::warn!(%channel, "its session was not taken up, trying again: {e}");
                    refused = true;
                    continue;
                }
                told.insert(channel.clone(), live.clone());
                let new = opened.get(channel) != Some(&live.session);
                if live.open && !live.over && new {
                    opened.insert(channel.clone(), live.session);
                    opening.spawn(self.clone().open(channel.clone(), live.session));
                }
            }
            let again = async {
                match refused {
                    true => self.pause(&mut backoff).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = table.changed() => if changed.is_err() { return },
                () = again => {}
                Some(_) = opening.join_next() => {}
            }
        }
    }

    async fn pause(&self, backoff: &mut Backoff) {
        let until = self.clock.now().mono.plus(backoff.pause());
        self.clock.sleep_until(until).await;
    }

    /// The newest generations of a session, while it is the channel's newest and goes on.
    fn generations(&self, channel: &Channel, session: Session) -> Vec<Generation> {
        let table = self.upstream.table();
        let table = table.borrow();
        let live = table.sessions.get(channel).filter(|l| l.session == session && !l.over);
        live.iter().flat_map(|l| &l.generations).map(|(g, _)| *g).collect()
    }

    /// Sets a session's constants here: its source's, and the rungs that this node has room for.
    async fn open(self, channel: Channel, session: Session) {
        let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
        loop {
            let generations = self.generations(&channel, session);
            let Some(newest) = generations.last() else { return };
            match self.record(&channel, session, &generations).await {
                Ok(Some(record)) => {
                    let record = of_source(record, self.budget);
                    match self.client.open(&channel, *newest, record).await {
                        Ok(_) => return,
                        // Others have gone on meanwhile, or the database does not answer.
                        Err(e @ (Refusal::Fenced(_) | Refusal::Unavailable(_))) => {
                            tracing::debug!(%channel, "{e}");
                        }
                        Err(e) => return tracing::error!(%channel, "no rungs are made: {e}"),
                    }
                }
                Ok(None) => {}
                Err(e) => tracing::debug!(%channel, "the source can't be read yet: {e}"),
            }
            self.pause(&mut backoff).await;
        }
    }

    /// The constants, as the first log says that has them.
    async fn record(
        &self,
        channel: &Channel,
        session: Session,
        generations: &[Generation],
    ) -> Result<Option<SessionRecord>, LogError> {
        for generation in generations {
            let id = LogId::source(channel.clone(), session, *generation);
            let mut log = self.sources.subscribe(&id, From::Start).await?;
            while let Some(batch) = log.next().await? {
                for entry in batch.records() {
                    if let Record::Mark(Mark::Session(record)) = &entry.record {
                        return Ok(Some(record_to_api(record)));
                    }
                }
                if log.caught_up() {
                    break;
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Rendition;

    #[test]
    fn rungs_that_others_make_are_not_the_sources() {
        let rendition = |track, offered| Rendition {
            name: format!("r{track}"),
            track,
            video: true,
            codecs: "avc1.640028".into(),
            bandwidth: 1,
            resolution: None,
            frame_rate_millis: None,
            range: 0,
            channels: None,
            offered,
        };
        let rungs = TrackId::RUNGS.0;
        let record = SessionRecord {
            target_duration: 2,
            segment: 2_000_000,
            part_target: 200_000,
            latency_budget: 300_000,
            render: 1,
            renditions: vec![rendition(1, false), rendition(2, true), rendition(rungs, true)],
        };
        let source = of_source(record.clone(), Duration::from_millis(200));
        assert_eq!(source.renditions, [rendition(1, true), rendition(2, true)]);
        assert_eq!(source.latency_budget, 300_000);
        assert_eq!(of_source(record, Duration::from_millis(500)).latency_budget, 500_000);
    }
}
