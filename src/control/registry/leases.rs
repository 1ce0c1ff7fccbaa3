//! Who is alive, and who takes up the sessions of those that are not. Pure.
//!
//! Invariant: replicas that see the same nodes appoint the same one.

use crate::api::cluster::{LEASE, Role};
use crate::api::types::NodeName;
use crate::base::ids::Channel;
use crate::base::time::Wall;

/// The lease of a node that has said goodbye.
pub(super) const GONE: Wall = Wall(0);

/// [`LEASE`] in microseconds.
pub(super) fn lease_micros() -> i64 {
    i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX)
}

/// A node's word as far as appointments go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) name: NodeName,
    pub(super) role: Role,
    pub(super) draining: bool,
    /// When its lease runs out; [`GONE`].
    pub(super) lease: Wall,
}

/// Has this lease not run out? In calm none does: the registry itself may have been away. A node
/// that never had one is taken to live for one lease from what it was granted.
pub(super) fn alive(lease: Option<Wall>, granted: Wall, now: Wall, calm: bool) -> bool {
    match lease {
        Some(GONE) => false,
        Some(until) => calm || now < until,
        None => calm || now < granted.plus(lease_micros()),
    }
}

/// The origin that takes up the channel's session: the one of the highest score (rendezvous
/// hashing), so that one origin's death moves no other appointment. Only origins whose lease runs
/// by the clock, calm or not: who may be dead is no help.
pub(super) fn appointed<'n>(
    channel: &Channel,
    nodes: &'n [Standing],
    now: Wall,
) -> Option<&'n NodeName> {
    let able = |n: &&Standing| n.role == Role::Origin && !n.draining && now < n.lease;
    let best = nodes.iter().filter(able).max_by_key(|n| (score(channel, &n.name), n.name.clone()));
    best.map(|n| &n.name)
}

/// FNV-1a and a finaliser: the same in every version of the program, as replicas of two versions
/// run side by side.
fn score(channel: &Channel, node: &str) -> u64 {
    let bytes = channel.as_str().bytes().chain([0]).chain(node.bytes());
    let fold = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    let h = bytes.fold(0xcbf2_9ce4_8422_2325, fold);
    let h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ (h >> 33)
}

/// Until when no lease is taken to have run out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Calm {
    until: Option<Wall>,
}

impl Calm {
    /// Is it calm at `now`? It begins with the first answer after the start or after a failure.
    pub(super) fn is_on(&mut self, now: Wall) -> bool {
        now < *self.until.get_or_insert(now.plus(lease_micros()))
    }

    /// The database did not answer: others may not have been heard meanwhile.
    pub(super) fn failed(&mut self) {
        self.until = None;
    }
}

/// Nobody was heard for a lease: it was the registry that could not be reached.
pub(super) fn was_deaf(heard: Option<Wall>, now: Wall) -> bool {
    heard.is_some_and(|at| now.since(at) > lease_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str, lease: i64) -> Standing {
        Standing { name: name.into(), role: Role::Origin, draining: false, lease: Wall(lease) }
    }

    #[test]
    fn one_origins_death_moves_only_its_own_appointments() {
        let all: Vec<_> = ["a", "b", "c", "d"].map(|n| origin(n, 10)).into();
        let without: Vec<_> = all.iter().filter(|n| &*n.name != "c").cloned().collect();
        let (mut of_c, mut moved) = (0, 0);
        for n in 0..400 {
            let channel: Channel = format!("channel-{n}").parse().expect("a name");
            let before = appointed(&channel, &all, Wall(5)).expect("some");
            let after = appointed(&channel, &without, Wall(5)).expect("some");
            match &**before {
                "c" => of_c += 1,
                _ => moved += usize::from(before != after),
            }
        }
        assert_eq!(moved, 0);
        assert!((60..140).contains(&of_c), "{of_c} of 400 are c's");
    }

    #[test]
    fn who_cannot_help_is_not_appointed() {
        let channel: Channel = "main".parse().expect("a name");
        let draining = Standing { draining: true, ..origin("a", 10) };
        let edge = Standing { role: Role::Edge, ..origin("b", 10) };
        let nodes = [draining, edge, origin("c", 3), origin("d", 0)];
        assert_eq!(appointed(&channel, &nodes, Wall(5)), None);
        assert_eq!(appointed(&channel, &nodes, Wall(2)).map(|n| &**n), Some("c"));
    }

    #[test]
    fn calm_lasts_one_lease_from_the_first_answer_and_saves_nobody_who_left() {
        let mut calm = Calm::default();
        let (then, lease) = (Wall(1_000_000_000), lease_micros());
        assert!(calm.is_on(then) && calm.is_on(then.plus(lease - 1)));
        assert!(!calm.is_on(then.plus(lease)));
        calm.failed();
        assert!(calm.is_on(then.plus(10 * lease)));
        assert!(alive(Some(Wall(1)), GONE, then, true) && !alive(Some(Wall(1)), GONE, then, false));
        assert!(!alive(Some(GONE), then, then, true));
        assert!(alive(None, then, then, false) && !alive(None, then, then.plus(lease), false));
        assert!(was_deaf(Some(then), then.plus(lease + 1)) && !was_deaf(None, then));
    }
}
