//! A node's agent: the logs of an origin that is gone are sealed, told of and served.

use crate::clip;
use crate::cluster::{Cluster, beyond, is_back, kill, next, stop};
use crate::encoder::Encoder;
use crate::fetched;
use crate::nodes::{addr, base};
use crate::oracle::playlist::Segment;
use crate::oracle::{Exception, Oracle};
use crate::process::Up;
use crate::server::silent;
use reqwest::Url;
use serde_json::Value;

/// Where the segments of generation 1 are read, as operators are told.
async fn read_at(cluster: &Cluster) -> (String, String) {
    let found = cluster.operator("resolve main --msn 1000").await;
    let found: Value = serde_json::from_str(&found.out).expect("JSON");
    let of = |name: &str| found["sources"][0][name].as_str().unwrap_or_default().to_owned();
    (of("node"), of("url"))
}

/// Waits until they are read there.
async fn until_read_at(cluster: &Cluster, node: &str) -> String {
    crate::server::within("the log to be found", async {
        loop {
            let (name, url) = read_at(cluster).await;
            if name == node {
                return url;
            }
        }
    })
    .await
}

/// The media of generation 1 that an edge lists since the session's beginning, as it serves it.
async fn first_generation(edge: &Up, session: &Url) -> Vec<(String, bytes::Bytes)> {
    let list = base(edge).join(session.path()).expect("a URL");
    let list = list.join("video/dvr.m3u8").expect("a URL");
    let text = fetched::text(list.clone()).await;
    let ours = text.lines().filter(|l| l.contains("/g1-") && !l.starts_with('#'));
    let mut out = Vec::new();
    for name in ours.filter(|l| !l.contains("gap")) {
        let url = list.join(name).expect("a URL");
        out.push((url.path().to_owned(), fetched::ok(url).await));
    }
    out
}

/// The origin on air is killed, and its node's agent says where its log ended: the next one goes on
/// with the next number, and an edge that never read the log reads it from the agent.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_origins_log_is_ended_exactly_and_read_from_its_nodes_agent() {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let mut agent = cluster.agent("one").await;
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::StandsStill);
    let mut first = Encoder::connect(addr(&one, "rtmp"), &cluster.key).await.expect("accepted");
    first.real_time(&clip::looped(&clip::bbb(), 5), |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1001)).await;
    // A log that is being written is left alone.
    assert!(!agent.process.said().contains("sealed a log"), "{}", agent.process.said());
    kill(one).await;
    agent.process.says("its exact end is told").await;
    let mut second = Encoder::connect(addr(&two, "rtmp"), &cluster.key).await.expect("accepted");
    second.real_time(&clip::looped(&clip::bbb(), 6), |t| t).await.expect("taken");
    let list = fetched::media_until(&session, "video", is_back).await;
    // No number is passed over: gaps, where the change took its time, are a segment long.
    let whole = |s: &Segment| !s.gap || s.duration >= Some(900_000);
    assert!(list.segments.iter().all(whole), "{list:?}");

    let url = until_read_at(&cluster, "one-agent").await;
    assert_eq!(url, agent.line("internal"));
    let cold = cluster.edge("cold").await;
    fetched::session(&base(&cold), "main").await;
    let (warm, read) =
        (first_generation(&edge, &session).await, first_generation(&cold, &session).await);
    assert!(warm.len() >= 2 && warm == read, "{} and {} segments", warm.len(), read.len());

    // The agent's death is no loss where the origin is back.
    let one = cluster.origin("one").await;
    kill(agent).await;
    let url = until_read_at(&cluster, "one").await;
    assert_eq!(url, one.line("internal"));
    let colder = cluster.edge("colder").await;
    fetched::session(&base(&colder), "main").await;
    assert!(first_generation(&colder, &session).await == warm, "the same bytes");
    second.finish().await;
    let newest = next(&fetched::media(&session, "video").await);
    assert!(newest > 1004, "{newest}");
    silent(&oracle.report().await);
    stop(vec![edge, cold, colder, one, two]).await;
    stop(cluster.apis).await;
}
