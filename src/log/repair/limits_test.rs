//! What a repair is bounded by, and what a person is told when a bound is met.

use crate::base::ids::{Generation, Msn, Seq, TrackId};
use crate::base::time::{MICROS, Wall};
use crate::log::format::extent::Header;
use crate::log::format::record::encode_packet;
use crate::log::repair::lane::{Calendar, FILL_MAX, GAP_MIN, Lane, Limits, PARTS_MAX};
use crate::log::repair::repair_test::{Memory, dir};
use crate::log::repair::samples::Samples;
use crate::log::repair::scan::{DAMAGE_MAX, EXTENT_MAX};
use crate::log::repair::{MISSING_MAX, RepairError, repair};
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Gap, Mark, PartEnd, SegmentStart};
use bytes::{Bytes, BytesMut};

const TRACK: TrackId = TrackId::VIDEO;

fn header() -> Vec<u8> {
    let header = Header {
        extent: 0,
        generation: Generation(3),
        forced_roll: false,
        wrote: crate::log::format::version::Wrote::TODAY,
    };
    header.encode().to_vec()
}

fn refused(memory: &Memory) -> String {
    let e = repair(memory, dir(), false, &mut |_| {}).expect_err("refused");
    assert!(matches!(e, RepairError::Foreign { .. }), "{e}");
    e.to_string()
}

#[test]
fn a_file_larger_than_any_extent_is_left_alone() {
    let mut memory = Memory::default();
    memory.says_len = Some(EXTENT_MAX + 1);
    memory.put(0, &header());
    let said =
        "/00000000.extent: it is larger than any extent; it is left alone, and so is its log";
    assert!(refused(&memory).ends_with(said), "{}", refused(&memory));
}

#[test]
fn so_many_extents_may_be_missing() {
    let memory = Memory::default();
    memory.put(0, &header());
    memory.put(MISSING_MAX + 2, &header());
    let said = format!("{} extents before it are missing", MISSING_MAX + 1);
    assert!(refused(&memory).contains(&said), "{}", refused(&memory));
}

#[test]
fn a_report_lists_so_many_damaged_places() {
    let mut bytes = BytesMut::from(&header()[..]);
    let count = 2 * (DAMAGE_MAX as u64 + 5);
    for seq in 0..count {
        let payload = Bytes::from_static(b"media");
        let packet = Packet { track: TRACK, dts: seq as i64, cts: 0, key: true, payload };
        encode_packet(&mut bytes, &packet, Some(Seq(seq))).expect("small");
        if seq % 2 == 0 {
            *bytes.last_mut().expect("a record") ^= 1;
        }
    }
    let memory = Memory::default();
    memory.put(0, &bytes);
    let r = repair(&memory, dir(), true, &mut |_| {}).expect("looked at");
    let e = &r.extents[0];
    assert_eq!(
        (e.damage.len(), e.packets_lost, e.records_kept),
        (DAMAGE_MAX, count / 2, count / 2)
    );
}

fn start(msn: u64, wall: i64) -> SegmentStart {
    SegmentStart {
        track: TRACK,
        msn: Msn(msn),
        dseq: 0,
        discontinuity: false,
        independent: true,
        wall: Wall(wall),
        first_seq: Seq(0),
    }
}

/// A lane whose segment 10 began at 0 and behind which records are missing.
fn holed() -> Lane {
    let mut lane = Lane::new(TRACK);
    lane.configure(None);
    lane.segment_start(&start(10, 0), Limits::default(), &Calendar::new());
    lane.hole();
    lane
}

fn gaps(marks: &[Mark]) -> Vec<&Gap> {
    let mut gaps = Vec::new();
    for m in marks {
        let Mark::Gap(g) = m else { panic!("nothing but gaps goes in: {m:?}") };
        gaps.push(g);
    }
    gaps
}

#[test]
fn so_many_segments_are_filled_in_and_none_is_shorter_than_the_least() {
    let (limits, calendar) = (Limits::default(), Calendar::new());
    let most = 10 + FILL_MAX + 1;
    let filled = holed().segment_start(&start(most, 0), limits, &calendar);
    let whole = gaps(&filled.before);
    assert_eq!(whole.iter().filter(|g| g.part.is_none()).count() as u64, FILL_MAX);
    assert!(whole.iter().all(|g| g.duration == GAP_MIN), "the clock left no time");
    let left = holed().segment_start(&start(most + 1, 0), limits, &calendar);
    assert!(gaps(&left.before).iter().all(|g| g.part.is_some()), "readers fill in the rest");
}

#[test]
fn so_many_parts_are_filled_in() {
    let part = |part| PartEnd {
        track: TRACK,
        msn: Msn(10),
        part,
        first_seq: Seq(0),
        last_seq: Seq(0),
        decode_time: 0,
        duration: MICROS,
        independent: true,
    };
    let (limits, calendar) = (Limits::default(), Calendar::new());
    let mut samples = Samples::default();
    samples.add(TRACK, Seq(0));
    let most = PARTS_MAX as u32;
    let v = holed().part_end(&part(most), &samples, limits, &calendar);
    assert_eq!((gaps(&v.before).len(), v.drop), (PARTS_MAX as usize, false));
    // Beyond that it is no part of what came before: a gap as well.
    let v = holed().part_end(&part(most + 1), &samples, limits, &calendar);
    assert_eq!((gaps(&v.before).len(), v.drop), (PARTS_MAX as usize + 1, true));
}
