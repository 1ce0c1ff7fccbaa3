//! The registry on a real database file, with a clock of the test's: what takes time to happen, and
//! files of the first version. What needs no clock is tested on both databases by
//! `tests/flow/registry.rs`.

use super::*;
use crate::api::cluster::{Heartbeat, LEASE, Role};
use crate::api::jobs::{Failure, JobReport};
use crate::api::ladder::Ladder;
use crate::api::types::{
    Durability, End, LastSegment, Pace, PublishRequest, Refusal, Rendition, Report, SessionRecord,
    Want,
};
use crate::base::ids::{Job, Msn};
use crate::base::time::Wall;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;
use std::time::Duration;

fn entry(name: &str) -> ChannelEntry {
    let settings = ChannelSettings {
        name: name.parse().expect("a channel name"),
        segment: Duration::from_secs(2),
        target_duration: Duration::from_secs(4),
        part: Duration::from_millis(500),
        reconnect_window: Duration::from_secs(60),
        pace: Pace::Wall,
        frame_rate: (30, 1),
        latency_budget: Duration::from_millis(500),
        durability: Durability::EachSegment,
        ladder: None,
    };
    ChannelEntry { settings: Arc::new(settings), keys: vec![format!("{name}-key")] }
}

async fn open(path: &Path, channels: &[&str]) -> Registry {
    let entries: Vec<_> = channels.iter().map(|c| entry(c)).collect();
    Registry::open(&Database::File(path.to_owned()), &entries).await.expect("open")
}

fn publish(node: &str) -> Want {
    Want { node: node.into(), key: Some("main-key".into()) }
}

fn take_up(node: &str) -> Want {
    Want { node: node.into(), key: None }
}

fn end(msn: u64, over: bool) -> End {
    End { msn, dseq: 3, wall: 7, tracks: Vec::new(), session_over: over }
}

fn report(msn: u64, acked: u64) -> Report {
    Report { msn: Msn(msn), dseq: 1, wall: Wall(10_000_000), acked: Msn(acked) }
}

fn origin() -> Heartbeat {
    Heartbeat::of(Role::Origin)
}

fn at(seconds: f64) -> Wall {
    Wall(1_000_000_000_000 + Duration::from_secs_f64(seconds).as_micros() as i64)
}

const LEASE_SECONDS: f64 = LEASE.as_secs() as f64;

#[tokio::test]
async fn an_unanswered_writer_is_fenced_above_everything_it_may_have_written() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let r = open(&dir.path().join("r.db"), &["main"]).await;
    let g1 = r.grant(&main, &publish("a"), Wall(0)).await.expect("grant");
    r.report(&main, g1.generation, report(1005, 999), Wall(10_500_000)).await.expect("report");
    // It has the answer to 1005, and perhaps none to 1006.
    let next = r.report(&main, g1.generation, report(1006, 1005), Wall(12_500_000)).await;
    next.expect("report");
    // The same once more, late: nothing new.
    r.report(&main, g1.generation, report(1005, 999), Wall(17_000_000)).await.expect("report");
    // 9.4 s after 1005; edges know after one more, with segments of at least 1 s: 1005 + 10 + 2.
    let g2 = r.grant(&main, &publish("b"), Wall(19_900_000)).await.expect("grant");
    assert_eq!(g2.base, Msn(1017));
    let (_, end) = g2.previous.expect("same session");
    assert_eq!((end.msn, end.wall, end.tracks[0].last), (1006, 10_000_000, LastSegment::Lost));
    assert_eq!(
        r.report(&main, g1.generation, report(1007, 1006), Wall(0)).await,
        Err(Refusal::Fenced(g1.generation))
    );
    // The clock was set back: nothing goes back with it.
    let g3 = r.grant(&main, &publish("a"), Wall(5)).await.expect("grant");
    assert!(g3.base > g2.base, "{g3:?}");
    let g4 = r.grant(&main, &publish("a"), Wall(19_900_000)).await.expect("grant");
    assert!(g4.base > g3.base, "{g4:?}");
}

#[tokio::test]
async fn an_answer_that_was_lost_bounds_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let r = open(&dir.path().join("r.db"), &["main"]).await;
    let g1 = r.grant(&main, &publish("a"), Wall(0)).await.expect("grant");
    // A report that was 50 s on its way: its writer counts from its grant, and may be at 1050.
    r.report(&main, g1.generation, report(1001, 999), Wall(50_000_000)).await.expect("report");
    let g2 = r.grant(&main, &publish("b"), Wall(50_000_000)).await.expect("grant");
    assert_eq!(g2.base, Msn(999 + 51 + 2));
}

#[tokio::test]
async fn keys_belong_to_channels_and_restarts_find_open_sessions() {
    let dir = tempfile::tempdir().expect("temp dir");
    let r = open(&dir.path().join("r.db"), &["a", "b"]).await;
    let ask = |key: &str| PublishRequest { key: key.into(), node: "local".into() };
    let admitted = r.admit(&ask("b-key"), Wall(0)).await.expect("known");
    assert_eq!(admitted.settings.name.as_str(), "b");
    assert_eq!(r.admit(&ask("c-key"), Wall(0)).await.map(|_| ()), Err(Refusal::UnknownKey));
    let a: Channel = "a".parse().expect("name");
    r.grant(&a, &publish("local"), Wall(0)).await.expect("grant");
    let open = r.unfinished(&"local".into(), Wall(0)).await.expect("unfinished");
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].session, open[0].generation, open[0].end.clone()),
        (Session(1), Generation(1), None)
    );
    assert!(r.unfinished(&"other".into(), Wall(0)).await.expect("unfinished").is_empty());
    // Its own node may take it up, and nobody else; what is over, nobody.
    let refused = r.grant(&a, &take_up("other"), Wall(0)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    let g2 = r.grant(&a, &take_up("local"), Wall(0)).await.expect("its own");
    r.end(&a, g2.generation, &end(1200, true)).await.expect("end");
    let refused = r.grant(&a, &take_up("local"), Wall(0)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn a_lease_that_runs_out_appoints_one_live_origin() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("r.db");
    let main: Channel = "main".parse().expect("name");
    let r = open(&path, &["main"]).await;
    let beat = async |r: &Registry, node: &str, seconds: f64| {
        let lease = r.heartbeat(&node.into(), &origin(), at(seconds)).await.expect("taken");
        lease.unfinished
    };
    for node in ["a", "b", "c"] {
        assert!(!beat(&r, node, 0.0).await);
    }
    let g1 = r.grant(&main, &publish("a"), at(1.0)).await.expect("grant");
    // The others live on; the lease of a has run out.
    for node in ["b", "c"] {
        beat(&r, node, LEASE_SECONDS - 1.0).await;
        beat(&r, node, LEASE_SECONDS + 1.0).await;
    }
    let later = LEASE_SECONDS + 2.0;
    let writer = r.writer(&main).await.expect("asked").expect("one");
    assert_eq!((writer.alive, writer.generation, &*writer.node), (false, g1.generation, "a"));
    let (b, c) = (beat(&r, "b", later).await, beat(&r, "c", later).await);
    assert!(b ^ c, "b: {b}, c: {c}");
    let (one, other) = if b { ("b", "c") } else { ("c", "b") };
    for (node, sessions) in [(one, 1), (other, 0), ("a", 1)] {
        let open = r.unfinished(&node.into(), at(later)).await.expect("asked");
        assert_eq!(open.len(), sessions, "{node}");
    }
    let g2 = r.grant(&main, &take_up(one), at(later)).await.expect("taken up");
    assert_eq!((g2.session, g2.generation), (g1.session, Generation(2)));
    let refused = r.grant(&main, &take_up("a"), at(later)).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    assert!(!beat(&r, one, later).await);
    let nodes = r.status(at(later)).await.expect("status").nodes;
    let alive: Vec<_> = nodes.iter().map(|n| (&*n.name, n.alive)).collect();
    assert_eq!(alive, [("a", false), ("b", true), ("c", true)]);
}

/// A registry whose channel `main` is transcoded to the usual ladder.
async fn laddered(path: &Path) -> Registry {
    let ladder = Some(Arc::new(Ladder::standard()));
    let ChannelEntry { settings, keys } = entry("main");
    let settings = Arc::new(ChannelSettings { ladder, ..ChannelSettings::clone(&settings) });
    let entry = ChannelEntry { settings, keys };
    Registry::open(&Database::File(path.to_owned()), &[entry]).await.expect("open")
}

async fn transcodes(r: &Registry, nodes: &[&str], seconds: f64) {
    for node in nodes {
        let beat = Heartbeat { capacity: 16_000, ..Heartbeat::of(Role::Transcoder) };
        r.heartbeat(&(*node).into(), &beat, at(seconds)).await.expect("taken");
    }
}

/// The constants of a session of pictures, which have rungs.
fn of_pictures() -> SessionRecord {
    let rendition = Rendition {
        name: "video".into(),
        track: 1,
        video: true,
        codecs: "avc1.64001f".into(),
        bandwidth: 2_000_000,
        resolution: Some((640, 360)),
        frame_rate_millis: None,
        offered: true,
        range: 0,
        channels: None,
    };
    SessionRecord {
        target_duration: 4,
        segment: 2_000_000,
        part_target: 500_000,
        latency_budget: 500_000,
        render: 1,
        renditions: vec![rendition],
    }
}

/// A generation and its session's constants, of pictures that have rungs.
async fn on_air(r: &Registry, seconds: f64) -> Generation {
    let main: Channel = "main".parse().expect("name");
    let g = r.grant(&main, &publish("a"), at(seconds)).await.expect("grant").generation;
    let record = of_pictures();
    r.open_session(&main, g, &record, at(seconds)).await.expect("opened");
    g
}

/// Who makes the rungs of `main`, oldest first.
async fn jobs(r: &Registry, seconds: f64) -> Vec<(u32, String)> {
    let main: Channel = "main".parse().expect("name");
    let table = r.table(at(seconds)).await.expect("table");
    table.sessions[&main].jobs.iter().map(|(_, j, node)| (j.0, node.to_string())).collect()
}

#[tokio::test]
async fn a_lost_node_s_job_moves_when_its_lease_is_over_and_its_end_is_presumed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let r = laddered(&dir.path().join("r.db")).await;
    transcodes(&r, &["one", "two"], 0.0).await;
    let g = on_air(&r, 0.0).await;
    let made = |all: &[(u32, &str)]| -> Vec<_> {
        all.iter().map(|(j, node)| (*j, (*node).to_owned())).collect()
    };
    assert_eq!(jobs(&r, 0.0).await, made(&[(1, "one")]));
    // The registry's own calm is over.
    transcodes(&r, &["one", "two"], LEASE_SECONDS + 1.0).await;
    let said = JobReport { report: report(1003, 0), load: None };
    r.job_report(&main, (g, Job(1)), &said, at(LEASE_SECONDS + 1.0)).await.expect("taken");
    let lost = 2.0 * LEASE_SECONDS + 1.0;
    transcodes(&r, &["two"], lost - 1.0).await;
    assert_eq!(r.reconcile(at(lost - 0.1), true).await, Ok(0), "its lease is not over");
    assert_eq!(r.reconcile(at(lost + 0.1), true).await, Ok(1));
    assert_eq!(jobs(&r, lost).await, made(&[(1, "one"), (2, "two")]));
    assert_eq!(r.reconcile(at(lost + 0.2), true).await, Ok(0));
    // It may tell its end for a while, though it will not.
    let waits = r.job(&main, g, Job(2), at(lost + 0.2)).await.expect("known");
    assert!(waits.awaits && waits.previous.is_none(), "{waits:?}");
    let order = r.job(&main, g, Job(2), at(lost + 4.0)).await.expect("known");
    let before = order.previous.expect("one");
    let lost_tracks = before.end.tracks.iter().all(|t| t.last == LastSegment::Lost);
    assert_eq!((before.end.msn, before.exact, lost_tracks), (1003, false, true));
    // Who comes back is told that it is over.
    let late = r.job_end(&main, (g, Job(1)), &end(1004, false)).await;
    assert_eq!(late, Err(Refusal::Fenced(g)));
    // One that never reported ended where the one before it did.
    r.leave(&"two".into()).await.expect("gone");
    transcodes(&r, &["one"], lost + 5.0).await;
    assert_eq!(r.reconcile(at(lost + 5.0), true).await, Ok(1));
    let order = r.job(&main, g, Job(3), at(lost + 9.0)).await.expect("known");
    assert_eq!(order.previous.map(|b| (b.job, b.end)), Some((Job(2), before.end)));
}

#[tokio::test]
async fn a_node_that_alone_could_not_do_a_job_gets_it_again_after_growing_pauses() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let r = laddered(&dir.path().join("r.db")).await;
    transcodes(&r, &["one"], 0.0).await;
    let g = on_air(&r, 0.0).await;
    let failure = Failure { why: "the disk is full".into(), end: None };
    let mut then = 1.0;
    for (job, pause) in
        [(1, 10.0), (2, 20.0), (3, 40.0), (4, 80.0), (5, 160.0), (6, 320.0), (7, 320.0)]
    {
        transcodes(&r, &["one"], then).await;
        r.job_failed(&main, (g, Job(job)), &failure, at(then)).await.expect("taken");
        transcodes(&r, &["one"], then + pause - 0.1).await;
        assert_eq!(r.reconcile(at(then + pause - 0.1), true).await, Ok(0), "job {job}");
        assert_eq!(r.reconcile(at(then + pause), true).await, Ok(1), "job {job}");
        then += pause + 1.0;
    }
    assert_eq!(jobs(&r, then).await.len(), 8);
}

#[tokio::test]
async fn while_nobody_has_room_a_sources_node_writes_the_gaps_of_its_rungs() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let r = laddered(&dir.path().join("r.db")).await;
    // Its heartbeats, with those of transcoders, from some moment to another.
    let live = async |nodes: &[&str], from: f64, to: f64| {
        let mut now = from;
        while now < to {
            r.heartbeat(&"a".into(), &origin(), at(now)).await.expect("taken");
            transcodes(&r, nodes, now).await;
            now += LEASE_SECONDS / 2.0;
        }
    };
    live(&["one"], 0.0, 1.0).await;
    let g = on_air(&r, 0.0).await;
    // The registry's own calm is over.
    let calm = 2.0 * LEASE_SECONDS;
    live(&["one"], 1.0, calm).await;
    let lost = calm + LEASE_SECONDS;
    live(&[], calm, lost).await;
    // Also where somebody else places jobs.
    assert_eq!(r.reconcile(at(lost + 0.1), false).await, Ok(1));
    assert_eq!(r.reconcile(at(lost + 0.2), false).await, Ok(0), "it is not due again yet");
    assert_eq!(jobs(&r, lost).await.last(), Some(&(2, "a".to_owned())));
    let order = r.job(&main, g, Job(2), at(lost + 4.0)).await.expect("known");
    assert!(order.gaps && !order.awaits && order.previous.is_some(), "{order:?}");
    live(&[], lost, lost + 10.5).await;
    assert_eq!(r.reconcile(at(lost + 10.5), true).await, Ok(0), "once");
    let shown = r.status(at(lost + 10.5)).await.expect("status").jobs;
    assert_eq!(shown[0].node, None, "nobody makes them");
    // Somebody has room again, and is told where the gaps end.
    live(&["two"], lost + 11.0, lost + 21.0).await;
    assert_eq!(r.reconcile(at(lost + 21.0), true).await, Ok(1));
    assert_eq!(jobs(&r, lost).await.last(), Some(&(3, "two".to_owned())));
    let order = r.job(&main, g, Job(3), at(lost + 21.1)).await.expect("known");
    assert!(order.awaits && !order.gaps, "{order:?}");
    r.job_end(&main, (g, Job(2)), &end(1020, false)).await.expect("taken");
    let order = r.job(&main, g, Job(3), at(lost + 21.2)).await.expect("known");
    assert_eq!(order.previous.map(|b| (b.job, b.end.msn, b.exact)), Some((Job(2), 1020, true)));
    // The next generation begins while nobody has room.
    r.leave(&"two".into()).await.expect("gone");
    let next = r.grant(&main, &publish("b"), at(lost + 22.0)).await.expect("grant").generation;
    assert_eq!(jobs(&r, lost).await.last(), Some(&(1, "b".to_owned())));
    assert!(r.job(&main, next, Job(1), at(lost + 30.0)).await.expect("known").gaps);
}

#[tokio::test]
async fn sessions_of_another_registry_get_rungs_here_and_are_shown_with_them() {
    let dir = tempfile::tempdir().expect("temp dir");
    let main: Channel = "main".parse().expect("name");
    let of = laddered(&dir.path().join("of.db")).await;
    let g = on_air(&of, 0.0).await;
    let told = of.table(at(0.0)).await.expect("table").sessions[&main].clone();
    assert_eq!(told.record, None, "its source's log has it");
    let settings = of.channel(&main).await.expect("there").settings;
    let own = Registry::open(&Database::File(dir.path().join("own.db")), &[]).await.expect("open");
    let not_here = own.mirror(&main, &told, at(0.0)).await;
    assert!(matches!(not_here, Err(Refusal::Invalid(_))), "{not_here:?}");
    let own = own.mirroring(ChannelSettings::clone(&settings)).transcoding("t".into(), 16_000);
    own.mirror(&main, &told, at(1.0)).await.expect("taken");
    assert!(own.table(at(1.0)).await.expect("table").sessions.is_empty(), "not before its rungs");
    let opened = own.open_session(&main, g, &of_pictures(), at(1.0)).await.expect("opened");
    assert!(opened.renditions.len() > 1, "{opened:?}");
    let shown = own.table(at(1.0)).await.expect("table").sessions[&main].clone();
    assert_eq!(shown.record.as_deref(), Some(&opened));
    assert_eq!(shown.jobs, [(g, Job(1), "t".into())]);
    // Its jobs follow its generations, and it ends with it.
    let mut later = told;
    later.generations.push((Generation(g.0 + 1), "b".into()));
    later.over = true;
    own.mirror(&main, &later, at(2.0)).await.expect("taken");
    let shown = own.find(&main, later.session).await.expect("asked").expect("known");
    assert_eq!((shown.generations.len(), shown.jobs.len(), shown.over), (2, 2, true));
}

#[tokio::test]
async fn nobodys_lease_runs_out_while_the_registry_was_away() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("r.db");
    let main: Channel = "main".parse().expect("name");
    let r = open(&path, &["main"]).await;
    for node in ["a", "b"] {
        r.heartbeat(&node.into(), &origin(), at(0.0)).await.expect("taken");
    }
    r.grant(&main, &publish("a"), at(1.0)).await.expect("grant");
    r.close().await;
    assert!(matches!(r.revision(at(1.0)).await, Err(Refusal::Unavailable(_))));
    // It comes back after ten minutes; b is heard first.
    let r = open(&path, &["main"]).await;
    let b = r.heartbeat(&"b".into(), &origin(), at(600.0)).await.expect("taken");
    assert!(!b.unfinished);
    assert!(r.status(at(600.0)).await.expect("status").nodes.iter().all(|n| n.alive));
    // A replica that was not away knows it from the silence, though its own calm is long over.
    let other = open(&path, &["main"]).await;
    assert!(other.status(at(0.0)).await.expect("status").nodes.iter().all(|n| n.alive));
    let soon = 600.0 + LEASE_SECONDS - 1.0;
    assert!(other.status(at(soon)).await.expect("status").nodes.iter().all(|n| n.alive));
    // a is not heard for one more lease: it is gone.
    let b = r.heartbeat(&"b".into(), &origin(), at(soon)).await.expect("taken");
    assert!(!b.unfinished);
    let later = 600.0 + LEASE_SECONDS + 1.0;
    assert!(r.heartbeat(&"b".into(), &origin(), at(later)).await.expect("taken").unfinished);
}

/// What `castctl up` of the first version left.
const FIRST_VERSION: &str = "
CREATE TABLE session (
  channel TEXT NOT NULL, session INTEGER NOT NULL, over INTEGER NOT NULL, record TEXT,
  PRIMARY KEY (channel, session)
) WITHOUT ROWID;
CREATE TABLE generation (
  channel TEXT NOT NULL, generation INTEGER NOT NULL,
  session INTEGER NOT NULL, node TEXT NOT NULL,
  base INTEGER NOT NULL, dseq INTEGER NOT NULL, granted INTEGER NOT NULL,
  msn INTEGER, report_dseq INTEGER, wall INTEGER, received INTEGER, ended TEXT,
  PRIMARY KEY (channel, generation)
) WITHOUT ROWID;
CREATE INDEX generation_of_session ON generation (channel, session, generation);
INSERT INTO session VALUES ('main', 1, 1, NULL), ('main', 2, 0, NULL);
INSERT INTO generation VALUES
  ('main', 1, 1, 'local', 1000, 0, 1, NULL, NULL, NULL, NULL,
   '{\"msn\":1010,\"dseq\":2,\"wall\":9,\"tracks\":[],\"sessionOver\":true}'),
  ('main', 2, 2, 'local', 1011, 2, 100, 1020, 3, 7, 5000000, NULL);
PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_the_first_version_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("r.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old = options.connect().await.expect("a file");
    sqlx::raw_sql(FIRST_VERSION).execute(&mut old).await.expect("the old schema");
    sqlx::Connection::close(old).await.expect("closed");
    let main: Channel = "main".parse().expect("name");
    let r = open(&path, &["main"]).await;
    assert!(r.revision(Wall(0)).await.expect("counted").0 > 0);
    let table = r.table(Wall(0)).await.expect("table");
    let live = &table.sessions[&main];
    assert_eq!((live.session, live.over, live.generations.len()), (Session(2), false, 1));
    assert_eq!(r.unfinished(&"local".into(), Wall(0)).await.expect("asked").len(), 1);
    // Its last report was received at 5 s: 1020 + floor(3 + 1) + 2.
    let g3 = r.grant(&main, &publish("local"), Wall(8_500_000)).await.expect("grant");
    assert_eq!((g3.session, g3.generation, g3.base), (Session(2), Generation(3), Msn(1026)));
}

#[test]
fn a_url_is_told_without_its_password() {
    let url = Database::Url("postgres://me:secret@db.example:5432/castctl?sslmode=require".into());
    assert_eq!(format!("{url} {url:?}").matches("secret").count(), 0);
    assert_eq!(url.to_string(), "postgres://db.example:5432/castctl");
}

#[tokio::test]
async fn a_node_that_never_wrote_is_forgotten_a_day_after_it_has_gone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let r = open(&dir.path().join("r.db"), &["main"]).await;
    let main: Channel = "main".parse().expect("name");
    let start = at(0.0);
    for node in ["wrote", "edge-7f", "lives"] {
        r.heartbeat(&node.into(), &origin(), start).await.expect("taken");
    }
    r.grant(&main, &publish("wrote"), start).await.expect("grant");
    for (hours, known) in [(23, vec!["edge-7f", "lives", "wrote"]), (25, vec!["lives", "wrote"])] {
        let now = at(f64::from(hours) * 3_600.0);
        r.heartbeat(&"lives".into(), &origin(), now).await.expect("taken");
        let nodes = r.status(now).await.expect("status").nodes;
        let names: Vec<String> = nodes.iter().map(|n| n.name.to_string()).collect();
        assert_eq!(names, known, "after {hours} h");
    }
}
