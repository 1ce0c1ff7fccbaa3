//! The one door to libav (FFmpeg's libraries): container files in, packets and tracks of `media`
//! out; and packets in, decoded, scaled and encoded, packets out. No type of libav leaves the room.
//!
//! `demux` is the reader of files. `decode`, `scale`, `encode` (pictures) and `sound` (decoded
//! sound, encoded) are what a transcoder is made of. `annexb` and `adts` turn byte streams into
//! what `media` has, `record` and `parameters` get configuration records out of libav and into it,
//! `stamps` makes continuous times.
//!
//! Invariant: any file or packet may come in; the answer is a value or an error, never a panic.
//! Invariant: blocking; callers put it on a thread of its own. libav's own logging is silenced:
//! what matters is in the errors.
//! Invariant: a picture keeps the exact ticks of its packet's PTS through decoder, scaler, encoder.
//!
//! Built with the cargo feature `transcode` alone. Debian's FFmpeg is a GPL build, so a binary that
//! is distributed with this room in it is under GPL-2.0-or-later.

mod adts;
mod annexb;
pub mod decode;
pub mod demux;
pub mod encode;
pub mod error;
mod feed;
mod options;
mod parameters;
mod record;
pub mod scale;
pub mod sound;
mod stamps;

#[cfg(test)]
pub(crate) mod clips_test;
#[cfg(test)]
mod demux_test;
#[cfg(test)]
mod encode_test;
#[cfg(test)]
mod sound_test;
