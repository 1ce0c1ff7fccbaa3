//! One part as a movie fragment: moof (ISO/IEC 14496-12, 8.8.4) and mdat.
//!
//! Written by hand and not with the MP4 box crate: a part is made for every rendition several times
//! a second, its size is known before the first byte, so it is one allocation and each payload is
//! copied once. The crate's decoder is the oracle in the tests.

use crate::base::time::Timescale;
use crate::media::codec::FrameLength;
use crate::media::packet::Packet;
use bytes::{BufMut, Bytes};

/// Sample flags of a sync sample: depends on no other (8.8.3.1).
pub(crate) const FLAGS_SYNC: u32 = 0x0200_0000;
/// Sample flags of any other picture: depends on others, is no sync sample.
pub(crate) const FLAGS_NON_SYNC: u32 = 0x0101_0000;

const TFHD_DESCRIPTION: u32 = 0x02;
const TFHD_DEFAULT_DURATION: u32 = 0x08;
const TFHD_DEFAULT_FLAGS: u32 = 0x20;
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATION: u32 = 0x100;
const TRUN_SIZE: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_CTS: u32 = 0x800;

/// One access unit of a part, with the times of its packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Decoding time in ticks of the track's timescale.
    pub dts: i64,
    /// Composition offset in ticks of the track's timescale.
    pub cts: i32,
    /// True for a picture that a decoder can start at and for every audio frame.
    pub key: bool,
    /// The coded bytes; less than 4 GiB.
    pub payload: Bytes,
}

impl From<&Packet> for Sample {
    /// Shares the payload.
    fn from(p: &Packet) -> Sample {
        Sample { dts: p.dts, cts: p.cts, key: p.key, payload: p.payload.clone() }
    }
}

/// A part of one track, ready to be written.
#[derive(Debug, Clone, Copy)]
pub struct Fragment<'a> {
    /// The track's number in the init section.
    pub track_number: u32,
    /// Which of the init section's sample entries, from 1. Init sections for viewers have one.
    pub description: u32,
    /// mfhd sequence number.
    pub sequence: u32,
    /// Decode time of the first sample in ticks of `mux`; the writer snaps audio to its grid here.
    pub decode_time: u64,
    /// Duration of the whole part in microseconds. Decides the last picture's duration; audio does
    /// not need it.
    pub duration: i64,
    /// Unit of the samples' times.
    pub timescale: Timescale,
    /// Unit of the fragment's times: that of the init section.
    pub mux: Timescale,
    /// Audio: how many ticks of `mux` a sample lasts. `None` for video.
    pub frames: Option<FrameLength>,
    /// In decoding order.
    pub samples: &'a [Sample],
}

/// Duration and composition offset of one sample in mux ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    duration: u32,
    cts: i32,
}

/// Writes moof and mdat. Without samples there is nothing to write and the result is empty.
///
/// Video: a sample lasts until the next one's DTS, the last one until the part's end, at least one
/// tick. Times are converted before they are subtracted, so no rounding adds up. A DTS that does
/// not grow gives a duration of zero, and the composition offset moves so that the PTS stays.
pub fn fragment(f: &Fragment<'_>) -> Bytes {
    if f.samples.is_empty() {
        return Bytes::new();
    }
    let times = times(f);
    let layout = Layout::of(f, &times);
    let payload: usize = f.samples.iter().map(|s| s.payload.len()).sum();
    let (moof, mdat) = (layout.moof(), mdat_header(payload));
    let mut out = Vec::with_capacity(moof + mdat + payload);
    write_moof(&mut out, f, &times, &layout, moof + mdat);
    if mdat == 8 {
        out.put_u32(payload as u32 + 8);
        out.put_slice(b"mdat");
    } else {
        out.put_u32(1);
        out.put_slice(b"mdat");
        out.put_u64(payload as u64 + 16);
    }
    for s in f.samples {
        out.put_slice(&s.payload);
    }
    debug_assert_eq!(out.len(), moof + mdat + payload, "sized once");
    Bytes::from(out)
}

/// Bytes of the mdat header: 16 when the size needs 64 bits.
fn mdat_header(payload: usize) -> usize {
    if payload as u64 + 8 > u64::from(u32::MAX) { 16 } else { 8 }
}

/// Every sample's times in mux ticks.
fn times(f: &Fragment<'_>) -> Vec<Times> {
    let convert = |ticks| f.timescale.convert(ticks, f.mux);
    let offset = |s: &Sample, dts: i64| {
        let pts = convert(s.dts.saturating_add(i64::from(s.cts)));
        pts.saturating_sub(dts).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    };
    if let Some(frames) = f.frames {
        let sound = |s: &Sample| Times { duration: frames.ticks(&s.payload), cts: 0 };
        return f.samples.iter().map(sound).collect();
    }
    let ticks = |n: i64| n.clamp(0, i64::from(u32::MAX)) as u32;
    let start = f.samples.first().map_or(0, |s| convert(s.dts));
    let end = start.saturating_add(f.mux.from_micros(f.duration));
    let mut now = start;
    let mut out = Vec::with_capacity(f.samples.len());
    for (i, s) in f.samples.iter().enumerate() {
        let (next, least) = match f.samples.get(i + 1) {
            Some(n) => (convert(n.dts), 0),
            None => (end, 1),
        };
        let duration = ticks(next.saturating_sub(now)).max(least);
        out.push(Times { duration, cts: offset(s, now) });
        now = now.saturating_add(i64::from(duration));
    }
    out
}

/// Which fields the fragment has: what all samples share is said once.
struct Layout {
    samples: usize,
    description: Option<u32>,
    default_duration: Option<u32>,
    default_flags: u32,
    first_flags: Option<u32>,
    each_flags: bool,
    cts: bool,
    negative_cts: bool,
}

impl Layout {
    fn of(f: &Fragment<'_>, times: &[Times]) -> Layout {
        let first = f.samples.first().is_some_and(|s| s.key);
        let rest = f.samples.get(1).map_or(first, |s| s.key);
        let uniform = f.samples.iter().skip(1).all(|s| s.key == rest);
        let duration = times.first().map_or(0, |t| t.duration);
        let same = times.iter().all(|t| t.duration == duration);
        Layout {
            samples: times.len(),
            // The first is what the track's trex says.
            description: (f.description != 1).then_some(f.description),
            default_duration: same.then_some(duration),
            default_flags: flags(rest),
            first_flags: (uniform && first != rest).then(|| flags(first)),
            each_flags: !uniform,
            cts: times.iter().any(|t| t.cts != 0),
            negative_cts: times.iter().any(|t| t.cts < 0),
        }
    }

    fn tfhd(&self) -> usize {
        let optional = [self.description, self.default_duration];
        12 + 4 + 4 + 4 * optional.iter().flatten().count()
    }

    fn trun(&self) -> usize {
        let each = 1 // size
            + usize::from(self.default_duration.is_none())
            + usize::from(self.each_flags)
            + usize::from(self.cts);
        12 + 4 + 4 + if self.first_flags.is_some() { 4 } else { 0 } + 4 * each * self.samples
    }

    /// tfhd, tfdt and trun.
    fn traf(&self) -> usize {
        8 + self.tfhd() + 20 + self.trun()
    }

    /// mfhd and traf.
    fn moof(&self) -> usize {
        8 + 16 + self.traf()
    }
}

fn flags(key: bool) -> u32 {
    if key { FLAGS_SYNC } else { FLAGS_NON_SYNC }
}

/// A box header; a full box's version and flags follow it.
fn header(out: &mut Vec<u8>, size: usize, kind: &[u8; 4]) {
    out.put_u32(size as u32);
    out.put_slice(kind);
}

fn write_moof(out: &mut Vec<u8>, f: &Fragment<'_>, times: &[Times], l: &Layout, data: usize) {
    header(out, l.moof(), b"moof");
    header(out, 16, b"mfhd");
    out.put_u32(0);
    out.put_u32(f.sequence);
    header(out, l.traf(), b"traf");

    header(out, l.tfhd(), b"tfhd");
    let duration = if l.default_duration.is_some() { TFHD_DEFAULT_DURATION } else { 0 };
    let description = if l.description.is_some() { TFHD_DESCRIPTION } else { 0 };
    out.put_u32(TFHD_DEFAULT_BASE_IS_MOOF | TFHD_DEFAULT_FLAGS | description | duration);
    out.put_u32(f.track_number);
    if let Some(description) = l.description {
        out.put_u32(description);
    }
    if let Some(duration) = l.default_duration {
        out.put_u32(duration);
    }
    out.put_u32(l.default_flags);

    header(out, 20, b"tfdt");
    out.put_u32(1 << 24);
    out.put_u64(f.decode_time);

    header(out, l.trun(), b"trun");
    let mut fields = TRUN_DATA_OFFSET | TRUN_SIZE;
    for (present, field) in [
        (l.default_duration.is_none(), TRUN_DURATION),
        (l.first_flags.is_some(), TRUN_FIRST_FLAGS),
        (l.each_flags, TRUN_FLAGS),
        (l.cts, TRUN_CTS),
    ] {
        fields |= if present { field } else { 0 };
    }
    // Version 1 has signed composition offsets.
    out.put_u32(u32::from(l.negative_cts) << 24 | fields);
    out.put_u32(l.samples as u32);
    out.put_u32(data as u32);
    if let Some(flags) = l.first_flags {
        out.put_u32(flags);
    }
    for (s, t) in f.samples.iter().zip(times) {
        if l.default_duration.is_none() {
            out.put_u32(t.duration);
        }
        out.put_u32(s.payload.len() as u32);
        if l.each_flags {
            out.put_u32(flags(s.key));
        }
        if l.cts {
            out.put_i32(t.cts);
        }
    }
}
