//! Files: the real clip in any pieces, round trips, and damage.

use crate::media::flv::FlvError;
use crate::media::flv::file::{FlvReader, FlvWriter, HEADER_MAX, Tag, TagKind};
use crate::media::fuzz::seeded::BBB;
use bytes::Bytes;

fn read(reader: &mut FlvReader) -> Vec<Tag> {
    std::iter::from_fn(|| reader.next_tag().expect("a good file")).collect()
}

fn clip() -> Vec<Tag> {
    read(&mut FlvReader::from_bytes(Bytes::from_static(BBB)))
}

#[test]
fn the_clip_has_its_tags_in_any_pieces() {
    let tags = clip();
    let count = |kind| tags.iter().filter(|t| t.kind == kind).count();
    // ffprobe counts 250 packets of video and 432 of audio; the rest are configurations and an end.
    let got = (count(TagKind::Script), count(TagKind::Video), count(TagKind::Audio));
    assert_eq!(got, COUNTS);
    for size in [1, 7, 4096] {
        let (mut reader, mut got) = (FlvReader::new(), Vec::new());
        for piece in BBB.chunks(size) {
            reader.push(piece);
            got.extend(read(&mut reader));
        }
        assert_eq!(got, tags, "pieces of {size}");
        assert_eq!(reader.offset(), BBB.len() as u64);
    }
}

const COUNTS: (usize, usize, usize) = (1, 252, 433);

#[test]
fn a_written_file_reads_back() {
    let tags = [
        Tag { kind: TagKind::Script, timestamp: 0, body: Bytes::from_static(&[2]) },
        Tag { kind: TagKind::Video, timestamp: 0x00ff_ffff, body: Bytes::from_static(b"video") },
        Tag { kind: TagKind::Audio, timestamp: u32::MAX, body: Bytes::new() },
    ];
    let mut writer = FlvWriter::new(true, true);
    for t in &tags {
        writer.tag(t.kind, t.timestamp, &t.body).expect("small");
    }
    let file = writer.take();
    assert_eq!(&file[..13], b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    assert_eq!(&file[13..24], &[18, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&file[file.len() - 15..], &[8, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 11]);
    assert_eq!(read(&mut FlvReader::from_bytes(file)), tags);
    let long = vec![0; 0x100_0000];
    assert!(writer.tag(TagKind::Video, 0, &long).is_err());
    assert!(writer.take().is_empty(), "nothing is written of a tag that does not fit");
}

#[test]
fn a_cut_file_ends_and_wrong_trailers_do_not_matter() {
    let tags = clip();
    let mut reader = FlvReader::from_bytes(Bytes::from_static(&BBB[..BBB.len() - 9]));
    assert_eq!(read(&mut reader).len(), tags.len() - 1);
    let mut file = BBB.to_vec();
    let second = 13 + 11 + tags[0].body.len();
    file[second..second + 4].copy_from_slice(&[0xff; 4]);
    assert_eq!(read(&mut FlvReader::from_bytes(file.into())), tags);
}

#[test]
fn the_longest_header_is_skipped_and_a_longer_one_refused() {
    let file = |header: u32| {
        let mut file = BBB[..5].to_vec();
        file.extend_from_slice(&header.to_be_bytes());
        file.resize(header as usize, 0);
        file.extend_from_slice(&BBB[9..]);
        FlvReader::from_bytes(file.into())
    };
    assert_eq!(read(&mut file(HEADER_MAX)), clip());
    let refused = file(HEADER_MAX + 1).next_tag().expect_err("too long").to_string();
    assert_eq!(refused, "FLV file at byte 0: the header's length is not believable");
}

#[test]
fn garbage_is_refused_with_its_place() {
    let at = |file: &[u8]| {
        let mut reader = FlvReader::new();
        reader.push(file);
        loop {
            match reader.next_tag() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(FlvError::File { at, .. }) => return Some(at),
                Err(e) => panic!("{e}"),
            }
        }
    };
    assert_eq!(at(b"\x00\x00\x00\x18ftyp"), Some(0));
    assert_eq!(at(b"FLV\x01\x05\xff\0\0\x09"), Some(0));
    assert_eq!(at(b"FL"), None);
    let mut file = BBB.to_vec();
    let second = 13 + 11 + clip()[0].body.len() + 4;
    file[second] = 0x47;
    assert_eq!(at(&file), Some(second as u64));
}
