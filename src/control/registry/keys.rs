//! Stream keys: whose is it, and may it be used?
//!
//! A stored key is its SHA-256, no salt and no slow hash: 160 random bits can't be guessed, by
//! dictionary or by trying, and the same hash finds it by index.

use super::Registry;
use super::db::{Fault, Tx, int, json, lock, text, to_json};
use super::rows;
use crate::api::cluster::{Key, MadeKey, NewKey};
use crate::api::types::{Admission, PublishRequest, Refusal};
use crate::base::ids::Channel;
use crate::base::time::Wall;
use crate::rt::secret;
use ring::digest::{SHA256, digest};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Characters of a made key, 5 bits each: 160 bits.
const LENGTH: usize = 32;

/// Characters of a key's id behind its `k`: shorter than any key of a manifest, and never one.
const ID_LENGTH: usize = 6;

/// Most keys of one channel that are not revoked: what a person can tell apart. Revoked ones are
/// kept, to say so to who still has one.
pub const KEYS_MAX: usize = 64;

/// Longest note of a key, in characters: a line.
pub const NOTE_MAX: usize = 200;

fn hash(key: &str) -> String {
    let mut out = String::with_capacity(64);
    for byte in digest(&SHA256, key.as_bytes()).as_ref() {
        // Writing to a string can't fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// May a publish begin with this key now?
///
/// # Errors
/// `KeyRevoked`, `KeyNotYet`, `KeyExpired`.
pub(super) fn usable(key: &Key, now: Wall) -> Result<(), Refusal> {
    match (key.terms.not_before, key.terms.expires) {
        _ if key.revoked => Err(Refusal::KeyRevoked),
        (Some(from), _) if now < from => Err(Refusal::KeyNotYet(from.to_string())),
        (_, Some(until)) if now >= until => Err(Refusal::KeyExpired(until.to_string())),
        _ => Ok(()),
    }
}

/// A row of channel, id, terms, created, revoked.
fn read(r: &AnyRow) -> Result<(Channel, Key), Fault> {
    let terms = json(&text(r, 2)?)?;
    let (created, revoked) = (Wall(int(r, 3)?), int(r, 4)? != 0);
    Ok((rows::channel(&text(r, 0)?)?, Key { id: text(r, 1)?, terms, created, revoked }))
}

/// A channel's stored key by its id.
pub(super) async fn stored(
    db: &mut AnyConnection,
    channel: &Channel,
    id: &str,
) -> Result<Option<Key>, Fault> {
    let sql = "SELECT channel, id, terms, created, revoked FROM stream_key \
               WHERE channel = $1 AND id = $2";
    let row = sqlx::query(sql).bind(channel.as_str()).bind(id).fetch_optional(db).await?;
    Ok(row.map(|r| read(&r)).transpose()?.map(|(_, key)| key))
}

impl Registry {
    /// Whose key is this? The manifest's keys first: they need no database.
    ///
    /// # Errors
    /// `UnknownKey`, `KeyRevoked`, `KeyNotYet`, `KeyExpired`, `NoChannel`, `Unavailable`.
    pub async fn admit(&self, request: &PublishRequest, now: Wall) -> Result<Admission, Refusal> {
        if let Some(channel) = self.keys.get(&request.key) {
            let settings = self.configured.get(channel).ok_or(Refusal::NoChannel)?.clone();
            return Ok(Admission { settings, key: request.key.clone() });
        }
        let call = async {
            let mut tx = self.db.read().await?;
            let sql = "SELECT channel, id, terms, created, revoked FROM stream_key WHERE hash = $1";
            let query = sqlx::query(sql).bind(hash(&request.key));
            let row = query.fetch_optional(&mut *tx).await?.ok_or(Refusal::UnknownKey)?;
            let (channel, key) = read(&row)?;
            usable(&key, self.db.now(&mut tx, Some(now)).await?)?;
            let settings = self.settings(&mut tx, &channel).await?.ok_or(Refusal::NoChannel)?;
            Ok(Admission { settings, key: key.id })
        };
        self.db.answer(call).await
    }

    /// The stored keys of one channel, or of all (the empty name), oldest first.
    pub(super) async fn stored_keys(
        &self,
        tx: &mut Tx,
        channel: &str,
    ) -> Result<BTreeMap<Channel, Vec<Key>>, Fault> {
        let sql = "SELECT channel, id, terms, created, revoked FROM stream_key \
                   WHERE $1 = '' OR channel = $1 ORDER BY created, id";
        let rows = sqlx::query(sql).bind(channel).fetch_all(&mut **tx).await?;
        let mut out: BTreeMap<Channel, Vec<Key>> = BTreeMap::new();
        for row in &rows {
            let (channel, key) = read(row)?;
            out.entry(channel).or_default().push(key);
        }
        Ok(out)
    }

    /// Makes a key for a channel, the manifest's too. The key itself is told now and never again.
    ///
    /// # Errors
    /// `NoChannel`; `Invalid` terms; `Conflict` when there are [`KEYS_MAX`]; `Unavailable`.
    pub async fn add_key(
        &self,
        channel: &Channel,
        terms: NewKey,
        now: Wall,
    ) -> Result<MadeKey, Refusal> {
        let noted = terms.note.chars().count();
        if noted > NOTE_MAX {
            let why =
                format!("a key's note has at most {NOTE_MAX} characters; this one has {noted}");
            return Err(Refusal::Invalid(why));
        }
        if let (Some(from), Some(until)) = (terms.not_before, terms.expires)
            && until <= from
        {
            let why = format!("the key would expire at {until}, before it may be used at {from}");
            return Err(Refusal::Invalid(why));
        }
        let cannot = |e| Refusal::Unavailable(format!("no randomness for a key: {e}"));
        let key = secret::text(LENGTH).map_err(cannot)?;
        let id = format!("k{}", secret::text(ID_LENGTH).map_err(cannot)?);
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            self.settings(&mut tx, channel).await?.ok_or(Refusal::NoChannel)?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let keys = self.stored_keys(&mut tx, channel.as_str()).await?;
            let live = keys.values().flatten().filter(|k| !k.revoked).count();
            if live >= KEYS_MAX {
                let why = format!("{channel} has {KEYS_MAX} keys: revoke one that is not used");
                return Err(Refusal::Conflict(why).into());
            }
            let stored = sqlx::query(
                "INSERT INTO stream_key (channel, id, hash, terms, created, revoked) \
                 VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING",
            )
            .bind(channel.as_str())
            .bind(id.as_str())
            .bind(hash(&key))
            .bind(to_json(&terms)?)
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
            if stored.rows_affected() == 0 {
                return Err(Refusal::Conflict(format!("there is a key {id}: try again")).into());
            }
            tx.commit().await?;
            Ok(MadeKey { id, key })
        };
        self.db.answer(call).await
    }

    /// Revokes a stored key, for ever: no publish begins with it, and one that runs ends with its
    /// next report. Revoking twice is as once.
    ///
    /// # Errors
    /// `UnknownKey`, `Unavailable`.
    pub async fn revoke_key(&self, channel: &Channel, id: &str) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let sql = "UPDATE stream_key SET revoked = 1 WHERE channel = $1 AND id = $2";
            let query = sqlx::query(sql).bind(channel.as_str()).bind(id);
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(Refusal::UnknownKey.into());
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }
}
