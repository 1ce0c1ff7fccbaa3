//! The AV1 sequence header (AV1 specification, 5.5): profile, level, size, rate and colours. Read
//! here, field by field up to the colours, because nothing else of the bitstream is needed; the
//! tests hold the result against the scuffle-av1 crate.

use crate::media::codec::bits::Bits;
use crate::media::codec::sps::{rate, size_of};
use crate::media::codec::{CodecError, VideoRange};
use crate::media::track::FrameRate;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// `seq_profile`, 0 to 2.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point: the high tier.
    pub high_tier: bool,
    /// `max_frame_width_minus_1 + 1`.
    pub width: u32,
    /// `max_frame_height_minus_1 + 1`.
    pub height: u32,
    /// Frames per second of the timing information, when it promises a constant rate.
    pub rate: Option<FrameRate>,
    /// Bits of a sample: 8, 10 or 12.
    pub bits: u8,
    /// No chroma.
    pub monochrome: bool,
    /// `subsampling_x`, `subsampling_y`, `chroma_sample_position`.
    pub subsampling: [u8; 3],
    /// Primaries, transfer characteristics, matrix coefficients (ISO/IEC 23091-4); 2 is undeclared.
    pub colour: [u8; 3],
    /// `color_range`.
    pub full_range: bool,
}

impl Sequence {
    /// What the transfer characteristics say.
    pub fn range(&self) -> VideoRange {
        VideoRange::of_transfer(self.colour[1].into())
    }
}

/// Reads the body of a sequence header OBU.
///
/// # Errors
/// With the byte offset: a header that ends before its colours, or values that the specification
/// reserves.
pub fn parse(body: &[u8]) -> Result<Sequence, CodecError> {
    let mut b = Bits::new(body);
    let profile = b.u(3, "seq_profile")? as u8;
    if profile > 2 {
        return Err(CodecError::Invalid { what: "seq_profile", at: 0 });
    }
    b.flag("still_picture")?;
    let reduced = b.flag("reduced_still_picture_header")?;
    let (mut rate, mut level, mut high_tier) = (None, 0, false);
    if reduced {
        level = b.u(5, "seq_level_idx")? as u8;
    } else {
        let delay = timing(&mut b, &mut rate)?;
        let display_delay = b.flag("initial_display_delay_present_flag")?;
        for point in 0..=b.u(5, "operating_points_cnt_minus_1")? {
            let found = operating_point(&mut b, delay, display_delay)?;
            if point == 0 {
                (level, high_tier) = found;
            }
        }
    }
    let (wide, high) = (b.u(4, "frame_width_bits")? + 1, b.u(4, "frame_height_bits")? + 1);
    let at = b.byte();
    let width = u64::from(b.u(wide as usize, "max_frame_width_minus_1")?) + 1;
    let height = u64::from(b.u(high as usize, "max_frame_height_minus_1")?) + 1;
    let (width, height) = size_of(width, height, at)?;
    tools(&mut b, reduced)?;
    let mut sequence = Sequence {
        profile,
        level,
        high_tier,
        width,
        height,
        rate,
        bits: 8,
        monochrome: false,
        subsampling: [1, 1, 0],
        colour: [2, 2, 2],
        full_range: false,
    };
    colours(&mut b, &mut sequence)?;
    Ok(sequence)
}

/// Timing and decoder model (5.5.3, 5.5.4). Returns the bits of a buffer delay, for the operating
/// points.
fn timing(b: &mut Bits<'_>, found: &mut Option<FrameRate>) -> Result<Option<usize>, CodecError> {
    if !b.flag("timing_info_present_flag")? {
        return Ok(None);
    }
    let units = b.u(32, "num_units_in_display_tick")?;
    let scale = b.u(32, "time_scale")?;
    if b.flag("equal_picture_interval")? {
        let ticks = u64::from(b.ue("num_ticks_per_picture_minus_1")?) + 1;
        *found = rate(scale.into(), u64::from(units).saturating_mul(ticks));
    }
    if !b.flag("decoder_model_info_present_flag")? {
        return Ok(None);
    }
    let delay = b.u(5, "buffer_delay_length_minus_1")? as usize + 1;
    b.skip(32 + 5 + 5, "decoder_model_info")?;
    Ok(Some(delay))
}

/// One operating point: its level and tier.
fn operating_point(
    b: &mut Bits<'_>,
    delay: Option<usize>,
    display_delay: bool,
) -> Result<(u8, bool), CodecError> {
    const WHAT: &str = "operating point";
    b.skip(12, WHAT)?;
    let level = b.u(5, "seq_level_idx")? as u8;
    let tier = level > 7 && b.flag("seq_tier")?;
    if let Some(bits) = delay
        && b.flag("decoder_model_present_for_this_op")?
    {
        b.skip(2 * bits + 1, WHAT)?;
    }
    if display_delay && b.flag("initial_display_delay_present_for_this_op")? {
        b.skip(4, WHAT)?;
    }
    Ok((level, tier))
}

/// From the frame ids to the loop filters.
fn tools(b: &mut Bits<'_>, reduced: bool) -> Result<(), CodecError> {
    const WHAT: &str = "sequence header tools";
    if !reduced && b.flag("frame_id_numbers_present_flag")? {
        b.skip(4 + 3, WHAT)?;
    }
    // Superblocks, filter intra, intra edge filter.
    b.skip(3, WHAT)?;
    if !reduced {
        // Compound and warped prediction, dual filter.
        b.skip(4, WHAT)?;
        let order_hint = b.flag("enable_order_hint")?;
        if order_hint {
            b.skip(2, WHAT)?;
        }
        let screen_content = b.flag("seq_choose_screen_content_tools")?
            || b.flag("seq_force_screen_content_tools")?;
        if screen_content && !b.flag("seq_choose_integer_mv")? {
            b.skip(1, WHAT)?;
        }
        if order_hint {
            b.skip(3, WHAT)?;
        }
    }
    // Super resolution, cdef, restoration.
    b.skip(3, WHAT)
}

/// color_config (5.5.2).
fn colours(b: &mut Bits<'_>, s: &mut Sequence) -> Result<(), CodecError> {
    const SRGB: [u8; 3] = [1, 13, 0];
    let high = b.flag("high_bitdepth")?;
    s.bits = if high { 10 } else { 8 };
    if s.profile == 2 && high && b.flag("twelve_bit")? {
        s.bits = 12;
    }
    s.monochrome = s.profile != 1 && b.flag("mono_chrome")?;
    if b.flag("color_description_present_flag")? {
        for c in &mut s.colour {
            *c = b.u(8, "color_description")? as u8;
        }
    }
    if s.monochrome {
        s.full_range = b.flag("color_range")?;
        return Ok(());
    }
    if s.colour == SRGB {
        (s.full_range, s.subsampling) = (true, [0, 0, 0]);
        return Ok(());
    }
    s.full_range = b.flag("color_range")?;
    let (x, y) = match s.profile {
        0 => (true, true),
        1 => (false, false),
        _ if s.bits == 12 => {
            let x = b.flag("subsampling_x")?;
            (x, x && b.flag("subsampling_y")?)
        }
        _ => (true, false),
    };
    let position = if x && y { b.u(2, "chroma_sample_position")? as u8 } else { 0 };
    s.subsampling = [x.into(), y.into(), position];
    Ok(())
}
