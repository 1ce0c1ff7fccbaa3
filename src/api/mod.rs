//! What processes say to each other: plain data (`types`), the client that says it (`client`), what
//! readers ask for (`directory`), and what is announced to viewers (`cues`); `wire` has the forms
//! that go over a network.
//!
//! Invariant: types that cross a process boundary are written for it here; no other room's types
//! leak in. The client is the same whether the registry is embedded in this process or behind a
//! network.

pub mod client;
pub mod cluster;
pub mod cues;
pub mod directory;
pub mod types;
pub mod wire;
