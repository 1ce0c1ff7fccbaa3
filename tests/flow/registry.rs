//! The registry on both of its databases: one suite, run on a SQLite file and on a real PostgreSQL;
//! then what only several replicas can get wrong, and a database that stands still or dies.

use crate::postgres::{self, Postgres};
use crate::server::within;
use castctl::api::auth::NODE_NAME_MAX;
use castctl::api::cluster::{
    Archived, ArchivedLog, HELD_MAX, Heartbeat, LogName, LostGeneration, NewKey, RESTORED_MAX,
    Restored, Role,
};
use castctl::api::jobs::{Failure, JobReport, Load, Unmade, Without};
use castctl::api::ladder::Ladder;
use castctl::api::types::{
    ChannelSettings, Durability, End, Pace, PublishRequest, Refusal, Rendition, Report, SessionEnd,
    SessionRecord, Want,
};
use castctl::base::ids::{Channel, Generation, Job, Msn, Session};
use castctl::base::time::Wall;
use castctl::control::plan::cost::correction::{RATIO_MAX, RATIO_MIN};
use castctl::control::plan::place::HEADROOM;
use castctl::control::plan::schedule::Placement;
use castctl::control::registry::keys::{KEYS_MAX, NOTE_MAX};
use castctl::control::registry::{ChannelEntry, Database, Registry};
use castctl::rt::clock::Clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn settings(name: &str) -> ChannelSettings {
    ChannelSettings {
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
    }
}

fn entry(name: &str) -> ChannelEntry {
    ChannelEntry { settings: Arc::new(settings(name)), keys: vec![format!("{name}-key")] }
}

async fn open(at: &Database) -> Registry {
    Registry::open(at, &[entry("main")]).await.expect("open")
}

fn channel(name: &str) -> Channel {
    name.parse().expect("a channel name")
}

fn want(node: &str, key: Option<&str>) -> Want {
    Want { node: node.into(), key: key.map(str::to_owned) }
}

fn publish(node: &str) -> Want {
    want(node, Some("main-key"))
}

fn end(msn: u64, over: bool) -> End {
    End { msn, dseq: 3, wall: 7, tracks: Vec::new(), session_over: over }
}

fn beat(url: Option<&str>) -> Heartbeat {
    let (url, figures) = (url.map(str::to_owned), BTreeMap::from([("viewers".to_owned(), 3)]));
    let upstreams = BTreeMap::from([("http://b:1".to_owned(), 2)]);
    let rtmps = Some("rtmps://a/live".to_owned());
    Heartbeat { url, rtmps, figures, upstreams, ..Heartbeat::of(Role::Origin) }
}

fn now() -> Wall {
    Clock::system().now().wall
}

/// The same test on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let dir = tempfile::tempdir().expect("a directory");
                super::$name(Database::File(dir.path().join("r.db"))).await;
            })*
        }
        mod postgresql {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(Database::Url(postgres::shared().database())).await;
            })*
        }
    };
}

on_both! {
    numbers_grow_over_generations_sessions_and_restarts
    a_channels_sessions_are_told_on_its_time_line
    a_sessions_constants_are_set_once
    channels_are_made_listed_and_deleted
    keys_are_admitted_by_their_terms
    nodes_are_known_and_leave
    an_adopted_log_is_read_from_who_has_it
    what_is_in_a_bucket_is_known_however_often_it_is_told
    what_was_lost_with_the_database_is_restored_where_nobody_has_written_since
    a_session_is_made_as_every_live_edge_can_make_it
    replicas_that_grant_at_once_repeat_nothing
    rungs_are_given_at_opening_and_follow_the_next_generation
    a_node_that_is_lost_or_drained_gives_its_jobs_away
    a_job_that_its_node_cannot_do_is_given_to_another
    a_job_is_given_once_and_where_it_may
    sessions_that_are_opened_at_once_do_not_overfill_a_node
    what_a_job_takes_is_learnt_and_makes_room_or_takes_it
    people_are_shown_what_became_of_a_ladder
}

async fn a_channels_sessions_are_told_on_its_time_line(at: Database) {
    let main = channel("main");
    let r = open(&at).await;
    assert_eq!(r.sessions(&main).await, Ok(vec![]));
    let g1 = r.grant(&main, &publish("a"), now()).await.expect("grant");
    r.end(&main, g1.generation, &end(1010, false)).await.expect("end");
    let g2 = r.grant(&main, &publish("b"), now()).await.expect("grant");
    r.open_session(&main, g2.generation, &record(1), now()).await.expect("opened");
    let told = r.sessions(&main).await.expect("asked");
    assert_eq!((told.len(), told[0].first, told[0].open), (1, Msn(1000), true));
    assert!(told[0].end.is_none() && told[0].start <= now(), "{told:?}");
    r.end(&main, g2.generation, &end(1020, true)).await.expect("end");
    let g3 = r.grant(&main, &publish("a"), now()).await.expect("grant");
    let told = r.sessions(&main).await.expect("asked");
    let last = SessionEnd { last: Msn(1020), date: Wall(7) };
    assert_eq!((told.len(), told[0].end), (2, Some(last)));
    assert_eq!((told[1].session, told[1].first, told[1].open), (g3.session, Msn(1021), false));
    assert!(told[1].end.is_none() && told[1].start >= told[0].start, "{told:?}");
    r.close().await;
}

async fn numbers_grow_over_generations_sessions_and_restarts(at: Database) {
    let main = channel("main");
    let r = open(&at).await;
    let g1 = r.grant(&main, &publish("a"), now()).await.expect("grant");
    assert_eq!(
        (g1.session, g1.generation, g1.base, g1.previous),
        (Session(1), Generation(1), Msn(1000), None)
    );
    let report = Report { msn: Msn(1005), dseq: 3, wall: Wall(5), acked: Msn(999) };
    r.report(&main, g1.generation, report, now()).await.expect("report");
    let writer = r.writer(&main).await.expect("asked").expect("one writes");
    assert_eq!((writer.generation, &*writer.node), (Generation(1), "a"));
    r.end(&main, g1.generation, &end(1010, false)).await.expect("end");
    // Decided once.
    r.end(&main, g1.generation, &end(1012, false)).await.expect("told again");
    assert_eq!(r.writer(&main).await.expect("asked"), None);
    let refused = r.report(&main, g1.generation, report, now()).await;
    assert_eq!(refused, Err(Refusal::Fenced(g1.generation)));
    let before = r.revision(now()).await.expect("counted");
    let g2 = r.grant(&main, &publish("b"), now()).await.expect("grant");
    assert!(r.revision(now()).await.expect("counted") > before);
    assert_eq!(
        (g2.session, g2.generation, g2.base, g2.dseq),
        (Session(1), Generation(2), Msn(1011), 3)
    );
    assert_eq!(g2.previous, Some((Generation(1), end(1010, false))));
    assert_eq!(g2.render, None, "there is no edge");
    let refused = r.end(&main, g1.generation, &end(9999, true)).await;
    assert_eq!(refused, Err(Refusal::Fenced(g1.generation)));
    r.end(&main, g2.generation, &end(1020, true)).await.expect("end of session");
    r.close().await;
    let r = open(&at).await;
    let g3 = r.grant(&main, &publish("a"), now()).await.expect("grant");
    assert_eq!(
        (g3.session, g3.generation, g3.base, g3.previous),
        (Session(2), Generation(3), Msn(1021), None)
    );
    let table = r.table(now()).await.expect("table");
    assert_eq!(table.sessions[&main].generations, [(Generation(3), "a".into())]);
    let first = r.find(&main, Session(1)).await.expect("find").expect("session 1");
    assert_eq!((first.over, first.generations.len()), (true, 2));
    assert_eq!(r.find(&main, Session(7)).await, Ok(None));
    let gone = r.grant(&channel("other"), &publish("a"), now()).await;
    assert_eq!(gone.map(|_| ()), Err(Refusal::NoChannel));
}

fn record(render: u32) -> SessionRecord {
    let rendition = Rendition {
        name: "v".into(),
        track: 1,
        video: true,
        codecs: "avc1.64001f".into(),
        bandwidth: 1,
        resolution: Some((640, 360)),
        frame_rate_millis: None,
        offered: true,
        range: 0,
        channels: None,
    };
    SessionRecord {
        target_duration: 4,
        segment: 2_000_000,
        part_target: 502_000,
        latency_budget: 500_000,
        render,
        renditions: vec![rendition],
    }
}

async fn a_sessions_constants_are_set_once(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let g = r.grant(&main, &publish("a"), now()).await.expect("grant");
    assert!(!r.table(now()).await.expect("table").sessions[&main].open);
    let set = r.open_session(&main, g.generation, &record(1), now()).await.expect("set");
    assert_eq!(set, record(1));
    let again = r.open_session(&main, g.generation, &record(2), now()).await.expect("answered");
    assert_eq!(again, record(1));
    assert!(r.table(now()).await.expect("table").sessions[&main].open);
    let g2 = r.grant(&main, &publish("b"), now()).await.expect("grant");
    assert_eq!(g2.record, Some(record(1)));
    let fenced = r.open_session(&main, g.generation, &record(1), now()).await;
    assert_eq!(fenced, Err(Refusal::Fenced(g.generation)));
}

async fn channels_are_made_listed_and_deleted(at: Database) {
    let (r, show) = (open(&at).await, channel("show"));
    r.create_channel(settings("show")).await.expect("made");
    for taken in ["show", "main"] {
        let refused = r.create_channel(settings(taken)).await;
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    }
    let all = r.channels().await.expect("listed");
    let names: Vec<_> = all.iter().map(|c| (c.settings.name.as_str(), c.configured)).collect();
    assert_eq!(names, [("main", true), ("show", false)]);
    let g = r.grant(&show, &publish("a"), now()).await.expect("grant");
    let state = r.channel(&show).await.expect("known");
    assert_eq!((*state.settings).clone(), settings("show"));
    let session = state.session.expect("one");
    assert_eq!((session.session, session.over, session.ended), (Session(1), false, false));
    for held in ["show", "main"] {
        let refused = r.delete_channel(&channel(held)).await;
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    }
    r.end(&show, g.generation, &end(1500, true)).await.expect("end");
    r.delete_channel(&show).await.expect("deleted");
    assert_eq!(r.channel(&show).await.map(|_| ()), Err(Refusal::NoChannel));
    assert_eq!(r.delete_channel(&show).await, Err(Refusal::NoChannel));
    assert!(!r.table(now()).await.expect("table").sessions.contains_key(&show));
    // Whoever has its name later goes on from its numbers.
    r.create_channel(settings("show")).await.expect("made again");
    let g = r.grant(&show, &publish("a"), now()).await.expect("grant");
    assert_eq!((g.session, g.base), (Session(2), Msn(1501)));
}

async fn keys_are_admitted_by_their_terms(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let ask = |key: &str| PublishRequest { key: key.into(), node: "a".into() };
    let admitted = r.admit(&ask("main-key"), now()).await.expect("the manifest's");
    assert_eq!(admitted.key, "main-key");
    assert_eq!(r.admit(&ask("nobody's"), now()).await.map(|_| ()), Err(Refusal::UnknownKey));
    let made = r.add_key(&main, NewKey::default(), now()).await.expect("made");
    assert_eq!((made.key.len(), made.id.len()), (32, 7));
    let admitted = r.admit(&ask(&made.key), now()).await.expect("stored");
    assert_eq!((admitted.key.as_str(), &admitted.settings.name), (made.id.as_str(), &main));
    // Its id opens nothing.
    assert_eq!(r.admit(&ask(&made.id), now()).await.map(|_| ()), Err(Refusal::UnknownKey));
    let hour = 3_600_000_000;
    let later = NewKey { not_before: Some(now().plus(hour)), ..NewKey::default() };
    let later = r.add_key(&main, later, now()).await.expect("made");
    let refused = r.admit(&ask(&later.key), now()).await;
    assert!(matches!(refused, Err(Refusal::KeyNotYet(_))), "{refused:?}");
    let over = NewKey { expires: Some(now().plus(-hour)), ..NewKey::default() };
    let over = r.add_key(&main, over, now()).await.expect("made");
    let refused = r.admit(&ask(&over.key), now()).await;
    assert!(matches!(refused, Err(Refusal::KeyExpired(_))), "{refused:?}");
    // Revoked on air.
    let g = r.grant(&main, &want("a", Some(&made.id)), now()).await.expect("grant");
    let report = |msn| Report { msn: Msn(msn), dseq: 0, wall: Wall(5), acked: Msn(msn - 1) };
    r.report(&main, g.generation, report(1000), now()).await.expect("goes on");
    r.revoke_key(&main, &made.id).await.expect("revoked");
    let refused = r.report(&main, g.generation, report(1001), now()).await;
    assert_eq!(refused, Err(Refusal::KeyRevoked));
    assert_eq!(r.admit(&ask(&made.key), now()).await.map(|_| ()), Err(Refusal::KeyRevoked));
    let refused = r.grant(&main, &want("a", Some(&made.id)), now()).await;
    assert_eq!(refused.map(|_| ()), Err(Refusal::KeyRevoked));
    assert_eq!(r.revoke_key(&main, "k000000").await, Err(Refusal::UnknownKey));
    // Limits.
    let long = NewKey { note: "x".repeat(NOTE_MAX + 1), ..NewKey::default() };
    let refused = r.add_key(&main, long, now()).await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    let (not_before, expires) = (Some(now().plus(hour)), Some(now()));
    let never = NewKey { not_before, expires, ..NewKey::default() };
    let refused = r.add_key(&main, never, now()).await;
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    for _ in 2..KEYS_MAX {
        r.add_key(&main, NewKey::default(), now()).await.expect("made");
    }
    let refused = r.add_key(&main, NewKey::default(), now()).await;
    assert!(matches!(refused, Err(Refusal::Conflict(_))), "{refused:?}");
    let keys = r.channel(&main).await.expect("known").keys;
    assert_eq!((keys.len(), keys.iter().filter(|k| k.revoked).count()), (KEYS_MAX + 1, 1));
}

async fn nodes_are_known_and_leave(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let before = r.revision(now()).await.expect("counted").0;
    r.heartbeat(&"a".into(), &beat(Some("http://a:1")), now()).await.expect("taken");
    let first = r.revision(now()).await.expect("counted").0;
    assert!(first > before);
    r.heartbeat(&"a".into(), &beat(Some("http://a:1")), now()).await.expect("taken");
    r.heartbeat(&"b".into(), &beat(None), now()).await.expect("taken");
    assert_eq!(r.revision(now()).await.expect("counted").0, first);
    r.heartbeat(&"a".into(), &beat(Some("http://a:2")), now()).await.expect("moved");
    assert!(r.revision(now()).await.expect("counted").0 > first);
    let nodes = r.table(now()).await.expect("table").nodes;
    assert_eq!(nodes, BTreeMap::from([("a".into(), "http://a:2".to_owned())]));
    for name in ["", &"x".repeat(NODE_NAME_MAX + 1)] {
        let refused = r.heartbeat(&name.into(), &beat(None), now()).await;
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
    r.grant(&main, &publish("a"), now()).await.expect("grant");
    let writer = r.writer(&main).await.expect("asked").expect("one writes");
    assert_eq!((writer.alive, writer.url.as_deref()), (true, Some("http://a:2")));
    let taken = r.heartbeat(&"b".into(), &beat(None), now()).await.expect("taken");
    assert!(!taken.unfinished);
    // a says goodbye: b takes up what it left.
    r.leave(&"a".into()).await.expect("gone");
    let writer = r.writer(&main).await.expect("asked").expect("its end is not decided");
    assert!(!writer.alive);
    let taken = r.heartbeat(&"b".into(), &beat(None), now()).await.expect("taken");
    assert!(taken.unfinished);
    let open = r.unfinished(&"b".into(), now()).await.expect("asked");
    assert_eq!((open.len(), open[0].generation), (1, Generation(1)));
    let g = r.grant(&main, &want("b", None), now()).await.expect("taken up");
    assert_eq!((g.session, g.generation), (Session(1), Generation(2)));
    let status = r.status(now()).await.expect("status");
    let alive: Vec<_> = status.nodes.iter().map(|n| (&*n.name, n.alive)).collect();
    assert_eq!(alive, [("a", false), ("b", true)]);
    assert_eq!(status.nodes[1].said, beat(None));
    let (name, session) = &status.channels[0];
    let session = session.as_ref().expect("one");
    assert_eq!((name, &*session.node, session.ended), (&main, "b", false));
}

async fn what_is_in_a_bucket_is_known_however_often_it_is_told(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let g = r.grant(&main, &publish("a"), now()).await.expect("grant");
    let of = |generation, extents, whole, last: Option<u64>| {
        let log = LogName { channel: channel("main"), session: g.session, generation };
        let until = last.map(|n| Wall(n as i64));
        ArchivedLog { log, extents, whole, last: last.map(Msn), until }
    };
    let tell = async |url: &str, log| {
        let told = Archived { url: url.into(), logs: vec![log] };
        r.archived(&told).await.expect("taken");
        let known = r.in_buckets(&main).await.expect("asked");
        known.into_iter().map(|(url, log)| format!("{url} {}", said(&log))).collect::<Vec<_>>()
    };
    fn said(log: &ArchivedLog) -> String {
        let last = log.last.map_or(0, |msn| msn.0);
        assert_eq!(log.until.map(|wall| wall.0), log.last.map(|msn| msn.0 as i64));
        format!("g{} {} {} {last}", log.log.generation, log.extents, log.whole)
    }
    assert_eq!(r.in_buckets(&main).await, Ok(vec![]));
    let one = "s3://b/x";
    assert_eq!(
        tell(one, of(g.generation, 2, false, Some(1010))).await,
        ["s3://b/x g1 2 false 1010"]
    );
    assert_eq!(
        tell(one, of(g.generation, 2, false, Some(1010))).await,
        ["s3://b/x g1 2 false 1010"]
    );
    let grown = ["s3://b/x g1 3 true 1015"];
    assert_eq!(tell("s3://b/x/", of(g.generation, 3, true, Some(1015))).await, grown);
    // Late words take nothing back, and who does not know the last segment forgets none.
    assert_eq!(tell(one, of(g.generation, 2, false, Some(1010))).await, grown);
    assert_eq!(tell(one, of(g.generation, 3, true, None)).await, grown);
    // Of a generation that nobody was granted nothing is known.
    assert_eq!(tell(one, of(Generation(9), 1, true, Some(1))).await, grown);
    let two = ["gs://c g1 1 false 0", "s3://b/x g1 3 true 1015"];
    assert_eq!(tell("gs://c", of(g.generation, 1, false, None)).await, two);
    let many = vec![of(g.generation, 1, false, None); HELD_MAX + 1];
    for (told, why) in [
        (Archived { url: "here".into(), logs: vec![] }, "no URL of a bucket"),
        (Archived { url: one.into(), logs: many }, "more than 1000 logs at once"),
    ] {
        let refused = r.archived(&told).await.expect_err(why).to_string();
        assert!(refused.contains(why), "{refused}");
    }
    r.close().await;
    assert_eq!(open(&at).await.in_buckets(&main).await.expect("asked").len(), 2, "it is stored");
}

async fn what_was_lost_with_the_database_is_restored_where_nobody_has_written_since(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let of = |session, generation, base, last| LostGeneration {
        log: LogName { channel: channel("main"), session: Session(session), generation },
        base: Msn(base),
        dseq: 2,
        began: Wall(1_000_000),
        record: (generation.0 != 2).then(|| record(1)),
        end: End { msn: last, dseq: 4, wall: 9_000_000, tracks: Vec::new(), session_over: false },
    };
    let all = [
        of(7, Generation(3), 1030, 1044),
        of(6, Generation(1), 1000, 1010),
        of(6, Generation(2), 1011, 1020),
    ];
    let restore = async |some: &[LostGeneration]| {
        r.restore(&Restored { generations: some.to_vec() }).await.expect("taken")
    };
    assert_eq!((restore(&all[..1]).await, restore(&all).await, restore(&all).await), (1, 2, 0));
    let spans = r.sessions(&main).await.expect("asked");
    let said: Vec<_> = spans
        .iter()
        .map(|s| (s.session.0, s.open, s.first.0, s.end.as_ref().map(|e| e.last.0)))
        .collect();
    assert_eq!(said, [(6, true, 1000, Some(1020)), (7, true, 1030, Some(1044))]);
    // A copy in a bucket is known now, and the next writer is above all of it.
    let log = all[1].log.clone();
    let log = ArchivedLog { log, extents: 2, whole: true, last: Some(Msn(1010)), until: None };
    r.archived(&Archived { url: "s3://b".into(), logs: vec![log] }).await.expect("taken");
    assert_eq!(r.in_buckets(&main).await.expect("asked").len(), 1);
    let g = r.grant(&main, &publish("a"), now()).await.expect("granted");
    assert_eq!((g.session, g.generation, g.base), (Session(8), Generation(4), Msn(1045)));
    assert_eq!((g.dseq, g.previous), (4, None));
    // From here on the channel has a history of its own.
    assert_eq!(restore(&[of(9, Generation(9), 2000, 2010)]).await, 0);
    let many = Restored { generations: vec![all[0].clone(); RESTORED_MAX + 1] };
    let refused = r.restore(&many).await.expect_err("too many").to_string();
    assert!(refused.contains("more than 50 generations at once"), "{refused}");
}

async fn an_adopted_log_is_read_from_who_has_it(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let g = r.grant(&main, &publish("a"), now()).await.expect("grant");
    let live = async |name: &str| {
        r.heartbeat(&name.into(), &beat(Some("http://x:1")), now()).await.expect("taken");
    };
    let reads = async || {
        let table = r.table(now()).await.expect("table");
        let of = table.sessions[&main].generations.clone();
        let found = r.find(&main, g.session).await.expect("asked").expect("known");
        assert_eq!(found.generations, of, "one answer for those who watch and who ask");
        let past = r.history(&main).await.expect("asked");
        assert_eq!(past[0].node, of[0].1);
        of[0].1.to_string()
    };
    live("a").await;
    assert_eq!(reads().await, "a");
    live("agent").await;
    let before = r.revision(now()).await.expect("counted");
    let log = |channel: &str, generation| LogName {
        channel: channel.parse().expect("a name"),
        session: g.session,
        generation,
    };
    // What it does not know of is no mistake: a channel may have been deleted.
    let logs = [log("main", g.generation), log("main", Generation(99)), log("other", g.generation)];
    r.hold(&"agent".into(), &logs).await.expect("taken");
    assert_ne!(r.revision(now()).await.expect("counted"), before);
    assert_eq!(reads().await, "agent");
    // Nobody is better than who is gone, but for who wrote it.
    let before = r.revision(now()).await.expect("counted");
    r.leave(&"agent".into()).await.expect("gone");
    assert_ne!(r.revision(now()).await.expect("counted"), before);
    assert_eq!(reads().await, "a");
    r.leave(&"a".into()).await.expect("gone");
    assert_eq!(reads().await, "agent");
}

async fn a_session_is_made_as_every_live_edge_can_make_it(at: Database) {
    let (r, main) = (open(&at).await, channel("main"));
    let edge = async |name: &str, render| {
        let said = Heartbeat { render, ..Heartbeat::of(Role::Edge) };
        r.heartbeat(&name.into(), &said, now()).await.expect("taken");
    };
    // An origin's own version is its own.
    r.heartbeat(&"a".into(), &Heartbeat::of(Role::Origin), now()).await.expect("taken");
    edge("new", 3).await;
    assert_eq!(r.grant(&main, &publish("a"), now()).await.expect("grant").render, Some(3));
    edge("old", 2).await;
    assert_eq!(r.grant(&main, &publish("a"), now()).await.expect("grant").render, Some(2));
    r.leave(&"old".into()).await.expect("gone");
    assert_eq!(r.grant(&main, &publish("a"), now()).await.expect("grant").render, Some(3));
}

/// With the channel `main`, which is transcoded to the usual ladder.
async fn open_laddered(at: &Database) -> Registry {
    let ladder = Some(Arc::new(Ladder::standard()));
    let settings = Arc::new(ChannelSettings { ladder, ..settings("main") });
    let entry = ChannelEntry { settings, keys: vec!["main-key".into()] };
    Registry::open(at, &[entry]).await.expect("open")
}

/// A transcoder says that it lives.
async fn transcodes(r: &Registry, node: &str, capacity: u32, draining: bool) {
    let url = Some(format!("http://{node}:1"));
    let beat = Heartbeat { url, capacity, draining, ..Heartbeat::of(Role::Transcoder) };
    r.heartbeat(&node.into(), &beat, now()).await.expect("taken");
}

/// The next generation of `main` with its session's constants: how many renditions there are.
async fn on_air(r: &Registry) -> (Generation, usize) {
    let main = channel("main");
    let g = r.grant(&main, &publish("a"), now()).await.expect("grant").generation;
    let mut record = record(1);
    record.renditions[0].bandwidth = 4_000_000;
    record.renditions[0].resolution = Some((1_280, 720));
    let set = r.open_session(&main, g, &record, now()).await.expect("set");
    (g, set.renditions.len())
}

/// The jobs of the newest session: generation, number, node.
async fn jobs(r: &Registry) -> Vec<(u64, u32, String)> {
    let table = r.table(now()).await.expect("table");
    let jobs = table.sessions[&channel("main")].jobs.iter();
    jobs.map(|(g, j, node)| (g.0, j.0, node.to_string())).collect()
}

fn made(all: &[(u64, u32, &str)]) -> Vec<(u64, u32, String)> {
    all.iter().map(|(g, j, node)| (*g, *j, (*node).to_owned())).collect()
}

async fn rungs_are_given_at_opening_and_follow_the_next_generation(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    transcodes(&r, "small", 10, false).await;
    let (g1, renditions) = on_air(&r).await;
    assert_eq!((renditions, jobs(&r).await), (1, vec![]), "there is no room for its rungs");
    r.end(&main, g1, &end(1001, true)).await.expect("end of session");
    transcodes(&r, "t", 16_000, false).await;
    let (g2, renditions) = on_air(&r).await;
    assert!(renditions > 2, "{renditions} renditions");
    assert_eq!(jobs(&r).await, made(&[(2, 1, "t")]));
    let order = r.job(&main, g2, Job(1), now()).await.expect("known");
    assert_eq!((&*order.node, order.previous, order.ended), ("t", None, false));
    assert_eq!(order.work.rungs.len(), renditions - 1);
    let none = r.job(&main, g2, Job(2), now()).await;
    assert!(matches!(none, Err(Refusal::NotFound(_))), "{none:?}");
    let report = Report { msn: Msn(1003), dseq: 1, wall: Wall(5), acked: Msn(0) };
    let report = JobReport { report, load: None };
    r.job_report(&main, (g2, Job(1)), &report, now()).await.expect("taken");
    let refused = r.job_report(&main, (g2, Job(2)), &report, now()).await;
    assert_eq!(refused, Err(Refusal::Fenced(g2)));
    // The source goes on in another generation: its rungs do so where they were made.
    transcodes(&r, "other", 16_000, false).await;
    r.end(&main, g2, &end(1010, false)).await.expect("end");
    let (g3, _) = on_air(&r).await;
    assert_eq!(jobs(&r).await, made(&[(2, 1, "t"), (3, 1, "t")]));
    let waits = r.job(&main, g3, Job(1), now()).await.expect("known");
    assert!(waits.awaits && waits.previous.is_none(), "the one before says its end: {waits:?}");
    r.job_end(&main, (g2, Job(1)), &end(1009, false)).await.expect("taken");
    // Decided once.
    let again = r.job_end(&main, (g2, Job(1)), &end(1005, false)).await;
    assert_eq!(again, Err(Refusal::Fenced(g2)));
    let before = r.job(&main, g3, Job(1), now()).await.expect("known").previous.expect("one");
    assert_eq!((before.generation, before.job, before.exact), (g2, Job(1), true));
    assert_eq!(before.end, end(1009, false));
}

async fn a_node_that_is_lost_or_drained_gives_its_jobs_away(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    transcodes(&r, "one", 16_000, false).await;
    let (g, _) = on_air(&r).await;
    assert_eq!(jobs(&r).await, made(&[(1, 1, "one")]));
    r.leave(&"one".into()).await.expect("gone");
    // Nobody is there to go on.
    transcodes(&r, "small", 10, false).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(0));
    transcodes(&r, "two", 16_000, false).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(1));
    let moved = made(&[(1, 1, "one"), (1, 2, "two")]);
    assert_eq!(jobs(&r).await, moved);
    let report = Report { msn: Msn(1003), dseq: 1, wall: Wall(5), acked: Msn(0) };
    let report = JobReport { report, load: None };
    let refused = r.job_report(&main, (g, Job(1)), &report, now()).await;
    assert_eq!(refused, Err(Refusal::Fenced(g)));
    r.job_report(&main, (g, Job(2)), &report, now()).await.expect("taken");
    for node in ["two", "three"] {
        transcodes(&r, node, 16_000, false).await;
    }
    assert_eq!((r.reconcile(now(), true).await, jobs(&r).await), (Ok(0), moved), "once");
    transcodes(&r, "two", 16_000, true).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(1));
    r.job_end(&main, (g, Job(2)), &end(1004, false)).await.expect("taken");
    assert_eq!(r.reconcile(now(), true).await, Ok(0));
    assert_eq!(jobs(&r).await, made(&[(1, 1, "one"), (1, 2, "two"), (1, 3, "three")]));
    // A session that is over has no more of them.
    r.end(&main, g, &end(1010, true)).await.expect("end of session");
    r.job_end(&main, (g, Job(3)), &end(1010, true)).await.expect("taken");
    assert_eq!((r.reconcile(now(), true).await, jobs(&r).await.len()), (Ok(0), 3));
}

async fn a_job_that_its_node_cannot_do_is_given_to_another(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    transcodes(&r, "one", 16_000, false).await;
    let (g, _) = on_air(&r).await;
    transcodes(&r, "two", 16_000, false).await;
    let full = Failure { why: "the disk is full".into(), end: None };
    r.job_failed(&main, (g, Job(1)), &full, now()).await.expect("taken");
    let again = r.job_failed(&main, (g, Job(1)), &full, now()).await;
    assert_eq!(again, Err(Refusal::Fenced(g)), "its end is decided");
    let none = r.job_failed(&main, (g, Job(9)), &full, now()).await;
    assert!(matches!(none, Err(Refusal::NotFound(_))), "{none:?}");
    assert_eq!(r.reconcile(now(), true).await, Ok(1));
    assert_eq!(jobs(&r).await, made(&[(1, 1, "one"), (1, 2, "two")]));
    let before = r.job(&main, g, Job(2), now()).await.expect("known").previous.expect("one");
    assert_eq!((before.job, before.end.msn, before.exact), (Job(1), 0, false), "it made nothing");
    // Where it ended is known this time; now nobody is left who has not failed.
    let (why, end) = ("no encoder hevc".to_owned(), Some(end(1004, false)));
    r.job_failed(&main, (g, Job(2)), &Failure { why, end: end.clone() }, now())
        .await
        .expect("taken");
    assert_eq!(r.reconcile(now(), true).await, Ok(0));
    let schedule = r.schedule(now()).await.expect("asked");
    let [wanted] = &schedule.jobs[..] else { panic!("{schedule:?}") };
    assert_eq!((wanted.job, &wanted.node, wanted.waits), (Job(2), &None, false));
    let failed: Vec<_> = wanted.failed.iter().map(|f| (&*f.node, &*f.why)).collect();
    assert_eq!(failed, [("one", "the disk is full"), ("two", "no encoder hevc")]);
    assert!(wanted.failed.iter().all(|f| schedule.now < f.until), "{wanted:?}");
    transcodes(&r, "three", 16_000, false).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(1));
    let order = r.job(&main, g, Job(3), now()).await.expect("known");
    let before = order.previous.expect("one");
    assert_eq!((&*order.node, before.exact, Some(before.end)), ("three", true, end));
}

async fn a_job_is_given_once_and_where_it_may(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    for (node, capacity, draining) in
        [("one", 16_000, false), ("small", 10, false), ("leaves", 16_000, true)]
    {
        transcodes(&r, node, capacity, draining).await;
    }
    let (generation, _) = on_air(&r).await;
    transcodes(&r, "two", 16_000, false).await;
    let give = async |generation, job, node: &str| {
        let channel = main.clone();
        let placement = Placement { channel, generation, job: Job(job), node: node.into() };
        r.place(&placement, now()).await
    };
    let before = r.revision(now()).await.expect("counted");
    // It has that already.
    give(generation, 1, "one").await.expect("nothing to do");
    for (generation, job, node, why) in [
        (generation, 1, "two", "1 is the newest"),
        (generation, 3, "two", "1 is the newest"),
        (generation, 2, "one", "one: runs a writer of this job"),
        (generation, 2, "small", "small: too little room"),
        (generation, 2, "leaves", "leaves: takes nothing new: it is draining"),
        (generation, 2, "nobody", "nobody: is lost"),
        (Generation(generation.0 + 1), 1, "two", "that generation has no rungs to make now"),
    ] {
        let refused = give(generation, job, node).await;
        let Err(Refusal::Conflict(said)) = &refused else { panic!("{node}: {refused:?}") };
        assert!(said.ends_with(why), "{said}");
    }
    assert_eq!(r.revision(now()).await.expect("counted"), before, "nothing has changed");
    give(generation, 2, "two").await.expect("given");
    give(generation, 2, "two").await.expect("it has that already");
    assert_eq!(jobs(&r).await, made(&[(1, 1, "one"), (1, 2, "two")]));
    // While the session waits for its encoder its room is kept, and nothing is given.
    r.end(&main, generation, &end(1010, false)).await.expect("end");
    let schedule = r.schedule(now()).await.expect("asked");
    let of: Vec<_> = schedule.jobs.iter().map(|w| (w.waits, w.node.as_deref())).collect();
    assert_eq!(of, [(true, Some("two"))]);
    assert!(matches!(give(generation, 3, "one").await, Err(Refusal::Conflict(_))));
    assert_eq!(r.reconcile(now(), true).await, Ok(0));
}

async fn sessions_that_are_opened_at_once_do_not_overfill_a_node(at: Database) {
    let replicas = [open_laddered(&at).await, open_laddered(&at).await].map(Arc::new);
    transcodes(&replicas[0], "t", 16_000, false).await;
    let (g, _) = on_air(&replicas[0]).await;
    let takes = replicas[0].schedule(now()).await.expect("asked").jobs[0].millicores;
    replicas[0].end(&channel("main"), g, &end(1010, true)).await.expect("end of session");
    // Room for one and a half.
    transcodes(&replicas[0], "t", takes * 1_000 * 3 / 2 / (1_000 - HEADROOM), false).await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        let ladder = Some(Arc::new(Ladder::standard()));
        let made = ChannelSettings { ladder, ..settings(name) };
        replicas[0].create_channel(made).await.expect("made");
    }
    let opened = names.iter().zip(replicas.iter().cycle()).map(|(name, r)| {
        let (r, channel) = (r.clone(), channel(name));
        castctl::rt::task::spawn(format!("origin {name}"), async move {
            let g = r.grant(&channel, &publish("a"), now()).await.expect("grant").generation;
            let mut record = record(1);
            record.renditions[0].bandwidth = 4_000_000;
            record.renditions[0].resolution = Some((1_280, 720));
            let set = r.open_session(&channel, g, &record, now()).await.expect("set");
            set.renditions.len() > 1
        })
    });
    let mut with_rungs = 0;
    for one in opened.collect::<Vec<_>>() {
        with_rungs += usize::from(one.await.expect("not aborted").expect("no panic"));
    }
    assert_eq!(with_rungs, 1);
    assert_eq!(replicas[1].schedule(now()).await.expect("asked").jobs.len(), 1);
}

async fn what_a_job_takes_is_learnt_and_makes_room_or_takes_it(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    transcodes(&r, "one", 16_000, false).await;
    let (g, _) = on_air(&r).await;
    let takes = async || r.schedule(now()).await.expect("asked").jobs[0].millicores;
    let estimate = takes().await;
    let mut msn = 1000;
    let mut says = async |job: u32, times: u32, millicores: Option<u32>| {
        for _ in 0..times {
            msn += 1;
            let report = Report { msn: Msn(msn), dseq: 0, wall: Wall(5), acked: Msn(0) };
            let load = Some(Load { millicores, ..Load::default() });
            let report = JobReport { report, load };
            r.job_report(&main, (g, Job(job)), &report, now()).await.expect("taken");
        }
    };
    says(1, 50, None).await;
    assert_eq!(takes().await, estimate, "who says nothing teaches nothing");
    says(1, 1, Some(2 * estimate)).await;
    let soon = takes().await;
    assert!(soon > estimate && soon < estimate * 3 / 2, "{soon} by {estimate}: not at once");
    says(1, 100, Some(2 * estimate)).await;
    assert_eq!(takes().await, 2 * estimate);
    says(1, 100, Some(u32::MAX)).await;
    assert_eq!(takes().await, (estimate * RATIO_MAX).div_ceil(1_000), "no more is believed");
    // The job that goes on elsewhere is taken to take as much.
    r.leave(&"one".into()).await.expect("gone");
    let most = takes().await;
    transcodes(&r, "two", most, false).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(0), "the headroom stays free");
    transcodes(&r, "two", most * 1_000 / (1_000 - HEADROOM) + 1, false).await;
    assert_eq!(r.reconcile(now(), true).await, Ok(1));
    says(2, 200, Some(0)).await;
    assert_eq!(takes().await, (estimate * RATIO_MIN).div_ceil(1_000), "nor less");
}

async fn people_are_shown_what_became_of_a_ladder(at: Database) {
    let (r, main) = (open_laddered(&at).await, channel("main"));
    transcodes(&r, "small", 10, false).await;
    let (g1, _) = on_air(&r).await;
    let job = async || {
        let status = r.status(now()).await.expect("status");
        let [job] = &status.jobs[..] else { panic!("{:?}", status.jobs) };
        job.clone()
    };
    let why = Without::NoRoom(job().await.millicores);
    let shown = job().await;
    assert_eq!((shown.rungs.len(), shown.node, shown.without), (0, None, Some(why.clone())));
    let without = r.schedule(now()).await.expect("asked").without;
    assert_eq!(without, [Unmade { channel: main.clone(), session: Session(1), why }]);
    r.end(&main, g1, &end(1001, true)).await.expect("end of session");
    assert!(r.status(now()).await.expect("status").jobs.is_empty());
    transcodes(&r, "one", 16_000, false).await;
    let (g, renditions) = on_air(&r).await;
    let shown = job().await;
    assert_eq!((shown.rungs.len(), shown.without), (renditions - 1, None));
    assert_eq!((shown.job, shown.node.as_deref()), (Some((g, Job(1))), Some("one")));
    assert_eq!((shown.reported, shown.lag, shown.load), (None, None, None));
    let of = |msn| Report { msn: Msn(msn), dseq: 0, wall: Wall(5), acked: Msn(msn - 1) };
    let load = Load { millicores: Some(100), behind_micros: 7, late: 3 };
    let report = JobReport { report: of(1003), load: Some(load) };
    r.job_report(&main, (g, Job(1)), &report, now()).await.expect("taken");
    r.report(&main, g, of(1005), now()).await.expect("taken");
    let shown = job().await;
    assert_eq!(
        (shown.reported.map(|r| r.0), shown.lag, shown.load),
        (Some(1003), Some(2), Some(load))
    );
    let failure = Failure { why: "the disk is full".into(), end: None };
    r.job_failed(&main, (g, Job(1)), &failure, now()).await.expect("taken");
    let shown = job().await;
    assert_eq!((shown.node, shown.failed.as_deref()), (None, Some("the disk is full")));
    r.end(&main, g, &end(1010, false)).await.expect("end");
    assert!(job().await.waits);
}

async fn replicas_that_grant_at_once_repeat_nothing(at: Database) {
    let opened = tokio::join!(open(&at), open(&at), open(&at));
    let replicas: Vec<Arc<Registry>> = [opened.0, opened.1, opened.2].map(Arc::new).into();
    let mut tasks = Vec::new();
    for n in 0..6 {
        let (r, main) = (replicas[n % 3].clone(), channel("main"));
        tasks.push(castctl::rt::task::spawn(format!("origin {n}"), async move {
            let mut granted = Vec::new();
            for _ in 0..10 {
                let g = r.grant(&main, &publish(&format!("o{n}")), now()).await.expect("grant");
                let msn = g.base;
                let report = Report { msn, dseq: g.dseq, wall: now(), acked: Msn(msn.0 - 1) };
                let said = r.report(&main, g.generation, report, now()).await;
                assert!(matches!(said, Ok(()) | Err(Refusal::Fenced(_))), "{said:?}");
                granted.push(g);
            }
            granted
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(within("grants", task).await.expect("no panic").expect("no panic"));
    }
    all.sort_by_key(|g| g.generation);
    let numbers: Vec<u64> = all.iter().map(|g| g.generation.0).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    for pair in all.windows(2) {
        assert!(pair[1].base > pair[0].base && pair[1].dseq >= pair[0].dseq, "{pair:?}");
        let (of, end) = pair[1].previous.as_ref().expect("one session");
        assert_eq!(*of, pair[0].generation);
        assert!(end.msn < pair[1].base.0, "{pair:?}");
    }
}

/// The way to the database is TLS where the URL says so, and its certificate is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reached_over_tls_and_its_certificate_counts() {
    let dir = tempfile::tempdir().expect("a directory");
    let certificate = |name: &str| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        let path = dir.path().join(name);
        std::fs::write(&path, made.cert.pem()).expect("written");
        (made, path.display().to_string())
    };
    let ((own, trusted), (_, other)) = (certificate("own"), certificate("other"));
    let server = Postgres::over_tls(&own.cert.pem(), &own.signing_key.serialize_pem());
    let url = server.database();
    let ask = async |more: &str| {
        let at = Database::Url(format!("{url}?{more}"));
        let r = Registry::open(&at, &[entry("main")]).await.map_err(|e| e.to_string())?;
        let asked = within("an answer", r.status(Wall(1))).await;
        r.close().await;
        asked.map(|status| status.channels.len()).map_err(|e| e.to_string())
    };
    let verified = |root: &str| format!("sslmode=verify-full&sslrootcert={root}");
    for more in [&*verified(&trusted), "sslmode=require"] {
        assert_eq!(ask(more).await, Ok(1), "{more}");
    }
    for (more, why) in [(&*verified(&other), "certificate"), ("sslmode=disable", "no encryption")] {
        let refused = ask(more).await.expect_err(more);
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_database_that_stands_still_or_dies_is_waited_for_and_expires_nobody() {
    let server = Postgres::start();
    let r = open(&Database::Url(server.database())).await;
    let main = channel("main");
    for node in ["a", "b"] {
        r.heartbeat(&node.into(), &beat(None), now()).await.expect("taken");
    }
    let g = r.grant(&main, &publish("a"), now()).await.expect("grant");
    server.freeze();
    let refused = within("an answer", r.grant(&main, &publish("a"), now())).await;
    assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
    // The manifest's keys need no database.
    let ask = PublishRequest { key: "main-key".into(), node: "a".into() };
    r.admit(&ask, now()).await.expect("known");
    server.thaw();
    server.crash();
    let refused = within("an answer", r.revision(now())).await;
    assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
    server.again();
    // The connections that died with it may cost a call each.
    let mut taken = Err(Refusal::UnknownKey);
    for _ in 0..10 {
        taken = r.heartbeat(&"b".into(), &beat(None), now()).await;
        if taken.is_ok() {
            break;
        }
    }
    assert!(!taken.expect("it is back").unfinished);
    let nodes = r.status(now()).await.expect("status").nodes;
    assert!(nodes.iter().all(|n| n.alive), "{nodes:?}");
    let next = r.grant(&main, &publish("b"), now()).await.expect("grant");
    assert!(next.base > g.base && next.generation > g.generation, "{next:?}");
}

#[tokio::test]
async fn a_database_that_comes_later_than_its_api_server_is_waited_for() {
    let server = Postgres::start();
    let at = Database::Url(server.database());
    server.crash();
    let r = within("a start without a database", open(&at)).await;
    let refused = within("an answer", r.revision(now())).await;
    assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
    server.again();
    // Its tables are made by the first call that it answers.
    within("the database", async {
        while r.heartbeat(&"a".into(), &beat(None), now()).await.is_err() {}
    })
    .await;
    r.grant(&channel("main"), &publish("a"), now()).await.expect("grant");
    // Who is there and refuses will not come round.
    let Database::Url(url) = at else { panic!("PostgreSQL") };
    let other = Database::Url(url + "_that_nobody_made");
    let refused = Registry::open(&other, &[]).await.expect_err("no such database");
    assert!(refused.to_string().contains("does not exist"), "{refused}");
}
