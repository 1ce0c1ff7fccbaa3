//! Simulated days, and planners that the simulation has to find out.

use crate::base::time::Wall;
use crate::control::plan::place::{Action, Inventory, Plan, Policy, plan};
use crate::control::plan::simulate::{Report, Simulation, VIOLATIONS_TOLD};
use crate::control::plan::trace::{Entry, Event, generate};

fn day(trace: &[Entry], planner: impl Fn(&Inventory, &Policy, Wall) -> Plan) -> Report {
    let policy = Policy::default();
    let mut simulation = Simulation::new(trace, policy);
    while let Some(now) = simulation.advance() {
        let plan = planner(simulation.inventory(), &policy, now);
        simulation.carry_out(&plan);
    }
    simulation.report()
}

#[test]
fn days_pass_without_a_violation() {
    let mut sum = Report::default();
    for seed in 0..12 {
        // From a fleet that has room to one that has not.
        let report = day(&generate(seed, 10 + 6 * seed as u32, 250), plan);
        assert_eq!((report.violations, &report.told), (0, &Vec::new()), "{seed}");
        assert_eq!(report.jobs, 250);
        assert!(report.utilisation_peak <= 1.5, "{report:?}");
        sum.moved_lost += report.moved_lost;
        sum.moved_drain += report.moved_drain;
        sum.moved_overload += report.moved_overload;
        sum.refused += report.refused;
    }
    let moved = [sum.moved_lost, sum.moved_drain, sum.moved_overload];
    assert!(moved.iter().all(|n| *n > 10) && sum.refused > 10, "{sum:?}");
}

fn at(at_ms: u64, event: Event) -> Entry {
    Entry { at_ms, event }
}

/// A small day: a job on one of two nodes, which is lost, drained or neither.
fn small(then: Option<Event>) -> Vec<Entry> {
    let join = |node: &str, capacity| at(0, Event::Join { node: node.into(), capacity });
    let start = |at_ms, job: &str| at(at_ms, Event::Start { job: job.into(), millicores: 1_000 });
    let mut all = vec![join("a", 2_000), join("b", 4_000), start(20_000, "x")];
    all.extend(then.map(|event| at(60_000, event)));
    all.push(at(120_000, Event::Stop { job: "x".into() }));
    all
}

#[test]
fn a_lost_node_s_job_runs_elsewhere_within_a_lease_and_a_round() {
    let report = day(&small(Some(Event::Lost { node: "a".into() })), plan);
    assert_eq!((report.placements, report.moved_lost, report.violations), (2, 1, 0));
    let report = day(&small(Some(Event::Drain { node: "a".into() })), plan);
    assert_eq!((report.placements, report.moved_drain, report.violations), (2, 1, 0));
    let again = Event::Start { job: "x".into(), millicores: 9 };
    let report = day(&small(Some(again)), plan);
    assert_eq!((report.placements, report.jobs_peak, report.refused), (1, 1, 0));
    // A thousand of 5100 millicores, for 95 of 120 seconds, by rounds of 5.
    assert!((report.utilisation_peak - 1_000.0 / 5_100.0).abs() < 1e-9, "{report:?}");
    assert!((report.utilisation_mean - report.utilisation_peak * 100.0 / 120.0).abs() < 1e-9);
}

/// Changes every decision of the real planner.
fn bent(change: impl Fn(&mut Action)) -> impl Fn(&Inventory, &Policy, Wall) -> Plan {
    move |inventory, policy, now| {
        let mut plan = plan(inventory, policy, now);
        plan.decisions.iter_mut().for_each(|d| change(&mut d.action));
        plan
    }
}

#[test]
fn a_planner_that_breaks_a_rule_is_found_out() {
    let drain = || Some(Event::Drain { node: "a".into() });
    let told = |trace: &[Entry], planner: &dyn Fn(&Inventory, &Policy, Wall) -> Plan| {
        let report = day(trace, planner);
        assert!(report.violations > 0);
        report.told.join("\n")
    };
    let crowd: Vec<Entry> = (0..9)
        .map(|i| at(1_000, Event::Start { job: format!("j{i}").into(), millicores: 900 }))
        .collect();
    let crowd = [&small(None)[..2], &crowd].concat();
    let onto_a = bent(|action| {
        if let Action::Start { node, .. } = action {
            *node = "a".into();
        }
    });
    assert!(told(&crowd, &onto_a).contains("a has 3600 of 1700 millicores"));
    assert!(told(&small(drain()), &onto_a).contains("that node takes nothing"));
    let stale = bent(|action| {
        if let Action::Start { generation, .. } = action {
            *generation = 0;
        }
    });
    assert!(told(&small(None), &stale).contains("generation 0 was given"));
    let refuses = bent(|action| *action = Action::Refuse);
    assert!(told(&small(None), &refuses).contains("millicores are free on one"));
    let forgets = |_: &Inventory, _: &Policy, _: Wall| Plan::default();
    assert!(told(&small(None), &forgets).contains("x runs nowhere, and nothing was decided"));
    // Stops before its successor is ready.
    let hasty = bent(|action| {
        if let Action::Start { from: Some(node), generation, .. } = action {
            *action = Action::Stop { node: node.clone(), generation: *generation - 1 };
        }
    });
    assert!(told(&small(drain()), &hasty).contains("nothing serves it now"));
}

#[test]
fn of_many_violations_the_first_are_told() {
    let forgets = |_: &Inventory, _: &Policy, _: Wall| Plan::default();
    let report = day(&generate(1, 3, 50), forgets);
    assert!(report.violations > VIOLATIONS_TOLD as u64);
    assert_eq!(report.told.len(), VIOLATIONS_TOLD);
}
