//! Pictures to a rung's size, as planar 4:2:0 of 8 bits, which every device decodes: sources of 10
//! bits or with more colour are converted. Range, primaries, transfer and matrix go with the
//! picture.

use crate::av::decode::Picture;
use crate::av::error::CoderError;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::software::scaling::{Context, Flags};
use ffmpeg_next::{color, frame, picture};

/// Scales pictures of any size to one. Belongs to the thread that made it.
pub struct Scaler {
    width: u32,
    height: u32,
    context: Option<Context>,
}

impl Scaler {
    /// Scales to so many pixels.
    pub fn new(width: u32, height: u32) -> Scaler {
        Scaler { width, height, context: None }
    }

    /// The picture in the scaler's size, with the same PTS.
    ///
    /// # Errors
    /// A form of picture that the library cannot convert.
    pub fn scale(&mut self, from: &Picture) -> Result<Picture, CoderError> {
        let (from, sar) = (&from.frame, from.sar);
        let is_input = |c: &Context| {
            let i = c.input();
            (i.format, i.width, i.height) == (from.format(), from.width(), from.height())
        };
        let context = match self.context.take().filter(is_input) {
            Some(context) => context,
            None => Context::get(
                from.format(),
                from.width(),
                from.height(),
                Pixel::YUV420P,
                self.width,
                self.height,
                // What FFmpeg's own tools take.
                Flags::BICUBIC,
            )
            .map_err(CoderError::convert)?,
        };
        let context = self.context.insert(context);
        let mut to = frame::Video::empty();
        context.run(from, &mut to).map_err(CoderError::convert)?;
        to.set_pts(from.pts().or_else(|| from.timestamp()));
        // The encoder decides, unless it is told.
        to.set_kind(picture::Type::None);
        to.set_color_range(range(from));
        to.set_color_primaries(from.color_primaries());
        to.set_color_transfer_characteristic(from.color_transfer_characteristic());
        to.set_color_space(from.color_space());
        // A rung keeps its source's shape to the nearest pixel, so that of a pixel stays.
        Ok(Picture { frame: to, sar })
    }
}

/// The range that a converted picture has. The library takes the formats that are named after JPEG
/// to the usual range, and leaves the numbers of all others as they are.
fn range(from: &frame::Video) -> color::Range {
    match from.format() {
        Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P => color::Range::MPEG,
        _ => from.color_range(),
    }
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scaler({}x{})", self.width, self.height)
    }
}
