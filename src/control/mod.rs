//! The control plane: who may write which channel, and from which numbers on.
//!
//! `registry` decides and stores (`registry::numbers` is the pure part); `embedded` is the loop
//! that brings it the calls of its own process; `server` listens for those of other nodes and of
//! operators, `routes` says which request is which call, `openapi` describes them; `plan` decides
//! what needs no database (pure).
//!
//! Invariant: every number a writer starts from is decided in one database transaction, once.

use std::time::Duration;

/// How often a registry looks for jobs that nobody does (`registry`, `reconcile`). A node's lease
/// has to run out first; then its jobs have stood still for long enough.
const ROUND: Duration = Duration::from_secs(1);

pub mod embedded;
pub mod metrics;
pub mod openapi;
pub mod plan;
pub mod registry;
mod routes;
pub mod server;

#[cfg(test)]
mod server_test;
