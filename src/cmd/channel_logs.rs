//! The logs of a channel, wherever its cluster has them: at a node that lives, or in a bucket.

use crate::api::client::Client;
use crate::api::cluster::{Archived, Node};
use crate::api::peers::Peers;
use crate::api::types::{LiveSession, Refusal, SessionSpan};
use crate::base::error::Kind;
use crate::base::ids::{Channel, Generation};
use crate::cmd::cluster::Member;
use crate::cmd::common::{self, Failure};
use crate::export::moment::{Ask, Moment};
use crate::export::shelf::Shelf;
use crate::log::bucket::Bucket;
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::source::Source;
use crate::log::through::Through;
use crate::rt::clock::Clock;
use std::sync::Arc;

/// What a cluster knows of a channel's recordings.
struct Known {
    channel: Channel,
    nodes: Vec<Node>,
    archived: Vec<Archived>,
}

/// The logs of the sessions that a range may need, in order; of one session where that is named.
pub(super) async fn find(
    member: &Member,
    channel: Channel,
    session: Option<u64>,
    ask: &Ask,
) -> Result<Vec<Shelf>, Failure> {
    let peers = member.cluster()?;
    let client = Client::remote(peers.clone());
    let spans = client.sessions(&channel).await.map_err(refused)?;
    let known = Known::ask(&peers, channel).await.map_err(refused)?;
    let mut shelves = Vec::new();
    let wanted = |s: &&SessionSpan| match session {
        Some(number) => s.session.0 == number,
        None => may_have(s, ask),
    };
    for span in spans.iter().filter(wanted) {
        let live = client.find(&known.channel, span.session).await.map_err(refused)?;
        if let Some(live) = live {
            known.shelves(member, &live, &mut shelves).await?;
        }
    }
    match shelves.is_empty() {
        true => Err(Failure::usage(format!("nothing is recorded of {} there", known.channel))),
        false => Ok(shelves),
    }
}

fn refused(e: Refusal) -> Failure {
    Failure::failed(e)
}

/// May a session have something of a range? What is counted from an end needs all of them.
fn may_have(span: &SessionSpan, ask: &Ask) -> bool {
    let after = |from: Moment| match from {
        Moment::Wall(at) => span.end.is_some_and(|end| end.date <= at),
        Moment::FromStart(_) | Moment::FromEnd(_) => false,
    };
    let before = |to: Moment| matches!(to, Moment::Wall(at) if span.start >= at);
    let segments = |last: u64| {
        let range = ask.segments?;
        let from = range.first.is_none_or(|first| first.0 <= last);
        Some(from && range.last.is_none_or(|to| to >= span.first))
    };
    let last = span.end.map_or(u64::MAX, |end| end.last.0);
    segments(last).unwrap_or(!ask.from.is_some_and(after) && !ask.to.is_some_and(before))
}

impl Known {
    async fn ask(peers: &Peers, channel: Channel) -> Result<Known, Refusal> {
        let nodes = peers.get("/v1/nodes").await?;
        let archived = peers.get(&format!("/v1/channels/{channel}/archived")).await?;
        Ok(Known { channel, nodes, archived })
    }

    /// The logs of a session's generations; one that never had a log is passed over.
    async fn shelves(
        &self,
        member: &Member,
        live: &LiveSession,
        out: &mut Vec<Shelf>,
    ) -> Result<(), Failure> {
        for (generation, node) in &live.generations {
            let id = LogId::source(self.channel.clone(), live.session, *generation);
            let logs = self.source(member, *generation, node)?;
            let index = match logs.index(&id).await {
                Ok(index) => Ok(index),
                Err(e) => logs.left_in_bucket(&id).await.ok().flatten().ok_or(e),
            };
            match index {
                Ok(index) => out.push(Shelf::afar(id, logs, index)),
                Err(e) if e.kind() == Kind::NotFound => {
                    common::say(format!("{id} is nowhere: it may never have begun"));
                }
                Err(e) => {
                    let text = format!("{id} can't be read at {node}: {e}");
                    let hint = "it is read in a bucket once castctl collect --to URL --api URL has \
                                brought it there";
                    return Err(Failure::failed(text).hint(hint));
                }
            }
        }
        Ok(())
    }

    /// Where a generation's log is read: at its node, and behind that in the bucket that has most
    /// of it.
    fn source(
        &self,
        member: &Member,
        generation: Generation,
        node: &str,
    ) -> Result<Source, Failure> {
        let clock = Clock::system();
        let url = self.nodes.iter().find(|n| *n.name == *node && n.alive);
        let url = url.and_then(|n| n.said.url.clone());
        let holder = move |_: &LogId| url.clone();
        let logs = member.logs(Arc::new(holder), Through::default(), clock.clone());
        let copies = self.archived.iter().flat_map(|a| a.logs.iter().map(move |l| (&a.url, l)));
        let ours = copies.filter(|(_, l)| l.log.generation == generation);
        let Some((url, _)) = ours.max_by_key(|(_, l)| (l.whole, l.extents)) else {
            return Ok(logs);
        };
        let bucket = Bucket::open(url, clock.clone());
        let bad = |e: LogError| Failure::of(e.kind(), format!("the bucket of {generation}: {e}"));
        Ok(logs.behind(bucket.map_err(bad)?, clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::SessionEnd;
    use crate::base::ids::{Msn, Session};
    use crate::base::time::Wall;
    use crate::export::moment::Segments;

    #[test]
    fn only_sessions_that_a_range_may_need_are_looked_up() {
        let end = Some(SessionEnd { last: Msn(1010), date: Wall(200) });
        let (session, first, start) = (Session(1), Msn(1000), Wall(100));
        let over = SessionSpan { session, open: true, first, start, end };
        let live = SessionSpan { end: None, ..over };
        let wall = |at| Some(Moment::Wall(Wall(at)));
        let times = |from, to| Ask { from, to, segments: None };
        let numbers = |first: u64, last: u64| {
            let segments = Segments { first: Some(Msn(first)), last: Some(Msn(last)) };
            Ask { segments: Some(segments), ..Ask::default() }
        };
        for (ask, of_over, of_live) in [
            (Ask::default(), true, true),
            (times(wall(150), wall(160)), true, true),
            (times(wall(200), None), false, true),
            (times(None, wall(100)), false, false),
            (times(Some(Moment::FromStart(9)), None), true, true),
            (numbers(1010, 1020), true, true),
            (numbers(1011, 1020), false, true),
            (numbers(900, 999), false, false),
        ] {
            assert_eq!(
                (may_have(&over, &ask), may_have(&live, &ask)),
                (of_over, of_live),
                "{ask:?}"
            );
        }
    }
}
