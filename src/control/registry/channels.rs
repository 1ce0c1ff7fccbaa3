//! Channels: those of the manifest, and those that are stored.

use super::Registry;
use super::db::{Fault, Tx, json, lock, text, to_json};
use super::nodes::state_of;
use super::rows;
use crate::api::cluster::ChannelState;
use crate::api::types::{ChannelSettings, Refusal};
use crate::base::ids::Channel;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Registry {
    /// A channel's settings; the manifest's word before the database's.
    pub(super) async fn settings(
        &self,
        tx: &mut Tx,
        channel: &Channel,
    ) -> Result<Option<Arc<ChannelSettings>>, Fault> {
        if let Some(settings) = self.configured.get(channel) {
            return Ok(Some(settings.clone()));
        }
        if let Some(all) = &self.mirrors {
            return Ok(Some(Arc::new(ChannelSettings { name: channel.clone(), ..all.clone() })));
        }
        let sql = "SELECT settings FROM channel WHERE name = $1";
        let row = sqlx::query(sql).bind(channel.as_str()).fetch_optional(&mut **tx).await?;
        row.map(|r| Ok(Arc::new(json(&text(&r, 0)?)?))).transpose()
    }

    /// The settings of every stored channel.
    pub(super) async fn stored_settings(
        &self,
        tx: &mut Tx,
    ) -> Result<BTreeMap<Channel, Arc<ChannelSettings>>, Fault> {
        let rows = sqlx::query("SELECT name, settings FROM channel").fetch_all(&mut **tx).await?;
        let read = |r| Ok((rows::channel(&text(r, 0)?)?, Arc::new(json(&text(r, 1)?)?)));
        rows.iter().map(read).collect()
    }

    /// Stores a channel.
    ///
    /// # Errors
    /// `Conflict` if there is one of its name; `Unavailable`.
    pub async fn create_channel(&self, settings: ChannelSettings) -> Result<(), Refusal> {
        let call = async {
            let (mut tx, name) = (self.db.write().await?, &settings.name);
            lock(&mut tx, name.as_str(), 1).await?;
            if self.settings(&mut tx, name).await?.is_some() {
                return Err(Refusal::Conflict(format!("there is a channel {name}")).into());
            }
            let sql = "INSERT INTO channel (name, settings) VALUES ($1, $2)";
            let query = sqlx::query(sql).bind(name.as_str()).bind(to_json(&settings)?);
            query.execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// Deletes a stored channel and its keys. Its sessions and numbers are kept: a channel of the
    /// same name goes on from them.
    ///
    /// # Errors
    /// `NoChannel`; `Conflict` for one of the manifest, or whose session is not over;
    /// `Unavailable`.
    pub async fn delete_channel(&self, channel: &Channel) -> Result<(), Refusal> {
        if self.configured.contains_key(channel) {
            let why = format!("{channel} is in the manifest: take it out there");
            return Err(Refusal::Conflict(why));
        }
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 1).await?;
            if self.settings(&mut tx, channel).await?.is_none() {
                return Err(Refusal::NoChannel.into());
            }
            let session = rows::newest_session(&mut tx, channel).await?;
            if let Some((session, false, _)) = session {
                let why = format!("session {session} of {channel} is not over");
                return Err(Refusal::Conflict(why).into());
            }
            for sql in
                ["DELETE FROM stream_key WHERE channel = $1", "DELETE FROM channel WHERE name = $1"]
            {
                sqlx::query(sql).bind(channel.as_str()).execute(&mut *tx).await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// Every channel, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn channels(&self) -> Result<Vec<ChannelState>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let mut all = self.stored_settings(&mut tx).await?;
            all.extend(self.configured.iter().map(|(c, s)| (c.clone(), s.clone())));
            let mut keys = self.stored_keys(&mut tx, "").await?;
            let newest = rows::every_newest(&mut tx).await?;
            let mut sessions: BTreeMap<_, _> =
                newest.iter().map(|n| (n.channel.clone(), state_of(n))).collect();
            let state = |(channel, settings)| ChannelState {
                settings,
                keys: keys.remove(&channel).unwrap_or_default(),
                configured: self.configured.contains_key(&channel),
                session: sessions.remove(&channel),
            };
            Ok(all.into_iter().map(state).collect())
        };
        self.db.answer(call).await
    }

    /// One channel.
    ///
    /// # Errors
    /// `NoChannel`, `Unavailable`.
    pub async fn channel(&self, channel: &Channel) -> Result<ChannelState, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let settings = self.settings(&mut tx, channel).await?.ok_or(Refusal::NoChannel)?;
            let mut keys = self.stored_keys(&mut tx, channel.as_str()).await?;
            let session = rows::newest(&mut tx, channel).await?;
            Ok(ChannelState {
                settings,
                keys: keys.remove(channel).unwrap_or_default(),
                configured: self.configured.contains_key(channel),
                session: session.as_ref().map(state_of),
            })
        };
        self.db.answer(call).await
    }
}
