//! The registry on a real database file: numbers only grow, ends are decided once, stale writers
//! are fenced.

use super::*;
use crate::api::types::{Durability, Pace};
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
    };
    ChannelEntry { settings: Arc::new(settings), keys: vec![format!("{name}-key")] }
}

fn want(node: &NodeName) -> Want {
    Want { node: node.clone(), key: None }
}

fn end(msn: u64, over: bool) -> End {
    End { msn, dseq: 3, wall: 7, tracks: Vec::new(), session_over: over }
}

#[tokio::test]
async fn numbers_grow_over_generations_sessions_and_restarts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("registry.db");
    let node: NodeName = "local".into();
    let main: Channel = "main".parse().expect("name");
    let mut r = Registry::open(&path, &[entry("main")]).await.expect("open");
    let g1 = r.grant(&main, &want(&node), Wall(0)).await.expect("grant");
    assert_eq!(
        (g1.session, g1.generation, g1.base, g1.previous),
        (Session(1), Generation(1), Msn(1000), None)
    );
    r.end(&main, g1.generation, &end(1010, false)).await.expect("end");
    let g2 = r.grant(&main, &want(&node), Wall(0)).await.expect("grant");
    assert_eq!(
        (g2.session, g2.generation, g2.base, g2.dseq),
        (Session(1), Generation(2), Msn(1011), 3)
    );
    assert_eq!(g2.previous, Some((Generation(1), end(1010, false))));
    assert_eq!(
        r.end(&main, g1.generation, &end(9999, true)).await,
        Err(Refusal::Fenced(g1.generation))
    );
    r.end(&main, g2.generation, &end(1020, true)).await.expect("end of session");
    r.close().await;
    let mut r = Registry::open(&path, &[entry("main")]).await.expect("open again");
    let g3 = r.grant(&main, &want(&node), Wall(0)).await.expect("grant");
    assert_eq!(
        (g3.session, g3.generation, g3.base, g3.previous),
        (Session(2), Generation(3), Msn(1021), None)
    );
    let table = r.table().await.expect("table");
    assert_eq!(table.sessions[&main].generations, [(Generation(3), node)]);
    assert_eq!(
        r.find(&main, Session(1)).await.expect("find").expect("session 1").generations.len(),
        2
    );
}

#[tokio::test]
async fn an_unanswered_writer_is_fenced_above_everything_it_may_have_written() {
    let dir = tempfile::tempdir().expect("temp dir");
    let node: NodeName = "local".into();
    let main: Channel = "main".parse().expect("name");
    let mut r = Registry::open(&dir.path().join("r.db"), &[entry("main")]).await.expect("open");
    let g1 = r.grant(&main, &want(&node), Wall(0)).await.expect("grant");
    let report = Report { msn: Msn(1005), dseq: 1, wall: Wall(10_000_000) };
    r.report(&main, g1.generation, report, Wall(10_500_000)).await.expect("report");
    // 7.4 s later, with segments of at least 1 s: 1005 + 7 + 2.
    let g2 = r.grant(&main, &want(&node), Wall(17_900_000)).await.expect("grant");
    assert_eq!(g2.base, Msn(1014));
    let (_, end) = g2.previous.expect("same session");
    assert_eq!(
        (end.msn, end.wall, end.tracks[0].last),
        (1005, 10_000_000, crate::api::types::LastSegment::Lost)
    );
    assert_eq!(
        r.report(&main, g1.generation, report, Wall(0)).await,
        Err(Refusal::Fenced(g1.generation))
    );
}

#[tokio::test]
async fn keys_belong_to_channels_and_restarts_find_open_sessions() {
    let dir = tempfile::tempdir().expect("temp dir");
    let node: NodeName = "local".into();
    let mut r =
        Registry::open(&dir.path().join("r.db"), &[entry("a"), entry("b")]).await.expect("open");
    let ask = |key: &str| PublishRequest { key: key.into(), node: "local".into() };
    assert_eq!(r.admit(&ask("b-key")).expect("known").settings.name.as_str(), "b");
    assert_eq!(r.admit(&ask("c-key")).map(|_| ()), Err(Refusal::UnknownKey));
    let a: Channel = "a".parse().expect("name");
    r.grant(&a, &want(&node), Wall(0)).await.expect("grant");
    let open = r.unfinished(&node).await.expect("unfinished");
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].session, open[0].generation, open[0].end.clone()),
        (Session(1), Generation(1), None)
    );
    assert!(r.unfinished(&"other".into()).await.expect("unfinished").is_empty());
}
