//! The format as a stranger meets it: whatever is written is read back, whatever else is thrown at
//! it is survived.

use crate::base::ids::{Generation, Job, Msn, Seq, Session, TrackId, Writer};
use crate::base::time::{Timescale, Wall};
use crate::log::format::durable::Durable;
use crate::log::format::extent::{HEADER_LEN, Header, HeaderError, TRAILER_LEN, footer_start};
use crate::log::format::footer::Footer;
use crate::log::format::fuzz::{fuzz_footer, fuzz_scan, fuzz_stream};
use crate::log::format::index::Indexer;
use crate::log::format::record::{
    FrameError, Record, begin, encode_mark, encode_packet, finish, kind,
};
use crate::log::format::scan::{Scan, Stop};
use crate::log::format::stream::{StreamError, StreamHeader};
use crate::log::format::version::{Range, VERSION, Wrote};
use crate::log::format::{
    CONFIG_MAX, LENGTH_MAX, LIST_MAX, MARK_BYTES_MAX, MARK_MAX, MARKS_MAX, OPEN_SAMPLES_MAX,
    PAYLOAD_MAX, Position, RECORD_MAX, STRING_MAX, Span,
};
use crate::media::codec::VideoRange;
use crate::media::packet::Packet;
use crate::media::timeline::cue::{CUE_CLASS_MAX, CUE_DURATION_MAX, CUE_ID_MAX, Cue};
use crate::media::timeline::mark::{
    End, Gap, GenerationStart, LastSegment, Mark, PartEnd, Rendition, SegmentStart, SessionRecord,
    TrackEnd,
};
use crate::media::track::{Codec, FrameRate, Kind, Track};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn end() -> impl Strategy<Value = End> {
    let last =
        prop_oneof![Just(LastSegment::Complete), Just(LastSegment::Short), Just(LastSegment::Lost)];
    let track = (any::<u16>(), any::<u64>(), any::<u32>(), last)
        .prop_map(|(t, m, parts, last)| TrackEnd { track: TrackId(t), msn: Msn(m), parts, last });
    (any::<u64>(), any::<u64>(), any::<i64>(), vec(track, 0..8), any::<bool>()).prop_map(
        |(msn, dseq, wall, tracks, session_over)| End {
            msn: Msn(msn),
            dseq,
            wall: Wall(wall),
            tracks,
            session_over,
        },
    )
}

fn generation() -> impl Strategy<Value = Mark> {
    let job = || option::of((1u32..).prop_map(Job));
    let writer = (any::<u64>(), job());
    let writer = writer.prop_map(|(g, job)| Writer { generation: Generation(g), job });
    let previous = option::of((writer, end()));
    (any::<[u64; 4]>(), job(), previous).prop_map(|([s, g, base, dseq], job, previous)| {
        Mark::Generation(GenerationStart {
            session: Session(s),
            generation: Generation(g),
            job,
            base: Msn(base),
            dseq,
            previous,
        })
    })
}

fn session() -> impl Strategy<Value = Mark> {
    let rendition = (
        ("[a-z0-9é]{0,40}", any::<u16>(), any::<bool>(), "[a-z0-9.,]{0,40}"),
        any::<u64>(),
        option::of(any::<(u32, u32)>()),
        option::of(any::<u32>()),
        option::of(any::<u8>()),
        ((0u8..3).prop_map(VideoRange::from_number), any::<bool>()),
    )
        .prop_map(
            |(
                (name, track, video, codecs),
                bandwidth,
                resolution,
                fps,
                channels,
                (range, offered),
            )| {
                Rendition {
                    name,
                    track: TrackId(track),
                    kind: if video { Kind::Video } else { Kind::Audio },
                    codecs,
                    bandwidth,
                    resolution,
                    frame_rate_millis: fps,
                    offered,
                    range,
                    channels,
                }
            },
        );
    (any::<[u32; 2]>(), any::<[i64; 3]>(), vec(rendition, 0..6)).prop_map(|(a, b, renditions)| {
        Mark::Session(SessionRecord {
            target_duration: a[0],
            segment: b[0],
            part_target: b[1],
            latency_budget: b[2],
            render: a[1],
            renditions,
        })
    })
}

fn track() -> impl Strategy<Value = Mark> {
    let codec = proptest::sample::select(&Codec::ALL[..]);
    let rate = option::of((1..240u32, 1..2000u32));
    (any::<u16>(), codec, 1..=u32::MAX, rate, vec(any::<u8>(), 0..200)).prop_map(
        |(id, codec, ticks, rate, config)| {
            Mark::Track(Track {
                id: TrackId(id),
                codec,
                timescale: Timescale::new(ticks).expect("not zero"),
                rate: rate.and_then(|(n, d)| FrameRate::new(n, d)),
                config: Bytes::from(config),
            })
        },
    )
}

fn cue() -> impl Strategy<Value = Mark> {
    let word = |least: usize, max: usize| {
        let letter = (0..66_usize).prop_map(|i| {
            let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-";
            char::from(all[i])
        });
        vec(letter, least..=max).prop_map(String::from_iter)
    };
    let times = (any::<[i64; 2]>(), 0..=CUE_DURATION_MAX);
    (word(1, CUE_ID_MAX), word(0, CUE_CLASS_MAX), times, vec(any::<u32>(), 0..90), any::<bool>())
        .prop_map(|(id, class, (walls, duration), data, repeated)| {
            let (start, added, data) = (Wall(walls[0]), Wall(walls[1]), format!("{data:?}"));
            Mark::Cue(Cue { id, class, start, duration, added, data, repeated })
        })
}

fn mark() -> impl Strategy<Value = Mark> {
    let segment = (any::<u16>(), any::<[u64; 3]>(), any::<i64>(), any::<[bool; 2]>()).prop_map(
        |(t, n, wall, b)| {
            Mark::SegmentStart(SegmentStart {
                track: TrackId(t),
                msn: Msn(n[0]),
                dseq: n[1],
                discontinuity: b[0],
                independent: b[1],
                wall: Wall(wall),
                first_seq: Seq(n[2]),
            })
        },
    );
    let part = (any::<(u16, u32)>(), any::<[u64; 4]>(), any::<i64>(), any::<bool>()).prop_map(
        |((t, part), n, duration, independent)| {
            Mark::PartEnd(PartEnd {
                track: TrackId(t),
                msn: Msn(n[0]),
                part,
                first_seq: Seq(n[1]),
                last_seq: Seq(n[2]),
                decode_time: n[3],
                duration,
                independent,
            })
        },
    );
    let gap = (any::<u16>(), option::of(any::<u32>()), any::<[u64; 2]>(), any::<[i64; 2]>())
        .prop_map(|(t, part, n, i)| {
            Mark::Gap(Gap {
                track: TrackId(t),
                msn: Msn(n[0]),
                part,
                duration: i[0],
                wall: Wall(i[1]),
                dseq: n[1],
            })
        });
    let ended = end().prop_map(Mark::End);
    prop_oneof![generation(), session(), track(), segment, part, gap, cue(), ended]
}

fn record() -> impl Strategy<Value = Record> {
    let packet =
        (any::<(u16, i64, i32, bool)>(), option::of(any::<u64>()), vec(any::<u8>(), 0..300))
            .prop_map(|((track, dts, cts, key), seq, payload)| Record::Packet {
                packet: Packet {
                    track: TrackId(track),
                    dts,
                    cts,
                    key,
                    payload: Bytes::from(payload),
                },
                seq: seq.map(Seq),
            });
    prop_oneof![packet, mark().prop_map(Record::Mark)]
}

fn encode(out: &mut BytesMut, record: &Record) -> usize {
    match record {
        Record::Packet { packet, seq } => encode_packet(out, packet, *seq).expect("in the limits"),
        Record::Mark(mark) => encode_mark(out, mark).expect("in the limits"),
        Record::Unknown { kind } => {
            let start = begin(out, *kind, 0, TrackId(0));
            out.put_slice(b"from the future");
            finish(out, start)
        }
    }
}

/// Indexes `bytes` as an extent whose first record lies after the header.
fn index(bytes: &Bytes, mut indexer: Indexer) -> Indexer {
    for r in Scan::new(bytes) {
        let raw = &bytes[r.range.clone()];
        indexer.observe((HEADER_LEN + r.range.start) as u64, raw, &r.record).expect("in limits");
    }
    indexer
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(records in vec(record(), 0..20)) {
        let mut out = BytesMut::new();
        let lens: Vec<usize> = records.iter().map(|r| encode(&mut out, r)).collect();
        let bytes = out.freeze();
        for scan in [Scan::new(&bytes), Scan::trusted(&bytes)] {
            let found: Vec<_> = scan.collect();
            prop_assert_eq!(found.iter().map(|f| f.range.len()).collect::<Vec<_>>(), lens.clone());
            let read: Vec<_> = found.into_iter().map(|f| f.record).collect();
            prop_assert_eq!(read, records.clone());
        }
    }

    #[test]
    fn the_heads_and_claims_are_read_back(
        n in any::<[u64; 3]>(), m in any::<[u32; 2]>(), versions in any::<[u16; 2]>(),
        forced_roll: bool,
    ) {
        let (version, oldest_reader) = (versions[0].max(1), versions[1].max(1));
        let (wrote, generation) = (Wrote { version, oldest_reader }, Generation(n[0]));
        let header = Header { extent: m[0], generation, forced_roll, wrote };
        let all = Range { oldest: 1, newest: u16::MAX };
        prop_assert_eq!(Header::decode_as(all, &header.encode()), Ok(header));
        let position = Position { extent: m[0], offset: n[1] };
        let stream = StreamHeader { version, wrote, generation, position };
        prop_assert_eq!(StreamHeader::decode(&stream.encode(), all), Ok(stream));
        let upto = Position { extent: m[1], offset: n[2] };
        let durable = Durable { generation, at: position, upto };
        let mut out = BytesMut::new();
        durable.encode(&mut out);
        prop_assert_eq!(Durable::decode(&out), Some(durable));
        let found = Durable::search(&out, generation, position);
        prop_assert_eq!(found, (upto <= position).then_some(upto));
        // Anywhere else it is a copy, and no claim.
        let elsewhere = Position { offset: n[1].wrapping_add(1), ..position };
        prop_assert_eq!(Durable::search(&out, generation, elsewhere), None);
    }

    #[test]
    fn a_footer_is_read_back_with_every_mark_verbatim(records in vec(record(), 0..40)) {
        let mut out = BytesMut::new();
        records.iter().for_each(|r| { encode(&mut out, r); });
        let bytes = out.freeze();
        let footer = index(&bytes, Indexer::new()).footer(1000);
        let mut tail = BytesMut::new();
        footer.encode(&mut tail);
        let tail = tail.freeze();
        prop_assert!(tail.len() <= footer.encoded_len());
        let file_len = 1000 + tail.len() as u64;
        prop_assert_eq!(footer_start(file_len, &tail), Some(1000));
        let read = Footer::decode(&tail).expect("just written");
        prop_assert_eq!(&read, &footer);
        let want: Vec<Mark> = records.into_iter().filter_map(|r| match r {
            Record::Mark(m) => Some(m),
            _ => None,
        }).collect();
        prop_assert_eq!(read.marks().map(|m| m.mark).collect::<Vec<_>>(), want);
    }

    #[test]
    fn every_cut_of_a_run_keeps_exactly_the_complete_records(
        records in vec(record(), 1..6), cut in any::<prop::sample::Index>(),
    ) {
        let mut out = BytesMut::new();
        let mut ends = vec![0];
        for r in &records {
            encode(&mut out, r);
            ends.push(out.len());
        }
        let cut = cut.index(out.len());
        let bytes = out.freeze().slice(..cut);
        let good = *ends.iter().rfind(|e| **e <= cut).expect("0 is among them");
        let stop = Scan::new(&bytes).run();
        prop_assert_eq!(stop.at, good);
        prop_assert_eq!(stop.why.is_none(), good == cut);
    }
}

fn sample(track: u16, seq: u64, payload: &[u8]) -> Record {
    let payload = Bytes::copy_from_slice(payload);
    let packet =
        Packet { track: TrackId(track), dts: seq as i64 * 33, cts: 0, key: seq == 0, payload };
    Record::Packet { packet, seq: Some(Seq(seq)) }
}

fn part(track: u16, msn: u64, part: u32, first: u64, last: u64) -> Record {
    Record::Mark(Mark::PartEnd(PartEnd {
        track: TrackId(track),
        msn: Msn(msn),
        part,
        first_seq: Seq(first),
        last_seq: Seq(last),
        decode_time: 0,
        duration: 500_000,
        independent: true,
    }))
}

fn segment(track: u16, msn: u64, wall: i64, first: u64) -> Record {
    Record::Mark(Mark::SegmentStart(SegmentStart {
        track: TrackId(track),
        msn: Msn(msn),
        dseq: 4,
        discontinuity: false,
        independent: true,
        wall: Wall(wall),
        first_seq: Seq(first),
    }))
}

#[test]
fn a_part_names_the_bytes_of_its_samples_even_across_a_roll() {
    let encode_all = |records: &[Record]| {
        let mut out = BytesMut::new();
        let at: Vec<u64> = records
            .iter()
            .map(|r| {
                (HEADER_LEN + {
                    let at = out.len();
                    encode(&mut out, r);
                    at
                }) as u64
            })
            .collect();
        (at, out.freeze())
    };
    // Audio sample 1 comes before audio's first part ends: it belongs to the next part, which ends
    // in extent 1.
    let (at, bytes) = encode_all(&[
        segment(2, 9, 1_000_000, 0),
        sample(2, 0, b"a"),
        sample(1, 0, b"video"),
        sample(2, 1, b"bb"),
        part(2, 9, 0, 0, 0),
    ]);
    let first = index(&bytes, Indexer::new());
    let footer = first.footer(HEADER_LEN as u64 + bytes.len() as u64);
    let position = |extent, offset| Position { extent, offset };
    let spans: Vec<_> = footer.marks().map(|m| m.samples).collect();
    assert_eq!(spans, [None, Some(Span { start: position(0, at[1]), end: position(0, at[2]) })]);

    let (at1, bytes1) = encode_all(&[sample(2, 2, b"c"), part(2, 9, 1, 1, 2)]);
    let second = index(&bytes1, Indexer::resume(&footer));
    let footer1 = second.footer(99_999);
    let span = footer1.marks().next().and_then(|m| m.samples);
    assert_eq!(span, Some(Span { start: position(0, at[3]), end: position(1, at1[1]) }));
    assert_eq!((footer1.msn, footer1.dseq), (Some((Msn(9), Msn(9))), Some(4)));
    assert_eq!(footer1.wall, Some((Wall(2_000_000), Wall(2_000_000))));
    let audio = footer1.tracks.iter().find(|t| t.track == TrackId(2)).expect("seen");
    assert_eq!((audio.next_seq, audio.packets, audio.bytes), (Seq(3), 1, 1));
}

#[test]
fn the_end_is_what_the_marks_amount_to() {
    let start = GenerationStart {
        session: Session(1),
        generation: Generation(1),
        job: None,
        base: Msn(7),
        dseq: 4,
        previous: None,
    };
    let gap = |msn, part| {
        let (duration, wall) = (2_000_000, Wall(50_000_000));
        Record::Mark(Mark::Gap(Gap {
            track: TrackId(1),
            msn: Msn(msn),
            part,
            duration,
            wall,
            dseq: 5,
        }))
    };
    use LastSegment::{Complete, Lost, Short};
    type Case = (&'static str, Vec<Record>, u64, u64, i64, Vec<(u64, u32, LastSegment)>);
    let cases: [Case; 6] = [
        ("nothing", vec![], 6, 4, 0, vec![]),
        ("no part yet", vec![segment(1, 7, 1_000_000, 0)], 7, 4, 1_000_000, vec![(7, 0, Lost)]),
        (
            "two parts",
            vec![segment(1, 7, 1_000_000, 0), part(1, 7, 0, 0, 0), part(1, 7, 1, 1, 1)],
            7,
            4,
            2_000_000,
            vec![(7, 2, Short)],
        ),
        (
            "a gap part",
            vec![segment(1, 7, 1_000_000, 0), part(1, 7, 0, 0, 0), gap(7, Some(1))],
            7,
            5,
            52_000_000,
            vec![(7, 2, Short)],
        ),
        (
            "a gap",
            vec![segment(1, 7, 0, 0), gap(8, None)],
            8,
            5,
            52_000_000,
            vec![(8, 0, Complete)],
        ),
        (
            "the next begins",
            vec![segment(1, 7, 0, 0), part(1, 7, 0, 0, 0), segment(1, 8, 500_000, 1)],
            8,
            4,
            500_000,
            vec![(8, 0, Lost)],
        ),
    ];
    for (name, records, msn, dseq, wall, tracks) in cases {
        let mut out = BytesMut::new();
        records.iter().for_each(|r| {
            encode(&mut out, r);
        });
        let end = index(&out.freeze(), Indexer::new()).end(&start);
        assert_eq!((end.msn, end.dseq, end.wall), (Msn(msn), dseq, Wall(wall)), "{name}");
        let got: Vec<_> = end.tracks.iter().map(|t| (t.msn.0, t.parts, t.last)).collect();
        assert_eq!(got, tracks, "{name}");
    }
}

#[test]
fn records_of_later_versions_are_skipped_by_length() {
    let mut out = BytesMut::new();
    encode(&mut out, &sample(1, 0, b"x"));
    encode(&mut out, &Record::Unknown { kind: 11 });
    encode(&mut out, &Record::Unknown { kind: 200 });
    encode(&mut out, &sample(1, 1, b"y"));
    let bytes = out.freeze();
    let kinds: Vec<u8> = Scan::new(&bytes).map(|r| r.frame.kind).collect();
    assert_eq!(kinds, [kind::PACKET, 11, 200, kind::PACKET]);
    assert_eq!(index(&bytes, Indexer::new()).footer(0).marks().count(), 0);
}

#[test]
fn the_limits_say_what_is_too_large() {
    let mut out = BytesMut::from(&b"before"[..]);
    let payload = Bytes::from(vec![0; PAYLOAD_MAX + 1]);
    let mut packet = Packet { track: TrackId(1), dts: 0, cts: 0, key: false, payload };
    assert_eq!(
        encode_packet(&mut out, &packet, None).expect_err("too large").to_string(),
        "a packet's payload has 16777217, the log's limit is 16777216"
    );
    packet.payload = packet.payload.slice(1..);
    let len = encode_packet(&mut BytesMut::new(), &packet, None).expect("exactly the limit");
    assert_eq!((len, len), (LENGTH_MAX + 8, RECORD_MAX));
    let (renditions, track) = ("a session's list of renditions", "a decoder configuration");
    for (legal, beyond, what, len, max) in [
        (configured(CONFIG_MAX), configured(CONFIG_MAX + 1), track, 65_537, 65_536),
        (named(1, STRING_MAX), named(1, STRING_MAX + 1), "a rendition's name", 256, 255),
        (named(LIST_MAX, STRING_MAX), named(LIST_MAX + 1, 1), renditions, 65, 64),
        (ends(LIST_MAX), ends(LIST_MAX + 1), "an end's list of tracks", 65, 64),
    ] {
        // The largest of each kind is far below the largest mark, so that none is refused for it.
        let size = encode_mark(&mut BytesMut::new(), &legal).expect(what);
        assert!(size < MARK_MAX, "{what}: {size}");
        let said = encode_mark(&mut out, &beyond).expect_err(what).to_string();
        assert_eq!(said, format!("{what} has {len}, the log's limit is {max}"));
    }
    assert_eq!(&out[..], b"before", "a refused record leaves nothing behind");
}

fn configured(bytes: usize) -> Mark {
    Mark::Track(Track {
        id: TrackId(1),
        codec: Codec::H264,
        timescale: Timescale::MILLIS,
        rate: None,
        config: Bytes::from(vec![0; bytes]),
    })
}

fn named(count: usize, name: usize) -> Mark {
    let rendition = Rendition {
        name: "n".repeat(name),
        track: TrackId(1),
        kind: Kind::Audio,
        codecs: "c".repeat(name.min(STRING_MAX)),
        bandwidth: 0,
        resolution: None,
        frame_rate_millis: None,
        offered: true,
        range: VideoRange::Sdr,
        channels: None,
    };
    Mark::Session(SessionRecord {
        target_duration: 1,
        segment: 1,
        part_target: 1,
        latency_budget: 1,
        render: 1,
        renditions: vec![rendition; count],
    })
}

fn ends(count: usize) -> Mark {
    let (msn, wall, last) = (Msn(1), Wall(0), LastSegment::Complete);
    let tracks = vec![TrackEnd { track: TrackId(1), msn, parts: 0, last }; count];
    Mark::End(End { msn, dseq: 0, wall, tracks, session_over: true })
}

#[test]
fn an_extent_has_so_many_marks_and_so_many_bytes_of_them() {
    let small = encode_one(&Record::Mark(ends(0)));
    let large = encode_one(&Record::Mark(configured(CONFIG_MAX)));
    // Each has its offset and a byte for its span beside it; room for a span is asked for too.
    let beside = 9;
    let span = 24;
    let fits = (MARK_BYTES_MAX - span) / (large.len() + beside);
    let bytes = (fits + 1) * (large.len() + beside) + span;
    for (raw, count, said) in [
        (
            &small,
            MARKS_MAX,
            "an extent's list of marks has 32769, the log's limit is 32768".to_owned(),
        ),
        (
            &large,
            fits,
            format!("an extent's marks in bytes has {bytes}, the log's limit is 8388608"),
        ),
    ] {
        let mut indexer = Indexer::new();
        for i in 0..count {
            assert!(i < count / 3 || i >= count / 2 || !indexer.full(), "{i} of {count}");
            indexer.mark(i as u64, raw, None).expect("in the limits");
        }
        assert!(indexer.full(), "the writer rolls long before");
        let refused = indexer.mark(0, raw, None).expect_err("beyond");
        assert_eq!(refused.to_string(), said);
        let mut out = BytesMut::new();
        indexer.footer(0).encode(&mut out);
        assert!(out.len() < RECORD_MAX);
        assert!(Footer::decode(&out.freeze()).is_ok_and(|f| f.marks().count() == count));
    }
}

#[test]
fn the_oldest_of_too_many_waiting_samples_is_forgotten() {
    let raw = encode_one(&sample(1, 0, b"x"));
    for (count, known) in [(OPEN_SAMPLES_MAX as u64, true), (OPEN_SAMPLES_MAX as u64 + 1, false)] {
        let mut indexer = Indexer::new();
        for seq in 0..count {
            indexer.observe(seq * 100, &raw, &sample(1, seq, b"x")).expect("in the limits");
        }
        let end = part(1, 0, 0, 0, count - 1);
        indexer.observe(1 << 30, &encode_one(&end), &end).expect("in the limits");
        let spans: Vec<bool> = indexer.footer(0).marks().map(|m| m.samples.is_some()).collect();
        assert_eq!(spans, [known], "{count}");
    }
}

fn encode_one(record: &Record) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out, record);
    out.freeze()
}

#[test]
fn damage_is_told_from_incompleteness() {
    let mut out = BytesMut::new();
    encode(&mut out, &sample(1, 0, b"first"));
    let first = out.len();
    encode(&mut out, &sample(1, 1, b"second"));
    let mut flipped = out.clone();
    flipped[first + 30] ^= 1;
    let mut long = out.clone();
    long[first + 3] = 0xff;
    let zeros = [&out[..first], &[0; 64]].concat();
    for (name, bytes, why) in [
        ("a bit", flipped.freeze(), FrameError::Checksum),
        ("a length", long.freeze(), FrameError::Length { length: 0xff00_001e }),
        ("zeros", Bytes::from(zeros), FrameError::Length { length: 0 }),
        ("a cut", out.clone().freeze().slice(..first + 9), FrameError::Incomplete { need: 38 }),
        (
            "a cut in the prefix",
            out.freeze().slice(..first + 3),
            FrameError::Incomplete { need: 12 },
        ),
    ] {
        assert_eq!(Scan::new(&bytes).run(), Stop { at: first, why: Some(why) }, "{name}");
    }
}

#[test]
fn a_header_says_what_it_is_not() {
    let header =
        Header { extent: 3, generation: Generation(9), forced_roll: true, wrote: Wrote::TODAY };
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes), Ok(header));
    assert_eq!(Header::decode(&bytes[..31]), Err(HeaderError::Short));
    assert_eq!(Header::decode(&[0; 32]), Err(HeaderError::Magic));
    let mut damaged = bytes;
    damaged[12] = 7;
    assert_eq!(Header::decode(&damaged), Err(HeaderError::Checksum));
    assert_eq!(footer_start(100, &[0; TRAILER_LEN]), None);
}

#[test]
fn a_stream_begins_in_a_version_that_the_reader_asked_for() {
    let (generation, position) = (Generation(9), Position { extent: 2, offset: 4711 });
    let next = Wrote { version: VERSION + 1, oldest_reader: 1 };
    let answer = |reads| StreamHeader::answer(next, reads, generation, position);
    let today = answer(Range::TODAY).expect("an addition locks nobody out");
    assert_eq!(
        (today.version, answer(Range { oldest: 1, newest: VERSION + 1 }).map(|h| h.version)),
        (VERSION, Ok(VERSION + 1))
    );
    let bytes = today.encode();
    assert_eq!(StreamHeader::decode(&bytes, Range::TODAY), Ok(today));
    let later = Range { oldest: VERSION + 1, newest: VERSION + 2 };
    let version = StreamError::Version { version: VERSION, reads: later };
    assert_eq!(StreamHeader::decode(&bytes, later), Err(version.clone()));
    let want = format!("the sender chose version {VERSION}, asked for was {later}");
    assert_eq!(version.to_string(), want);
    assert_eq!(StreamHeader::decode(&bytes[..39], Range::TODAY), Err(StreamError::Short));
    let mut damaged = bytes;
    damaged[20] ^= 1;
    assert_eq!(StreamHeader::decode(&damaged, Range::TODAY), Err(StreamError::Checksum));
    damaged[0] ^= 1;
    assert_eq!(StreamHeader::decode(&damaged, Range::TODAY), Err(StreamError::Magic));
}

#[test]
fn hostile_bytes_are_survived() {
    let mut out = BytesMut::new();
    out.put_slice(
        &Header { extent: 0, generation: Generation(1), forced_roll: false, wrote: Wrote::TODAY }
            .encode(),
    );
    let records = out.len();
    for i in 0..20 {
        encode(&mut out, &segment(1, i, 0, i));
        encode(&mut out, &sample(1, i, &[7; 40]));
        encode(&mut out, &part(1, i, 0, i, i));
    }
    let log = out.split_off(records);
    let mut footer = BytesMut::new();
    index(&log.clone().freeze(), Indexer::new()).footer(5000).encode(&mut footer);
    assert_eq!(fuzz_scan(&log), 60);
    assert_eq!(fuzz_footer(&footer), Some(40));

    // A long run with other seeds: `FUZZ_SEED=7 FUZZ_ROUNDS=10000000 cargo test --lib hostile`.
    let number = |name, or| std::env::var(name).map_or(or, |v: String| v.parse().expect(name));
    let mut state: u64 = number("FUZZ_SEED", 0x9e37_79b9_7f4a_7c15);
    let rounds: u64 = number("FUZZ_ROUNDS", 4000);
    let position = Position { extent: 0, offset: 32 };
    let stream =
        StreamHeader { version: 1, wrote: Wrote::TODAY, generation: Generation(1), position }
            .encode();
    let mut next = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for round in 0..rounds {
        for (seed, scan) in
            [(&log[..], true), (&footer, false), (&out, true), (&stream, true), (b"1-3", true)]
        {
            let mut data = seed.to_vec();
            for _ in 0..=next(4) {
                let at = next(data.len());
                data[at] = next(256) as u8;
            }
            data.truncate(data.len() - next(2) * next(data.len()));
            if [32, 40].contains(&data.len()) && round % 2 == 0 {
                let (to, sum) = (data.len() - 4, crate::log::format::crc(&data[..data.len() - 4]));
                data[to..].copy_from_slice(&sum.to_le_bytes());
            } else if round % 2 == 0 && data.len() > 12 {
                // A right checksum over wrong contents reaches the decoders behind it.
                let len = u32::try_from(data.len() - 8).expect("small");
                data[..4].copy_from_slice(&len.to_le_bytes());
                let sum = crate::log::format::crc(&data[8..]);
                data[4..8].copy_from_slice(&sum.to_le_bytes());
                data[8] = if scan { data[8] % 12 } else { kind::FOOTER };
                let sum = crate::log::format::crc(&data[8..]);
                data[4..8].copy_from_slice(&sum.to_le_bytes());
            }
            fuzz_stream(&[&stream[..], &data].concat());
            if scan {
                fuzz_scan(&data);
            } else {
                fuzz_footer(&data);
            }
        }
    }
}
