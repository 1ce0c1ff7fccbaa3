//! Ladders: what viewers have of a channel that is transcoded while it is on air. The worker by
//! itself is `rungs`'s subject.

use crate::clip;
use crate::cluster::{Cluster, beyond, kill, next, stop};
use crate::encoder::Encoder;
use crate::fetched;
use crate::nodes::{addr, base};
use crate::oracle::playlist::{Playlist, Segment};
use crate::oracle::{Exception, Oracle};
use crate::process::{self, Up};
use crate::server::{KEY, Server, brisk, silent, within};
use castctl::api::ladder::level::Profile;
use castctl::api::ladder::{Audio, Encode, Ladder, Rung, VideoCodec};
use castctl::cmd::recorder::Recording;
use castctl::cmd::transcoder::Transcoding;
use castctl::control::plan::cost::table::Table;
use castctl::log::format::version::Wrote;
use castctl::manifest::types::ChannelSpec;
use castctl::rt::task;
use reqwest::Url;
use rustix::process::{Pid, Signal};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Two small rungs beside the source.
const RUNGS: [&str; 2] = ["180p", "90p"];

/// The source and [`RUNGS`], fast to encode.
fn ladder() -> Ladder {
    let rung = |name: &str, height: u32, bitrate: u64| Rung {
        name: name.parse().expect("a name"),
        encode: Some(Encode {
            codec: VideoCodec::H264,
            width: None,
            height,
            frame_rate_max_millis: None,
            bitrate,
            maxrate: None,
            bufsize: None,
            preset: "ultrafast".into(),
            profile: Profile::Main,
            level: None,
        }),
    };
    let source = Rung { name: "source".parse().expect("a name"), encode: None };
    Ladder {
        name: "small".parse().expect("a name"),
        rungs: vec![source, rung("180p", 180, 300_000), rung("90p", 90, 100_000)],
        audio: Audio::Passthrough,
        latency_budget: None,
    }
}

/// A server that transcodes what is published to `main`.
pub(crate) async fn server(reconnect_window: Duration) -> Server {
    let spec = brisk("main", &[KEY]);
    let ladder = Some(Arc::new(ladder()));
    // Tests of other things load the machine too.
    let latency_budget = Duration::from_secs(1);
    let spec = ChannelSpec { reconnect_window, ladder, latency_budget, ..spec };
    let program = env!("CARGO_BIN_EXE_castctl").into();
    let machine = Table::usual();
    let how = Transcoding { millicores: 4_000, program, machine, crash: None };
    let recording = Recording::new(Wrote::TODAY).transcoding(Some(how));
    Server::on(recording, vec![spec], |_| ()).await
}

/// Does a rung say of each segment what its source says?
fn the_same(source: &Playlist, rung: &Playlist) -> usize {
    let known = |s: &Segment| source.segments.iter().find(|o| o.msn == s.msn).cloned();
    let whole = |s: &&Segment| s.uri.is_some();
    let pairs = rung.segments.iter().filter(whole).filter_map(|s| Some((s, known(s)?)));
    let mut compared = 0;
    for (r, s) in pairs.filter(|(_, s)| s.uri.is_some()) {
        let of = |s: &Segment| (s.msn, s.dseq, s.discontinuity, s.gap, s.pdt);
        assert_eq!(of(r), of(&s), "as its source has it");
        let apart = r.duration.zip(s.duration).map(|(a, b)| (a - b).abs());
        assert!(apart < Some(100_000), "{r:?} as long as {s:?}");
        compared += 1;
    }
    compared
}

/// How many pictures of which height ffprobe finds in what is complete of a playlist before the
/// first gap, and how many of them are key frames.
async fn pictures(session: &Url, rendition: &str, list: &Playlist, dir: &Path) -> (u64, u64, u64) {
    let at = session.join(&format!("{rendition}/index.m3u8")).expect("a URL");
    let (mut bytes, mut map) = (Vec::new(), None);
    for s in list.segments.iter().take_while(|s| !s.gap && s.uri.is_some()) {
        if map.is_none() {
            map.clone_from(&s.map);
            let init = map.clone().expect("an init section before the first segment");
            bytes.extend(fetched::ok(at.join(&init).expect("a URL")).await);
        }
        let uri = s.uri.as_ref().expect("complete");
        bytes.extend(fetched::ok(at.join(uri).expect("a URL")).await);
    }
    let file = dir.join(format!("{rendition}.mp4"));
    std::fs::write(&file, bytes).expect("written");
    let mut probe = std::process::Command::new("ffprobe");
    let words = "-v error -select_streams v -show_entries frame=height,key_frame -of csv=p=0";
    let probed = process::run(probe.args(words.split(' ')).arg(&file)).await;
    assert_eq!((probed.code, &*probed.err), (Some(0), ""), "{rendition} decodes");
    let frames: Vec<(u64, u64)> = probed
        .out
        .lines()
        .filter_map(|l| {
            let mut fields = l.split(',');
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect();
    let keys = frames.iter().map(|f| f.0).sum();
    (frames.len() as u64, frames.first().map_or(0, |f| f.1), keys)
}

pub(crate) fn whole(p: &Playlist) -> usize {
    p.segments.iter().filter(|s| !s.gap && s.uri.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rungs_are_cut_dated_absent_and_over_where_their_source_is() {
    let server = server(Duration::from_secs(8)).await;
    let oracle = server.oracle("main");
    let publish = async |seconds: u32| {
        let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
        let tags = clip::looped(&clip::bbb(), seconds);
        encoder.real_time(&tags, |t| t).await.expect("the server takes it all");
        encoder
    };
    // The cable is pulled.
    drop(publish(6).await);
    let session = fetched::session(&server.url("/"), "main").await;
    let list = fetched::text(session.clone()).await;
    for name in RUNGS {
        assert!(list.contains(&format!("{name}/index.m3u8")), "{list}");
    }
    let source = fetched::media_until(&session, "video", |p| p.segments.iter().any(|s| s.gap));
    let source = source.await;
    for (name, height) in RUNGS.iter().zip([180, 90]) {
        let gap = |p: &Playlist| p.segments.iter().any(|s| s.gap);
        let rung = fetched::media_until(&session, name, gap).await;
        assert!(the_same(&source, &rung) >= 2, "{rung:?}");
        let (frames, high, keys) = pictures(&session, name, &rung, server.data()).await;
        let (of_source, ..) = pictures(&session, "video", &source, server.data()).await;
        assert_eq!((frames, high), (of_source, height), "{name}");
        assert_eq!(keys, whole(&rung) as u64, "a key frame where each segment starts");
    }
    // It is back.
    let encoder = publish(4).await;
    for name in RUNGS {
        let back = |p: &Playlist| {
            p.segments.iter().rev().take_while(|s| s.discontinuity == 0).filter(|s| !s.gap).count()
                >= 2
                && p.segments.iter().any(|s| s.discontinuity == 1)
        };
        fetched::media_until(&session, name, back).await;
    }
    encoder.finish().await;
    let over = fetched::media_until(&session, "video", |p| p.ended).await;
    for name in RUNGS {
        let rung = fetched::media_until(&session, name, |p| p.ended).await;
        assert!(the_same(&over, &rung) >= 4);
        assert_eq!(rung.segments.last().map(|s| s.msn), over.segments.last().map(|s| s.msn));
    }
    silent(&oracle.report().await);
    server.stop().await;
}

/// The channel `main` with a small ladder, as a cluster's API server has it.
pub(crate) const MANIFEST: &str = "
ladders:
  - name: small
    rungs:
      - { name: source, passthrough: true }
      - { name: 180p, codec: h264, height: 180, bitrate: 300kbps, preset: ultrafast }
      - { name: 90p, codec: h264, height: 90, bitrate: 100kbps, preset: ultrafast }
channels:
  - name: main
    keys: [main-key-1]
    ladder: small
    segment: 1s
    part: 200ms
    latencyBudget: 1s
    reconnectWindow: 20s
";

/// The processes that a process has started.
pub(crate) fn children(of: &Up) -> Vec<Pid> {
    let of = of.process.pid();
    let lists = std::fs::read_dir(format!("/proc/{of}/task")).expect("it lives");
    let lists = lists.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok());
    let all = lists.flat_map(|l| l.split(' ').map(str::to_owned).collect::<Vec<_>>());
    all.filter_map(|pid| Pid::from_raw(pid.trim().parse().ok()?)).collect()
}

/// A rung has media again behind `msn`.
pub(crate) fn goes_on_behind(msn: u64) -> impl Fn(&Playlist) -> bool {
    move |p: &Playlist| {
        p.segments.iter().filter(|s| s.msn > msn && !s.gap && s.uri.is_some()).count() >= 2
    }
}

/// A cluster's channel while it is published to, and watched at an edge.
struct OnAir {
    origin: Up,
    edge: Up,
    encoder: tokio::task::JoinHandle<Option<()>>,
    session: Url,
    oracle: Oracle,
}

async fn on_air(cluster: &Cluster) -> OnAir {
    let (origin, edge) = (cluster.origin("origin").await, cluster.edge("edge").await);
    let mut encoder = Encoder::connect(addr(&origin, "rtmp"), &cluster.key).await.expect("taken");
    let tags = clip::looped(&clip::bbb(), 150);
    let publish = async move { encoder.real_time(&tags, |t| t).await };
    let encoder = task::spawn("encoder", async { drop(publish.await) });
    let session = fetched::session(&base(&edge), "main").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    // The clip has a hole in its sound where it begins again; a rung stands still for a lease.
    oracle.except(Exception::Holes);
    oracle.except(Exception::StandsStill);
    OnAir { origin, edge, encoder, session, oracle }
}

/// A worker is killed, then its node, then the next is drained: the rungs go on each time, without
/// a discontinuity, and the source is not disturbed.
#[tokio::test(flavor = "multi_thread")]
async fn rungs_go_on_when_their_worker_and_their_node_are_killed_and_drained() {
    let cluster = Cluster::of_a_manifest(MANIFEST, KEY).await;
    let (one, two) = (cluster.transcoder("one").await, cluster.transcoder("two").await);
    let OnAir { origin, edge, encoder, session, oracle } = on_air(&cluster).await;
    let started = fetched::media_until(&session, "180p", |p| whole(p) >= 2).await;
    let working = |up: &Up| !children(up).is_empty();
    let (busy, idle) = if working(&one) { (one, two) } else { (two, one) };
    assert!(working(&busy) && !working(&idle), "one job, one worker");

    for worker in children(&busy) {
        rustix::process::kill_process(worker, Signal::KILL).expect("it lives");
    }
    let after = fetched::media_until(&session, "180p", goes_on_behind(next(&started) + 1)).await;
    kill(busy).await;
    let moved = fetched::media_until(&session, "90p", goes_on_behind(next(&after) + 1)).await;
    assert!(working(&idle), "it has the job now");
    let third = cluster.transcoder("three").await;
    idle.process.signal(Signal::TERM);
    assert_eq!(within("the end", idle.process.ended()).await.code, Some(0));
    let drained = fetched::media_until(&session, "90p", goes_on_behind(next(&moved) + 1)).await;
    assert!(working(&third));
    let behind = |s: &&Segment| s.msn > next(&moved);
    let lost: Vec<&Segment> = drained.segments.iter().filter(behind).filter(|s| s.gap).collect();
    assert!(lost.is_empty(), "the next node was ready before this one ended: {lost:?}");
    let source = fetched::media_until(&session, "video", beyond(next(&drained))).await;
    assert!(source.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "{source:?}");
    assert!(drained.segments.iter().all(|s| s.discontinuity == 0), "{drained:?}");
    encoder.abort();
    // What was listed is there again with the nodes that made it: the killed and the drained one.
    let back = [cluster.transcoder("one").await, cluster.transcoder("two").await];
    let of = |job: &str| {
        let uris = drained.segments.iter().filter(|s| !s.gap).filter_map(|s| s.uri.as_ref());
        let uri = uris.rev().find(|uri| uri.contains(job)).expect("it made some");
        session.join(&format!("90p/{uri}")).expect("a URL")
    };
    for listed in [of("g1.1-"), of("g1.2-")] {
        let there = async { while !fetched::get(listed.clone()).await.status().is_success() {} };
        within("what was made", there).await;
    }
    silent(&oracle.report().await);
    stop(vec![edge, third, origin]).await;
    stop(back.into()).await;
    stop(cluster.apis).await;
}

/// The only transcoder is killed: the rungs have gaps where their source has media, told by its
/// origin, and go on when there is a transcoder again.
#[tokio::test(flavor = "multi_thread")]
async fn rungs_that_nobody_makes_have_gaps_until_somebody_does() {
    let cluster = Cluster::of_a_manifest(MANIFEST, KEY).await;
    let one = cluster.transcoder("one").await;
    let OnAir { origin, edge, encoder, session, oracle } = on_air(&cluster).await;
    fetched::media_until(&session, "180p", |p| whole(p) >= 2).await;
    kill(one).await;
    let gaps = |p: &Playlist| p.segments.iter().rev().filter(|s| s.gap).count() >= 4;
    let absent = fetched::media_until(&session, "180p", gaps).await;
    assert!(absent.segments.iter().all(|s| s.discontinuity == 0), "{absent:?}");
    let two = cluster.transcoder("two").await;
    let back = fetched::media_until(&session, "180p", goes_on_behind(next(&absent))).await;
    assert!(back.segments.iter().all(|s| s.discontinuity == 0), "{back:?}");
    let source = fetched::media_until(&session, "video", beyond(next(&back))).await;
    assert!(source.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "{source:?}");
    let mut made = back;
    made.segments.retain(|s| !s.gap);
    assert!(the_same(&source, &made) >= 2);
    encoder.abort();
    // What was listed is there again with the node that made it.
    let one = cluster.transcoder("one").await;
    let first = session.join("180p/v3/g1.1-1000.m4s").expect("a URL");
    let there = async { while !fetched::get(first.clone()).await.status().is_success() {} };
    within("what a killed node had made", there).await;
    silent(&oracle.report().await);
    stop(vec![edge, one, two, origin]).await;
    stop(cluster.apis).await;
}

/// Two channels at one transcoder, one of whose workers aborts: its rungs go on with the next
/// segment behind a gap, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_codec_library_ends_one_job_alone() {
    let second = "
  - name: other
    keys: [other-key-1]
    ladder: small
    segment: 1s
    part: 200ms
    latencyBudget: 1s
    reconnectWindow: 20s
";
    let cluster = Cluster::of_a_manifest(&format!("{MANIFEST}{}", &second[1..]), KEY).await;
    let transcoder = cluster.transcoder_that("one", &["--crash-after=main=100"]).await;
    let (origin, edge) = (cluster.origin("origin").await, cluster.edge("edge").await);
    let oracles = ["main", "other"].map(|channel| Oracle::watch(vec![base(&edge)], channel));
    oracles.iter().for_each(|o| o.except(Exception::Holes));
    let publish = async |key: &str| {
        let mut encoder = Encoder::connect(addr(&origin, "rtmp"), key).await.expect("taken");
        let tags = clip::looped(&clip::bbb(), 14);
        encoder.real_time(&tags, |t| t).await.expect("the origin takes it all");
        encoder
    };
    let (main, other) = tokio::join!(publish(KEY), publish("other-key-1"));
    let lists = async |channel: &str, rendition: &str| {
        let session = fetched::session(&base(&edge), channel).await;
        fetched::media_until(&session, rendition, |p| whole(p) >= 8).await
    };
    let gaps = |p: &Playlist| p.segments.iter().filter(|s| s.gap).count();
    for name in RUNGS {
        let (crashed, whole) = (lists("main", name).await, lists("other", name).await);
        assert!(crashed.segments.iter().all(|s| s.discontinuity == 0), "{crashed:?}");
        assert!((1..=3).contains(&gaps(&crashed)), "{crashed:?}");
        assert_eq!(gaps(&whole), 0, "{whole:?}");
    }
    for channel in ["main", "other"] {
        assert_eq!(gaps(&lists(channel, "video").await), 0);
    }
    drop((main, other));
    for oracle in oracles {
        silent(&oracle.report().await);
    }
    stop(vec![edge, transcoder, origin]).await;
    stop(cluster.apis).await;
}
