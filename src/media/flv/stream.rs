//! The tags of one stream in their order: of each kind the configuration that is in force, the
//! packets that are made with it, and what is left out.

use crate::media::codec::h264::AvcConfig;
use crate::media::codec::hevc::HevcConfig;
use crate::media::codec::in_force::InForce;
use crate::media::codec::opus;
use crate::media::flv::FlvError;
use crate::media::flv::body::{self, AudioBody, VideoBody};
use crate::media::track::{Codec, Kind};
use bytes::Bytes;

/// Bytes of a NAL unit's length before a configuration says it.
const NAL_LEN_SIZE: u8 = 4;

/// What a tag brings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// A configuration that is news, and its codec. It comes before the packet.
    pub config: Option<(Codec, Bytes)>,
    /// A packet.
    pub packet: Option<Coded>,
    /// What it brings besides is left out, and why.
    pub left_out: Option<LeftOut>,
}

/// A packet without its times.
#[derive(Debug, PartialEq, Eq)]
pub struct Coded {
    /// True when a decoder can start here.
    pub key: bool,
    /// Composition offset in milliseconds.
    pub cts: i32,
    /// The coded bytes.
    pub payload: Bytes,
}

/// Why something of a readable tag is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// A packet of another codec than its track's configuration: nobody could decode it.
    Misfit(Codec),
    /// A track beside the first of its kind.
    Track(Kind, u8),
}

/// One stream's tags. See the module doc.
#[derive(Debug)]
pub struct Stream {
    nal_len_size: u8,
    pictures: InForce,
    sound: Option<(Codec, Bytes)>,
    /// The OpusHead in force is ours: the encoder sent an empty one.
    sound_unsaid: bool,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            nal_len_size: NAL_LEN_SIZE,
            pictures: InForce::default(),
            sound: None,
            sound_unsaid: false,
        }
    }
}

impl Stream {
    /// The body of a video tag.
    ///
    /// # Errors
    /// It is not readable, or of a codec that is not carried. The next may be.
    pub fn video(&mut self, tag: &Bytes) -> Result<Brought, FlvError> {
        let mut brought = Brought::default();
        match body::video(tag, self.nal_len_size)? {
            VideoBody::Config { codec, config } => {
                self.nal_len_size = nal_len_size(codec, &config);
                brought.config = self.pictures.record(codec, config).map(|record| (codec, record));
            }
            VideoBody::Coded { codec, key, cts, payload } => {
                let record = self.pictures.picture(codec, key, &payload);
                brought.config = record.map(|record| (codec, record));
                match self.pictures.codec().is_some_and(|c| c != codec) {
                    true => brought.left_out = Some(LeftOut::Misfit(codec)),
                    false => brought.packet = Some(Coded { key, cts, payload }),
                }
            }
            VideoBody::OtherTrack(n) => brought.left_out = Some(LeftOut::Track(Kind::Video, n)),
            VideoBody::EndOfSequence | VideoBody::Info | VideoBody::Empty => {}
        }
        Ok(brought)
    }

    /// The body of an audio tag.
    ///
    /// # Errors
    /// As for [`Stream::video`].
    pub fn audio(&mut self, tag: &Bytes) -> Result<Brought, FlvError> {
        let mut brought = Brought::default();
        match body::audio(tag)? {
            AudioBody::Config { codec, config } => {
                self.sound_unsaid = config.is_empty();
                // What comes lies in a read buffer; a configuration lives as long as the stream.
                let config = match self.sound_unsaid {
                    true => opus::default_head(2).unwrap_or_default(),
                    false => Bytes::copy_from_slice(&config),
                };
                brought.config = self.sound(codec, config);
            }
            AudioBody::Channels { codec, count } if self.sound_unsaid => {
                let head = opus::default_head(count);
                brought.config = head.and_then(|head| self.sound(codec, head));
            }
            AudioBody::Coded { codec, payload } => {
                match self.sound.as_ref().is_some_and(|(c, _)| *c != codec) {
                    true => brought.left_out = Some(LeftOut::Misfit(codec)),
                    false => brought.packet = Some(Coded { key: true, cts: 0, payload }),
                }
            }
            AudioBody::OtherTrack(n) => brought.left_out = Some(LeftOut::Track(Kind::Audio, n)),
            AudioBody::Channels { .. } | AudioBody::Empty => {}
        }
        Ok(brought)
    }

    fn sound(&mut self, codec: Codec, config: Bytes) -> Option<(Codec, Bytes)> {
        let news = Some((codec, config));
        if self.sound == news {
            return None;
        }
        self.sound.clone_from(&news);
        news
    }
}

/// What a record says of it; one that cannot be read says nothing.
fn nal_len_size(codec: Codec, record: &[u8]) -> u8 {
    match codec {
        Codec::H264 => AvcConfig::parse(record).map(|c| c.nal_len_size),
        Codec::Hevc => HevcConfig::parse(record).map(|c| c.nal_len_size),
        Codec::Av1 | Codec::Aac | Codec::Opus => Ok(NAL_LEN_SIZE),
    }
    .unwrap_or(NAL_LEN_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::flv::write;
    use crate::media::fuzz::seeded::hex;

    #[test]
    fn what_repeats_is_no_news_and_what_does_not_fit_is_left_out() {
        let mut s = Stream::default();
        let stereo = hex("1210");
        let config = write::audio_config_body(Codec::Aac, &stereo);
        let news = Some((Codec::Aac, Bytes::from(stereo)));
        assert_eq!(s.audio(&config).map(|b| b.config), Ok(news));
        assert_eq!(s.audio(&config), Ok(Brought::default()), "repeated");
        let frame = write::audio_body(Codec::Aac, &[1, 2]);
        let coded = Coded { key: true, cts: 0, payload: Bytes::from_static(&[1, 2]) };
        let packet = Brought { packet: Some(coded), ..Brought::default() };
        assert_eq!(s.audio(&frame), Ok(packet));
        let other = write::audio_body(Codec::Opus, &[0xf8, 2]);
        let misfit = Brought { left_out: Some(LeftOut::Misfit(Codec::Opus)), ..Brought::default() };
        assert_eq!(s.audio(&other), Ok(misfit));
    }

    /// An empty OpusHead is stereo until the encoder says how many channels there are.
    #[test]
    fn sound_that_does_not_say_what_it_is_gets_a_configuration() {
        let mut s = Stream::default();
        let channels = |n: u8| Some((Codec::Opus, opus::default_head(n).expect("a head")));
        let empty = Bytes::from_static(b"\x90Opus");
        assert_eq!(s.audio(&empty).map(|b| b.config), Ok(channels(2)));
        let multichannel = Bytes::from_static(b"\x94Opus\x01\x01\x00\x00\x00\x04");
        assert_eq!(s.audio(&multichannel).map(|b| b.config), Ok(channels(1)));
    }
}
