//! The head of a movie file (ISO/IEC 14496-12): ftyp, moov and the header of the one mdat that
//! follows; or, for a fragmented file, ftyp and a moov without samples. What the samples are and
//! where they lie is the caller's; no media byte passes here.
//!
//! The MP4 box crate writes every box that holds values; the boxes around them are written here,
//! because sample entries go in byte for byte as viewers get them.

use crate::base::time::Timescale;
use crate::media::fmp4::fragment::{FLAGS_NON_SYNC, FLAGS_SYNC};
use crate::media::fmp4::init::{Fmp4Error, dinf, tkhd};
use crate::media::track::Kind;
use bytes::Bytes;
use mp4_atom::Encode;

/// From 1904-01-01, which MP4 counts from, to 1970-01-01, in seconds.
const EPOCH_1904: i64 = 2_082_844_800;

/// One sample, in decoding order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovieSample {
    /// Until the next one's decode time, in ticks.
    pub duration: u32,
    /// PTS less DTS, in ticks; may be negative.
    pub cts: i32,
    /// Bytes.
    pub size: u32,
    /// A decoder can start here.
    pub key: bool,
}

/// A run of samples of one track that lie one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovieChunk {
    /// Where, counted from the first byte of media.
    pub offset: u64,
    /// How many; not zero.
    pub samples: u32,
    /// Which of the track's sample entries, from 1.
    pub description: u32,
}

/// A piece of a track's presentation (8.6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Media time at which it starts, in ticks of the track, the first sample's DTS being 0;
    /// `None`: nothing is presented.
    pub media: Option<u64>,
    /// Ticks of the movie.
    pub duration: u64,
}

/// One track.
#[derive(Debug, Clone)]
pub struct MovieTrack {
    /// Its ID, from 1.
    pub number: u32,
    /// Audio or video.
    pub kind: Kind,
    /// Unit of its samples' times.
    pub timescale: Timescale,
    /// Its sample entries, whole boxes; at least one.
    pub entries: Vec<Bytes>,
    /// Width and height to be shown at, in pixels; zero for audio.
    pub shown: (u16, u16),
    /// In order; none presents the whole track from its first sample's DTS on.
    pub edits: Vec<Edit>,
    /// All samples; empty in a fragmented file.
    pub samples: Vec<MovieSample>,
    /// All chunks, in order.
    pub chunks: Vec<MovieChunk>,
}

/// A movie.
#[derive(Debug, Clone)]
pub struct Movie {
    /// Unit of presentation times.
    pub timescale: Timescale,
    /// When it was recorded: seconds since 1970.
    pub recorded: i64,
    /// Video first.
    pub tracks: Vec<MovieTrack>,
}

/// How the samples follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In one mdat, whose first byte of media is at this offset of the file.
    Plain { media_at: u64, wide: bool },
    /// In fragments.
    Fragmented,
}

/// ftyp, moov and the header of an mdat of `media` bytes: what comes before the media of a file
/// that plays while it is still being fetched.
///
/// # Errors
/// The box crate refuses a value.
pub fn head(movie: &Movie, media: u64) -> Result<Bytes, Fmp4Error> {
    let mut out = Vec::new();
    ftyp(&mut out, b"isom", &brands(movie))?;
    let begin = out.len();
    // Offsets have a fixed width, so the moov is as long with any others in it. 2 GiB are left for
    // what is not media.
    let wide = media > u64::from(u32::MAX / 2);
    moov(&mut out, movie, Form::Plain { media_at: 0, wide })?;
    let header = if media + 8 > u64::from(u32::MAX) { 16 } else { 8 };
    let media_at = out.len() as u64 + header;
    out.truncate(begin);
    moov(&mut out, movie, Form::Plain { media_at, wide })?;
    if header == 8 {
        out.extend_from_slice(&(media as u32 + 8).to_be_bytes());
        out.extend_from_slice(b"mdat");
    } else {
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(b"mdat");
        out.extend_from_slice(&(media + 16).to_be_bytes());
    }
    Ok(Bytes::from(out))
}

/// ftyp and moov of a fragmented file.
///
/// # Errors
/// The box crate refuses a value.
pub fn fragmented_head(movie: &Movie) -> Result<Bytes, Fmp4Error> {
    let mut out = Vec::new();
    ftyp(&mut out, b"isom", &[b"isom", b"iso6", b"mp41"])?;
    moov(&mut out, movie, Form::Fragmented)?;
    Ok(Bytes::from(out))
}

/// What a plain file conforms to, which depends on its pictures.
fn brands(movie: &Movie) -> Vec<&'static [u8; 4]> {
    let entries = movie.tracks.iter().flat_map(|t| &t.entries);
    let has = |name: &[u8]| entries.clone().any(|e| e.get(4..8) == Some(name));
    match (has(b"av01"), has(b"hvc1") || has(b"hev1")) {
        (true, _) => vec![b"isom", b"iso4", b"av01", b"mp41"],
        (_, true) => vec![b"isom", b"iso4", b"mp41"],
        _ => vec![b"isom", b"iso4", b"avc1", b"mp41"],
    }
}

fn ftyp(out: &mut Vec<u8>, major: &[u8; 4], brands: &[&[u8; 4]]) -> Result<(), Fmp4Error> {
    let compatible_brands = brands.iter().map(|b| (*b).into()).collect();
    let ftyp = mp4_atom::Ftyp { major_brand: major.into(), minor_version: 0, compatible_brands };
    Ok(ftyp.encode(out)?)
}

/// A box around what `body` writes.
fn within(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), Fmp4Error>,
) -> Result<(), Fmp4Error> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out)?;
    let too_long = |_| Fmp4Error::Box("the index of the movie is longer than 4 GiB".into());
    let size = u32::try_from(out.len() - at).map_err(too_long)?;
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// The presentation's length in ticks of the movie.
fn duration(track: &MovieTrack) -> u64 {
    track.edits.iter().map(|e| e.duration).sum()
}

fn moov(out: &mut Vec<u8>, movie: &Movie, form: Form) -> Result<(), Fmp4Error> {
    let creation_time = u64::try_from(movie.recorded.saturating_add(EPOCH_1904)).unwrap_or(0);
    let longest = movie.tracks.iter().map(duration).max().unwrap_or(0);
    let next = movie.tracks.iter().map(|t| t.number).max().unwrap_or(0).saturating_add(1);
    within(out, b"moov", |out| {
        let mvhd = mp4_atom::Mvhd {
            creation_time,
            modification_time: creation_time,
            timescale: movie.timescale.get(),
            duration: if form == Form::Fragmented { 0 } else { longest },
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: next,
            ..Default::default()
        };
        mvhd.encode(out)?;
        for track in &movie.tracks {
            trak(out, track, creation_time, form)?;
        }
        if form != Form::Fragmented {
            return Ok(());
        }
        within(out, b"mvex", |out| {
            mp4_atom::Mehd { fragment_duration: longest }.encode(out)?;
            for t in &movie.tracks {
                let flags = if t.kind == Kind::Video { FLAGS_NON_SYNC } else { FLAGS_SYNC };
                let trex = mp4_atom::Trex {
                    track_id: t.number,
                    default_sample_description_index: 1,
                    default_sample_flags: flags,
                    ..Default::default()
                };
                trex.encode(out)?;
            }
            Ok(())
        })
    })
}

fn trak(out: &mut Vec<u8>, t: &MovieTrack, created: u64, form: Form) -> Result<(), Fmp4Error> {
    let fragmented = form == Form::Fragmented;
    let video = t.kind == Kind::Video;
    within(out, b"trak", |out| {
        let tkhd = mp4_atom::Tkhd {
            creation_time: created,
            modification_time: created,
            duration: if fragmented { 0 } else { duration(t) },
            volume: if video { 0.into() } else { 1.into() },
            width: t.shown.0.into(),
            height: t.shown.1.into(),
            ..tkhd(t.number)
        };
        tkhd.encode(out)?;
        if !t.edits.is_empty() {
            within(out, b"edts", |out| Ok(elst(t).encode(out)?))?;
        }
        within(out, b"mdia", |out| {
            let ticks: u64 = t.samples.iter().map(|s| u64::from(s.duration)).sum();
            let mdhd = mp4_atom::Mdhd {
                creation_time: created,
                modification_time: created,
                timescale: t.timescale.get(),
                duration: ticks,
                language: "und".into(),
            };
            mdhd.encode(out)?;
            let (handler, name) = if video { (b"vide", "video") } else { (b"soun", "audio") };
            mp4_atom::Hdlr { handler: handler.into(), name: name.into() }.encode(out)?;
            within(out, b"minf", |out| {
                match video {
                    true => mp4_atom::Vmhd::default().encode(out)?,
                    false => mp4_atom::Smhd::default().encode(out)?,
                }
                dinf().encode(out)?;
                within(out, b"stbl", |out| stbl(out, t, form))
            })
        })
    })
}

fn elst(t: &MovieTrack) -> mp4_atom::Elst {
    let entry = |e: &Edit| mp4_atom::ElstEntry {
        segment_duration: e.duration,
        media_time: e.media,
        media_rate: 1.into(),
    };
    mp4_atom::Elst { entries: t.edits.iter().map(entry).collect() }
}

/// The sample tables (8.5 to 8.7).
fn stbl(out: &mut Vec<u8>, t: &MovieTrack, form: Form) -> Result<(), Fmp4Error> {
    within(out, b"stsd", |out| {
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(t.entries.len() as u32).to_be_bytes());
        t.entries.iter().for_each(|e| out.extend_from_slice(e));
        Ok(())
    })?;
    let runs = runs(t.samples.iter().map(|s| s.duration));
    let entry = |(sample_count, sample_delta)| mp4_atom::SttsEntry { sample_count, sample_delta };
    mp4_atom::Stts { entries: runs.into_iter().map(entry).collect() }.encode(out)?;
    if t.samples.iter().any(|s| s.cts != 0) {
        let entry = |(sample_count, cts): (u32, i32)| mp4_atom::CttsEntry {
            sample_count,
            sample_offset: cts.into(),
        };
        let entries = self::runs(t.samples.iter().map(|s| s.cts)).into_iter().map(entry).collect();
        mp4_atom::Ctts { entries }.encode(out)?;
    }
    if t.samples.iter().any(|s| !s.key) {
        let keys = (1u32..).zip(&t.samples).filter(|(_, s)| s.key).map(|(n, _)| n);
        mp4_atom::Stss { entries: keys.collect() }.encode(out)?;
    }
    stsc(t).encode(out)?;
    let sizes = t.samples.iter().map(|s| s.size).collect();
    mp4_atom::Stsz { samples: mp4_atom::StszSamples::Different { sizes } }.encode(out)?;
    let (at, wide) = match form {
        Form::Plain { media_at, wide } => (media_at, wide),
        Form::Fragmented => (0, false),
    };
    let offsets = t.chunks.iter().map(|c| at.saturating_add(c.offset));
    match wide {
        true => mp4_atom::Co64 { entries: offsets.collect() }.encode(out)?,
        false => mp4_atom::Stco { entries: offsets.map(|o| o as u32).collect() }.encode(out)?,
    }
    Ok(())
}

/// Which chunks have how many samples, said where it changes (8.7.4).
fn stsc(t: &MovieTrack) -> mp4_atom::Stsc {
    let mut entries: Vec<mp4_atom::StscEntry> = Vec::new();
    for (first_chunk, c) in (1u32..).zip(&t.chunks) {
        let same = entries.last().is_some_and(|e| {
            (e.samples_per_chunk, e.sample_description_index) == (c.samples, c.description)
        });
        if !same {
            entries.push(mp4_atom::StscEntry {
                first_chunk,
                samples_per_chunk: c.samples,
                sample_description_index: c.description,
            });
        }
    }
    mp4_atom::Stsc { entries }
}

/// Equal neighbours counted.
fn runs<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<(u32, T)> {
    let mut runs: Vec<(u32, T)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((n, last)) if *last == value => *n += 1,
            _ => runs.push((1, value)),
        }
    }
    runs
}

#[cfg(test)]
#[path = "movie_test.rs"]
mod tests;
