//! The hub: each channel's append-only log of packets and marks. Ingest writes it, everything else
//! reads it.
//!
//! | limit | value | why |
//! |---|---|---|
//! | extent | 64 MiB or 60 s, at most 128 MiB | a unit to upload, to index and to lose |
//! | record | `format::RECORD_MAX`, 16 MiB and a head | a reader can always hold one |
//! | batch | 1 MiB (or one record) | what is shown, read and sent at once |
//! | on the way to the disk | `Options::backlog_bytes` | then the publisher waits, alone |
//!
//! A log lies in `DATA/logs/{channel}/s{session}/g{generation}/` as `lock` and `00000000.extent`,
//! `00000001.extent`, … The writer creates and seals extents and holds the lock for life: a free
//! lock is the proof that it is dead, and only then may `Logs::recover` seal in its place. Byte
//! order little-endian, checksums CRC-32C; see `format`.
//!
//! How a packet travels: `writer` encodes it into a buffer; `flush` queues the buffer; `io` writes
//! it to the file, puts the same bytes into `tail`, and moves *visible*; every `subscription`
//! wakes. Later `io`'s other thread syncs the file and moves *durable*.
//!
//! Invariant: visible means written. No reader in any process sees a record before `write` has
//! returned.
//! Invariant: a reader never makes a writer wait; a slow disk makes only the writers wait, each at
//! its own limit.
//! Invariant: a log has no holes; recovery cuts at the first record that is not whole.
//! Invariant: nothing here deletes a file.

pub mod batch;
pub mod dir;
pub mod error;
pub mod format;
pub mod fs;
pub mod health;
pub mod id;
mod index;
mod io;
mod live;
pub mod logs;
pub mod options;
mod reader;
pub mod recover;
pub mod repair;
mod shared;
pub mod stats;
pub mod subscription;
mod sync;
mod tail;
pub mod writer;

#[cfg(test)]
mod durable_test;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod log_test;
