//! What processes say to each other: plain data (`types`; nodes, keys and channels: `cluster`), who
//! says it (`client` for who writes, `directory` for who reads, `lease` for who lives), what is
//! asked of writers (`orders`, `cues`), transcoders (`jobs`) and disks (`attested`). `wire` has the
//! forms that go over a network, `teller` and `peers` send them, `auth` tells a node of the cluster
//! from a stranger; `kept` keeps what readers know over a restart. `ladder` is what a channel is
//! transcoded to.
//!
//! Invariant: types that cross a process boundary are written for it here; no other room's types
//! leak in. The client is the same whether the registry is embedded in this process or behind a
//! network.

pub mod attested;
pub mod auth;
pub mod client;
pub mod cluster;
pub mod convert;
pub mod cues;
pub mod directory;
pub mod jobs;
pub mod kept;
pub mod ladder;
pub mod lease;
pub mod orders;
pub mod peers;
mod schema;
pub mod teller;
pub mod types;
pub mod wire;
