//! What an edge reads from.

use crate::api::directory::Directory;
use crate::edge::away::Away;
use crate::log::source::Source;
use crate::rt::clock::Clock;

/// What a feed works with.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Logs, here or on another node.
    pub logs: Source,
    /// Which generations there are.
    pub directory: Directory,
    /// For idleness.
    pub clock: Clock,
    /// Nodes that are away.
    pub away: Away,
}
