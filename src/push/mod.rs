//! HLS push: a channel's finished segments and playlists, put into a bucket while it is live, as
//! plain HLS for a CDN in front of the bucket.
//!
//! What is pushed is what an edge serves, by the same names: whoever pushes does what a viewer
//! does. So this room knows nothing of logs: `cmd` gives it sessions to follow (`live`), which are
//! those of the edge in the same process, with everything that an edge knows about nodes that are
//! away, logs that were repaired, rungs that come late. A segment that is pushed and watched is
//! read and muxed once.
//!
//! ```text
//! live/{channel}/index.m3u8                                  multivariant, of the newest session
//! live/{channel}/s{session}/index.m3u8                       multivariant
//! live/{channel}/s{session}/{rendition}/index.m3u8           media playlist (hls::plain)
//! live/{channel}/s{session}/{rendition}/v{render}/…          segments, init sections (hls::name)
//! ```
//!
//! `pusher` finds the sessions, `session` pushes one, `rendition` one rendition of it: it puts
//! what comes next, in order, and then the playlist that lists it. `index` puts the multivariant
//! playlists once what they name is there. `bucket` tries until the store does it, and tells
//! `health`. `headers` is what an object says of itself.
//!
//! - Nothing is kept while the store is away: what is due is read again, from memory or from the
//!   log, when it is put. It is put in order, from where the playlist in the bucket ends.
//! - The playlist in the bucket is all that is remembered. Whoever begins reads it and goes on:
//!   after a restart, or beside another writer. Media is put under names that have one content, so
//!   a second writer changes nothing; a playlist is put in place of the version that was seen, so
//!   it never goes back.
//! - Nothing is deleted: what has left the playlists is left to the bucket's lifecycle rule.
//!
//! Invariant: a playlist in the bucket names nothing that is not there.
//! Invariant: of one session at most [`rendition::BATCH`] segments of each rendition are under way,
//! one after the other.

mod bucket;
pub mod error;
pub mod headers;
mod health;
mod index;
pub mod live;
pub mod metrics;
pub mod pusher;
pub mod rendition;
mod session;

#[cfg(test)]
mod page_test;
#[cfg(test)]
mod push_test;
