//! What a registry that was lost is told again of generations, from their logs in a bucket: their
//! numbers, how they ended, their sessions' constants. Channels and keys are in no bucket.
//!
//! Invariant: a channel that somebody has written to since is left as it is; what is granted in one
//! that was restored lies above everything that was.

use super::Registry;
use super::db::{Fault, Tx, lock, to_json};
use super::numbers::{LastGeneration, Line};
use super::rows::{self, signed};
use crate::api::cluster::{LostGeneration, RESTORED_MAX, Restored};
use crate::api::types::Refusal;
use crate::base::ids::{Channel, Msn};
use std::collections::BTreeMap;

/// Who wrote a log is not in it: no node has this name.
const UNKNOWN: &str = "(unknown)";

impl Registry {
    /// Takes up generations that it does not know, in channels to which nobody has written since it
    /// began; how many those are. All of their sessions are over. Told again it changes nothing.
    ///
    /// # Errors
    /// `Invalid` of more than [`RESTORED_MAX`]; `Unavailable`.
    pub async fn restore(&self, told: &Restored) -> Result<u64, Refusal> {
        if told.generations.len() > RESTORED_MAX {
            return Err(Refusal::Invalid(format!("more than {RESTORED_MAX} generations at once")));
        }
        let call = async {
            let mut of: BTreeMap<&Channel, Vec<&LostGeneration>> = BTreeMap::new();
            for lost in &told.generations {
                of.entry(&lost.log.channel).or_default().push(lost);
            }
            let (mut tx, mut count) = (self.db.write().await?, 0);
            for (channel, mut lost) in of {
                lost.sort_by_key(|l| l.log.generation);
                lock(&mut tx, channel.as_str(), 1).await?;
                count += take_up(&mut tx, channel, &lost).await?;
            }
            tx.commit().await?;
            Ok(count)
        };
        self.db.answer(call).await
    }
}

async fn take_up(tx: &mut Tx, channel: &Channel, lost: &[&LostGeneration]) -> Result<u64, Fault> {
    let newest = rows::last_generation(tx, channel).await?;
    if newest.as_ref().is_some_and(|newest| &*newest.node != UNKNOWN) {
        return Ok(0);
    }
    let mut count = 0;
    for lost in lost {
        if is_known(tx, channel, lost).await? {
            continue;
        }
        let generation = LastGeneration {
            generation: lost.log.generation,
            session: lost.log.session,
            node: UNKNOWN.into(),
            key: String::new(),
            base: lost.base,
            dseq: lost.dseq,
            granted: lost.began,
            report: None,
            line: Line { msn: lost.base.max(Msn(lost.end.msn)), at: lost.began },
            end: None,
        };
        rows::store_generation(tx, channel, &generation).await?;
        rows::store_end(tx, channel, generation.generation, &lost.end).await?;
        sqlx::query(
            "UPDATE session SET over = 1, record = COALESCE(record, CAST($3 AS TEXT)) \
             WHERE channel = $1 AND session = $2",
        )
        .bind(channel.as_str())
        .bind(signed(generation.session.0))
        .bind(lost.record.as_ref().map(to_json).transpose()?)
        .execute(&mut **tx)
        .await?;
        count += 1;
    }
    // One that was known already may be newer than those that came now.
    if let Some(newest) = rows::last_generation(tx, channel).await? {
        sqlx::query("UPDATE channel_state SET session = $2, generation = $3 WHERE channel = $1")
            .bind(channel.as_str())
            .bind(signed(newest.session.0))
            .bind(signed(newest.generation.0))
            .execute(&mut **tx)
            .await?;
    }
    Ok(count)
}

async fn is_known(tx: &mut Tx, channel: &Channel, lost: &LostGeneration) -> Result<bool, Fault> {
    let sql = "SELECT generation FROM generation WHERE channel = $1 AND generation = $2";
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(lost.log.generation.0));
    Ok(query.fetch_optional(&mut **tx).await?.is_some())
}
