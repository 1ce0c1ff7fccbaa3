//! Jobs as they are stored: read and written, nothing decided.

use super::db::{Fault, Tx, int, json, number, text, to_json};
use super::rows::{self, signed};
use crate::api::jobs::{Wanted, Work};
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

/// What there is to do, as a plan is told of it; without who could not do it.
pub(super) async fn wanted(tx: &mut Tx) -> Result<Vec<Wanted>, Fault> {
    // The newest job of the newest session that has one; of an older generation it is of interest
    // only while there is none of the newest.
    let sql = "SELECT c.channel, c.generation, CASE WHEN g.ended IS NULL THEN 0 ELSE 1 \
               END, CASE WHEN j.job IS NULL THEN s.work END, j.generation, j.job, j.node, \
               j.millicores, CASE WHEN j.ended IS NULL THEN 0 ELSE 1 END \
               FROM channel_state c \
               JOIN session s ON s.channel = c.channel AND s.session = c.session \
               JOIN generation g ON g.channel = c.channel AND g.generation = c.generation \
               LEFT JOIN job j ON j.channel = c.channel AND j.session = c.session \
               AND NOT EXISTS (SELECT 1 FROM job k WHERE k.channel = j.channel \
               AND k.session = j.session AND (k.generation > j.generation \
               OR (k.generation = j.generation AND k.job > j.job))) \
               WHERE s.over = 0 AND s.work IS NOT NULL ORDER BY c.channel";
    let read = |r: &AnyRow| {
        let generation = Generation(number(r, 1)?);
        let of: Option<i64> = r.try_get(4)?;
        let millicores = match r.try_get::<Option<String>, _>(3)? {
            Some(work) => json::<Work>(&work)?.millicores,
            None => u32::try_from(number(r, 7)?).unwrap_or(u32::MAX),
        };
        let waits = int(r, 2)? != 0;
        let newest = of == Some(signed(generation.0));
        let (job, node, ended): (_, Option<NodeName>, _) = match of {
            Some(_) => (number(r, 5)?, Some(text(r, 6)?.into()), int(r, 8)? != 0),
            None => (0, None, true),
        };
        let job = if newest { Job(u32::try_from(job).unwrap_or(u32::MAX)) } else { Job(0) };
        let node = node.filter(|_| waits || (newest && !ended));
        let (channel, failed) = (rows::channel(&text(r, 0)?)?, Vec::new());
        Ok(Wanted { channel, generation, millicores, job, node, waits, failed })
    };
    sqlx::query(sql).fetch_all(&mut **tx).await?.iter().map(read).collect()
}

/// How often a node could not do a session's job, when it could not last, and why.
#[derive(Debug)]
pub(super) struct Failures {
    pub(super) channel: Channel,
    pub(super) node: NodeName,
    pub(super) times: u32,
    pub(super) last: Wall,
    pub(super) why: String,
}

/// Those of the newest sessions, where these are not over.
pub(super) async fn failures(tx: &mut Tx) -> Result<Vec<Failures>, Fault> {
    let sql = "SELECT j.channel, j.node, j.failed_at, j.failed FROM channel_state c \
               JOIN session s ON s.channel = c.channel AND s.session = c.session \
               JOIN job j ON j.channel = c.channel AND j.session = c.session \
               WHERE s.over = 0 AND j.failed IS NOT NULL \
               ORDER BY j.channel, j.node, j.generation, j.job";
    let mut out: Vec<Failures> = Vec::new();
    for r in &sqlx::query(sql).fetch_all(&mut **tx).await? {
        let (channel, node) = (rows::channel(&text(r, 0)?)?, text(r, 1)?.into());
        let (last, why) = (Wall(int(r, 2)?), text(r, 3)?);
        match out.last_mut().filter(|f| f.channel == channel && f.node == node) {
            Some(f) => (f.times, f.last, f.why) = (f.times + 1, last, why),
            None => out.push(Failures { channel, node, times: 1, last, why }),
        }
    }
    Ok(out)
}

/// Is there a job of a running generation that nobody does, or that a node does which is not alive
/// at `now`, or which leaves? `own` has no lease.
pub(super) async fn is_any_unplaced(tx: &mut Tx, now: Wall, own: &str) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM channel_state c \
               JOIN session s ON s.channel = c.channel AND s.session = c.session \
               JOIN generation g ON g.channel = c.channel AND g.generation = c.generation \
               WHERE s.over = 0 AND s.work IS NOT NULL AND g.ended IS NULL AND NOT EXISTS \
               (SELECT 1 FROM job j WHERE j.channel = c.channel AND j.generation = c.generation \
               AND j.ended IS NULL AND NOT EXISTS (SELECT 1 FROM job k WHERE \
               k.channel = j.channel AND k.generation = j.generation AND k.job > j.job) \
               AND (j.node = $2 OR EXISTS (SELECT 1 FROM node n WHERE n.name = j.node \
               AND n.lease > $1 AND n.draining = 0))) LIMIT 1";
    let query = sqlx::query(sql).bind(now.0).bind(own);
    Ok(query.fetch_optional(&mut **tx).await?.is_some())
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
