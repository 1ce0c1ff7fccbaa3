//! Who gives jobs to transcoders: `castctl schedule`, once and as a server, and what `castctl
//! status` shows of it.

use crate::clip;
use crate::cluster::{Cluster, kill, next, stop};
use crate::encoder::Encoder;
use crate::fetched;
use crate::ladder::{MANIFEST, children, goes_on_behind, whole};
use crate::nodes::{addr, base};
use crate::process::{Ended, Up};
use crate::server::{KEY, within};
use castctl::rt::task;
use serde_json::Value;

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {ended:?}"))
}

/// An encoder, for as long as it is held.
struct Publishing(tokio::task::JoinHandle<Option<()>>);

impl Drop for Publishing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Publishes the clip for so long.
async fn publish(origin: &Up, cluster: &Cluster, seconds: u32) -> Publishing {
    let mut encoder = Encoder::connect(addr(origin, "rtmp"), &cluster.key).await.expect("taken");
    let tags = clip::looped(&clip::bbb(), seconds);
    let publish = async move { drop(encoder.real_time(&tags, |t| t).await) };
    Publishing(task::spawn("encoder", publish))
}

/// The rungs of `main`, as `castctl status` shows them.
async fn shown(cluster: &Cluster) -> Value {
    let status = cluster.operator("status").await;
    assert_eq!(status.code, Some(0), "{}", status.err);
    json(&status)["jobs"][0].clone()
}

/// A node is killed where API servers leave jobs alone: `castctl schedule` says what it would do,
/// does it, and then as a server does it by itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_node_made_is_made_elsewhere_by_whoever_schedules() {
    let cluster = Cluster::of_a_manifest_and(MANIFEST, KEY, &["--no-schedule"]).await;
    let (one, two) = (cluster.transcoder("one").await, cluster.transcoder("two").await);
    let (origin, edge) = (cluster.origin("origin").await, cluster.edge("edge").await);
    let encoder = publish(&origin, &cluster, 150).await;
    let session = fetched::session(&base(&edge), "main").await;
    let started = fetched::media_until(&session, "180p", |p| whole(p) >= 2).await;
    let nothing = cluster.operator("schedule --once --dry-run").await;
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert_eq!(json(&nothing)["decisions"], Value::Array(vec![]));
    // Its worker has told by now what it takes.
    let took = async {
        loop {
            let of = shown(&cluster).await;
            if of["load"]["millicores"].as_u64().is_some_and(|m| m > 0) {
                return of;
            }
        }
    };
    let of = within("what the job takes", took).await;
    let busy = of["node"].as_str().expect("somebody makes them").to_owned();
    assert_eq!(of["rungs"], serde_json::json!(["180p", "90p"]));

    let (lost, left) = if busy == "one" { (one, two) } else { (two, one) };
    kill(lost).await;
    let would = async {
        loop {
            let asked = cluster.operator("schedule --once --dry-run --explain").await;
            if asked.code == Some(1) {
                return asked;
            }
            assert_eq!(asked.code, Some(0), "{asked:?}");
        }
    };
    let would = json(&within("its lease runs out", would).await);
    let decision = &would["decisions"][0];
    let word = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let of = [word(&decision["job"]), word(&decision["cause"])];
    assert_eq!(of, ["main", "lost"], "{would}");
    let looked_at = decision["candidates"].as_array().expect("all that were looked at");
    let verdicts = looked_at.iter().map(|c| [word(&c["node"]), word(&c["verdict"])]);
    let other = if busy == "one" { "two" } else { "one" };
    assert_eq!(verdicts.collect::<Vec<_>>(), [[other, "chosen"], [&*busy, "lost"]]);
    assert_eq!(shown(&cluster).await["node"].as_str(), Some(&*busy), "nothing was done");
    let done = cluster.operator("schedule --once").await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let moved = fetched::media_until(&session, "180p", goes_on_behind(next(&started) + 1)).await;
    assert_eq!(shown(&cluster).await["node"].as_str(), Some(other));

    let scheduler = cluster.scheduler().await;
    let third = cluster.transcoder("three").await;
    kill(left).await;
    fetched::media_until(&session, "90p", goes_on_behind(next(&moved) + 1)).await;
    assert!(!children(&third).is_empty(), "it has the job now");
    drop(encoder);
    stop(vec![scheduler, edge, third, origin]).await;
    stop(cluster.apis).await;
}

/// A node that cannot write is told of, and another one makes the rungs; where there is none, the
/// session that is opened without them says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_do_a_job_says_why_and_another_does_it() {
    let cluster = Cluster::of_a_manifest(MANIFEST, KEY).await;
    let (origin, edge) = (cluster.origin("origin").await, cluster.edge("edge").await);
    let mut encoder = Encoder::connect(addr(&origin, "rtmp"), &cluster.key).await.expect("taken");
    let tags = clip::looped(&clip::bbb(), 3);
    encoder.real_time(&tags, |t| t).await.expect("the server takes it all");
    let of = shown(&cluster).await;
    assert!(of["without"]["noRoom"].as_u64().is_some_and(|m| m > 0), "{of}");
    encoder.finish().await;
    // Where the channel's logs would lie is a file.
    let logs = cluster.data_of("bad").join("logs");
    std::fs::create_dir_all(&logs).expect("made");
    std::fs::write(logs.join("main"), "in the way").expect("written");
    let bad = cluster.transcoder("bad").await;
    let over = async { while !shown(&cluster).await.is_null() {} };
    within("the session's end", over).await;
    let encoder = publish(&origin, &cluster, 60).await;
    let failed = async {
        loop {
            let of = shown(&cluster).await;
            if of["failed"].is_string() && of["node"].is_null() {
                return of;
            }
        }
    };
    let of = within("why it cannot", failed).await;
    let why = of["failed"].as_str().unwrap_or_default();
    assert!(why.contains("main"), "{of}");
    let good = cluster.transcoder("good").await;
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "180p", |p| whole(p) >= 2).await;
    assert_eq!(shown(&cluster).await["node"].as_str(), Some("good"));
    drop(encoder);
    stop(vec![edge, good, bad, origin]).await;
    stop(cluster.apis).await;
}
