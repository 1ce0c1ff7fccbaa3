//! A session in memory: a made-up encoder through the real cut, the real windows and the real
//! muxer, without a clock or a socket, with everything that happens to a stream: cues, a GOP longer
//! than a segment may be, an encoder that goes away and comes back with other parameters, a step of
//! its clock, an end. Every version of every playlist is kept, and the oracle has seen them all.

use crate::oracle::Finding;
use crate::oracle::ledger::{Claim, Ledger};
use bytes::Bytes;
use castctl::base::ids::{Generation, Msn, Session, TrackId};
use castctl::base::time::{Mono, Now, Timescale, Wall};
use castctl::hls::gather::Gatherer;
use castctl::hls::multivariant;
use castctl::hls::name::File;
use castctl::hls::playlist::{self, Report, Skip, View};
use castctl::hls::window::Window;
use castctl::media::codec::VideoRange;
use castctl::media::codec::details;
use castctl::media::fmp4::fragment::Sample;
use castctl::media::fmp4::init::Init;
use castctl::media::packet::Packet;
use castctl::media::timeline::cue::Cue;
use castctl::media::timeline::cut::{Base, Config, Cutter, Output, Pace};
use castctl::media::timeline::lane::Plan;
use castctl::media::timeline::mark::{GenerationStart, Mark, RENDER, Rendition, SessionRecord};
use castctl::media::timeline::part_target::part_target;
use castctl::media::track::{Codec, Kind, Track};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub(crate) const MAIN: &str = "/live/main/s1/index.m3u8";

/// Microseconds since 1970 when the encoder began.
const ON_AIR: i64 = 1_795_195_386_000_000;

/// TARGETDURATION in microseconds; segments are 2 s, parts 200 ms.
pub(crate) const TARGET: i64 = 4_000_000;

/// A picture, in milliseconds.
const FRAME: i64 = 40;

/// One version of one playlist.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// When it came, microseconds since the encoder began.
    pub(crate) at: i64,
    /// `/live/main/s1/video/index.m3u8` and the like.
    pub(crate) path: String,
    pub(crate) full: String,
    /// The answer to `_HLS_skip=YES`.
    pub(crate) delta: String,
    /// The answer to `_HLS_skip=v2`.
    pub(crate) delta_v2: String,
}

struct Side {
    name: &'static str,
    track: Track,
    plan: Plan,
    window: Window,
    gatherer: Gatherer,
    inits: Vec<Init>,
    parts: BTreeMap<Msn, Vec<Bytes>>,
    changed: bool,
}

/// See the module.
pub(crate) struct Broadcast {
    pub(crate) versions: Vec<Version>,
    pub(crate) media: BTreeMap<String, Bytes>,
    pub(crate) multivariant: String,
    /// Every mark in order, for windows of a test's own.
    pub(crate) marks: Vec<Mark>,
    /// The windows at the end, video first.
    pub(crate) windows: Vec<Window>,
    found: Vec<Finding>,
    sides: Vec<Side>,
    cutter: Cutter,
}

/// H.264 of 640x360, with a level of the test's choice.
fn video_track(level: u8) -> Track {
    let config: &[u8] = b"\x01\x42\xc0\x1e\xff\xe1\0\x19gB\xc0\x1e\xd8\x90(\x0b\xfe\\\x04@\0\0\
        \x03\0@\0\0\x0c\x83\xc5\x8b\x89\x80\x01\0\x05h\xc8\x88\xcb ";
    let mut config = config.to_vec();
    config[3] = level;
    let (id, codec, timescale) = (TrackId::VIDEO, Codec::H264, Timescale::MILLIS);
    Track { id, codec, timescale, rate: None, config: config.into() }
}

fn audio_track() -> Track {
    let (id, codec, timescale) = (TrackId::AUDIO, Codec::Aac, Timescale::MILLIS);
    Track { id, codec, timescale, rate: None, config: Bytes::from_static(&[0x12, 0x10]) }
}

fn now(ms: i64) -> Now {
    Now { mono: Mono(ms.unsigned_abs() * 1000), wall: Wall(ON_AIR + ms * 1000) }
}

/// The session that the tests look at: 150 s.
pub(crate) fn aired() -> &'static Broadcast {
    static AIRED: OnceLock<Broadcast> = OnceLock::new();
    AIRED.get_or_init(|| {
        let mut b = Broadcast::new();
        let gop = |ms: i64| ms % 2000 == 0;
        b.send(0..5_000, 0, gop);
        b.cue(5_000, "moment", 0);
        b.send(5_000..6_000, 0, gop);
        b.cue(6_000, "long", 50_000);
        b.send(6_000..24_000, 0, gop);
        b.send(24_000..32_000, 0, |ms| ms == 24_000);
        b.send(32_000..40_000, 0, gop);
        b.leave(40_000);
        b.idle(40_000..52_000);
        b.come_back(52_000, video_track(0x1f));
        b.send(52_000..80_000, 0, gop);
        b.cue(80_000, "later", 1_500);
        b.send(80_000..150_000, 100_000, gop);
        b.end(150_000)
    })
}

impl Side {
    fn new(name: &'static str, track: Track, session: &Arc<SessionRecord>) -> Side {
        let (plan, id) = (plan(&track), track.id);
        let window = Window::new(session.clone(), id);
        let gatherer = Gatherer::new(id, session.carries_cues(id));
        let (inits, parts) = (Vec::new(), BTreeMap::new());
        let mut side = Side { name, track, plan, window, gatherer, inits, parts, changed: false };
        side.configure();
        side
    }

    fn configure(&mut self) {
        let init = Init::new(self.track.clone()).expect("a good configuration");
        self.changed |= self.window.set_init(&init.hash);
        self.inits.push(init);
    }

    fn home(&self) -> String {
        format!("/live/main/s1/{}/", self.name)
    }
}

fn plan(track: &Track) -> Plan {
    let d = details(track).expect("a good configuration");
    let kind = track.codec.kind();
    let rate = castctl::media::track::FrameRate::new(25, 1).expect("a rate");
    Plan {
        track: track.id,
        kind,
        timescale: track.timescale,
        mux: d.mux_timescale,
        frame: if kind == Kind::Video { FRAME * 1000 } else { d.frame_micros(rate) },
        frames: d.frame_length(),
    }
}

fn record(tracks: &[&Track]) -> SessionRecord {
    let rendition = |t: &&Track| {
        let d = details(t).expect("a good configuration");
        Rendition {
            name: if d.video.is_some() { "video" } else { "audio" }.into(),
            track: t.id,
            kind: t.codec.kind(),
            codecs: d.codecs,
            bandwidth: 1_000_000,
            range: d.video.as_ref().map_or(VideoRange::Sdr, |v| v.range),
            resolution: d.video.map(|v| (v.width, v.height)),
            frame_rate_millis: None,
            offered: true,
            channels: d.audio.map(|a| a.channels),
        }
    };
    SessionRecord {
        target_duration: (TARGET / 1_000_000) as u32,
        segment: 2_000_000,
        part_target: part_target(200_000, FRAME * 1000),
        latency_budget: 0,
        render: RENDER,
        renditions: tracks.iter().map(rendition).collect(),
    }
}

impl Broadcast {
    fn new() -> Broadcast {
        let (video, audio) = (video_track(0x1e), audio_track());
        let session = Arc::new(record(&[&video, &audio]));
        let sides = vec![Side::new("video", video, &session), Side::new("audio", audio, &session)];
        let config = Config {
            segment: session.segment,
            target_duration: TARGET,
            part_target: session.part_target,
            pace: Pace::Wall,
        };
        let plans: Vec<Plan> = sides.iter().map(|s| s.plan).collect();
        let base = Base { msn: Msn(1000), dseq: 0, previous: None };
        let mut b = Broadcast {
            versions: Vec::new(),
            media: BTreeMap::new(),
            multivariant: multivariant::render(&session, multivariant::List::Live),
            marks: Vec::new(),
            windows: Vec::new(),
            found: Vec::new(),
            sides,
            cutter: Cutter::new(config, &plans, base, now(0)),
        };
        b.mark(Mark::Generation(GenerationStart {
            session: Session(1),
            generation: Generation(1),
            job: None,
            base: base.msn,
            dseq: base.dseq,
            previous: None,
        }));
        b
    }

    /// Pictures and sound from one millisecond to another; timestamps are `ahead` of the clock.
    fn send(&mut self, ms: std::ops::Range<i64>, ahead: i64, key: impl Fn(i64) -> bool) {
        // Sound by its sample clock, stamped in milliseconds.
        let frame = |n: i64| n * 1024 * 10 / 441;
        let mut sound = (0..).skip_while(|n| frame(*n) < ms.start).peekable();
        for at in ms.clone().step_by(FRAME as usize) {
            let (track, dts, key) = (TrackId::VIDEO, at + ahead, key(at));
            let payload = Bytes::from(format!("picture {at}"));
            self.packet(at, Packet { track, dts, cts: 2 * FRAME as i32, key, payload });
            while let Some(n) = sound.next_if(|n| frame(*n) < (at + FRAME).min(ms.end)) {
                let (track, dts) = (TrackId::AUDIO, frame(n) + ahead);
                let payload = Bytes::from(format!("sound {n}"));
                self.packet(frame(n), Packet { track, dts, cts: 0, key: true, payload });
            }
        }
    }

    fn packet(&mut self, at: i64, packet: Packet) {
        self.tick(at);
        self.cutter.packet(now(at), packet);
        self.drain(at);
    }

    fn tick(&mut self, at: i64) {
        if self.cutter.poll_timeout().is_some_and(|due| due <= now(at).mono) {
            self.cutter.handle_timeout(now(at));
            self.drain(at);
        }
    }

    /// The cable is pulled.
    fn leave(&mut self, at: i64) {
        self.cutter.disconnected();
        self.drain(at);
    }

    /// Nothing comes.
    fn idle(&mut self, ms: std::ops::Range<i64>) {
        ms.step_by(10).for_each(|at| self.tick(at));
    }

    /// The encoder is back, with another configuration of its pictures.
    fn come_back(&mut self, at: i64, track: Track) {
        self.cutter.connected();
        self.drain(at);
        self.cutter.reconfigure(plan(&track));
        self.drain(at);
        self.sides[0].track = track;
        self.sides[0].configure();
        self.publish(at);
    }

    fn cue(&mut self, at: i64, id: &str, millis: i64) {
        let start = self.cutter.newest_wall().expect("it is listing");
        let start = Wall(start.0 / 1000 * 1000);
        self.mark(Mark::Cue(Cue {
            id: id.into(),
            class: "com.example.note".into(),
            start,
            duration: millis * 1000,
            added: self.cutter.end_wall().expect("it is listing"),
            data: "{\"n\": 1}".into(),
            repeated: false,
        }));
        self.publish(at);
    }

    /// The session ends; the oracle has the last word.
    fn end(mut self, at: i64) -> Broadcast {
        self.cutter.end(now(at), true);
        self.drain(at);
        for side in &mut self.sides {
            let home = side.home();
            let folder = format!("{home}v{RENDER}/");
            for init in &side.inits {
                let file = File::Init { hash: init.hash.clone() };
                self.media.insert(format!("{folder}{file}"), init.bytes.clone());
            }
            for (msn, parts) in &side.parts {
                let file = File::Segment { writer: Generation(1).into(), msn: *msn };
                self.media.insert(format!("{folder}{file}"), parts.concat().into());
            }
        }
        self.windows = self.sides.iter().map(|s| s.window.clone()).collect();
        let all: Vec<&Version> = self.versions.iter().collect();
        self.found = self.watched(&all);
        self
    }

    fn drain(&mut self, at: i64) {
        while let Some(out) = self.cutter.poll_output() {
            match out {
                Output::Packet(p, seq) => {
                    let side = self.sides.iter_mut().find(|s| s.track.id == p.track);
                    if let (Some(side), Some(seq)) = (side, seq) {
                        side.gatherer.sample(seq, Sample::from(&p));
                    }
                }
                Output::Mark(mark) => self.mark(mark),
            }
        }
        self.publish(at);
    }

    fn mark(&mut self, mark: Mark) {
        for side in &mut self.sides {
            side.changed |= side.window.apply(Generation(1).into(), &mark).expect("it fits");
            if let Some((p, part)) = side.gatherer.mark(&mark) {
                let part = part.expect("its samples are there");
                let bytes = part.bytes(side.inits.last().expect("configured"));
                let file = File::Part { writer: Generation(1).into(), seq: p.first_seq };
                let path = format!("{}v{RENDER}/{file}", side.home());
                side.parts.entry(p.msn).or_default().push(bytes.clone());
                self.media.insert(path, bytes);
            }
        }
        self.marks.push(mark);
    }

    /// What changed gets a version, with the others' positions.
    fn publish(&mut self, at: i64) {
        for i in 0..self.sides.len() {
            if !std::mem::take(&mut self.sides[i].changed) {
                continue;
            }
            let others = self.sides.iter().enumerate().filter(|(j, _)| *j != i);
            let reports: Vec<Report<'_>> =
                others.filter_map(|(_, s)| Report::of(&s.window)).collect();
            let side = &self.sides[i];
            let Some(made) = playlist::render(&side.window, &reports, true, None) else { continue };
            for view in [View::Live, View::Dvr] {
                let forms = made.forms(view).expect("both were asked for");
                let text = |skip| forms.get(skip).concat();
                self.versions.push(Version {
                    at: at * 1000,
                    path: format!("{}{}", side.home(), view.file()),
                    full: text(Skip::No),
                    delta: text(Skip::Segments),
                    delta_v2: text(Skip::Ranges),
                });
            }
        }
    }

    /// What the oracle says of these versions and of all media.
    pub(crate) fn watched(&self, versions: &[&Version]) -> Vec<Finding> {
        let mut ledger = Ledger::default();
        ledger.multivariant("sim", MAIN, &self.multivariant);
        for v in versions {
            let (who, path) = ("sim".to_owned(), v.path.clone());
            let claim = Claim { who, at: v.at, path, asked: None };
            ledger.version(&claim, &v.full);
        }
        for (path, bytes) in &self.media {
            ledger.bytes("sim", path, bytes.clone());
        }
        ledger.judge()
    }

    /// Versions of one playlist.
    pub(crate) fn of<'a>(&'a self, rest: &'a str) -> impl DoubleEndedIterator<Item = &'a Version> {
        self.versions.iter().filter(move |v| v.path.ends_with(rest))
    }

    /// The oracle has nothing to say about this rule.
    #[track_caller]
    pub(crate) fn keeps(&self, rule: &str) {
        let all: Vec<String> =
            self.found.iter().filter(|f| f.rule == rule).map(ToString::to_string).collect();
        assert!(all.is_empty(), "{}", all.join("\n"));
    }

    /// Once `from` stands as `to` in a version of a live playlist of the picture, the oracle speaks
    /// of this rule.
    #[track_caller]
    pub(crate) fn breaks(&self, rule: &str, from: &str, to: &str) {
        self.breaks_when(rule, |text| text.contains(from).then(|| text.replacen(from, to, 1)));
    }

    /// The same, for any change of the text: the newest version that `change` changes.
    #[track_caller]
    pub(crate) fn breaks_when(&self, rule: &str, change: impl Fn(&str) -> Option<String>) {
        let hit = self.versions.iter().enumerate().rev().find_map(|(i, v)| {
            let of_picture = v.path.ends_with("video/index.m3u8");
            let changed = change(&v.full).filter(|_| of_picture && !v.full.contains("ENDLIST"));
            Some((i, changed.filter(|text| *text != v.full)?))
        });
        let (i, full) = hit.expect("a version that can be broken so");
        let v = &self.versions[i];
        let broken = Version { full, ..v.clone() };
        let mut all: Vec<&Version> = self.versions[..i].iter().rev().take(400).rev().collect();
        all.push(&broken);
        let found = self.watched(&all);
        assert!(found.iter().any(|f| f.rule == rule), "{rule} is not in {found:#?}");
    }
}

impl Broadcast {
    /// What is found when every version of the picture's live playlist is changed alike.
    pub(crate) fn everywhere(&self, change: impl Fn(&str) -> String) -> Vec<&'static str> {
        let changed: Vec<Version> = self
            .versions
            .iter()
            .map(|v| match v.path.ends_with("video/index.m3u8") {
                true => Version { full: change(&v.full), ..v.clone() },
                false => v.clone(),
            })
            .collect();
        let mut rules: Vec<&str> =
            self.watched(&changed.iter().collect::<Vec<_>>()).iter().map(|f| f.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// How many cues had been announced at this moment.
    pub(crate) fn announced(&self, at: i64) -> usize {
        [5_000_000, 6_000_000, 80_000_000].iter().filter(|t| **t <= at).count()
    }
}

#[test]
fn a_whole_session_is_met_with_silence() {
    let b = aired();
    let found: Vec<String> = b.found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(b.versions.len() > 3_000 && b.media.len() > 1_000, "{}", b.versions.len());
}
