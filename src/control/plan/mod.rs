//! What is decided of what is known: pure.

pub mod resolve;
pub mod tiers;
