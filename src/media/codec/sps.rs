//! The few fields of an H.264 sequence parameter set (ISO/IEC 14496-10, 7.3.2.1.1 and E.1.1) that
//! a muxer and a playlist need.
//!
//! Read here and not with a parser crate, because encoders in the field write sets with a broken
//! or padded tail that every player accepts: what comes after the timing is never read, and a VUI
//! that breaks off only loses the fields that are missing. The tests hold the result against the
//! h264-reader crate.

use crate::media::codec::bits::Bits;
use crate::media::codec::{CodecError, VideoRange};
use crate::media::track::FrameRate;

/// Bytes of a set that are read. Scaling lists included, no field wanted here lies further back.
pub(super) const READ_MAX: usize = 4096;

/// Largest width or height in samples: level 6.2 ends at 16,888, and an avc1 box at 65,535.
pub(super) const DIMENSION_MAX: u32 = 16_888;

/// Frame rates that can be meant, in frames per second. Encoders with a variable rate put their
/// clock (1000 and more) into the timing fields; that is no frame rate.
const RATE_SANE: std::ops::RangeInclusive<f64> = 1.0..=240.0;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Width after cropping, in samples.
    pub width: u32,
    /// Height after cropping, in samples.
    pub height: u32,
    /// Sample aspect ratio; (1, 1) when it is not declared.
    pub sar: (u16, u16),
    /// Frames per second of the VUI timing: `time_scale / (2 * num_units_in_tick)`, if 1 to 240.
    pub rate: Option<FrameRate>,
    /// `fixed_frame_rate_flag`, for a rate that is there.
    pub fixed_rate: bool,
    /// What the transfer characteristics say; standard where they are not declared.
    pub range: VideoRange,
}

/// Reads a sequence parameter set NAL unit, header byte included.
///
/// # Errors
/// With the byte offset in the set without emulation prevention bytes: a set that ends before its
/// VUI flag, or values outside of the standard's ranges.
pub fn parse(nal: &[u8]) -> Result<Sps, CodecError> {
    let rbsp = unescape(&nal[..nal.len().min(READ_MAX)]);
    let mut b = Bits::new(&rbsp);
    b.skip(8, "NAL header")?;
    let profile = b.u(8, "profile_idc")?;
    b.skip(16, "constraint flags and level_idc")?;
    b.ue("seq_parameter_set_id")?;
    let chroma = if HAS_CHROMA.contains(&profile) { chroma(&mut b)? } else { 1 };
    b.ue("log2_max_frame_num_minus4")?;
    picture_order(&mut b)?;
    b.ue("max_num_ref_frames")?;
    b.flag("gaps_in_frame_num_value_allowed_flag")?;
    let at = b.byte();
    let mbs_wide = b.ue("pic_width_in_mbs_minus1")?;
    let map_units_high = b.ue("pic_height_in_map_units_minus1")?;
    let frames_only = b.flag("frame_mbs_only_flag")?;
    if !frames_only {
        b.flag("mb_adaptive_frame_field_flag")?;
    }
    b.flag("direct_8x8_inference_flag")?;
    let fields = if frames_only { 1 } else { 2 };
    let size = |mbs: u32, scale: u64| (u64::from(mbs) + 1) * 16 * scale;
    let (mut width, mut height) = (size(mbs_wide, 1), size(map_units_high, fields));
    if b.flag("frame_cropping_flag")? {
        // Units of table 6-1: chroma samples where there are any.
        let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 } * fields;
        let mut edges = || Ok(u64::from(b.ue("frame_crop")?) + u64::from(b.ue("frame_crop")?));
        width = width.saturating_sub(edges()? * unit_x);
        height = height.saturating_sub(edges()? * unit_y);
    }
    let (width, height) = size_of(width, height, at)?;
    let (sar, range) = ((1, 1), VideoRange::Sdr);
    let mut sps = Sps { width, height, sar, rate: None, fixed_rate: false, range };
    if b.flag("vui_parameters_present_flag")? {
        // A VUI that breaks off says nothing about the pictures: keep what was read.
        let _ = vui(&mut b, &mut sps);
    }
    Ok(sps)
}

/// A picture size that is within [`DIMENSION_MAX`]; `at` is where it stands.
pub(super) fn size_of(width: u64, height: u64, at: usize) -> Result<(u32, u32), CodecError> {
    let fits = |n: u64| u32::try_from(n).ok().filter(|n| (1..=DIMENSION_MAX).contains(n));
    let bad = CodecError::Invalid { what: "picture size", at };
    fits(width).zip(fits(height)).ok_or(bad)
}

/// Profiles whose sets carry the chroma format.
const HAS_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Returns ChromaArrayType: 0 for monochrome and separate planes, else 1 4:2:0, 2 4:2:2, 3 4:4:4.
fn chroma(b: &mut Bits<'_>) -> Result<u32, CodecError> {
    let at = b.byte();
    let idc = b.ue("chroma_format_idc")?;
    if idc > 3 {
        return Err(CodecError::Invalid { what: "chroma_format_idc", at });
    }
    let separate = idc == 3 && b.flag("separate_colour_plane_flag")?;
    b.ue("bit_depth_luma_minus8")?;
    b.ue("bit_depth_chroma_minus8")?;
    b.flag("qpprime_y_zero_transform_bypass_flag")?;
    if b.flag("seq_scaling_matrix_present_flag")? {
        for list in 0..if idc == 3 { 12 } else { 8 } {
            if b.flag("seq_scaling_list_present_flag")? {
                scaling_list(b, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(if separate { 0 } else { idc })
}

/// Skips a scaling list (7.3.2.1.1.1): deltas, until one makes the next scale zero.
fn scaling_list(b: &mut Bits<'_>, size: usize) -> Result<(), CodecError> {
    let mut last = 8i64;
    for _ in 0..size {
        last = (last + b.se("delta_scale")?).rem_euclid(256);
        if last == 0 {
            break;
        }
    }
    Ok(())
}

/// Skips the picture order count fields.
fn picture_order(b: &mut Bits<'_>) -> Result<(), CodecError> {
    let at = b.byte();
    match b.ue("pic_order_cnt_type")? {
        0 => {
            b.ue("log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => {
            b.flag("delta_pic_order_always_zero_flag")?;
            b.se("offset_for_non_ref_pic")?;
            b.se("offset_for_top_to_bottom_field")?;
            let at = b.byte();
            let cycle = b.ue("num_ref_frames_in_pic_order_cnt_cycle")?;
            if cycle > 255 {
                return Err(CodecError::Invalid { what: "num_ref_frames_in_poc_cycle", at });
            }
            for _ in 0..cycle {
                b.se("offset_for_ref_frame")?;
            }
        }
        2 => {}
        _ => return Err(CodecError::Invalid { what: "pic_order_cnt_type", at }),
    }
    Ok(())
}

/// Sample aspect ratios of table E-1, by aspect_ratio_idc.
const SAR: [(u16, u16); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// What the VUI of H.264 and that of HEVC begin with, up to the chroma location: the sample aspect
/// ratio and the transfer characteristics' range, as far as they are there.
pub(super) fn vui_head(
    b: &mut Bits<'_>,
    sar: &mut (u16, u16),
    range: &mut VideoRange,
) -> Result<(), CodecError> {
    if b.flag("aspect_ratio_info_present_flag")? {
        let found = match b.u(8, "aspect_ratio_idc")? {
            255 => (b.u(16, "sar_width")? as u16, b.u(16, "sar_height")? as u16),
            idc => SAR.get(idc as usize).copied().unwrap_or((1, 1)),
        };
        // A zero in either means unspecified (E.2.1).
        *sar = if found.0 == 0 || found.1 == 0 { (1, 1) } else { found };
    }
    if b.flag("overscan_info_present_flag")? {
        b.flag("overscan_appropriate_flag")?;
    }
    if b.flag("video_signal_type_present_flag")? {
        b.skip(4, "video_format")?;
        if b.flag("colour_description_present_flag")? {
            b.skip(8, "colour_primaries")?;
            *range = VideoRange::of_transfer(b.u(8, "transfer_characteristics")?);
            b.skip(8, "matrix_coefficients")?;
        }
    }
    if b.flag("chroma_loc_info_present_flag")? {
        b.ue("chroma_sample_loc_type_top_field")?;
        b.ue("chroma_sample_loc_type_bottom_field")?;
    }
    Ok(())
}

/// Reads the VUI up to its timing.
fn vui(b: &mut Bits<'_>, sps: &mut Sps) -> Result<(), CodecError> {
    vui_head(b, &mut sps.sar, &mut sps.range)?;
    if b.flag("timing_info_present_flag")? {
        let units = b.u(32, "num_units_in_tick")?;
        let scale = b.u(32, "time_scale")?;
        let fixed = b.flag("fixed_frame_rate_flag")?;
        // A frame is two ticks (E.2.1), so 50 and 1 are 25 frames per second.
        sps.rate = rate(scale.into(), 2 * u64::from(units));
        sps.fixed_rate = fixed && sps.rate.is_some();
    }
    Ok(())
}

/// A frame rate that is sane, in lowest terms.
pub(super) fn rate(mut num: u64, mut den: u64) -> Option<FrameRate> {
    let (mut a, mut b) = (num, den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    num /= a.max(1);
    den /= a.max(1);
    let rate = FrameRate::new(u32::try_from(num).ok()?, u32::try_from(den).ok()?)?;
    RATE_SANE.contains(&rate.as_f64()).then_some(rate)
}

/// Removes emulation prevention bytes: 00 00 03 becomes 00 00 (7.4.1).
pub(super) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
