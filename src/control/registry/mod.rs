//! The registry: sessions, generations and ends of every channel, in one SQLite file.
//!
//! Sessions join publishes; generations fence writers; ends are decided once. What a writer may do
//! is decided in
//! `numbers` (pure), read and stored here, one transaction a call.
//!
//! Invariant: MSNs and discontinuity sequence numbers of a channel never repeat, whatever order
//! calls come in; a decided end never changes.

mod numbers;
mod schema;

use crate::api::types::{
    Admission, ChannelSettings, End, Grant, LiveSession, NodeName, PublishRequest, Refusal, Report,
    SessionRecord, Table, Unfinished, Want,
};
use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::{Wall, micros};
use numbers::LastGeneration;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A registry could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the registry {path} can't be opened: {source}")]
pub struct OpenError {
    path: PathBuf,
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

/// The open registry. One owner; calls come in one at a time.
#[derive(Debug)]
pub struct Registry {
    db: SqliteConnection,
    channels: HashMap<Channel, Arc<ChannelSettings>>,
    keys: HashMap<String, Channel>,
}

fn unavailable(e: sqlx::Error) -> Refusal {
    tracing::error!("registry database: {e}");
    Refusal::Unavailable(format!("database: {e}"))
}

/// What is stored as JSON was written by this program; if it is not readable, the database is
/// damaged.
fn json<T: serde::de::DeserializeOwned>(text: Option<String>) -> Result<Option<T>, Refusal> {
    text.map(|t| serde_json::from_str(&t))
        .transpose()
        .map_err(|e| Refusal::Unavailable(format!("a stored record is damaged: {e}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|e| Refusal::Unavailable(format!("encoding: {e}")))
}

impl Registry {
    /// Opens or creates the database file and brings its schema up to date.
    pub async fn open(path: &Path, channels: &[ChannelEntry]) -> Result<Registry, OpenError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let opened = async {
            let mut db = options.connect().await?;
            schema::migrate(&mut db).await?;
            Ok(db)
        };
        let db = opened.await.map_err(|source| OpenError { path: path.to_owned(), source })?;
        let by_name = channels.iter().map(|c| (c.settings.name.clone(), c.settings.clone()));
        let by_key = channels
            .iter()
            .flat_map(|c| c.keys.iter().map(|k| (k.clone(), c.settings.name.clone())));
        Ok(Registry { db, channels: by_name.collect(), keys: by_key.collect() })
    }

    /// Closes the database.
    pub async fn close(self) {
        if let Err(e) = self.db.close().await {
            tracing::warn!("registry database did not close cleanly: {e}");
        }
    }

    /// Whose key is this?
    pub fn admit(&self, request: &PublishRequest) -> Result<Admission, Refusal> {
        let channel = self.keys.get(&request.key).ok_or(Refusal::UnknownKey)?;
        let settings = self.channels.get(channel).ok_or(Refusal::NoChannel)?.clone();
        Ok(Admission { settings, key: request.key.clone() })
    }

    /// A new generation in the channel's open session, or in a new one.
    pub async fn grant(
        &mut self,
        channel: &Channel,
        want: &Want,
        now: Wall,
    ) -> Result<Grant, Refusal> {
        let settings = self.channels.get(channel).ok_or(Refusal::NoChannel)?.clone();
        let mut tx = self.db.begin().await.map_err(unavailable)?;
        let session = newest_session(&mut tx, channel).await?;
        let last = last_generation(&mut tx, channel).await?;
        let min_segment = micros(settings.segment) / 2;
        let next =
            numbers::next(last.as_ref(), session.as_ref().map(|s| (s.0, s.1)), now, min_segment);
        if let (Some(last), Some(end)) = (&last, &next.decided) {
            store_end(&mut tx, channel, last.generation, end).await?;
        }
        let record = session.filter(|s| s.0 == next.session).and_then(|s| s.2);
        sqlx::query("INSERT OR IGNORE INTO session (channel, session, over) VALUES (?1, ?2, 0)")
            .bind(channel.as_str())
            .bind(next.session.0 as i64)
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        sqlx::query(
            "INSERT INTO generation (channel, generation, session, node, base, dseq, granted) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(channel.as_str())
        .bind(next.generation.0 as i64)
        .bind(next.session.0 as i64)
        .bind(&*want.node)
        .bind(next.base.0 as i64)
        .bind(next.dseq as i64)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)?;
        Ok(Grant {
            session: next.session,
            generation: next.generation,
            base: next.base,
            dseq: next.dseq,
            previous: next.previous,
            record: json(record)?,
        })
    }

    /// Sets a session's constants if they are not set; answers the ones in force.
    pub async fn open_session(
        &mut self,
        channel: &Channel,
        generation: Generation,
        record: &SessionRecord,
    ) -> Result<SessionRecord, Refusal> {
        let mut tx = self.db.begin().await.map_err(unavailable)?;
        let last = current(&mut tx, channel, generation).await?;
        sqlx::query(
            "UPDATE session SET record = ?3 WHERE channel = ?1 AND session = ?2 AND record IS NULL",
        )
        .bind(channel.as_str())
        .bind(last.session.0 as i64)
        .bind(to_json(record)?)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
        let session = newest_session(&mut tx, channel).await?;
        tx.commit().await.map_err(unavailable)?;
        let stored = json(session.and_then(|s| s.2))?;
        stored.ok_or_else(|| Refusal::Unavailable("the session's record was not stored".into()))
    }

    /// A segment started.
    pub async fn report(
        &mut self,
        channel: &Channel,
        generation: Generation,
        report: Report,
        now: Wall,
    ) -> Result<(), Refusal> {
        let done = sqlx::query(
            "UPDATE generation SET msn = ?3, report_dseq = ?4, wall = ?5, received = ?6 \
             WHERE channel = ?1 AND generation = ?2 AND ended IS NULL AND generation = \
             (SELECT MAX(generation) FROM generation WHERE channel = ?1)",
        )
        .bind(channel.as_str())
        .bind(generation.0 as i64)
        .bind(report.msn.0 as i64)
        .bind(report.dseq as i64)
        .bind(report.wall.0)
        .bind(now.0)
        .execute(&mut self.db)
        .await
        .map_err(unavailable)?;
        if done.rows_affected() == 0 { Err(Refusal::Fenced(generation)) } else { Ok(()) }
    }

    /// A generation ended here. With `session_over` the session ends in the same transaction.
    pub async fn end(
        &mut self,
        channel: &Channel,
        generation: Generation,
        end: &End,
    ) -> Result<(), Refusal> {
        let mut tx = self.db.begin().await.map_err(unavailable)?;
        let last = current(&mut tx, channel, generation).await?;
        if last.end.is_none() {
            store_end(&mut tx, channel, generation, end).await?;
        }
        if end.session_over {
            sqlx::query("UPDATE session SET over = 1 WHERE channel = ?1 AND session = ?2")
                .bind(channel.as_str())
                .bind(last.session.0 as i64)
                .execute(&mut *tx)
                .await
                .map_err(unavailable)?;
        }
        tx.commit().await.map_err(unavailable)
    }

    /// Sessions that `node` wrote last and that are not over.
    pub async fn unfinished(&mut self, node: &NodeName) -> Result<Vec<Unfinished>, Refusal> {
        let mut out = Vec::new();
        let channels: Vec<_> = self.channels.values().cloned().collect();
        for settings in channels {
            let session = newest_session(&mut self.db, &settings.name).await?;
            let last = last_generation(&mut self.db, &settings.name).await?;
            let (Some((session, over, _)), Some(last)) = (session, last) else { continue };
            if !over && last.node == *node && last.session == session {
                let (generation, end) = (last.generation, last.end);
                out.push(Unfinished { settings, session, generation, end });
            }
        }
        Ok(out)
    }

    /// A session by its number.
    pub async fn find(
        &mut self,
        channel: &Channel,
        session: Session,
    ) -> Result<Option<LiveSession>, Refusal> {
        let row =
            sqlx::query("SELECT over, record FROM session WHERE channel = ?1 AND session = ?2")
                .bind(channel.as_str())
                .bind(session.0 as i64)
                .fetch_optional(&mut self.db)
                .await
                .map_err(unavailable)?;
        let Some(row) = row else { return Ok(None) };
        let (over, record): (bool, Option<String>) = (row.get(0), row.get(1));
        let generations = generations(&mut self.db, channel, session).await?;
        Ok(Some(LiveSession { session, over, open: record.is_some(), generations }))
    }

    /// The newest session of every configured channel.
    pub async fn table(&mut self) -> Result<Table, Refusal> {
        let mut table = Table::default();
        let channels: Vec<_> = self.channels.keys().cloned().collect();
        for channel in channels {
            let newest = newest_session(&mut self.db, &channel).await?;
            let Some((session, over, record)) = newest else { continue };
            let generations = generations(&mut self.db, &channel, session).await?;
            let live = LiveSession { session, over, open: record.is_some(), generations };
            table.sessions.insert(channel, live);
        }
        Ok(table)
    }
}

type SessionRow = (Session, bool, Option<String>);

async fn newest_session(
    db: &mut SqliteConnection,
    channel: &Channel,
) -> Result<Option<SessionRow>, Refusal> {
    let row = sqlx::query(
        "SELECT session, over, record FROM session WHERE channel = ?1 \
         ORDER BY session DESC LIMIT 1",
    )
    .bind(channel.as_str())
    .fetch_optional(db)
    .await
    .map_err(unavailable)?;
    Ok(row.map(|r| (Session(r.get::<i64, _>(0) as u64), r.get(1), r.get(2))))
}

async fn last_generation(
    db: &mut SqliteConnection,
    channel: &Channel,
) -> Result<Option<LastGeneration>, Refusal> {
    let row = sqlx::query(
        "SELECT generation, session, node, base, dseq, granted, msn, report_dseq, wall, received, \
         ended FROM generation WHERE channel = ?1 ORDER BY generation DESC LIMIT 1",
    )
    .bind(channel.as_str())
    .fetch_optional(db)
    .await
    .map_err(unavailable)?;
    let Some(r) = row else { return Ok(None) };
    let n = |i: usize| r.get::<i64, _>(i) as u64;
    let report = r.get::<Option<i64>, _>(6).map(|msn| {
        let report = Report {
            msn: Msn(msn as u64),
            dseq: r.get::<Option<i64>, _>(7).unwrap_or(0) as u64,
            wall: Wall(r.get::<Option<i64>, _>(8).unwrap_or(0)),
        };
        (report, Wall(r.get::<Option<i64>, _>(9).unwrap_or(0)))
    });
    Ok(Some(LastGeneration {
        generation: Generation(n(0)),
        session: Session(n(1)),
        node: r.get::<String, _>(2).into(),
        base: Msn(n(3)),
        dseq: n(4),
        granted: Wall(r.get(5)),
        report,
        end: json(r.get(10))?,
    }))
}

/// The channel's newest generation, if it is the one that asks.
async fn current(
    db: &mut SqliteConnection,
    channel: &Channel,
    generation: Generation,
) -> Result<LastGeneration, Refusal> {
    let last = last_generation(db, channel).await?;
    last.filter(|l| l.generation == generation).ok_or(Refusal::Fenced(generation))
}

async fn store_end(
    db: &mut SqliteConnection,
    channel: &Channel,
    generation: Generation,
    end: &End,
) -> Result<(), Refusal> {
    sqlx::query("UPDATE generation SET ended = ?3 WHERE channel = ?1 AND generation = ?2")
        .bind(channel.as_str())
        .bind(generation.0 as i64)
        .bind(to_json(end)?)
        .execute(db)
        .await
        .map_err(unavailable)?;
    Ok(())
}

async fn generations(
    db: &mut SqliteConnection,
    channel: &Channel,
    session: Session,
) -> Result<Vec<(Generation, NodeName)>, Refusal> {
    let rows = sqlx::query(
        "SELECT generation, node FROM generation WHERE channel = ?1 AND session = ?2 \
         ORDER BY generation",
    )
    .bind(channel.as_str())
    .bind(session.0 as i64)
    .fetch_all(db)
    .await
    .map_err(unavailable)?;
    Ok(rows
        .iter()
        .map(|r| (Generation(r.get::<i64, _>(0) as u64), r.get::<String, _>(1).into()))
        .collect())
}

#[cfg(test)]
mod tests;
