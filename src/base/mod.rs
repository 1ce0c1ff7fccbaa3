//! Ground floor: the words every room shares. Three kinds of time, identities, quantities with
//! units, and the few kinds of failure. Nothing here knows media, files, sockets or clocks.
//!
//! Invariant: pure values only; no I/O, no clock, no `async`.

pub mod error;
pub mod ids;
pub mod log_id;
pub mod random;
pub mod time;
pub mod units;
