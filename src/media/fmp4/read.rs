//! Reads what is needed to judge anybody's fMP4 (ISO/IEC 14496-12): the tracks of an init section,
//! and the times, sizes and flags of a segment's samples. No media is decoded or copied.

use crate::base::time::Timescale;
use crate::media::fmp4::entry;
use crate::media::track::{Codec, Kind};
use bytes::Bytes;

/// Most samples of one run: a segment of 10 s at 240 frames a second has 2400. A run without
/// fields can claim any number in a few bytes.
const SAMPLES_MAX: usize = 64 << 10;

/// Most tracks of an init section.
const TRACKS_MAX: usize = 64;

/// `sample_is_non_sync_sample` (8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

/// Why bytes are no fMP4. `at` counts from the start of what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes end inside.
    #[error("the MP4 data ends inside {what} at byte {at}")]
    Truncated {
        /// The box or field.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A value that the format does not have, or that is beyond a limit.
    #[error("MP4 at byte {at}: {what} has no such value")]
    Invalid {
        /// The box or field.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A box that has to be there is not.
    #[error("the MP4 data has no {0}")]
    Missing(&'static str),
}

/// A track of an init section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitTrack {
    /// Its track ID.
    pub number: u32,
    /// Unit of its times.
    pub timescale: Timescale,
    /// Audio or video; `None` for anything else.
    pub kind: Option<Kind>,
    /// The sample entry's four characters.
    pub entry: String,
    /// A codec that castctl carries, with its configuration record.
    pub codec: Option<(Codec, Bytes)>,
    /// Width and height in samples, as the sample entry says; zero for audio.
    pub dimensions: (u32, u32),
    defaults: Defaults,
}

/// What a sample has when it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

/// The samples of one track in one fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FragmentFacts {
    /// The track ID.
    pub number: u32,
    /// `baseMediaDecodeTime`.
    pub decode_time: u64,
    /// In decoding order.
    pub samples: Vec<SampleFacts>,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFacts {
    /// Ticks.
    pub duration: u32,
    /// Bytes.
    pub size: u32,
    /// Ticks.
    pub cts: i32,
    /// A decoder can start here.
    pub sync: bool,
}

/// Reads the tracks of an init section.
///
/// # Errors
/// It is no MP4 data, or has no `moov`.
pub fn init(data: &Bytes) -> Result<Vec<InitTrack>, ReadError> {
    let moov = Part::whole(data).find(b"moov")?.ok_or(ReadError::Missing("moov"))?;
    let mut tracks = Vec::new();
    let mut defaults = Vec::new();
    for child in moov.boxes() {
        let (name, part) = child?;
        match &name {
            b"trak" if tracks.len() < TRACKS_MAX => tracks.extend(trak(&part)?),
            b"trak" => return Err(ReadError::Invalid { what: "number of tracks", at: part.at }),
            b"mvex" => {
                for child in part.boxes() {
                    let (name, part) = child?;
                    if name == *b"trex" && defaults.len() < TRACKS_MAX {
                        let u32_at = |at| part.u32(at, "trex");
                        let (duration, size, flags) = (u32_at(12)?, u32_at(16)?, u32_at(20)?);
                        defaults.push((u32_at(4)?, Defaults { duration, size, flags }));
                    }
                }
            }
            _ => {}
        }
    }
    for t in &mut tracks {
        if let Some((_, d)) = defaults.iter().find(|(id, _)| *id == t.number) {
            t.defaults = *d;
        }
    }
    Ok(tracks)
}

/// Reads the fragments of a segment or part; `tracks` are those of its init section.
///
/// # Errors
/// It is no MP4 data, has no `moof`, or less media than its samples need.
pub fn fragments(data: &Bytes, tracks: &[InitTrack]) -> Result<Vec<FragmentFacts>, ReadError> {
    let mut found = Vec::new();
    let (mut needed, mut media) = (0u64, 0u64);
    for child in Part::whole(data).boxes() {
        let (name, part) = child?;
        match &name {
            b"moof" => {
                for child in part.boxes() {
                    let (name, part) = child?;
                    if name == *b"traf" && found.len() < SAMPLES_MAX {
                        let fragment = traf(&part, tracks)?;
                        needed += fragment.samples.iter().map(|s| u64::from(s.size)).sum::<u64>();
                        found.push(fragment);
                    }
                }
            }
            b"mdat" => media += part.data.len() as u64,
            _ => {}
        }
    }
    if found.is_empty() {
        return Err(ReadError::Missing("moof"));
    }
    if needed > media {
        return Err(ReadError::Truncated { what: "mdat", at: data.len() });
    }
    Ok(found)
}

/// A box's body and where it lies in what was given.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) at: usize,
}

impl Part {
    fn whole(data: &Bytes) -> Part {
        Part { data: data.clone(), at: 0 }
    }

    pub(super) fn from(&self, offset: usize, what: &'static str) -> Result<Part, ReadError> {
        if offset > self.data.len() {
            return Err(ReadError::Truncated { what, at: self.at + self.data.len() });
        }
        Ok(Part { data: self.data.slice(offset..), at: self.at + offset })
    }

    fn u32(&self, at: usize, what: &'static str) -> Result<u32, ReadError> {
        let bytes = self.data.get(at..).and_then(|b| b.first_chunk::<4>());
        let bytes = bytes.ok_or(ReadError::Truncated { what, at: self.at + at })?;
        Ok(u32::from_be_bytes(*bytes))
    }

    fn u64(&self, at: usize, what: &'static str) -> Result<u64, ReadError> {
        Ok(u64::from(self.u32(at, what)?) << 32 | u64::from(self.u32(at + 4, what)?))
    }

    /// Version and flags of a full box.
    fn full(&self, what: &'static str) -> Result<(u8, u32), ReadError> {
        let word = self.u32(0, what)?;
        Ok(((word >> 24) as u8, word & 0xff_ffff))
    }

    /// The boxes in it, until one is wrong.
    fn boxes(&self) -> impl Iterator<Item = Result<([u8; 4], Part), ReadError>> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.data.len() {
                return None;
            }
            let next = self.box_at(at);
            // Every box has at least its header, so this ends; an error ends it too.
            at = next.as_ref().map_or(usize::MAX, |(_, part)| part.at - self.at + part.data.len());
            Some(next)
        })
    }

    fn box_at(&self, at: usize) -> Result<([u8; 4], Part), ReadError> {
        let what = "a box";
        let size = self.u32(at, what)?;
        let name = self.u32(at + 4, what)?.to_be_bytes();
        let (head, size) = match size {
            0 => (8, (self.data.len() - at) as u64),
            1 => (16, self.u64(at + 8, what)?),
            n => (8, n.into()),
        };
        let end = usize::try_from(size).ok().and_then(|s| at.checked_add(s));
        match end {
            Some(end) if size >= head as u64 && end <= self.data.len() => {
                let data = self.data.slice(at + head..end);
                Ok((name, Part { data, at: self.at + at + head }))
            }
            _ if size < head as u64 => {
                Err(ReadError::Invalid { what: "a box's size", at: self.at + at })
            }
            _ => Err(ReadError::Truncated { what, at: self.at + at }),
        }
    }

    pub(super) fn find(&self, name: &[u8; 4]) -> Result<Option<Part>, ReadError> {
        for child in self.boxes() {
            let (found, part) = child?;
            if found == *name {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }
}

/// One track; `None` without a sample entry.
fn trak(trak: &Part) -> Result<Option<InitTrack>, ReadError> {
    let need = |part: Option<Part>, what| part.ok_or(ReadError::Missing(what));
    let tkhd = need(trak.find(b"tkhd")?, "tkhd")?;
    let number_at = if tkhd.full("tkhd")?.0 == 1 { 20 } else { 12 };
    let number = tkhd.u32(number_at, "tkhd")?;
    let mdia = need(trak.find(b"mdia")?, "mdia")?;
    let mdhd = need(mdia.find(b"mdhd")?, "mdhd")?;
    let scale_at = if mdhd.full("mdhd")?.0 == 1 { 20 } else { 12 };
    let invalid = ReadError::Invalid { what: "timescale", at: mdhd.at + scale_at };
    let timescale = Timescale::new(mdhd.u32(scale_at, "mdhd")?).ok_or(invalid)?;
    let handler = match mdia.find(b"hdlr")? {
        Some(hdlr) => hdlr.u32(8, "hdlr")?.to_be_bytes(),
        None => [0; 4],
    };
    let kind = match &handler {
        b"vide" => Some(Kind::Video),
        b"soun" => Some(Kind::Audio),
        _ => None,
    };
    let minf = need(mdia.find(b"minf")?, "minf")?;
    let stbl = need(minf.find(b"stbl")?, "stbl")?;
    let stsd = need(stbl.find(b"stsd")?, "stsd")?;
    let Some(entry) = stsd.from(8, "stsd")?.boxes().next() else { return Ok(None) };
    let (name, entry) = entry?;
    let dimensions = match kind {
        Some(Kind::Video) => {
            let both = entry.u32(24, "sample entry")?;
            (both >> 16, both & 0xffff)
        }
        _ => (0, 0),
    };
    let codec = entry::codec(name, &entry)?;
    let entry = name.escape_ascii().to_string();
    let defaults = Defaults::default();
    Ok(Some(InitTrack { number, timescale, kind, entry, codec, dimensions, defaults }))
}

/// One track's fragment (8.8.6 to 8.8.12).
fn traf(traf: &Part, tracks: &[InitTrack]) -> Result<FragmentFacts, ReadError> {
    let tfhd = traf.find(b"tfhd")?.ok_or(ReadError::Missing("tfhd"))?;
    let (_, flags) = tfhd.full("tfhd")?;
    let number = tfhd.u32(4, "tfhd")?;
    let mut defaults =
        tracks.iter().find(|t| t.number == number).map(|t| t.defaults).unwrap_or_default();
    let mut at = 8;
    if flags & 1 != 0 {
        at += 8;
    }
    if flags & 2 != 0 {
        at += 4;
    }
    for (bit, field) in
        [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)]
    {
        if flags & bit != 0 {
            *field = tfhd.u32(at, "tfhd")?;
            at += 4;
        }
    }
    let decode_time = match traf.find(b"tfdt")? {
        Some(tfdt) if tfdt.full("tfdt")?.0 == 1 => tfdt.u64(4, "tfdt")?,
        Some(tfdt) => tfdt.u32(4, "tfdt")?.into(),
        None => return Err(ReadError::Missing("tfdt")),
    };
    let mut samples = Vec::new();
    for child in traf.boxes() {
        let (name, part) = child?;
        if name == *b"trun" {
            trun(&part, defaults, &mut samples)?;
        }
    }
    Ok(FragmentFacts { number, decode_time, samples })
}

fn trun(trun: &Part, defaults: Defaults, out: &mut Vec<SampleFacts>) -> Result<(), ReadError> {
    let (_, flags) = trun.full("trun")?;
    let count = trun.u32(4, "trun")? as usize;
    if out.len() + count > SAMPLES_MAX {
        return Err(ReadError::Invalid { what: "number of samples", at: trun.at + 4 });
    }
    let mut at = 8 + if flags & 1 != 0 { 4 } else { 0 };
    let mut first = None;
    if flags & 4 != 0 {
        first = Some(trun.u32(at, "trun")?);
        at += 4;
    }
    for _ in 0..count {
        let mut field = |bit: u32, default: u32| {
            if flags & bit == 0 {
                return Ok(default);
            }
            at += 4;
            trun.u32(at - 4, "trun")
        };
        let duration = field(0x100, defaults.duration)?;
        let size = field(0x200, defaults.size)?;
        let own = field(0x400, first.take().unwrap_or(defaults.flags))?;
        // Version 0 says it is unsigned; offsets that large do not exist, negative ones do.
        let cts = field(0x800, 0)? as i32;
        out.push(SampleFacts { duration, size, cts, sync: own & NON_SYNC == 0 });
    }
    Ok(())
}

#[cfg(test)]
#[path = "read_test.rs"]
mod tests;
