//! Edges in tiers: with one child for each node they stand in a row, and it heals.

use crate::clip;
use crate::cluster::{Cluster, beyond, kill, next, stop};
use crate::encoder::Encoder;
use crate::fetched;
use crate::nodes::{addr, base, the_same_at};
use crate::oracle::{Exception, Oracle};
use crate::process::Up;
use crate::server::{silent, within};
use castctl::rt::task;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;

/// What each node of a cluster says of itself, by name.
async fn said(cluster: &Cluster) -> BTreeMap<String, Value> {
    let status = cluster.operator("status").await;
    assert_eq!(status.code, Some(0), "{}", status.err);
    let mut status: Value = serde_json::from_str(&status.out).expect("JSON");
    let nodes = status["nodes"].as_array_mut().map(std::mem::take).expect("nodes");
    nodes.into_iter().map(|n| (n["name"].as_str().expect("a name").to_owned(), n)).collect()
}

/// Waits until `edge` reads its logs there alone.
async fn reads_from(cluster: &Cluster, edge: &str, node: &Up) {
    let url = node.line("internal");
    let only = |n: &Value| n["upstreams"].as_object().is_some_and(|all| all.keys().eq([url]));
    let look = async { while !only(&said(cluster).await[edge]) {} };
    within(&format!("{edge} to read from {url}"), look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_read_through_each_other_and_nobody_notices_when_one_goes() {
    let cluster = Cluster::in_tiers(1).await;
    let origin = cluster.origin("origin").await;
    let (first, second) = (cluster.edge("a").await, cluster.edge("b").await);
    let third = cluster.edge("c").await;
    let mut encoder = Encoder::connect(addr(&origin, "rtmp"), &cluster.key).await.expect("taken");
    let tags = clip::looped(&clip::bbb(), 120);
    let publish = async move { encoder.real_time(&tags, |t| t).await };
    let encoder = task::spawn("encoder", async { drop(publish.await) });
    let mut sessions = Vec::new();
    for edge in [&first, &second, &third] {
        sessions.push(fetched::session(&base(edge), "main").await);
    }
    reads_from(&cluster, "a", &origin).await;
    reads_from(&cluster, "b", &first).await;
    reads_from(&cluster, "c", &second).await;

    // From here on, whatever happens, segments keep coming in time at the last in the row.
    let oracle = Oracle::watch(vec![base(&third)], "main");
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    let last = &sessions[2];
    let more = async |n: u64| {
        let newest = next(&fetched::media(last, "video").await);
        fetched::media_until(last, "video", beyond(newest + n)).await
    };
    more(2).await;
    kill(second).await;
    reads_from(&cluster, "c", &origin).await;
    more(2).await;
    // The row closes up.
    reads_from(&cluster, "c", &first).await;
    more(2).await;
    // A drain: its child is told another way while it still serves, or finds it closed.
    first.process.signal(Signal::TERM);
    reads_from(&cluster, "c", &origin).await;
    assert_eq!(within("the end", first.process.ended()).await.code, Some(0));
    let list = more(2).await;
    assert!(list.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "{list:?}");
    // Who comes now stands behind it, and has what was seen.
    let late = cluster.edge("d").await;
    fetched::session(&base(&late), "main").await;
    reads_from(&cluster, "d", &third).await;
    the_same_at(&base(&late), &oracle.media()).await;
    encoder.abort();
    silent(&oracle.report().await);
    stop(vec![late, third, origin]).await;
    stop(cluster.apis).await;
}
