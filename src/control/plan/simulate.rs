//! A fleet of transcoders through a day: it lives through a trace, shows what is known to whoever
//! plans, carries out what is planned, and judges that by books of its own. It plans nothing
//! itself, so that what is judged is the plan that the API makes.
//!
//! ```text
//! while let Some(now) = simulation.advance() {
//!     let plan = place::plan(simulation.inventory(), &policy, now);
//!     simulation.carry_out(&plan);
//! }
//! ```

use crate::api::cluster::LEASE;
use crate::api::types::NodeName;
use crate::base::time::Wall;
use crate::control::plan::cost::correction::Correction;
use crate::control::plan::place::{
    Action, Cause, Decision, Inventory, Job, JobName, Plan, PlanNode, Policy, Run,
};
use crate::control::plan::trace::{Entry, Event};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Milliseconds between two plans at least; what happens meanwhile is planned for at once.
const ROUND: u64 = 5_000;

/// Milliseconds from a writer's start to its being ready: its connection, and the source's next
/// segment start.
const START: u64 = 3_000;

/// Milliseconds that a day goes on after its last event: what is under way comes to rest, and a
/// planner that never does is not followed for ever.
const REST: u64 = 60_000;

/// Most violations that are told in words.
const VIOLATIONS_TOLD: usize = 20;

/// What came of a day.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Plans that were made.
    pub rounds: u64,
    /// Jobs that were wanted.
    pub jobs: u64,
    /// Most jobs at one time.
    pub jobs_peak: usize,
    /// Writers that were started, moves among them.
    pub placements: u64,
    /// Moves off nodes that were lost.
    pub moved_lost: u64,
    /// Moves off nodes that were draining.
    pub moved_drain: u64,
    /// Moves off nodes with too much.
    pub moved_overload: u64,
    /// Jobs that were refused at least once.
    pub refused: usize,
    /// What jobs took of what nodes may be filled with, over time.
    pub utilisation_mean: f64,
    /// ... and at most.
    pub utilisation_peak: f64,
    /// What a plan must never do, and did.
    pub violations: u64,
    /// The first of them in words.
    pub told: Vec<String>,
}

/// What the simulation knows of a node, apart from what the planner is shown.
#[derive(Debug, Default)]
struct Book {
    alive: bool,
    draining: bool,
    /// What planning may fill.
    limit: f64,
    /// What runs there: jobs and millicores.
    runs: BTreeMap<JobName, u32>,
}

impl Book {
    fn load(&self) -> f64 {
        self.runs.values().map(|m| f64::from(*m)).sum()
    }
}

/// A day that is being lived.
#[derive(Debug)]
pub struct Simulation<'a> {
    trace: std::iter::Peekable<std::slice::Iter<'a, Entry>>,
    policy: Policy,
    now: u64,
    end: u64,
    shown: Inventory,
    /// Places in `shown.jobs`.
    places: HashMap<JobName, usize>,
    books: BTreeMap<NodeName, Book>,
    /// When writers are ready: time, job, generation.
    starting: BTreeSet<(u64, JobName, u64)>,
    /// Jobs for which there was no room, once at least.
    refused: HashSet<JobName>,
    /// Utilisation by time, summed up to `now`.
    used: f64,
    report: Report,
}

impl<'a> Simulation<'a> {
    /// At the beginning of a trace.
    pub fn new(trace: &'a [Entry], policy: Policy) -> Simulation<'a> {
        Simulation {
            trace: trace.iter().peekable(),
            policy,
            now: 0,
            end: trace.last().map_or(0, |e| e.at_ms + REST),
            shown: Inventory::default(),
            places: HashMap::new(),
            books: BTreeMap::new(),
            starting: BTreeSet::new(),
            refused: HashSet::new(),
            used: 0.0,
            report: Report::default(),
        }
    }

    /// Goes on to the next moment that needs a plan; `None`: the day is over.
    pub fn advance(&mut self) -> Option<Wall> {
        let event = self.trace.peek().map(|e| e.at_ms);
        let ready = self.starting.first().map(|(at, ..)| *at);
        // A lease that runs out is seen a round after.
        let lost = self.shown.nodes.iter().filter(|n| !self.books[&n.name].alive);
        let lost = lost.filter_map(|n| u64::try_from(n.lease.0 / 1_000).ok()).min();
        let next = [event, ready, lost].into_iter().flatten().min()?;
        let next = next.max(self.now).div_ceil(ROUND).max(1) * ROUND;
        if next > self.end {
            return None;
        }
        self.used += self.utilisation() * (next - self.now) as f64;
        self.now = next;
        while let Some(entry) = self.trace.next_if(|e| e.at_ms <= next) {
            self.happen(entry);
        }
        self.settle_starts();
        let now = wall(next);
        // Who lives says so; who does not is forgotten once its lease is over.
        let lease = now.plus(micros_of(LEASE.as_millis()));
        let books = &self.books;
        for node in self.shown.nodes.iter_mut().filter(|n| books[&n.name].alive) {
            node.lease = lease;
        }
        self.shown.nodes.retain(|n| now < n.lease);
        self.report.rounds += 1;
        self.report.jobs_peak = self.report.jobs_peak.max(self.shown.jobs.len());
        Some(now)
    }

    /// What a planner may know.
    pub fn inventory(&self) -> &Inventory {
        &self.shown
    }

    /// Does what is planned, and judges it: stops come last, since the room that they make was not
    /// there when the plan was made.
    pub fn carry_out(&mut self, plan: &Plan) {
        let mut touched: BTreeSet<NodeName> = BTreeSet::new();
        for decision in &plan.decisions {
            match &decision.action {
                Action::Start { node, generation, .. } => {
                    self.start(decision, node, *generation);
                    touched.insert(node.clone());
                }
                Action::Refuse => {
                    self.refused.insert(decision.job.clone());
                }
                Action::Stop { .. } | Action::Stay { .. } => {}
            }
        }
        for node in touched {
            let (load, limit) = self.books.get(&node).map_or((0.0, 0.0), |b| (b.load(), b.limit));
            if load > limit {
                self.violation(format!("{node} has {load} of {limit} millicores"));
            }
        }
        self.judge_refusals(plan);
        for decision in &plan.decisions {
            if let Action::Stop { node, generation } = &decision.action {
                self.stop(decision, node, *generation);
            }
        }
        self.report.utilisation_peak = self.report.utilisation_peak.max(self.utilisation());
    }

    /// What came of it so far.
    pub fn report(&self) -> Report {
        let utilisation_mean = self.used / (self.now as f64).max(1.0);
        Report { utilisation_mean, refused: self.refused.len(), ..self.report.clone() }
    }

    fn happen(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Join { node, capacity } => self.join(node, *capacity),
            Event::Lost { node } => {
                let lease = wall(entry.at_ms).plus(micros_of(LEASE.as_millis()));
                if let Some(book) = self.books.get_mut(node) {
                    book.alive = false;
                }
                for shown in self.shown.nodes.iter_mut().filter(|n| n.name == *node) {
                    shown.lease = lease;
                }
            }
            Event::Drain { node } => {
                if let Some(book) = self.books.get_mut(node) {
                    book.draining = true;
                }
                for shown in self.shown.nodes.iter_mut().filter(|n| n.name == *node) {
                    shown.draining = true;
                }
            }
            Event::Start { job, .. } if self.places.contains_key(job) => {}
            Event::Start { job, millicores } => {
                self.places.insert(job.clone(), self.shown.jobs.len());
                let (name, millicores) = (job.clone(), *millicores);
                let (runs, failed) = (Vec::new(), Vec::new());
                self.shown.jobs.push(Job { name, millicores, generation: 0, runs, failed });
                self.report.jobs += 1;
            }
            Event::Load { job, millicores } => {
                let Some(shown) = self.places.get(job).map(|i| &mut self.shown.jobs[*i]) else {
                    return;
                };
                shown.millicores = *millicores;
                for run in &shown.runs {
                    if let Some(m) = self.books.get_mut(&run.node).and_then(|b| b.runs.get_mut(job))
                    {
                        *m = *millicores;
                    }
                }
            }
            Event::Stop { job } => self.leave(job),
        }
    }

    /// A node is there, or there again: then what it ran before runs no more.
    fn join(&mut self, node: &NodeName, capacity: u32) {
        let limit = f64::from(capacity) * (1.0 - f64::from(self.policy.headroom) / 1e3);
        let (alive, runs) = (true, BTreeMap::new());
        self.books.insert(node.clone(), Book { alive, draining: false, limit, runs });
        for job in &mut self.shown.jobs {
            job.runs.retain(|r| r.node != *node);
        }
        self.shown.nodes.retain(|n| n.name != *node);
        let (name, draining, correction) = (node.clone(), false, Correction::default());
        let lease = wall(self.now).plus(micros_of(LEASE.as_millis()));
        self.shown.nodes.push(PlanNode { name, capacity, draining, lease, correction });
    }

    /// A job is wanted no more.
    fn leave(&mut self, job: &JobName) {
        let Some(i) = self.places.remove(job) else { return };
        let gone = self.shown.jobs.swap_remove(i);
        if let Some(moved) = self.shown.jobs.get(i) {
            self.places.insert(moved.name.clone(), i);
        }
        for run in &gone.runs {
            if let Some(book) = self.books.get_mut(&run.node) {
                book.runs.remove(job);
            }
        }
    }

    /// Writers whose time has come are ready, where their node still lives.
    fn settle_starts(&mut self) {
        while let Some((at, job, generation)) = self.starting.pop_first() {
            if at > self.now {
                self.starting.insert((at, job, generation));
                return;
            }
            let Some(shown) = self.places.get(&job).map(|i| &mut self.shown.jobs[*i]) else {
                continue;
            };
            for run in shown.runs.iter_mut().filter(|r| r.generation == generation) {
                run.ready = self.books.get(&run.node).is_some_and(|b| b.alive);
            }
        }
    }

    fn start(&mut self, decision: &Decision, node: &NodeName, generation: u64) {
        let counter = match decision.cause {
            Some(Cause::Lost) => Some(&mut self.report.moved_lost),
            Some(Cause::Drain) => Some(&mut self.report.moved_drain),
            Some(Cause::Overload) => Some(&mut self.report.moved_overload),
            Some(Cause::New | Cause::Ended) | None => None,
        };
        counter.into_iter().for_each(|n| *n += 1);
        self.report.placements += 1;
        let Some(i) = self.places.get(&decision.job).copied() else {
            return self.violation(format!("{decision}: there is no such job"));
        };
        let job = &mut self.shown.jobs[i];
        if generation <= job.generation {
            let given = job.generation;
            return self.violation(format!("{decision}: generation {given} was given"));
        }
        job.generation = generation;
        let millicores = job.millicores;
        job.runs.push(Run { node: node.clone(), generation, ready: false });
        self.starting.insert((self.now + START, decision.job.clone(), generation));
        let known = self.shown.nodes.iter().any(|n| n.name == *node);
        match self.books.get_mut(node).filter(|b| known && !b.draining) {
            None => self.violation(format!("{decision}: that node takes nothing")),
            Some(book) => {
                if book.runs.insert(decision.job.clone(), millicores).is_some() {
                    self.violation(format!("{decision}: that node runs it already"));
                }
            }
        }
    }

    fn stop(&mut self, decision: &Decision, node: &NodeName, generation: u64) {
        let job = self.places.get(&decision.job).map(|i| &mut self.shown.jobs[*i]);
        let Some(job) = job else { return };
        let stopped = |r: &Run| r.generation == generation && r.node == *node;
        let (old, kept): (Vec<Run>, Vec<Run>) = job.runs.drain(..).partition(stopped);
        job.runs = kept;
        let served = old.iter().any(|r| r.ready);
        let serves = job.runs.iter().any(|r| {
            r.ready && r.generation > generation && self.books.get(&r.node).is_some_and(|b| b.alive)
        });
        if let Some(book) = self.books.get_mut(node) {
            book.runs.remove(&decision.job);
        }
        // A node that died since its lease was renewed is nothing that a planner can know.
        let shown = |r: &Run| r.ready && self.shown.nodes.iter().any(|n| n.name == r.node);
        if served && !serves && !job.runs.iter().any(shown) {
            self.violation(format!("{decision}: nothing serves it now"));
        }
    }

    /// Nobody is refused who fits, and nobody is forgotten.
    fn judge_refusals(&mut self, plan: &Plan) {
        let known: HashSet<&NodeName> = self.shown.nodes.iter().map(|n| &n.name).collect();
        let books = self.books.iter().filter(|(n, b)| known.contains(n) && !b.draining);
        let roomiest = books.map(|(_, b)| b.limit - b.load()).fold(0.0, f64::max);
        let mut wrong = Vec::new();
        for decision in plan.refused().filter(|d| f64::from(d.millicores) <= roomiest) {
            wrong.push(format!("{decision}, but {roomiest} millicores are free on one"));
        }
        let decided: HashSet<&JobName> = plan.decisions.iter().map(|d| &d.job).collect();
        for job in &self.shown.jobs {
            let runs = job.runs.iter().any(|r| known.contains(&r.node));
            if !runs && !decided.contains(&job.name) {
                wrong.push(format!("{} runs nowhere, and nothing was decided", job.name));
            }
        }
        wrong.into_iter().for_each(|w| self.violation(w));
    }

    fn violation(&mut self, what: String) {
        self.report.violations += 1;
        if self.report.told.len() < VIOLATIONS_TOLD {
            self.report.told.push(format!("at {} s: {what}", self.now / 1_000));
        }
    }

    /// What runs, of what may be filled.
    fn utilisation(&self) -> f64 {
        let alive = self.books.values().filter(|b| b.alive);
        let (load, limit) =
            alive.fold((0.0, 0.0), |(load, limit), b| (load + b.load(), limit + b.limit));
        if limit > 0.0 { load / limit } else { 0.0 }
    }
}

fn wall(ms: u64) -> Wall {
    Wall(micros_of(u128::from(ms)))
}

fn micros_of(ms: u128) -> i64 {
    i64::try_from(ms * 1_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "simulate_test.rs"]
mod tests;
