//! What a timeline consists of: the rows, as values and as JSON. `timeline` makes them, `lines`
//! puts them into words.

use serde::Serialize;

/// One thing that happened. In JSON `event` says which; names are camelCase, times are seconds.
/// Fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Row {
    /// A generation's first record.
    Generation {
        /// Session.
        session: u64,
        /// Generation.
        generation: u64,
        /// First MSN it may use.
        base: u64,
    },
    /// A track's configuration, where it is new.
    Configuration {
        /// Track.
        track: u16,
        /// Codec string, or why it cannot be read.
        codec: String,
    },
    /// A complete segment.
    Segment(Box<Segment>),
    /// Media that is absent.
    Gap {
        /// Track.
        track: u16,
        /// Its number.
        msn: u64,
        /// Its part; null when the segment is absent as a whole.
        part: Option<u32>,
        /// Wall clock, RFC 3339.
        wall: String,
        /// Length.
        seconds: f64,
    },
    /// A cue; not where it is repeated.
    Cue {
        /// Its name.
        id: String,
        /// What kind of thing it is.
        class: String,
        /// When it begins, RFC 3339.
        wall: String,
        /// How long it lasts.
        seconds: f64,
        /// What is to be known of it, JSON.
        data: String,
    },
    /// Something is wrong with a packet's time.
    Trouble {
        /// Track.
        track: u16,
        /// Its decode time.
        dts: f64,
        /// What.
        what: String,
    },
    /// A packet.
    Packet {
        /// Track.
        track: u16,
        /// Its place among the listed ones; null when it is not listed.
        seq: Option<u64>,
        /// Decode time.
        dts: f64,
        /// Presentation time.
        pts: f64,
        /// PTS less DTS.
        cts: f64,
        /// Bytes.
        size: u64,
        /// An IDR picture, or sound.
        key: bool,
        /// Since the track's packet before, in decode time.
        step: Option<f64>,
        /// Where its record lies: extent and offset.
        at: String,
    },
    /// Bytes that are no record.
    Hole {
        /// Extent.
        extent: u32,
        /// Offset.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The generation's last record.
    End {
        /// Last MSN.
        msn: u64,
        /// Wall clock, RFC 3339.
        wall: String,
        /// The session is over.
        session_over: bool,
    },
}

/// A complete segment of one track.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Track.
    pub track: u16,
    /// `video` or `audio`.
    pub kind: &'static str,
    /// Its number.
    pub msn: u64,
    /// Wall clock of its first sample, RFC 3339.
    pub wall: String,
    /// Decode time of its first sample.
    pub dts: Option<f64>,
    /// Sum of its parts.
    pub seconds: f64,
    /// Parts, gap parts counted.
    pub parts: u32,
    /// Parts that are absent.
    pub gap_parts: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bits a second.
    pub bit_rate: u64,
    /// IDR pictures; packets of sound.
    pub key_frames: u64,
    /// Lengths of the GOPs that end in this segment (one ends where the segment begins), of video.
    pub gops: Vec<f64>,
    /// It begins with an IDR picture, or is sound.
    pub independent: bool,
    /// EXT-X-DISCONTINUITY stands before it.
    pub discontinuity: bool,
    /// Its discontinuity number.
    pub dseq: u64,
    /// Frames in a row whose distance differs: least and most.
    pub steps: Option<(f64, f64)>,
    /// Steps back, jumps, doubled times, steps off their place.
    pub troubles: u64,
    /// Packets before it that no segment lists.
    pub unlisted: u64,
    /// Sound's decode time less the picture's, in the order of the log, at its end.
    pub skew: Option<f64>,
}
