//! The registry's tables. Migrations run by themselves, forward only; the database counts those
//! that have run.

use super::db::{Db, Kind, int};
use sqlx::AnyConnection;

/// Each entry brings the schema from its index to the next version. Entries are only ever added,
/// and add only tables and columns with defaults: replicas of the version before run on beside.
/// SQLite takes BIGINT for INTEGER, which files of the first version have.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE session (
  channel TEXT NOT NULL, session BIGINT NOT NULL,
  over BIGINT NOT NULL,
  record TEXT,                 -- api::types::SessionRecord as JSON, once set
  PRIMARY KEY (channel, session)
);
CREATE TABLE generation (
  channel TEXT NOT NULL, generation BIGINT NOT NULL,
  session BIGINT NOT NULL, node TEXT NOT NULL,
  base BIGINT NOT NULL, dseq BIGINT NOT NULL, granted BIGINT NOT NULL,
  msn BIGINT, report_dseq BIGINT, wall BIGINT, received BIGINT,   -- the last report
  ended TEXT,                  -- api::types::End as JSON, once decided
  PRIMARY KEY (channel, generation)
);
CREATE INDEX generation_of_session ON generation (channel, session, generation);
",
    "
ALTER TABLE generation ADD COLUMN key_id TEXT NOT NULL DEFAULT '';   -- a stored key, or nobody's
ALTER TABLE generation ADD COLUMN line_msn BIGINT NOT NULL DEFAULT 0;   -- numbers::Line
ALTER TABLE generation ADD COLUMN line_at BIGINT NOT NULL DEFAULT 0;
UPDATE generation SET line_msn = COALESCE(msn, base - 1), line_at = COALESCE(received, granted);
-- What is decided about a channel is decided under its row's lock; the empty name: nodes.
CREATE TABLE channel_state (
  channel TEXT NOT NULL PRIMARY KEY,
  n BIGINT NOT NULL,           -- changes of the table that edges watch
  session BIGINT NOT NULL, generation BIGINT NOT NULL   -- the newest, 0 before the first
);
INSERT INTO channel_state (channel, n, session, generation)
  SELECT channel, 1, MAX(session), MAX(generation) FROM generation GROUP BY channel;
CREATE TABLE channel (
  name TEXT NOT NULL PRIMARY KEY,
  settings TEXT NOT NULL       -- api::types::ChannelSettings as JSON
);
CREATE TABLE stream_key (
  channel TEXT NOT NULL, id TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,   -- SHA-256 of the key, hexadecimal
  terms TEXT NOT NULL,         -- api::cluster::NewKey as JSON
  created BIGINT NOT NULL, revoked BIGINT NOT NULL,
  PRIMARY KEY (channel, id)
);
CREATE TABLE node (
  name TEXT NOT NULL PRIMARY KEY,
  said TEXT NOT NULL,          -- api::cluster::Heartbeat as JSON
  url TEXT NOT NULL,           -- empty: none
  seen BIGINT NOT NULL,
  lease BIGINT NOT NULL        -- its end; 0: it said goodbye
);
CREATE TABLE fact (
  name TEXT NOT NULL PRIMARY KEY,
  value BIGINT NOT NULL        -- `calm`: no lease runs out before
);
",
    "
ALTER TABLE generation ADD COLUMN holder TEXT NOT NULL DEFAULT '';   -- who has adopted its log
",
    "
ALTER TABLE session ADD COLUMN work TEXT;   -- api::jobs::Work as JSON, where there are rungs
CREATE TABLE job (
  channel TEXT NOT NULL, generation BIGINT NOT NULL, job BIGINT NOT NULL,
  session BIGINT NOT NULL, node TEXT NOT NULL, granted BIGINT NOT NULL,
  millicores BIGINT NOT NULL,
  msn BIGINT, report_dseq BIGINT, wall BIGINT,   -- the last report
  ended TEXT,                  -- api::types::End as JSON, once decided
  exact BIGINT NOT NULL DEFAULT 0,   -- the job told that itself
  PRIMARY KEY (channel, generation, job)
);
CREATE INDEX job_of_session ON job (channel, session, generation, job);
",
    "
CREATE TABLE archived (
  channel TEXT NOT NULL, generation BIGINT NOT NULL,
  url TEXT NOT NULL,           -- the bucket with its prefix
  session BIGINT NOT NULL,
  extents BIGINT NOT NULL,     -- 0 to this, without it, are there
  whole BIGINT NOT NULL,       -- and none will follow
  msn BIGINT NOT NULL,         -- the highest segment that they name; 0: not known
  until BIGINT NOT NULL,       -- the last moment that they date; 0: not known
  PRIMARY KEY (channel, generation, url)
);
",
    "
ALTER TABLE node ADD COLUMN draining BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN failed TEXT;        -- why it could not be done there
ALTER TABLE job ADD COLUMN failed_at BIGINT;
",
    "
ALTER TABLE session ADD COLUMN unmade TEXT;    -- api::jobs::Without as JSON, where there are none
ALTER TABLE session ADD COLUMN correction BIGINT NOT NULL DEFAULT 1000;   -- of its jobs, per mille
ALTER TABLE job ADD COLUMN received BIGINT;    -- when the last report came
ALTER TABLE job ADD COLUMN told TEXT;          -- api::jobs::Load as JSON, with that
",
];

/// One replica migrates at a time; the number is ours among PostgreSQL's advisory locks.
const LOCK_POSTGRES: &str = "SELECT pg_advisory_xact_lock(7163401822)";

pub(super) async fn migrate(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.write().await?;
    if db.kind() == Kind::Postgres {
        sqlx::raw_sql(LOCK_POSTGRES).execute(&mut *tx).await?;
        let sql = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        sqlx::raw_sql(sql).execute(&mut *tx).await?;
    }
    let have = version(db.kind(), &mut tx).await?;
    for (i, sql) in MIGRATIONS.iter().enumerate().skip(have) {
        sqlx::raw_sql(*sql).execute(&mut *tx).await?;
        let set = match db.kind() {
            Kind::Sqlite => format!("PRAGMA user_version = {}", i + 1),
            Kind::Postgres => {
                let (old, new) = ("DELETE FROM schema_version", i + 1);
                format!("{old}; INSERT INTO schema_version (version) VALUES ({new})")
            }
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *tx).await?;
    }
    tx.commit().await
}

async fn version(kind: Kind, db: &mut AnyConnection) -> Result<usize, sqlx::Error> {
    let sql = match kind {
        Kind::Sqlite => "PRAGMA user_version",
        Kind::Postgres => "SELECT COALESCE(MAX(version), 0) FROM schema_version",
    };
    let row = sqlx::query(sql).fetch_one(db).await?;
    Ok(usize::try_from(int(&row, 0)?).unwrap_or(0))
}
