//! Failover that nobody notices: every few seconds something happens to one of a cluster's
//! processes, its network or its database, while encoders publish, players play and the oracle
//! watches every edge and the balancer in front of them.
//!
//! `CHAOS_SECONDS` says for how long, `CHAOS_SEED` what happens when, `CHAOS_CHANNELS` to how many
//! encoders; four and more have three origins and four edges (`scripts/chaos`: ten for 5 minutes).
//! CI's run is shorter and smaller: it shares two cores with five other tests, and at ten channels
//! the oracle alone, which asks for everything at every edge, would need them both. What it holds
//! is the same: no player ends, nothing that was shown or acknowledged is lost, nobody is
//! contradicted. Stalls are printed beside their aim; where cores are shared they are not the
//! cluster's alone.

mod balancer;
pub(crate) mod encoders;
pub(crate) mod link;
pub(crate) mod plan;
mod playback;
mod players;
mod recorded;
mod rendition;
mod report;
mod stage;

use crate::browser::number;
use crate::chaos::encoders::{Publish, Shared};
use crate::chaos::plan::{Cast, plan};
use crate::chaos::players::Player;
use crate::chaos::recorded::{GivenUp, Logged};
use crate::chaos::report::Stood;
use crate::chaos::stage::{Done, Stage};
use crate::fetched;
use crate::oracle::{Exception, Finding, Oracle};
use crate::process::Process;
use crate::server::{PATIENCE, silent, within};
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Channels are made with these: short segments, so that a short run has many; the session outlives
/// every disturbance.
const SETTINGS: &str = "--segment 1s --part 250ms --reconnect-window 60s";

/// The aim of a segment in them.
const SEGMENT: Duration = Duration::from_secs(1);

/// Seconds of CI's run.
const SECONDS: u64 = 42;

/// Channels of CI's run.
const CHANNELS: u64 = 3;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

/// What a run is made of.
struct Run {
    length: Duration,
    seed: u64,
    channels: usize,
    cast: Cast,
}

impl Run {
    fn wanted() -> Run {
        let length = Duration::from_secs(variable("CHAOS_SECONDS", SECONDS));
        let channels = usize::try_from(variable("CHAOS_CHANNELS", CHANNELS)).expect("a few");
        let (origins, edges) = if channels < 4 { (2, 2) } else { (3, 4) };
        let cast = Cast { origins, edges, apis: 2 };
        Run { length, seed: variable("CHAOS_SEED", 1), channels, cast }
    }
}

/// All that goes on beside the cast.
struct Audience {
    records: Vec<Shared>,
    encoders: Vec<JoinHandle<Option<()>>>,
    players: Vec<Arc<Player>>,
    playing: Vec<JoinHandle<Option<()>>>,
    oracles: Vec<Oracle>,
    stop: watch::Sender<bool>,
}

impl Audience {
    fn gather(stage: &Stage, length: Duration) -> Audience {
        let (stop, stopped) = watch::channel(false);
        let tags = encoders::tags(length + PATIENCE * 4);
        let (mut records, mut encoders) = (Vec::new(), Vec::new());
        let (mut players, mut playing, mut oracles) = (Vec::new(), Vec::new(), Vec::new());
        for (n, channel) in stage.channels.iter().enumerate() {
            let publish = Publish {
                rtmp: stage.balancer.rtmp,
                key: channel.key.clone(),
                tags: Arc::clone(&tags),
                goes_on: n % 2 == 0,
                clock: stage.clock.clone(),
            };
            let record = Shared::default();
            let encoder = encoders::publish(publish, record.clone(), stopped.clone());
            encoders.push(task::spawn(format!("encoder {n}"), encoder));
            records.push(record);
            let player = Player::new(&channel.name, stage.clock.clone(), stopped.clone());
            let base = stage.balancer.base();
            playing.push(task::spawn(format!("player {n}"), Arc::clone(&player).play(base)));
            players.push(player);
            let oracle = Oracle::watch_with(
                stage.direct.clone(),
                vec![stage.balancer.base()],
                &channel.name,
            );
            // The clip has a hole in its sound where it begins again; processes will be killed.
            oracle.except(Exception::Holes);
            oracle.except(Exception::StandsStill);
            oracle.except(Exception::NodesAway);
            oracles.push(oracle);
        }
        Audience { records, encoders, players, playing, oracles, stop }
    }

    /// Waits until every channel lists so many more segments everywhere.
    ///
    /// # Errors
    /// One that does not.
    async fn goes_on(&self, segments: u64) -> Result<(), String> {
        for (oracle, player) in self.oracles.iter().zip(&self.players) {
            let before = oracle.seen().newest;
            let more = |now: &BTreeMap<String, u64>| {
                now.len() == 2
                    && now.iter().all(|(k, n)| *n >= before.get(k).map_or(0, |b| b + segments))
            };
            let seen = oracle.until(PATIENCE, |seen| more(&seen.newest));
            tokio::select! {
                _ = seen => {}
                () = tokio::time::sleep(PATIENCE) => {
                    return Err(format!("{} stands still", player.channel));
                }
            }
        }
        Ok(())
    }

    /// The encoders have sent all they send, the players play no more.
    async fn leave(&mut self) {
        self.stop.send_replace(true);
        for task in self.encoders.drain(..).chain(self.playing.drain(..)) {
            within("everybody to leave", task).await.expect("not aborted").expect("no panic");
        }
    }
}

/// One tab with hls.js, through the balancer.
fn tab(base: &Url, channel: &str, seconds: u64) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/players.mjs");
    let url = base.join(&format!("live/{channel}/index.m3u8")).expect("a URL");
    let mut node = Command::new("node");
    node.arg(script).arg(seconds.to_string()).arg(format!("hls.js=hls.js,{url}"));
    Process::start(&mut node)
}

async fn seen_in(tab: Process, limit: Duration) -> Value {
    let ended = tab.ended_within(limit).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    let mut lines = ended.out.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    lines.next_back().expect("what it saw")
}

/// Does all that is planned, each at its time.
async fn disturb(stage: &Arc<Stage>, run: &Run) -> Vec<Done> {
    let begun = stage.now();
    let mut running = JoinSet::new();
    for blow in plan(run.seed, run.length, run.cast) {
        stage.clock.sleep_until(begun.plus(blow.at)).await;
        running.spawn(Arc::clone(stage).strike(blow));
    }
    let mut done = running.join_all().await;
    stage.clock.sleep_until(begun.plus(run.length)).await;
    done.sort_by_key(|d| d.from);
    done
}

/// Media that was shown, and how much of it no edge gives out any more as it was.
async fn lost(stage: &Stage, oracles: &[Oracle]) -> (usize, Vec<String>) {
    let http = fetched::client();
    let mut asked = JoinSet::new();
    let (mut shown, mut lost) = (0, Vec::new());
    for oracle in oracles {
        for (path, before) in oracle.media() {
            shown += 1;
            // Each edge is asked for its share. Behind a decided end it may not have what another
            // has listed; it says so, and the next is asked, as balancers do.
            let mut bases = stage.direct.clone();
            bases.rotate_left(shown % stage.direct.len());
            let http = http.clone();
            asked.spawn(async move {
                for base in bases {
                    let url = base.join(&path).expect("a URL");
                    let Ok(answer) = http.get(url).send().await else { continue };
                    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                        continue;
                    }
                    let good = answer.status() == StatusCode::OK;
                    let same = answer.bytes().await.is_ok_and(|now| now == before);
                    return (!good || !same).then_some(path);
                }
                Some(path)
            });
            if asked.len() >= 32 {
                lost.extend(asked.join_next().await.and_then(|done| done.expect("no panic")));
            }
        }
    }
    lost.extend(asked.join_all().await.into_iter().flatten());
    (shown, lost)
}

/// What came of the packets.
struct Packets {
    sent: u64,
    acknowledged: usize,
    missing: Vec<String>,
}

fn packets(stage: &Stage, records: &[Shared], logged: &Logged) -> Packets {
    let mut out = Packets { sent: 0, acknowledged: 0, missing: Vec::new() };
    for (channel, record) in stage.channels.iter().zip(records) {
        let (record, logged) = (record.get(), logged.packets.get(&channel.name));
        out.sent += record.sent;
        out.acknowledged += record.acknowledged.len();
        let has = |id| logged.is_some_and(|l| l.contains(id));
        let missing = record.acknowledged.iter().filter(|id| !has(id));
        out.missing.extend(missing.map(|(t, dts)| format!("{} {t:?} {dts}", channel.name)));
    }
    out
}

/// What the players and encoders did.
fn tally(audience: &Audience, done: &[Done]) -> (Vec<Stood>, Vec<String>, String) {
    let (mut stood, mut fatal, mut text) = (Vec::new(), Vec::new(), String::new());
    let (mut errors, mut parts) = (BTreeMap::<String, u64>::new(), 0);
    let (mut connections, mut outages) = (0, Vec::new());
    for (player, record) in audience.players.iter().zip(&audience.records) {
        let (seen, record) = (player.seen(), record.get());
        fatal.extend(seen.fatal.iter().cloned());
        seen.errors.iter().for_each(|(what, n)| *errors.entry(what.clone()).or_default() += n);
        parts += seen.parts;
        connections += record.connections;
        outages.extend(record.outages.iter().map(|(from, to)| to.since(*from)));
        for stall in &seen.playback.stalls {
            let encoder = report::away(stall, &record.outages, done);
            stood.push(Stood { channel: player.channel.clone(), stall: *stall, encoder });
        }
    }
    let longest = outages.iter().max().copied().unwrap_or_default().as_secs_f64();
    writeln!(text, "players: {parts} parts, fatal errors {}", fatal.len()).expect("text");
    fatal.iter().for_each(|f| writeln!(text, "  fatal: {f}").expect("text"));
    for (what, n) in errors {
        writeln!(text, "  not fatal: {what}: {n}").expect("text");
    }
    writeln!(text, "encoders: {connections} connections, longest outage {longest:.1} s")
        .expect("text");
    (stood, fatal, text)
}

/// Past the capture of the test runner: the figures belong into CI's output.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// For whoever looks into a failure: what everybody said, into the directory `CHAOS_KEEP`.
async fn keep(stage: &Stage, audience: &Audience, files: &[(&str, String)]) {
    let Ok(dir) = std::env::var("CHAOS_KEEP") else { return };
    let dir = Path::new(&dir);
    stage.keep_words(dir).await;
    let words = audience.records.iter().map(|r| r.get().words.join("\n") + "\n\n");
    std::fs::write(dir.join("encoders.log"), words.collect::<String>()).expect("written");
    for (name, text) in files {
        std::fs::write(dir.join(name), text).expect("written");
    }
}

async fn verdict(oracles: Vec<Oracle>, ends: &str) -> Vec<Finding> {
    let ends = recorded::decided_ends(ends);
    let mut found = Vec::new();
    for (n, oracle) in oracles.into_iter().enumerate() {
        for msns in ends.get(&format!("c{n}")).into_iter().flatten() {
            oracle.except(Exception::DecidedEnd { msns: msns.clone() });
        }
        found.extend(oracle.judge());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_processes_viewers_play_on() {
    let run = Run::wanted();
    let stage = Arc::new(Stage::set(run.cast, run.channels, SETTINGS).await);
    let mut audience = Audience::gather(&stage, run.length);
    audience.goes_on(3).await.expect("a quiet beginning");
    let seconds = run.length.as_secs();
    let mut tab = tab(&stage.balancer.base(), "c0", seconds + 5);
    tab.prints("\"playing\"", 1).await;
    let began = stage.now().0 as f64 / 1e6;
    let done = disturb(&stage, &run).await;
    if let Err(why) = audience.goes_on(3).await {
        let rows = stage.ask_database(recorded::ROWS).await;
        keep(&stage, &audience, &[("generations.txt", rows)]).await;
        panic!("{why}\n{}", report::blows(&done));
    }
    let tab = seen_in(tab, run.length + PATIENCE).await;
    audience.leave().await;
    for oracle in &audience.oracles {
        oracle.finish().await;
    }
    let (shown, mut lost) = lost(&stage, &audience.oracles).await;
    let ends = stage.ask_database(recorded::ENDS).await;
    let rows = stage.ask_database(recorded::ROWS).await;
    let dirs = stage.close().await;
    let mut logged = Logged::default();
    for dir in dirs {
        recorded::read(&dir, &mut logged).await;
    }
    let packets = packets(&stage, &audience.records, &logged);
    let given_up = GivenUp::of(&ends);
    let count = lost.len();
    lost.retain(|path| !given_up.has(path, &logged));
    let given_up = count - lost.len();
    let (stood, fatal, text) = tally(&audience, &done);
    let found = verdict(std::mem::take(&mut audience.oracles), &ends).await;
    let mut said = format!("\nchaos: seed {}, {seconds} s\n{}", run.seed, report::blows(&done));
    said += &report::stalls(&stood, &done, SEGMENT);
    said += &text;
    let advanced = number(&tab, "/advanced");
    said += &format!(
        "hls.js, from {began:.1} s on: {advanced:.1} s played, stalls (at, s) {}, fatal {}, \
         others {}\n",
        tab["when"], tab["fatal"], tab["events"]
    );
    said += &format!(
        "packets: sent {}, acknowledged {}, of them missing {}\nmedia: shown {shown}, of them \
         given up with their writer {given_up}, lost {}\noracle: {} findings\n",
        packets.sent,
        packets.acknowledged,
        packets.missing.len(),
        lost.len(),
        found.len()
    );
    print(&said);
    let lists = format!(
        "missing\n{:#?}\nlost\n{lost:#?}\nnot sealed\n{:#?}\n",
        packets.missing, logged.open
    );
    let findings = found.iter().map(|f| format!("{f}\n")).collect();
    let files = [
        ("report.txt", said),
        ("generations.txt", rows),
        ("findings.txt", findings),
        ("lost.txt", lists),
    ];
    keep(&stage, &audience, &files).await;
    assert!(logged.open.is_empty(), "not sealed: {:?}", logged.open);
    silent(&found);
    assert!(fatal.is_empty(), "players ended: {fatal:#?}");
    assert_eq!(tab["fatal"].as_array().map(Vec::len), Some(0), "{tab}");
    assert!(packets.missing.is_empty(), "acknowledged, in no log: {:?}", packets.missing);
    assert!(lost.is_empty(), "shown, and lost: {lost:#?}");
    assert!(packets.acknowledged > 0 && shown > 0 && advanced > 0.0, "nothing happened");
}
