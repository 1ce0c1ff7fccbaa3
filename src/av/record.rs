//! Codec configuration records of a container's streams. libav keeps them where safe code cannot
//! look, so it is asked to write them down: as the head of a fragmented MP4 without media, in
//! memory, which `media` can read.

use crate::media::fmp4::read::init;
use crate::media::track::Codec;
use bytes::Bytes;
use ffmpeg_next::format::context::StreamIo;
use ffmpeg_next::{Dictionary, codec, encoder, format};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Longest head that is believed: a record has at most 16 KiB.
const HEAD_MAX: usize = 1 << 20;

/// Memory that libav writes to and this side keeps.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() + buf.len() > HEAD_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The configuration record of a stream, when it has one and castctl carries its codec.
pub(super) fn record(parameters: &codec::Parameters) -> Option<(Codec, Bytes)> {
    // A QuickTime file's sample entries are not all legal in MP4; the boxes read here are the same.
    ["mp4", "mov"].iter().find_map(|muxer| written(parameters.clone(), muxer))
}

fn written(parameters: codec::Parameters, muxer: &str) -> Option<(Codec, Bytes)> {
    let sink = Sink::default();
    let io = StreamIo::from_write(sink.clone()).ok()?;
    let mut out = format::output_to_stream(io, None, Some(muxer)).ok()?;
    out.add_stream(encoder::find(codec::Id::None)).ok()?.set_parameters(parameters);
    let mut options = Dictionary::new();
    options.set("movflags", "empty_moov");
    let written = out.write_header_with(options).is_ok();
    // What is buffered arrives with the end of the context.
    drop(out);
    let bytes = std::mem::take(&mut *sink.0.lock().unwrap_or_else(PoisonError::into_inner));
    let tracks = init(&Bytes::from(bytes)).ok().filter(|_| written)?;
    tracks.into_iter().find_map(|t| t.codec)
}
