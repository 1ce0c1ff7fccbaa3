//! RTMP without sockets: bytes and times in, bytes and events out. A server session that takes
//! publishers, and a client session that publishes or plays. Message bodies leave as FLV tag
//! bodies; codecs are `media`'s business.
//!
//! Chunks and AMF0 are read by this room's own bounded readers, because both are parsed before
//! anybody showed a key: the reader of `rml_rtmp` panics on legal interleaving and `rml_amf0`
//! overflows the stack on nested objects. `rml_rtmp` does the handshake, fed with at most the bytes
//! a handshake has.
//!
//! Invariant: no bytes of a peer panic, recurse without bound or make the room hold more than
//! `limits` says.
//! Invariant: no type of a foreign RTMP crate leaves the room.
//! Invariant: no clock, no lock, no `async`; a session acts only when called, with the time as an
//! argument.

pub mod amf0;
pub mod chunk;
pub mod chunk_error;
pub mod chunk_writer;
pub mod client;
mod client_connect;
pub mod enhanced;
pub mod error;
pub mod event;
pub mod fuzz;
pub mod handshake;
pub mod limits;
pub mod link;
pub mod message;
pub mod metadata;
pub mod server;
mod server_connect;
pub mod url;
