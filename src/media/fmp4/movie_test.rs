//! The head of a movie, read back with the box crate.

use super::*;
use mp4_atom::{Atom, Decode, Header, ReadFrom};

fn track(samples: u32, cts: i32) -> MovieTrack {
    let sample = |i: u32| MovieSample {
        duration: if i + 1 == samples { 5000 } else { 3000 },
        cts: if i.is_multiple_of(2) { cts } else { 0 },
        size: 100 + i,
        key: i.is_multiple_of(4),
    };
    let chunk =
        |i: u32| MovieChunk { offset: u64::from(i) * 1_000_000, samples: 2, description: 1 };
    let avcc = mp4_atom::Avcc { configuration_version: 1, length_size: 4, ..Default::default() };
    let visual = mp4_atom::Visual { width: 320, height: 180, ..Default::default() };
    let entry = mp4_atom::Avc1 { visual, avcc, ..Default::default() };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes).expect("an entry");
    MovieTrack {
        number: 1,
        kind: Kind::Video,
        timescale: Timescale::new(90_000).expect("not zero"),
        entries: vec![bytes.into()],
        shown: (320, 180),
        edits: vec![
            Edit { media: None, duration: 7 },
            Edit { media: Some(6000), duration: 1 << 33 },
        ],
        samples: (0..samples).map(sample).collect(),
        chunks: (0..samples / 2).map(chunk).collect(),
    }
}

fn movie(track: MovieTrack) -> Movie {
    Movie { timescale: Timescale::MILLIS, recorded: 0, tracks: vec![track] }
}

/// The moov, the file offset of the first byte of media, and the mdat's own size.
fn read(head: &Bytes, media: u64) -> (mp4_atom::Moov, u64, u64) {
    let mut rest = &head[..];
    mp4_atom::Ftyp::read_from(&mut rest).expect("ftyp");
    let moov = mp4_atom::Moov::read_from(&mut rest).expect("moov");
    let mdat = Header::decode(&mut rest).expect("mdat's header");
    assert!(rest.is_empty());
    assert_eq!((mdat.kind, mdat.size), (mp4_atom::Mdat::KIND, Some(media as usize)));
    (moov, head.len() as u64, media)
}

#[test]
fn tables_say_what_the_samples_are() {
    let all = track(8, -1500);
    let (moov, media_at, _) =
        read(&head(&movie(all.clone()), 4_000_000).expect("a head"), 4_000_000);
    let t = &moov.trak[0];
    let stbl = &t.mdia.minf.stbl;
    let spread = |entries: Vec<(u32, i64)>| -> Vec<i64> {
        entries.into_iter().flat_map(|(n, v)| std::iter::repeat_n(v, n as usize)).collect()
    };
    let stts = stbl.stts.entries.iter().map(|e| (e.sample_count, e.sample_delta.into()));
    assert_eq!(stbl.stts.entries.len(), 2, "equal neighbours are counted");
    let durations: Vec<i64> = all.samples.iter().map(|s| s.duration.into()).collect();
    assert_eq!(spread(stts.collect()), durations);
    let ctts = stbl.ctts.as_ref().expect("offsets").entries.iter();
    let offsets: Vec<i64> = all.samples.iter().map(|s| s.cts.into()).collect();
    assert_eq!(spread(ctts.map(|e| (e.sample_count, e.sample_offset)).collect()), offsets);
    assert_eq!(stbl.stss.as_ref().expect("keys").entries, [1, 5]);
    let sizes = all.samples.iter().map(|s| s.size).collect();
    assert_eq!(stbl.stsz.samples, mp4_atom::StszSamples::Different { sizes });
    assert_eq!(stbl.stsc.entries.len(), 1);
    assert_eq!(stbl.stsc.entries[0].samples_per_chunk, 2);
    let stco = &stbl.stco.as_ref().expect("32 bits are enough").entries;
    let want: Vec<u32> = all.chunks.iter().map(|c| (media_at + c.offset) as u32).collect();
    assert_eq!(*stco, want);
    let elst = &t.edts.as_ref().and_then(|e| e.elst.as_ref()).expect("edits").entries;
    assert_eq!((elst[0].media_time, elst[0].segment_duration), (None, 7));
    assert_eq!((elst[1].media_time, elst[1].segment_duration), (Some(6000), 1 << 33));
    assert_eq!(moov.mvhd.duration, (1 << 33) + 7);
}

#[test]
fn more_than_four_gigabytes_have_wide_offsets() {
    let mut all = track(4, 0);
    all.chunks[1].offset = 5 << 30;
    let media = 6 << 30;
    let (moov, media_at, _) = read(&head(&movie(all), media).expect("a head"), media);
    let stbl = &moov.trak[0].mdia.minf.stbl;
    let co64 = stbl.co64.as_ref().expect("64 bits");
    assert_eq!(co64.entries, [media_at, media_at + (5 << 30)]);
    assert!(stbl.stco.is_none() && stbl.ctts.is_none());
}

#[test]
fn a_fragmented_movie_has_no_samples_but_their_defaults() {
    let fragmented = MovieTrack { samples: Vec::new(), chunks: Vec::new(), ..track(4, 0) };
    let bytes = fragmented_head(&movie(fragmented)).expect("a head");
    let mut rest = &bytes[..];
    mp4_atom::Ftyp::read_from(&mut rest).expect("ftyp");
    let moov = mp4_atom::Moov::read_from(&mut rest).expect("moov");
    let mvex = moov.mvex.expect("it is fragmented");
    assert_eq!(mvex.trex[0].default_sample_description_index, 1);
    assert_eq!(moov.mvhd.duration, 0);
}
