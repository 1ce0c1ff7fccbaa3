//! The cut on made-up streams, under a checker that knows what every log must keep.

use super::*;
use crate::base::ids::TrackId;
use crate::base::time::{MICROS, Timescale};
use crate::media::codec::FrameLength;
use crate::media::timeline::part_target::{common_part_target, part_target};
use bytes::Bytes;
use std::collections::HashMap;

const WALL0: i64 = 1_700_000_000 * MICROS;

fn video(fps_frame: i64) -> Plan {
    let mux = Timescale::new(90_000).expect("not zero");
    Plan {
        track: TrackId::VIDEO,
        kind: Kind::Video,
        timescale: Timescale::MILLIS,
        mux,
        frame: fps_frame,
        frames: None,
    }
}

fn audio() -> Plan {
    let mux = Timescale::new(48_000).expect("not zero");
    Plan {
        track: TrackId::AUDIO,
        kind: Kind::Audio,
        timescale: Timescale::MILLIS,
        mux,
        frame: 21_333,
        frames: Some(FrameLength::Fixed(1024)),
    }
}

fn config(frame: i64) -> Config {
    Config {
        segment: 2 * MICROS,
        target_duration: 4 * MICROS,
        part_target: part_target(500_000, frame),
        pace: Pace::Wall,
    }
}

fn at(ms: i64) -> Now {
    Now { mono: Mono(ms as u64 * 1000), wall: Wall(WALL0 + ms * 1000) }
}

fn pkt(track: TrackId, dts: i64, cts: i32, key: bool) -> Packet {
    Packet { track, dts, cts, key, payload: Bytes::from_static(b"x") }
}

/// Reads a cut's output as any reader would and fails on what no log may hold.
#[derive(Default)]
struct Checker {
    part_target: i64,
    limit: i64,
    /// Per track: open segment (msn, listed µs, parts), next seq, last msn done, dseq, wall.
    open: HashMap<TrackId, (Msn, i64, u32)>,
    next_seq: HashMap<TrackId, u64>,
    marked: HashMap<TrackId, u64>,
    last_msn: HashMap<TrackId, Msn>,
    wall: HashMap<TrackId, Wall>,
    dseq: HashMap<TrackId, u64>,
    starts: Vec<SegStart>,
    gaps: Vec<(TrackId, Msn, Option<u32>, i64)>,
    parts: Vec<(TrackId, Msn, i64)>,
    unlisted: usize,
    listed: usize,
}
type SegStart = (TrackId, Msn, bool, bool, Wall);

impl Checker {
    fn new(c: &Config) -> Checker {
        Checker { part_target: c.part_target, limit: c.target_duration, ..Checker::default() }
    }

    fn new_segment(&mut self, t: TrackId, msn: Msn, dseq: u64, wall: Wall) {
        if let Some(last) = self.last_msn.get(&t) {
            assert_eq!(msn, last.next(), "track {t}: MSNs have no hole and never repeat");
        }
        self.last_msn.insert(t, msn);
        assert!(self.dseq.get(&t).is_none_or(|d| dseq >= *d), "dseq went back");
        self.dseq.insert(t, dseq);
        let before = self.wall.insert(t, wall);
        assert!(before.is_none_or(|w| w < wall), "track {t} msn {msn}: {before:?} !< {wall:?}");
    }

    fn take(&mut self, out: Output) {
        match out {
            Output::Packet(p, Some(seq)) => {
                let next = self.next_seq.entry(p.track).or_default();
                assert_eq!(seq.0, *next, "seqs have no hole");
                *next += 1;
                self.listed += 1;
            }
            Output::Packet(_, None) => self.unlisted += 1,
            Output::Mark(Mark::SegmentStart(s)) => {
                self.new_segment(s.track, s.msn, s.dseq, s.wall);
                assert_eq!(s.first_seq.0, *self.marked.entry(s.track).or_default(), "{s:?}");
                self.open.insert(s.track, (s.msn, 0, 0));
                self.starts.push((s.track, s.msn, s.discontinuity, s.independent, s.wall));
            }
            Output::Mark(Mark::PartEnd(p)) => {
                let marked = self.marked.entry(p.track).or_default();
                assert_eq!(p.first_seq.0, *marked, "a mark governs what no mark governed: {p:?}");
                assert!(p.last_seq >= p.first_seq);
                *marked = p.last_seq.0 + 1;
                assert!(*marked <= self.next_seq[&p.track], "marks only what was written");
                self.add(p.track, p.msn, p.part, p.duration);
                self.parts.push((p.track, p.msn, p.duration));
            }
            Output::Mark(Mark::Gap(g)) => {
                self.gaps.push((g.track, g.msn, g.part, g.duration));
                match g.part {
                    Some(part) => {
                        if self.open.get(&g.track).is_none_or(|o| o.0 != g.msn) {
                            self.new_segment(g.track, g.msn, g.dseq, g.wall);
                            self.open.insert(g.track, (g.msn, 0, 0));
                        }
                        self.add(g.track, g.msn, part, g.duration);
                    }
                    None => {
                        if self.open.get(&g.track).is_none_or(|o| o.0 != g.msn) {
                            self.new_segment(g.track, g.msn, g.dseq, g.wall);
                        }
                        assert!(g.duration <= self.limit && g.duration > 0, "{g:?}");
                        self.open.remove(&g.track);
                    }
                }
            }
            Output::Mark(_) => {}
        }
    }

    fn add(&mut self, t: TrackId, msn: Msn, part: u32, d: i64) {
        let o = self.open.get_mut(&t).expect("a part lies in an open segment");
        assert_eq!((o.0, o.2), (msn, part), "track {t}");
        assert!(d > 0 && d <= self.part_target, "part of {d} µs");
        o.1 += d;
        o.2 += 1;
        assert!(o.1 < self.limit + MICROS / 2, "segment {msn} of track {t} lasts {} µs", o.1);
    }

    fn drain(&mut self, c: &mut Cutter) {
        while let Some(o) = c.poll_output() {
            self.take(o);
        }
    }
}

fn base() -> Base {
    Base { msn: Msn(100), dseq: 0, previous: None }
}

/// Publishes `ms` of 25 fps video (IDR every `gop` frames) and 48 kHz audio from media time `t0` at
/// wall offset `w0`.
fn publish(c: &mut Cutter, k: &mut Checker, w0: i64, t0: i64, ms: i64, gop: i64) {
    let mut a = 0;
    for f in 0..ms / 40 {
        let t = f * 40;
        while a * 1024 * 1000 / 48_000 <= t {
            let ts = a * 1024 * 1000 / 48_000;
            c.packet(at(w0 + t), pkt(TrackId::AUDIO, t0 + ts, 0, true));
            a += 1;
            k.drain(c);
        }
        c.packet(at(w0 + t), pkt(TrackId::VIDEO, t0 + t, 0, f % gop == 0));
        k.drain(c);
    }
}

/// Lets the clock run from `from` to `to` in steps of what the cut asks for.
fn idle(c: &mut Cutter, k: &mut Checker, from: i64, to: i64) {
    let mut now = from;
    while let Some(next) = c.poll_timeout() {
        now = now.max((next.0 as i64 + 999) / 1000);
        if now > to {
            break;
        }
        c.handle_timeout(at(now));
        k.drain(c);
    }
}

fn cutter() -> (Cutter, Checker) {
    let cfg = config(40_000);
    (Cutter::new(cfg, &[video(40_000), audio()], base(), at(0)), Checker::new(&cfg))
}

#[test]
fn a_steady_stream_is_cut_at_its_idrs_and_every_sample_is_listed() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 5, 10_000, 50);
    c.end(at(10_000), true);
    k.drain(&mut c);
    assert_eq!(k.unlisted, 0);
    let v: Vec<_> = k.starts.iter().filter(|s| s.0 == TrackId::VIDEO).collect();
    assert_eq!(v.iter().map(|s| s.1.0).collect::<Vec<_>>(), [100, 101, 102, 103, 104]);
    assert!(v.iter().all(|s| s.3 && !s.2), "independent, no discontinuity");
    let a = k.starts.iter().filter(|s| s.0 == TrackId::AUDIO).count();
    assert_eq!(a, 5, "audio follows");
    let sum = |t| k.parts.iter().filter(|p| p.0 == t).map(|p| p.2).sum::<i64>();
    assert_eq!(sum(TrackId::VIDEO), 10 * MICROS);
    assert_eq!(sum(TrackId::AUDIO), k.next_seq[&TrackId::AUDIO] as i64 * 21_333);
    // The 85 % rule (P05): all but the last part of a segment.
    for w in k.parts.windows(2).filter(|w| w[0].0 == w[1].0 && w[0].1 == w[1].1) {
        assert!(w[0].2 * 100 >= 85 * k.part_target, "{w:?}");
    }
}

/// Opus says in each packet how long it is: 20 ms, three of 20 ms, 2.5 ms.
#[test]
fn sound_that_says_how_long_it_is_lies_end_to_end() {
    let mut plan = audio();
    (plan.frame, plan.frames) = (20_000, Some(FrameLength::InPacket { usual: 960 }));
    let cfg = Config { part_target: common_part_target(200_000, &[20_000]), ..config(20_000) };
    let mut c = Cutter::new(cfg, &[plan], base(), at(0));
    let mut k = Checker::new(&cfg);
    let kinds: [(&'static [u8], i64); 3] = [(&[0xf8, 1], 960), (&[0xfb, 3], 2_880), (&[0xe0], 120)];
    let (mut ticks, mut ends) = (0, Vec::new());
    for i in 0..600 {
        let (payload, lasts) = kinds[i / 10 % 3];
        let dts = (ticks * 1_000 + 24_000) / 48_000;
        let mut p = pkt(TrackId::AUDIO, dts, 0, true);
        p.payload = Bytes::from_static(payload);
        c.packet(at(dts), p);
        ticks += lasts;
        while let Some(out) = c.poll_output() {
            if let Output::Mark(Mark::PartEnd(p)) = &out {
                ends.push((p.decode_time as i64, p.duration));
            }
            k.take(out);
        }
    }
    c.end(at(0), true);
    k.drain(&mut c);
    assert_eq!((k.unlisted, k.listed), (0, 600));
    for w in ends.windows(2) {
        assert_eq!(w[1].0 - w[0].0, w[0].1 * 48 / 1_000, "{w:?}");
    }
    let all: i64 = k.parts.iter().map(|p| p.2).sum();
    assert_eq!(all, ticks * 1_000 / 48);
}

/// GOPs of 2 s with pictures that lead their key frame: the first key frame is decoded early.
#[test]
fn open_gops_are_cut_at_their_key_frames() {
    let cfg = config(40_000);
    let mut c = Cutter::new(cfg, &[video(40_000)], base(), at(0));
    let mut k = Checker::new(&cfg);
    // In decoding order: a key frame or a P, then the three that are shown before it.
    let mut order = vec![0i64];
    for g in 0..100 {
        order.extend([4 * g + 4, 4 * g + 1, 4 * g + 2, 4 * g + 3]);
    }
    for (n, shown) in order.iter().enumerate() {
        let dts = n as i64 * 40;
        let cts = (*shown * 40 + 120 - dts) as i32;
        c.packet(at(dts), pkt(TrackId::VIDEO, dts, cts, shown % 52 == 0));
        k.drain(&mut c);
    }
    assert!(k.starts.len() > 6 && k.starts.iter().all(|s| s.3), "{:?}", k.starts);
}

#[test]
fn a_part_closes_with_its_last_sample() {
    let (mut c, _) = cutter();
    for f in 0..13 {
        c.packet(at(f * 40), pkt(TrackId::VIDEO, f * 40, 0, f == 0));
    }
    let ends = std::iter::from_fn(|| c.poll_output())
        .filter(|o| matches!(o, Output::Mark(Mark::PartEnd(_))))
        .count();
    assert_eq!(ends, 1, "13 frames of 40 ms make a part of 520 ms without waiting for the 14th");
}

#[test]
fn a_gop_over_the_limit_is_cut_where_no_later_picture_is_shown_earlier() {
    let cfg = config(40_000);
    let mut c = Cutter::new(cfg, &[video(40_000)], base(), at(0));
    let mut k = Checker::new(&cfg);
    // IDR, then groups of P B B in decode order, one 12 s GOP: presentation 2 frames late.
    let mut order = vec![(0i64, true)];
    for g in 0..100 {
        order.extend([(3 + 3 * g, false), (1 + 3 * g, false), (2 + 3 * g, false)]);
    }
    let mut pts_of = Vec::new();
    for (n, (pts, key)) in order.iter().enumerate() {
        let dts = n as i64 * 40;
        let cts = (*pts * 40 + 40 - dts) as i32;
        pts_of.push(*pts);
        c.packet(at(dts), pkt(TrackId::VIDEO, dts, cts, *key));
        k.drain(&mut c);
    }
    let starts = &k.starts;
    assert!(starts.len() >= 3 && !starts[1].3 && starts[0].3, "{starts:?}");
    // Each start's first sample: every later PTS is larger than every earlier one.
    let per_segment: Vec<i64> = {
        let mut sums: HashMap<Msn, i64> = HashMap::new();
        for p in &k.parts {
            *sums.entry(p.1).or_default() += p.2;
        }
        let mut v: Vec<_> = sums.into_iter().collect();
        v.sort();
        v.into_iter().map(|x| x.1 / 40_000).collect()
    };
    let mut first = 0usize;
    for n in per_segment {
        let (before, after) = pts_of.split_at(first);
        if let (Some(b), Some(a)) = (before.iter().max(), after.iter().min()) {
            assert!(a > b, "cut at sample {first}");
        }
        first += n as usize;
    }
}

#[test]
fn sound_that_overlaps_itself_is_left_out_and_time_never_goes_back() {
    let (mut c, mut k) = cutter();
    let mut times = Vec::new();
    for f in 0..100 {
        c.packet(at(f * 40), pkt(TrackId::VIDEO, f * 40, 0, f % 50 == 0));
        // The first five frames of sound have one and the same timestamp.
        for a in (f * 40 * 48 + 1023) / 1024..((f + 1) * 40 * 48 + 1023) / 1024 {
            c.packet(at(f * 40), pkt(TrackId::AUDIO, (a - 4).max(0) * 1024 / 48, 0, true));
        }
        while let Some(o) = c.poll_output() {
            if let Output::Mark(Mark::PartEnd(p)) = &o
                && p.track == TrackId::AUDIO
            {
                let count = p.last_seq.0 - p.first_seq.0 + 1;
                assert_eq!(p.duration, count as i64 * 21_333, "as long as its frames: {p:?}");
                times.push((p.decode_time, count));
            }
            k.take(o);
        }
    }
    assert!((1..=4).contains(&k.unlisted), "{}", k.unlisted);
    for w in times.windows(2) {
        assert_eq!(w[0].0 + w[0].1 * 1024, w[1].0, "{times:?}");
    }
}

#[test]
fn gaps_keep_the_pace_while_the_encoder_is_away_and_a_discontinuity_follows() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    c.disconnected();
    idle(&mut c, &mut k, 4_000, 15_000);
    assert!(k.gaps.iter().any(|g| g.2.is_none()) && k.gaps.iter().any(|g| g.2.is_some()));
    let v_gaps = k.gaps.iter().filter(|g| g.0 == TrackId::VIDEO && g.2.is_none()).count();
    assert!((4..=5).contains(&v_gaps), "{v_gaps} whole gaps for 11 s");
    c.connected();
    publish(&mut c, &mut k, 15_100, 0, 4_000, 50);
    let back = k.starts.iter().filter(|s| s.2).collect::<Vec<_>>();
    assert_eq!(back.len(), 2, "one discontinuity on each track: {back:?}");
    assert_eq!(back[0].4.0, WALL0 + 15_100_000, "dated by the clock");
}

#[test]
fn a_short_absence_of_a_segment_or_more_is_filled_on_return() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    c.disconnected();
    c.connected();
    publish(&mut c, &mut k, 7_000, 90_000, 2_000, 50);
    let whole: Vec<_> =
        k.gaps.iter().filter(|g| g.0 == TrackId::VIDEO).map(|g| (g.2, g.3)).collect();
    assert_eq!(whole, [(None, 1_500_000), (None, 1_500_000)]);
}

#[test]
fn a_generation_that_goes_on_owes_gaps_from_where_the_last_one_ended() {
    let cfg = config(40_000);
    // The monotonic clock is as young as the process; 1.5 target durations are 6 s.
    let start = 5;
    for (gone, due) in [(60_000, 0), (6_000, 0), (2_500, 3_500), (0, 6_000), (-90_000, 6_000)] {
        let end = Wall(WALL0 + (start - gone) * 1000);
        let base = Base { previous: Some(end), ..base() };
        let mut c = Cutter::new(cfg, &[video(40_000), audio()], base, at(start));
        let mut k = Checker::new(&cfg);
        let first = start + due;
        assert_eq!(c.poll_timeout(), Some(at(first).mono), "away for {gone} ms");
        if gone < 0 {
            continue;
        }
        c.handle_timeout(at(first));
        k.drain(&mut c);
        let reach = c.end_wall().expect("gaps");
        let left = at(first).wall.since(reach);
        assert!((0..cfg.part_target).contains(&left), "away for {gone} ms: {left} us are left");
        let whole = k.gaps.iter().filter(|g| g.0 == TrackId::VIDEO && g.2.is_none()).count();
        assert_eq!(whole as i64, (gone + due) / 2_000, "away for {gone} ms");
        // From here on the pace is the playlist's.
        assert!(c.poll_timeout().is_some_and(|t| t <= at(first + 600).mono));
    }
}

#[test]
fn an_encoder_that_is_back_before_the_first_gap_is_due_meets_none() {
    let cfg = config(40_000);
    let base = Base { previous: Some(Wall(WALL0 - 1_000_000)), ..base() };
    let mut c = Cutter::new(cfg, &[video(40_000), audio()], base, at(0));
    let mut k = Checker::new(&cfg);
    publish(&mut c, &mut k, 500, 0, 4_000, 50);
    assert!(k.gaps.is_empty(), "{:?}", k.gaps);
    // Once media is listed, its own silence counts.
    assert_eq!(c.poll_timeout(), Some(at(500 + 2_000 + 6_000).mono));
}

#[test]
fn timestamps_that_jump_or_go_back_become_a_discontinuity() {
    for t1 in [3_600_000, 100] {
        let (mut c, mut k) = cutter();
        publish(&mut c, &mut k, 0, 50_000, 4_000, 50);
        publish(&mut c, &mut k, 4_000, t1, 4_000, 50);
        c.end(at(8_000), true);
        k.drain(&mut c);
        let back = k.starts.iter().filter(|s| s.2).count();
        assert_eq!(back, 2, "to {t1}: one discontinuity on each track");
        assert!(k.unlisted <= 8, "{} packets lost to the jump", k.unlisted);
    }
}

#[test]
fn a_track_that_stops_gets_gaps_and_comes_back_at_a_boundary() {
    let (mut c, mut k) = cutter();
    let mut a = 0;
    for f in 0..250 {
        let t = f * 40;
        while a * 1024 / 48 <= t {
            let ts = a * 1024 / 48;
            if !(3_000..7_000).contains(&ts) {
                c.packet(at(t), pkt(TrackId::AUDIO, ts, 0, true));
            }
            a += 1;
        }
        c.packet(at(t), pkt(TrackId::VIDEO, t, 0, f % 50 == 0));
        k.drain(&mut c);
    }
    assert!(k.gaps.iter().all(|g| g.0 == TrackId::AUDIO) && !k.gaps.is_empty());
    assert!(k.starts.iter().all(|s| !s.2), "no discontinuity");
    assert_eq!(k.starts.iter().filter(|s| s.0 == TrackId::VIDEO).count(), 5);
    assert_eq!(k.last_msn[&TrackId::AUDIO], k.last_msn[&TrackId::VIDEO]);
}

#[test]
fn audio_leads_while_video_is_missing() {
    let (mut c, mut k) = cutter();
    let mut a = 0;
    for f in 0..500 {
        let t = f * 40;
        while a * 1024 / 48 <= t {
            c.packet(at(t), pkt(TrackId::AUDIO, a * 1024 / 48, 0, true));
            a += 1;
            k.drain(&mut c);
        }
        if !(4_000..12_000).contains(&t) {
            c.packet(at(t), pkt(TrackId::VIDEO, t, 0, f % 50 == 0));
            k.drain(&mut c);
        }
    }
    let audio_starts = k.starts.iter().filter(|s| s.0 == TrackId::AUDIO).count();
    let video_starts = k.starts.iter().filter(|s| s.0 == TrackId::VIDEO).count();
    assert!(audio_starts >= 8, "{audio_starts}");
    assert!(video_starts >= 5, "{video_starts}");
    assert!(k.gaps.iter().any(|g| g.0 == TrackId::VIDEO));
}

/// A small generator; the seed is printed with any failure.
struct Rng(u64);
impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[test]
fn any_stream_gives_a_log_that_every_reader_can_trust() {
    for seed in 1..2_000u64 {
        let mut r = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (mut c, mut k) = cutter();
        let (mut now, mut vts, mut ats) = (0i64, r.below(100_000) as i64, 0i64);
        ats += vts;
        let mut gop = 0;
        for _ in 0..600 {
            match r.below(200) {
                0 => vts += r.below(20_000) as i64 - 10_000,
                1 => (vts, ats) = (vts + 7_200_000, ats + 7_200_000),
                2 => {
                    c.disconnected();
                    let gone = r.below(20_000) as i64;
                    idle(&mut c, &mut k, now, now + gone);
                    now += gone;
                    c.connected();
                }
                3 => {
                    let gone = r.below(15_000) as i64;
                    idle(&mut c, &mut k, now, now + gone);
                    now += gone;
                }
                4 => c.reconfigure(video(40_000)),
                7 => c.reconfigure(audio()),
                5 => ats += r.below(3_000) as i64,
                6 => vts += r.below(6_000) as i64,
                _ => {}
            }
            now += r.below(45) as i64;
            idle(&mut c, &mut k, now, now);
            if r.below(5) > 0 || gop > 0 {
                vts += 40;
                gop = if gop == 0 { r.below(200) } else { gop - 1 };
                let cts = if r.below(3) == 0 { 80 } else { 40 };
                c.packet(at(now), pkt(TrackId::VIDEO, vts, cts, gop == 0));
            }
            while ats < vts {
                ats += 21;
                c.packet(at(now), pkt(TrackId::AUDIO, ats, 0, true));
            }
            k.drain(&mut c);
        }
        let end = c.end(at(now), true);
        k.drain(&mut c);
        for t in [TrackId::VIDEO, TrackId::AUDIO] {
            if let Some(last) = k.last_msn.get(&t) {
                assert_eq!(*last, end.msn, "seed {seed}: track {t} covers every MSN");
            }
            let next = k.next_seq.get(&t).copied().unwrap_or(0);
            assert_eq!(k.marked.get(&t).copied().unwrap_or(0), next, "seed {seed}: all marked");
        }
    }
}

#[test]
fn sound_with_another_sample_rate_goes_on_after_the_next_boundary() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 60_000, 50);
    let mux = Timescale::new(44_100).expect("not zero");
    c.reconfigure(Plan { mux, frame: 23_220, ..audio() });
    let unmarked = |k: &Checker| k.next_seq[&TrackId::AUDIO] - k.marked[&TrackId::AUDIO];
    k.drain(&mut c);
    assert_eq!(unmarked(&k), 0, "the open part closed under the old configuration");
    let before = k.next_seq[&TrackId::AUDIO];
    publish(&mut c, &mut k, 60_000, 60_000, 4_000, 50);
    let listed = k.next_seq[&TrackId::AUDIO] - before;
    assert!(listed > 100, "{listed} frames of sound in 4 s");
}

#[test]
fn pictures_go_on_when_only_the_sound_is_configured_anew() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 5_000, 50);
    let mux = Timescale::new(44_100).expect("not zero");
    c.reconfigure(Plan { mux, frame: 23_220, ..audio() });
    k.drain(&mut c);
    // One second in the middle of a GOP, then the next IDR and four seconds more.
    for f in 125..275 {
        c.packet(at(f * 40), pkt(TrackId::AUDIO, f * 40, 0, true));
        c.packet(at(f * 40), pkt(TrackId::VIDEO, f * 40, 0, f % 50 == 0));
        k.drain(&mut c);
    }
    let listed = k.next_seq[&TrackId::VIDEO];
    assert_eq!(listed, 275, "every picture is listed");
    let breaks: Vec<_> = k.starts.iter().filter(|s| s.2).map(|s| (s.0, s.1.0)).collect();
    assert_eq!(breaks, [(TrackId::VIDEO, 103), (TrackId::AUDIO, 103)]);
    let gaps: Vec<_> = k.gaps.iter().map(|g| (g.0, g.1.0)).collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|g| *g == (TrackId::AUDIO, 102)), "{gaps:?}");
    let absent: i64 = k.gaps.iter().map(|g| g.3).sum();
    assert!((900_000..=1_100_000).contains(&absent), "{absent} µs of sound are absent");
}

#[test]
fn pictures_that_are_stamped_alike_still_end_a_part() {
    use crate::media::timeline::lane::PART_SAMPLES_MAX;
    let (mut c, mut k) = cutter();
    let count = 3 * PART_SAMPLES_MAX;
    for n in 0..count {
        c.packet(at(0), pkt(TrackId::VIDEO, 0, 0, n == 0));
        k.drain(&mut c);
        let waiting = k.next_seq[&TrackId::VIDEO] - k.marked[&TrackId::VIDEO];
        assert!(waiting <= PART_SAMPLES_MAX as u64, "{waiting} samples wait for their part");
    }
    c.end(at(10), true);
    k.drain(&mut c);
    assert_eq!((k.listed, k.parts.len()), (count, 3));
}

#[test]
fn packets_of_a_track_that_is_not_listed_do_not_stop_gaps() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    for t in 100..400 {
        c.packet(at(t * 40), pkt(TrackId(9), t * 40, 0, true));
        idle(&mut c, &mut k, t * 40, t * 40);
    }
    assert!(k.gaps.iter().any(|g| g.0 == TrackId::VIDEO), "gaps though an unknown track talks");
}

#[test]
fn a_jump_that_a_connection_did_not_live_to_finish_is_forgotten_by_the_next() {
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 100_000, 4_000, 50);
    // Only the picture jumps before the connection is lost.
    c.packet(at(4_000), pkt(TrackId::VIDEO, 3_600_000, 0, true));
    c.disconnected();
    c.connected();
    k.drain(&mut c);
    let before = k.next_seq[&TrackId::AUDIO];
    publish(&mut c, &mut k, 4_100, 0, 4_000, 50);
    assert!(k.next_seq[&TrackId::AUDIO] > before + 100, "sound is listed again");
}

#[test]
fn a_clock_that_is_set_does_not_write_decades_of_gaps() {
    let decades = 50 * 365 * 86_400_000;
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    c.disconnected();
    idle(&mut c, &mut k, 4_000, 11_500);
    // The monotonic clock has moved by a second, the wall clock by decades.
    let set = |ms: i64| Now { mono: at(ms).mono, wall: at(ms + decades).wall };
    c.handle_timeout(set(12_500));
    k.drain(&mut c);
    let gaps = k.gaps.iter().filter(|g| g.0 == TrackId::VIDEO && g.2.is_none()).count();
    assert!(gaps as i64 <= GAPS_MAX + 10, "{gaps}");
    let (mut c, mut k) = cutter();
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    c.disconnected();
    c.connected();
    c.packet(set(5_000), pkt(TrackId::VIDEO, 0, 0, true));
    k.drain(&mut c);
    let gaps = k.gaps.iter().filter(|g| g.0 == TrackId::VIDEO && g.2.is_none()).count();
    assert!(gaps as i64 <= GAPS_MAX, "{gaps}");
}

#[test]
fn sound_before_the_first_picture_is_held_so_far() {
    for extra in [0, 1, 5] {
        let cfg = config(40_000);
        let base = Base { msn: Msn(1), dseq: 0, previous: None };
        let mut c = Cutter::new(cfg, &[video(40_000), audio()], base, at(0));
        let mut k = Checker::new(&cfg);
        let count = HELD_MAX as i64 + extra;
        for i in 0..count {
            c.packet(at(i), pkt(TrackId::AUDIO, 100, 0, true));
        }
        k.drain(&mut c);
        assert_eq!((k.unlisted as i64, k.listed), (extra, 0), "only the oldest are given up");
    }
}

#[test]
fn gap_segments_keep_below_a_limit_that_is_the_aim() {
    let cfg = Config {
        target_duration: 2 * MICROS,
        part_target: part_target(1_300_000, 40_000),
        ..config(40_000)
    };
    let mut c = Cutter::new(cfg, &[video(40_000), audio()], base(), at(0));
    let mut k = Checker::new(&cfg);
    publish(&mut c, &mut k, 0, 0, 4_000, 50);
    c.disconnected();
    idle(&mut c, &mut k, 4_000, 30_000);
    assert!(k.gaps.iter().any(|g| g.2.is_some()));
}
