//! Ladders: the renditions that a channel's picture is transcoded to. What may be asked for is here
//! and in `rules`; `preset` and `level` know the codecs, `planned` says what a ladder means for one
//! source.
//!
//! Invariant: pure; a ladder without faults (`Ladder::faults`) can be planned for any source.

pub mod level;
pub mod planned;
pub mod preset;
pub mod rules;

use crate::api::ladder::level::Profile;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Longest name of a ladder or rung in bytes: it is in every URL of its rendition.
pub const NAME_MAX: usize = 32;

/// Most rungs of a ladder: a session record and an end record have room for so many, their audio
/// and the source (`log::format`, `LIST_MAX`).
pub const RUNGS_MAX: usize = 10;

/// The name of a ladder or of a rung: 1 to 32 of `a-z 0-9 -`, safe in a path and a URL as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name {0:?} must be 1 to {NAME_MAX} of a-z, 0-9 and '-', and start with a letter or digit"
)]
pub struct NameError(String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Name, NameError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=NAME_MAX).contains(&s.len())
            && s.bytes().all(|b| plain(b) || b == b'-')
            && s.bytes().next().is_some_and(plain);
        if good { Ok(Name(s.into())) } else { Err(NameError(s.into())) }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(s: String) -> Result<Name, NameError> {
        s.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.to_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The renditions that a source is transcoded to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ladder {
    /// What channels call it.
    pub name: Name,
    /// 1 to [`RUNGS_MAX`], best first; names unique. None at all: nothing is transcoded.
    pub rungs: Vec<Rung>,
    /// The audio that all rungs share.
    pub audio: Audio,
    /// What the rungs may lag behind the source, in microseconds, for channels that do not say;
    /// `None`: the channel's part.
    #[serde(serialize_with = "to_micros", deserialize_with = "from_micros")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub latency_budget: Option<Duration>,
}

/// One rung: a video rendition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rung {
    /// The rendition's name in URLs; not `video` or `audio`, which are the source's.
    pub name: Name,
    /// How it is encoded; `None`: the source as it came.
    pub encode: Option<Encode>,
}

/// A codec of pictures.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum VideoCodec {
    /// H.264, encoded by x264.
    H264,
    /// HEVC, encoded by x265.
    Hevc,
    /// AV1, encoded by SVT-AV1.
    Av1,
}

impl VideoCodec {
    /// All of them.
    pub const ALL: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];

    /// As the manifest writes it.
    pub fn word(self) -> &'static str {
        match self {
            VideoCodec::H264 => "h264",
            VideoCodec::Hevc => "hevc",
            VideoCodec::Av1 => "av1",
        }
    }

    /// The codec of this word.
    pub fn of(word: &str) -> Option<VideoCodec> {
        VideoCodec::ALL.into_iter().find(|c| c.word() == word)
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How a rung is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Encode {
    /// With which codec.
    pub codec: VideoCodec,
    /// Pixels that the picture is at most wide; `None`: as its height and aspect have it.
    pub width: Option<u32>,
    /// Pixels that the picture is at most high. The aspect is kept.
    pub height: u32,
    /// Thousandths of a frame per second that it has at most; `None`: as many as the source.
    pub frame_rate_max_millis: Option<u32>,
    /// Bits per second aimed at.
    pub bitrate: u64,
    /// Bits per second at which the buffer fills at most; `None`: see [`Encode::maxrate`].
    pub maxrate: Option<u64>,
    /// Size of that buffer in bits; `None`: see [`Encode::bufsize`].
    pub bufsize: Option<u64>,
    /// One of the codec's presets: of x264, x265, or 0 to 13 of SVT-AV1.
    pub preset: String,
    /// One of the codec's profiles.
    pub profile: Profile,
    /// In tenths, 31 is level 3.1; `None`: the lowest that carries what it has to.
    pub level: Option<u8>,
}

/// What the buffer fills with at most where a rung does not say, per mille of the bitrate. Players
/// choose by BANDWIDTH, which is this and no less, so every per mille keeps some from a rung that
/// they could play; an encoder that looks at no later frame needs some of it all the same, for what
/// it could not foresee. 1.2 is between the 1.1 that Apple's authoring rules have for a long mean
/// of live streams and the 1.5 with which VOD is encoded.
pub const MAXRATE_PER_MILLE: u64 = 1_200;

impl Encode {
    /// Bits per second at which the decoder's buffer fills at most: as said, or
    /// [`MAXRATE_PER_MILLE`] of the bitrate.
    pub fn maxrate(&self) -> u64 {
        self.maxrate.unwrap_or(self.bitrate * MAXRATE_PER_MILLE / 1_000)
    }

    /// Bits that the decoder's buffer holds: as said, or a second of the maxrate, which lets a key
    /// frame be several times as large as a mean one, and no segment of 2 s more than half as
    /// large again as the maxrate has it.
    pub fn bufsize(&self) -> u64 {
        self.bufsize.unwrap_or(self.maxrate())
    }
}

/// The audio that the rungs of a ladder share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Audio {
    /// The source's as it came.
    Passthrough,
    /// Encoded once.
    Encode {
        /// With which codec.
        codec: AudioCodec,
        /// Bits per second.
        bitrate: u64,
        /// Channels that it is mixed down to: 1 or 2.
        channels: u8,
    },
}

/// A codec of sound that can be encoded to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
    /// Opus.
    Opus,
}

impl AudioCodec {
    /// All of them.
    pub const ALL: [AudioCodec; 2] = [AudioCodec::Aac, AudioCodec::Opus];

    /// As the manifest writes it.
    pub fn word(self) -> &'static str {
        match self {
            AudioCodec::Aac => "aac",
            AudioCodec::Opus => "opus",
        }
    }
}

impl Ladder {
    /// The ladder `default`, for channels that name it: the source, and three rungs of H.264 that
    /// every device decodes, at the bitrates that broadcasters of talk and sport give them (Apple's
    /// authoring rules have 3.0 and 0.4 Mbit/s for the first and the last of these sizes).
    pub fn standard() -> Ladder {
        let rung = |name: &str, height: u32, bitrate: u64| Rung {
            name: known(name),
            encode: Some(Encode {
                codec: VideoCodec::H264,
                width: None,
                height,
                frame_rate_max_millis: Some(30_000),
                bitrate,
                maxrate: None,
                bufsize: None,
                preset: "veryfast".into(),
                profile: Profile::High,
                level: None,
            }),
        };
        let rungs = vec![
            Rung { name: known("source"), encode: None },
            rung("720p", 720, 2_800_000),
            rung("480p", 480, 1_200_000),
            rung("240p", 240, 400_000),
        ];
        let (name, audio) = (known("default"), Audio::Passthrough);
        Ladder { name, rungs, audio, latency_budget: None }
    }

    /// The ladder `none`: nothing is transcoded.
    pub fn none() -> Ladder {
        let (rungs, audio) = (Vec::new(), Audio::Passthrough);
        Ladder { name: known("none"), rungs, audio, latency_budget: None }
    }

    /// The ladder that every manifest has under this name.
    pub fn built_in(name: &str) -> Option<Ladder> {
        [Ladder::standard(), Ladder::none()].into_iter().find(|l| l.name.as_str() == name)
    }
}

fn known(name: &str) -> Name {
    name.parse().expect("the names of what is built in obey the rule for names")
}

fn to_micros<S: Serializer>(d: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    d.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)).serialize(to)
}

fn from_micros<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(from)?.map(Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_and_urls() {
        for good in ["a", "720p", "1080p60-av1"] {
            assert_eq!(good.parse::<Name>().expect(good).as_str(), good);
        }
        for bad in ["", "720P", "a/b", "-x", "a_b", "a b", ".."] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(NAME_MAX).parse::<Name>().is_ok());
        let long = "x".repeat(NAME_MAX + 1);
        let said = format!(
            "the name {long:?} must be 1 to 32 of a-z, 0-9 and '-', and start with a letter or \
             digit"
        );
        assert_eq!(long.parse::<Name>().expect_err("too long").to_string(), said);
    }

    #[test]
    fn a_ladder_survives_json_and_says_what_it_does_not_know() {
        let ladder =
            Ladder { latency_budget: Some(Duration::from_millis(5)), ..Ladder::standard() };
        for ladder in [ladder, Ladder::none()] {
            let json = serde_json::to_string(&ladder).expect("plain data");
            assert_eq!(serde_json::from_str::<Ladder>(&json).expect("its own"), ladder);
        }
        let json = serde_json::to_string(&Ladder::standard()).expect("plain data");
        let other = json.replacen("\"bitrate\"", "\"bitRate\"", 1);
        let error = serde_json::from_str::<Ladder>(&other).expect_err("unknown").to_string();
        assert!(error.contains("unknown field `bitRate`"), "{error}");
    }

    #[test]
    fn what_is_not_said_of_rates_follows_the_bitrate() {
        let standard = Ladder::standard();
        let encode = standard.rungs[1].encode.as_ref().expect("720p is encoded");
        assert_eq!((encode.maxrate(), encode.bufsize()), (3_360_000, 3_360_000));
        let said = Encode { maxrate: Some(4_000_000), ..encode.clone() };
        assert_eq!((said.maxrate(), said.bufsize()), (4_000_000, 4_000_000));
        let said = Encode { bufsize: Some(1), ..said };
        assert_eq!(said.bufsize(), 1);
    }
}
