//! The rules of the draft's server profile, one test each, named by its id: P playlists, D
//! directives, M media, T transport and caches. A test fails when the server breaks its rule, and
//! shows that what it looks at would be noticed: where the oracle knows the rule, it is driven with
//! a playlist that keeps it and one that breaks it.

mod broadcast;
mod directives;
pub(crate) mod live;
mod media;
mod playlists;
mod transport;
