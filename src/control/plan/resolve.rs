//! Where a position of a channel is read: every generation is looked at, at the node that has its
//! log and in the buckets that have a copy, and each answer has its reason.

use crate::api::cluster::{ArchivedLog, BUCKET, Node, Past, Position, Source};
use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};

/// Most generations that an answer names: those that have the position, then the newest of the
/// others.
pub const SOURCES_MAX: usize = 20;

/// Orders a channel's generations by how good they are to read `position` from: at a node that
/// lives, then in a bucket, then at a node that may come back. `past` may be in any order;
/// `buckets` is what each has, by its URL; `now` is the registry's clock.
pub fn resolve(
    past: &[Past],
    nodes: &[Node],
    buckets: &[(String, ArchivedLog)],
    position: Position,
    now: Wall,
) -> Vec<Source> {
    let newest = past.iter().map(|p| p.generation).max();
    let mut all: Vec<Source> = past
        .iter()
        .map(|p| {
            let (has, why) = judge(p, newest == Some(p.generation), position, now);
            let node = nodes.iter().find(|n| n.name == p.node);
            let alive = node.is_some_and(|n| n.alive);
            let url = node.and_then(|n| n.said.url.clone());
            let why = match (has, alive) {
                (true, false) => format!("{why}; its node is gone: its log waits there"),
                _ => why,
            };
            let (session, generation, archived) = (p.session, p.generation, false);
            Source { session, generation, node: p.node.clone(), url, alive, has, why, archived }
        })
        .collect();
    all.extend(buckets.iter().filter_map(|(url, of)| {
        let p = past.iter().find(|p| p.generation == of.log.generation)?;
        let (has, why) = copied(p, of, newest == Some(p.generation), position, now);
        let (session, generation, archived, alive) = (p.session, p.generation, true, true);
        let url = Some(format!("{url}/{}/s{session}/g{generation}", of.log.channel));
        Some(Source { session, generation, node: BUCKET.into(), url, alive, has, why, archived })
    }));
    all.sort_by_key(|s| (!s.has, !s.alive, s.archived, std::cmp::Reverse(s.generation)));
    all.truncate(SOURCES_MAX);
    all
}

fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / MICROS as f64
}

/// Does a bucket's copy of a generation's log have it, and why.
fn copied(
    p: &Past,
    of: &ArchivedLog,
    newest: bool,
    position: Position,
    now: Wall,
) -> (bool, String) {
    let within = match position {
        Position::Live => false,
        Position::Msn(msn) => msn >= p.base && of.last >= Some(Msn(msn)),
        Position::At(at) => at >= p.granted && of.until > Some(at),
    };
    let n = of.extents;
    match (within, of.whole) {
        (true, _) => (true, format!("is in the first {n} extents, which were collected")),
        (false, true) => match judge(p, newest, position, now) {
            (true, why) => (true, format!("all of it was collected: {why}")),
            no => no,
        },
        (false, false) => (false, format!("is not in the first {n} extents, which were collected")),
    }
}

/// Does a generation's log have it, and why.
fn judge(p: &Past, newest: bool, position: Position, now: Wall) -> (bool, String) {
    let last = p.end.or(p.reported).map(|(msn, _)| msn);
    match position {
        Position::Live => match (newest, p.end, p.reported) {
            (false, ..) => (false, "a newer generation goes on after it".into()),
            (true, Some((msn, _)), _) => (true, format!("the last: it ended with segment {msn}")),
            (true, None, Some((msn, at))) => {
                let ago = seconds(now.since(at));
                (true, format!("writes now: segment {msn} began {ago:.1} s ago"))
            }
            (true, None, None) => (true, "was granted, and has told of no media yet".into()),
        },
        Position::Msn(msn) if msn < p.base => {
            (false, format!("begins with segment {}, after it", p.base))
        }
        Position::Msn(msn) => match (p.end, last) {
            (Some((end, _)), _) if msn > end => {
                (false, format!("ended with segment {end}, before it"))
            }
            (Some((end, _)), _) => (true, format!("has segments {} to {end}", p.base)),
            (None, _) if !newest => (false, "its end was never told".into()),
            (None, Some(last)) if msn > last => {
                (true, format!("writes now, segment {last} so far: it comes here"))
            }
            (None, _) => (true, format!("has segments from {} on", p.base)),
        },
        Position::At(at) if at < p.granted => {
            (false, format!("was granted {:.1} s after it", seconds(p.granted.since(at))))
        }
        Position::At(at) => match p.end {
            Some((_, end)) if at >= end => {
                (false, format!("ended {:.1} s before it", seconds(at.since(end))))
            }
            Some(_) => (true, "was on air then".into()),
            None if at > now => (newest, "is on air: that moment is still to come".into()),
            None => (newest, "has been on air since before then".into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::cluster::{Heartbeat, LogName, Role};
    use crate::base::ids::{Generation, Session};

    fn at(second: i64) -> Wall {
        Wall(second * MICROS)
    }

    fn past(g: u64, node: &str, base: u64, granted: i64, end: Option<(u64, i64)>) -> Past {
        Past {
            generation: Generation(g),
            session: Session(1),
            node: node.into(),
            base,
            granted: at(granted),
            reported: Some((base + 3, at(granted + 6))),
            end: end.map(|(msn, second)| (msn, at(second))),
        }
    }

    fn node(name: &str, alive: bool) -> Node {
        let url = Some(format!("http://{name}:8090"));
        let said = Heartbeat { url, ..Heartbeat::of(Role::Origin) };
        Node { name: name.into(), said, seen: at(0), alive }
    }

    #[test]
    fn whoever_has_it_comes_first_and_everyone_has_a_reason() {
        let all =
            [past(1, "north", 1000, 100, Some((1009, 120))), past(2, "south", 1012, 130, None)];
        let nodes = [node("north", false), node("south", true)];
        let (now, best) = (at(140), |position| {
            let found = resolve(&all, &nodes, &[], position, at(140));
            assert_eq!(found.len(), 2);
            let first = found[0].clone();
            (first.has.then_some(first.generation.0), first.why, found[1].why.clone())
        });
        assert_eq!(now, at(140));
        for (position, generation, why, other) in [
            (Position::Live, Some(2), "writes now: segment 1015", "a newer generation goes on"),
            (Position::Msn(1004), Some(1), "has segments 1000 to 1009; its node", "begins with"),
            (Position::Msn(1013), Some(2), "has segments from 1012", "ended with segment 1009"),
            (Position::Msn(1020), Some(2), "writes now, segment 1015 so far", "ended with"),
            (Position::Msn(1010), None, "begins with segment 1012", "ended with segment 1009"),
            (Position::Msn(1), None, "begins with segment 1012", "begins with segment 1000"),
            (Position::At(at(110)), Some(1), "was on air then", "was granted 20.0 s after"),
            (Position::At(at(125)), None, "was granted 5.0 s after", "ended 5.0 s before it"),
            (Position::At(at(135)), Some(2), "has been on air", "ended 15.0 s before it"),
            (Position::At(at(999)), Some(2), "is on air: that moment", "ended 879.0 s before"),
        ] {
            let (got, because, second) = best(position);
            assert_eq!(got, generation, "{position:?}: {because}");
            assert!(because.starts_with(why), "{position:?}: {because}");
            assert!(second.starts_with(other), "{position:?}: {second}");
        }
    }

    #[test]
    fn a_bucket_is_read_where_no_live_node_has_it() {
        let all =
            [past(1, "north", 1000, 100, Some((1009, 120))), past(2, "south", 1012, 130, None)];
        let of = |g: u64, extents, whole, last: u64, until| {
            let (channel, session) = ("main".parse().expect("a name"), Session(1));
            let log = LogName { channel, session, generation: Generation(g) };
            let (last, until) = (Some(Msn(last)), Some(at(until)));
            ("s3://b/x".to_owned(), ArchivedLog { log, extents, whole, last, until })
        };
        let buckets = [of(1, 2, true, 1009, 119), of(2, 1, false, 1013, 133)];
        let best = |alive: [bool; 2], position| {
            let nodes = [node("north", alive[0]), node("south", alive[1])];
            let found = resolve(&all, &nodes, &buckets, position, at(140));
            assert_eq!(found.len(), 4, "both logs at both places");
            let first = found[0].clone();
            (first.has.then(|| (first.node.to_string(), first.generation.0)), first.why)
        };
        let (both, none) = ([true; 2], [false; 2]);
        let bucket = |g| Some((BUCKET.to_owned(), g));
        for (alive, position, wanted, why) in [
            (both, Position::Msn(1004), Some(("north".to_owned(), 1)), "has segments"),
            (none, Position::Msn(1004), bucket(1), "is in the first 2 extents"),
            (none, Position::At(at(105)), bucket(1), "is in the first 2 extents"),
            // Behind the last date that its extents have, and not behind its end.
            (none, Position::Msn(1013), bucket(2), "is in the first 1 extents"),
            (none, Position::At(Wall(at(119).0 + 500_000)), bucket(1), "all of it was collected"),
            // What was not collected is only where it was written.
            (none, Position::Msn(1014), Some(("south".to_owned(), 2)), "has segments from 1012"),
            (none, Position::Live, Some(("south".to_owned(), 2)), "writes now"),
            (none, Position::Msn(1010), None, "is not in the first 1 extents"),
        ] {
            let (got, because) = best(alive, position);
            assert_eq!(got, wanted, "{position:?}: {because}");
            assert!(because.starts_with(why), "{position:?}: {because}");
        }
        let found = resolve(&all, &[], &buckets, Position::Msn(1004), at(140));
        assert_eq!(found[0].url.as_deref(), Some("s3://b/x/main/s1/g1"));
        assert!(found[0].archived && found[1].node == "north".into(), "{found:?}");
    }

    #[test]
    fn an_answer_names_so_many() {
        let all: Vec<Past> =
            (1..100).map(|g| past(g, "n", g * 10, g as i64, Some((g * 10 + 5, 50)))).collect();
        let found = resolve(&all, &[], &[], Position::Msn(15), at(60));
        assert_eq!(found.len(), SOURCES_MAX);
        assert_eq!((found[0].generation.0, found[0].has), (1, true));
        assert_eq!(found[1].generation.0, 99, "then the newest");
    }
}
