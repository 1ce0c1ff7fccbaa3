//! What is decided of what is known: where a position is read (`resolve`), through which edges
//! (`tiers`); what transcoding costs (`cost`), which node does it (`place`) and why (`explain`),
//! of what the registry knows (`schedule`), and how that goes through a day (`simulate`, of a
//! `trace`).
//!
//! Invariant: pure; the same inventory gives the same plan, and no clock is asked.

pub mod cost;
pub mod explain;
pub mod place;
pub mod resolve;
pub mod rungs;
pub mod schedule;
pub mod simulate;
pub mod tiers;
pub mod trace;
