//! Where the samples of a movie lie in its file: in chunks of about a second of one track, the
//! tracks taking turns. Pure.

use crate::base::time::MICROS;
use crate::export::error::ExportError;
use crate::export::plan::{Plan, PlanTrack};
use crate::media::codec::key_prefix;
use crate::media::fmp4::movie::{Movie, MovieChunk, MovieSample, MovieTrack};
use crate::media::track::Kind;
use bytes::Bytes;

/// How much of one track lies together, microseconds: a player that reads on holds that much of
/// each track, and an index entry for each is little.
const TURN: i64 = MICROS;

/// A run of samples of one track and configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The track, an index into the plan's.
    pub track: usize,
    /// Its first sample.
    pub first: usize,
    /// How many; not zero.
    pub samples: usize,
    /// The configuration, an index into the lane's.
    pub init: usize,
    /// First byte, counted from the first byte of media.
    pub offset: u64,
}

/// A movie's media.
#[derive(Debug)]
pub struct Layout {
    /// In the order in which they lie.
    pub chunks: Vec<Chunk>,
    /// Bytes of all.
    pub bytes: u64,
    /// Per track and configuration: what goes before the payload of each key frame. Empty where a
    /// track has one configuration.
    pub before_keys: Vec<Vec<Bytes>>,
}

/// Lays out a plan. The sizes of its key frames grow by what goes before them.
///
/// # Errors
/// A configuration that cannot be read.
pub fn layout(plan: &mut Plan) -> Result<Layout, ExportError> {
    let mut before_keys = Vec::new();
    for track in &mut plan.tracks {
        before_keys.push(dress(track)?);
    }
    let mut chunks: Vec<(i64, Chunk)> = Vec::new();
    for (track, t) in plan.tracks.iter().enumerate() {
        for (i, s) in t.lane.samples.iter().enumerate() {
            let turn = t.timescale.to_micros(t.zero.saturating_add(s.dts)).div_euclid(TURN);
            let init = t.lane.segments[s.segment()].init;
            match chunks.last_mut() {
                Some((same, c)) if (*same, c.track, c.init) == (turn, track, init) => {
                    c.samples += 1;
                }
                _ => chunks.push((turn, Chunk { track, first: i, samples: 1, init, offset: 0 })),
            }
        }
    }
    chunks.sort_by_key(|(turn, c)| (*turn, c.track, c.first));
    let mut chunks: Vec<Chunk> = chunks.into_iter().map(|(_, c)| c).collect();
    let mut bytes = 0;
    for c in &mut chunks {
        c.offset = bytes;
        let samples = &plan.tracks[c.track].lane.samples[c.first..c.first + c.samples];
        bytes += samples.iter().map(|s| u64::from(s.size)).sum::<u64>();
    }
    Ok(Layout { chunks, bytes, before_keys })
}

/// What goes before the key frames of each configuration, counted in their sizes from now on.
fn dress(track: &mut PlanTrack) -> Result<Vec<Bytes>, ExportError> {
    let lane = &mut track.lane;
    if lane.kind == Kind::Audio || lane.inits.len() < 2 {
        return Ok(vec![Bytes::new(); lane.inits.len()]);
    }
    let mut sets = Vec::new();
    for init in &lane.inits {
        sets.push(Bytes::from(key_prefix(&init.track)?));
    }
    for s in lane.samples.iter_mut().filter(|s| s.key()) {
        let len = sets[lane.segments[s.segment()].init].len();
        s.size = s.size.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
    }
    Ok(sets)
}

/// The movie that the head of a file describes; without its samples when they come in fragments.
pub fn movie(plan: &Plan, layout: &Layout, fragmented: bool) -> Movie {
    let track = |(at, t): (usize, &PlanTrack)| {
        let chunk = |c: &Chunk| MovieChunk {
            offset: c.offset,
            samples: u32::try_from(c.samples).unwrap_or(u32::MAX),
            description: description(c),
        };
        let of_track = layout.chunks.iter().filter(|c| c.track == at && !fragmented);
        MovieTrack {
            number: number(at),
            kind: t.lane.kind,
            timescale: t.timescale,
            entries: entries(t),
            shown: shown(t),
            edits: t.edits.clone(),
            samples: if fragmented { Vec::new() } else { samples(t) },
            chunks: of_track.map(chunk).collect(),
        }
    };
    Movie {
        timescale: plan.timescale,
        recorded: plan.from.0.div_euclid(MICROS),
        tracks: plan.tracks.iter().enumerate().map(track).collect(),
    }
}

/// The ID of a track, from 1.
pub fn number(track: usize) -> u32 {
    u32::try_from(track + 1).unwrap_or(u32::MAX)
}

/// Which of its track's sample entries a chunk has, from 1.
pub fn description(chunk: &Chunk) -> u32 {
    u32::try_from(chunk.init + 1).unwrap_or(u32::MAX)
}

/// The sample entries of a track. Where key frames carry parameter sets, they may (ISO/IEC
/// 14496-15, 5.4.2.1: `avc3`; 8.4.1.1.1: `hev1`). AV1 has one kind of entry.
fn entries(t: &PlanTrack) -> Vec<Bytes> {
    let several = t.lane.inits.len() > 1 && t.lane.kind == Kind::Video;
    let entry = |init: &crate::media::fmp4::init::Init| {
        let entry = init.sample_entry();
        let name: &[u8] = match entry.get(4..8) {
            Some(b"avc1") if several => b"avc3",
            Some(b"hvc1") if several => b"hev1",
            _ => return entry,
        };
        [&entry[..4], name, &entry[8..]].concat().into()
    };
    t.lane.inits.iter().map(entry).collect()
}

/// The largest picture that any configuration shows, in pixels.
fn shown(t: &PlanTrack) -> (u16, u16) {
    let size = |init: &crate::media::fmp4::init::Init| {
        let v = init.details.video?;
        let wide = u64::from(v.width) * u64::from(v.sar.0) / u64::from(v.sar.1.max(1));
        Some((u16::try_from(wide).unwrap_or(u16::MAX), u16::try_from(v.height).unwrap_or(u16::MAX)))
    };
    t.lane.inits.iter().filter_map(size).max().unwrap_or((0, 0))
}

fn samples(t: &PlanTrack) -> Vec<MovieSample> {
    let all = &t.lane.samples;
    let next = all.iter().skip(1).map(|s| s.dts).chain([t.end]);
    let sample = |(s, next): (&crate::export::collect::Sample, i64)| MovieSample {
        duration: u32::try_from(next.saturating_sub(s.dts)).unwrap_or(u32::MAX),
        cts: s.cts,
        size: s.size,
        key: s.key(),
    };
    all.iter().zip(next).map(sample).collect()
}
