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
//! `00000001.extent`, …, and `sealed` once all of it is durable. The writer creates and seals
//! extents and holds the lock for life: a free lock is the proof that it is dead, and only then may
//! `Logs::recover` seal in its place. Byte order little-endian, checksums CRC-32C; see `format`.
//!
//! How a packet travels: `writer` encodes it into a buffer; `flush` queues the buffer; `io` writes
//! it to the file, puts the same bytes into `tail`, and moves *visible*; every `subscription`
//! wakes. Later `io`'s other thread syncs the file and moves *durable*.
//!
//! # Durability
//!
//! `Options::sync`, or a log's own policy, says when a log is synced: at an interval, at each
//! segment, never (but by the kernel). A crash of the process costs nothing in any of them; a crash
//! of the machine costs what is between *durable* and *visible* (`Logs::stats`).
//!
//! Each log is synced on its own by `fdatasync`, up to `Options::sync_threads` of them at one time.
//! `castctl bench sync`, 200 logs of 2.5 Mbit/s at 500 ms, age of the oldest record when it became
//! durable (99th percentile; two cores, ext4, other work on the same disk):
//!
//! | | the system's disk | a volume of its own |
//! |---|---|---|
//! | one after another | 1577 ms | 3585 ms |
//! | 8 at one time | 466 ms | 476 ms |
//! | `syncfs` | 1086 ms | 682 ms |
//!
//! The file system commits in one go what several threads ask of it, so 8 threads do no worse than
//! one `syncfs` where the volume holds nothing else, and better where it does: `syncfs` writes out
//! everybody's data. It would also tell an error of any file to every log at once, and
//! one slow file would hold up all. With one thread, one slow sync does.
//!
//! **A failed sync is final for its extent.** The kernel may have dropped what it could not write,
//! and says so once; a second `fdatasync` that succeeds proves nothing. So that file is not synced
//! again, *durable* stands before what was asked for, for good (what follows a hole cannot be
//! relied upon after a crash, although it is synced), and the writer goes on in a new extent. A
//! second failure in the same log, or of a directory, stops it. Readers notice nothing: *visible*
//! goes on.
//!
//! **A disk that takes nothing more** stops the log: `Writer::error`. Behind the newest record
//! there is always room for the end (`io::RESERVE`): for an end record, and for the footer however
//! large. So a log whose writer ends it on a full disk is whole, what was appended last included;
//! one that had to stop ends with what its files hold (`Writer::holds`), and that is recorded and
//! sealed (`Writer::seal_stopped`). A disk that is read-only or broken leaves the log to recovery,
//! and its end is read and told (`Sealed::left_open`). `Logs::look` and `usable` say whether a new
//! log would be taken; below `Options::low_space` it is not.
//!
//! The oldest extents of a log may be removed while it is written and read (`trim`): then it begins
//! with a later one, as `trimmed` beside them says, and everything else is as it was.
//!
//! An archive (`archive`) is read as a disk is: whoever is given the URL of a log in a bucket,
//! where a path would do, reads it by range (`dir`). `bucket` is all the logs of one, `archived`
//! reads them where their nodes do not give them. `carried` is what brings extents there.
//!
//! Invariant: visible means written. No reader in any process sees a record before `write` has
//! returned.
//! Invariant: a reader never makes a writer wait; a slow disk makes only the writers wait, each at
//! its own limit.
//! Invariant: a log has no holes; recovery cuts at the first record that is not whole, and refuses
//! where the log was durable behind it (see `recover`).
//! Invariant: only `trim` deletes, where it was asked to, and what it deletes was said to be
//! removed before, durably: an extent that is missing and not said to be is damage.

mod archive;
pub mod archived;
pub mod aside;
pub mod batch;
pub mod bucket;
pub mod carried;
mod damage;
pub mod dir;
pub mod error;
pub mod format;
pub mod fs;
pub mod health;
pub mod id;
pub mod index;
mod io;
mod live;
pub mod logs;
pub mod nodes;
pub mod options;
pub mod partly;
mod pass;
mod reader;
pub mod recover;
pub mod remote;
pub mod repair;
mod repeats;
pub mod sealed;
mod seam;
mod shared;
mod site;
pub mod source;
pub mod stats;
pub mod subscription;
mod survey;
mod sync;
mod tail;
pub mod through;
mod torn;
pub mod trim;
mod walk;
pub mod writer;

#[cfg(test)]
mod archive_test;
#[cfg(test)]
mod bucket_test;
#[cfg(test)]
mod cues_test;
#[cfg(test)]
mod durable_test;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod log_test;
#[cfg(test)]
mod other_test;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod trim_test;
