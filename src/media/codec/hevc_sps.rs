//! The few fields of an HEVC sequence parameter set (ISO/IEC 23008-2, 7.3.2.2 and E.2.1) that a
//! muxer and a playlist need. Read here for the reasons that `sps` gives; the tests hold the result
//! against the scuffle-h265 crate.

use crate::media::codec::bits::Bits;
use crate::media::codec::sps::{READ_MAX, rate, size_of, unescape, vui_head};
use crate::media::codec::{CodecError, VideoRange};
use crate::media::track::FrameRate;

/// Most short-term reference picture sets (7.4.3.2.1).
pub(super) const SHORT_TERM_SETS_MAX: u32 = 64;

/// Most long-term reference pictures of a sequence (7.4.3.2.1).
pub(super) const LONG_TERM_MAX: u32 = 32;

/// Most pictures of a reference picture set: the decoded picture buffer holds 16 (7.4.8).
pub(super) const SET_PICTURES_MAX: u32 = 16;

/// profile_tier_level (7.3.3), as the codec string wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// `general_profile_space`, 0 to 3.
    pub space: u8,
    /// `general_tier_flag`: the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub idc: u8,
    /// `general_profile_compatibility_flags`, flag 0 first.
    pub compatibility: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// Profile, tier and level.
    pub profile: Profile,
    /// `sps_max_sub_layers_minus1 + 1`.
    pub layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub nested: bool,
    /// `chroma_format_idc`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma: u8,
    /// Bits of a luma sample.
    pub luma_bits: u8,
    /// Bits of a chroma sample.
    pub chroma_bits: u8,
    /// Width after cropping, in samples.
    pub width: u32,
    /// Height after cropping, in samples.
    pub height: u32,
    /// Sample aspect ratio; (1, 1) when it is not declared.
    pub sar: (u16, u16),
    /// Frames per second of the VUI timing: `vui_time_scale / vui_num_units_in_tick`, if 1 to 240.
    pub rate: Option<FrameRate>,
    /// What the transfer characteristics say.
    pub range: VideoRange,
}

/// Reads a sequence parameter set NAL unit, header included.
///
/// # Errors
/// With the byte offset in the set without emulation prevention bytes: a set that ends before its
/// bit depths, or values outside of the standard's ranges.
pub fn parse(nal: &[u8]) -> Result<Sps, CodecError> {
    let rbsp = unescape(&nal[..nal.len().min(READ_MAX)]);
    let mut b = Bits::new(&rbsp);
    b.skip(16 + 4, "NAL header and sps_video_parameter_set_id")?;
    let at = b.byte();
    let layers = b.u(3, "sps_max_sub_layers_minus1")? as u8 + 1;
    if layers > 7 {
        return Err(CodecError::Invalid { what: "sps_max_sub_layers_minus1", at });
    }
    let nested = b.flag("sps_temporal_id_nesting_flag")?;
    let profile = profile(&mut b, layers)?;
    b.ue("sps_seq_parameter_set_id")?;
    let at = b.byte();
    let chroma = b.ue("chroma_format_idc")?;
    if chroma > 3 {
        return Err(CodecError::Invalid { what: "chroma_format_idc", at });
    }
    let separate = chroma == 3 && b.flag("separate_colour_plane_flag")?;
    let at = b.byte();
    let mut width = u64::from(b.ue("pic_width_in_luma_samples")?);
    let mut height = u64::from(b.ue("pic_height_in_luma_samples")?);
    if b.flag("conformance_window_flag")? {
        // Units of table 6-1; planes of their own are as monochrome.
        let chroma = if separate { 0 } else { chroma };
        let unit_x = if chroma == 1 || chroma == 2 { 2 } else { 1 };
        let unit_y = if chroma == 1 { 2 } else { 1 };
        let mut edges = || Ok(u64::from(b.ue("conf_win")?) + u64::from(b.ue("conf_win")?));
        width = width.saturating_sub(edges()? * unit_x);
        height = height.saturating_sub(edges()? * unit_y);
    }
    let (width, height) = size_of(width, height, at)?;
    let mut depth = |what| {
        let at = b.byte();
        let bits = 8 + b.ue(what)?;
        u8::try_from(bits).ok().filter(|n| *n <= 16).ok_or(CodecError::Invalid { what, at })
    };
    let (luma_bits, chroma_bits) = (depth("bit_depth_luma")?, depth("bit_depth_chroma")?);
    let (chroma, sar, range) = (chroma as u8, (1, 1), VideoRange::Sdr);
    let mut sps = Sps {
        profile,
        layers,
        nested,
        chroma,
        luma_bits,
        chroma_bits,
        width,
        height,
        sar,
        rate: None,
        range,
    };
    // What breaks off behind the pictures' size says nothing about it: keep what was read.
    let _ = tail(&mut b, &mut sps);
    Ok(sps)
}

/// profile_tier_level with `profilePresentFlag`, sub-layers skipped.
fn profile(b: &mut Bits<'_>, layers: u8) -> Result<Profile, CodecError> {
    const WHAT: &str = "profile_tier_level";
    let space = b.u(2, WHAT)? as u8;
    let high_tier = b.flag(WHAT)?;
    let idc = b.u(5, WHAT)? as u8;
    let compatibility = b.u(32, WHAT)?;
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = b.u(8, WHAT)? as u8;
    }
    let level = b.u(8, WHAT)? as u8;
    let mut present = [(false, false); 7];
    let below = usize::from(layers - 1);
    for p in &mut present[..below] {
        *p = (b.flag(WHAT)?, b.flag(WHAT)?);
    }
    if below > 0 {
        b.skip(2 * (8 - below), WHAT)?;
    }
    for (profile, level) in &present[..below] {
        b.skip(88 * usize::from(*profile) + 8 * usize::from(*level), WHAT)?;
    }
    Ok(Profile { space, high_tier, idc, compatibility, constraints, level })
}

/// From the bit depths to the VUI's timing.
fn tail(b: &mut Bits<'_>, sps: &mut Sps) -> Result<(), CodecError> {
    let at = b.byte();
    let order_bits = b.ue("log2_max_pic_order_cnt_lsb_minus4")? as usize + 4;
    if order_bits > 16 {
        return Err(CodecError::Invalid { what: "log2_max_pic_order_cnt_lsb_minus4", at });
    }
    let all = b.flag("sps_sub_layer_ordering_info_present_flag")?;
    for _ in 0..if all { sps.layers } else { 1 } {
        for _ in 0..3 {
            b.ue("sub_layer_ordering_info")?;
        }
    }
    for _ in 0..6 {
        b.ue("coding and transform block sizes")?;
    }
    if b.flag("scaling_list_enabled_flag")? && b.flag("sps_scaling_list_data_present_flag")? {
        scaling_lists(b)?;
    }
    b.skip(2, "amp and sample_adaptive_offset")?;
    if b.flag("pcm_enabled_flag")? {
        b.skip(8, "pcm_sample_bit_depth")?;
        b.ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        b.ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        b.flag("pcm_loop_filter_disabled_flag")?;
    }
    short_term_sets(b)?;
    if b.flag("long_term_ref_pics_present_flag")? {
        let at = b.byte();
        let count = b.ue("num_long_term_ref_pics_sps")?;
        if count > LONG_TERM_MAX {
            return Err(CodecError::Invalid { what: "num_long_term_ref_pics_sps", at });
        }
        b.skip(count as usize * (order_bits + 1), "lt_ref_pic_poc_lsb_sps")?;
    }
    b.skip(2, "temporal_mvp and strong_intra_smoothing")?;
    if b.flag("vui_parameters_present_flag")? { vui(b, sps) } else { Ok(()) }
}

/// scaling_list_data (7.3.4).
fn scaling_lists(b: &mut Bits<'_>) -> Result<(), CodecError> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !b.flag("scaling_list_pred_mode_flag")? {
                b.ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                b.se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                b.se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// All `st_ref_pic_set` of the sequence (7.3.7): a set may count on the one before.
fn short_term_sets(b: &mut Bits<'_>) -> Result<(), CodecError> {
    const WHAT: &str = "st_ref_pic_set";
    let at = b.byte();
    let bad = move |at| CodecError::Invalid { what: WHAT, at };
    let count = b.ue("num_short_term_ref_pic_sets")?;
    if count > SHORT_TERM_SETS_MAX {
        return Err(bad(at));
    }
    let mut before = 0;
    for set in 0..count {
        let at = b.byte();
        let pictures = if set > 0 && b.flag("inter_ref_pic_set_prediction_flag")? {
            b.flag("delta_rps_sign")?;
            b.ue("abs_delta_rps_minus1")?;
            let mut kept = 0;
            for _ in 0..=before {
                // used_by_curr_pic_flag, or else use_delta_flag.
                kept += u32::from(b.flag(WHAT)? || b.flag(WHAT)?);
            }
            kept
        } else {
            let (negative, positive) = (b.ue("num_negative_pics")?, b.ue("num_positive_pics")?);
            let pictures = negative.saturating_add(positive);
            if pictures > SET_PICTURES_MAX {
                return Err(bad(at));
            }
            for _ in 0..pictures {
                b.ue("delta_poc_minus1")?;
                b.flag("used_by_curr_pic_flag")?;
            }
            pictures
        };
        if pictures > SET_PICTURES_MAX {
            return Err(bad(at));
        }
        before = pictures;
    }
    Ok(())
}

/// The VUI up to its timing (E.2.1).
fn vui(b: &mut Bits<'_>, sps: &mut Sps) -> Result<(), CodecError> {
    vui_head(b, &mut sps.sar, &mut sps.range)?;
    b.skip(3, "neutral_chroma, field_seq and frame_field_info")?;
    if b.flag("default_display_window_flag")? {
        for _ in 0..4 {
            b.ue("def_disp_win")?;
        }
    }
    if b.flag("vui_timing_info_present_flag")? {
        let units = b.u(32, "vui_num_units_in_tick")?;
        let scale = b.u(32, "vui_time_scale")?;
        // A picture is a tick here, other than in H.264.
        sps.rate = rate(scale.into(), units.into());
    }
    Ok(())
}
