//! What is decided of what is known: where a position is read (`resolve`), what transcoding costs
//! (`cost`).
//!
//! Invariant: pure; no clock is asked.

pub mod cost;
pub mod resolve;
pub mod tiers;
