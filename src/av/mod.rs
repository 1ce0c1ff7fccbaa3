//! The one door to libav (FFmpeg's libraries): container files in, packets and tracks of `media`
//! out. Nothing is decoded here, and no type of libav leaves the room.
//!
//! `demux` is the reader; `annexb` and `adts` turn the byte streams that MPEG-TS carries into what
//! `media` has, `record` gets at configuration records, `stamps` makes continuous times.
//!
//! Invariant: any file may come in; the answer is packets or an [`error::AvError`], never a panic.
//! Invariant: blocking; callers put it on a thread of its own. libav's own logging is silenced:
//! what matters is in the errors.
//!
//! Built with the cargo feature `transcode` alone. Debian's FFmpeg is a GPL build, so a binary that
//! is distributed with this room in it is under GPL-2.0-or-later.

mod adts;
mod annexb;
pub mod demux;
pub mod error;
mod record;
mod stamps;

#[cfg(test)]
mod demux_test;
