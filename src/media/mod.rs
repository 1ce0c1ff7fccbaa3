//! Media without a network: packets, tracks, the marks that give packets their place on the
//! timeline, and the containers they arrive in (FLV) and leave in (fMP4).
//!
//! Invariant: pure. No I/O, no clock, no lock, no `async`; bytes in, values out. Payloads are
//! `Bytes` and are shared, never copied, until a container is made.

pub mod codec;
pub mod flv;
pub mod fmp4;
pub mod fuzz;
pub mod packet;
pub mod timeline;
pub mod track;
