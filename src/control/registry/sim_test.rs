//! Thousands of seeds on a virtual clock: origins, an encoder that moves between them, a network
//! that loses, delays and repeats, clocks that drift, a registry that is away and comes back. The
//! decisions are the real ones, on a store in memory.
//!
//! Checked: until edges knew of a grant nobody showed a number or a discontinuity at or past its
//! base; what is told of an end never changes; bases only grow; nobody who was heard within a lease
//! loses a session to somebody who takes it up.

use super::leases::{self, Calm, Standing, lease_micros};
use super::numbers::{self, FENCE_DELAY, LastGeneration, Line};
use crate::api::cluster::{HEARTBEAT, Role};
use crate::api::types::{End, Grant, NodeName, Refusal, Report, Want};
use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::{MICROS, Wall, micros};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

const SEEDS: u64 = 3000;
const NODES: usize = 3;
/// Half of a two-second aim.
const MIN_SEGMENT: i64 = MICROS;
/// Virtual time of one run.
const RUN: i64 = 150 * MICROS;
/// When a caller gives an answer up.
const PATIENCE: i64 = 5 * MICROS;
const START: i64 = 1_000_000_000_000;

/// A xorshift generator; never start it with zero.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn micros(&mut self, below: i64) -> i64 {
        i64::try_from(self.below(below.unsigned_abs())).expect("small")
    }
}

#[derive(Debug, Clone)]
enum Ask {
    Grant(Want),
    Report(Generation, Report),
    End(Generation, End),
    Heartbeat,
}

#[derive(Debug, Clone)]
enum Answer {
    Granted(Box<Grant>),
    Reported(Msn),
    Ended,
    TakeUp(bool),
    No(Refusal),
}

#[derive(Debug, Clone)]
enum Event {
    /// A call comes to the registry; the number is the caller's.
    Asked(usize, u64, Ask),
    Answered(usize, u64, Answer),
    /// A caller has waited long enough.
    GivenUp(usize, u64),
    /// A writer tries to start a segment.
    Write(usize),
    Beat(usize),
    /// The encoder connects to an origin.
    Connect,
    /// The registry is gone or back; a node's network is cut or mended; a node dies or starts.
    Away(bool),
    Cut(usize, bool),
    Dead(usize, bool),
}

struct Writer {
    generation: Generation,
    next: Msn,
    dseq: u64,
    /// A discontinuity that is held until its report is answered.
    held: Option<Msn>,
    acked: (Msn, i64),
    newest: Option<Report>,
    ending: Option<End>,
}

struct Node {
    name: NodeName,
    /// Its monotonic clock's error, parts per million.
    ppm: i64,
    cut: bool,
    dead: bool,
    writer: Option<Writer>,
    /// The open call of the writer, and of the node itself: an answer to another one is nobody's.
    call: Option<(u64, Ask)>,
    beat: Option<u64>,
}

impl Node {
    fn mono(&self, now: i64) -> i64 {
        (now - START) + (now - START) * self.ppm / 1_000_000
    }
}

/// The database, and what its process keeps.
#[derive(Default)]
struct Store {
    sessions: Vec<(Session, bool)>,
    generations: Vec<LastGeneration>,
    leases: BTreeMap<NodeName, (Wall, Wall)>,
    calm_until: Wall,
    calm: Calm,
    away: bool,
}

/// What was shown: when, by which generation, which number.
type Shown = (i64, Generation, Msn, u64);

struct World {
    rng: Rng,
    now: i64,
    events: BinaryHeap<Reverse<(i64, u64)>>,
    what: BTreeMap<u64, Event>,
    serial: u64,
    nodes: Vec<Node>,
    store: Store,
    shown: Vec<Shown>,
    ends: BTreeMap<Generation, End>,
    /// A toy that takes the newest report for all that a writer counts from.
    naive: bool,
    wrong: Option<String>,
    take_ups: usize,
}

impl World {
    fn new(seed: u64, naive: bool) -> World {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let node = |n: usize| Node {
            name: format!("o{n}").into(),
            ppm: rng.micros(500) - 250,
            cut: false,
            dead: false,
            writer: None,
            call: None,
            beat: None,
        };
        let nodes = (0..NODES).map(node).collect();
        World {
            rng,
            now: START,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            serial: 0,
            nodes,
            store: Store::default(),
            shown: Vec::new(),
            ends: BTreeMap::new(),
            naive,
            wrong: None,
            take_ups: 0,
        }
    }

    fn after(&mut self, micros: i64, event: Event) {
        self.serial += 1;
        self.what.insert(self.serial, event);
        self.events.push(Reverse((self.now + micros.max(1), self.serial)));
    }

    /// The network: lost, late, twice.
    fn send(&mut self, node: usize, event: Event) {
        if self.nodes[node].cut || self.nodes[node].dead || self.rng.one_in(12) {
            return;
        }
        for _ in 0..1 + usize::from(self.rng.one_in(15)) {
            let worst = if self.rng.one_in(15) { 20 * MICROS } else { MICROS / 5 };
            let delay = self.rng.micros(worst);
            self.after(delay, event.clone());
        }
    }

    fn call(&mut self, node: usize, ask: Ask) {
        let id = self.serial + 1;
        if matches!(ask, Ask::Heartbeat) {
            self.nodes[node].beat = Some(id);
        } else {
            self.nodes[node].call = Some((id, ask.clone()));
        }
        self.after(PATIENCE, Event::GivenUp(node, id));
        self.send(node, Event::Asked(node, id, ask));
    }

    fn fail(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    fn run(mut self) -> World {
        for node in 0..NODES {
            let first = self.rng.micros(MICROS);
            self.after(first, Event::Beat(node));
        }
        self.after(10, Event::Connect);
        while let Some(Reverse((at, serial))) = self.events.pop() {
            if at > START + RUN || self.wrong.is_some() {
                break;
            }
            self.now = at;
            let event = self.what.remove(&serial).expect("scheduled");
            self.step(event);
            self.misfortune();
        }
        self.judge();
        self
    }

    /// Now and then something goes wrong for a while.
    fn misfortune(&mut self) {
        if !self.rng.one_in(150) {
            return;
        }
        let (lasts, node) = (self.rng.micros(20 * MICROS), self.rng.below(NODES as u64) as usize);
        let (begins, ends) = match self.rng.below(3) {
            0 => (Event::Away(true), Event::Away(false)),
            1 => (Event::Cut(node, true), Event::Cut(node, false)),
            _ => (Event::Dead(node, true), Event::Dead(node, false)),
        };
        self.after(1, begins);
        self.after(1 + lasts, ends);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Asked(node, id, ask) if !self.store.away => {
                let answer = self.decide(node, ask).unwrap_or_else(Answer::No);
                self.send(node, Event::Answered(node, id, answer));
            }
            Event::Asked(..) => {}
            Event::Answered(node, id, answer) => self.answered(node, id, answer),
            Event::GivenUp(node, id) => self.given_up(node, id),
            Event::Write(node) => self.write(node),
            Event::Beat(node) => {
                self.after(micros(HEARTBEAT), Event::Beat(node));
                if !self.nodes[node].dead {
                    self.call(node, Ask::Heartbeat);
                }
            }
            Event::Connect => self.connect(),
            // What it held in memory is gone.
            Event::Away(away) => {
                self.store.away = away;
                self.store.calm = Calm::default();
            }
            Event::Cut(node, cut) => self.nodes[node].cut = cut,
            Event::Dead(node, dead) => {
                let node = &mut self.nodes[node];
                (node.dead, node.writer, node.call, node.beat) = (dead, None, None, None);
            }
        }
    }

    /// The encoder moves; the origin that it leaves may notice and end.
    fn connect(&mut self) {
        let stays = 2 * MICROS + self.rng.micros(25 * MICROS);
        self.after(stays, Event::Connect);
        if self.rng.one_in(2) {
            for node in 0..NODES {
                self.finish(node);
            }
        }
        let node = self.rng.below(NODES as u64) as usize;
        if self.nodes[node].call.is_none() && !self.nodes[node].dead {
            let want = Want { node: self.nodes[node].name.clone(), key: Some("k".into()) };
            self.call(node, Ask::Grant(want));
        }
    }

    fn finish(&mut self, node: usize) {
        let session_over = self.rng.one_in(5);
        let Some(w) = &mut self.nodes[node].writer else { return };
        if w.ending.is_none() {
            // What is held was never shown.
            let (msn, dseq) = (w.next.0 - 1, w.dseq);
            w.ending = Some(End { msn, dseq, wall: 0, tracks: Vec::new(), session_over });
        }
        self.speak(node);
    }

    /// The writer says what it has to say, one call at a time.
    fn speak(&mut self, node: usize) {
        let n = &self.nodes[node];
        let (Some(w), None) = (&n.writer, &n.call) else { return };
        let ask = match (&w.ending, w.newest) {
            (Some(end), _) => Ask::End(w.generation, end.clone()),
            (None, Some(report)) if report.msn > w.acked.0 => {
                Ask::Report(w.generation, Report { acked: w.acked.0, ..report })
            }
            _ => return,
        };
        self.call(node, ask);
    }

    /// As many segments as the allowance has: the worst that a writer does.
    fn write(&mut self, node: usize) {
        let (pause, breaks) = (self.rng.micros(2 * MICROS), self.rng.one_in(8));
        let many = self.rng.one_in(3);
        let (now, mono) = (self.now, self.nodes[node].mono(self.now));
        let Some(w) = self.nodes[node].writer.as_mut() else { return };
        if w.ending.is_some() {
            return;
        }
        loop {
            let elapsed = u64::try_from((mono - w.acked.1) / MIN_SEGMENT).expect("it runs on");
            if w.held.is_some() || w.next.0 > w.acked.0.0 + elapsed + 1 {
                break;
            }
            let report = |dseq| Report { msn: w.next, dseq, wall: Wall(now), acked: w.acked.0 };
            if breaks && w.newest.is_none_or(|r| r.msn < w.next) {
                w.newest = Some(report(w.dseq + 1));
                w.held = Some(w.next);
                break;
            }
            w.newest = Some(report(w.dseq));
            self.shown.push((now, w.generation, w.next, w.dseq));
            w.next = w.next.next();
            if !many {
                break;
            }
        }
        self.speak(node);
        self.after(MICROS / 4 + pause, Event::Write(node));
    }

    fn given_up(&mut self, node: usize, id: u64) {
        let n = &mut self.nodes[node];
        if n.beat == Some(id) {
            n.beat = None;
        }
        if n.call.as_ref().is_some_and(|c| c.0 == id) {
            n.call = None;
            self.speak(node);
        }
    }

    fn answered(&mut self, node: usize, id: u64, answer: Answer) {
        let mono = self.nodes[node].mono(self.now);
        let n = &mut self.nodes[node];
        if n.beat == Some(id) {
            n.beat = None;
            if matches!(answer, Answer::TakeUp(true)) && n.call.is_none() {
                let want = Want { node: n.name.clone(), key: None };
                self.call(node, Ask::Grant(want));
            }
            return;
        }
        let Some((_, ask)) = n.call.take_if(|c| c.0 == id) else { return };
        match answer {
            Answer::Granted(grant) => {
                let generation = grant.generation;
                let acked = (Msn(grant.base.0 - 1), mono);
                let (next, dseq) = (grant.base, grant.dseq);
                let writes = n.writer.is_some();
                let (held, newest, ending) = (None, None, None);
                n.writer = Some(Writer { generation, next, dseq, held, acked, newest, ending });
                if !writes {
                    self.after(1, Event::Write(node));
                }
            }
            Answer::Reported(msn) => {
                let Some(w) = n.writer.as_mut() else { return };
                w.acked = (msn, mono);
                // What it told of as its end is its end.
                if w.held == Some(msn) && w.ending.is_none() {
                    (w.held, w.dseq) = (None, w.dseq + 1);
                    self.shown.push((self.now, w.generation, msn, w.dseq));
                    w.next = msn.next();
                }
                self.speak(node);
            }
            Answer::Ended | Answer::No(Refusal::Fenced(_)) => n.writer = None,
            Answer::TakeUp(_) => {}
            Answer::No(_) if matches!(ask, Ask::Grant(_)) => {}
            Answer::No(refusal) => self.fail(format!("{ask:?} was refused: {refusal}")),
        }
    }

    /// The registry: the same decisions as on a database, in the same order.
    fn decide(&mut self, node: usize, ask: Ask) -> Result<Answer, Refusal> {
        let now = Wall(self.now);
        let calm = self.store.calm.is_on(now) || now < self.store.calm_until;
        match ask {
            Ask::Grant(want) => self.grant(&want, now, calm),
            Ask::Report(generation, report) => {
                let last = self.store.generations.last_mut();
                let news =
                    numbers::reported(last.as_deref(), generation, report, now, MIN_SEGMENT)?;
                if let (Some(news), Some(last)) = (news, last) {
                    let newest = Line { msn: news.report.msn, at: news.received };
                    last.line = if self.naive { newest } else { news.line };
                    last.report = Some((news.report, news.received));
                }
                Ok(Answer::Reported(report.msn))
            }
            Ask::End(generation, end) => {
                let last = self.store.generations.last_mut();
                let ending = numbers::ended(last.as_deref(), generation, &end)?;
                if let Some(last) = last.filter(|_| ending.decides) {
                    last.end = Some(end);
                }
                if let Some(session) = self.store.sessions.last_mut().filter(|_| ending.over) {
                    session.1 = true;
                }
                Ok(Answer::Ended)
            }
            Ask::Heartbeat => {
                let heard = self.store.leases.values().map(|l| l.1).max();
                if leases::was_deaf(heard, now) {
                    self.store.calm_until = now.plus(lease_micros());
                }
                let name = self.nodes[node].name.clone();
                self.store.leases.insert(name.clone(), (now.plus(lease_micros()), now));
                Ok(Answer::TakeUp(self.is_appointed(&name, now, calm)))
            }
        }
    }

    fn is_appointed(&self, node: &NodeName, now: Wall, calm: bool) -> bool {
        let (Some(last), Some(session)) =
            (self.store.generations.last(), self.store.sessions.last())
        else {
            return false;
        };
        let lease = |n: &NodeName| self.store.leases.get(n).map(|l| l.0);
        if session.1 || last.node == *node {
            return false;
        }
        let standing = |(name, lease): (&NodeName, &(Wall, Wall))| Standing {
            name: name.clone(),
            role: Role::Origin,
            draining: false,
            lease: lease.0,
        };
        let nodes: Vec<Standing> = self.store.leases.iter().map(standing).collect();
        let main: Channel = "main".parse().expect("a name");
        !leases::alive(lease(&last.node), last.granted, now, calm)
            && leases::appointed(&main, &nodes, now) == Some(node)
    }

    fn grant(&mut self, want: &Want, now: Wall, calm: bool) -> Result<Answer, Refusal> {
        let session = self.store.sessions.last().copied();
        let last = self.store.generations.last_mut();
        let of = last.as_deref().and_then(|l| self.store.leases.get(&l.node)).copied();
        let alive =
            last.as_deref().is_some_and(|l| leases::alive(of.map(|o| o.0), l.granted, now, calm));
        numbers::may_write(want, last.as_deref(), session, alive)?;
        let others = last.as_deref().is_some_and(|l| l.node != want.node);
        let next = numbers::next(last.as_deref(), session, now, MIN_SEGMENT);
        if let (Some(last), Some(end)) = (last, &next.decided) {
            last.end = Some(end.clone());
        }
        if want.key.is_none() && others {
            self.take_ups += 1;
            if of.is_some_and(|(_, seen)| now.since(seen) < lease_micros()) {
                self.fail(format!("{} was alive and lost its session", want.node));
            }
        }
        if self.store.sessions.last().is_none_or(|s| s.0 != next.session) {
            self.store.sessions.push((next.session, false));
        }
        if let Some((generation, end)) = &next.previous {
            let before = self.ends.entry(*generation).or_insert_with(|| end.clone());
            if before != end {
                let why = format!("{generation} ended at {before:?}, then at {end:?}");
                self.fail(why);
            }
        }
        self.store.generations.push(LastGeneration {
            generation: next.generation,
            session: next.session,
            node: want.node.clone(),
            key: String::new(),
            base: next.base,
            dseq: next.dseq,
            granted: next.granted,
            report: None,
            line: Line { msn: Msn(next.base.0 - 1), at: next.granted },
            end: None,
        });
        Ok(Answer::Granted(Box::new(Grant {
            session: next.session,
            generation: next.generation,
            base: next.base,
            dseq: next.dseq,
            previous: next.previous,
            record: None,
            render: None,
        })))
    }

    fn judge(&mut self) {
        let all = &self.store.generations;
        let mut wrong = None;
        for pair in all.windows(2) {
            if pair[1].base < pair[0].base || pair[1].dseq < pair[0].dseq {
                wrong = Some(format!("{:?} after {:?}", pair[1], pair[0]));
            }
        }
        for &(at, generation, msn, dseq) in &self.shown {
            let mut later = all.iter().filter(|g| g.generation > generation).peekable();
            // Whatever a fenced writer shows from then on, no edge lists.
            let known = later.peek().map(|g| g.granted.0 + micros(FENCE_DELAY));
            if known.is_some_and(|known| at > known) {
                continue;
            }
            if let Some(g) = later.find(|g| msn >= g.base || dseq > g.dseq) {
                let (number, base, from) = (g.generation, g.base, g.dseq);
                wrong = Some(format!(
                    "{generation} showed {msn}/{dseq} at {at}, {number} begins at {base}/{from}"
                ));
            }
        }
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }
}

#[test]
fn no_two_generations_show_one_number() {
    let (mut shown, mut generations, mut take_ups) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let world = World::new(seed, false).run();
        assert_eq!(world.wrong, None, "seed {seed}");
        shown += world.shown.len();
        generations += world.store.generations.len();
        take_ups += world.take_ups;
    }
    // It is no proof if nothing happened.
    let seeds = SEEDS as usize;
    assert!(
        shown > 30 * seeds && generations > 4 * seeds && take_ups > seeds / 10,
        "{shown} segments of {generations} generations, {take_ups} taken up"
    );
}

#[test]
fn a_registry_that_trusts_the_newest_report_is_found_out() {
    let found = (1..=SEEDS).find_map(|seed| World::new(seed, true).run().wrong);
    assert!(found.is_some_and(|why| why.contains("showed")), "it went unnoticed");
}
