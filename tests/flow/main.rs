//! Flow tests: real encoders, the real server, real players, with the oracle watching. Each test
//! starts its own server on free ports in its own directory and waits for what it expects to
//! happen, never for time to pass. Unit tests of rooms are beside the rooms.

#[path = "../oracle/mod.rs"]
mod oracle;

mod accounted;
mod adopted;
mod announced;
mod archived;
mod aside;
mod away;
mod browser;
mod bucket;
mod chaos;
mod clip;
mod clocks;
mod clouds;
mod cluster;
mod collect_chaos;
mod collected;
mod crash;
mod crash_loop;
mod cues;
mod disks;
mod encoder;
mod enhanced;
mod export;
mod exporting;
mod fetched;
mod fidelity;
mod ladder;
mod limits;
mod next_version;
mod nodes;
mod players;
mod postgres;
mod process;
mod proxied;
mod proxies;
mod pushed;
mod refusals;
mod registry;
mod repaired;
mod rewound;
mod rules;
#[cfg(feature = "transcode")]
mod rungs;
mod scheduled;
mod server;
mod signals;
mod stage;
mod stores;
mod throttled;
mod tiers;
mod transport;
mod trimmed;
mod viewers;
