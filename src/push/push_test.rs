//! A pusher over windows that the test writes, and a bucket in memory.

use crate::api::client::{self, Call};
use crate::api::directory::Directory;
use crate::api::types::{LiveSession, Refusal, Table};
use crate::base::ids::{Channel, Generation, Msn, Seq, Session as Number, TrackId};
use crate::base::time::{MICROS, Wall};
use crate::hls::name::{File, Path, Place};
use crate::hls::window::Window;
use crate::media::codec::VideoRange;
use crate::media::timeline::mark::{
    End, GenerationStart, Mark, PartEnd, RENDER, Rendition, SegmentStart, SessionRecord,
};
use crate::media::track::Kind;
use crate::push::live::{Changes, Live, Lost, Session};
use crate::push::metrics::Push;
use crate::push::pusher::{Pusher, Targets};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::store::files::Headers;
use crate::store::open::in_memory;
use crate::store::port::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const BEGIN: i64 = 1_795_195_386_000_000;

fn record() -> SessionRecord {
    let rendition = |name: &str, track, kind| Rendition {
        name: name.into(),
        track,
        kind,
        codecs: "x".into(),
        bandwidth: 1_000,
        resolution: None,
        frame_rate_millis: None,
        offered: true,
        range: VideoRange::Sdr,
        channels: None,
    };
    SessionRecord {
        target_duration: 4,
        segment: 2 * MICROS,
        part_target: 2 * MICROS,
        latency_budget: 0,
        render: RENDER,
        renditions: vec![
            rendition("video", TrackId::VIDEO, Kind::Video),
            rendition("audio", TrackId::AUDIO, Kind::Audio),
        ],
    }
}

/// A session whose segments the test makes.
#[derive(Clone)]
struct Made {
    record: Arc<SessionRecord>,
    windows: Arc<Mutex<BTreeMap<String, Window>>>,
    /// What can't be read, and for how long.
    lost: Arc<Mutex<HashMap<String, Lost>>>,
    version: watch::Sender<u64>,
    next: u64,
    /// How much later than numbers say it happens.
    late: i64,
}

impl Made {
    fn new(number: u64, base: u64) -> Made {
        let record = Arc::new(record());
        let mut windows = BTreeMap::new();
        for r in &record.renditions {
            let mut window = Window::new(record.clone(), r.track);
            window.set_init(&format!("{}0", r.name));
            let (session, generation, base) = (Number(number), Generation(1), Msn(base));
            let start =
                GenerationStart { session, generation, job: None, base, dseq: 0, previous: None };
            window.apply(generation.into(), &Mark::Generation(start)).expect("it fits");
            windows.insert(r.name.clone(), window);
        }
        let (windows, version) = (Arc::new(Mutex::new(windows)), watch::Sender::new(0));
        Made { record, windows, lost: Arc::default(), version, next: base, late: 0 }
    }

    fn tell(&self, mark: impl Fn(TrackId) -> Mark) {
        for window in self.windows.lock().expect("no panic").values_mut() {
            let name = window.rendition();
            let of = self.record.renditions.iter().find(|r| r.name == name);
            let track = of.expect("of the session").track;
            window.apply(Generation(1).into(), &mark(track)).expect("it fits");
        }
        self.version.send_modify(|v| *v += 1);
    }

    /// Segments of both renditions; the last one stays open.
    fn segments(&mut self, count: u64) {
        for _ in 0..count {
            let (msn, seq) = (Msn(self.next), Seq(self.next));
            let wall = Wall(BEGIN + self.late + self.next.cast_signed() * 2 * MICROS);
            self.tell(|track| {
                let (dseq, discontinuity, independent) = (0, false, true);
                Mark::SegmentStart(SegmentStart {
                    track,
                    msn,
                    dseq,
                    discontinuity,
                    independent,
                    wall,
                    first_seq: seq,
                })
            });
            self.tell(|track| {
                Mark::PartEnd(PartEnd {
                    track,
                    msn,
                    part: 0,
                    first_seq: seq,
                    last_seq: seq,
                    decode_time: msn.0,
                    duration: 2 * MICROS,
                    independent: true,
                })
            });
            self.next += 1;
        }
    }

    fn over(&self) {
        let (msn, wall) = (Msn(self.next - 1), Wall(BEGIN));
        let end = End { msn, dseq: 0, wall, tracks: Vec::new(), session_over: true };
        self.tell(|_| Mark::End(end.clone()));
    }
}

struct Versions(watch::Receiver<u64>);

impl Changes for Versions {
    async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Session for Made {
    type Changes = Versions;

    fn record(&self) -> &Arc<SessionRecord> {
        &self.record
    }

    async fn held(&self) {
        std::future::pending::<()>().await;
    }

    fn look<R>(&self, rendition: &str, ask: impl FnOnce(&Window) -> R) -> Option<R> {
        let windows = self.windows.lock().expect("no panic");
        windows.get(rendition).filter(|w| w.is_listed()).map(ask)
    }

    fn changes(&self, _: &str) -> Option<Versions> {
        Some(Versions(self.version.subscribe()))
    }

    async fn bytes(&self, rendition: &str, file: &File) -> Result<Vec<Bytes>, Lost> {
        let name = format!("{rendition}/{file}");
        match self.lost.lock().expect("no panic").get(&name) {
            Some(lost) => Err(lost.clone()),
            None => Ok(vec![Bytes::from(name.clone()), Bytes::from_static(b"!")]),
        }
    }
}

/// Sessions by their numbers.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<BTreeMap<Number, Made>>>);

impl Live for Fake {
    type Session = Made;

    async fn follow(&self, _: &Channel, number: Number) -> Result<Option<Made>, Refusal> {
        Ok(self.0.lock().expect("no panic").get(&number).cloned())
    }
}

fn main() -> Channel {
    "main".parse().expect("a name")
}

struct Stage {
    store: Store,
    live: Fake,
    clock: Clock,
    directory: Directory,
    table: watch::Sender<Arc<Table>>,
}

struct Running {
    drain: Drain,
    metrics: Push,
    task: JoinHandle<Option<()>>,
}

impl Stage {
    fn set() -> Stage {
        let (client, calls, shown) = client::embedded();
        let client::Calls { mut calls, table } = calls;
        let known = shown.clone();
        drop(task::spawn("registry", async move {
            while let Some(call) = calls.recv().await {
                let Call::Find(channel, number, answer) = call else { panic!("not asked here") };
                let live = known.borrow().sessions.get(&channel).cloned();
                // Those before it were on air too.
                let live = live.map(|live| LiveSession { session: number, ..live });
                let _ = answer.send(Ok(live));
            }
        }));
        Stage {
            store: in_memory(),
            live: Fake::default(),
            clock: Clock::starting_at(Wall(BEGIN)),
            directory: Directory::embedded(client, shown),
            table,
        }
    }

    /// A session is on air, or over.
    fn session(&self, number: u64, base: u64, over: bool) -> Made {
        let mut all = self.live.0.lock().expect("no panic");
        let made = all.entry(Number(number)).or_insert_with(|| Made::new(number, base)).clone();
        let live = LiveSession {
            session: Number(number),
            over,
            open: true,
            generations: vec![(Generation(1), "node".into())],
            jobs: Vec::new(),
            record: None,
        };
        self.table.send_modify(|table| {
            drop(Arc::make_mut(table).sessions.insert(main(), live));
        });
        made
    }

    fn start(&self) -> Running {
        let (drain, metrics) = (Drain::new(), Push::register(&Metrics::new()));
        let pusher = Pusher {
            live: self.live.clone(),
            directory: self.directory.clone(),
            targets: Targets { all: Some(self.store.clone()), ..Targets::default() },
            metrics: metrics.clone(),
            clock: self.clock.clone(),
            drain_timeout: Duration::from_secs(5),
        };
        let task = task::spawn("pusher", pusher.run(Ready::new().latch("push"), drain.clone()));
        Running { drain, metrics, task }
    }

    async fn text(&self, key: &str) -> Option<String> {
        let (bytes, _) = self.store.current(key).await.expect("memory")?;
        Some(String::from_utf8(bytes.into()).expect("text"))
    }

    fn key(number: u64, rendition: &str) -> String {
        let (channel, session, rendition) = (main(), Number(number), rendition.to_owned());
        Path::Media(Place { channel, session, rendition }).to_string()
    }

    /// Waits for the newest text of a playlist, in which everything that it names is there.
    async fn until(&self, key: &str, is: impl Fn(&str) -> bool) -> String {
        for _ in 0..1_000 {
            if let Some(text) = self.text(key).await {
                self.names_what_is_there(key, &text).await;
                if is(&text) {
                    return text;
                }
            }
            let soon = self.clock.now().mono.plus(Duration::from_millis(100));
            self.clock.sleep_until(soon).await;
        }
        panic!("{key} is {:?}", self.text(key).await);
    }

    async fn names_what_is_there(&self, key: &str, text: &str) {
        let home = key.rsplit_once('/').expect("a path").0;
        let maps = text.lines().filter_map(|l| l.split_once("URI=\"")?.1.strip_suffix('"'));
        let media = text.lines().filter(|l| !l.starts_with('#') && !l.contains("-gap"));
        for uri in maps.chain(media) {
            let there = self.store.head(&format!("{home}/{uri}")).await;
            assert!(there.is_ok(), "{key} names {uri}: {there:?}");
        }
    }
}

impl Running {
    async fn stop(self) {
        self.drain.start();
        self.task.await.expect("not aborted").expect("no panic");
        assert_eq!(self.metrics.given_up.get(), 0);
    }
}

fn last(text: &str) -> &str {
    text.lines().rfind(|l| !l.starts_with('#')).unwrap_or_default()
}

fn first(text: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    line.and_then(|n| n.parse().ok()).expect("a number")
}

#[tokio::test(start_paused = true)]
async fn a_session_is_pushed_from_the_live_window_to_its_end_and_the_next_one_after_it() {
    let stage = Stage::set();
    let mut made = stage.session(1, 10, false);
    made.segments(100);
    let running = stage.start();
    let video = Stage::key(1, "video");
    let text = stage.until(&video, |t| last(t).ends_with("g1-108.m4s")).await;
    assert_eq!(first(&text), 79, "where an edge's window begins");
    assert!(!text.contains("EXT-X-PART") && !text.contains("SERVER-CONTROL"), "{text}");
    made.segments(1);
    stage.until(&video, |t| last(t).ends_with("g1-109.m4s")).await;
    stage.until(&Stage::key(1, "audio"), |t| last(t).ends_with("g1-109.m4s")).await;
    let of_session = stage.until("live/main/s1/index.m3u8", |_| true).await;
    assert!(of_session.contains("\nvideo/index.m3u8\n"), "{of_session}");
    let entry = stage.until("live/main/index.m3u8", |_| true).await;
    assert!(entry.contains("\ns1/video/index.m3u8\n"), "{entry}");
    let bytes = stage.store.small(&format!("live/main/s1/video/v{RENDER}/g1-90.m4s")).await;
    assert_eq!(bytes.expect("there"), "video/g1-90.m4s!");
    made.over();
    let text = stage.until(&video, |t| t.ends_with("#EXT-X-ENDLIST\n")).await;
    assert!(last(&text).ends_with("g1-110.m4s"), "{text}");
    let mut next = stage.session(2, 200, false);
    next.segments(3);
    let entry = stage.until("live/main/index.m3u8", |t| t.contains("s2/")).await;
    assert!(!entry.contains("s1/"), "{entry}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_started_again_goes_on_and_a_second_writer_changes_nothing() {
    let stage = Stage::set();
    let mut made = stage.session(1, 10, false);
    made.segments(5);
    let first_one = stage.start();
    let video = Stage::key(1, "video");
    let audio = Stage::key(1, "audio");
    let before = stage.until(&video, |t| last(t).ends_with("g1-13.m4s")).await;
    first_one.stop().await;
    // More than a window later: everything between is put, in order, and nothing is skipped.
    made.segments(200);
    let (one, two) = (stage.start(), stage.start());
    let mut lists = before;
    for _ in 0..400 {
        let now = stage.until(&video, |_| true).await;
        assert!(first(&now) >= first(&lists), "{lists}\n{now}");
        lists = now;
    }
    for n in 0..40 {
        made.segments(1);
        let end = format!("g1-{}.m4s", 213 + n + 1);
        stage.until(&video, |t| last(t).ends_with(&end)).await;
        stage.until(&audio, |t| last(t).ends_with(&end)).await;
    }
    let folder = format!("live/main/s1/video/v{RENDER}");
    let all = stage.store.folder(&folder).await.expect("listed").objects;
    assert_eq!(all.iter().filter(|name| name.ends_with(".m4s")).count(), 244, "each segment");
    made.over();
    stage.until(&video, |t| t.ends_with("#EXT-X-ENDLIST\n")).await;
    stage.until(&audio, |t| t.ends_with("#EXT-X-ENDLIST\n")).await;
    one.stop().await;
    two.stop().await;
    // Over, and pushed: nothing is done again, also not by who is told of it for the first time.
    let version = stage.store.current(&video).await.expect("memory").expect("there");
    stage.session(1, 10, true);
    let again = stage.start();
    stage.session(2, 300, false).segments(3);
    stage.until("live/main/index.m3u8", |t| t.contains("s2/")).await;
    assert_eq!(stage.store.current(&video).await.expect("memory").expect("there"), version);
    again.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_left_unfinished_is_finished_and_one_that_was_over_is_none_of_ours() {
    let stage = Stage::set();
    let mut made = stage.session(1, 10, false);
    made.segments(5);
    let running = stage.start();
    stage.until("live/main/index.m3u8", |_| true).await;
    running.stop().await;
    made.segments(3);
    made.over();
    stage.session(2, 50, false).segments(2);
    let running = stage.start();
    let text = stage.until(&Stage::key(1, "video"), |t| t.ends_with("#EXT-X-ENDLIST\n")).await;
    assert!(last(&text).ends_with("g1-17.m4s"), "{text}");
    stage.until("live/main/index.m3u8", |t| t.contains("s2/")).await;
    running.stop().await;

    let other = Stage::set();
    let mut past = other.session(1, 10, true);
    past.segments(5);
    past.over();
    let running = other.start();
    other.session(2, 50, false).segments(2);
    other.until("live/main/index.m3u8", |t| t.contains("s2/")).await;
    assert_eq!(other.text(&Stage::key(1, "video")).await, None);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_a_gap_at_once_or_after_a_while() {
    let stage = Stage::set();
    let mut made = stage.session(1, 10, false);
    {
        let mut lost = made.lost.lock().expect("no panic");
        lost.insert("video/g1-11.m4s".into(), Lost::Never);
        lost.insert("video/g1-12.m4s".into(), Lost::NotNow);
        lost.insert("audio/init-audio0.mp4".into(), Lost::Never);
    }
    made.segments(5);
    let running = stage.start();
    let began = stage.clock.now().mono;
    let video = Stage::key(1, "video");
    let text = stage.until(&video, |t| last(t).ends_with("g1-13.m4s")).await;
    assert!(stage.clock.now().mono.since(began) >= Duration::from_secs(30));
    let names: Vec<&str> =
        text.lines().filter_map(|l| l.strip_prefix(&format!("v{RENDER}/"))).collect();
    assert_eq!(names, ["g1-10.m4s", "g1-11-gap0.m4s", "g1-12-gap0.m4s", "g1-13.m4s"]);
    assert_eq!(text.matches("#EXT-X-GAP\n").count(), 2, "{text}");
    // Media that no player could begin with is none.
    let audio = stage.until(&Stage::key(1, "audio"), |t| t.contains("g1-13-gap0")).await;
    assert!(!audio.contains("EXT-X-MAP"), "{audio}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_put_there_is_left_alone_and_told() {
    let other = Bytes::from_static(b"another");
    let headers = Headers { content_type: "video/mp4", cache: String::new() };
    for key in [format!("live/main/s1/video/v{RENDER}/g1-11.m4s"), Stage::key(1, "audio")] {
        let stage = Stage::set();
        stage.session(1, 10, false).segments(5);
        stage.store.publish(&key, std::slice::from_ref(&other), &headers).await.expect("put");
        let running = stage.start();
        for _ in 0..100 {
            let soon = stage.clock.now().mono.plus(Duration::from_millis(100));
            stage.clock.sleep_until(soon).await;
        }
        assert_eq!(running.metrics.given_up.get(), 1, "{key}");
        assert_eq!(stage.store.small(&key).await.expect("there"), other);
        assert_eq!(stage.text("live/main/index.m3u8").await, None, "it would name what is not");
        running.drain.start();
        running.task.await.expect("not aborted").expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_begins_anew_finds_its_numbers_taken() {
    for ended in [false, true] {
        let stage = Stage::set();
        let mut made = stage.session(1, 10, false);
        made.segments(5);
        if ended {
            made.over();
        }
        let running = stage.start();
        let is = |text: &str| text.ends_with("#EXT-X-ENDLIST\n") == ended;
        let before = stage.until(&Stage::key(1, "video"), is).await;
        stage.until(&Stage::key(1, "audio"), is).await;
        running.stop().await;

        let anew = Stage { store: stage.store.clone(), ..Stage::set() };
        let mut made = Made { late: 86_400 * MICROS, ..Made::new(1, 10) };
        made.segments(20);
        drop(anew.live.0.lock().expect("no panic").insert(Number(1), made));
        anew.session(1, 10, false);
        let running = anew.start();
        for _ in 0..100 {
            let soon = anew.clock.now().mono.plus(Duration::from_millis(100));
            anew.clock.sleep_until(soon).await;
        }
        assert_eq!(running.metrics.given_up.get(), 1);
        assert_eq!(anew.text(&Stage::key(1, "video")).await, Some(before));
        running.drain.start();
        running.task.await.expect("not aborted").expect("no panic");
    }
}
