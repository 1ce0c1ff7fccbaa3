//! The runtime's edge: the only clock, named and supervised tasks, drain, signals, listening
//! sockets.
//!
//! Invariant: nothing else in the package reads a clock, spawns a bare task or installs a signal
//! handler.

pub mod backoff;
pub mod client;
pub mod clock;
pub mod drain;
pub mod gather;
pub mod http;
pub mod listen;
pub mod secret;
pub mod signal;
pub mod task;
pub mod tls;
pub mod usage;
