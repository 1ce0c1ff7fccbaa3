//! Identities: who is meant. Each is a newtype, so that a generation is never passed where a
//! session is meant.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Longest channel name in bytes: it is a path component, a metric label and a URL segment.
pub const CHANNEL_NAME_MAX: usize = 64;

/// Why a channel name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "channel name {name:?} must be 1 to {CHANNEL_NAME_MAX} of a-z, 0-9, '-' and '_', \
     and start with a letter or digit"
)]
pub struct ChannelNameError {
    name: String,
}

/// A configured live endpoint's name: 1 to 64 of `a-z 0-9 - _`, safe in a path and a URL as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Channel(std::sync::Arc<str>);

impl Channel {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = ChannelNameError;

    fn from_str(s: &str) -> Result<Channel, ChannelNameError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ok = (1..=CHANNEL_NAME_MAX).contains(&s.len())
            && s.bytes().all(|b| plain(b) || b == b'-' || b == b'_')
            && s.bytes().next().is_some_and(plain);
        if ok { Ok(Channel(s.into())) } else { Err(ChannelNameError { name: s.into() }) }
    }
}

impl TryFrom<String> for Channel {
    type Error = ChannelNameError;

    fn try_from(s: String) -> Result<Channel, ChannelNameError> {
        s.parse()
    }
}

impl From<Channel> for String {
    fn from(c: Channel) -> String {
        c.0.to_string()
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a channel's media playlists: publishes joined by the reconnect window. Grows per
/// channel, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Session(pub u64);

/// One writer incarnation on one origin; the fence. Grows per channel, from 1, over all sessions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// One writer incarnation of the rungs of a generation, at a transcoder; fenced as generations are.
/// Grows per generation, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Job(pub u32);

/// Who wrote a log: an origin, or a transcoder for the generation of one. In the order in which a
/// rendition's writers follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Writer {
    /// The generation.
    pub generation: Generation,
    /// The job that made a rung of it; `None`: the source.
    pub job: Option<Job>,
}

impl From<Generation> for Writer {
    /// The origin.
    fn from(generation: Generation) -> Writer {
        Writer { generation, job: None }
    }
}

impl fmt::Display for Writer {
    /// `3`, or `3.1` of a job.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job {
            None => self.generation.fmt(f),
            Some(job) => write!(f, "{}.{job}", self.generation),
        }
    }
}

/// Media sequence number: grows for ever per channel, over all sessions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Msn(pub u64);

impl Msn {
    /// The number after this one.
    pub fn next(self) -> Msn {
        Msn(self.0 + 1)
    }
}

/// Index of a listed sample in its track and generation, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

/// A track's number inside one session. Source logs: 1 video, 2 audio; a rung's log has its
/// one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TrackId(pub u16);

impl TrackId {
    /// The source's video track.
    pub const VIDEO: TrackId = TrackId(1);
    /// The source's audio track.
    pub const AUDIO: TrackId = TrackId(2);
    /// The first track of a rung; those of a session's others follow.
    pub const RUNGS: TrackId = TrackId(16);

    /// Is it made by a transcoder, in a log of its own?
    pub fn is_rung(self) -> bool {
        self >= TrackId::RUNGS
    }
}

macro_rules! plain_display {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
plain_display!(Session, Generation, Job, Msn, Seq, TrackId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_names_are_safe_in_paths_and_urls() {
        for good in ["a", "main-stage_2", "9news"] {
            assert_eq!(good.parse::<Channel>().expect(good).as_str(), good);
        }
        for bad in ["", "Main", "a/b", "..", "-x", "a b"] {
            assert!(bad.parse::<Channel>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(CHANNEL_NAME_MAX).parse::<Channel>().is_ok());
        let long = "x".repeat(CHANNEL_NAME_MAX + 1);
        let said = format!(
            "channel name {long:?} must be 1 to 64 of a-z, 0-9, '-' and '_', and start with a \
             letter or digit"
        );
        assert_eq!(long.parse::<Channel>().expect_err("too long").to_string(), said);
    }
}
