//! Jobs as they are stored: read and written, nothing decided.

use super::db::{Fault, Tx, int, json, number, text, to_json};
use super::rows::{self, signed};
use crate::api::jobs::Work;
use crate::api::types::{End, NodeName, Report};
use crate::base::ids::{Channel, Generation, Job, Msn, Session, Writer};
use crate::base::time::Wall;
use sqlx::Row;
use sqlx::any::AnyRow;

/// A job as stored.
pub(super) struct Stored {
    pub(super) channel: Channel,
    pub(super) session: Session,
    pub(super) generation: Generation,
    pub(super) job: Job,
    pub(super) node: NodeName,
    pub(super) granted: Wall,
    pub(super) millicores: u32,
    pub(super) report: Option<Report>,
    pub(super) end: Option<End>,
    /// It told the end itself.
    pub(super) exact: bool,
}

impl Stored {
    pub(super) fn writer(&self) -> Writer {
        Writer { generation: self.generation, job: Some(self.job) }
    }
}

/// The columns that [`stored`] reads, of `job j`.
macro_rules! job_columns {
    () => {
        "j.channel, j.session, j.generation, j.job, j.node, j.granted, j.millicores, j.msn, \
         j.report_dseq, j.wall, j.ended, j.exact"
    };
}

fn stored(r: &AnyRow) -> Result<Stored, Fault> {
    let told: Option<i64> = r.try_get(7)?;
    let report = match told {
        Some(msn) => {
            let (msn, dseq, wall) = (Msn(msn.unsigned_abs()), number(r, 8)?, Wall(int(r, 9)?));
            Some(Report { msn, dseq, wall, acked: Msn::default() })
        }
        None => None,
    };
    let ended: Option<String> = r.try_get(10)?;
    Ok(Stored {
        channel: rows::channel(&text(r, 0)?)?,
        session: Session(number(r, 1)?),
        generation: Generation(number(r, 2)?),
        job: Job(u32::try_from(number(r, 3)?).unwrap_or(u32::MAX)),
        node: text(r, 4)?.into(),
        granted: Wall(int(r, 5)?),
        millicores: u32::try_from(number(r, 6)?).unwrap_or(u32::MAX),
        report,
        end: ended.map(|t| json(&t)).transpose()?,
        exact: int(r, 11)? != 0,
    })
}

/// A session's jobs, oldest first.
pub(super) async fn of_session(
    tx: &mut Tx,
    channel: &Channel,
    session: Session,
) -> Result<Vec<Stored>, Fault> {
    let sql = concat!(
        "SELECT ",
        job_columns!(),
        " FROM job j WHERE j.channel = $1 AND j.session = $2 ORDER BY j.generation, j.job"
    );
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(session.0));
    query.fetch_all(&mut **tx).await?.iter().map(stored).collect()
}

/// The jobs of all channels' newest generations that have not ended, in sessions that are not over.
pub(super) async fn running(tx: &mut Tx) -> Result<Vec<Stored>, Fault> {
    let sql = concat!(
        "SELECT ",
        job_columns!(),
        " FROM job j JOIN channel_state c ON c.channel = j.channel \
         AND c.generation = j.generation JOIN session s ON s.channel = j.channel \
         AND s.session = j.session WHERE s.over = 0 AND j.ended IS NULL \
         ORDER BY j.channel, j.job"
    );
    let rows = sqlx::query(sql).fetch_all(&mut **tx).await?;
    let mut found: Vec<Stored> = rows.iter().map(stored).collect::<Result<_, Fault>>()?;
    // Only the newest of a generation does anything.
    found.reverse();
    found.dedup_by(|later, earlier| later.channel == earlier.channel);
    Ok(found)
}

pub(super) async fn insert(tx: &mut Tx, j: &Stored) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO job (channel, generation, job, session, node, granted, millicores) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(j.channel.as_str())
    .bind(signed(j.generation.0))
    .bind(i64::from(j.job.0))
    .bind(signed(j.session.0))
    .bind(&*j.node)
    .bind(j.granted.0)
    .bind(i64::from(j.millicores))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn store_end(
    tx: &mut Tx,
    j: &Stored,
    end: &End,
    exact: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE job SET ended = $4, exact = $5 \
         WHERE channel = $1 AND generation = $2 AND job = $3 AND ended IS NULL",
    )
    .bind(j.channel.as_str())
    .bind(signed(j.generation.0))
    .bind(i64::from(j.job.0))
    .bind(to_json(end)?)
    .bind(i64::from(exact))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn work(
    tx: &mut Tx,
    channel: &Channel,
    session: Session,
) -> Result<Option<Work>, Fault> {
    let sql = "SELECT work FROM session WHERE channel = $1 AND session = $2";
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(session.0));
    let Some(row) = query.fetch_optional(&mut **tx).await? else { return Ok(None) };
    let text: Option<String> = row.try_get(0)?;
    text.map(|t| json(&t)).transpose()
}

/// One job.
pub(super) async fn find(
    tx: &mut Tx,
    channel: &Channel,
    (generation, job): (Generation, Job),
) -> Result<Option<Stored>, Fault> {
    let sql = concat!(
        "SELECT ",
        job_columns!(),
        " FROM job j WHERE j.channel = $1 AND j.generation = $2 AND j.job = $3"
    );
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(generation.0));
    let row = query.bind(i64::from(job.0)).fetch_optional(&mut **tx).await?;
    row.as_ref().map(stored).transpose()
}

/// The newest generations whose sessions have rungs, where neither has ended.
pub(super) async fn written(tx: &mut Tx) -> Result<Vec<(Channel, Session, Generation)>, Fault> {
    let sql = "SELECT c.channel, c.session, c.generation FROM channel_state c \
               JOIN session s ON s.channel = c.channel AND s.session = c.session \
               JOIN generation g ON g.channel = c.channel AND g.generation = c.generation \
               WHERE s.over = 0 AND s.work IS NOT NULL AND g.ended IS NULL ORDER BY c.channel";
    let read = |r| {
        let (session, generation) = (Session(number(r, 1)?), Generation(number(r, 2)?));
        Ok((rows::channel(&text(r, 0)?)?, session, generation))
    };
    sqlx::query(sql).fetch_all(&mut **tx).await?.iter().map(read).collect()
}
