//! What operators see of a process: its log lines, its metrics, its readiness, and the admin
//! listener that shows the last two.
//!
//! Not here: what is worth logging or counting; each service says so itself, through the types of
//! `metrics`, the only door to the metrics crate.
//!
//! Invariant: metric labels are bounded: channel names and closed sets of words, never a key, an
//! address or a session.
//! Invariant: the admin listener outlives the drain, so that draining can be watched.

pub mod admin;
mod cloud_json;
pub mod logging;
pub mod metrics;
mod process;
pub mod ready;
