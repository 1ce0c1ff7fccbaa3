//! The origin: serves logs and the table of channels to other nodes over HTTP, on a listener that
//! is never public. What it serves it reads through `log::source`, so that a node without a disk
//! (an edge) serves the logs that it follows in the same way.
//!
//! `server` listens and routes; `stream` makes a log's records into an answer. The requests are
//! written down in `log::remote::wire`, `api::wire` and `api::orders`.
//!
//! Invariant: a reader that does not read costs one batch of memory and nothing else: the next is
//! read when the last was taken.
//! Invariant: a log is sent as it is stored; nothing here decodes or re-encodes a record.

pub mod metrics;
pub mod server;
mod stream;

#[cfg(test)]
mod server_test;
