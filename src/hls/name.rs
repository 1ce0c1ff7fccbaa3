//! The URL names: one byte string for one thing, on every edge. Parsing is strict, so that no
//! second spelling of a name exists and caches never hold a thing twice. What a name stands for is
//! `hls::window`'s business.
//!
//! ```text
//! /live/{channel}/index.m3u8                                            Entry
//! /live/{channel}/s{session}/index.m3u8                                 Multivariant
//! /live/{channel}/s{session}/{rendition}/index.m3u8                     Media
//! /live/{channel}/s{session}/{rendition}/dvr.m3u8                       Dvr
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-{msn}.m4s         File::Segment
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-p{seq}.m4s        File::Part
//! /live/{channel}/s{session}/{rendition}/v{render}/g{gen}-{msn}-gap{n}.m4s  File::Gap
//! /live/{channel}/s{session}/{rendition}/v{render}/init-{hash}.mp4          File::Init
//! ```
//! A part is named by its first sample. Gap 0 is the segment as a whole, gap i + 1 its part i.

use crate::base::ids::{Channel, Generation, Msn, Seq, Session};
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
        generation: Generation,
        /// Its number.
        msn: Msn,
    },
    /// A part, named by its first sample, which is known before the part begins: the name is the
    /// preload hint.
    Part {
        /// Generation that wrote it.
        generation: Generation,
        /// Its first sample.
        seq: Seq,
    },
    /// Absent media; always 404. `n` is 0 for the segment as a whole and `i + 1` for its part `i`.
    Gap {
        /// Generation that wrote the gap.
        generation: Generation,
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
            File::Segment { generation, msn } => write!(f, "g{generation}-{msn}.m4s"),
            File::Part { generation, seq } => write!(f, "g{generation}-p{seq}.m4s"),
            File::Gap { generation, msn, n } => write!(f, "g{generation}-{msn}-gap{n}.m4s"),
            File::Init { hash } => write!(f, "init-{hash}.mp4"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/live/{}/s{}/{}", self.channel, self.session, self.rendition)
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
    let mut parts = s.strip_prefix("/live/")?.split('/');
    let channel: Channel = parts.next()?.parse().ok()?;
    let second = parts.next()?;
    if second == "index.m3u8" {
        return parts.next().is_none().then_some(Path::Entry { channel });
    }
    let session = Session(number(second.strip_prefix('s')?)?);
    let third = parts.next()?;
    if third == "index.m3u8" {
        return parts.next().is_none().then_some(Path::Multivariant { channel, session });
    }
    if !is_rendition_name(third) {
        return None;
    }
    let place = Place { channel, session, rendition: third.to_owned() };
    let fourth = parts.next()?;
    match (fourth, parts.next()) {
        ("index.m3u8", None) => Some(Path::Media(place)),
        ("dvr.m3u8", None) => Some(Path::Dvr(place)),
        (version, Some(last)) if parts.next().is_none() => {
            let render = u32::try_from(number(version.strip_prefix('v')?)?).ok()?;
            Some(Path::File { place, render, file: file(last)? })
        }
        _ => None,
    }
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
    let (generation, rest) = s.strip_prefix('g')?.strip_suffix(".m4s")?.split_once('-')?;
    let generation = Generation(number(generation)?);
    if let Some(seq) = rest.strip_prefix('p') {
        return Some(File::Part { generation, seq: Seq(number(seq)?) });
    }
    match rest.split_once("-gap") {
        Some((msn, n)) => Some(File::Gap {
            generation,
            msn: Msn(number(msn)?),
            n: u32::try_from(number(n)?).ok()?,
        }),
        None => Some(File::Segment { generation, msn: Msn(number(rest)?) }),
    }
}

/// A decimal number exactly as it is printed: digits only, no leading zero.
fn number(s: &str) -> Option<u64> {
    let plain = s.bytes().all(|b| b.is_ascii_digit()) && (s == "0" || !s.starts_with('0'));
    if plain { s.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::CHANNEL_NAME_MAX;

    #[test]
    fn every_name_round_trips() {
        for s in [
            "/live/main/index.m3u8",
            "/live/main/s7/index.m3u8",
            "/live/main/s7/video/index.m3u8",
            "/live/main/s7/video-720/dvr.m3u8",
            "/live/main/s7/video/v1/g3-100.m4s",
            "/live/main/s7/video/v1/g3-p0.m4s",
            "/live/main/s7/video/v1/g3-p18446744073709551615.m4s",
            "/live/main/s7/video/v1/g3-100-gap0.m4s",
            "/live/main/s7/audio/v4294967295/g3-100-gap4.m4s",
            "/live/s7/s7/audio/v1/init-0af9.mp4",
        ] {
            let path: Path = s.parse().expect(s);
            assert_eq!(path.to_string(), s);
        }
    }

    #[test]
    fn the_parts_of_a_name_mean_what_they_say() {
        let path: Path = "/live/main/s7/video/v2/g3-100-gap4.m4s".parse().expect("a name");
        let want = Path::File {
            place: Place {
                channel: "main".parse().expect("a channel"),
                session: Session(7),
                rendition: "video".into(),
            },
            render: 2,
            file: File::Gap { generation: Generation(3), msn: Msn(100), n: 4 },
        };
        assert_eq!(path, want);
    }

    #[test]
    fn other_spellings_are_refused() {
        let long = format!("/live/main/s7/video/v1/init-{}.mp4", "a".repeat(65));
        for bad in [
            "",
            "/",
            "/live/",
            "live/main/index.m3u8",
            "/live/main",
            "/live/main/",
            "/live/main/index.m3u8/",
            "/live//index.m3u8",
            "/live/Main/index.m3u8",
            "/live/main/7/index.m3u8",
            "/live/main/s/index.m3u8",
            "/live/main/s07/index.m3u8",
            "/live/main/s+7/index.m3u8",
            "/live/main/s18446744073709551616/index.m3u8",
            "/live/main/s7/Video/index.m3u8",
            "/live/main/s7/../index.m3u8",
            "/live/main/s7/%2e/index.m3u8",
            "/live/main/s7/video/live.m3u8",
            "/live/main/s7/video/v1/",
            "/live/main/s7/video/v01/g3-100.m4s",
            "/live/main/s7/video/v4294967296/g3-100.m4s",
            "/live/main/s7/video/v1/g3-100.m4s/x",
            "/live/main/s7/video/v1/g3-0100.m4s",
            "/live/main/s7/video/v1/g03-100.m4s",
            "/live/main/s7/video/v1/g3.1-100.m4s",
            "/live/main/s7/video/v1/g3-p.m4s",
            "/live/main/s7/video/v1/g3-100-gap.m4s",
            "/live/main/s7/video/v1/g3-100-gap00.m4s",
            "/live/main/s7/video/v1/g3-100.mp4",
            "/live/main/s7/video/v1/init-.mp4",
            "/live/main/s7/video/v1/init-0AF9.mp4",
            "/live/main/s7/video/v1/init-..mp4",
            &long,
        ] {
            assert_eq!(bad.parse::<Path>(), Err(NotAName), "{bad:?}");
        }
    }

    #[test]
    fn lengths_are_kept_to_the_byte() {
        let rendition = |n: usize| format!("/live/main/s7/{}/index.m3u8", "r".repeat(n));
        let hash = |n: usize| format!("/live/main/s7/video/v1/init-{}.mp4", "a".repeat(n));
        for (legal, beyond) in [
            (rendition(RENDITION_NAME_MAX), rendition(RENDITION_NAME_MAX + 1)),
            (hash(INIT_HASH_MAX), hash(INIT_HASH_MAX + 1)),
        ] {
            assert_eq!(legal.parse::<Path>().map(|p| p.to_string()).as_ref(), Ok(&legal));
            let refused = beyond.parse::<Path>().expect_err("one byte more");
            assert_eq!(refused.to_string(), "not a path of the live tree");
        }
        let longest = Path::File {
            place: Place {
                channel: "c".repeat(CHANNEL_NAME_MAX).parse().expect("a channel"),
                session: Session(u64::MAX),
                rendition: "r".repeat(RENDITION_NAME_MAX),
            },
            render: u32::MAX,
            file: File::Init { hash: "a".repeat(INIT_HASH_MAX) },
        };
        let text = longest.to_string();
        assert!(text.len() <= PATH_MAX, "{} bytes", text.len());
        assert_eq!(text.parse(), Ok(longest));
    }

    /// A stranger's path: mutated names neither panic nor parse to something that prints
    /// differently.
    #[test]
    fn mutated_names_are_refused_or_print_as_they_came() {
        let seed = b"/live/main/s7/video/v1/g3-100-gap4.m4s";
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..1 + random() % 3 {
                let at = (random() % bytes.len() as u64) as usize;
                match random() % 3 {
                    0 => bytes[at] = (random() % 256) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"/-.gpsv019"[(random() % 10) as usize]),
                }
            }
            let Ok(s) = std::str::from_utf8(&bytes) else { continue };
            if let Ok(path) = s.parse::<Path>() {
                assert_eq!(path.to_string(), s);
            }
        }
    }
}
