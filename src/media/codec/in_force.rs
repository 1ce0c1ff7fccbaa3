//! The configuration of a stream of pictures as its messages go by: encoders send it in a record,
//! in their key frames, or in both, and the two need not agree (SVT-AV1's record is made before the
//! encoder has settled; libaom's comes empty). What a key frame brings is what a decoder goes by.

use crate::media::codec::{CONFIG_MAX, av1, in_band};
use crate::media::track::Codec;
use bytes::Bytes;

/// A stream's newest configuration.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    codec: Option<Codec>,
    /// The newest record that came as one.
    received: Bytes,
    /// What is in force.
    record: Bytes,
    /// The newest that was given to whoever asks.
    given: Bytes,
}

impl InForce {
    /// The codec, once it is known.
    pub fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// A record came; it is given back when it is news and says what a decoder needs. Encoders
    /// repeat it, and key frames may have said better since; one of AV1 may leave the sequence
    /// header to the key frames.
    pub fn record(&mut self, codec: Codec, record: Bytes) -> Option<Bytes> {
        if self.codec == Some(codec) && self.received == record {
            return None;
        }
        // What comes lies in a read buffer; a configuration lives as long as the stream.
        let record = Bytes::copy_from_slice(&record[..record.len().min(CONFIG_MAX + 1)]);
        self.received = record.clone();
        let later = codec == Codec::Av1
            && av1::Av1Config::parse(&record).is_ok_and(|c| c.sequence.is_none());
        self.set(codec, record);
        if later { None } else { self.give() }
    }

    /// A picture came; the record that is in force from it on, if it is another.
    pub fn picture(&mut self, codec: Codec, key: bool, payload: &[u8]) -> Option<Bytes> {
        if !key {
            return None;
        }
        let same = self.codec == Some(codec);
        match in_band(codec, if same { &self.record } else { &[] }, payload) {
            Some(record) => self.set(codec, record),
            None => return None,
        }
        self.give()
    }

    fn set(&mut self, codec: Codec, record: Bytes) {
        if self.codec.replace(codec) != Some(codec) {
            self.given = Bytes::new();
        }
        self.record = record;
    }

    fn give(&mut self) -> Option<Bytes> {
        let news = self.given != self.record;
        self.given = self.record.clone();
        news.then(|| self.record.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::fuzz::seeded::hex;

    #[test]
    fn the_sequence_header_of_a_key_frame_counts() {
        let key: Bytes = hex("0a0b0200000521e7f66257c802 320110").into();
        let bare: Bytes = hex("320110").into();
        let want: Bytes = hex("81000c00 0a0b0200000521e7f66257c802").into();
        // SVT-AV1 by way of FFmpeg 9.0.2; rav1e; libaom, whose first record is empty, and nothing.
        let svt: Bytes = hex("81000c00 0a0b0200000521e7f66017c002").into();
        for (name, record, given) in [
            ("another header", Some(svt.clone()), true),
            ("the same header", Some(want.clone()), true),
            ("no header", Some(Bytes::from(hex("815f4800"))), false),
            ("none", None, false),
        ] {
            let mut f = InForce::default();
            if let Some(record) = &record {
                let back = f.record(Codec::Av1, record.clone());
                assert_eq!(back, given.then(|| record.clone()), "{name}");
            }
            assert_eq!(f.picture(Codec::Av1, false, &key), None, "{name}: no key frame");
            let news = (record.as_ref() != Some(&want)).then(|| want.clone());
            assert_eq!(f.picture(Codec::Av1, true, &key), news, "{name}");
            assert_eq!(f.picture(Codec::Av1, true, &key), None, "{name}: told once");
            assert_eq!(f.codec(), Some(Codec::Av1));
            if let Some(record) = record {
                assert_eq!(f.record(Codec::Av1, record), None, "{name}: repeated");
                assert_eq!(f.picture(Codec::Av1, true, &bare), None, "{name}: repeated");
            }
        }
        let mut f = InForce::default();
        assert_eq!(f.record(Codec::Av1, svt.clone()), Some(svt));
        assert_eq!(f.picture(Codec::Av1, true, &bare), None, "the key frame has none");
        let other: Bytes = hex("81000c00").into();
        assert_eq!(f.record(Codec::Av1, other), None);
        assert_eq!(f.picture(Codec::Av1, true, &key), Some(want), "another encoder");
        let bad = Bytes::from_static(&[1]);
        assert_eq!(f.record(Codec::Av1, bad.clone()), Some(bad), "somebody has to refuse it");
    }
}
