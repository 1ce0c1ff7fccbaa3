//! The same facts in two vocabularies: the log's marks and the control plane's types.

use crate::api::types as api;
use crate::base::ids::{Generation, Msn, TrackId};
use crate::base::time::Wall;
use crate::media::codec::VideoRange;
use crate::media::timeline::mark;
use crate::media::track::Kind;

/// A session record for the registry.
pub fn record_to_api(r: &mark::SessionRecord) -> api::SessionRecord {
    let rendition = |r: &mark::Rendition| api::Rendition {
        name: r.name.clone(),
        track: r.track.0,
        video: r.kind == Kind::Video,
        codecs: r.codecs.clone(),
        bandwidth: r.bandwidth,
        resolution: r.resolution,
        frame_rate_millis: r.frame_rate_millis,
        range: r.range.number(),
        channels: r.channels,
        offered: r.offered,
    };
    api::SessionRecord {
        target_duration: r.target_duration,
        segment: r.segment,
        part_target: r.part_target,
        latency_budget: r.latency_budget,
        render: r.render,
        renditions: r.renditions.iter().map(rendition).collect(),
    }
}

/// A session record for the log.
pub fn record_from_api(r: &api::SessionRecord) -> mark::SessionRecord {
    let rendition = |r: &api::Rendition| mark::Rendition {
        name: r.name.clone(),
        track: TrackId(r.track),
        kind: if r.video { Kind::Video } else { Kind::Audio },
        codecs: r.codecs.clone(),
        bandwidth: r.bandwidth,
        resolution: r.resolution,
        frame_rate_millis: r.frame_rate_millis,
        range: VideoRange::from_number(r.range),
        channels: r.channels,
        offered: r.offered,
    };
    mark::SessionRecord {
        target_duration: r.target_duration,
        segment: r.segment,
        part_target: r.part_target,
        latency_budget: r.latency_budget,
        render: r.render,
        renditions: r.renditions.iter().map(rendition).collect(),
    }
}

/// An end for the registry.
pub fn end_to_api(e: &mark::End) -> api::End {
    let last = |l| match l {
        mark::LastSegment::Complete => api::LastSegment::Complete,
        mark::LastSegment::Short => api::LastSegment::Short,
        mark::LastSegment::Lost => api::LastSegment::Lost,
    };
    let track = |t: &mark::TrackEnd| api::TrackEnd {
        track: t.track.0,
        msn: t.msn.0,
        parts: t.parts,
        last: last(t.last),
    };
    api::End {
        msn: e.msn.0,
        dseq: e.dseq,
        wall: e.wall.0,
        tracks: e.tracks.iter().map(track).collect(),
        session_over: e.session_over,
    }
}

/// What a generation's log begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The first MSN.
    pub base: Msn,
    /// The discontinuity sequence number there.
    pub dseq: u64,
    /// The writer before in the same session, and its end.
    pub before: Option<(Generation, api::End)>,
}

/// What a generation's log begins with; `None` of any other mark.
pub fn begun(m: &mark::Mark) -> Option<Begun> {
    let mark::Mark::Generation(start) = m else { return None };
    let before = start.previous.as_ref().map(|(of, end)| (of.generation, end_to_api(end)));
    Some(Begun { base: start.base, dseq: start.dseq, before })
}

/// The constants that a log says of its session; `None` of any other mark.
pub fn constants(m: &mark::Mark) -> Option<api::SessionRecord> {
    let mark::Mark::Session(record) = m else { return None };
    Some(record_to_api(record))
}

/// The end that a log has; `None` of any other mark.
pub fn ended(m: &mark::Mark) -> Option<api::End> {
    let mark::Mark::End(end) = m else { return None };
    Some(end_to_api(end))
}

/// An end for the log.
pub fn end_from_api(e: &api::End) -> mark::End {
    let last = |l| match l {
        api::LastSegment::Complete => mark::LastSegment::Complete,
        api::LastSegment::Short => mark::LastSegment::Short,
        api::LastSegment::Lost => mark::LastSegment::Lost,
    };
    let track = |t: &api::TrackEnd| mark::TrackEnd {
        track: TrackId(t.track),
        msn: Msn(t.msn),
        parts: t.parts,
        last: last(t.last),
    };
    mark::End {
        msn: Msn(e.msn),
        dseq: e.dseq,
        wall: Wall(e.wall),
        tracks: e.tracks.iter().map(track).collect(),
        session_over: e.session_over,
    }
}
