//! Publishing what was recorded: an FLV file or a log goes to any RTMP server as an encoder would
//! send it, in real time, faster, or round and round.
//!
//! `source` gives timed messages, `publish` is a publisher's connection, `play` lets the one flow
//! into the other on the clock. Each is of use alone.
//!
//! Invariant: a recording's payloads and the distances of its timestamps are sent unchanged, in the
//! recording's order.
//! Invariant: at most one message waits to be written; a server that does not read stops the
//! replay, not the memory.

#[cfg(feature = "transcode")]
mod container;
mod describe;
pub mod digest;
pub mod error;
mod flv;
#[cfg(feature = "transcode")]
mod interleave;
pub mod message;
pub mod play;
pub mod publish;
mod recording;
pub mod source;
mod timeline;

#[cfg(test)]
mod replay_test;
