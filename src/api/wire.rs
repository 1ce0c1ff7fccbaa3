//! The table of channels as one node sends it to another: lines of JSON, in one answer that does
//! not end, and single sessions.
//!
//! ```text
//! GET /v1/table                                    lines, see `Line`
//! GET /v1/channels/{channel}/sessions/{session}    one `Session`, or 404
//! ```

use crate::api::types::{LiveSession, Table};
use crate::base::ids::{Channel, Generation, Session as Number};
use serde::{Deserialize, Serialize};

/// The path of the table.
pub const TABLE: &str = "/v1/table";

/// What the paths of channels begin with.
pub const CHANNELS: &str = "/v1/channels/";

/// Longest line that is taken: a session of a thousand generations has about 60 KiB.
pub const LINE_MAX: usize = 1 << 20;

/// A line of the table's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Line {
    /// A channel's newest session is now this.
    Session(Session),
    /// The channel is configured no more.
    Gone {
        /// Its name.
        channel: String,
    },
    /// All that is known has been said; repeated while there is nothing to say.
    Known,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A generation and who holds its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its number.
    pub generation: u64,
    /// The node's name.
    pub node: String,
}

impl Session {
    /// For sending.
    pub fn new(channel: &Channel, live: &LiveSession) -> Session {
        let held = |(g, node): &(Generation, crate::api::types::NodeName)| Held {
            generation: g.0,
            node: node.to_string(),
        };
        Session {
            channel: channel.to_string(),
            session: live.session.0,
            over: live.over,
            open: live.open,
            generations: live.generations.iter().map(held).collect(),
        }
    }

    /// As it was sent; `None` when the channel's name cannot be one.
    pub fn read(self) -> Option<(Channel, LiveSession)> {
        let channel = self.channel.parse().ok()?;
        let held = |h: Held| (Generation(h.generation), h.node.into());
        let live = LiveSession {
            session: Number(self.session),
            over: self.over,
            open: self.open,
            generations: self.generations.into_iter().map(held).collect(),
        };
        Some((channel, live))
    }
}

/// What has to be said to somebody who knows `old`, so that he knows `new`; without `Known`.
pub fn changes(old: &Table, new: &Table) -> Vec<Line> {
    let gone = old.keys().filter(|c| !new.contains_key(*c));
    let gone = gone.map(|c| Line::Gone { channel: c.to_string() });
    let news = new.iter().filter(|(c, live)| old.get(*c) != Some(*live));
    gone.chain(news.map(|(c, live)| Line::Session(Session::new(c, live)))).collect()
}

/// Takes a line in; `true` when it was `Known`.
pub fn apply(table: &mut Table, line: Line) -> bool {
    match line {
        Line::Session(session) => {
            if let Some((channel, live)) = session.read() {
                table.insert(channel, live);
            }
            false
        }
        Line::Gone { channel } => {
            table.retain(|c, _| c.as_str() != channel);
            false
        }
        Line::Known => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(session: u64, generations: &[u64]) -> LiveSession {
        let held = |g: &u64| (Generation(*g), "origin-1".into());
        LiveSession {
            session: Number(session),
            over: false,
            open: true,
            generations: generations.iter().map(held).collect(),
        }
    }

    #[test]
    fn who_applies_the_changes_knows_the_new_table() {
        let name = |n: &str| -> Channel { n.parse().expect("a name") };
        let mut states = vec![Table::new()];
        for (channel, session) in [
            ("a", live(1, &[1])),
            ("b", live(4, &[])),
            ("a", live(1, &[1, 2])),
            ("b", live(5, &[6])),
        ] {
            let mut next = states.last().cloned().expect("one");
            next.insert(name(channel), session);
            states.push(next);
        }
        states.push(Table::from([(name("a"), live(2, &[3]))]));
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
        assert!(apply(&mut Table::new(), Line::Known));
    }

    #[test]
    fn the_lines_are_as_written_down() {
        let channel = "main".parse().expect("a name");
        let line = Line::Session(Session::new(&channel, &live(7, &[9])));
        let session = concat!(
            r#"{"kind":"session","channel":"main","session":7,"over":false,"open":true,"#,
            r#""generations":[{"generation":9,"node":"origin-1"}]}"#
        );
        for (line, text) in [
            (line, session),
            (Line::Gone { channel: "x".into() }, r#"{"kind":"gone","channel":"x"}"#),
            (Line::Known, r#"{"kind":"known"}"#),
        ] {
            assert_eq!(serde_json::to_string(&line).expect("JSON"), text);
        }
    }
}
