//! Marks: the records of a log that are not packets. A playlist is a pure function of them.
//!
//! Invariant: a mark governs only samples that no earlier mark governed. Durations are microseconds
//! of decode time, sums over the samples; wall-clock times come from marks alone.

use crate::base::ids::{Generation, Job, Msn, Seq, Session, TrackId, Writer};
use crate::base::time::Wall;
use crate::media::codec::VideoRange;
use crate::media::timeline::cue::Cue;
use crate::media::track::{Kind, Track};

/// Version of muxer and playlist renderer that new sessions pin: raised with any change of the
/// bytes that the same records give (`media::fmp4`, `hls::playlist`).
///
/// 1: the first. 2: playlists hint a new init section ahead, and have date ranges, which delta
/// updates can skip. 3: delta updates say the init section in force.
pub const RENDER: u32 = 3;

/// Anything in a log that is not a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// First record of a generation.
    Generation(GenerationStart),
    /// The constants of the session; repeated at the start of every extent.
    Session(SessionRecord),
    /// A track's configuration from here on; repeated at the start of every extent.
    Track(Track),
    /// A segment of one track starts with sample `first_seq`; the segment before it is complete.
    SegmentStart(SegmentStart),
    /// A part of one track is complete.
    PartEnd(PartEnd),
    /// Media that is absent.
    Gap(Gap),
    /// Something happens; goes into the first part of a track that carries cues
    /// ([`SessionRecord::carries_cues`]) whose end follows it.
    Cue(Cue),
    /// Last record of a generation.
    End(End),
}

/// Who writes this log, from which numbers on, and how the generation before it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationStart {
    /// The session this generation belongs to.
    pub session: Session,
    /// The writer incarnation at an origin.
    pub generation: Generation,
    /// The one at a transcoder, in a rung's log; `None` in the source's.
    pub job: Option<Job>,
    /// The first MSN this generation may use.
    pub base: Msn,
    /// Absolute discontinuity sequence number at the base.
    pub dseq: u64,
    /// The decided end of the writer before, in the same session; `None` for a session's first.
    pub previous: Option<(Writer, End)>,
}

impl GenerationStart {
    /// Who writes.
    pub fn writer(&self) -> Writer {
        Writer { generation: self.generation, job: self.job }
    }
}

/// The constants of a session: what may never change while its playlists live
/// (draft-pantos-hls-rfc8216bis-22, 6.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// EXT-X-TARGETDURATION in whole seconds: no segment is longer.
    pub target_duration: u32,
    /// The aimed-at segment length in microseconds.
    pub segment: i64,
    /// EXT-X-PART-INF PART-TARGET in microseconds: no part is longer.
    pub part_target: i64,
    /// What a transcoded rendition may lag behind the source, microseconds; part of PART-HOLD-BACK.
    pub latency_budget: i64,
    /// Version of muxer and playlist renderer; in every media URL of the session.
    pub render: u32,
    /// The renditions of the session; at least one, video first.
    pub renditions: Vec<Rendition>,
}

impl SessionRecord {
    /// PART-HOLD-BACK in microseconds: three parts and the latency budget (at least the 3x that
    /// 14.3 of Apple's authoring rules requires).
    pub fn part_hold_back(&self) -> i64 {
        3 * self.part_target + self.latency_budget
    }

    /// HOLD-BACK in microseconds: three target durations (4.4.3.8).
    pub fn hold_back(&self) -> i64 {
        3 * i64::from(self.target_duration) * 1_000_000
    }

    /// The rendition that carries `track`.
    pub fn rendition(&self, track: TrackId) -> Option<&Rendition> {
        self.renditions.iter().find(|r| r.track == track)
    }

    /// Do the parts of `track` carry the events of cues? Those of video do: a viewer plays one
    /// video rendition, so each event comes once; where there is no video, those of audio.
    pub fn carries_cues(&self, track: TrackId) -> bool {
        let video = self.renditions.iter().any(|r| r.kind == Kind::Video);
        let kind = if video { Kind::Video } else { Kind::Audio };
        self.rendition(track).is_some_and(|r| r.kind == kind)
    }
}

/// One track as viewers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// Name in URLs: `video`, `audio` for a source, the rung's name for a rung.
    pub name: String,
    /// The track that carries it.
    pub track: TrackId,
    /// Audio or video.
    pub kind: Kind,
    /// RFC 6381 codec string of the first configuration.
    pub codecs: String,
    /// Peak bits per second that the rendition is declared to stay under.
    pub bandwidth: u64,
    /// Width and height in pixels; `None` for audio.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second in thousandths; `None` when undeclared or audio.
    pub frame_rate_millis: Option<u32>,
    /// The range of light of the first configuration; means nothing for audio.
    pub range: VideoRange,
    /// Channels of audio; `None` for video.
    pub channels: Option<u8>,
    /// The multivariant playlist names it: a ladder may leave the source's picture out.
    pub offered: bool,
}

/// A segment of one track begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentStart {
    /// The track.
    pub track: TrackId,
    /// The segment's number.
    pub msn: Msn,
    /// Absolute discontinuity sequence number of the segment.
    pub dseq: u64,
    /// EXT-X-DISCONTINUITY stands before the segment.
    pub discontinuity: bool,
    /// The segment begins with an IDR picture (video) or is audio.
    pub independent: bool,
    /// Wall clock of the first sample's PTS.
    pub wall: Wall,
    /// First sample of the segment.
    pub first_seq: Seq,
}

/// A part of one track is complete: samples `first_seq..=last_seq` of segment `msn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartEnd {
    /// The track.
    pub track: TrackId,
    /// The segment that the part belongs to.
    pub msn: Msn,
    /// Index of the part in its segment, from 0; gap parts count.
    pub part: u32,
    /// First sample.
    pub first_seq: Seq,
    /// Last sample.
    pub last_seq: Seq,
    /// Decode time of the first sample in ticks of the track's mux timescale
    /// (`media::codec::Details`): the part's
    /// `baseMediaDecodeTime`. Audio is snapped to its sample grid by the writer, once, here.
    pub decode_time: u64,
    /// Decode-time duration in microseconds.
    pub duration: i64,
    /// The part contains an IDR picture (INDEPENDENT=YES); always true for audio.
    pub independent: bool,
}

/// Media that is absent. Closes the track's open part and, unless it is a further part of the same
/// segment, the open segment too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The track.
    pub track: TrackId,
    /// The segment that is absent, in whole or in part.
    pub msn: Msn,
    /// `Some(i)`: part `i` of the segment is absent. `None`: the segment is absent as a whole and
    /// complete with this record; gap parts written before it belong to it.
    pub part: Option<u32>,
    /// Duration in microseconds: the part's, or the whole segment's.
    pub duration: i64,
    /// Wall clock of the start of the part or segment.
    pub wall: Wall,
    /// Absolute discontinuity sequence number.
    pub dseq: u64,
}

/// How a generation ended. Decided once by the registry; copied by the next writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Last MSN of the generation, over all tracks (the base minus one when it wrote none).
    pub msn: Msn,
    /// Absolute discontinuity sequence number at the end.
    pub dseq: u64,
    /// Wall clock of the end of the last listed media or gap.
    pub wall: Wall,
    /// Where each track ended.
    pub tracks: Vec<TrackEnd>,
    /// True when the session is over: ENDLIST.
    pub session_over: bool,
}

/// Where one track of a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackEnd {
    /// The track.
    pub track: TrackId,
    /// Its last MSN.
    pub msn: Msn,
    /// How many parts of that segment are listed (gap parts count).
    pub parts: u32,
    /// What becomes of that segment.
    pub last: LastSegment,
}

/// What becomes of a track's last segment when the generation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastSegment {
    /// It was complete.
    Complete,
    /// It is listed with the parts that were marked.
    Short,
    /// Nothing of it can be served: it is a gap.
    Lost,
}
