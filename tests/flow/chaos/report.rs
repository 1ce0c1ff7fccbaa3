//! What is printed: what was done, how long viewers stood still and during what, what players had
//! to try again, what became of the encoders' packets.

use crate::chaos::encoders::RETRY;
use crate::chaos::plan::{How, Role};
use crate::chaos::playback::Stall;
use crate::chaos::stage::Done;
use castctl::base::time::Mono;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How long after its end a disturbance may still be felt: one lease, and what a player needs.
const AFTER: Duration = Duration::from_secs(8);

/// A stall below it is the test's own machine.
const NOISE: Duration = Duration::from_millis(100);

/// Upper ends of the histogram's columns, seconds.
const COLUMNS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// A stall, its channel, and how long the channel's encoder was off the air around it.
#[derive(Debug, Clone)]
pub(crate) struct Stood {
    pub(crate) channel: String,
    pub(crate) stall: Stall,
    pub(crate) encoder: Option<Duration>,
}

/// How long the encoder was away around a stall, from the blow that took its origin to its return.
pub(crate) fn away(stall: &Stall, outages: &[(Mono, Mono)], done: &[Done]) -> Option<Duration> {
    let end = stall.from.plus(stall.lasted);
    let around = outages.iter().filter(|(from, to)| *from <= end && stall.from <= to.plus(AFTER));
    let whole = |(from, to): &(Mono, Mono)| {
        // An encoder notices late that an origin stands still.
        let blow = done.iter().filter(|d| d.blow.who.role == Role::Origin);
        let blow = blow.filter(|d| d.from <= *from && *from <= d.to.plus(AFTER));
        to.since(blow.map(|d| d.from).min().unwrap_or(*from))
    };
    around.map(whole).max()
}

/// The kind of disturbance that a stall is put down to: origins before edges before the rest, of
/// one role the latest.
fn blamed(stall: &Stall, done: &[Done]) -> Option<(Role, How)> {
    let felt = |d: &&Done| d.from <= stall.from && stall.from <= d.to.plus(AFTER);
    let first = |d: &&Done| (d.blow.who.role, std::cmp::Reverse(d.from));
    done.iter().filter(felt).min_by_key(first).map(|d| (d.blow.who.role, d.blow.how))
}

#[derive(Default)]
struct Row {
    done: usize,
    columns: [usize; COLUMNS.len() + 1],
    longest: f64,
}

/// The histogram, and whether the aim is met: what an origin costs is no more than its encoder's
/// own way back and one segment; what another process costs is nothing.
pub(crate) fn stalls(all: &[Stood], done: &[Done], segment: Duration) -> String {
    let mut rows: BTreeMap<Option<(Role, How)>, Row> = BTreeMap::new();
    for d in done {
        rows.entry(Some((d.blow.who.role, d.blow.how))).or_default().done += 1;
    }
    let (mut beyond, mut without) = (Vec::new(), 0);
    for s in all.iter().filter(|s| s.stall.lasted >= NOISE) {
        let kind = blamed(&s.stall, done);
        let row = rows.entry(kind).or_default();
        let seconds = s.stall.lasted.as_secs_f64();
        row.columns[COLUMNS.iter().filter(|end| seconds >= **end).count()] += 1;
        row.longest = row.longest.max(seconds);
        let origin = kind.is_some_and(|(role, _)| role == Role::Origin);
        without += usize::from(!origin);
        let allowed = s.encoder.unwrap_or_default() + segment;
        if origin && s.stall.lasted > allowed {
            let (at, may) = (s.stall.from.0 as f64 / 1e6, allowed.as_secs_f64());
            beyond.push(format!("{} at {at:.1} s: {seconds:.1} s of {may:.1} s", s.channel));
        }
    }
    let mut out = format!("{:<24} {:>5}", "stalls of viewers", "done");
    COLUMNS.iter().for_each(|end| write!(out, " {:>6}", format!("<{end}")).expect("text"));
    writeln!(out, " {:>6} {:>8}", "more", "longest").expect("text");
    for (kind, row) in &rows {
        let name = kind.map_or("nothing".into(), |(role, how)| format!("{role:?} {how}"));
        write!(out, "{:<24} {:>5}", name.to_lowercase(), row.done).expect("text");
        row.columns.iter().for_each(|n| write!(out, " {n:>6}").expect("text"));
        writeln!(out, " {:>6.2} s", row.longest).expect("text");
    }
    let aim = |met: bool| if met { "met" } else { "NOT met" };
    let way = format!("encoder's reconnect (pause {} s) + one segment", RETRY.as_secs());
    writeln!(out, "aim, origins: at most the {way}: {}", aim(beyond.is_empty())).expect("text");
    beyond.iter().for_each(|b| writeln!(out, "  beyond: {b}").expect("text"));
    writeln!(out, "aim, others: no stall: {} ({without})", aim(without == 0)).expect("text");
    out
}

/// What was done, line by line.
pub(crate) fn blows(done: &[Done]) -> String {
    let seconds = |at: Mono| at.0 as f64 / 1e6;
    let line = |d: &Done| {
        let (from, to) = (seconds(d.from), seconds(d.to));
        format!("{from:7.1} s to {to:6.1} s  {} {}\n", d.blow.who, d.blow.how)
    };
    done.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::plan::{Blow, Who};

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    fn done(role: Role, from: u64, to: u64) -> Done {
        let (at, lasts) = (Duration::from_secs(from), Duration::from_secs(to - from));
        let blow = Blow { at, who: Who { role, number: 0 }, how: How::Kill, lasts };
        Done { blow, from: seconds(from), to: seconds(to) }
    }

    #[test]
    fn a_stall_is_put_down_to_what_was_going_on() {
        let done = [done(Role::Edge, 10, 12), done(Role::Origin, 15, 18)];
        let stood = |from, millis, encoder: Option<u64>| Stood {
            channel: "a".into(),
            stall: Stall { from: seconds(from), lasted: Duration::from_millis(millis) },
            encoder: encoder.map(Duration::from_secs),
        };
        let of = |all: &[Stood]| stalls(all, &done, Duration::from_secs(1));
        let text = of(&[stood(16, 2_500, Some(2)), stood(40, 50, None)]);
        assert!(text.contains("segment: met") && text.contains("no stall: met (0)"), "{text}");
        let text = of(&[stood(16, 3_500, Some(2)), stood(11, 300, None), stood(40, 300, None)]);
        assert!(text.contains("beyond: a at 16.0 s: 3.5 s of 3.0 s"), "{text}");
        assert!(text.contains("no stall: NOT met (2)"), "{text}");
        assert!(text.contains("nothing"), "{text}");
    }

    #[test]
    fn an_encoder_is_away_from_the_blow_on() {
        let done = [done(Role::Origin, 10, 20)];
        let stall = Stall { from: seconds(12), lasted: Duration::from_secs(3) };
        let outages = [(seconds(11), seconds(14)), (seconds(90), seconds(95))];
        assert_eq!(away(&stall, &outages, &done), Some(Duration::from_secs(4)));
        assert_eq!(away(&stall, &outages, &[]), Some(Duration::from_secs(3)));
        assert_eq!(away(&stall, &[], &done), None);
    }
}
