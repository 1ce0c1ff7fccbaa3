//! The registry's tables. Migrations run by themselves, forward only; `user_version` counts those
//! that have run.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

/// Each entry brings the schema from its index to the next version; entries are only ever added.
const MIGRATIONS: &[&str] = &["
CREATE TABLE session (
  channel TEXT NOT NULL, session INTEGER NOT NULL,
  over INTEGER NOT NULL,
  record TEXT,                 -- api::types::SessionRecord as JSON, once set
  PRIMARY KEY (channel, session)
) WITHOUT ROWID;
CREATE TABLE generation (
  channel TEXT NOT NULL, generation INTEGER NOT NULL,
  session INTEGER NOT NULL, node TEXT NOT NULL,
  base INTEGER NOT NULL, dseq INTEGER NOT NULL, granted INTEGER NOT NULL,
  msn INTEGER, report_dseq INTEGER, wall INTEGER, received INTEGER,   -- the last report
  ended TEXT,                  -- api::types::End as JSON, once decided
  PRIMARY KEY (channel, generation)
) WITHOUT ROWID;
CREATE INDEX generation_of_session ON generation (channel, session, generation);
"];

pub(super) async fn migrate(db: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *db).await?;
    let have = usize::try_from(row.get::<i64, _>(0)).unwrap_or(0);
    for (i, sql) in MIGRATIONS.iter().enumerate().skip(have) {
        let mut tx = db.begin().await?;
        sqlx::raw_sql(*sql).execute(&mut *tx).await?;
        let version = format!("PRAGMA user_version = {}", i + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(version)).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}
