//! A seeded smoke run of the fuzz bodies over mutations of valid inputs.

use super::*;
use crate::rtmp::amf0::{Amf0, write_all};
use crate::rtmp::chunk_writer::ChunkWriter;
use crate::rtmp::limits::CHUNK_SIZE_OUT;

/// xorshift64*, seeded with a constant so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    /// Flips, overwrites, cuts, repeats and inserts bytes, one to eight times.
    fn mutate(&mut self, valid: &[u8]) -> Vec<u8> {
        const EDGES: [u8; 10] = [0, 1, 2, 3, 0x7F, 0x80, 0xC3, 0xFF, 0x08, 0x0A];
        let mut v = valid.to_vec();
        for _ in 0..=self.below(8) {
            if v.is_empty() {
                break;
            }
            let at = self.below(v.len());
            match self.below(6) {
                0 => v[at] ^= 1 << self.below(8),
                1 => v[at] = EDGES[self.below(EDGES.len())],
                2 => v.truncate(at),
                3 => {
                    let end = (at + self.below(40)).min(v.len());
                    v.drain(at..end);
                }
                4 => {
                    let end = (at + self.below(200)).min(v.len());
                    let piece = v[at..end].to_vec();
                    v.splice(at..at, piece);
                }
                _ => v.insert(at, self.below(256) as u8),
            }
        }
        v
    }
}

/// A whole publish after the handshake, with metadata, both media and an end.
fn valid_session() -> Vec<u8> {
    let s = Amf0::string;
    let n = Amf0::Number;
    let list = Amf0::StrictArray(vec![s("avc1"), s("hvc1")]);
    let object =
        Amf0::object([("app", s("live")), ("tcUrl", s("rtmp://h/live")), ("fourCcList", list)]);
    let meta = Amf0::EcmaArray(vec![
        ("width".into(), n(1280.0)),
        ("when".into(), Amf0::Date(0.0)),
        ("long".into(), Amf0::LongString("x".into())),
    ]);
    let mut w = ChunkWriter::default();
    let mut out = Vec::new();
    let mut put = |w: &mut ChunkWriter, type_id, stream, time, body: &[u8]| {
        out.extend_from_slice(&w.write(type_id, stream, time, body).expect("fits"));
    };
    put(&mut w, 20, 0, 0, &write_all(&[s("connect"), n(1.0), object]));
    put(&mut w, 5, 0, 0, &[0, 0, 1, 0]);
    put(&mut w, 20, 0, 0, &write_all(&[s("createStream"), n(2.0), Amf0::Null]));
    put(&mut w, 20, 1, 0, &write_all(&[s("publish"), n(3.0), Amf0::Null, s("k?t=1"), s("live")]));
    put(&mut w, 18, 1, 0, &write_all(&[s("@setDataFrame"), s("onMetaData"), meta]));
    put(&mut w, 9, 1, 0, &[0x17; 50]);
    put(&mut w, 8, 1, 0, &[0xAF; 7]);
    put(&mut w, 2, 0, 0, &[0, 0, 0, 6]);
    put(&mut w, 4, 0, 0, &[0, 6, 0, 0, 0, 1]);
    let tag = [9, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 7, 0, 0, 0, 12];
    put(&mut w, 22, 1, 40, &[tag, tag].concat());
    put(&mut w, 9, 1, 0x0100_0000, &[0x27; 300]);
    put(&mut w, 20, 1, 0, &write_all(&[s("deleteStream"), n(4.0), Amf0::Null, n(1.0)]));
    out
}

#[test]
fn mutated_chunk_streams() {
    let valid = valid_session();
    let large = ChunkWriter::default().set_chunk_size(CHUNK_SIZE_OUT).to_vec();
    let mut random = Random(0x5EED_0001);
    fuzz_chunk(&valid);
    for _ in 0..20_000 {
        fuzz_chunk(&random.mutate(&valid));
        fuzz_chunk(&random.mutate(&large));
    }
}

#[test]
fn mutated_amf0() {
    let deep = (0..12).fold(Amf0::Null, |inner, _| Amf0::object([("a", inner)]));
    let values = [
        Amf0::string("onMetaData"),
        Amf0::EcmaArray(vec![("k".into(), Amf0::Date(1.0)), ("t".into(), deep)]),
        Amf0::StrictArray(vec![Amf0::Number(f64::NAN), Amf0::Boolean(true)]),
        Amf0::Typed("C".into(), vec![("l".into(), Amf0::LongString("é".into()))]),
    ];
    let valid = write_all(&values);
    let mut random = Random(0x5EED_0002);
    for _ in 0..50_000 {
        fuzz_amf0(&random.mutate(&valid));
    }
}

#[test]
fn mutated_sessions() {
    let valid = valid_session();
    // Publish, metadata, video, audio, the aggregate's two videos, video, the end.
    assert_eq!(fuzz_server(&valid), 8);
    let mut random = Random(0x5EED_0003);
    for _ in 0..3_000 {
        fuzz_server(&random.mutate(&valid));
    }
}

#[test]
fn noise_after_the_handshake() {
    let mut random = Random(0x5EED_0004);
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..random.below(600)).map(|_| random.below(256) as u8).collect();
        fuzz_chunk(&noise);
        fuzz_amf0(&noise);
        fuzz_server(&noise);
    }
}
