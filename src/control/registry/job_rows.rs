//! Jobs as they are stored: read and written, nothing decided.

use super::db::{Fault, Tx, int, json, number, text, to_json};
use super::rows::{self, signed};
use crate::api::jobs::{JobState, Load, Unmade, Wanted, Without, Work};
use crate::api::types::{End, NodeName, Report};
use crate::base::ids::{Channel, Generation, Job, Msn, Session, Writer};
use crate::base::time::Wall;
use crate::control::plan::cost::correction::Correction;
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
    /// 0: nothing is made, the rungs' gaps are written.
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

/// Every channel's newest session `s` and generation `g`, with the newest job `j` of the session,
/// where it has one.
macro_rules! newest_jobs {
    ($columns:literal, $rest:literal) => {
        concat!(
            "SELECT c.channel, ",
            $columns,
            " FROM channel_state c \
             JOIN session s ON s.channel = c.channel AND s.session = c.session \
             JOIN generation g ON g.channel = c.channel AND g.generation = c.generation \
             LEFT JOIN job j ON j.channel = c.channel AND j.session = c.session \
             AND NOT EXISTS (SELECT 1 FROM job k WHERE k.channel = j.channel \
             AND k.session = j.session AND (k.generation > j.generation \
             OR (k.generation = j.generation AND k.job > j.job))) ",
            $rest,
            " ORDER BY c.channel"
        )
    };
}

/// What there is to do, as a plan is told of it; without who could not do it.
pub(super) async fn wanted(tx: &mut Tx) -> Result<Vec<Wanted>, Fault> {
    // A job of an older generation is of interest only while there is none of the newest.
    let sql = newest_jobs!(
        "c.generation, CASE WHEN g.ended IS NULL THEN 0 ELSE 1 END, \
         CASE WHEN j.job IS NULL OR j.millicores = 0 THEN s.work END, s.correction, \
         j.generation, j.job, j.node, j.millicores, CASE WHEN j.ended IS NULL THEN 0 ELSE 1 END",
        "WHERE s.over = 0 AND s.work IS NOT NULL"
    );
    let read = |r: &AnyRow| {
        let generation = Generation(number(r, 1)?);
        let waits = int(r, 2)? != 0;
        let estimate = match r.try_get::<Option<String>, _>(3)? {
            Some(work) => json::<Work>(&work)?.millicores,
            None => small(number(r, 8)?),
        };
        let millicores = Correction::stored(small(number(r, 4)?)).apply(estimate);
        let of: Option<i64> = r.try_get(5)?;
        let newest = of == Some(signed(generation.0));
        let (job, node, ended): (_, Option<NodeName>, _) = match of {
            // One in which nothing is made is to be given to somebody who makes something.
            Some(_) if number(r, 8)? == 0 => (number(r, 6)?, None, true),
            Some(_) => (number(r, 6)?, Some(text(r, 7)?.into()), int(r, 9)? != 0),
            None => (0, None, true),
        };
        let job = if newest { Job(small(job)) } else { Job(0) };
        let node = node.filter(|_| waits || (newest && !ended));
        let (channel, failed) = (rows::channel(&text(r, 0)?)?, Vec::new());
        Ok(Wanted { channel, generation, millicores, job, node, waits, failed })
    };
    sqlx::query(sql).fetch_all(&mut **tx).await?.iter().map(read).collect()
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The sessions that were opened without rungs and are not over.
pub(super) async fn unmade(tx: &mut Tx) -> Result<Vec<Unmade>, Fault> {
    let sql = "SELECT c.channel, c.session, s.unmade FROM channel_state c \
               JOIN session s ON s.channel = c.channel AND s.session = c.session \
               WHERE s.over = 0 AND s.unmade IS NOT NULL ORDER BY c.channel";
    let read = |r: &AnyRow| {
        let (channel, session) = (rows::channel(&text(r, 0)?)?, Session(number(r, 1)?));
        Ok(Unmade { channel, session, why: json(&text(r, 2)?)? })
    };
    sqlx::query(sql).fetch_all(&mut **tx).await?.iter().map(read).collect()
}

/// The rungs of sessions that are not over, for people.
pub(super) async fn states(tx: &mut Tx) -> Result<Vec<JobState>, Fault> {
    let sql = newest_jobs!(
        "c.session, CASE WHEN g.ended IS NULL THEN 0 ELSE 1 END, g.msn, s.work, s.unmade, \
         s.correction, j.generation, j.job, j.node, \
         CASE WHEN j.ended IS NULL AND j.millicores > 0 THEN 0 ELSE 1 END, j.msn, j.received, \
         j.told, CASE WHEN j.millicores > 0 THEN j.failed ELSE (SELECT k.failed FROM job k \
         WHERE k.channel = j.channel AND k.session = j.session AND k.millicores > 0 \
         ORDER BY k.generation DESC, k.job DESC LIMIT 1) END",
        "WHERE s.over = 0 AND (s.work IS NOT NULL OR s.unmade IS NOT NULL)"
    );
    sqlx::query(sql).fetch_all(&mut **tx).await?.iter().map(state).collect()
}

fn state(r: &AnyRow) -> Result<JobState, Fault> {
    let words = |at| r.try_get::<Option<String>, _>(at);
    let whole = |at| r.try_get::<Option<i64>, _>(at);
    let work: Option<Work> = words(4)?.map(|t| json(&t)).transpose()?;
    let without: Option<Without> = words(5)?.map(|t| json(&t)).transpose()?;
    let estimate = match (&work, &without) {
        (Some(work), _) => work.millicores,
        (None, Some(Without::NoRoom(need))) => *need,
        (None, _) => 0,
    };
    let job = match (whole(7)?, whole(8)?) {
        (Some(g), Some(j)) => Some((Generation(g.unsigned_abs()), Job(small(j.unsigned_abs())))),
        _ => None,
    };
    let runs = job.is_some() && int(r, 10)? == 0;
    let reported = whole(11)?.zip(whole(12)?).map(|(msn, at)| (msn.unsigned_abs(), Wall(at)));
    let source = whole(3)?.map(i64::unsigned_abs);
    Ok(JobState {
        channel: rows::channel(&text(r, 0)?)?,
        session: Session(number(r, 1)?),
        rungs: work.iter().flat_map(|w| &w.rungs).map(|r| r.rung.name.to_string()).collect(),
        without,
        millicores: Correction::stored(small(number(r, 6)?)).apply(estimate),
        waits: int(r, 2)? != 0,
        job,
        node: words(9)?.filter(|_| runs).map(Into::into),
        reported,
        lag: source.zip(reported).map(|(source, (msn, _))| source.saturating_sub(msn)),
        load: words(13)?.map(|t| json::<Option<Load>>(&t)).transpose()?.flatten(),
        failed: words(14)?,
    })
}

/// A job took so many millicores: what its session's jobs are taken to take is corrected.
pub(super) async fn learn(
    tx: &mut Tx,
    channel: &Channel,
    (generation, job): (Generation, Job),
    measured: u32,
) -> Result<(), Fault> {
    let sql = "SELECT j.session, j.millicores, s.correction FROM job j \
               JOIN session s ON s.channel = j.channel AND s.session = j.session \
               WHERE j.channel = $1 AND j.generation = $2 AND j.job = $3";
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(generation.0));
    let row = query.bind(i64::from(job.0)).fetch_one(&mut **tx).await?;
    let (session, estimate) = (int(&row, 0)?, small(number(&row, 1)?));
    let learnt = Correction::stored(small(number(&row, 2)?)).learn(estimate, measured);
    sqlx::query("UPDATE session SET correction = $3 WHERE channel = $1 AND session = $2")
        .bind(channel.as_str())
        .bind(session)
        .bind(i64::from(learnt.per_mille()))
        .execute(&mut **tx)
        .await?;
    Ok(())
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
