//! Sessions and generations as they are stored: read and written, nothing decided.

use super::db::{Fault, int, json, number, text, to_json};
use super::numbers::{LastGeneration, Line};
use crate::api::cluster::LogName;
use crate::api::types::{End, LiveSession, NodeName, Report, SessionRecord};
use crate::base::ids::{Channel, Generation, Job, Msn, Session};
use crate::base::time::Wall;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A session, whether it is over, and its record as JSON.
pub(super) type SessionRow = (Session, bool, Option<String>);

/// A channel's newest session and generation.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) channel: Channel,
    pub(super) session: Session,
    pub(super) over: bool,
    pub(super) open: bool,
    pub(super) last: LastGeneration,
}

/// The columns that [`generation`] reads, of `generation g`.
macro_rules! generation_columns {
    () => {
        "g.generation, g.session, g.node, g.key_id, g.base, g.dseq, g.granted, g.line_msn, \
         g.line_at, g.msn, g.report_dseq, g.wall, g.received, g.ended"
    };
}

/// The node where the log of `generation g` is read, `$1` being now: who has adopted it, while that
/// lives or who wrote it does not.
macro_rules! holder {
    () => {
        "CASE WHEN g.holder <> '' AND (EXISTS \
         (SELECT 1 FROM node n WHERE n.name = g.holder AND n.lease > $1) OR NOT EXISTS \
         (SELECT 1 FROM node n WHERE n.name = g.node AND n.lease > $1)) \
         THEN g.holder ELSE g.node END"
    };
}

/// How many those are.
const GENERATION_COLUMNS: usize = 14;

/// The newest of every channel; a condition may follow.
macro_rules! newest_of_all {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            generation_columns!(),
            ", c.channel, s.session, s.over, CASE WHEN s.record IS NULL THEN 0 ELSE 1 END \
             FROM channel_state c \
             JOIN session s ON s.channel = c.channel AND s.session = c.session \
             JOIN generation g ON g.channel = c.channel AND g.generation = c.generation ",
            $rest
        )
    };
}

pub(super) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) async fn newest_session(
    db: &mut AnyConnection,
    channel: &Channel,
) -> Result<Option<SessionRow>, Fault> {
    let sql = "SELECT s.session, s.over, s.record FROM session s WHERE s.channel = $1 \
               ORDER BY s.session DESC LIMIT 1";
    let row = sqlx::query(sql).bind(channel.as_str()).fetch_optional(db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((Session(number(&row, 0)?), int(&row, 1)? != 0, row.try_get(2)?)))
}

pub(super) async fn last_generation(
    db: &mut AnyConnection,
    channel: &Channel,
) -> Result<Option<LastGeneration>, Fault> {
    let sql = concat!(
        "SELECT ",
        generation_columns!(),
        " FROM generation g WHERE g.channel = $1 ORDER BY g.generation DESC LIMIT 1"
    );
    let row = sqlx::query(sql).bind(channel.as_str()).fetch_optional(db).await?;
    row.map(|r| generation(&r)).transpose()
}

fn generation(r: &AnyRow) -> Result<LastGeneration, Fault> {
    let told: Option<i64> = r.try_get(9)?;
    let report = match told {
        Some(msn) => {
            let (msn, dseq, wall) = (Msn(msn.unsigned_abs()), number(r, 10)?, Wall(int(r, 11)?));
            // What the writer had heard of when it said so has gone into the line.
            Some((Report { msn, dseq, wall, acked: Msn::default() }, Wall(int(r, 12)?)))
        }
        None => None,
    };
    let ended: Option<String> = r.try_get(13)?;
    Ok(LastGeneration {
        generation: Generation(number(r, 0)?),
        session: Session(number(r, 1)?),
        node: text(r, 2)?.into(),
        key: text(r, 3)?,
        base: Msn(number(r, 4)?),
        dseq: number(r, 5)?,
        granted: Wall(int(r, 6)?),
        line: Line { msn: Msn(number(r, 7)?), at: Wall(int(r, 8)?) },
        report,
        end: ended.map(|t| json(&t)).transpose()?,
    })
}

/// A name that is stored is one; another kind of row has none.
pub(super) fn channel(name: &str) -> Result<Channel, Fault> {
    name.parse().map_err(|e| Fault::Database(sqlx::Error::Decode(Box::new(e))))
}

fn newest_row(r: &AnyRow) -> Result<Newest, Fault> {
    let at = GENERATION_COLUMNS;
    Ok(Newest {
        channel: channel(&text(r, at)?)?,
        session: Session(number(r, at + 1)?),
        over: int(r, at + 2)? != 0,
        open: int(r, at + 3)? != 0,
        last: generation(r)?,
    })
}

/// The newest session and generation of every channel that ever had one, by name.
pub(super) async fn every_newest(db: &mut AnyConnection) -> Result<Vec<Newest>, Fault> {
    let rows = sqlx::query(newest_of_all!("ORDER BY c.channel")).fetch_all(db).await?;
    rows.iter().map(newest_row).collect()
}

/// One channel's.
pub(super) async fn newest(
    db: &mut AnyConnection,
    channel: &Channel,
) -> Result<Option<Newest>, Fault> {
    let sql = newest_of_all!("WHERE c.channel = $1");
    let row = sqlx::query(sql).bind(channel.as_str()).fetch_optional(db).await?;
    row.as_ref().map(newest_row).transpose()
}

/// Those that are not over, and were written last by `node` or by one whose lease has run out.
pub(super) async fn open_newest(
    db: &mut AnyConnection,
    node: &str,
    now: Wall,
) -> Result<Vec<Newest>, Fault> {
    let sql = newest_of_all!(
        "WHERE s.over = 0 AND g.session = s.session AND (g.node = $1 OR NOT EXISTS \
         (SELECT 1 FROM node n WHERE n.name = g.node AND n.lease > $2)) ORDER BY c.channel"
    );
    let rows = sqlx::query(sql).bind(node).bind(now.0).fetch_all(db).await?;
    rows.iter().map(newest_row).collect()
}

/// A generation is granted, in a session that may be new.
pub(super) async fn store_generation(
    db: &mut AnyConnection,
    channel: &Channel,
    g: &LastGeneration,
) -> Result<(), Fault> {
    let (session, number) = (signed(g.session.0), signed(g.generation.0));
    sqlx::query(
        "INSERT INTO session (channel, session, over) VALUES ($1, $2, 0) \
         ON CONFLICT (channel, session) DO NOTHING",
    )
    .bind(channel.as_str())
    .bind(session)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO generation (channel, generation, session, node, key_id, base, dseq, granted, \
         line_msn, line_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(channel.as_str())
    .bind(number)
    .bind(session)
    .bind(&*g.node)
    .bind(g.key.as_str())
    .bind(signed(g.base.0))
    .bind(signed(g.dseq))
    .bind(g.granted.0)
    .bind(signed(g.line.msn.0))
    .bind(g.line.at.0)
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE channel_state SET session = $2, generation = $3 WHERE channel = $1")
        .bind(channel.as_str())
        .bind(session)
        .bind(number)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn store_end(
    db: &mut AnyConnection,
    channel: &Channel,
    generation: Generation,
    end: &End,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE generation SET ended = $3 \
         WHERE channel = $1 AND generation = $2 AND ended IS NULL",
    )
    .bind(channel.as_str())
    .bind(signed(generation.0))
    .bind(to_json(end)?)
    .execute(db)
    .await?;
    Ok(())
}

/// Every generation of a channel and the node that has its log, newest first, as many as anybody
/// looks through.
pub(super) async fn history(
    db: &mut AnyConnection,
    channel: &Channel,
    now: Wall,
) -> Result<Vec<(LastGeneration, NodeName)>, Fault> {
    let sql = concat!(
        "SELECT ",
        generation_columns!(),
        ", ",
        holder!(),
        " FROM generation g WHERE g.channel = $2 ORDER BY g.generation DESC LIMIT 10000"
    );
    let rows = sqlx::query(sql).bind(now.0).bind(channel.as_str()).fetch_all(db).await?;
    let read = |r| Ok((generation(r)?, text(r, GENERATION_COLUMNS)?.into()));
    rows.iter().map(read).collect()
}

/// A node has adopted a log, if there is such a generation.
pub(super) async fn store_holder(
    db: &mut AnyConnection,
    node: &NodeName,
    log: &LogName,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE generation SET holder = $4 \
         WHERE channel = $1 AND generation = $2 AND session = $3",
    )
    .bind(log.channel.as_str())
    .bind(signed(log.generation.0))
    .bind(signed(log.session.0))
    .bind(&**node)
    .execute(db)
    .await?;
    Ok(())
}

/// Every session of a channel: its number, whether it is over, whether its constants are set.
pub(super) async fn sessions(
    db: &mut AnyConnection,
    channel: &Channel,
) -> Result<Vec<(Session, bool, bool)>, Fault> {
    let sql = "SELECT s.session, s.over, CASE WHEN s.record IS NULL THEN 0 ELSE 1 END \
               FROM session s WHERE s.channel = $1 ORDER BY s.session";
    let rows = sqlx::query(sql).bind(channel.as_str()).fetch_all(db).await?;
    let read = |r| Ok((Session(number(r, 0)?), int(r, 1)? != 0, int(r, 2)? != 0));
    rows.iter().map(read).collect()
}

pub(super) async fn generations(
    db: &mut AnyConnection,
    channel: &Channel,
    session: Session,
    now: Wall,
) -> Result<Vec<(Generation, NodeName)>, Fault> {
    let sql = concat!(
        "SELECT g.generation, ",
        holder!(),
        " FROM generation g WHERE g.channel = $2 AND g.session = $3 ORDER BY g.generation"
    );
    let query = sqlx::query(sql).bind(now.0).bind(channel.as_str()).bind(signed(session.0));
    let rows = query.fetch_all(db).await?;
    rows.iter().map(|r| Ok((Generation(number(r, 0)?), text(r, 1)?.into()))).collect()
}

/// Generation, number and node of a job, from this column on.
fn job(r: &AnyRow, at: usize) -> Result<(Generation, Job, NodeName), Fault> {
    let number_of = u32::try_from(number(r, at + 1)?).unwrap_or(u32::MAX);
    Ok((Generation(number(r, at)?), Job(number_of), text(r, at + 2)?.into()))
}

/// Who made the rungs of a session's generations, oldest first.
pub(super) async fn jobs(
    db: &mut AnyConnection,
    channel: &Channel,
    session: Session,
) -> Result<Vec<(Generation, Job, NodeName)>, Fault> {
    let sql = "SELECT j.generation, j.job, j.node FROM job j \
               WHERE j.channel = $1 AND j.session = $2 ORDER BY j.generation, j.job";
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(session.0));
    query.fetch_all(db).await?.iter().map(|r| job(r, 0)).collect()
}

/// A session's constants, where they are set.
pub(super) async fn record(
    db: &mut AnyConnection,
    channel: &Channel,
    session: Session,
) -> Result<Option<SessionRecord>, Fault> {
    let sql = "SELECT record FROM session WHERE channel = $1 AND session = $2";
    let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(session.0));
    let Some(row) = query.fetch_optional(db).await? else { return Ok(None) };
    row.try_get::<Option<String>, _>(0)?.map(|t| json(&t)).transpose()
}

/// The newest session of every channel with all its generations and jobs.
pub(super) async fn live_sessions(
    db: &mut AnyConnection,
    now: Wall,
) -> Result<BTreeMap<Channel, LiveSession>, Fault> {
    let mut out = BTreeMap::new();
    for n in every_newest(&mut *db).await? {
        let (session, over, open) = (n.session, n.over, n.open);
        let (generations, jobs, record) = (Vec::new(), Vec::new(), None);
        let live = LiveSession { session, over, open, generations, jobs, record };
        out.insert(n.channel, live);
    }
    let sql = concat!(
        "SELECT c.channel, g.generation, ",
        holder!(),
        " FROM channel_state c \
         JOIN generation g ON g.channel = c.channel AND g.session = c.session \
         ORDER BY c.channel, g.generation"
    );
    for row in sqlx::query(sql).bind(now.0).fetch_all(&mut *db).await? {
        let of = out.get_mut(&channel(&text(&row, 0)?)?);
        if let Some(live) = of {
            live.generations.push((Generation(number(&row, 1)?), text(&row, 2)?.into()));
        }
    }
    let sql = "SELECT c.channel, j.generation, j.job, j.node FROM channel_state c \
               JOIN job j ON j.channel = c.channel AND j.session = c.session \
               ORDER BY c.channel, j.generation, j.job";
    for row in sqlx::query(sql).fetch_all(db).await? {
        if let Some(live) = out.get_mut(&channel(&text(&row, 0)?)?) {
            live.jobs.push(job(&row, 1)?);
        }
    }
    Ok(out)
}
