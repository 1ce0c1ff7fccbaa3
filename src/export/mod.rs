//! Recordings as files: a range of one or more logs as MP4, fragmented MP4 or an HLS VOD folder.
//! Packets are copied, never coded anew.
//!
//! **What is read.** `shelf` is a log by its path, or where a cluster has it. `sources` lists the
//! extents of a path (an extent, a generation, a session, a channel), or of such logs, in order and
//! what footers say of them; `reader` reads those of the range, on behind damage where a footer
//! tells where the next mark lies. Two passes: `collect` takes every listed sample's times, size
//! and place (24 bytes each: 7 MiB for an hour of 30 pictures and 48 frames of sound a second, and
//! as much again while the head is written), `copy` moves the payloads.
//!
//! **What is exported.** Samples that the writer listed, with the times that viewers got
//! (`PartEnd`, audio on its grid), and the listed samples of a last part that a crash left without
//! its end. Packets that no segment lists (between an absence and the next key frame) stay out, as
//! do pictures that cannot be decoded because damage swallowed what they refer to. A folder has
//! whole segments, the same bytes that the edge served. An extent whose footer dates it outside of
//! the range is not read.
//!
//! **Time.** Samples with the same generation and discontinuity number share one time base: a
//! *stretch*. Inside it all times are kept, holes too. Where stretches meet, the time between them
//! is closed up until the first track touches (`Gaps::Close`), or kept as the marks date it
//! (`Gaps::Keep`: the last picture stands, sound is silent). All tracks move by the same amount:
//! sound and picture stay together to half a tick of the track. The movie counts in the least
//! common multiple of the tracks' timescales, so that edits are exact.
//!
//! **Cutting.** The presentation begins with the first picture dated at or after the start of the
//! range and ends before the first one dated at or after its end; pictures from the key frame on
//! are in the file before it, and the edit list skips them. The same edit trims the sound, which
//! has one frame more in front for the decoder. Players ignore the edit lists of fragmented movies:
//! those begin at the key frame. `plan` decides all of this and is pure.
//!
//! **Configurations.** Each one of a track has its sample entry. A video track with several is
//! `avc3` and its key frames carry their parameter sets too, because players exist that read the
//! first sample entry alone; with one, every payload is the encoder's, byte for byte.
//!
//! **Files.** Written as `NAME.part`, synced, renamed; nothing is overwritten unasked, nothing half
//! stays behind.

pub mod collect;
pub mod copy;
pub mod error;
pub mod folder;
pub mod job;
pub mod layout;
pub mod moment;
pub mod output;
pub mod plan;
pub mod reader;
pub mod shelf;
pub mod sources;
pub mod summary;
