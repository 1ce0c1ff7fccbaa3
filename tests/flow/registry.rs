//! The registry on both of its databases: one suite, run on a SQLite file and on a real PostgreSQL;
//! then what only several replicas can get wrong, and a database that stands still or dies.

use crate::postgres::{self, Postgres};
use crate::server::within;
use castctl::api::auth::NODE_NAME_MAX;
use castctl::api::cluster::{Archived, ArchivedLog, HELD_MAX, Heartbeat, LogName, NewKey, Role};
use castctl::api::types::{
    ChannelSettings, Durability, End, Pace, PublishRequest, Refusal, Rendition, Report, SessionEnd,
    SessionRecord, Want,
};
use castctl::base::ids::{Channel, Generation, Msn, Session};
use castctl::base::time::Wall;
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
    a_session_is_made_as_every_live_edge_can_make_it
    replicas_that_grant_at_once_repeat_nothing
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
