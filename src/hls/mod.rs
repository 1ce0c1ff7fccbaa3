//! HLS as a function: marks in, playlists, URL names and reload decisions out. No sockets, no
//! waiting, no media bytes.
//!
//! Text follows draft-pantos-hls-rfc8216bis-22; what the draft leaves open is decided here and said
//! where it is decided.
//!
//! What begins in the past is made of the same lines: `rewind` finds moments and makes playlists
//! that begin there and go on live, `range` those of what is over. `plain` makes live playlists
//! that are files.
//!
//! An edge has one `window::Window` per rendition. It reads the logs of a session's generations in
//! order and tells every window every mark (`apply`), and the hash of the init section that it made
//! of each Track mark (`set_init`). When `apply` says true it renders the playlists of that
//! rendition (`playlist::render`) and wakes those whom `reload::decide` made wait; they are decided
//! again. A path is a `name::Path`; `Window::part` and `Window::segment` say whether a media name
//! is there, to be held or gone, and which samples its bytes are made of.
//!
//! Invariant: pure. The same marks give the same text on every edge; nothing here reads a clock.
//! Invariant: a line that was listed never changes. A playlist grows at its end, loses segments at
//! its head, loses the EXT-X-PART lines of segments that have left the live edge (6.2.1), gains
//! date ranges and loses those that are over; nothing else.
//! Invariant: m3u8-rs is used for multivariant playlists and in tests only; media playlists are
//! this room's own text.

mod cues;
pub mod error;
mod frame;
pub mod gather;
pub mod listing;
pub mod lookup;
pub mod moment;
pub mod multivariant;
pub mod name;
mod past;
pub mod plain;
pub mod playlist;
pub mod range;
pub mod reload;
pub mod rewind;
pub mod rope;
pub mod segment;
pub mod text;
pub mod vod;
pub mod window;

#[cfg(test)]
mod cues_test;
#[cfg(test)]
mod mutation_test;
#[cfg(test)]
mod tape;
#[cfg(test)]
mod window_test;
