//! What is done to whom, and when. Pure: the seed is all that decides.
//!
//! Of origins and of edges one is always well. Whoever was hit is left alone for a while after it
//! is back. The registry (both API servers, or their database) may be gone, for a bounded time, and
//! then stays for as long as a process does.

use std::fmt;
use std::time::Duration;

/// From one disturbance to the next.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// How long one is left alone after it is back.
pub(crate) const REST: Duration = Duration::from_secs(10);

/// How long a process stands still.
pub(crate) const FREEZE: Duration = Duration::from_secs(10);

/// What a process needs to be of use again after it is back: until then it does not stand in for
/// another one.
const SETTLE: Duration = Duration::from_secs(4);

/// Longest absence of the registry.
const AWAY_MOST: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Origin,
    Edge,
    Api,
    Database,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// `kill -9`, and started again.
    Kill,
    /// SIGTERM, and started again.
    Term,
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// Nothing comes from it or reaches it; connections stay open.
    Cut,
}

/// One of the cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) role: Role,
    pub(crate) number: usize,
}

/// One disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blow {
    pub(crate) at: Duration,
    pub(crate) who: Who,
    pub(crate) how: How,
    /// Until it is started, thawed or joined again.
    pub(crate) lasts: Duration,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    pub(crate) origins: usize,
    pub(crate) edges: usize,
    pub(crate) apis: usize,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number + 1;
        match self.role {
            Role::Origin => write!(f, "origin-{number}"),
            Role::Edge => write!(f, "edge-{number}"),
            Role::Api => write!(f, "api-{number}"),
            Role::Database => write!(f, "postgres"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Kill => "kill -9",
            How::Term => "SIGTERM",
            How::Freeze => "SIGSTOP",
            How::Cut => "network cut",
        })
    }
}

impl Cast {
    fn count(self, role: Role) -> usize {
        match role {
            Role::Origin => self.origins,
            Role::Edge => self.edges,
            Role::Api => self.apis,
            Role::Database => 1,
        }
    }
}

impl Blow {
    /// When it is back.
    pub(crate) fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Numbers that look random (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % n.max(1)
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        let span = usize::try_from(to - from).unwrap_or(0);
        Duration::from_millis(from + self.below(span) as u64)
    }
}

/// Every kind of disturbance. PostgreSQL has no more polite end than its crash.
fn kinds() -> Vec<(Role, How)> {
    let hows = [How::Kill, How::Term, How::Freeze, How::Cut];
    let all = [Role::Origin, Role::Edge, Role::Api].into_iter().flat_map(|r| hows.map(|h| (r, h)));
    let database = [How::Kill, How::Freeze, How::Cut].map(|h| (Role::Database, h));
    all.chain(database).collect()
}

/// The disturbances of a run so long.
pub(crate) fn plan(seed: u64, length: Duration, cast: Cast) -> Vec<Blow> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut out: Vec<Blow> = Vec::new();
    // Kinds are drawn from a pack, so that a short run has many of them.
    let mut pack: Vec<(Role, How)> = Vec::new();
    let mut at = EVERY;
    while at < length {
        if pack.is_empty() {
            pack = kinds();
            dice.shuffle(&mut pack);
        }
        let drawn = (0..pack.len()).find_map(|i| {
            let (role, how) = pack[i];
            let lasts = match how {
                How::Kill | How::Term => dice.millis(1_000, 3_000),
                How::Freeze => FREEZE,
                How::Cut => dice.millis(4_000, 8_000),
            };
            let mut numbers: Vec<usize> = (0..cast.count(role)).collect();
            dice.shuffle(&mut numbers);
            let blow = |number| Blow { at, who: Who { role, number }, how, lasts };
            let good = |b: &Blow| b.end() < length && is_allowed(b, &out, cast);
            Some((i, numbers.into_iter().map(blow).find(good)?))
        });
        if let Some((i, blow)) = drawn {
            pack.remove(i);
            out.push(blow);
        }
        at += EVERY;
    }
    out
}

/// May this follow what is planned?
fn is_allowed(blow: &Blow, before: &[Blow], cast: Cast) -> bool {
    let rested = |b: &Blow| b.who != blow.who || b.end() + REST <= blow.at;
    if !before.iter().all(rested) {
        return false;
    }
    let unwell = |role| {
        let of_role = before.iter().filter(move |b| b.who.role == role);
        of_role.filter(|b| b.end() + SETTLE > blow.at).count()
    };
    match blow.who.role {
        role @ (Role::Origin | Role::Edge) => unwell(role) + 1 < cast.count(role),
        Role::Api | Role::Database => {
            let all: Vec<Blow> = before.iter().copied().chain([*blow]).collect();
            let away = absences(&all, cast);
            let bounded = away.iter().all(|(from, to)| *to - *from <= AWAY_MOST);
            bounded && away.windows(2).all(|w| w[0].1 + REST <= w[1].0)
        }
    }
}

/// When the registry is gone: from, to.
pub(crate) fn absences(plan: &[Blow], cast: Cast) -> Vec<(Duration, Duration)> {
    let mut out: Vec<(Duration, Duration)> = Vec::new();
    let mut add = |from: Duration, to: Duration| match out.last_mut() {
        Some(last) if from <= last.1 => last.1 = last.1.max(to),
        _ => out.push((from, to)),
    };
    let mut spans: Vec<(Duration, Duration)> = Vec::new();
    for b in plan.iter().filter(|b| b.who.role == Role::Database) {
        spans.push((b.at, b.end()));
    }
    let apis: Vec<&Blow> = plan.iter().filter(|b| b.who.role == Role::Api).collect();
    for b in &apis {
        let together: Vec<&&Blow> =
            apis.iter().filter(|o| o.at <= b.at && b.at < o.end() + SETTLE).collect();
        if together.len() >= cast.apis {
            let ends = together.iter().map(|o| o.end()).min();
            spans.push((b.at, ends.unwrap_or_default().max(b.at)));
        }
    }
    spans.sort_unstable();
    spans.into_iter().for_each(|(from, to)| add(from, to));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const FULL: Cast = Cast { origins: 3, edges: 4, apis: 2 };
    const SMALL: Cast = Cast { origins: 2, edges: 2, apis: 2 };
    const MINUTES: Duration = Duration::from_secs(300);

    #[test]
    fn the_seed_decides() {
        let of = |seed| plan(seed, MINUTES, FULL);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!(of(7).len() > 40, "{}", of(7).len());
    }

    #[test]
    fn every_kind_of_disturbance_comes() {
        let all = plan(1, MINUTES, FULL);
        let seen: BTreeSet<_> = all.iter().map(|b| (b.who.role, b.how)).collect();
        assert_eq!(seen, kinds().into_iter().collect());
        let short = plan(1, Duration::from_secs(45), SMALL);
        assert!(short.iter().map(|b| b.who.role).collect::<BTreeSet<_>>().len() >= 3, "{short:?}");
    }

    #[test]
    fn some_of_a_role_are_always_well_and_who_was_hit_has_its_rest() {
        for (seed, cast) in (0..200).flat_map(|s| [(s, FULL), (s, SMALL)]) {
            let plan = plan(seed, MINUTES, cast);
            for (i, b) in plan.iter().enumerate() {
                let mut same = plan[..i].iter().filter(|o| o.who == b.who);
                assert!(same.all(|o| o.end() + REST <= b.at), "{seed}: {b:?}");
                let down = |role| {
                    let of = plan.iter().filter(|o| o.who.role == role && o.at <= b.at);
                    of.filter(|o| b.at < o.end() + SETTLE).count()
                };
                assert!(down(Role::Origin) < cast.origins, "{seed}: {b:?}");
                assert!(down(Role::Edge) < cast.edges, "{seed}: {b:?}");
                assert!(b.end() < MINUTES);
            }
            for (from, to) in absences(&plan, cast) {
                assert!(to - from <= AWAY_MOST, "{seed}: the registry is gone {from:?} to {to:?}");
            }
        }
    }
}
