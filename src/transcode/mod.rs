//! Transcoding: one decode, every rung of a ladder scaled and encoded, in a process of its own that
//! a crash of the codec library may take down.
//!
//! `worker` is the parent's side: it starts the process, sends it a source's records and takes the
//! rungs' records from it. `job` is the process's side, made of `intake` (what arrives, ahead of
//! its decoding), `pipeline` (decodes), `rung` (one thread a rung: cap of the frame rate, scaling,
//! encoding) and `audio`. `settings` is what a job is told first (`coders`: what encoders are),
//! `wire` how records cross the pipes, `report` what the worker tells of itself, `load` what the
//! registry is told of that, `starts` and `cap` two decisions, pure.
//! Without libav (the feature `transcode`) there is the parent's side alone: it writes the gaps of
//! rungs that nobody makes, beside their source.
//! `trial` runs a job to measure it, with a `clip` of a file or of a `scene` that is made up.
//!
//! Invariant: every rung has a key frame at the first picture, in the order of showing, at or past
//! the first sample of each segment of the source, with exactly its PTS, and at no other picture
//! but its own first and the first of another time base.
//! Invariant: memory is bounded, whatever the encoders' speed. A rung that falls behind leaves
//! whole pictures out, never a key frame, and counts them; what that does not help stops the
//! reading. One slow rung holds the others up by half of the lateness that is allowed, no further.
//! Invariant: blocking work is in named threads of the worker; the parent's side never blocks.

#[cfg(feature = "transcode")]
mod audio;
pub mod begin;
#[cfg(feature = "transcode")]
mod cap;
#[cfg(feature = "transcode")]
pub mod clip;
#[cfg(feature = "transcode")]
mod coders;
#[cfg(feature = "transcode")]
pub mod error;
mod feed;
#[cfg(feature = "transcode")]
mod intake;
#[cfg(feature = "transcode")]
pub mod job;
mod leave;
mod load;
mod making;
pub mod metrics;
pub mod mirror;
pub mod node;
#[cfg(feature = "transcode")]
mod pipeline;
mod recorded;
pub mod report;
pub mod run;
#[cfg(feature = "transcode")]
mod rung;
#[cfg(feature = "transcode")]
pub mod scene;
pub mod settings;
#[cfg(feature = "transcode")]
mod starts;
mod told;
#[cfg(feature = "transcode")]
pub mod trial;
pub mod wire;
pub mod worker;
