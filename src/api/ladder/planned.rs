//! What a ladder means for one source: which rungs there are, their exact sizes and rates, and what
//! the multivariant playlist says of them.

use crate::api::ladder::level::{self, Load, Profile};
use crate::api::ladder::{Audio, Encode, Ladder, Name, Rung, VideoCodec};
use serde::{Deserialize, Serialize};

/// Shortest side of a picture that is made, in pixels: what is less is not worth a rung, and the
/// aspect of a source may be anything.
const SIDE_LEAST: u32 = 2;

/// How far below its cap, per mille, a frame rate may fall by keeping every second, third, ...
/// frame. That moves evenly; where it would lose more than this, frames are dropped unevenly to the
/// cap itself.
const EVEN_PER_MILLE: u64 = 750;

/// By how much a source may be above the cap, per mille, and not be capped: 30 and 29.97 are one
/// rate in two countings.
const CAP_SLACK_PER_MILLE: u64 = 2;

/// The source of a channel as its first configuration and its probe say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceMedia {
    /// Codec of the picture.
    pub codec: VideoCodec,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second: numerator and denominator, neither zero.
    pub frame_rate: (u32, u32),
    /// Bits per second of the picture.
    pub bitrate: u64,
    /// Bits per second of the sound; 0: there is none.
    pub audio_bitrate: u64,
}

/// A rung of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRung {
    /// As in the ladder.
    pub name: Name,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second: numerator and denominator.
    pub frame_rate: (u32, u32),
    /// BANDWIDTH: bits per second at most, with the sound.
    pub bandwidth: u64,
    /// How it is encoded; `None`: the source as it came.
    pub encode: Option<PlannedEncode>,
}

/// What an encoder is opened with, beside size and frame rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEncode {
    /// With which codec.
    pub codec: VideoCodec,
    /// One of the codec's presets.
    pub preset: String,
    /// Forced.
    pub profile: Profile,
    /// Forced; in tenths.
    pub level: u8,
    /// RFC 6381, of the picture alone.
    pub codecs: String,
    /// Bits per second aimed at.
    pub bitrate: u64,
    /// Bits per second at most.
    pub maxrate: u64,
    /// Bits of buffer.
    pub bufsize: u64,
}

impl Ladder {
    /// Its rungs for a source, best first. A rung whose picture would be larger than the source's
    /// is left out; one of the same size stays, for its bitrate. Where none would be left, the
    /// smallest is made at the source's size, so that a ladder with rungs has one for every source.
    /// Sizes are even; an odd source loses a line or a column.
    pub fn for_source(&self, source: &SourceMedia) -> Vec<PlannedRung> {
        let audio = match self.audio {
            Audio::Encode { bitrate, .. } if source.audio_bitrate > 0 => bitrate,
            _ => source.audio_bitrate,
        };
        let of = |rung: &Rung| match &rung.encode {
            None => Some(PlannedRung {
                name: rung.name.clone(),
                width: source.width,
                height: source.height,
                frame_rate: source.frame_rate,
                bandwidth: source.bitrate + audio,
                encode: None,
            }),
            Some(e) => e.planned(&rung.name, source, fit(e, source)?, audio),
        };
        let planned: Vec<PlannedRung> = self.rungs.iter().filter_map(of).collect();
        if !planned.is_empty() {
            return planned;
        }
        let encoded = self.rungs.iter().filter_map(|r| Some((&r.name, r.encode.as_ref()?)));
        let Some((name, e)) = encoded.min_by_key(|(_, e)| e.height) else { return planned };
        let whole = (even(source.width), even(source.height));
        e.planned(name, source, whole, audio).into_iter().collect()
    }
}

/// The largest even number that is not above `n`.
fn even(n: u32) -> u32 {
    (n & !1).max(SIDE_LEAST)
}

/// The size of a source's picture inside a rung's bounds, with the source's aspect to the nearest
/// even pixel; `None`: it would have to be enlarged.
fn fit(encode: &Encode, source: &SourceMedia) -> Option<(u32, u32)> {
    let (width, height) = (even(source.width), even(source.height));
    // The side that is bounded most decides: compare width / source width with height / ... .
    let wide = encode.width.unwrap_or(u32::MAX);
    let by_width =
        u64::from(wide) * u64::from(height) < u64::from(encode.height) * u64::from(width);
    let (bound, side, other) =
        if by_width { (wide, width, height) } else { (encode.height, height, width) };
    if bound > side {
        return None;
    }
    // To the nearest even number: halves of pairs up.
    let exact = u64::from(other) * u64::from(bound);
    let pairs = (exact + u64::from(side)) / (2 * u64::from(side));
    let scaled = u32::try_from(2 * pairs).unwrap_or(u32::MAX).clamp(SIDE_LEAST, other);
    let bound = even(bound);
    match by_width {
        true => Some((bound, scaled.min(even(encode.height)))),
        false => Some((scaled.min(even(wide)), bound)),
    }
}

/// A source's frame rate under a cap in thousandths.
fn capped((num, den): (u32, u32), cap: Option<u32>) -> (u32, u32) {
    let Some(cap) = cap.map(|c| u64::from(c.max(1))) else { return (num, den) };
    let (n, d) = (u64::from(num), u64::from(den));
    // The rate is over the cap when num / den * 1000 > cap, with some slack.
    let allowed = cap * d * (1_000 + CAP_SLACK_PER_MILLE);
    let every = (n * 1_000_000).div_ceil(allowed.max(1)).max(1);
    let even = n * 1_000_000 >= cap * d * every * EVEN_PER_MILLE;
    match u32::try_from(every).ok().and_then(|e| den.checked_mul(e)) {
        Some(slower) if even || every == 1 => (num, slower),
        _ => (u32::try_from(cap).unwrap_or(u32::MAX), 1_000),
    }
}

impl Encode {
    /// `None`: no level of the codec carries it.
    fn planned(
        &self,
        name: &Name,
        source: &SourceMedia,
        (width, height): (u32, u32),
        audio: u64,
    ) -> Option<PlannedRung> {
        let frame_rate = capped(source.frame_rate, self.frame_rate_max_millis);
        let (maxrate, bufsize) = (self.maxrate(), self.bufsize());
        let load = Load { width, height, frame_rate, maxrate, bufsize };
        let needed = level::needed(self.codec, self.profile, &load)?;
        // A level that the source outgrows would be a lie to the player.
        let level = self.level.map_or(needed, |l| l.max(needed));
        let encode = PlannedEncode {
            codec: self.codec,
            preset: self.preset.clone(),
            profile: self.profile,
            level,
            codecs: level::codecs(self.codec, self.profile, level),
            bitrate: self.bitrate,
            maxrate,
            bufsize,
        };
        let (name, bandwidth) = (name.clone(), maxrate + audio);
        Some(PlannedRung { name, width, height, frame_rate, bandwidth, encode: Some(encode) })
    }
}

#[cfg(test)]
#[path = "planned_test.rs"]
mod tests;
