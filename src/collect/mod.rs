//! Looks after what a node has recorded: the logs of writers that are gone, and the archive.
//!
//! `adopt` finds logs whose lock is free, which is the proof that their writer is dead, seals them,
//! tells the registry where each of them ends, and that this node serves them. Who serves them is
//! the `origin` room, in the same process.
//!
//! `attest` says what is on this disk and in no bucket, by a look at it.
//!
//! `round` brings every sealed extent to a bucket, several logs at a time: each extent is made
//! durable here, verified record by record, put under its name (`upload`), found there again with
//! its checksum, and only then marked as collected beside it (`marks`). `rebuild` reads what a
//! bucket holds without asking anybody else. Names and what they mean are in `catalog::key`. `tell`
//! says to the registry what is there, `restore` what one that lost its database has to know of
//! generations. `retain` removes from the disk what is marked and, by `retention`, not wanted here
//! any more.
//!
//! | limit | value | why |
//! |---|---|---|
//! | requests that carry bytes at a time | `round::Options::concurrency` | 8 MiB of memory each |
//! | bytes a second | `pace` | what is left of the uplink belongs to viewers |
//! | footers read at a time | `rebuild::READS` | small ranges; a listing gives thousands |
//!
//! Whoever is killed anywhere in this goes on where the marks end. An extent that was put and not
//! marked is found in the bucket with the same checksum, and not put again; one that was half put
//! is not to be seen there.
//!
//! Invariant: nothing here decides that a writer is dead; the lock does.
//! Invariant: nothing here changes an extent, and a mark is written after the proof.
//! Invariant: no extent is removed without its mark for this very bucket.
//! Invariant: an object of another content is never replaced: its log is left, and said.

pub mod adopt;
pub mod attest;
pub mod marks;
pub mod metrics;
pub mod pace;
pub mod rebuild;
pub mod restore;
pub mod retain;
pub mod retention;
pub mod round;
pub mod summary;
pub mod tell;
mod upload;

#[cfg(test)]
mod retain_test;
#[cfg(test)]
mod round_test;
