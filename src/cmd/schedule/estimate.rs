//! castctl schedule estimate: what a ladder costs for a source.

use crate::api::ladder::VideoCodec;
use crate::api::ladder::planned::SourceMedia;
use crate::base::units::{self, HumanRate};
use crate::cmd::channel::print;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::schedule;
use crate::control::plan::cost::table::USUAL;
use crate::control::plan::cost::{Estimate, RungCost, estimate};
use crate::media::track::FrameRate;
use comfy_table::{CellAlignment, presets};
use std::path::PathBuf;

/// Bits of a pixel where the bitrate of a source is not said: what encoders are mostly set to, 6
/// Mbit/s for 1080p30.
const BITS_PER_PIXEL: f64 = 0.1;

/// Bits per second of the source's sound: what encoders are mostly set to.
const AUDIO_BITRATE: u64 = 128_000;

/// Reckon what a ladder costs for a source, in millicores: a thousand are one core all the time
///
/// To decode the source once, and to scale and encode each rung, on one kind of machine.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ladder: one of the manifest's, or default
    ladder: String,
    /// Size and frame rate of the source, like 1080p30 or 1920x800p25
    #[arg(long, value_name = "SIZE", default_value = "1080p30", value_parser = picture)]
    source: Picture,
    /// Its codec: h264, hevc or av1
    #[arg(long, value_name = "CODEC", default_value = "h264", value_parser = schedule::codec)]
    source_codec: VideoCodec,
    /// Its bitrate, like 6Mbps [default: a tenth of a bit a pixel]
    #[arg(long, value_name = "RATE", value_parser = units::bitrate)]
    source_bitrate: Option<u64>,
    /// The manifest that has the ladder
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The machine: a table that is built in, or the file of one
    #[arg(long, value_name = "NAME|FILE", default_value = USUAL)]
    machine: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Picture {
    width: u32,
    height: u32,
    frame_rate: (u32, u32),
}

/// `1080p30`, `1080p`, `1920x800p29.97`.
fn picture(text: &str) -> Result<Picture, String> {
    let wrong = || format!("{text:?} is no source: write 1080p30 or 1920x800p25");
    let (size, rate) = text.split_once('p').ok_or_else(wrong)?;
    let side = |s: &str| s.parse::<u32>().ok().filter(|n| (16..=16_384).contains(n));
    let (width, height) = match size.split_once('x') {
        Some((width, height)) => (side(width), side(height)),
        // 16:9, to the nearest even pixel.
        None => (side(size).map(|h| (h * 16 + 9) / 18 * 2), side(size)),
    };
    let (width, height) = width.zip(height).ok_or_else(wrong)?;
    let rate = if rate.is_empty() { "30" } else { rate };
    let rate = rate.parse().ok().filter(|r: &f64| (1.0..=240.0).contains(r));
    let rate = rate.and_then(FrameRate::from_f64).ok_or_else(wrong)?;
    Ok(Picture { width, height, frame_rate: rate.parts() })
}

/// Reckons and prints.
pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let manifest = common::manifest(args.manifest.as_deref())?;
    let ladder = manifest.ladder(&args.ladder).ok_or_else(|| {
        let own = manifest.ladders.iter().map(|l| l.name.as_str());
        let known: Vec<&str> = own.chain(["default", "none"]).collect();
        Failure::usage(format!("{:?} is no ladder: {}", args.ladder, known.join(", ")))
    })?;
    let Picture { width, height, frame_rate } = args.source;
    let rate = f64::from(frame_rate.0) / f64::from(frame_rate.1);
    let usual = f64::from(width) * f64::from(height) * rate * BITS_PER_PIXEL;
    let source = SourceMedia {
        codec: args.source_codec,
        width,
        height,
        frame_rate,
        bitrate: args.source_bitrate.unwrap_or(usual as u64),
        audio_bitrate: AUDIO_BITRATE,
    };
    let estimate =
        estimate(&ladder, &source, &schedule::machine(&args.machine)?).map_err(Failure::usage)?;
    print(args.json, &estimate, || table(&estimate, &source));
    Ok(Exit::Done)
}

fn table(estimate: &Estimate, source: &SourceMedia) -> String {
    let mut out = comfy_table::Table::new();
    out.load_style(presets::UTF8_BORDERS_ONLY);
    out.set_header(["", "size", "fps", "codec", "bitrate", "scale", "encode", "millicores"]);
    let fps = |(num, den): (u32, u32)| {
        let rounded = (f64::from(num) / f64::from(den) * 100.0).round() / 100.0;
        rounded.to_string()
    };
    let whole = |millicores: f64| format!("{millicores:.0}");
    out.add_row([
        "decode".into(),
        format!("{}x{}", source.width, source.height),
        fps(source.frame_rate),
        source.codec.to_string(),
        HumanRate(source.bitrate).to_string(),
        String::new(),
        String::new(),
        whole(estimate.decode),
    ]);
    for RungCost { rung, scale, encode_cost } in &estimate.rungs {
        let (codec, rate) = match &rung.encode {
            Some(e) => (format!("{} {}", e.codec, e.preset), HumanRate(e.bitrate).to_string()),
            None => ("passthrough".into(), HumanRate(source.bitrate).to_string()),
        };
        out.add_row([
            rung.name.to_string(),
            format!("{}x{}", rung.width, rung.height),
            fps(rung.frame_rate),
            codec,
            rate,
            whole(*scale),
            whole(*encode_cost),
            whole(scale + encode_cost),
        ]);
    }
    let line = |name: &str, millicores: String| {
        let mut row = vec![name.to_owned()];
        row.resize(7, String::new());
        row.push(millicores);
        row
    };
    out.add_row(line("sound", whole(estimate.sound)));
    out.add_row(line("total", estimate.total.to_string()));
    for i in [2, 4, 5, 6, 7] {
        if let Some(column) = out.column_mut(i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_people_write_them() {
        for (text, width, height, frame_rate) in [
            ("1080p30", 1920, 1080, (30, 1)),
            ("720p", 1280, 720, (30, 1)),
            ("480p29.97", 854, 480, (30_000, 1_001)),
            ("1920x800p25", 1920, 800, (25, 1)),
        ] {
            assert_eq!(picture(text), Ok(Picture { width, height, frame_rate }), "{text}");
        }
        for bad in ["", "1080", "p30", "1080p0", "1080p1000", "8x8p25", "axbp25", "1080pNaN"] {
            assert!(picture(bad).is_err(), "{bad}");
        }
    }
}
