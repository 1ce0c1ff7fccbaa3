//! Placement: known inventories by table, and what holds for any.

use crate::base::random::Random;
use crate::base::time::{MICROS, Wall};
use crate::control::plan::cost::correction::Correction;

use crate::control::plan::place::{
    Action, Cause, HEADROOM, Inventory, Job, Pause, Plan, PlanNode, Policy, Run, plan,
};
use std::collections::BTreeMap;

fn at(second: i64) -> Wall {
    Wall(second * MICROS)
}

const NOW: Wall = Wall(100 * MICROS);

fn node(name: &str, capacity: u32) -> PlanNode {
    let (lease, correction) = (at(106), Correction::default());
    PlanNode { name: name.into(), capacity, draining: false, lease, correction }
}

fn job(name: &str, millicores: u32, runs: &[(&str, u64, bool)]) -> Job {
    let run = |(node, generation, ready): &(&str, u64, bool)| Run {
        node: (*node).into(),
        generation: *generation,
        ready: *ready,
    };
    let generation = runs.iter().map(|r| r.1).max().unwrap_or_default();
    let (name, runs) = (name.into(), runs.iter().map(run).collect());
    Job { name, millicores, generation, runs, failed: Vec::new() }
}

fn all(nodes: Vec<PlanNode>, jobs: Vec<Job>) -> Inventory {
    Inventory { nodes, jobs }
}

/// What is decided, in words, with no headroom.
fn decided(inventory: &Inventory) -> Vec<String> {
    let policy = Policy { headroom: 0, candidates: 0 };
    plan(inventory, &policy, NOW).decisions.iter().map(ToString::to_string).collect()
}

#[test]
fn a_new_job_goes_where_the_least_is_left() {
    let nodes = || vec![node("a", 4_000), node("b", 2_000), node("c", 3_000)];
    let one = decided(&all(nodes(), vec![job("x", 1_500, &[])]));
    assert_eq!(one, ["start x (1500), which is new, on b as 1"]);
    // Large ones first: they fit in few places.
    let three = [job("x", 1_500, &[]), job("y", 3_900, &[]), job("z", 2_500, &[])];
    let want = [
        "start y (3900), which is new, on a as 1",
        "start z (2500), which is new, on c as 1",
        "start x (1500), which is new, on b as 1",
    ];
    assert_eq!(decided(&all(nodes(), three.to_vec())), want);
    let none = decided(&all(nodes(), vec![job("x", 4_001, &[])]));
    assert_eq!(none, ["refuse x (4001), which is new: no node has room"]);
}

#[test]
fn headroom_and_what_a_machine_was_measured_to_take_are_left_free() {
    let policy = Policy::default();
    let starts = |node: PlanNode, need: u32| {
        let inventory = all(vec![node], vec![job("x", need, &[])]);
        plan(&inventory, &policy, NOW).actions().count() == 1
    };
    let limit = 4_000 * (1_000 - HEADROOM) / 1_000;
    assert!(starts(node("a", 4_000), limit) && !starts(node("a", 4_000), limit + 1));
    let slow = (0..200).fold(Correction::default(), |c, _| c.learn(1_000, 1_250));
    let slow = PlanNode { correction: slow, ..node("a", 4_000) };
    assert!(starts(slow.clone(), limit * 4 / 5) && !starts(slow, limit * 4 / 5 + 1));
}

#[test]
fn a_lost_node_s_jobs_start_elsewhere_and_before_new_ones() {
    let lost = PlanNode { lease: NOW, ..node("a", 9_000) };
    let jobs = vec![job("new", 900, &[]), job("old", 500, &[("a", 7, true)])];
    let want = [
        "start old (500), whose node is lost, on b as 8",
        "refuse new (900), which is new: no node has room",
    ];
    assert_eq!(decided(&all(vec![lost.clone(), node("b", 1_000)], jobs)), want);
    // A node that is not known any more is lost.
    let jobs = vec![job("old", 500, &[("gone", 7, true)])];
    let want = ["start old (500), whose node is lost, on b as 8"];
    assert_eq!(decided(&all(vec![node("b", 1_000)], jobs)), want);
    // The writer that comes is on a node that lives: it is waited for.
    let jobs = vec![job("old", 500, &[("a", 7, true), ("b", 8, false)])];
    assert_eq!(decided(&all(vec![lost, node("b", 1_000)], jobs)), [""; 0]);
}

#[test]
fn a_drained_node_s_jobs_start_elsewhere_before_they_stop() {
    let drained = || PlanNode { draining: true, ..node("a", 9_000) };
    let nodes = || vec![drained(), node("b", 1_000)];
    let step = |runs: &[(&str, u64, bool)]| decided(&all(nodes(), vec![job("x", 600, runs)]));
    let want = ["move x (600), whose node is draining, from a to b as 8"];
    assert_eq!(step(&[("a", 7, true)]), want);
    assert_eq!(step(&[("a", 7, true), ("b", 8, false)]), [""; 0]);
    let want = ["stop x (600), whose newer writer is ready, on a as 7"];
    assert_eq!(step(&[("a", 7, true), ("b", 8, true)]), want);
    assert_eq!(step(&[("b", 8, true)]), [""; 0]);
    let full = decided(&all(vec![drained()], vec![job("x", 600, &[("a", 7, true)])]));
    assert_eq!(full, ["leave x (600), whose node is draining, on a: no other has room"]);
}

#[test]
fn an_overloaded_node_gives_away_as_little_as_is_enough() {
    let nodes = || vec![node("a", 1_000), node("b", 3_000)];
    let on_a = |name: &str, need: u32| job(name, need, &[("a", 1, true)]);
    let jobs = vec![on_a("s", 150), on_a("m", 350), on_a("l", 700)];
    let want = ["move m (350), whose node has too much, from a to b as 2"];
    assert_eq!(decided(&all(nodes(), jobs.clone())), want);
    // While it goes, nothing else does.
    let mut moving = jobs;
    moving[1] = job("m", 350, &[("a", 1, true), ("b", 2, false)]);
    assert_eq!(decided(&all(nodes(), moving)), [""; 0]);
    // None alone is enough: the largest, then what is enough with it.
    let jobs = (0..4).map(|i| on_a(&format!("j{i}"), 500)).collect();
    assert_eq!(decided(&all(nodes(), jobs)).len(), 2);
}

#[test]
fn a_node_that_could_not_do_a_job_is_the_last_to_get_it_again_and_after_a_pause() {
    let nodes = || vec![node("a", 1_000), node("b", 4_000)];
    let failed = |who: &[(&str, i64)]| {
        let pause = |(node, until): &(&str, i64)| Pause { node: (*node).into(), until: at(*until) };
        let failed = who.iter().map(pause).collect();
        vec![Job { generation: 3, failed, ..job("x", 600, &[]) }]
    };
    let on = |who: &[(&str, i64)]| decided(&all(nodes(), failed(who)));
    // One that has not failed comes first, though the pause of the other is over.
    let want = ["start x (600), whose writer ended, on b as 4"];
    assert_eq!(on(&[("a", 90)]), want);
    assert_eq!(on(&[("a", 90), ("b", 110)]), ["start x (600), whose writer ended, on a as 4"]);
    let none = ["refuse x (600), whose writer ended: no node has room"];
    assert_eq!(on(&[("a", 101), ("b", 110)]), none);
    let policy = Policy { headroom: 0, candidates: 9 };
    let plan = plan(&all(nodes(), failed(&[("a", 101)])), &policy, NOW);
    let said: Vec<String> = plan.decisions[0].candidates.iter().map(ToString::to_string).collect();
    let want =
        ["b (4000 free): chosen: the least is left there", "a (1000 free): could not do this job"];
    assert_eq!(said, want);
}

#[test]
fn every_node_has_a_reason() {
    let nodes = vec![
        node("full", 500),
        node("roomy", 9_000),
        node("fits", 2_000),
        PlanNode { lease: at(1), ..node("gone", 9_000) },
        PlanNode { draining: true, ..node("leaves", 9_000) },
    ];
    let inventory = all(nodes, vec![job("x", 1_000, &[("leaves", 1, true)])]);
    let policy = Policy { headroom: 0, candidates: 9 };
    let plan = plan(&inventory, &policy, NOW);
    let said: Vec<String> = plan.decisions[0].candidates.iter().map(ToString::to_string).collect();
    let want = [
        "fits (2000 free): chosen: the least is left there",
        "roomy (9000 free): has room, but more would be left",
        "full (500 free): too little room",
        "leaves (8000 free): takes nothing new: it is draining",
        "gone (9000 free): is lost",
    ];
    assert_eq!(said, want);
    let fewer = Policy { candidates: 2, ..policy };
    assert_eq!(super::plan(&inventory, &fewer, NOW).decisions[0].candidates.len(), 2);
    let json = serde_json::to_string(&plan).expect("plain data");
    assert_eq!(serde_json::from_str::<Plan>(&json).expect("its own"), plan);
}

impl Random {
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Anything that may be found, also overloaded nodes and writers in all states.
    fn inventory(&mut self) -> Inventory {
        let nodes = (0..=self.below(12)).map(|i| {
            let correction = (0..self.below(9))
                .fold(Correction::default(), |c, _| c.learn(1_000, 500 + self.below(1_500) as u32));
            PlanNode {
                name: format!("n{i}").into(),
                capacity: 1_000 * self.below(33) as u32,
                draining: self.one_in(5),
                lease: if self.one_in(6) { at(90) } else { at(101) },
                correction,
            }
        });
        let nodes: Vec<PlanNode> = nodes.collect();
        let jobs = (0..self.below(60)).map(|i| {
            let mut runs: Vec<Run> = Vec::new();
            for generation in 1..=self.below(4) {
                let node: std::sync::Arc<str> = format!("n{}", self.below(14)).into();
                if runs.iter().all(|r| r.node != node) {
                    runs.push(Run { node, generation, ready: self.one_in(2) });
                }
            }
            let millicores = 1 + self.below(6_000) as u32;
            let generation = if runs.is_empty() && self.one_in(2) { 0 } else { 3 };
            let (node, until) = (self.below(14), at(90 + 20 * self.below(2) as i64));
            let pause = || Pause { node: format!("n{node}").into(), until };
            let failed = self.one_in(3).then(pause).into_iter().collect();
            Job { name: format!("j{i}").into(), millicores, generation, runs, failed }
        });
        Inventory { jobs: jobs.collect(), nodes }
    }
}

/// What runs on each node, in millicores of the machine itself.
fn load(inventory: &Inventory) -> BTreeMap<&str, f64> {
    let mut load = BTreeMap::new();
    for node in &inventory.nodes {
        let jobs = inventory.jobs.iter().filter(|j| j.runs.iter().any(|r| r.node == node.name));
        let sum: f64 = jobs.map(|j| f64::from(j.millicores)).sum();
        load.insert(&*node.name, sum * f64::from(node.correction.per_mille()) / 1e3);
    }
    load
}

fn carry_out(inventory: &mut Inventory, plan: &Plan) {
    for d in plan.actions() {
        let job = inventory.jobs.iter_mut().find(|j| j.name == d.job).expect("one of them");
        match &d.action {
            Action::Start { node, generation, .. } => {
                assert!(*generation > job.generation, "{d}");
                job.generation = *generation;
                let (node, generation) = (node.clone(), *generation);
                job.runs.push(Run { node, generation, ready: false });
            }
            Action::Stop { generation, .. } => job.runs.retain(|r| r.generation != *generation),
            Action::Refuse | Action::Stay { .. } => {}
        }
    }
}

#[test]
fn whatever_is_found_no_limit_is_passed_and_nobody_starves() {
    let mut random = Random::new(0x5eed);
    let policy = Policy { candidates: 3, ..Policy::default() };
    let mut seen: BTreeMap<Option<Cause>, usize> = BTreeMap::new();
    for seed in 0..4_000 {
        let mut inventory = random.inventory();
        let before = inventory.clone();
        let plan = plan(&inventory, &policy, NOW);
        let mut shuffled = inventory.clone();
        shuffled.nodes.reverse();
        shuffled.jobs.reverse();
        let other = super::plan(&shuffled, &policy, NOW);
        let sorted = |p: &Plan| {
            let mut all: Vec<String> = p.decisions.iter().map(ToString::to_string).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&plan), sorted(&other), "{seed}: the order of what is known decides");
        for d in &plan.decisions {
            *seen.entry(d.cause).or_default() += 1;
        }
        // Starts alone, as if every stop were still to come.
        let starts = |p: &Plan| {
            let is = |a: &Action| matches!(a, Action::Start { .. });
            Plan { decisions: p.decisions.iter().filter(|d| is(&d.action)).cloned().collect() }
        };
        carry_out(&mut inventory, &starts(&plan));
        let (was, is) = (load(&before), load(&inventory));
        for node in &before.nodes {
            let limit = f64::from(node.capacity) * f64::from(1_000 - HEADROOM) / 1e3;
            let (was, is) = (was[&*node.name], is[&*node.name]);
            let open = NOW < node.lease && !node.draining;
            assert!(is == was || open && is <= limit + 1e-6, "{seed}: {} {is}", node.name);
        }
        // Who was refused or had to stay fits nowhere, now that all is placed.
        for d in plan.decisions.iter() {
            let held = matches!(d.action, Action::Refuse | Action::Stay { .. });
            for node in before.nodes.iter().filter(|n| held && NOW < n.lease && !n.draining) {
                let job = before.jobs.iter().find(|j| j.name == d.job).expect("one of them");
                let runs = job.runs.iter().any(|r| r.node == node.name)
                    || job.failed.iter().any(|p| p.node == node.name && NOW < p.until);
                let limit = f64::from(node.capacity) * f64::from(1_000 - HEADROOM) / 1e3;
                let factor = f64::from(node.correction.per_mille()) / 1e3;
                let with = is[&*node.name] + f64::from(job.millicores) * factor;
                // A room is rounded down to whole millicores of the table.
                assert!(runs || with > limit - factor, "{seed}: {d} but {}", node.name);
            }
        }
    }
    let causes = [Cause::Lost, Cause::Ended, Cause::New, Cause::Drain, Cause::Overload];
    for cause in causes.map(Some) {
        assert!(seen[&cause] > 500, "{seen:?}");
    }
    assert!(seen[&None] > 500, "{seen:?}");
}

#[test]
fn what_was_carried_out_is_not_decided_again() {
    let mut random = Random::new(99);
    let policy = Policy::default();
    for seed in 0..2_000 {
        let mut inventory = random.inventory();
        let mut rounds = 0;
        loop {
            let first = plan(&inventory, &policy, NOW);
            carry_out(&mut inventory, &first);
            let stops = first.actions().any(|d| matches!(d.action, Action::Stop { .. }));
            let again = plan(&inventory, &policy, NOW);
            // A stop gives room; without one, nothing is left to do.
            assert!(stops || again.actions().next().is_none(), "{seed}: {again:?}");
            if first.actions().next().is_none() {
                break;
            }
            for run in inventory.jobs.iter_mut().flat_map(|j| &mut j.runs) {
                run.ready = true;
            }
            rounds += 1;
            assert!(rounds < 20, "{seed}: it comes to no rest");
        }
    }
}

#[test]
fn a_thousand_nodes_and_ten_thousand_jobs_are_placed_at_once() {
    let nodes = (0..1_000).map(|i| node(&format!("n{i:03}"), 16_000)).collect();
    let jobs = (0..10_000).map(|i| job(&format!("j{i}"), 700 + i * 37 % 1_200, &[])).collect();
    let inventory = all(nodes, jobs);
    let plan = plan(&inventory, &Policy::default(), NOW);
    assert_eq!((plan.actions().count(), plan.refused().count()), (10_000, 0));
    // Best fit fills: no two nodes that were opened could be one.
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    for d in &plan.decisions {
        let Action::Start { node, .. } = &d.action else { panic!("{d}") };
        *used.entry(node).or_default() += d.millicores;
    }
    let limit = 16_000 * (1_000 - HEADROOM) / 1_000;
    let mut loads: Vec<u32> = used.into_values().collect();
    loads.sort_unstable();
    assert!(loads[0] + loads[1] > limit, "{loads:?}");
}
