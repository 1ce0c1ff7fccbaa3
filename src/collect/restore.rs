//! What an archive's logs tell of generations: enough for a registry that has lost its database to
//! show their sessions again and to go on with higher numbers.

use crate::api::cluster::{LogName, LostGeneration, RESTORED_MAX, Restored};
use crate::api::convert::{self, Begun};
use crate::api::peers::Peers;
use crate::api::types::{End, Refusal, SessionRecord};
use crate::base::time::Wall;
use crate::catalog::key::{Key, Part};
use crate::catalog::rebuild::{Catalog, Stored};
use crate::log::format::footer::Footer;
use crate::log::id::LogId;
use std::collections::BTreeMap;

/// The request that tells.
const PATH: &str = "/v1/restored";

/// What one extent, or all that were seen of a log, says of its generation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    begun: Option<Begun>,
    record: Option<SessionRecord>,
    ended: Option<End>,
}

/// What was learned of the generations in a bucket.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    told: BTreeMap<LogId, Told>,
}

impl Told {
    /// What an extent's marks say.
    pub fn of(footer: &Footer) -> Told {
        let mut told = Told::default();
        for mark in footer.marks().map(|m| m.mark) {
            told.begun = told.begun.or_else(|| convert::begun(&mark));
            told.record = told.record.or_else(|| convert::constants(&mark));
            told.ended = convert::ended(&mark).or(told.ended);
        }
        told
    }
}

impl Lost {
    /// Takes in what an extent says. Rungs are told of by who makes them.
    pub fn learn(&mut self, key: &Key, told: Told) {
        if key.log.rung.is_some() || !matches!(key.part, Part::Extent(_)) {
            return;
        }
        let known = self.told.entry(key.log.clone()).or_default();
        known.begun = known.begun.take().or(told.begun);
        known.record = known.record.take().or(told.record);
        known.ended = told.ended.or(known.ended.take());
    }

    /// The generations whose beginning is in the bucket, in the order of their numbers.
    pub fn generations(&self, catalog: &Catalog) -> Vec<LostGeneration> {
        let ends = self.told.iter().filter_map(|(id, told)| {
            let (generation, end) = told.begun.as_ref()?.before.clone()?;
            Some(((id.channel.clone(), generation), end))
        });
        let ends: BTreeMap<_, End> = ends.collect();
        let lost = self.told.iter().filter_map(|(id, told)| {
            let begun = told.begun.as_ref()?;
            let stored = catalog.logs.get(id)?;
            let (channel, session, generation) = (id.channel.clone(), id.session, id.generation);
            let decided = ends.get(&(channel.clone(), generation)).cloned();
            let end = decided.or_else(|| told.ended.clone());
            let end = end.unwrap_or_else(|| presumed(begun, stored));
            let began = stored.wall().map_or(Wall(end.wall), |(from, _)| from);
            let log = LogName { channel, session, generation };
            let (base, dseq, record) = (begun.base, begun.dseq, told.record.clone());
            Some(LostGeneration { log, base, dseq, began, record, end })
        });
        lost.collect()
    }
}

/// The end of a log that is not known to have one: what is in the bucket.
fn presumed(begun: &Begun, stored: &Stored) -> End {
    let (base, dseq) = (begun.base.0, begun.dseq);
    let msn = stored.msn().map_or(base.saturating_sub(1), |(_, last)| last.0);
    let wall = stored.wall().map_or(0, |(_, until)| until.0);
    End { msn, dseq, wall, tracks: Vec::new(), session_over: false }
}

/// Tells the API servers; how many generations they had lost.
///
/// # Errors
/// No API server takes it.
pub async fn restore(peers: &Peers, lost: &[LostGeneration]) -> Result<u64, Refusal> {
    let mut count = 0;
    for some in lost.chunks(RESTORED_MAX) {
        let told = Restored { generations: some.to_vec() };
        count += peers.post::<u64>(PATH, &told).await?;
    }
    Ok(count)
}
