//! The table of channels as one node sends it to another: lines of JSON, in one answer that does
//! not end, and single sessions.
//!
//! ```text
//! GET /v1/table                                    lines, see `Line`
//! GET /v1/channels/{channel}/sessions/{session}    one `Session`, or 404
//! GET /v1/channels/{channel}/sessions              `SessionSpan`s, oldest first
//! ```

use crate::api::types::{LiveSession, NodeName, SessionRecord, Table};
use crate::base::ids::{Channel, Generation, Job, Session as Number};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The path of the table.
pub const TABLE: &str = "/v1/table";

/// What the paths of channels begin with.
pub const CHANNELS: &str = "/v1/channels/";

/// Longest line that is taken: a session of a thousand generations has about 60 KiB.
pub const LINE_MAX: usize = 1 << 20;

/// A line of the table's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Line {
    /// A channel's newest session is now this.
    Session(Session),
    /// The channel is configured no more.
    Gone {
        /// Its name.
        channel: String,
    },
    /// The logs of a node are read there now; `None`: where the table is.
    Node {
        /// Its name.
        node: NodeName,
        /// The URL of an internal listener.
        url: Option<String>,
    },
    /// All that is known has been said; repeated while there is nothing to say.
    Known,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The channel's name.
    pub channel: String,
    /// Its number.
    pub session: u64,
    /// ENDLIST was written.
    pub over: bool,
    /// Its constants are set.
    pub open: bool,
    /// Oldest first.
    pub generations: Vec<Held>,
    /// Who makes rungs of them; oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Made>,
    /// Its constants, where its source's log says less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Arc<SessionRecord>>,
}

/// A generation and who holds its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its number.
    pub generation: u64,
    /// The node's name.
    pub node: String,
}

/// A job and who holds its logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The generation that it makes rungs of.
    pub generation: u64,
    /// Its number.
    pub job: u32,
    /// The node's name.
    pub node: String,
}

impl Session {
    /// For sending.
    pub fn new(channel: &Channel, live: &LiveSession) -> Session {
        let held =
            |(g, node): &(Generation, NodeName)| Held { generation: g.0, node: node.to_string() };
        let made = |(g, job, node): &(Generation, Job, NodeName)| Made {
            generation: g.0,
            job: job.0,
            node: node.to_string(),
        };
        Session {
            channel: channel.to_string(),
            session: live.session.0,
            over: live.over,
            open: live.open,
            generations: live.generations.iter().map(held).collect(),
            jobs: live.jobs.iter().map(made).collect(),
            record: live.record.clone(),
        }
    }

    /// As it was sent; `None` when the channel's name cannot be one.
    pub fn read(self) -> Option<(Channel, LiveSession)> {
        let channel = self.channel.parse().ok()?;
        let held = |h: Held| (Generation(h.generation), h.node.into());
        let made = |m: Made| (Generation(m.generation), Job(m.job), m.node.into());
        let live = LiveSession {
            session: Number(self.session),
            over: self.over,
            open: self.open,
            generations: self.generations.into_iter().map(held).collect(),
            jobs: self.jobs.into_iter().map(made).collect(),
            record: self.record,
        };
        Some((channel, live))
    }
}

/// What has to be said to somebody who knows `old`, so that he knows `new`; without `Known`.
pub fn changes(old: &Table, new: &Table) -> Vec<Line> {
    // Where nodes are is said before what they hold.
    let left = old.nodes.keys().filter(|n| !new.nodes.contains_key(*n));
    let left = left.map(|n| Line::Node { node: n.clone(), url: None });
    let moved = new.nodes.iter().filter(|(n, url)| old.nodes.get(*n) != Some(*url));
    let moved = moved.map(|(n, url)| Line::Node { node: n.clone(), url: Some(url.clone()) });
    let (old, new) = (&old.sessions, &new.sessions);
    let gone = old.keys().filter(|c| !new.contains_key(*c));
    let gone = gone.map(|c| Line::Gone { channel: c.to_string() });
    let news = new.iter().filter(|(c, live)| old.get(*c) != Some(*live));
    let news = news.map(|(c, live)| Line::Session(Session::new(c, live)));
    left.chain(moved).chain(gone).chain(news).collect()
}

/// Takes a line in; `true` when it was `Known`.
pub fn apply(table: &mut Table, line: Line) -> bool {
    match line {
        Line::Session(session) => {
            if let Some((channel, live)) = session.read() {
                table.sessions.insert(channel, live);
            }
            false
        }
        Line::Gone { channel } => {
            table.sessions.retain(|c, _| c.as_str() != channel);
            false
        }
        Line::Node { node, url: Some(url) } => {
            table.nodes.insert(node, url);
            false
        }
        Line::Node { node, url: None } => {
            table.nodes.remove(&node);
            false
        }
        Line::Known => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn live(session: u64, generations: &[u64]) -> LiveSession {
        let held = |g: &u64| (Generation(*g), "origin-1".into());
        LiveSession {
            session: Number(session),
            over: false,
            open: true,
            generations: generations.iter().map(held).collect(),
            jobs: vec![(Generation(session), Job(1), "transcoder-1".into())],
            record: None,
        }
    }

    #[test]
    fn who_applies_the_changes_knows_the_new_table() {
        let name = |n: &str| -> Channel { n.parse().expect("a name") };
        let mut states = vec![Table::default()];
        for (channel, session) in [
            ("a", live(1, &[1])),
            ("b", live(4, &[])),
            ("a", live(1, &[1, 2])),
            ("b", live(5, &[6])),
        ] {
            let mut next = states.last().cloned().expect("one");
            next.sessions.insert(name(channel), session);
            states.push(next);
        }
        let sessions = BTreeMap::from([(name("a"), live(2, &[3]))]);
        let url = |n: u8| ("origin-1".into(), format!("http://10.0.0.{n}:8090"));
        states.push(Table { sessions: sessions.clone(), nodes: BTreeMap::from([url(1)]) });
        states.push(Table { sessions, nodes: BTreeMap::from([url(2)]) });
        for old in &states {
            for new in &states {
                let mut got = old.clone();
                for line in changes(old, new) {
                    let text = serde_json::to_string(&line).expect("JSON");
                    let line = serde_json::from_str(&text).expect("reads back");
                    assert!(!apply(&mut got, line));
                }
                assert_eq!(got, *new);
                assert_eq!(changes(old, new).is_empty(), old == new);
            }
        }
        assert!(apply(&mut Table::default(), Line::Known));
    }

    #[test]
    fn the_lines_are_as_written_down() {
        let channel = "main".parse().expect("a name");
        let line = Line::Session(Session::new(&channel, &live(7, &[9])));
        let session = concat!(
            r#"{"kind":"session","channel":"main","session":7,"over":false,"open":true,"#,
            r#""generations":[{"generation":9,"node":"origin-1"}],"#,
            r#""jobs":[{"generation":7,"job":1,"node":"transcoder-1"}]}"#
        );
        for (line, text) in [
            (line, session),
            (Line::Gone { channel: "x".into() }, r#"{"kind":"gone","channel":"x"}"#),
            (
                Line::Node { node: "n".into(), url: Some("http://h".into()) },
                r#"{"kind":"node","node":"n","url":"http://h"}"#,
            ),
            (Line::Known, r#"{"kind":"known"}"#),
        ] {
            assert_eq!(serde_json::to_string(&line).expect("JSON"), text);
        }
    }
}
