//! The URL names: one byte string for one thing, on every edge. Parsing is strict, so that no
//! second spelling of a name exists and caches never hold a thing twice. What a name stands for is
//! `hls::window`'s business.
//!
//! ```text
//! /live/{channel}/index.m3u8                                            Entry
//! /live/{channel}/s{session}/index.m3u8                                 Multivariant
//! /live/{channel}/s{session}/{rendition}/index.m3u8                     Media
//! /live/{channel}/s{session}/{rendition}/dvr.m3u8                       Dvr
//! /live/{channel}/s{session}/from-{msn}.m3u8                            MultivariantFrom
//! /live/{channel}/s{session}/{rendition}/from-{msn}.m3u8                From
//! /live/{channel}/from/{t}/index.m3u8                                   Rewind
//! /live/{channel}/from/{t}/to/{t}/index.m3u8                            Rewind
//! /live/{channel}/from-{msn}/to-{msn}/index.m3u8                        Range
//! /live/{channel}/from-{msn}/to-{msn}/{rendition}.m3u8                  RangeMedia
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-{msn}.m4s         File::Segment
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-p{seq}.m4s        File::Part
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-{msn}-gap{n}.m4s  File::Gap
//! /live/{channel}/s{session}/{rendition}/v{render}/init-{hash}.mp4          File::Init
//! ```
//! A part is named by its first sample. Gap 0 is the segment as a whole, gap i + 1 its part i. A
//! moment (`hls::moment`) has the spellings that people write; it only leads to the name with the
//! numbers, which has one. Playlists that begin in the past are siblings of those that do not, so
//! that their lines are the same text.

use crate::base::ids::{Channel, Generation, Job, Msn, Seq, Session, Writer};
use crate::hls::moment::Moment;
use std::fmt;
use std::str::FromStr;

/// Longest rendition name in bytes: a path component and a metric label.
pub const RENDITION_NAME_MAX: usize = 32;

/// Longest init hash in characters: 256 bits in hexadecimal.
pub const INIT_HASH_MAX: usize = 64;

/// Longest path that is looked at. The longest legal one is about 230 bytes (channel 64, rendition
/// 32, hash 64, numbers of at most 20 digits).
pub const PATH_MAX: usize = 256;

/// A path of the live tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Path {
    /// Redirects to the channel's current session.
    Entry {
        /// The channel.
        channel: Channel,
    },
    /// The multivariant playlist of one session.
    Multivariant {
        /// The channel.
        channel: Channel,
        /// The session.
        session: Session,
    },
    /// The live media playlist of one rendition.
    Media(Place),
    /// The media playlist of one rendition with everything the session still has.
    Dvr(Place),
    /// Redirects to the session and segment that a moment is in; with an end, to a range.
    Rewind {
        /// The channel.
        channel: Channel,
        /// Where it begins.
        from: Moment,
        /// Where it ends; `None`: with its session.
        to: Option<Moment>,
    },
    /// The multivariant playlist of one session, from a segment on.
    MultivariantFrom {
        /// The channel.
        channel: Channel,
        /// The session.
        session: Session,
        /// The first segment.
        first: Msn,
    },
    /// The media playlist of one rendition from a segment on.
    From {
        /// Whose.
        place: Place,
        /// The first segment.
        first: Msn,
    },
    /// The multivariant playlist of what was recorded from one segment to another.
    Range(Stretch),
    /// One rendition of that; none is called `index`.
    RangeMedia {
        /// Which segments.
        stretch: Stretch,
        /// The rendition's name.
        rendition: String,
    },
    /// Media, or what stands for absent media.
    File {
        /// Whose.
        place: Place,
        /// Version of muxer and renderer.
        render: u32,
        /// Which.
        file: File,
    },
}

/// Segments of a channel, of any of its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The channel.
    pub channel: Channel,
    /// The first.
    pub first: Msn,
    /// The last, not before the first.
    pub last: Msn,
}

/// One rendition of one session of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The channel.
    pub channel: Channel,
    /// The session.
    pub session: Session,
    /// The rendition's name: 1 to 32 of `a-z 0-9 - _`.
    pub rendition: String,
}

/// The last component of a media URL; its `Display` is that component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum File {
    /// A whole segment.
    Segment {
        /// Generation that wrote it.
        writer: Writer,
        /// Its number.
        msn: Msn,
    },
    /// A part, named by its first sample, which is known before the part begins: the name is the
    /// preload hint.
    Part {
        /// Generation that wrote it.
        writer: Writer,
        /// Its first sample.
        seq: Seq,
    },
    /// Absent media; always 404. `n` is 0 for the segment as a whole and `i + 1` for its part `i`.
    Gap {
        /// Generation that wrote the gap.
        writer: Writer,
        /// The absent segment, or the one that the absent part belongs to.
        msn: Msn,
        /// 0: the segment; `i + 1`: its part `i`.
        n: u32,
    },
    /// An init section, named by its content.
    Init {
        /// 1 to 64 of `0-9 a-z`.
        hash: String,
    },
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            File::Segment { writer, msn } => write!(f, "g{writer}-{msn}.m4s"),
            File::Part { writer, seq } => write!(f, "g{writer}-p{seq}.m4s"),
            File::Gap { writer, msn, n } => write!(f, "g{writer}-{msn}-gap{n}.m4s"),
            File::Init { hash } => write!(f, "init-{hash}.mp4"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/live/{}/s{}/{}", self.channel, self.session, self.rendition)
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/live/{}/from-{}/to-{}", self.channel, self.first, self.last)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Entry { channel } => write!(f, "/live/{channel}/index.m3u8"),
            Path::Multivariant { channel, session } => {
                write!(f, "/live/{channel}/s{session}/index.m3u8")
            }
            Path::Media(place) => write!(f, "{place}/index.m3u8"),
            Path::Dvr(place) => write!(f, "{place}/dvr.m3u8"),
            Path::Rewind { channel, from, to: None } => {
                write!(f, "/live/{channel}/from/{from}/index.m3u8")
            }
            Path::Rewind { channel, from, to: Some(to) } => {
                write!(f, "/live/{channel}/from/{from}/to/{to}/index.m3u8")
            }
            Path::MultivariantFrom { channel, session, first } => {
                write!(f, "/live/{channel}/s{session}/from-{first}.m3u8")
            }
            Path::From { place, first } => write!(f, "{place}/from-{first}.m3u8"),
            Path::Range(stretch) => write!(f, "{stretch}/index.m3u8"),
            Path::RangeMedia { stretch, rendition } => write!(f, "{stretch}/{rendition}.m3u8"),
            Path::File { place, render, file } => write!(f, "{place}/v{render}/{file}"),
        }
    }
}

/// The path is none of the live tree: 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a path of the live tree")]
pub struct NotAName;

impl FromStr for Path {
    type Err = NotAName;

    /// Parses a path without query. Everything that `Display` would not print is refused.
    fn from_str(s: &str) -> Result<Path, NotAName> {
        parse(s).ok_or(NotAName)
    }
}

impl FromStr for File {
    type Err = NotAName;

    fn from_str(s: &str) -> Result<File, NotAName> {
        file(s).ok_or(NotAName)
    }
}

fn parse(s: &str) -> Option<Path> {
    if s.len() > PATH_MAX {
        return None;
    }
    let parts: Vec<&str> = s.strip_prefix("/live/")?.split('/').collect();
    let (channel, rest) = parts.split_first()?;
    let channel: Channel = channel.parse().ok()?;
    match rest {
        ["index.m3u8"] => Some(Path::Entry { channel }),
        ["from", from, "index.m3u8"] => {
            Some(Path::Rewind { channel, from: from.parse().ok()?, to: None })
        }
        ["from", from, "to", to, "index.m3u8"] => {
            let to = Some(to.parse().ok()?);
            Some(Path::Rewind { channel, from: from.parse().ok()?, to })
        }
        [first, last, list] if first.starts_with("from-") => {
            let (first, last) = (first.strip_prefix("from-")?, last.strip_prefix("to-")?);
            range(channel, Msn(number(first)?), Msn(number(last)?), list)
        }
        [session, rest @ ..] => {
            of_session(channel, Session(number(session.strip_prefix('s')?)?), rest)
        }
        [] => None,
    }
}

fn range(channel: Channel, first: Msn, last: Msn, list: &str) -> Option<Path> {
    let stretch = (first <= last).then_some(Stretch { channel, first, last })?;
    match list.strip_suffix(".m3u8")? {
        "index" => Some(Path::Range(stretch)),
        name if is_rendition_name(name) => {
            Some(Path::RangeMedia { stretch, rendition: name.to_owned() })
        }
        _ => None,
    }
}

fn of_session(channel: Channel, session: Session, rest: &[&str]) -> Option<Path> {
    let place = |name: &str| {
        let rendition = is_rendition_name(name).then(|| name.to_owned())?;
        Some(Place { channel: channel.clone(), session, rendition })
    };
    match rest {
        ["index.m3u8"] => Some(Path::Multivariant { channel, session }),
        [list] => Some(Path::MultivariantFrom { channel, session, first: first(list)? }),
        [name, "index.m3u8"] => Some(Path::Media(place(name)?)),
        [name, "dvr.m3u8"] => Some(Path::Dvr(place(name)?)),
        [name, list] => Some(Path::From { place: place(name)?, first: first(list)? }),
        [name, version, last] => {
            let render = u32::try_from(number(version.strip_prefix('v')?)?).ok()?;
            Some(Path::File { place: place(name)?, render, file: file(last)? })
        }
        _ => None,
    }
}

/// The segment that a playlist's name says it begins with.
fn first(list: &str) -> Option<Msn> {
    Some(Msn(number(list.strip_prefix("from-")?.strip_suffix(".m3u8")?)?))
}

/// Is this a path with moments, though maybe with ones that can't be read?
pub fn asks_for_moments(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let rest = match &parts[..] {
        ["", "live", channel, rest @ ..] if channel.parse::<Channel>().is_ok() => rest,
        _ => return false,
    };
    matches!(rest, ["from", _, "index.m3u8"] | ["from", _, "to", _, "index.m3u8"])
}

/// 1 to [`RENDITION_NAME_MAX`] of `a-z 0-9 - _`.
pub fn is_rendition_name(s: &str) -> bool {
    (1..=RENDITION_NAME_MAX).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn file(s: &str) -> Option<File> {
    if let Some(rest) = s.strip_prefix("init-") {
        let hash = rest.strip_suffix(".mp4")?;
        let ok = (1..=INIT_HASH_MAX).contains(&hash.len())
            && hash.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        return ok.then(|| File::Init { hash: hash.to_owned() });
    }
    let (writer, rest) = s.strip_prefix('g')?.strip_suffix(".m4s")?.split_once('-')?;
    let writer = writer_of(writer)?;
    if let Some(seq) = rest.strip_prefix('p') {
        return Some(File::Part { writer, seq: Seq(number(seq)?) });
    }
    match rest.split_once("-gap") {
        Some((msn, n)) => {
            Some(File::Gap { writer, msn: Msn(number(msn)?), n: u32::try_from(number(n)?).ok()? })
        }
        None => Some(File::Segment { writer, msn: Msn(number(rest)?) }),
    }
}

/// A writer as it is printed: `3`, or `3.1` of a job.
fn writer_of(s: &str) -> Option<Writer> {
    let (generation, job) = match s.split_once('.') {
        None => (s, None),
        Some((generation, job)) => {
            let job = u32::try_from(number(job)?).ok().filter(|n| *n > 0)?;
            (generation, Some(Job(job)))
        }
    };
    Some(Writer { generation: Generation(number(generation)?), job })
}

/// A decimal number exactly as it is printed: digits only, no leading zero.
fn number(s: &str) -> Option<u64> {
    let plain = s.bytes().all(|b| b.is_ascii_digit()) && (s == "0" || !s.starts_with('0'));
    if plain { s.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "name_test.rs"]
mod tests;
