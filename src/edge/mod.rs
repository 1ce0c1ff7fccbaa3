//! The edge: playlists and media over HTTP, made from logs. All edges are equal; this one's answers
//! are a function of the records it has read, and of nothing else.
//!
//! `channels` finds the session a path means and keeps one `feed` per watched session, which reads
//! its logs and moves the shared state of `session` and `rendition` on (the texts of playlists and
//! their ETags are made there); `media` makes bytes of samples; `recall` reads back what has left
//! memory; `http` decides the answer to a request, `answer` its headers; `pages` embeds the watch
//! page (`web/`); `server` listens.
//!
//! `entry` leads from a channel or a moment to a session and a segment, which `choice` picks of the
//! channel's sessions; `starts` makes the playlists that begin in the past, `ranges` those that end
//! there.
//!
//! `followed` is a session for others in this process, who do with it what viewers do.
//!
//! `leave` says when a log is not read on although it has not ended: failover.
//!
//! A read that fails makes `mended` look whether the log was repaired meanwhile.
//!
//! Invariant: media is made once and shared; a viewer costs a clone of `Bytes`. Viewers who wait
//! for the same part wait on one watch and get the same bytes.
//! Invariant: nobody watches, nothing is read: a feed ends when no request came for a while.

pub mod anew;
pub mod answer;
pub mod asked;
pub mod away;
mod behind;
pub mod channels;
pub mod choice;
pub mod cors;
pub mod entry;
pub mod feed;
mod fetch;
pub mod followed;
pub mod http;
pub mod leave;
mod line;
pub mod media;
pub mod mended;
pub mod metrics;
mod others;
pub mod pages;
mod pending;
pub mod places;
pub mod ranges;
mod reading;
pub mod recall;
pub mod rendition;
pub mod server;
pub mod session;
pub mod sources;
pub mod starts;
pub mod text;

#[cfg(test)]
mod page_test;
