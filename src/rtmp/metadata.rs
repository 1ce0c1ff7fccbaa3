//! `onMetaData`: what an encoder says about its stream (FLV section E.5). A hint: the codec
//! configuration decides.

use crate::rtmp::amf0::{Amf0, AmfError, read_all};

/// An encoder's metadata. Numbers are those it sent; what it did not send, or sent as no finite
/// number, is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Picture width in pixels.
    pub width: Option<f64>,
    /// Picture height in pixels.
    pub height: Option<f64>,
    /// Pictures per second.
    pub framerate: Option<f64>,
    /// Video bit rate in kbit/s.
    pub videodatarate: Option<f64>,
    /// Audio bit rate in kbit/s.
    pub audiodatarate: Option<f64>,
    /// Whether a video track is announced; `None` when neither track is (the encoder does not say).
    pub has_video: Option<bool>,
    /// Whether an audio track is announced; `None` when neither track is.
    pub has_audio: Option<bool>,
    /// The encoder's name.
    pub encoder: Option<String>,
    /// All of it, in the order it was sent.
    pub raw: Amf0,
}

impl Metadata {
    /// Reads the payload of a data message: `onMetaData`, inside `@setDataFrame` or bare. `None`
    /// for other data and for metadata without an object.
    pub fn read(payload: &[u8]) -> Result<Option<Metadata>, AmfError> {
        let values = read_all(payload)?;
        let mut values = values.into_iter();
        let mut name = values.next();
        if name.as_ref().and_then(Amf0::as_str) == Some("@setDataFrame") {
            name = values.next();
        }
        if name.as_ref().and_then(Amf0::as_str) != Some("onMetaData") {
            return Ok(None);
        }
        Ok(values.find(|v| v.properties().is_some()).map(Metadata::new))
    }

    fn new(raw: Amf0) -> Metadata {
        let number = |name| raw.get(name).and_then(Amf0::as_number).filter(|n| n.is_finite());
        // ffmpeg leaves out the key of a track that does not exist; the value is a number or a
        // FourCC.
        let announced =
            |name| raw.get(name).is_some_and(|v| !matches!(v, Amf0::Null | Amf0::Undefined));
        let (video, audio) = (announced("videocodecid"), announced("audiocodecid"));
        let says = video || audio;
        Metadata {
            width: number("width"),
            height: number("height"),
            framerate: number("framerate"),
            videodatarate: number("videodatarate"),
            audiodatarate: number("audiodatarate"),
            has_video: says.then_some(video),
            has_audio: says.then_some(audio),
            encoder: raw.get("encoder").and_then(Amf0::as_str).map(str::to_owned),
            raw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::amf0::write_all;

    fn read(values: &[Amf0]) -> Option<Metadata> {
        Metadata::read(&write_all(values)).expect("AMF0")
    }

    #[test]
    fn tracks_are_announced_by_their_codec_keys() {
        let (avc, fourcc) = (|| Amf0::Number(7.0), || Amf0::string("mp4a"));
        for (name, keys, video, audio) in [
            (
                "both",
                vec![("videocodecid", avc()), ("audiocodecid", fourcc())],
                Some(true),
                Some(true),
            ),
            ("video only", vec![("videocodecid", avc())], Some(true), Some(false)),
            ("audio only", vec![("audiocodecid", fourcc())], Some(false), Some(true)),
            (
                "null",
                vec![("audiocodecid", Amf0::Null), ("videocodecid", avc())],
                Some(true),
                Some(false),
            ),
            ("neither", vec![("width", avc())], None, None),
        ] {
            let keys = keys.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            let m = read(&[Amf0::string("onMetaData"), Amf0::EcmaArray(keys)]).expect(name);
            assert_eq!((m.has_video, m.has_audio), (video, audio), "{name}");
        }
    }

    #[test]
    fn fields_are_read_from_set_data_frame() {
        let raw = Amf0::object([
            ("width", Amf0::Number(1280.0)),
            ("height", Amf0::string("720")),
            ("framerate", Amf0::Number(29.97)),
            ("videodatarate", Amf0::Number(f64::NAN)),
            ("audiodatarate", Amf0::Number(160.0)),
            ("encoder", Amf0::string("test")),
            ("when", Amf0::Date(0.0)),
        ]);
        let values = [Amf0::string("@setDataFrame"), Amf0::string("onMetaData"), raw];
        let m = read(&values).expect("metadata");
        assert_eq!((m.width, m.height, m.framerate), (Some(1280.0), None, Some(29.97)));
        assert_eq!((m.videodatarate, m.audiodatarate), (None, Some(160.0)));
        assert_eq!(m.encoder.as_deref(), Some("test"));
        assert_eq!(m.raw.get("when"), Some(&Amf0::Date(0.0)));
    }

    #[test]
    fn other_data_is_no_metadata() {
        let s = Amf0::string;
        for values in [
            vec![],
            vec![s("@setDataFrame")],
            vec![s("@setDataFrame"), s("onMetaData")],
            vec![s("onMetaData"), Amf0::Number(1.0)],
            vec![s("onTextData"), Amf0::object([])],
            vec![Amf0::Null, s("onMetaData"), Amf0::object([])],
        ] {
            assert_eq!(read(&values), None, "{values:?}");
        }
    }
}
