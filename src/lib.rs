//! castctl: a live-streaming platform in one binary. This file is a map and nothing else;
//! `ARCHITECTURE.md` has the rooms, their invariants and which room may import which (the law is
//! `tests/tidy.rs`).

// Ground.
pub mod base;
pub mod rt;
// Floor 2.
pub mod api;
#[cfg(feature = "transcode")]
pub mod av;
pub mod media;
pub mod store;
pub mod telemetry;
// Hub and wing.
pub mod control;
pub mod log;
// Cores (pure).
pub mod catalog;
pub mod hls;
pub mod manifest;
pub mod rtmp;
// Services.
pub mod collect;
pub mod edge;
pub mod ingest;
pub mod origin;
pub mod push;
pub mod transcode;
// Tools.
pub mod bench;
pub mod export;
pub mod inspect;
pub mod replay;
// Composition.
pub mod cmd;
