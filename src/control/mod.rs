//! The control plane: who may write which channel, and from which numbers on.
//!
//! `registry` decides and stores (`registry::numbers` is the pure part); `server` is the loop that
//! brings it the calls of `api::client`.
//!
//! Invariant: every number a writer starts from is decided in one database transaction, once.

pub mod registry;
pub mod server;
