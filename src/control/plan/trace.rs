//! A day of a fleet of transcoders, recorded or made up: what a simulation goes through. Recorded,
//! it is JSON lines: `{"atMs":0,"event":{"join":{"node":"n1","capacity":8000}}}`.

use crate::api::types::NodeName;
use crate::base::random::Random;
use crate::control::plan::place::JobName;
use serde::{Deserialize, Serialize};

/// Largest trace in bytes: a day of a hundred thousand jobs.
pub const FILE_MAX: usize = 64 << 20;

/// Length of a day that is made up, in milliseconds.
const DAY: u64 = 24 * 3_600_000;

/// Millicores of the ladders of a day that is made up: from three small rungs to a ladder of 4K
/// (`castctl schedule estimate`).
const LADDERS: [u32; 6] = [450, 700, 950, 950, 1_500, 3_200];

/// Millicores of its nodes.
const NODES: [u32; 3] = [4_000, 4_000, 8_000];

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// A node is there, or there again, with nothing running.
    Join {
        /// Its name.
        node: NodeName,
        /// Its millicores.
        capacity: u32,
    },
    /// A node is gone, and says nothing any more.
    Lost {
        /// Its name.
        node: NodeName,
    },
    /// A node shall be empty.
    Drain {
        /// Its name.
        node: NodeName,
    },
    /// A job is wanted.
    Start {
        /// Its name; one that runs already is passed over.
        job: JobName,
        /// What it is estimated to take.
        millicores: u32,
    },
    /// A running job is measured to take something else.
    Load {
        /// Its name.
        job: JobName,
        /// What it takes.
        millicores: u32,
    },
    /// A job is wanted no more.
    Stop {
        /// Its name.
        job: JobName,
    },
}

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Milliseconds from the beginning; never less than in the entry before.
    pub at_ms: u64,
    /// What.
    pub event: Event,
}

/// A trace cannot be read: `day.jsonl:7:3: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TraceError {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a trace; `file` is the name for the messages. Empty lines are passed over.
///
/// # Errors
/// It is too long, a line is no entry, or time goes back.
pub fn parse(file: &str, text: &str) -> Result<Vec<Entry>, TraceError> {
    let error = |line, column, message| TraceError { file: file.into(), line, column, message };
    if text.len() > FILE_MAX {
        return Err(error(1, 1, format!("larger than the limit of {FILE_MAX} bytes")));
    }
    let mut out: Vec<Entry> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let entry: Entry = serde_json::from_str(line).map_err(|e| {
            let message = e.to_string();
            let place = format!(" at line {} column {}", e.line(), e.column());
            let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
            error(i + 1, e.column().max(1), message)
        })?;
        if let Some(before) = out.last().filter(|b| b.at_ms > entry.at_ms) {
            let message = format!("time goes back, from {} to {} ms", before.at_ms, entry.at_ms);
            return Err(error(i + 1, 1, message));
        }
        out.push(entry);
    }
    Ok(out)
}

fn one_of(list: &[u32], random: &mut Random) -> u32 {
    list[random.below(list.len() as u64) as usize]
}

/// A day with so many nodes and jobs. Most jobs come towards the evening; they last from half an
/// hour to sixteen hours. One node in twenty is lost and one in ten drained at some time, to come
/// back half an hour later; one job in five turns out to take from two thirds to three halves of
/// its estimate.
pub fn generate(seed: u64, nodes: u32, jobs: u32) -> Vec<Entry> {
    let mut random = Random::new(seed);
    let mut out = Vec::new();
    for i in 0..nodes {
        let (node, capacity): (NodeName, u32) =
            (format!("node-{i:04}").into(), one_of(&NODES, &mut random));
        let join = |node: &NodeName| Event::Join { node: node.clone(), capacity };
        out.push(Entry { at_ms: 0, event: join(&node) });
        let event = match random.below(20) {
            0 => Event::Lost { node: node.clone() },
            1 | 2 => Event::Drain { node: node.clone() },
            _ => continue,
        };
        let at_ms = random.below(DAY);
        out.push(Entry { at_ms, event });
        out.push(Entry { at_ms: at_ms + 1_800_000, event: join(&node) });
    }
    for i in 0..jobs {
        let job: JobName = format!("job-{i:05}").into();
        // The mean of two is likelier in the middle, here at 18 h.
        let at_ms = (DAY / 4 + (random.below(DAY) + random.below(DAY)) / 2) % DAY;
        // As many last from one to two hours as from two to four, and so on.
        let octave = random.below(5);
        let length = (1_800_000 + random.below(1_800_000)) << octave;
        let millicores = one_of(&LADDERS, &mut random);
        out.push(Entry { at_ms, event: Event::Start { job: job.clone(), millicores } });
        if random.below(5) == 0 {
            let millicores = millicores * (667 + random.below(833) as u32) / 1_000;
            let at_ms = at_ms + random.below(length);
            out.push(Entry { at_ms, event: Event::Load { job: job.clone(), millicores } });
        }
        out.push(Entry { at_ms: at_ms + length, event: Event::Stop { job } });
    }
    out.sort_by_key(|e| e.at_ms);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_survives_its_file_and_comes_from_its_seed() {
        let day = generate(1, 20, 200);
        let lines = day.iter().map(|e| serde_json::to_string(e).expect("plain data") + "\n");
        assert_eq!(parse("x", &lines.collect::<String>()), Ok(day.clone()));
        assert_eq!(generate(1, 20, 200), day);
        assert_ne!(generate(2, 20, 200), day);
        let starts = day.iter().filter(|e| matches!(e.event, Event::Start { .. })).count();
        assert_eq!(starts, 200);
    }

    #[test]
    fn what_is_wrong_with_a_trace_has_a_place() {
        let said = |text: &str| parse("day", text).expect_err("wrong").to_string();
        let good = "{\"atMs\":5,\"event\":{\"stop\":{\"job\":\"x\"}}}\n";
        assert_eq!(parse("day", &format!("\n{good}")).map(|d| d.len()), Ok(1));
        let back = said(&format!("{good}{}", good.replace('5', "4")));
        assert_eq!(back, "day:2:1: time goes back, from 5 to 4 ms");
        let unknown = said(&format!("{good}{}", good.replace("stop", "pause")));
        assert!(unknown.starts_with("day:2:26: unknown variant `pause`"), "{unknown}");
        let long = said(&" ".repeat(FILE_MAX + 1));
        assert_eq!(long, "day:1:1: larger than the limit of 67108864 bytes");
    }
}
