//! H.264 and HEVC as byte streams (ISO/IEC 14496-10 and 23008-2, annex B), turned into what `media`
//! carries: access units of length-prefixed NAL units without what the container says itself, and
//! configuration records from the parameter sets in the stream (ISO/IEC 14496-15, 5.3.3.1 and
//! 8.3.3.1). Pure.

use crate::media::codec::h264::{NAL_PPS, NAL_SPS};
use crate::media::codec::{CONFIG_MAX, hevc};
use bytes::{BufMut, Bytes, BytesMut};

/// An access unit delimiter: a byte stream needs it, a container does not (14496-15, 5.3.2).
const NAL_DELIMITER: u8 = 9;

/// Most parameter sets of a kind that a record can name (the count of SPS has 5 bits).
const SETS_MAX: usize = 31;

/// The NAL units between start codes, without trailing zeros. What comes before the first start
/// code belongs to nothing.
pub(super) fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = start(stream, 0).map(|s| s + 3);
    std::iter::from_fn(move || {
        let from = at?;
        let next = start(stream, from);
        let end = next.unwrap_or(stream.len());
        at = next.map(|s| s + 3);
        let unit = &stream[from..end];
        let zeros = unit.iter().rev().take_while(|b| **b == 0).count();
        Some(&unit[..unit.len() - zeros])
    })
    .filter(|unit| !unit.is_empty())
}

/// Where the next `00 00 01` is.
fn start(stream: &[u8], from: usize) -> Option<usize> {
    stream.get(from..)?.windows(3).position(|w| w == [0, 0, 1]).map(|at| from + at)
}

/// The parameter sets in force in a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
    /// Those of the access unit in progress that replaces all.
    record: Option<Bytes>,
}

impl Sets {
    /// Reads one access unit: the payload with 4-byte lengths, and a configuration record when this
    /// unit's parameter sets changed it. The payload is empty when only parameter sets were in it.
    pub(super) fn unit(&mut self, stream: &[u8]) -> (Bytes, Option<Bytes>) {
        let mut payload = BytesMut::with_capacity(stream.len() + 16);
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        for nal in units(stream) {
            match nal[0] & 31 {
                NAL_SPS => sps.push(Bytes::copy_from_slice(nal)),
                NAL_PPS => pps.push(Bytes::copy_from_slice(nal)),
                NAL_DELIMITER => {}
                _ => put_unit(&mut payload, nal),
            }
        }
        let changed = (!sps.is_empty() || !pps.is_empty()).then(|| self.replace(sps, pps));
        (payload.freeze(), changed.flatten())
    }

    /// New sequence parameter sets begin anew; picture parameter sets alone add to what there is,
    /// in place of those of the same number.
    fn replace(&mut self, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Option<Bytes> {
        if !sps.is_empty() {
            self.sps = sps;
            if !pps.is_empty() {
                self.pps.clear();
            }
        }
        for set in pps {
            // pic_parameter_set_id is the first number; short ones lie in the first byte.
            self.pps.retain(|old| old.get(1).map(|b| golomb(*b)) != set.get(1).map(|b| golomb(*b)));
            self.pps.push(set);
        }
        let record = record(&self.sps, &self.pps)?;
        if self.record.as_ref() == Some(&record) {
            return None;
        }
        self.record = Some(record.clone());
        Some(record)
    }
}

/// The parameter sets in force in a stream of HEVC: the record made of them.
#[derive(Debug, Clone, Default)]
pub(super) struct HevcSets {
    record: Option<Bytes>,
}

impl HevcSets {
    /// As [`Sets::unit`].
    pub(super) fn unit(&mut self, stream: &[u8]) -> (Bytes, Option<Bytes>) {
        let mut payload = BytesMut::with_capacity(stream.len() + 16);
        let mut sets = Vec::new();
        for nal in units(stream) {
            match hevc::kind(nal) {
                hevc::NAL_VPS..=hevc::NAL_PPS => sets.push(nal),
                hevc::NAL_DELIMITER => {}
                _ => put_unit(&mut payload, nal),
            }
        }
        let record = match sets.is_empty() {
            true => None,
            false => hevc::updated(self.record.as_deref(), &sets, 4),
        };
        self.record = record.clone().or(self.record.take());
        (payload.freeze(), record)
    }
}

/// A NAL unit behind its length.
fn put_unit(payload: &mut BytesMut, nal: &[u8]) {
    // libav's packets are shorter than 2 GiB.
    payload.put_u32(u32::try_from(nal.len()).unwrap_or(u32::MAX));
    payload.put_slice(nal);
}

/// The unsigned Exp-Golomb number that a byte begins with; numbers that do not end in the byte are
/// as one.
fn golomb(byte: u8) -> u32 {
    let zeros = byte.leading_zeros();
    if zeros > 3 { u32::MAX } else { u32::from(byte) >> (7 - 2 * zeros) }
}

/// An AVCDecoderConfigurationRecord with 4-byte lengths; `None` without both kinds of sets, or when
/// they do not fit.
fn record(sps: &[Bytes], pps: &[Bytes]) -> Option<Bytes> {
    let head = sps.first()?.get(1..4)?;
    if pps.is_empty() || sps.len() > SETS_MAX || pps.len() > SETS_MAX {
        return None;
    }
    let mut out = BytesMut::new();
    out.put_u8(1);
    out.put_slice(head);
    // Six and three reserved bits are ones.
    out.put_u8(0xfc | 3);
    out.put_u8(0xe0 | sps.len() as u8);
    let mut put = |list: &[Bytes]| {
        for set in list {
            out.put_u16(u16::try_from(set.len()).ok()?);
            out.put_slice(set);
        }
        Some(())
    };
    put(sps)?;
    let mut tail = BytesMut::new();
    tail.put_u8(pps.len() as u8);
    for set in pps {
        tail.put_u16(u16::try_from(set.len()).ok()?);
        tail.put_slice(set);
    }
    out.extend_from_slice(&tail);
    (out.len() <= CONFIG_MAX).then(|| out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_so_many_sets_and_no_more() {
        let sets = |n| vec![Bytes::from_static(&[0x67, 1, 2, 3]); n];
        assert!(record(&sets(SETS_MAX), &sets(1)).is_some());
        assert!(record(&sets(SETS_MAX + 1), &sets(1)).is_none());
        assert!(record(&sets(1), &sets(SETS_MAX + 1)).is_none());
    }
    use crate::media::codec::h264::{AvcConfig, nals};
    use crate::media::fuzz::seeded;
    use proptest::prelude::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1e, 0xda];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|u| [&[0, 0, 0, 1], *u].concat()).collect()
    }

    #[test]
    fn an_access_unit_keeps_its_slices_and_gives_its_sets_to_the_record() {
        let mut sets = Sets::default();
        let (sei, idr) = (&[6, 5, 1][..], &[0x65, 0x88, 0x84][..]);
        let (payload, record) = sets.unit(&stream(&[&[9, 0xf0], SPS, PPS, sei, idr]));
        let got: Vec<&[u8]> = nals(&payload, 4).map(|n| n.expect("whole")).collect();
        assert_eq!(got, [sei, idr]);
        let record = record.expect("new");
        let config = AvcConfig::parse(&record).expect("a record");
        assert_eq!((config.nal_len_size, config.sps), (4, SPS));
        // The same again is no change; another PPS with the same number is one, and replaces it.
        assert_eq!(sets.unit(&stream(&[SPS, PPS, idr])).1, None);
        let other = [0x68, 0xce, 0x3c, 0x81];
        let (_, changed) = sets.unit(&stream(&[&other, idr]));
        let changed = changed.expect("another");
        assert_eq!(changed.len(), record.len());
        assert!(changed.ends_with(&other));
    }

    #[test]
    fn the_record_of_a_real_stream_is_the_encoders() {
        let avcc = seeded::hex(seeded::BBB_AVCC);
        let len = usize::from(u16::from_be_bytes([avcc[6], avcc[7]]));
        let (sps, rest) = avcc[8..].split_at(len);
        let pps = &rest[3..3 + usize::from(u16::from_be_bytes([rest[1], rest[2]]))];
        let (_, record) = Sets::default().unit(&stream(&[sps, pps]));
        assert_eq!(record.as_deref(), Some(&avcc[..]));
    }

    #[test]
    fn hevc_gives_its_sets_to_the_record() {
        // kvazaar, 400x240.
        let vps = seeded::hex("40010c02ffff0160000003008000000300000300ba000004021024");
        let sps = seeded::hex(
            "4201020160000003008000000300000300ba0000a00c880f16c100864932ac0404000003000400000300
             6420",
        );
        let (pps, idr) = (seeded::hex("4401c062460a6480"), [0x26, 1, 0xaf]);
        let mut sets = HevcSets::default();
        let unit = [&[0x46, 1, 0x10][..], &vps, &sps, &pps, &idr];
        let (payload, record) = sets.unit(&stream(&unit));
        let got: Vec<&[u8]> = nals(&payload, 4).map(|n| n.expect("whole")).collect();
        assert_eq!(got, [idr]);
        let record = record.expect("new");
        let config = hevc::HevcConfig::parse(&record).expect("a record");
        assert_eq!(config.sps().map(|s| (s.width, s.height)), Ok((400, 240)));
        assert_eq!(sets.unit(&stream(&unit)).1, None, "the same again");
        let other = [&pps[..], &[0x80]].concat();
        let changed = sets.unit(&stream(&[&other, &idr])).1.expect("another");
        assert!(changed.ends_with(&other));
    }

    proptest! {
        #[test]
        fn any_bytes_give_whole_units(bytes in proptest::collection::vec(0u8..4, 0..64)) {
            let (payload, _) = Sets::default().unit(&bytes);
            prop_assert!(nals(&payload, 4).all(|n| n.is_ok()));
            let (payload, _) = HevcSets::default().unit(&bytes);
            prop_assert!(nals(&payload, 4).all(|n| n.is_ok()));
        }
    }
}
