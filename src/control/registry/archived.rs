//! Which logs are in which bucket, and how much of each. Who has put it there tells, and may tell
//! it again and late: the most that was told of a log is what is known.

use super::Registry;
use super::db::{int, number, text};
use super::rows::signed;
use crate::api::cluster::{Archived, ArchivedLog, HELD_MAX, LogName};
use crate::api::types::Refusal;
use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::Wall;

impl Registry {
    /// A bucket has these logs; those that the registry does not know are passed over.
    ///
    /// # Errors
    /// `Invalid` where it is no bucket's URL, or more than [`HELD_MAX`] logs; `Unavailable`.
    pub async fn archived(&self, told: &Archived) -> Result<(), Refusal> {
        if !told.url.contains("://") {
            return Err(Refusal::Invalid(format!("{:?} is no URL of a bucket", told.url)));
        }
        if told.logs.len() > HELD_MAX {
            return Err(Refusal::Invalid(format!("more than {HELD_MAX} logs at once")));
        }
        let call = async {
            let mut tx = self.db.write().await?;
            for of in &told.logs {
                // The row of a generation that is known; of two that tell, the one with more.
                sqlx::query(
                    "INSERT INTO archived \
                     (channel, generation, url, session, extents, whole, msn, until) \
                     SELECT g.channel, g.generation, CAST($4 AS TEXT), g.session, \
                     CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), \
                     CAST($8 AS BIGINT) FROM generation g \
                     WHERE g.channel = $1 AND g.generation = $2 AND g.session = $3 \
                     ON CONFLICT (channel, generation, url) DO UPDATE SET \
                     extents = excluded.extents, whole = excluded.whole, \
                     msn = CASE WHEN excluded.msn > archived.msn \
                     THEN excluded.msn ELSE archived.msn END, \
                     until = CASE WHEN excluded.until > archived.until \
                     THEN excluded.until ELSE archived.until END \
                     WHERE excluded.extents >= archived.extents \
                     AND excluded.whole >= archived.whole",
                )
                .bind(of.log.channel.as_str())
                .bind(signed(of.log.generation.0))
                .bind(signed(of.log.session.0))
                .bind(told.url.trim_end_matches('/'))
                .bind(i64::from(of.extents))
                .bind(i64::from(of.whole))
                .bind(of.last.map_or(0, |msn| signed(msn.0)))
                .bind(of.until.map_or(0, |wall| wall.0))
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// What buckets have of a channel: each bucket's URL, and a log.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn in_buckets(
        &self,
        channel: &Channel,
    ) -> Result<Vec<(String, ArchivedLog)>, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let sql = "SELECT url, session, generation, extents, whole, msn, until FROM archived \
                       WHERE channel = $1 ORDER BY generation, url";
            let rows = sqlx::query(sql).bind(channel.as_str()).fetch_all(&mut *tx).await?;
            let mut found = Vec::with_capacity(rows.len());
            for r in &rows {
                let (session, generation) = (Session(number(r, 1)?), Generation(number(r, 2)?));
                let log = ArchivedLog {
                    log: LogName { channel: channel.clone(), session, generation },
                    extents: u32::try_from(number(r, 3)?).unwrap_or(u32::MAX),
                    whole: int(r, 4)? != 0,
                    last: Some(Msn(number(r, 5)?)).filter(|msn| msn.0 > 0),
                    until: Some(Wall(int(r, 6)?)).filter(|wall| wall.0 > 0),
                };
                found.push((text(r, 0)?, log));
            }
            Ok(found)
        };
        self.db.answer(call).await
    }
}
