//! The registry: sessions, generations and ends of every channel, channels and stream keys, nodes
//! and their leases, in one SQLite file or in PostgreSQL.
//!
//! Sessions join publishes; generations fence writers; ends are decided once. What a writer may do
//! is decided in `numbers`, who is alive in `leases` (both pure); the other files read and store,
//! one transaction a call, by subject. Several replicas share one PostgreSQL: a channel's decisions
//! are made under the lock of its row.
//!
//! Invariant: MSNs and discontinuity sequence numbers of a channel never repeat, whatever order
//! calls come in; a decided end never changes.

mod archived;
mod channels;
mod db;
mod job_rows;
mod jobs;
pub mod keys;
mod leases;
mod mirror;
pub mod nodes;
mod numbers;
mod placing;
mod restored;
mod rows;
mod schema;
mod sessions;

use crate::api::jobs::Transcoder;
use crate::api::types::{ChannelSettings, NodeName};
use crate::base::ids::{Channel, Generation, Session};
use crate::base::time::Wall;
use crate::control::plan::cost::table::Table;
use crate::control::plan::tiers::FANOUT;
use db::Db;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Where the registry keeps what it knows.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// One SQLite file, of one process.
    File(PathBuf),
    /// PostgreSQL, `postgres://…`; any number of replicas.
    Url(String),
}

/// Without the user and the password that a URL may have.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::File(path) => path.display().fmt(f),
            Database::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let rest = rest.split('?').next().unwrap_or_default();
                write!(f, "{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A registry could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the registry {at} can't be opened: {source}")]
pub struct OpenError {
    at: Database,
    source: sqlx::Error,
}

/// A configured channel and the stream keys that may publish to it.
#[derive(Debug, Clone)]
pub struct ChannelEntry {
    /// Settings of the channel's next session.
    pub settings: Arc<ChannelSettings>,
    /// Stream keys.
    pub keys: Vec<String>,
}

/// Who writes a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Its generation.
    pub generation: Generation,
    /// Of that session.
    pub session: Session,
    /// The node that it was granted to.
    pub node: NodeName,
    /// Where that node is reached, if it said so.
    pub url: Option<String>,
    /// Its lease has not run out.
    pub alive: bool,
}

/// The open registry, for any number of callers at a time. `now` is the caller's clock, which
/// counts for a file; with PostgreSQL, the database's does.
#[derive(Debug)]
pub struct Registry {
    db: Db,
    configured: HashMap<Channel, Arc<ChannelSettings>>,
    keys: HashMap<String, Channel>,
    fanout: usize,
    /// What transcoding costs.
    machine: Table,
    /// The transcoder of this process, which has no lease.
    own_transcoder: Option<Transcoder>,
    /// When all jobs were last planned, in microseconds since the epoch.
    planned: AtomicI64,
    /// What every channel's settings are but for its name, where channels are another registry's.
    mirrors: Option<ChannelSettings>,
}

impl Registry {
    /// Opens or creates the database and brings its schema up to date. `channels` are those of the
    /// manifest. A PostgreSQL that is not there (yet) is no error: calls are `Unavailable` until it
    /// is, and its schema is brought up to date then.
    ///
    /// # Errors
    /// The database refuses, or can't be read or brought up to date.
    pub async fn open(at: &Database, channels: &[ChannelEntry]) -> Result<Registry, OpenError> {
        let db = Db::open(at).await;
        let db = db.map_err(|source| OpenError { at: at.clone(), source })?;
        let by_name = channels.iter().map(|c| (c.settings.name.clone(), c.settings.clone()));
        let by_key = channels
            .iter()
            .flat_map(|c| c.keys.iter().map(|k| (k.clone(), c.settings.name.clone())));
        let (configured, keys) = (by_name.collect(), by_key.collect());
        let machine = Table::usual();
        let (fanout, planned) = (FANOUT, AtomicI64::new(0));
        let (own_transcoder, mirrors) = (None, None);
        Ok(Registry { db, configured, keys, fanout, machine, own_transcoder, planned, mirrors })
    }

    /// With so many children of each node at most, at least one; otherwise [`FANOUT`].
    pub fn fanout(self, fanout: usize) -> Registry {
        Registry { fanout: fanout.max(1), ..self }
    }

    /// With a transcoder of so many millicores in the same process.
    pub fn transcoding(self, name: NodeName, capacity: u32) -> Registry {
        let (draining, lease) = (false, Wall(i64::MAX));
        let node = Transcoder { name, capacity, draining, lease };
        Registry { own_transcoder: Some(node), ..self }
    }

    /// Of transcoders on which transcoding takes so much; otherwise [`Table::usual`].
    pub fn costing(self, machine: Table) -> Registry {
        Registry { machine, ..self }
    }

    /// Of the channels of another registry ([`Registry::mirror`]), whichever those are, all with
    /// these settings.
    pub fn mirroring(self, settings: ChannelSettings) -> Registry {
        Registry { mirrors: Some(settings), ..self }
    }

    /// Closes the database; calls that come later are answered `Unavailable`.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

#[cfg(test)]
mod sim_test;
#[cfg(test)]
mod tests;
