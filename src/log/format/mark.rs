//! The bodies of the marks, field by field, in both directions. A body may be longer than what is
//! read here: a later version may have added fields at its end.

use crate::base::ids::{Generation, Job, Msn, Seq, Session, TrackId, Writer};
use crate::base::time::{Timescale, Wall};
use crate::log::format::record::{Frame, begin, flag, kind};
use crate::log::format::wire::{Bad, Fields, opt_u64, put_opt_u64, put_string};
use crate::log::format::{CONFIG_MAX, FormatError, LIST_MAX, STRING_MAX};
use crate::media::codec::VideoRange;
use crate::media::timeline::cue::{CUE_CLASS_MAX, CUE_DATA_MAX, CUE_ID_MAX, Cue};
use crate::media::timeline::mark::{
    End, Gap, GenerationStart, LastSegment, Mark, PartEnd, Rendition, SegmentStart, SessionRecord,
    TrackEnd,
};
use crate::media::track::{Codec, FrameRate, Kind, Track};
use bytes::{BufMut, Bytes, BytesMut};

/// Stored in an `End` beside the fields when it lies inside another record, which has no flags of
/// its own.
const OVER: u8 = 1;

/// A rendition that the multivariant playlist does not name.
const HIDDEN: u8 = 1;

/// Appends head and body of `mark`; the caller closes the record.
pub(super) fn encode(out: &mut BytesMut, mark: &Mark) -> Result<(), FormatError> {
    match mark {
        Mark::Generation(m) => {
            begin(out, kind::GENERATION, 0, TrackId(0));
            put_generation(out, m)
        }
        Mark::Session(m) => {
            begin(out, kind::SESSION, 0, TrackId(0));
            put_session(out, m)
        }
        Mark::Track(m) => {
            begin(out, kind::TRACK, 0, m.id);
            put_track(out, m)
        }
        Mark::SegmentStart(m) => {
            let flags =
                when(m.discontinuity, flag::DISCONTINUITY) | when(m.independent, flag::INDEPENDENT);
            begin(out, kind::SEGMENT_START, flags, m.track);
            out.put_u64_le(m.msn.0);
            out.put_u64_le(m.dseq);
            out.put_i64_le(m.wall.0);
            out.put_u64_le(m.first_seq.0);
            Ok(())
        }
        Mark::PartEnd(m) => {
            begin(out, kind::PART_END, when(m.independent, flag::INDEPENDENT), m.track);
            out.put_u64_le(m.msn.0);
            out.put_u32_le(m.part);
            out.put_u64_le(m.first_seq.0);
            out.put_u64_le(m.last_seq.0);
            out.put_u64_le(m.decode_time);
            out.put_i64_le(m.duration);
            Ok(())
        }
        Mark::Gap(m) => {
            begin(out, kind::GAP, when(m.part.is_some(), flag::PART), m.track);
            out.put_u64_le(m.msn.0);
            out.put_u32_le(m.part.unwrap_or(0));
            out.put_i64_le(m.duration);
            out.put_i64_le(m.wall.0);
            out.put_u64_le(m.dseq);
            Ok(())
        }
        Mark::Cue(m) => {
            begin(out, kind::CUE, when(m.repeated, flag::REPEATED), TrackId(0));
            put_cue(out, m)
        }
        Mark::End(m) => {
            begin(out, kind::END, when(m.session_over, flag::SESSION_OVER), TrackId(0));
            put_end(out, m)
        }
    }
}

/// Reads the body of a mark.
pub(super) fn decode(frame: Frame, body: &[u8]) -> Result<Mark, Bad> {
    let f = &mut Fields::new(body);
    let (track, has) = (frame.track, |bit: u8| frame.flags & bit != 0);
    Ok(match frame.kind {
        kind::GENERATION => Mark::Generation(generation(f)?),
        kind::SESSION => Mark::Session(session(f)?),
        kind::TRACK => Mark::Track(track_body(f, track)?),
        kind::SEGMENT_START => Mark::SegmentStart(SegmentStart {
            track,
            msn: Msn(f.u64("msn")?),
            dseq: f.u64("dseq")?,
            wall: Wall(f.i64("wall")?),
            first_seq: Seq(f.u64("first seq")?),
            discontinuity: has(flag::DISCONTINUITY),
            independent: has(flag::INDEPENDENT),
        }),
        kind::PART_END => Mark::PartEnd(PartEnd {
            track,
            msn: Msn(f.u64("msn")?),
            part: f.u32("part")?,
            first_seq: Seq(f.u64("first seq")?),
            last_seq: Seq(f.u64("last seq")?),
            decode_time: f.u64("decode time")?,
            duration: f.i64("duration")?,
            independent: has(flag::INDEPENDENT),
        }),
        kind::GAP => {
            let (msn, part) = (Msn(f.u64("msn")?), f.u32("part")?);
            Mark::Gap(Gap {
                track,
                msn,
                part: has(flag::PART).then_some(part),
                duration: f.i64("duration")?,
                wall: Wall(f.i64("wall")?),
                dseq: f.u64("dseq")?,
            })
        }
        kind::END => Mark::End(end(f, has(flag::SESSION_OVER))?),
        kind::CUE => Mark::Cue(cue(f, has(flag::REPEATED))?),
        _ => return Err(Bad("not a mark")),
    })
}

fn when(on: bool, bit: u8) -> u8 {
    if on { bit } else { 0 }
}

/// Checks a size against its limit.
fn fits(what: &'static str, len: usize, max: usize) -> Result<(), FormatError> {
    if len > max { Err(FormatError::TooLarge { what, len, max }) } else { Ok(()) }
}

fn put_generation(out: &mut BytesMut, m: &GenerationStart) -> Result<(), FormatError> {
    out.put_u64_le(m.session.0);
    out.put_u64_le(m.generation.0);
    out.put_u64_le(m.base.0);
    out.put_u64_le(m.dseq);
    put_opt_u64(out, m.previous.as_ref().map(|(w, _)| w.generation.0));
    if let Some((_, e)) = &m.previous {
        out.put_u8(when(e.session_over, OVER));
        put_end(out, e)?;
    }
    // No job has the number 0.
    for job in [m.job, m.previous.as_ref().and_then(|(w, _)| w.job)] {
        out.put_u32_le(job.map_or(0, |job| job.0));
    }
    Ok(())
}

fn generation(f: &mut Fields<'_>) -> Result<GenerationStart, Bad> {
    let mut m = GenerationStart {
        session: Session(f.u64("session")?),
        generation: Generation(f.u64("generation")?),
        job: None,
        base: Msn(f.u64("base")?),
        dseq: f.u64("dseq")?,
        previous: match opt_u64(f, "previous generation")? {
            None => None,
            Some(g) => {
                let over = f.u8("previous end's flags")? & OVER != 0;
                Some((Generation(g).into(), end(f, over)?))
            }
        },
    };
    // Added to the body: what is not there is no job.
    let mut job = || Some(f.u32("job").unwrap_or(0)).filter(|n| *n > 0).map(Job);
    m.job = job();
    if let Some((writer, _)) = &mut m.previous {
        *writer = Writer { job: job(), ..*writer };
    }
    Ok(m)
}

fn put_session(out: &mut BytesMut, m: &SessionRecord) -> Result<(), FormatError> {
    fits("a session's list of renditions", m.renditions.len(), LIST_MAX)?;
    out.put_u32_le(m.target_duration);
    out.put_i64_le(m.segment);
    out.put_i64_le(m.part_target);
    out.put_i64_le(m.latency_budget);
    out.put_u32_le(m.render);
    out.put_u16_le(m.renditions.len() as u16);
    for r in &m.renditions {
        fits("a rendition's name", r.name.len(), STRING_MAX)?;
        fits("a codec string", r.codecs.len(), STRING_MAX)?;
        put_string(out, &r.name);
        out.put_u16_le(r.track.0);
        out.put_u8(match r.kind {
            Kind::Video => 1,
            Kind::Audio => 2,
        });
        put_string(out, &r.codecs);
        out.put_u64_le(r.bandwidth);
        put_opt_u64(out, r.resolution.map(|(w, h)| u64::from(w) << 32 | u64::from(h)));
        put_opt_u64(out, r.frame_rate_millis.map(u64::from));
        put_opt_u64(out, r.channels.map(u64::from));
    }
    m.renditions.iter().for_each(|r| out.put_u8(r.range.number()));
    m.renditions.iter().for_each(|r| out.put_u8(when(!r.offered, HIDDEN)));
    Ok(())
}

fn session(f: &mut Fields<'_>) -> Result<SessionRecord, Bad> {
    let mut m = SessionRecord {
        target_duration: f.u32("target duration")?,
        segment: f.i64("segment")?,
        part_target: f.i64("part target")?,
        latency_budget: f.i64("latency budget")?,
        render: f.u32("render version")?,
        renditions: Vec::new(),
    };
    for _ in 0..list_len(f, "renditions")? {
        m.renditions.push(rendition(f)?);
    }
    // Added to the body: what is not there is standard, and offered.
    let count = m.renditions.len();
    for (r, range) in m.renditions.iter_mut().zip(f.rest()) {
        r.range = VideoRange::from_number(*range);
    }
    for (r, flags) in m.renditions.iter_mut().zip(f.rest().iter().skip(count)) {
        r.offered = flags & HIDDEN == 0;
    }
    Ok(m)
}

fn rendition(f: &mut Fields<'_>) -> Result<Rendition, Bad> {
    Ok(Rendition {
        name: f.string("rendition name")?,
        track: TrackId(f.u16("rendition track")?),
        kind: match f.u8("rendition kind")? {
            1 => Kind::Video,
            2 => Kind::Audio,
            _ => return Err(Bad("rendition kind")),
        },
        codecs: f.string("codec string")?,
        bandwidth: f.u64("bandwidth")?,
        resolution: opt_u64(f, "resolution")?.map(|v| ((v >> 32) as u32, v as u32)),
        frame_rate_millis: narrow(opt_u64(f, "frame rate")?, "frame rate")?,
        offered: true,
        range: VideoRange::Sdr,
        channels: narrow(opt_u64(f, "channels")?, "channels")?,
    })
}

fn narrow<T: TryFrom<u64>>(v: Option<u64>, what: &'static str) -> Result<Option<T>, Bad> {
    v.map(|v| T::try_from(v).map_err(|_| Bad(what))).transpose()
}

/// A u16 count of at most [`LIST_MAX`].
fn list_len(f: &mut Fields<'_>, what: &'static str) -> Result<u16, Bad> {
    let n = f.u16(what)?;
    if usize::from(n) > LIST_MAX { Err(Bad(what)) } else { Ok(n) }
}

fn put_track(out: &mut BytesMut, m: &Track) -> Result<(), FormatError> {
    fits("a decoder configuration", m.config.len(), CONFIG_MAX)?;
    out.put_u8(m.codec as u8);
    out.put_u32_le(m.timescale.get());
    let (num, den) = m.rate.map_or((0, 0), FrameRate::parts);
    out.put_u32_le(num);
    out.put_u32_le(den);
    out.put_u32_le(m.config.len() as u32);
    out.put_slice(&m.config);
    Ok(())
}

fn track_body(f: &mut Fields<'_>, id: TrackId) -> Result<Track, Bad> {
    let codec = Codec::from_number(f.u8("codec")?).ok_or(Bad("codec"))?;
    let timescale = Timescale::new(f.u32("timescale")?).ok_or(Bad("timescale"))?;
    let rate = match (f.u32("frame rate")?, f.u32("frame rate")?) {
        (0, 0) => None,
        (num, den) => Some(FrameRate::new(num, den).ok_or(Bad("frame rate"))?),
    };
    // A copy: a reader keeps the configuration for the whole publish and must not keep the read
    // buffer with it.
    let config = Bytes::copy_from_slice(f.blob(CONFIG_MAX, "decoder configuration")?);
    Ok(Track { id, codec, timescale, rate, config })
}

fn put_cue(out: &mut BytesMut, m: &Cue) -> Result<(), FormatError> {
    fits("a cue's id", m.id.len(), CUE_ID_MAX)?;
    fits("a cue's class", m.class.len(), CUE_CLASS_MAX)?;
    fits("a cue's data", m.data.len(), CUE_DATA_MAX)?;
    out.put_i64_le(m.start.0);
    out.put_i64_le(m.duration);
    out.put_i64_le(m.added.0);
    put_string(out, &m.id);
    put_string(out, &m.class);
    out.put_u32_le(m.data.len() as u32);
    out.put_slice(m.data.as_bytes());
    Ok(())
}

fn cue(f: &mut Fields<'_>, repeated: bool) -> Result<Cue, Bad> {
    let (start, duration) = (Wall(f.i64("cue's start")?), f.i64("cue's duration")?);
    let added = Wall(f.i64("cue's announcement")?);
    let (id, class) = (f.string("cue's id")?, f.string("cue's class")?);
    let data = f.blob(CUE_DATA_MAX, "cue's data")?;
    let data = std::str::from_utf8(data).map_err(|_| Bad("cue's data"))?.to_owned();
    let cue = Cue { id, class, start, duration, added, data, repeated };
    // It ends up in playlists: what can't stand there is none.
    cue.check().map_err(|_| Bad("cue"))?;
    Ok(cue)
}

fn put_end(out: &mut BytesMut, m: &End) -> Result<(), FormatError> {
    fits("an end's list of tracks", m.tracks.len(), LIST_MAX)?;
    out.put_u64_le(m.msn.0);
    out.put_u64_le(m.dseq);
    out.put_i64_le(m.wall.0);
    out.put_u16_le(m.tracks.len() as u16);
    for t in &m.tracks {
        out.put_u16_le(t.track.0);
        out.put_u64_le(t.msn.0);
        out.put_u32_le(t.parts);
        out.put_u8(last_number(t.last));
    }
    Ok(())
}

fn end(f: &mut Fields<'_>, session_over: bool) -> Result<End, Bad> {
    let (msn, dseq, wall) = (Msn(f.u64("end msn")?), f.u64("end dseq")?, Wall(f.i64("end wall")?));
    let mut tracks = Vec::new();
    for _ in 0..list_len(f, "end's tracks")? {
        tracks.push(TrackEnd {
            track: TrackId(f.u16("end's track")?),
            msn: Msn(f.u64("track's msn")?),
            parts: f.u32("track's parts")?,
            last: last_from(f.u8("last segment")?).ok_or(Bad("last segment"))?,
        });
    }
    Ok(End { msn, dseq, wall, tracks, session_over })
}

/// The stored number of a [`LastSegment`].
pub(super) fn last_number(last: LastSegment) -> u8 {
    match last {
        LastSegment::Complete => 1,
        LastSegment::Short => 2,
        LastSegment::Lost => 3,
    }
}

/// Reads what [`last_number`] gave.
pub(super) fn last_from(n: u8) -> Option<LastSegment> {
    match n {
        1 => Some(LastSegment::Complete),
        2 => Some(LastSegment::Short),
        3 => Some(LastSegment::Lost),
        _ => None,
    }
}
