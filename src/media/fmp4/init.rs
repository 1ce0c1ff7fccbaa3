//! The init section of a track: ftyp and moov with mvex (CMAF header, ISO/IEC 23000-19, 7.3).
//!
//! The MP4 box crate writes the boxes. A picture's decoder configuration goes in as the encoder
//! sent it, byte for byte: the crate would drop what it does not know of one, so that box's body is
//! put in after encoding.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::{self, AudioDetails, CONFIG_MAX, Details, VideoDetails, hevc, opus};
use crate::media::fmp4::fragment::{FLAGS_NON_SYNC, FLAGS_SYNC};
use crate::media::track::{Codec, Track};
use bytes::Bytes;
use mp4_atom::{Encode, FixedPoint};

/// Why a track has no init section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fmp4Error {
    /// The details are of no kind, or the configuration is longer than `CONFIG_MAX`.
    #[error("the track's details do not fit its configuration")]
    Details,
    /// The box crate refused a value.
    #[error("box encoding: {0}")]
    Box(String),
}

impl From<mp4_atom::Error> for Fmp4Error {
    fn from(e: mp4_atom::Error) -> Fmp4Error {
        Fmp4Error::Box(e.to_string())
    }
}

/// The only track of every file that viewers get: each rendition is one track.
pub const TRACK_NUMBER: u32 = 1;

/// A track's configuration as viewers get it.
#[derive(Debug, Clone)]
pub struct Init {
    /// What the log recorded.
    pub track: Track,
    /// What it says.
    pub details: Details,
    /// The init section.
    pub bytes: Bytes,
    /// Its name.
    pub hash: String,
}

/// A configuration that can't be made into an init section.
#[derive(Debug, Clone, thiserror::Error)]
#[error("track {track} has no usable configuration: {why}")]
pub struct InitError {
    track: TrackId,
    why: String,
}

impl Init {
    /// Makes the init section of a track.
    pub fn new(track: Track) -> Result<Init, InitError> {
        let fail = |why: String| InitError { track: track.id, why };
        let details = codec::details(&track).map_err(|e| fail(e.to_string()))?;
        let bytes = init(&track, &details, TRACK_NUMBER).map_err(|e| fail(e.to_string()))?;
        let hash = init_hash(&bytes);
        Ok(Init { track, details, bytes, hash })
    }

    /// Is this payload a picture that a decoder which starts at the key frame before it drops?
    pub fn skips(&self, payload: &[u8]) -> bool {
        let video = self.details.video.filter(|_| self.track.codec == Codec::Hevc);
        video.is_some_and(|v| hevc::is_skipped_leading(payload, v.nal_len_size))
    }

    /// The sample entry (8.5.2) in the init section, byte for byte.
    pub fn sample_entry(&self) -> Bytes {
        let path: [(&[u8; 4], usize); 6] =
            [(b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"stsd", 8)];
        let (mut from, mut end) = (0, self.bytes.len());
        for (kind, fields) in path {
            let (start, size) = find(&self.bytes, from, end, kind).expect("`init` wrote it");
            (from, end) = (start + 8 + fields, start + size);
        }
        self.bytes.slice(from..end)
    }
}

/// Writes ftyp and moov. `track_number` is the track's ID in the file, usually 1.
///
/// # Errors
/// `details` that are not those of `track`.
pub fn init(track: &Track, details: &Details, track_number: u32) -> Result<Bytes, Fmp4Error> {
    if track.config.len() > CONFIG_MAX {
        return Err(Fmp4Error::Details);
    }
    let media = match (&details.video, &details.audio) {
        (Some(v), None) => video(v, track.codec, details.mux_timescale, track_number)?,
        (None, Some(a)) => audio(a, track, details.mux_timescale, track_number)?,
        _ => return Err(Fmp4Error::Details),
    };
    let moov = mp4_atom::Moov {
        mvhd: mp4_atom::Mvhd {
            timescale: details.mux_timescale.get(),
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: track_number.saturating_add(1),
            ..Default::default()
        },
        mvex: Some(mp4_atom::Mvex {
            mehd: None,
            trex: vec![mp4_atom::Trex {
                track_id: track_number,
                default_sample_description_index: 1,
                default_sample_flags: match details.video {
                    Some(_) => FLAGS_NON_SYNC,
                    None => FLAGS_SYNC,
                },
                ..Default::default()
            }],
        }),
        trak: vec![media],
        ..Default::default()
    };
    let mut out = Vec::with_capacity(1024 + track.config.len());
    let ftyp = mp4_atom::Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: vec![b"iso6".into(), b"cmfc".into()],
    };
    ftyp.encode(&mut out)?;
    moov.encode(&mut out)?;
    match track.codec {
        Codec::H264 => replace(&mut out, [b"avc1", b"avcC"], &track.config)?,
        Codec::Hevc => replace(&mut out, [b"hvc1", b"hvcC"], &hevc::complete(&track.config))?,
        Codec::Av1 => replace(&mut out, [b"av01", b"av1C"], &track.config)?,
        Codec::Aac | Codec::Opus => {}
    }
    Ok(Bytes::from(out))
}

/// The name of an init section in URLs: 64 bits of FNV-1a over its bytes, as 16 lowercase hex
/// digits. It tells the few configurations of one channel apart and is no protection against
/// somebody who looks for collisions.
pub fn init_hash(init: &Bytes) -> String {
    let hash = init
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// The sample entry of a codec of pictures; the box of its configuration is empty.
fn picture_entry(
    codec: Codec,
    visual: mp4_atom::Visual,
    pasp: Option<mp4_atom::Pasp>,
) -> Result<mp4_atom::Codec, Fmp4Error> {
    Ok(match codec {
        Codec::H264 => {
            let avcc =
                mp4_atom::Avcc { configuration_version: 1, length_size: 4, ..Default::default() };
            mp4_atom::Avc1 { visual, avcc, pasp, ..Default::default() }.into()
        }
        Codec::Hevc => mp4_atom::Hvc1 { visual, pasp, ..Default::default() }.into(),
        Codec::Av1 => mp4_atom::Av01 { visual, pasp, ..Default::default() }.into(),
        Codec::Aac | Codec::Opus => return Err(Fmp4Error::Details),
    })
}

fn video(
    v: &VideoDetails,
    codec: Codec,
    timescale: Timescale,
    id: u32,
) -> Result<mp4_atom::Trak, Fmp4Error> {
    let (wide, high) = v.sar;
    // Both are at most 16,888, see `codec::sps`.
    let (width, height) = (v.width as u16, v.height as u16);
    let shown = u64::from(v.width) * u64::from(wide) / u64::from(high.max(1));
    let pasp = mp4_atom::Pasp { h_spacing: wide.into(), v_spacing: high.into() };
    let visual = mp4_atom::Visual { data_reference_index: 1, width, height, ..Default::default() };
    let entry = picture_entry(codec, visual, (wide != high).then_some(pasp))?;
    let minf = mp4_atom::Minf {
        vmhd: Some(mp4_atom::Vmhd::default()),
        dinf: dinf(),
        stbl: stbl(entry),
        ..Default::default()
    };
    let tkhd = mp4_atom::Tkhd {
        width: u16::try_from(shown).unwrap_or(u16::MAX).into(),
        height: height.into(),
        ..tkhd(id)
    };
    let mdia = mdia(timescale, b"vide", "video", minf);
    Ok(mp4_atom::Trak { tkhd, mdia, ..Default::default() })
}

fn audio(
    a: &AudioDetails,
    track: &Track,
    timescale: Timescale,
    id: u32,
) -> Result<mp4_atom::Trak, Fmp4Error> {
    let audio = mp4_atom::Audio {
        data_reference_index: 1,
        channel_count: a.channels.into(),
        sample_size: 16,
        // 16.16 bits: higher rates stand in the configuration alone.
        sample_rate: u16::try_from(a.sample_rate).unwrap_or(0).into(),
    };
    let entry = match track.codec {
        Codec::Aac => aac_entry(audio, &track.config),
        Codec::Opus => opus_entry(audio, &track.config)?,
        Codec::H264 | Codec::Hevc | Codec::Av1 => return Err(Fmp4Error::Details),
    };
    let minf = mp4_atom::Minf {
        smhd: Some(mp4_atom::Smhd::default()),
        dinf: dinf(),
        stbl: stbl(entry),
        ..Default::default()
    };
    let tkhd = mp4_atom::Tkhd { volume: FixedPoint::from(1), ..tkhd(id) };
    let mdia = mdia(timescale, b"soun", "audio", minf);
    Ok(mp4_atom::Trak { tkhd, mdia, ..Default::default() })
}

fn aac_entry(audio: mp4_atom::Audio, asc: &[u8]) -> mp4_atom::Codec {
    let specific = mp4_atom::esds::DecoderSpecific { raw: asc.to_vec(), ..Default::default() };
    let dec_config = mp4_atom::esds::DecoderConfig {
        object_type_indication: 0x40, // MPEG-4 audio
        stream_type: 5,
        dec_specific: Some(specific),
        ..Default::default()
    };
    let es_desc = mp4_atom::esds::EsDescriptor { dec_config, ..Default::default() };
    let esds = mp4_atom::Esds { es_desc };
    mp4_atom::Mp4a { audio, esds, btrt: None, taic: None }.into()
}

/// The OpusHead as `dOps`: the same fields, big-endian (Encapsulation of Opus in ISOBMFF, 4.3.2).
fn opus_entry(audio: mp4_atom::Audio, head: &[u8]) -> Result<mp4_atom::Codec, Fmp4Error> {
    let head = opus::Head::parse(head).map_err(|_| Fmp4Error::Details)?;
    let mapping = |m: opus::Mapping<'_>| mp4_atom::OpusChannelMapping {
        family: m.family,
        stream_count: m.streams,
        coupled_count: m.coupled,
        channel_mapping: m.channels.to_vec(),
    };
    let dops = mp4_atom::Dops {
        output_channel_count: head.channels,
        pre_skip: head.pre_skip,
        input_sample_rate: head.input_rate,
        output_gain: head.gain,
        channel_mapping: head.mapping.map(mapping),
    };
    Ok(mp4_atom::Opus { audio, dops, btrt: None }.into())
}

pub(super) fn tkhd(id: u32) -> mp4_atom::Tkhd {
    mp4_atom::Tkhd { track_id: id, enabled: true, in_movie: true, ..Default::default() }
}

fn mdia(
    timescale: Timescale,
    handler: &[u8; 4],
    name: &str,
    minf: mp4_atom::Minf,
) -> mp4_atom::Mdia {
    mp4_atom::Mdia {
        mdhd: mp4_atom::Mdhd {
            timescale: timescale.get(),
            language: "und".into(),
            ..Default::default()
        },
        hdlr: mp4_atom::Hdlr { handler: handler.into(), name: name.into() },
        minf,
    }
}

/// The data is in this file.
pub(super) fn dinf() -> mp4_atom::Dinf {
    let url = mp4_atom::DrefEntry::Url(mp4_atom::Url::default());
    mp4_atom::Dinf { dref: mp4_atom::Dref { entries: vec![url] } }
}

/// No samples: they are in the fragments.
fn stbl(entry: mp4_atom::Codec) -> mp4_atom::Stbl {
    mp4_atom::Stbl {
        stsd: mp4_atom::Stsd { codecs: vec![entry] },
        stco: Some(mp4_atom::Stco::default()),
        ..Default::default()
    }
}

/// Puts `config` in place of the body of the only box `kind` in the only sample entry `entry`, and
/// corrects the sizes of the boxes around.
fn replace(
    out: &mut Vec<u8>,
    [entry, kind]: [&[u8; 4]; 2],
    config: &[u8],
) -> Result<(), Fmp4Error> {
    // Each with the bytes between its header and its first child.
    let path: [(&[u8; 4], usize); 8] = [
        (b"moov", 0),
        (b"trak", 0),
        (b"mdia", 0),
        (b"minf", 0),
        (b"stbl", 0),
        (b"stsd", 8),
        (entry, 78),
        (kind, 0),
    ];
    let missing = || Fmp4Error::Box("no configuration in the encoded moov".into());
    let mut starts = Vec::with_capacity(path.len());
    let (mut from, mut end) = (0, out.len());
    for (kind, fields) in path {
        let (start, size) = find(out, from, end, kind).ok_or_else(missing)?;
        starts.push((start, size));
        (from, end) = (start + 8 + fields, start + size);
    }
    let old = end - from;
    for (start, size) in starts {
        // Sizes stay far below 4 GiB: a moov of one track without samples.
        let size = (size - old + config.len()) as u32;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }
    out.splice(from..end, config.iter().copied());
    Ok(())
}

/// The first box of a kind among those in `out[from..end]`: start and size.
fn find(out: &[u8], mut from: usize, end: usize, kind: &[u8; 4]) -> Option<(usize, usize)> {
    while let Some(head) = out.get(from..from + 8).filter(|_| from < end) {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if &head[4..] == kind && size >= 8 && from + size <= end {
            return Some((from, size));
        }
        from += size.max(8);
    }
    None
}
