//! Measures servers from outside: what ingest costs them and how late their media is. castctl runs
//! as a child process like any other server, so a figure never contains the cost of making the
//! load; a peer runs after it in the same round, so that both meet the same machine.
//!
//! Invariant: nothing here reaches into a server; it publishes over RTMP, watches over HTTP and
//! reads `/proc`. `sync` measures the disk under the log's own writer instead, `versions` what
//! playlists cost to make, `ladder` what ffmpeg takes for a ladder.

pub mod clip;
pub mod collect;
pub mod cores;
pub mod crowd;
pub mod error;
pub mod export;
pub mod ingest;
#[cfg(feature = "transcode")]
pub mod ladder;
pub mod latency;
pub mod log;
pub mod playlist;
pub mod proc;
pub mod progress;
pub mod publishers;
pub mod recordings;
pub mod report;
pub mod server;
pub mod serving;
pub mod stats;
pub mod sync;
pub mod versions;
pub mod viewer;
pub mod viewers;
