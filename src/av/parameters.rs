//! A track's configuration as libav wants it. Safe code cannot hand libav a configuration record,
//! so it gets the track's init section to read, the file that viewers get.

use crate::av::error::CoderError;
use crate::base::time::Timescale;
use crate::media::fmp4::init::Init;
use crate::media::track::Track;
use ffmpeg_next::format::context::StreamIo;
use ffmpeg_next::{Dictionary, Rational, codec, format, log};
use std::io::Cursor;

/// What a decoder of the track is opened with.
pub(super) fn parameters(track: &Track) -> Result<codec::Parameters, CoderError> {
    let refused = |why: String| CoderError::Configuration { why };
    log::set_level(log::Level::Quiet);
    let init = Init::new(track.clone()).map_err(|e| refused(e.to_string()))?;
    let io = StreamIo::from_read_seek(Cursor::new(init.bytes));
    let io = io.map_err(|e| refused(e.to_string()))?;
    let mut options = Dictionary::new();
    options.set("format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2");
    let input = format::input_from_stream(io, None, Some(options));
    let input = input.map_err(|e| refused(e.to_string()))?;
    let stream = input.streams().next().ok_or_else(|| refused("no track in it".into()))?;
    Ok(stream.parameters())
}

/// The seconds of one tick; `None` where libav cannot count in such ticks.
pub(super) fn tick(timescale: Timescale) -> Option<Rational> {
    i32::try_from(timescale.get()).ok().map(|ticks| Rational(1, ticks))
}
