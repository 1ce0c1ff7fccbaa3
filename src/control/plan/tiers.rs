//! Which edge reads through which: no node has more than `fanout` children, so edges stand in tiers
//! when there are more of them. Origins are read by the first tier; each further edge reads through
//! one of the tier above.
//!
//! Level-triggered: what is decided follows from what the edges say in their heartbeats, one edge
//! at a time, in any order and by any replica. Two edges that were given the same place at once are
//! one too many for a heartbeat; then the later one by name is given another.

use crate::api::cluster::{Node, Role};
use crate::api::types::NodeName;

/// Most nodes that read from one, where nobody says otherwise: sixteen times 100 channels of
/// 5 Mbit/s are 8 Gbit/s, what a 10 Gbit/s port carries.
pub const FANOUT: usize = 16;

/// What the edges of a cluster say of each other.
struct Tiers<'a> {
    edges: Vec<&'a Node>,
    fanout: usize,
}

/// The edge that the edge `of` is to read through, by its URL; `None`: it reads each log from the
/// node that has it.
pub fn through(of: &NodeName, nodes: &[Node], fanout: usize) -> Option<String> {
    let edges = nodes.iter().filter(|n| n.alive && n.said.role == Role::Edge).collect();
    let tiers = Tiers { edges, fanout };
    let me = *tiers.edges.iter().find(|n| n.name == *of)?;
    match &me.said.through {
        Some(url) => {
            let parent = tiers.at(url).filter(|p| tiers.may_lead(p, me));
            if parent.is_some() && tiers.rank(me) < fanout {
                return Some(url.clone());
            }
            if tiers.children(None) < fanout {
                return None;
            }
        }
        None if tiers.rank(me) < fanout => return None,
        None => {}
    }
    tiers.best(me)
}

impl<'a> Tiers<'a> {
    fn at(&self, url: &str) -> Option<&'a Node> {
        self.edges.iter().copied().find(|n| n.said.url.as_deref() == Some(url))
    }

    /// How many edges read through this one; `None`: from origins.
    fn children(&self, url: Option<&str>) -> usize {
        self.edges.iter().filter(|n| n.said.through.as_deref() == url).count()
    }

    /// The place of an edge among those that read through the same: who can have children first,
    /// then by name.
    fn rank(&self, me: &Node) -> usize {
        let key = |n: &Node| (n.said.url.is_none() || n.said.draining, n.name.clone());
        let same = self.edges.iter().filter(|n| n.said.through == me.said.through);
        same.filter(|n| key(n) < key(me)).count()
    }

    /// Edges between this one and the origins; `None`: its way does not lead there, or leads over
    /// `me`.
    fn depth(&self, of: &Node, me: &Node) -> Option<usize> {
        let (mut at, mut depth) = (of, 0);
        while let Some(url) = &at.said.through {
            at = self.at(url).filter(|n| n.name != me.name)?;
            depth += 1;
            // A ring leads nowhere.
            if depth > self.edges.len() {
                return None;
            }
        }
        // Who is about to be sent further down leads nobody.
        (self.rank(at) < self.fanout).then_some(depth)
    }

    fn may_lead(&self, parent: &Node, me: &Node) -> bool {
        let said = &parent.said;
        let wanted = said.url.is_some() && said.url != me.said.avoids;
        wanted && parent.name != me.name && !said.draining && self.depth(parent, me).is_some()
    }

    /// The shallowest with room, of those the one with the fewest children, of those the first by
    /// name.
    fn best(&self, me: &Node) -> Option<String> {
        let free = self.edges.iter().copied().filter(|n| self.may_lead(n, me));
        let rated = free.map(|n| {
            let url = n.said.url.as_deref();
            (self.depth(n, me), self.children(url), &n.name, url)
        });
        let best = rated.filter(|(_, children, ..)| *children < self.fanout).min()?;
        best.3.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cluster::Heartbeat;
    use crate::base::random::Random;
    use crate::base::time::Wall;
    use std::collections::BTreeMap;

    fn below(dice: &mut Random, n: usize) -> usize {
        usize::try_from(dice.below(n as u64)).expect("below n")
    }

    fn url(name: &str) -> String {
        format!("http://{name}")
    }

    fn edge(name: &str, through: Option<&str>) -> Node {
        let said = Heartbeat {
            url: Some(url(name)),
            through: through.map(url),
            ..Heartbeat::of(Role::Edge)
        };
        Node { name: name.into(), said, seen: Wall(0), alive: true }
    }

    /// Every edge says what it reads, in some order, until nobody is told anything new.
    fn settle(nodes: &mut [Node], fanout: usize, dice: &mut Random) {
        for round in 0.. {
            assert!(round < 50, "it never settles");
            let mut news = false;
            let mut order: Vec<usize> = (0..nodes.len()).collect();
            (1..order.len()).for_each(|i| order.swap(i, below(dice, i + 1)));
            for i in order.into_iter().filter(|i| nodes[*i].alive).collect::<Vec<_>>() {
                let told = through(&nodes[i].name, nodes, fanout);
                news |= told != nodes[i].said.through;
                nodes[i].said.through = told;
            }
            if !news {
                return;
            }
        }
    }

    /// Nobody has too many children, and every way leads to an origin; the longest one.
    fn deepest(nodes: &[Node], fanout: usize) -> usize {
        let alive: Vec<&Node> = nodes.iter().filter(|n| n.alive).collect();
        let mut children: BTreeMap<Option<String>, usize> = BTreeMap::new();
        alive.iter().for_each(|n| *children.entry(n.said.through.clone()).or_default() += 1);
        assert!(children.values().all(|n| *n <= fanout), "{children:?}");
        let above = |n: &Node| {
            let url = n.said.through.as_ref()?;
            Some(*alive.iter().find(|m| m.said.url.as_ref() == Some(url)).expect("it lives"))
        };
        let way = |n: &&Node| std::iter::successors(Some(*n), |n| above(n)).take(100).count() - 1;
        let deepest = alive.iter().map(way).max().unwrap_or(0);
        assert!(deepest < 99, "a ring");
        deepest
    }

    #[test]
    fn few_edges_read_from_origins() {
        let nodes: Vec<Node> = (0..FANOUT).map(|i| edge(&format!("edge-{i:02}"), None)).collect();
        assert!(nodes.iter().all(|n| through(&n.name, &nodes, FANOUT).is_none()));
    }

    #[test]
    fn tiers_appear_as_edges_are_added_and_heal_as_they_go() {
        for seed in 0..300 {
            let mut dice = Random::new(seed);
            let fanout = 1 + below(&mut dice, 4);
            let mut nodes: Vec<Node> = Vec::new();
            for step in 0..20 {
                if below(&mut dice, 3) > 0 || nodes.is_empty() {
                    // A number that is not in the order of joining.
                    let name = format!("edge-{:03}-{step}", below(&mut dice, 1000));
                    nodes.push(edge(&name, None));
                } else {
                    let i = below(&mut dice, nodes.len());
                    nodes[i].alive = false;
                }
                settle(&mut nodes, fanout, &mut dice);
                deepest(&nodes, fanout);
            }
        }
        let mut nodes: Vec<Node> = (0..84).map(|i| edge(&format!("{i:02}"), None)).collect();
        settle(&mut nodes, 4, &mut Random::new(1));
        assert_eq!(deepest(&nodes, 4), 2, "84 = 4 + 16 + 64");
    }

    #[test]
    fn who_goes_is_left_and_who_comes_changes_little() {
        let told = |nodes: &[Node], name: &str| through(&name.into(), nodes, 2);
        let mut nodes = vec![
            edge("a", None),
            edge("b", None),
            edge("c", Some("a")),
            edge("d", Some("b")),
            edge("e", None),
        ];
        assert_eq!(told(&nodes, "e"), Some(url("a")), "the first of those with the fewest");
        nodes[4].said.through = Some(url("a"));
        let before: Vec<_> = nodes.iter().map(|n| told(&nodes, &n.name)).collect();
        nodes.push(edge("z", None));
        let after: Vec<_> = nodes[..5].iter().map(|n| told(&nodes, &n.name)).collect();
        assert_eq!(before, after);
        nodes[5].said.through = told(&nodes, "z");
        assert_eq!(nodes[5].said.through, Some(url("b")));
        // A drain: its children are told another, and nobody is sent to it.
        nodes[1].said.draining = true;
        assert_eq!(told(&nodes, "d"), Some(url("c")), "a is full");
        assert_eq!(told(&nodes, "z"), Some(url("c")));
        // It is gone: its place among those that read from origins is free.
        nodes[1].alive = false;
        assert_eq!(told(&nodes, "d"), None);
    }

    #[test]
    fn who_cannot_have_children_stands_behind_who_can() {
        let mut nodes = vec![edge("a", None), edge("b", None), edge("c", None)];
        nodes[0].said.url = None;
        let told = |nodes: &[Node], name: &str| through(&name.into(), nodes, 1);
        assert_eq!(told(&nodes, "b"), None);
        assert_eq!(told(&nodes, "a"), Some(url("b")));
        // Nobody can: then everybody reads from origins.
        nodes.iter_mut().for_each(|n| n.said.url = None);
        assert_eq!(told(&nodes, "c"), None);
    }

    #[test]
    fn who_is_avoided_is_not_told_again() {
        let mut nodes = vec![edge("a", None), edge("b", None), edge("c", None)];
        nodes[2].said.avoids = Some(url("a"));
        assert_eq!(through(&"c".into(), &nodes, 2), Some(url("b")));
        nodes[2].said.through = Some(url("a"));
        assert_eq!(through(&"c".into(), &nodes, 2), Some(url("b")));
    }

    #[test]
    fn a_ring_is_broken() {
        let nodes =
            [edge("a", Some("c")), edge("b", Some("a")), edge("c", Some("b")), edge("d", None)];
        for n in &nodes {
            assert_eq!(through(&n.name, &nodes, 4), None, "{}", n.name);
        }
    }
}
