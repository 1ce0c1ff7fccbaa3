//! What is in a stream and what is wrong with it: logs, FLV files, RTMP and HLS URLs of any server.
//!
//! `analysis` is the pure core: it is fed packets' times and sizes and knows no container. `report`
//! is what every target's look ends in, `findings` puts it into words, `table` and JSON show it.
//! The sources (`flv`, `log`, `rtmp`, `hls`) are thin: they open, take apart and feed.
//!
//! Invariant: nothing is written anywhere; a log's lock is not touched.
//! Invariant: damaged input is read as far as it can be, and said to be damaged.

pub mod analysis;
pub mod error;
mod fetch;
mod files;
mod findings;
pub mod flv;
mod follow;
mod histogram;
pub mod hls;
pub mod lines;
pub mod log;
mod playlist;
pub mod report;
pub mod rows;
pub mod rtmp;
mod samples;
pub mod table;
mod tags;
pub mod tail;
pub mod timeline;
mod track;
mod walk;

#[cfg(test)]
mod hls_test;
#[cfg(test)]
mod inspect_test;
#[cfg(test)]
mod limits_test;
