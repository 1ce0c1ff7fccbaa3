//! What a node attests of its disk: what is on it and nowhere else. It looks at its directories
//! each time it is asked; what anybody was told before counts for nothing.
//!
//! ```text
//! POST /v1/attest                 of the node that is asked: `AttestAsk`; 200, `Attested`
//! POST /v1/nodes/{node}/attest    of an API server, which asks the node
//! ```
//! Refusals: 404 there is no such node, or it keeps nothing; 503 it can't be asked, or can't look.

use crate::base::time::Wall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a node is asked.
pub const PATH: &str = "/v1/attest";

/// Most logs that are named; all are counted.
pub const NAMED: usize = 100;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttestAsk {
    /// Only what is in this bucket counts as collected, `s3://bucket/archive`; by default what is
    /// in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What is on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attested {
    /// When it was looked, by the node's clock.
    pub at: Wall,
    /// The bucket that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Logs on the disk.
    pub logs: u64,
    /// Those that may be written yet: nothing says that they are sealed.
    pub open: u64,
    /// Extents that are in no bucket, the open ones with them.
    pub uncollected: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first [`NAMED`] logs that are open or not collected.
    pub left: Vec<Left>,
}

/// A log that is on this disk alone, or more of it than in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Its name.
    pub log: String,
    /// It may be written yet.
    pub open: bool,
    /// Extents that are in no bucket.
    pub extents: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl Attested {
    /// Is everything on this disk in the bucket too, and nothing to come?
    pub fn is_clear(&self) -> bool {
        self.open == 0 && self.uncollected == 0
    }

    /// Takes a log that is left.
    pub fn leave(&mut self, left: Left) {
        self.open += u64::from(left.open);
        self.uncollected += u64::from(left.extents);
        self.bytes += left.bytes;
        if self.left.len() < NAMED {
            self.left.push(left);
        }
    }
}

/// A disk that can be looked at.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Its logs.
    pub data: PathBuf,
    /// Looks; blocks. Why it can't, in words.
    pub look: fn(&Path, &AttestAsk, Wall) -> Result<Attested, String>,
}
