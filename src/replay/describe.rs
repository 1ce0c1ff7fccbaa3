//! `onMetaData` as an encoder would send it, of what a recording's tracks declare; nothing in it is
//! measured. Pure.

use crate::media::codec::details;
use crate::media::flv::fourcc;
use crate::media::track::{Codec, Track};
use crate::rtmp::amf0::Amf0;
use bytes::Bytes;

/// CodecID of H.264 and SoundFormat of AAC in metadata (FLV E.4.3.1, E.4.2.1).
const AVC: f64 = 7.0;
const AAC: f64 = 10.0;

/// The body of a script tag. A track that is announced (`Some`) may not be known yet
/// (`Some(None)`).
pub(super) fn describe(video: Option<Option<&Track>>, audio: Option<Option<&Track>>) -> Bytes {
    let mut object: Vec<(String, Amf0)> = Vec::new();
    let mut put = |name: &str, value: f64| object.push((name.into(), Amf0::Number(value)));
    if let Some(track) = video {
        if let Some(v) = track.and_then(|t| details(t).ok()?.video) {
            put("width", v.width.into());
            put("height", v.height.into());
        }
        if let Some(rate) = track.and_then(|t| t.rate) {
            put("framerate", rate.as_f64());
        }
        put("videocodecid", track.map_or(AVC, |t| number(t.codec)));
    }
    if let Some(track) = audio {
        if let Some(a) = track.and_then(|t| details(t).ok()?.audio) {
            put("audiosamplerate", a.output_rate.into());
            put("audiochannels", a.channels.into());
        }
        put("audiocodecid", track.map_or(AAC, |t| number(t.codec)));
    }
    object.push(("encoder".into(), Amf0::string("castctl replay")));
    metadata_body(Amf0::EcmaArray(object))
}

/// A codec's number in metadata: what came after the first two has its FourCC.
fn number(codec: Codec) -> f64 {
    match codec {
        Codec::H264 => AVC,
        Codec::Aac => AAC,
        _ => fourcc::number(codec).into(),
    }
}

/// The name `onMetaData` and this value.
fn metadata_body(value: Amf0) -> Bytes {
    crate::rtmp::amf0::write_all(&[Amf0::string("onMetaData"), value]).into()
}
