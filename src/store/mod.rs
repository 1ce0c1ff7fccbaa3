//! The bucket: a thin port over object stores. `file://`, S3 and what speaks its protocol, Google
//! Cloud Storage and Azure look the same from here, and a store in memory stands in for them.
//!
//! | limit | value | why |
//! |---|---|---|
//! | object put whole | `upload::PART_BYTES` | one request, and only if none is there |
//! | part of a larger one | `upload::PART_BYTES` | in memory, sent again whole after a failure |
//! | object read whole | `port::SMALL_MAX` | what describes others; all else is read by range |
//! | one request | `http::REQUEST_TIMEOUT` | a part at 1 Mbit/s |
//! | tries of one request | `open::RETRIES`, `open::RETRY_TIMEOUT` | the caller tries again later |
//!
//! Each object carries the SHA-256 of its bytes in its metadata, computed by whoever puts it; where
//! a store keeps no metadata (`file://`), what was put is read back instead.
//!
//! Credentials and endpoints come from the environment, under the names that the clouds' own tools
//! read (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
//!
//! `files` is for what others fetch from the bucket over HTTP: media, which is put once, and
//! playlists, of which a version is put in place of the one before.
//!
//! Invariant: nothing here replaces an object that is there, but a multipart upload, which the
//! stores cannot tie to that condition: its caller sees to it that the name is its own; and
//! `files::replace`, which replaces the one version that its caller names.
//! Invariant: no half object is ever visible: a put, and the end of an upload, is all or nothing.

pub mod error;
pub mod files;
mod http;
pub mod open;
pub mod port;
pub mod sum;
pub mod upload;

#[cfg(test)]
mod page_test;
#[cfg(test)]
pub(crate) mod refusing;
