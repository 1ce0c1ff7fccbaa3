//! The origin's receiving side: encoders in, logs out.
//!
//! `server` accepts sockets, `connection` is one encoder's socket around `rtmp`'s session, `desk`
//! knows who holds which channel (`seat` is an owner's place there, `orders` what is asked of it),
//! `publisher` turns messages into one generation's log (`probe` finds its tracks, `constants` says
//! what the session is told to be, `live` writes it, `cues` says which cues may go into it,
//! `ending` how it ends).
//!
//! Invariant: a channel's publisher has one owner at a time, a connection or the `away` task, and
//! is handed over whole; nothing here is shared between connections but the desk's table.
//! Invariant: a publish is never faster than its log: a connection that outruns the disk or the
//! clock is not read.

pub mod connection;
pub mod constants;
pub mod context;
pub mod cues;
pub mod decided;
pub mod desk;
pub mod doors;
mod ending;
pub mod live;
pub mod metrics;
mod orders;
pub mod probe;
pub mod publisher;
pub mod reports;
pub mod seat;
pub mod server;
mod stalled;
pub mod unwrap;
