//! fMP4 samples, fed to the analysis; and what an init section says of its tracks.

use crate::base::ids::TrackId;
use crate::inspect::analysis::{Analysis, Sample, TrackFacts};
use crate::inspect::tags::facts;
use crate::media::fmp4::read::{self, InitTrack};
use crate::media::track::{Kind, Track};
use bytes::Bytes;
use std::collections::HashMap;

/// Feeds the samples of a media file; `ids` are the report's track numbers by the media's. Returns
/// the media's length in seconds.
pub(super) fn feed(
    analysis: &mut Analysis,
    ids: &HashMap<u32, u32>,
    bytes: &Bytes,
    tracks: &[InitTrack],
) -> Result<f64, read::ReadError> {
    let mut lengths: HashMap<u32, f64> = HashMap::new();
    for fragment in read::fragments(bytes, tracks)? {
        let Some(t) = tracks.iter().find(|t| t.number == fragment.number) else { continue };
        let Some(id) = ids.get(&t.number) else { continue };
        let mut dts = i64::try_from(fragment.decode_time).unwrap_or(i64::MAX);
        let start = dts;
        for s in fragment.samples {
            let (cts, size) = (s.cts, u64::from(s.size));
            let key = s.sync || t.kind == Some(Kind::Audio);
            analysis.feed(*id, Sample { dts, cts, key, size, arrival: None });
            dts = dts.saturating_add(s.duration.into());
        }
        let length = t.timescale.to_micros(dts.saturating_sub(start)) as f64 / 1e6;
        *lengths.entry(t.number).or_default() += length;
    }
    Ok(lengths.into_values().fold(0.0, f64::max))
}

/// What an init section says of a track; `None` for what is neither audio nor video.
pub(super) fn track_facts(t: &InitTrack, id: u32) -> Option<TrackFacts> {
    let kind = t.kind?;
    let unknown = TrackFacts::unknown(id, kind, t.timescale, t.entry.clone());
    let Some((codec, config)) = t.codec.clone() else {
        let dimensions = (kind == Kind::Video).then_some(t.dimensions);
        return Some(TrackFacts { dimensions, ..unknown });
    };
    let track_id = TrackId(u16::try_from(id).unwrap_or(u16::MAX));
    let track = Track { id: track_id, codec, timescale: t.timescale, rate: None, config };
    Some(facts(&track).unwrap_or(unknown))
}
