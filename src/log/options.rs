//! How a process keeps its logs: when to sync, when to roll, how much to hold in memory.

use crate::base::time::MICROS;
use crate::log::format::version::Wrote;
use std::time::Duration;

/// When what is written becomes durable. What a machine crash can lose; a process crash loses
/// nothing in any mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Every so often.
    Interval(Duration),
    /// After each segment start (of any track): a crash loses about a segment.
    EachSegment,
    /// When the kernel likes.
    Never,
}

/// How a process keeps its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When what is written becomes durable; default: every 500 ms.
    pub sync: Sync,
    /// An extent is rolled at the next independent segment start once it has this many bytes;
    /// default 64 MiB. At twice as many it is rolled anywhere.
    pub extent_bytes: u64,
    /// ... or covers this many microseconds of media; default 60 s.
    pub extent_micros: i64,
    /// Newest records held in memory for readers, bytes a log; default 16 MiB.
    pub tail_bytes: usize,
    /// ... and microseconds of media; default 4 s: what keeps up reads from here, and a reader that
    /// needs parts for longer holds on to their bytes itself.
    pub tail_micros: i64,
    /// Bytes a writer may have handed over that are not written yet; above it `Writer::ready`
    /// waits; default 8 MiB, about 25 s of a 2.5 Mbit/s stream.
    pub backlog_bytes: usize,
    /// New logs are refused when fewer bytes are free; default 1 GiB: more than two minutes of
    /// ten streams of 6 Mbit/s, for those that run and for whoever makes room.
    pub low_space: u64,
    /// Most logs that are synced at one time; default 8. See the module's doc.
    pub sync_threads: usize,
    /// The version that new extents say wrote them, and their oldest reader: this code's own. A
    /// later version is pretended: such a log also gets records of a kind that nobody knows, and
    /// logs up to that version are read.
    pub format: Wrote,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sync: Sync::Interval(Duration::from_millis(500)),
            extent_bytes: 64 << 20,
            extent_micros: 60 * MICROS,
            tail_bytes: 16 << 20,
            tail_micros: 4 * MICROS,
            backlog_bytes: 8 << 20,
            low_space: 1 << 30,
            sync_threads: 8,
            format: Wrote::TODAY,
        }
    }
}
