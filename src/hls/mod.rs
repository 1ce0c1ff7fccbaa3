//! HLS as a function: marks in, playlists, URL names and reload decisions out. No sockets, no waiting, no media bytes.
//!
//! Text follows draft-pantos-hls-rfc8216bis-22; what the draft leaves open is decided here and said where it is decided.
//!
//! Invariant: pure. The same marks give the same text on every edge; nothing here reads a clock.
//! Invariant: a line that was listed never changes. A playlist grows at its end, loses segments at its head, and loses
//! the EXT-X-PART lines of segments that have left the live edge (6.2.1); nothing else.
//! Invariant: m3u8-rs is used for multivariant playlists and in tests only; media playlists are this room's own text.

pub mod lookup;
pub mod multivariant;
pub mod name;
pub mod playlist;
pub mod reload;
pub mod segment;
pub mod text;
pub mod window;

#[cfg(test)]
mod mutation_test;
#[cfg(test)]
mod tape;
#[cfg(test)]
mod window_test;
