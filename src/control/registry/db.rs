//! The database: one SQLite file, or PostgreSQL by URL. One text of SQL serves both (`$1`
//! placeholders, BIGINT and TEXT, no NULL bound); what differs is here.
//!
//! Invariant: a call is answered within [`ANSWER_TIMEOUT`], whatever the database does.

use super::leases::Calm;
use super::{Database, schema};
use crate::api::types::Refusal;
use crate::base::time::Wall;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyConnection, AnyPool, Row, Transaction};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// Longest answer of the database to one call. A caller waits no longer: an origin then goes on by
/// itself, an encoder is told why. Less than a lease, so that a heartbeat can be tried again.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for a connection, and for SQLite's lock: leaves a second of the answer for the call
/// itself.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait of a start for its database. A server that is not there yet is not waited for:
/// calls are answered `Unavailable` until it is, as they are when it goes away later.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections to PostgreSQL: a call is a few round trips; more would wait for its disk.
const CONNECTIONS_POSTGRES: u32 = 8;

/// Connections to SQLite: one writes at a time, others read meanwhile.
const CONNECTIONS_SQLITE: u32 = 4;

/// PostgreSQL gives up a statement before its caller does, and ends a transaction whose process
/// stands still (it would hold its channel's lock) before who waits for it gives up. Milliseconds.
const SETUP_POSTGRES: &str = "SET statement_timeout = 2500; SET lock_timeout = 2000; \
     SET idle_in_transaction_session_timeout = 1500";

/// Ends are still told when the process is killed; WAL lets readers go on beside the writer.
/// Milliseconds.
const SETUP_SQLITE: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; \
     PRAGMA synchronous = NORMAL";

/// A transaction.
pub(super) type Tx = Transaction<'static, Any>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was answered: no.
    Refused(Refusal),
    /// The database failed.
    Database(sqlx::Error),
    /// It did not answer in time.
    Silent,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::Refused(refusal)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(e: sqlx::Error) -> Fault {
        Fault::Database(e)
    }
}

/// The open database.
#[derive(Debug)]
pub(super) struct Db {
    pool: AnyPool,
    kind: Kind,
    calm: Mutex<Calm>,
    /// What a caller's clock said last.
    told: AtomicI64,
    /// Its schema is up to date: known once it has answered.
    current: OnceCell<()>,
}

/// The URL of a file. Absolute, so that no part of it is taken for a host.
fn url_of(path: &Path) -> Result<String, sqlx::Error> {
    let path = std::path::absolute(path)?;
    let cannot = || sqlx::Error::Configuration("its path is not UTF-8".into());
    let text = path.to_str().ok_or_else(cannot)?;
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("sqlite://{escaped}?mode=rwc"))
}

impl Db {
    pub(super) async fn open(at: &Database) -> Result<Db, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let (kind, url) = match at {
            Database::File(path) => (Kind::Sqlite, url_of(path)?),
            Database::Url(url) => (Kind::Postgres, url.clone()),
        };
        let (setup, connections) = match kind {
            Kind::Sqlite => (SETUP_SQLITE, CONNECTIONS_SQLITE),
            Kind::Postgres => (SETUP_POSTGRES, CONNECTIONS_POSTGRES),
        };
        let options = AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |db, _| {
                Box::pin(async move { sqlx::raw_sql(setup).execute(db).await.map(|_| ()) })
            });
        let pool = options.connect_lazy(&url)?;
        let (calm, told, current) = (Mutex::default(), AtomicI64::new(0), OnceCell::new());
        let db = Db { pool, kind, calm, told, current };
        let opened = tokio::time::timeout(OPEN_TIMEOUT, db.ready()).await;
        match opened.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Err(e) if kind == Kind::Postgres && is_away(&e) => {
                tracing::warn!("the database can't be reached, trying until it can: {e}");
            }
            opened => opened?,
        }
        Ok(db)
    }

    /// Brings the schema up to date, where that has not been done yet.
    async fn ready(&self) -> Result<(), sqlx::Error> {
        self.current.get_or_try_init(|| schema::migrate(self)).await.map(|_| ())
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that writes. SQLite takes its write lock at once, so that none is refused
    /// half-way; PostgreSQL's take a channel's row first ([`lock`]).
    pub(super) async fn write(&self) -> Result<Tx, sqlx::Error> {
        match self.kind {
            Kind::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Kind::Postgres => self.pool.begin().await,
        }
    }

    /// A transaction that reads one state of the database.
    pub(super) async fn read(&self) -> Result<Tx, sqlx::Error> {
        match self.kind {
            Kind::Sqlite => self.pool.begin().await,
            Kind::Postgres => {
                self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
            }
        }
    }

    /// The registry's clock: the database's where several replicas share it, else the caller's.
    /// `None` asks for the newest that a caller told.
    pub(super) async fn now(
        &self,
        db: &mut AnyConnection,
        told: Option<Wall>,
    ) -> Result<Wall, sqlx::Error> {
        if let Some(told) = told {
            self.told.store(told.0, Ordering::Relaxed);
        }
        match self.kind {
            Kind::Sqlite => Ok(Wall(self.told.load(Ordering::Relaxed))),
            Kind::Postgres => {
                let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                let row = sqlx::query(sql).fetch_one(db).await?;
                Ok(Wall(int(&row, 0)?))
            }
        }
    }

    /// Has this process not yet heard the database answer for a lease?
    pub(super) fn is_calm(&self, now: Wall) -> bool {
        self.calm.lock().unwrap_or_else(PoisonError::into_inner).is_on(now)
    }

    /// Runs one call on the database, in bounded time.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Refusal> {
        let call = async {
            self.ready().await?;
            call.await
        };
        let why = match in_time(call).await {
            Ok(answer) => return Ok(answer),
            Err(Fault::Refused(refusal)) => return Err(refusal),
            Err(Fault::Database(e)) => e.to_string(),
            Err(Fault::Silent) => format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        };
        self.calm.lock().unwrap_or_else(PoisonError::into_inner).failed();
        tracing::error!("registry database: {why}");
        Err(Refusal::Unavailable(format!("database: {why}")))
    }
}

/// Is nobody there, or not yet? Whoever is, and says no (a password, a name), will not come round.
fn is_away(e: &sqlx::Error) -> bool {
    match e {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // Operator intervention (starting, shutting down), connection, resources.
        sqlx::Error::Database(e) => e
            .code()
            .is_some_and(|code| ["57P", "08", "53"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

/// Waits no longer than [`ANSWER_TIMEOUT`].
async fn in_time<T>(call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    tokio::time::timeout(ANSWER_TIMEOUT, call).await.unwrap_or(Err(Fault::Silent))
}

/// Takes the lock on what is decided about `channel` (the empty name: about nodes) until the
/// transaction's end, and counts `changes` of the table.
pub(super) async fn lock(db: &mut AnyConnection, channel: &str, changes: i64) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO channel_state (channel, n, session, generation) VALUES ($1, $2, 0, 0) \
         ON CONFLICT (channel) DO UPDATE SET n = channel_state.n + $2",
    )
    .bind(channel)
    .bind(changes)
    .execute(db)
    .await?;
    Ok(())
}

pub(super) fn int(row: &AnyRow, at: usize) -> Result<i64, sqlx::Error> {
    row.try_get(at)
}

pub(super) fn number(row: &AnyRow, at: usize) -> Result<u64, sqlx::Error> {
    int(row, at).map(|n| n.unsigned_abs())
}

pub(super) fn text(row: &AnyRow, at: usize) -> Result<String, sqlx::Error> {
    row.try_get(at)
}

/// What is stored as JSON was written by this program; if it is not readable, the database is
/// damaged.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let damaged = |e| Refusal::Unavailable(format!("a stored record is damaged: {e}"));
    Ok(serde_json::from_str(text).map_err(damaged)?)
}

pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    let cannot = |e| Refusal::Invalid(format!("it can't be stored: {e}"));
    Ok(serde_json::to_string(value).map_err(cannot)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_is_waited_for_so_long() {
        let clock = Clock::starting_at(Wall(0));
        let begun = clock.now().mono;
        let silent = in_time(std::future::pending::<Result<(), Fault>>()).await;
        assert!(matches!(silent, Err(Fault::Silent)), "{silent:?}");
        assert!(clock.now().mono.since(begun) >= ANSWER_TIMEOUT);
        assert!(ACQUIRE_TIMEOUT < ANSWER_TIMEOUT);
    }

    #[tokio::test]
    async fn who_gets_no_connection_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = Database::File(dir.path().join("a b%20?#.db"));
        let db = Db::open(&at).await.expect("open");
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_SQLITE {
            held.push(db.read().await.expect("a connection"));
        }
        let refused = db.answer(async { Ok(db.read().await.map(|_| ())?) }).await;
        assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
        drop(held);
        db.answer(async { Ok(db.read().await.map(|_| ())?) }).await.expect("again");
        let names = std::fs::read_dir(dir.path()).expect("listed").flatten();
        assert!(names.map(|n| n.file_name()).any(|n| n == "a b%20?#.db"));
    }
}
