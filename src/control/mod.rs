//! The control plane: who may write which channel, and from which numbers on.
//!
//! Invariant: every number a writer starts from is decided in one database transaction, once.

pub mod registry;
pub mod server;
