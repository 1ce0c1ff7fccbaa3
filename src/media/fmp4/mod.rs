//! MP4. For viewers, fragmented, as CMAF tracks: one init section per configuration, one fragment
//! (moof and mdat) per part. A segment is the bytes of its parts, one after the other; nothing here
//! knows segments. For files, `movie`: the head of a whole recording, plain or fragmented.
//!
//! Invariant: the same input gives the same bytes, on every machine and in every run, because a
//! media URL stands for one byte string. A change of these bytes needs a new render version.

mod entry;
pub mod event;
pub mod fragment;
pub mod init;
pub mod movie;
pub mod read;

#[cfg(test)]
#[path = "fmp4_test.rs"]
mod tests;
