//! Jobs while they run: what there is to do, how far it is, where it ended, why it can't be done.
//! Their ends are decided once, as generations' are; who does them is decided in `placing`.

use super::Registry;
use super::db::{Fault, Tx, lock, number, to_json};
use super::job_rows::{Stored, find, learn, of_session, store_end, work};
use super::rows::{self, signed};
use crate::api::jobs::{Before, Failure, JobReport, Order, Work};
use crate::api::types::{End, LastSegment, Refusal, SessionRecord, TrackEnd};
use crate::base::ids::{Channel, Generation, Job};
use crate::base::time::{Wall, micros};
use std::time::Duration;

/// How long a job that another one follows may take to tell where it ended, where its source has
/// gone on in another generation or its node is gone: what its encoders hold is coded and written
/// within a second, where there is a node to do it.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How many target durations longer it may take where it hands over: it ends where its source comes
/// to the next segment but one, at the latest.
const HANDING_OVER: u32 = 2;

/// Most characters of a reason that are kept.
const WHY: usize = 500;

/// The end of a job that nobody can ask: its last report; what had begun then can't be served. One
/// that never reported ended where the one before it did.
fn presumed_end(j: &Stored, before: Option<&Stored>, work: &Work) -> End {
    let tracks = work.rungs.iter().map(|r| r.track).chain(work.sound.iter().map(|s| s.track));
    let Some(r) = j.report else {
        let none = || {
            let (msn, dseq, wall, tracks) = (0, 0, j.granted.0, Vec::new());
            End { msn, dseq, wall, tracks, session_over: false }
        };
        return before.and_then(|b| b.end.clone()).unwrap_or_else(none);
    };
    let (msn, parts, last) = (r.msn.0, 0, LastSegment::Lost);
    let tracks = tracks.map(|track| TrackEnd { track, msn, parts, last }).collect();
    End { msn, dseq: r.dseq, wall: r.wall.0, tracks, session_over: false }
}

/// The job before another one in its session.
async fn before(tx: &mut Tx, j: &Stored) -> Result<Option<Stored>, Fault> {
    let all = of_session(tx, &j.channel, j.session).await?;
    Ok(all.into_iter().rfind(|other| other.writer() < j.writer()))
}

impl Registry {
    /// A job, for who does it.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
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
        let record = rows::record(&mut tx, channel, this.session).await?.ok_or_else(none)?;
        let mut awaits = false;
        let previous = match before(&mut tx, &this).await? {
            None => None,
            Some(j) => {
                let (end, exact) = match &j.end {
                    Some(end) => (Some(end.clone()), j.exact),
                    None if now < self.told_by(&mut tx, &this, &j, &record, now).await? => {
                        (None, false)
                    }
                    None => {
                        let end = presumed_end(&j, before(&mut tx, &j).await?.as_ref(), &work);
                        store_end(&mut tx, &j, &end, false).await?;
                        (Some(end), false)
                    }
                };
                awaits = end.is_none();
                end.map(|end| Before { generation: j.generation, job: j.job, end, exact })
            }
        };
        tx.commit().await?;
        let Stored { channel, session, node, end, millicores, .. } = this;
        let (ended, gaps) = (end.is_some(), millicores == 0);
        Ok(Order {
            channel,
            session,
            generation,
            job,
            node,
            record,
            work,
            previous,
            awaits,
            gaps,
            ended,
        })
    }

    /// Until when `before` may tell its end to `this`, which follows it.
    async fn told_by(
        &self,
        tx: &mut Tx,
        this: &Stored,
        before: &Stored,
        record: &SessionRecord,
        now: Wall,
    ) -> Result<Wall, Fault> {
        let hands_over = before.generation == this.generation
            && self.is_node_alive(tx, &before.node, now).await?;
        let segments = if hands_over { HANDING_OVER } else { 0 };
        let target = Duration::from_secs(record.target_duration.into());
        Ok(this.granted.plus(micros(LAST_WORDS + target * segments)))
    }

    /// A segment of the rungs started. What the job takes corrects what its session's jobs are
    /// taken to take.
    ///
    /// # Errors
    /// `Fenced` when another job makes them; `Unavailable`.
    pub async fn job_report(
        &self,
        channel: &Channel,
        (generation, job): (Generation, Job),
        said: &JobReport,
        now: Wall,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let sql =
                "SELECT COALESCE(MAX(job), 0) FROM job WHERE channel = $1 AND generation = $2";
            let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(generation.0));
            if number(&query.fetch_one(&mut *tx).await?, 0)? != u64::from(job.0) {
                return Err(Refusal::Fenced(generation).into());
            }
            let JobReport { report, load } = said;
            let done = sqlx::query(
                "UPDATE job SET msn = $4, report_dseq = $5, wall = $6, received = $7, told = $8 \
                 WHERE channel = $1 AND generation = $2 AND job = $3 AND ended IS NULL \
                 AND COALESCE(msn, 0) < $4",
            )
            .bind(channel.as_str())
            .bind(signed(generation.0))
            .bind(i64::from(job.0))
            .bind(signed(report.msn.0))
            .bind(signed(report.dseq))
            .bind(report.wall.0)
            .bind(now.0)
            .bind(to_json(load)?)
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Ok(());
            }
            if let Some(measured) = load.and_then(|l| l.millicores) {
                learn(&mut tx, channel, (generation, job), measured).await?;
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

    /// A job can't be done where it is: it has ended, and another node gets it.
    ///
    /// # Errors
    /// `NotFound`; `Fenced` when its end was decided; `Unavailable`.
    pub async fn job_failed(
        &self,
        channel: &Channel,
        (generation, job): (Generation, Job),
        failure: &Failure,
        now: Wall,
    ) -> Result<(), Refusal> {
        let call = async {
            let mut tx = self.db.write().await?;
            lock(&mut tx, channel.as_str(), 0).await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            let none = || Refusal::NotFound(format!("{channel} has no job {generation}.{job}"));
            let this = find(&mut tx, channel, (generation, job)).await?.ok_or_else(none)?;
            if this.end.is_some() {
                return Err(Refusal::Fenced(generation).into());
            }
            let end = match &failure.end {
                Some(end) => end.clone(),
                None => {
                    let work = work(&mut tx, channel, this.session).await?.ok_or_else(none)?;
                    presumed_end(&this, before(&mut tx, &this).await?.as_ref(), &work)
                }
            };
            store_end(&mut tx, &this, &end, failure.end.is_some()).await?;
            let why: String = failure.why.chars().take(WHY).collect();
            let (job_is, node) = (this.writer(), &*this.node);
            tracing::warn!(%channel, job = %job_is, node, "can't be done: {why}");
            let sql = "UPDATE job SET failed = $4, failed_at = $5 \
                       WHERE channel = $1 AND generation = $2 AND job = $3";
            let query = sqlx::query(sql).bind(channel.as_str()).bind(signed(generation.0));
            query.bind(i64::from(job.0)).bind(why).bind(now.0).execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        self.db.answer(call).await
    }
}
