//! Which node does which job: when a session is opened and when it goes on in another generation,
//! and round after round for those that nobody does. What the plan is (`control/plan/place`) asks
//! for is carried out job by job, each in a transaction that looks again whether it may.
//!
//! Invariant: no node is given more than its limit, whoever plans and however many do at a time:
//! who gives a job holds the lock on placing.

use super::Registry;
use super::db::{Fault, Tx, lock, to_json};
use super::job_rows::{self, Failures, Stored, insert, of_session, work};
use super::nodes::transcoders;
use super::numbers::LastGeneration;
use super::rows::signed;
use crate::api::jobs::{Failed, Schedule, Wanted, Without, Work};
use crate::api::types::{ChannelSettings, NodeName, Refusal, SessionRecord};
use crate::base::ids::{Channel, Generation, Job, Session};
use crate::base::time::{Wall, micros};
use crate::control::plan::explain;
use crate::control::plan::place::{self, Action, Inventory, Policy};
use crate::control::plan::rungs::with_rungs;
use crate::control::plan::schedule::{Placement, inventory, placements};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Who gives a job holds this row's lock, behind its channel's. No channel has such a name.
const PLACING: &str = "/jobs";

/// How long a node that could not do a job is not asked again, the first time; twice as long each
/// time it fails again. A disk that is full is not empty a moment later.
const PAUSE: Duration = Duration::from_secs(10);

/// How often that doubles: five minutes, within which whoever mends a node sees the job return.
const DOUBLED: u32 = 5;

/// How often everything is planned though every job has a node that lives: a node that its jobs
/// overload is not found otherwise. What they take is learnt over some ten seconds.
const WHOLE: Duration = Duration::from_secs(10);

/// Until when who has failed is not asked again.
fn until(f: &Failures) -> Wall {
    let doubled = f.times.saturating_sub(1).min(DOUBLED);
    f.last.plus(micros(PAUSE) << doubled)
}

/// A session is opened without rungs.
async fn store_without(
    tx: &mut Tx,
    channel: &Channel,
    session: Session,
    why: &Without,
) -> Result<(), Fault> {
    sqlx::query("UPDATE session SET unmade = $3 WHERE channel = $1 AND session = $2")
        .bind(channel.as_str())
        .bind(signed(session.0))
        .bind(to_json(why)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn store_job(
    tx: &mut Tx,
    channel: &Channel,
    (session, generation, job): (Session, Generation, Job),
    (node, millicores): (NodeName, u32),
    granted: Wall,
) -> Result<(), Fault> {
    let (channel, report, end, exact) = (channel.clone(), None, None, false);
    let j =
        Stored { channel, session, generation, job, node, granted, millicores, report, end, exact };
    insert(tx, &j).await
}

impl Registry {
    /// All that placing needs to know.
    async fn known_schedule(&self, tx: &mut Tx, now: Wall) -> Result<Schedule, Fault> {
        let calm = self.is_calm(tx, now).await?;
        let mut nodes = transcoders(tx, now, calm).await?;
        nodes.extend(self.own_transcoder.clone());
        let mut jobs = job_rows::wanted(tx).await?;
        // Databases have orders of their own.
        jobs.sort_by(|a, b| a.channel.cmp(&b.channel));
        for f in job_rows::failures(tx).await? {
            if let Ok(i) = jobs.binary_search_by(|w| w.channel.cmp(&f.channel)) {
                let until = until(&f);
                jobs[i].failed.push(Failed { node: f.node, until, why: f.why });
            }
        }
        // Of who waits for its encoder the room is kept, where there is one.
        let lives = |node: &NodeName| nodes.iter().any(|n| n.name == *node && now < n.lease);
        jobs.retain(|w| !w.waits || w.node.as_ref().is_some_and(lives));
        Ok(Schedule { now, nodes, jobs, without: job_rows::unmade(tx).await? })
    }

    /// What a plan of all jobs is made of.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn schedule(&self, now: Wall) -> Result<Schedule, Refusal> {
        let call = async {
            let mut tx = self.db.read().await?;
            let now = self.db.now(&mut tx, Some(now)).await?;
            self.known_schedule(&mut tx, now).await
        };
        self.db.answer(call).await
    }

    /// Is there something to plan?
    async fn is_due(&self, now: Wall) -> Result<bool, Fault> {
        let mut tx = self.db.read().await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let since = now.since(Wall(self.planned.load(Ordering::Relaxed)));
        if since.abs() >= micros(WHOLE) {
            return Ok(true);
        }
        // In calm no lease runs out, but those of who said goodbye.
        let at = if self.is_calm(&mut tx, now).await? { Wall(0) } else { now };
        let own = self.own_transcoder.as_ref().map_or("", |n| &*n.name);
        job_rows::is_any_unplaced(&mut tx, at, own).await
    }

    /// One round: gives jobs that nobody does, or whose node is lost, leaves or has too much, to
    /// others, and where nobody has room, their gaps to their source's node; how many. Somebody
    /// else `places`, or this does. It costs one query while there is nothing to do.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reconcile(&self, now: Wall, places: bool) -> Result<usize, Refusal> {
        if !self.db.answer(self.is_due(now)).await? {
            return Ok(0);
        }
        let schedule = self.schedule(now).await?;
        let plan = || place::plan(&inventory(&schedule), &Policy::default(), schedule.now);
        let wanted = if places { placements(&schedule, &plan()) } else { Vec::new() };
        let (mut given, mut done) = (0, BTreeSet::new());
        for p in wanted {
            match self.place(&p, now).await {
                Ok(()) => {
                    given += 1;
                    done.insert(p.channel);
                }
                Err(e @ Refusal::Unavailable(_)) => return Err(e),
                Err(e) => tracing::debug!("{e}"),
            }
        }
        given += self.cover(&schedule, &done, now).await?;
        self.planned.store(schedule.now.0, Ordering::Relaxed);
        Ok(given)
    }

    /// Jobs that nobody does and that were not `given` to anybody either: their source's node
    /// writes the gaps of their rungs, which have no writer for a lease by then; how many.
    async fn cover(
        &self,
        schedule: &Schedule,
        given: &BTreeSet<Channel>,
        now: Wall,
    ) -> Result<usize, Refusal> {
        let lives = |node: &NodeName| {
            let known = schedule.nodes.iter().find(|n| n.name == *node);
            known.is_some_and(|n| schedule.now < n.lease)
        };
        let is_done = |w: &&Wanted| w.waits || w.node.as_ref().is_some_and(lives);
        let mut covered = 0;
        for w in schedule.jobs.iter().filter(|w| !is_done(w) && !given.contains(&w.channel)) {
            covered += usize::from(self.db.answer(self.do_cover(w, now)).await?);
        }
        Ok(covered)
    }

    async fn do_cover(&self, w: &Wanted, now: Wall) -> Result<bool, Fault> {
        let mut tx = self.db.write().await?;
        lock(&mut tx, w.channel.as_str(), 1).await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let last = super::rows::last_generation(&mut tx, &w.channel).await?;
        let Some(last) = last.filter(|l| l.generation == w.generation && l.end.is_none()) else {
            return Ok(false);
        };
        let node = self.near_source(&last.node);
        let jobs = of_session(&mut tx, &w.channel, last.session).await?;
        let newest = jobs.iter().rfind(|j| j.generation == w.generation);
        let is_newest = newest.map_or(Job(0), |j| j.job) == w.job;
        let covers = newest.is_some_and(|j| j.end.is_none() && j.millicores == 0);
        let Some(job) = w.job.0.checked_add(1).filter(|_| is_newest && !covers) else {
            return Ok(false);
        };
        if !self.is_node_alive(&mut tx, &node, now).await? {
            return Ok(false);
        }
        let of = (last.session, w.generation, Job(job));
        self.give_gaps(&mut tx, &w.channel, of, node, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Who writes a source, or is nearest to it: the gaps of its rungs are written there.
    fn near_source(&self, writer: &NodeName) -> NodeName {
        let own = self.own_transcoder.as_ref().filter(|_| self.mirrors.is_some());
        own.map_or(writer, |own| &own.name).clone()
    }

    /// Gives a job in which nothing is made.
    async fn give_gaps(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        of: (Session, Generation, Job),
        node: NodeName,
        now: Wall,
    ) -> Result<(), Fault> {
        let (_, generation, job) = of;
        tracing::warn!(%channel, %generation, %job, node = &*node,
            "no transcoder has room: the rungs' gaps are written there");
        store_job(tx, channel, of, (node, 0), now).await
    }

    /// Gives a job to a node, if it is still as the plan took it to be. Given already: done.
    ///
    /// # Errors
    /// `Conflict`: it is not, or the node may not have it; `Unavailable`.
    pub async fn place(&self, p: &Placement, now: Wall) -> Result<(), Refusal> {
        self.db.answer(self.do_place(p, now)).await
    }

    async fn do_place(&self, p: &Placement, now: Wall) -> Result<(), Fault> {
        let Placement { channel, generation, job, node } = p;
        let mut tx = self.db.write().await?;
        lock(&mut tx, channel.as_str(), 1).await?;
        lock(&mut tx, PLACING, 0).await?;
        let now = self.db.now(&mut tx, Some(now)).await?;
        let no = |why: String| {
            Fault::from(Refusal::Conflict(format!("job {generation}.{job} of {channel}: {why}")))
        };
        let schedule = self.known_schedule(&mut tx, now).await?;
        let of = schedule.jobs.iter().find(|w| w.channel == *channel);
        let of = of.filter(|w| w.generation == *generation && !w.waits);
        let of = of.ok_or_else(|| no("that generation has no rungs to make now".into()))?;
        if (of.job, of.node.as_ref()) == (*job, Some(node)) {
            return Ok(());
        }
        if of.job.0.checked_add(1) != Some(job.0) {
            return Err(no(format!("{} is the newest", of.job)));
        }
        let inventory = inventory(&schedule);
        let wanted = inventory.jobs.iter().find(|j| *j.name == *channel.as_str());
        let wanted = wanted.ok_or_else(|| no("nobody knows it".into()))?;
        let policy = Policy::default();
        if let Some(why) = explain::refusal(&inventory, &policy, wanted, node, now) {
            return Err(no(format!("{node}: {why}")));
        }
        let last = super::rows::last_generation(&mut tx, channel).await?;
        let session = last.ok_or_else(|| no("there is no session".into()))?.session;
        let none = || no("the session has no work".into());
        let work = work(&mut tx, channel, session).await?.ok_or_else(none)?;
        let of = (session, *generation, *job);
        self.give(&mut tx, channel, of, (node.clone(), &work), now).await?;
        Ok(tx.commit().await?)
    }

    /// Where a channel's rungs of so many millicores are made: at `prefer` where that has room,
    /// else where the plan puts them; `None`: nowhere.
    async fn choose(
        &self,
        tx: &mut Tx,
        (channel, millicores): (&Channel, u32),
        prefer: Option<&NodeName>,
        now: Wall,
    ) -> Result<Option<NodeName>, Fault> {
        lock(tx, PLACING, 0).await?;
        let Inventory { nodes, mut jobs } = inventory(&self.known_schedule(tx, now).await?);
        let name: place::JobName = channel.as_str().into();
        let known = jobs.iter().position(|j| j.name == name).map(|i| jobs.remove(i));
        // Of one that is known it has been learnt what it takes.
        let (millicores, failed) = known.map_or((millicores, vec![]), |j| (j.millicores, j.failed));
        let job = place::Job { name, millicores, generation: 0, runs: Vec::new(), failed };
        let mut inventory = Inventory { nodes, jobs };
        let policy = Policy::default();
        if let Some(node) = prefer.filter(|node| job.failed.iter().all(|p| p.node != **node))
            && explain::refusal(&inventory, &policy, &job, node, now).is_none()
        {
            return Ok(Some(node.clone()));
        }
        let name = job.name.clone();
        inventory.jobs.push(job);
        let plan = place::plan(&inventory, &policy, now);
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
                store_without(tx, channel, last.session, &Without::NoCost(e.to_string())).await?;
                return Ok(record.clone());
            }
        };
        let Some(node) = self.choose(tx, (channel, work.millicores), None, now).await? else {
            tracing::warn!(%channel, millicores = work.millicores,
                "no transcoder has room: the session is opened without rungs");
            let without = Without::NoRoom(work.millicores);
            store_without(tx, channel, last.session, &without).await?;
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
        store_job(tx, channel, (session, generation, job), (node, work.millicores), granted).await
    }

    /// A session goes on in another generation: so do its rungs, where they were made.
    pub(super) async fn jobs_follow(
        &self,
        tx: &mut Tx,
        channel: &Channel,
        (session, generation): (Session, Generation),
        writer: &NodeName,
        now: Wall,
    ) -> Result<(), Fault> {
        let Some(work) = work(tx, channel, session).await? else { return Ok(()) };
        let before = of_session(tx, channel, session).await?;
        let at = before.iter().rfind(|j| j.millicores > 0).map(|j| j.node.clone());
        match self.choose(tx, (channel, work.millicores), at.as_ref(), now).await? {
            Some(node) => {
                self.give(tx, channel, (session, generation, Job(1)), (node, &work), now).await
            }
            None => {
                let of = (session, generation, Job(1));
                self.give_gaps(tx, channel, of, self.near_source(writer), now).await
            }
        }
    }
}
