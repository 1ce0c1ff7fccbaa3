//! The AudioSpecificConfig of MPEG-4 AAC (ISO/IEC 14496-3, 1.6.2.1): object type, sample rate and
//! channels, with all its escapes. Frames themselves are never looked into.

use crate::media::codec::bits::Bits;
use crate::media::codec::{AudioDetails, CodecError, FrameLength};

/// Low complexity.
const LC: u8 = 2;
/// Spectral band replication: HE-AAC.
const SBR: u8 = 5;
/// Parametric stereo: HE-AAC v2.
const PS: u8 = 29;

/// Sampling frequencies by samplingFrequencyIndex (table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Highest sample rate that is believed, in Hz: twice what the table has. The field has 24 bits.
pub(super) const RATE_MAX: u32 = 192_000;

/// Reads an AudioSpecificConfig.
///
/// # Errors
/// With the byte offset: a record that ends too early, reserved indices, no channels, a sample rate
/// of zero or above 192 kHz; [`CodecError::Unsupported`] for object types other than AAC Main, LC,
/// SSR, LTP and HE-AAC over them.
pub fn parse(data: &[u8]) -> Result<AudioDetails, CodecError> {
    let mut b = Bits::new(data);
    let mut kind = object_type(&mut b)?;
    let sample_rate = rate(&mut b)?;
    let at = b.byte();
    let config = b.u(4, "channelConfiguration")?;
    let (mut output_rate, mut extension) = (sample_rate, LC);
    if kind == SBR || kind == PS {
        extension = kind;
        output_rate = rate(&mut b)?;
        kind = object_type(&mut b)?;
    }
    if !(1..=4).contains(&kind) {
        return Err(CodecError::Unsupported { what: format!("AAC object type {kind}") });
    }
    let short = b.flag("frameLengthFlag")?;
    if b.flag("dependsOnCoreCoder")? {
        b.skip(14, "coreCoderDelay")?;
    }
    b.flag("extensionFlag")?;
    let mut channels = match config {
        0 => program_config(&mut b)?,
        1..=6 => config as u8,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => return Err(CodecError::Invalid { what: "channelConfiguration", at }),
    };
    if extension == LC
        && let Ok(Some((kind, rate))) = sync_extension(&mut b, sample_rate)
    {
        (extension, output_rate) = (kind, rate);
    }
    if extension == PS && channels == 1 {
        channels = 2;
    }
    let object_type = if extension == LC { kind } else { extension };
    let frame = FrameLength::Fixed(if short { 960 } else { 1024 });
    Ok(AudioDetails { sample_rate, output_rate, channels, frame, object_type })
}

/// audioObjectType: 5 bits, 31 escapes to 6 more (table 1.16).
fn object_type(b: &mut Bits<'_>) -> Result<u8, CodecError> {
    let kind = b.u(5, "audioObjectType")?;
    let kind = if kind == 31 { 32 + b.u(6, "audioObjectTypeExt")? } else { kind };
    Ok(kind as u8)
}

/// samplingFrequencyIndex: a table's index, 15 escapes to 24 bits of Hz.
fn rate(b: &mut Bits<'_>) -> Result<u32, CodecError> {
    let at = b.byte();
    let what = "samplingFrequency";
    let rate = match b.u(4, what)? {
        15 => b.u(24, what)?,
        index => RATES.get(index as usize).copied().unwrap_or(0),
    };
    if (1..=RATE_MAX).contains(&rate) { Ok(rate) } else { Err(CodecError::Invalid { what, at }) }
}

/// program_config_element (4.5.1.1): counts the channels of its elements and skips the rest.
fn program_config(b: &mut Bits<'_>) -> Result<u8, CodecError> {
    let at = b.byte();
    b.skip(10, "program_config_element")?;
    let mut count = |n: usize| Ok(b.u(n, "program_config_element")? as usize);
    let (front, side, back) = (count(4)?, count(4)?, count(4)?);
    let (lfe, data, coupling) = (count(2)?, count(3)?, count(4)?);
    for bits in [4, 4, 3] {
        // mono_mixdown, stereo_mixdown, matrix_mixdown
        if b.flag("mixdown_present")? {
            b.skip(bits, "mixdown")?;
        }
    }
    let mut channels = lfe;
    for _ in 0..front + side + back {
        channels += if b.flag("element_is_cpe")? { 2 } else { 1 };
        b.skip(4, "element_tag_select")?;
    }
    b.skip(4 * (lfe + data) + 5 * coupling, "element_tag_select")?;
    b.align();
    let comment = b.u(8, "comment_field_bytes")? as usize;
    b.skip(8 * comment, "comment_field")?;
    // At most 45 elements of two channels and 3 LFE channels, so a u8 holds it.
    u8::try_from(channels)
        .ok()
        .filter(|n| *n > 0)
        .ok_or(CodecError::Invalid { what: "program_config_element", at })
}

/// Backward compatible signalling of HE-AAC at the record's end (1.6.5.2): 0x2b7, object type 5,
/// the output rate, and 0x548 with a flag for parametric stereo. Returns the object type and rate.
fn sync_extension(b: &mut Bits<'_>, core: u32) -> Result<Option<(u8, u32)>, CodecError> {
    let what = "syncExtensionType";
    if b.left() < 16 || b.u(11, what)? != 0x2b7 || object_type(b)? != SBR || !b.flag(what)? {
        return Ok(None);
    }
    let rate = rate(b)?;
    let ps = b.left() >= 12 && b.u(11, what)? == 0x548 && b.flag(what)?;
    // Some encoders write the core rate here and mean downsampled SBR; the string stays right.
    Ok(Some((if ps { PS } else { SBR }, rate.max(core))))
}
