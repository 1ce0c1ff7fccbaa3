//! Jobs: who makes the rungs of a generation. Placed when a session is opened and when it goes on
//! in another generation, moved when a node is lost; their ends are decided once, as generations'
//! are.

use super::Registry;
use super::db::{Fault, Tx, json, lock, number, text, to_json};
use super::job_rows::{Stored, find, insert, of_session, running, store_end, work, written};
use super::nodes::transcoders;
use super::numbers::LastGeneration;
use super::rows::signed;
use crate::api::jobs::{Before, Order, Work};
use crate::api::types::{
    ChannelSettings, End, LastSegment, NodeName, Refusal, Report, SessionRecord, TrackEnd,
};
use crate::base::ids::{Channel, Generation, Job, Session};
use crate::base::time::{Wall, micros};
use crate::control::plan::place::{self, Action, Inventory, Policy, Run};
use crate::control::plan::rungs::with_rungs;
use std::time::Duration;

/// How long a job that another one follows may take to tell where it ended: what its encoders hold
/// is coded and written within a second, where there is a node to do it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The end of a job that nobody can ask: its last report; what had begun then can't be served.
fn presumed_end(j: &Stored, work: &Work) -> End {
    let tracks = work.rungs.iter().map(|r| r.track).chain(work.sound.iter().map(|s| s.track));
    let Some(r) = j.report else {
        let (msn, dseq, wall, tracks) = (0, 0, j.granted.0, Vec::new());
        return End { msn, dseq, wall, tracks, session_over: false };
    };
    let (msn, parts, last) = (r.msn.0, 0, LastSegment::Lost);
    let tracks = tracks.map(|track| TrackEnd { track, msn, parts, last }).collect();
    End { msn, dseq: r.dseq, wall: r.wall.0, tracks, session_over: false }
}

impl Registry {
    /// Where a job of so many millicores runs: at `prefer` where that has room, else where the plan
    /// puts it; `None`: nowhere.
    async fn choose(
        &self,
        tx: &mut Tx,
        millicores: u32,
        prefer: Option<&NodeName>,
        now: Wall,
    ) -> Result<Option<NodeName>, Fault> {
        let calm = self.is_calm(tx, now).await?;
        let mut nodes = transcoders(tx, now, calm).await?;
        nodes.extend(self.own_transcoder.clone());
        if let Some(node) = nodes.iter().find(|n| Some(&n.name) == prefer && !n.draining) {
            // It has run there: its room is its own until it has moved.
            return Ok(Some(node.name.clone()));
        }
        let job = |(i, j): (usize, Stored)| place::Job {
            name: i.to_string().into(),
            millicores: j.millicores,
            generation: 1,
            runs: vec![Run { node: j.node, generation: 1, ready: true }],
        };
        let mut jobs: Vec<_> = running(tx).await?.into_iter().enumerate().map(job).collect();
        let name: place::JobName = "new".into();
        let runs = Vec::new();
        jobs.push(place::Job { name: name.clone(), millicores, generation: 0, runs });
        let plan = place::plan(&Inventory { nodes, jobs }, &Policy::default(), now);
        let decided = plan.decisions.into_iter().find(|d| d.job == name).map(|d| d.action);
        Ok(match decided {
            Some(Action::Start { node, .. }) => Some(node),
            _ => None,
        })
    }

    /// The constants of a session that is being opened, with the rungs that somebody has room for;
    /// their work is stored and given away.
    pub(super) async fn admit_rungs(
        &self,
        tx: &mut Tx,
        (channel, settings): (&Channel, &ChannelSettings),
        last: &LastGeneration,
        record: &SessionRecord,
        now: Wall,
    ) -> Result<SessionRecord, Fault> {
        let (with, work) = match with_rungs(settings, record, &self.machine) {
            Ok(Some(with)) => with,
            Ok(None) => return Ok(record.clone()),
            Err(e) => {
                tracing::warn!(%channel, "the session is opened without rungs: {e}");
                return Ok(record.clone());
            }
        };
        let Some(node) = self.choose(tx, work.millicores, None, now).await? else {
            tracing::warn!(%channel, millicores = work.millicores,
                "no transcoder has room: the session is opened without rungs");
            return Ok(record.clone());
        };
        sqlx::query("UPDATE session SET work = $3 WHERE channel = $1 AND session = $2")
            .bind(channel.as_str())
            .bind(signed(last.session.0))
            .bind(to_json(&work)?)
            .execute(&mut **tx)
            .await?;
        self.give(tx, channel, (last.session, last.generation, Job(1)), (node, &work), now).await?;
        Ok(with)
    }

    async fn give(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        (session, generation, job): (Session, Generation, Job),
        (node, work): (NodeName, &Work),
        granted: Wall,
    ) -> Result<(), Fault> {
        tracing::info!(%channel, %generation, %job, node = &*node, millicores = work.millicores,
            "the rungs are made there");
        let (channel, millicores) = (channel.clone(), work.millicores);
        let (report, end, exact) = (None, None, false);
        let j = Stored {
            channel,
            session,
            generation,
            job,
            node,
            granted,
            millicores,
            report,
            end,
            exact,
        };
        insert(tx, &j).await
    }

    /// A session goes on in another generation: so do its rungs, where they were made.
    pub(super) async fn jobs_follow(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        (session, generation): (Session, Generation),
        now: Wall,
    ) -> Result<(), Fault> {
        let Some(work) = work(tx, channel, session).await? else { return Ok(()) };
        let before = of_session(tx, channel, session).await?;
        let at = before.last().map(|j| j.node.clone());
        match self.choose(tx, work.millicores, at.as_ref(), now).await? {
            Some(node) => {
                self.give(tx, channel, (session, generation, Job(1)), (node, &work), now).await
            }
            None => {
                tracing::warn!(%channel, %generation, "no transcoder has room for the rungs");
                Ok(())
            }
        }
    }

    /// Rungs that nobody makes, because their node is lost, or has said that it ends, or none had
    /// room, are given to others.
    pub(super) async fn move_lost(&self, tx: &mut Tx, now: Wall) -> Result<(), Fault> {
        let calm = self.is_calm(tx, now).await?;
        let mut alive: Vec<NodeName> =
            transcoders(tx, now, calm).await?.into_iter().map(|n| n.name).collect();
        alive.extend(self.own_transcoder.iter().map(|n| n.name.clone()));
        for (channel, session, generation) in written(tx).await? {
            let all = of_session(tx, &channel, session).await?;
            let last = all.into_iter().rfind(|j| j.generation == generation);
            if last.as_ref().is_some_and(|j| j.end.is_none() && alive.contains(&j.node)) {
                continue;
            }
            let Some(work) = work(tx, &channel, session).await? else { continue };
            let Some(node) = self.choose(tx, work.millicores, None, now).await? else { continue };
            lock(tx, channel.as_str(), 1).await?;
            let next = (session, generation, Job(last.map_or(0, |j| j.job.0) + 1));
            self.give(tx, &channel, next, (node, &work), now).await?;
        }
        Ok(())
    }

    /// A job, for who does it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` while the job before may still tell where it ended.
    pub async fn job(
        &self,
        channel: &Channel,
        generation: Generation,
        job: Job,
        now: Wall,
    ) -> Result<Order, Refusal> {
        self.db.answer(self.do_job(channel, generation, job, now)).await
    }

    async fn do_job(
        &self,
        channel: &Channel,
        generation: Generation,
        job: Job,
        now: Wall,
    ) -> Result<Order, Fault> {
        let mut tx = self.db.write().await?;
        lock(&mut tx, channel.as_str(), 0).await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let none = || Refusal::NotFound(format!("{channel} has no job {generation}.{job}"));
        let this = find(&mut tx, channel, (generation, job)).await?.ok_or_else(none)?;
        let work = work(&mut tx, channel, this.session).await?.ok_or_else(none)?;
        let sql = "SELECT record FROM session WHERE channel = $1 AND session = $2";
        let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(this.session.0));
        let record = json(&text(&query.fetch_one(&mut *tx).await?, 0)?)?;
        let all = of_session(&mut tx, channel, this.session).await?;
        let before = all.into_iter().rev().find(|j| j.writer() < this.writer());
        let previous = match before {
            None => None,
            Some(j) => {
                let (end, exact) = match &j.end {
                    Some(end) => (end.clone(), j.exact),
                    None if now.since(this.granted) < micros(LAST_WORDS) => {
                        let why = format!("job {} has not told its end yet", j.writer());
                        return Err(Refusal::Unavailable(why).into());
                    }
                    None => {
                        let end = presumed_end(&j, &work);
                        store_end(&mut tx, &j, &end, false).await?;
                        (end, false)
                    }
                };
                Some(Before { generation: j.generation, job: j.job, end, exact })
            }
        };
        tx.commit().await?;
        let Stored { channel, session, node, end, .. } = this;
        let ended = end.is_some();
        Ok(Order { channel, session, generation, job, node, record, work, previous, ended })
    }

    /// A segment of the rungs started.
    ///
    /// # Errors
    /// `Fenced` when another job makes them; `Unavailable`.
    pub async fn job_report(
        &self,
        channel: &Channel,
        (generation, job): (Generation, Job),
        report: Report,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let sql =
                "SELECT COALESCE(MAX(job), 0) FROM job WHERE channel = $1 AND generation = $2";
            let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(generation.0));
            if number(&query.fetch_one(&mut *tx).await?, 0)? != u64::from(job.0) {
                return Err(Refusal::Fenced(generation).into());
            }
            let done = sqlx::query(
                "UPDATE job SET msn = $4, report_dseq = $5, wall = $6 WHERE channel = $1 \
                 AND generation = $2 AND job = $3 AND ended IS NULL AND COALESCE(msn, 0) < $4",
            )
            .bind(channel.as_str())
            .bind(signed(generation.0))
            .bind(i64::from(job.0))
            .bind(signed(report.msn.0))
            .bind(signed(report.dseq))
            .bind(report.wall.0)
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }

    /// A job ended here.
    ///
    /// # Errors
    /// `Fenced` when its end was decided; `Unavailable`.
    pub async fn job_end(
        &self,
        channel: &Channel,
        (generation, job): (Generation, Job),
        end: &End,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let done = sqlx::query(
                "UPDATE job SET ended = $4, exact = 1 \
                 WHERE channel = $1 AND generation = $2 AND job = $3 AND ended IS NULL",
            )
            .bind(channel.as_str())
            .bind(signed(generation.0))
            .bind(i64::from(job.0))
            .bind(to_json(end)?)
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(Refusal::Fenced(generation).into());
            }
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }
}
