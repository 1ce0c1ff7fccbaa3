//! What was collected is watched when the node that recorded it is gone, and its disk with it: the
//! same playlists and the same bytes as were live.

use crate::bucket::{BUCKET, Moto, Proxy};
use crate::clip;
use crate::cluster::{Cluster, beyond, is_back, kill, stop};
use crate::encoder::Encoder;
use crate::fetched;
use crate::nodes::{addr, base, the_same_at};
use crate::oracle::{Exception, Oracle};
use crate::process::{self, Up, plain};
use crate::rewound::{self, leads, regular, said, seconds};
use crate::server::{silent, within};
use castctl::base::time::Wall;
use reqwest::Url;
use serde_json::Value;

/// A cluster, and the bucket that it collects to.
struct Site {
    cluster: Cluster,
    proxy: Proxy,
    _moto: Moto,
}

impl Site {
    /// What the bucket says of itself is told to a registry.
    async fn rebuild(&self) -> Value {
        self.tool(&["collect", "--json", "--rebuild-catalog", &Site::archive()]).await
    }

    async fn start() -> Site {
        let (moto, cluster) = tokio::join!(Moto::start(), Cluster::start(1));
        let proxy = Proxy::before(moto.addr).await;
        Site { cluster, proxy, _moto: moto }
    }

    fn archive() -> String {
        format!("s3://{BUCKET}/archive")
    }

    /// A command of the cluster that reaches the bucket; what it says as JSON.
    async fn tool(&self, words: &[&str]) -> Value {
        let ended = self.cluster.tool(words, &self.proxy.settings()).await;
        assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.err);
        serde_json::from_str(&ended.out).expect("JSON")
    }

    /// Everything that an origin recorded is in the bucket, and the registry knows. A log that has
    /// just ended becomes durable first.
    async fn collect(&self, origin: &str) -> Value {
        let (data, to) = (self.cluster.dir(origin).display().to_string(), Site::archive());
        within("all of the log to be there", async {
            loop {
                let said = self.tool(&["collect", "--json", "--to", &to, "--data", &data]).await;
                if said["logs"][0]["whole"] == true {
                    return said;
                }
            }
        })
        .await
    }

    /// An edge that reads the bucket too.
    async fn edge(&self, name: &str) -> Up {
        self.cluster.edge_with(name, &Site::archive(), &self.proxy.settings()).await
    }

    /// The origin dies, and its disk with it.
    async fn lose(&self, origin: Up, name: &str) {
        kill(origin).await;
        std::fs::remove_dir_all(self.cluster.dir(name)).expect("removed");
    }

    /// What a node says of its disk, and whether all of it is in a bucket.
    async fn attested(&self, node: &str, words: &str) -> (Option<i32>, Value) {
        let told = self.cluster.operator(&format!("status --disk {node} {words}")).await;
        (told.code, serde_json::from_str(&told.out).unwrap_or(Value::Null))
    }

    /// What operators are told of a position, best first.
    async fn resolve(&self, words: &str) -> Vec<Value> {
        let found = self.cluster.operator(&format!("resolve {words} --explain")).await;
        let found: Value = serde_json::from_str(&found.out).expect("JSON");
        found["sources"].as_array().expect("sources").clone()
    }

    /// Waits until the bucket is what is named first.
    async fn until_in_the_bucket(&self, words: &str) -> Value {
        within("the node's lease to run out", async {
            loop {
                let best = self.resolve(words).await.remove(0);
                if best["archived"] == true {
                    return best;
                }
            }
        })
        .await
    }
}

impl Site {
    /// A range of a recording as a movie: its bytes, and what is said of it.
    async fn export(&self, source: &str, from: Wall, to: Wall) -> (Vec<u8>, Value) {
        let (from, to, movie) = (from.to_string(), to.to_string(), self.cluster.dir("clip.mp4"));
        let target = movie.to_str().expect("a path");
        let range = ["--from", &from, "--to", &to, "--to", target, "--force", "--json"];
        let said = self.tool(&[&["export", source][..], &range].concat()).await;
        (std::fs::read(&movie).expect("written"), said)
    }
}

/// The playlists of a session.
const LISTS: [&str; 5] = [
    "/live/main/s1/index.m3u8",
    "/live/main/s1/video/index.m3u8",
    "/live/main/s1/video/dvr.m3u8",
    "/live/main/s1/audio/index.m3u8",
    "/live/main/s1/audio/dvr.m3u8",
];

async fn texts(base: &Url, lists: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for list in lists {
        out.push(fetched::text(base.join(list).expect("a URL")).await);
    }
    out
}

/// A session that is over is played from its own URLs, byte for byte, by an edge that starts when
/// nobody is left who was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_finished_session_is_watched_when_its_origin_and_its_disk_are_gone() {
    let site = Site::start().await;
    let one = site.cluster.origin("one").await;
    let edge = site.cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    let tags = regular(site.cluster.dir("").as_path(), 8).await;
    let mut encoder = Encoder::connect(addr(&one, "rtmp"), &site.cluster.key).await.expect("in");
    encoder.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    let (code, on_disk) = site.attested("one", "").await;
    assert_eq!((code, &on_disk["open"]), (Some(1), &1.into()), "{on_disk}");
    assert_eq!(on_disk["left"][0]["log"], "main/s1/g1", "{on_disk}");
    encoder.finish().await;
    for rendition in ["video", "audio"] {
        fetched::media_until(&session, rendition, |p| p.ended).await;
    }
    let third = rewound::list(&base(&edge), LISTS[2]).await.segments[2].clone();
    let moment = seconds(Wall(third.pdt.expect("dated") + 300_000));
    let begins = leads(&base(&edge), &moment).await;
    let lists: Vec<String> =
        LISTS.iter().map(|l| (*l).to_owned()).chain([begins.clone()]).collect();
    let was = texts(&base(&edge), &lists).await;
    let media = oracle.media();
    silent(&oracle.report().await);

    let (code, on_disk) = site.attested("one", "").await;
    let bytes = on_disk["bytes"].as_u64().expect("a number");
    assert!(
        code == Some(1) && on_disk["open"] == 0 && bytes > 0,
        "sealed, and only here: {on_disk}"
    );
    site.collect("one").await;
    let to = format!("--to {}", Site::archive());
    let (code, on_disk) = site.attested("one", &to).await;
    assert_eq!((code, &on_disk["uncollected"]), (Some(0), &0.into()), "{on_disk}");
    let (code, on_disk) = site.attested("one", "--to s3://another").await;
    assert_eq!((code, &on_disk["bytes"]), (Some(1), &bytes.into()), "{on_disk}");
    assert_eq!(site.attested("east", "").await.0, Some(1), "an edge keeps nothing");
    // While the origin lives it is asked; the bucket is known, and comes after it.
    let position = format!("main --msn {}", third.msn);
    let both = site.resolve(&position).await;
    assert_eq!((&both[0]["node"], &both[1]["archived"]), (&"one".into(), &true.into()), "{both:?}");
    // Told again, nothing is another.
    assert_eq!(site.collect("one").await["uploaded"], 0);
    assert_eq!(site.resolve(&position).await, both);

    stop(vec![edge]).await;
    site.lose(one, "one").await;
    let best = site.until_in_the_bucket(&position).await;
    assert_eq!(best["url"], format!("{}/main/s1/g1", Site::archive()), "{best}");
    let cold = site.edge("cold").await;
    assert_eq!(leads(&base(&cold), &moment).await, begins);
    let is = texts(&base(&cold), &lists).await;
    for (list, (was, is)) in lists.iter().zip(was.iter().zip(&is)) {
        assert_eq!(was, is, "{list}");
    }
    the_same_at(&base(&cold), &media).await;
    stop(vec![cold]).await;
    stop(site.cluster.apis).await;
}

/// One process, and an edge that is told its upstream, read in the bucket what has left the disk.
#[tokio::test(flavor = "multi_thread")]
async fn one_machine_plays_from_the_bucket_what_has_left_its_disk() {
    let moto = Moto::start().await;
    let proxy = Proxy::before(moto.addr).await;
    let settings = proxy.settings();
    let data = tempfile::tempdir().expect("a directory");
    let ports = [([127, 0, 0, 1], 0).into(); 3];
    let manifest = data.path().join("castctl.yaml");
    let channel = "channels: [{ name: main, keys: [main-key-1], reconnectWindow: 2s }]\n";
    std::fs::write(&manifest, channel).expect("written");
    let up = Up::start(data.path(), Some(&manifest), ports).await;
    let at = up.base().parse::<Url>().expect("a URL");
    let oracle = Oracle::watch(vec![at.clone()], "main");
    let tags = regular(data.path(), 6).await;
    let mut encoder = Encoder::connect(addr(&up, "rtmp"), "main-key-1").await.expect("in");
    encoder.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&at, "main").await;
    encoder.finish().await;
    for rendition in ["video", "audio"] {
        fetched::media_until(&session, rendition, |p| p.ended).await;
    }
    let lists = LISTS.map(str::to_owned);
    let (was, media) = (texts(&at, &lists).await, oracle.media());
    silent(&oracle.report().await);
    let run = |words: &[&str]| {
        let mut command = plain();
        command.args(words).envs(settings.iter().cloned());
        command.env("CASTCTL_INTERNAL", "127.0.0.1:0");
        command
    };
    let (dir, to) = (data.path().display().to_string(), Site::archive());
    let collected = run(&["collect", "--data", &dir, "--to", &to]);
    stop(vec![up]).await;
    let collected = process::run(&mut { collected }).await;
    assert_eq!(collected.code, Some(0), "{}", collected.err);
    std::fs::remove_dir_all(data.path().join("logs/main/s1")).expect("removed");

    let loopback = ["--viewers=127.0.0.1:0", "--admin=127.0.0.1:0", "--archive", &to];
    let channel = manifest.display().to_string();
    let again = ["up", "--data", &dir, "--manifest", &channel, "--rtmp=127.0.0.1:0"];
    let up = Up::run(run(&[&again[..], &loopback].concat())).await;
    let upstream = up.line("internal").to_owned();
    let edge = run(&[&["serve-edge", "--upstream", &upstream][..], &loopback].concat());
    let edge = Up::run_until(edge, "admin").await;
    for at in [up.base().parse::<Url>().expect("a URL"), base(&edge)] {
        for (list, was) in lists.iter().zip(&was) {
            let is = fetched::text(at.join(list).expect("a URL")).await;
            assert_eq!(was, &is, "{list}");
        }
        the_same_at(&at, &media).await;
    }
    stop(vec![edge, up]).await;
}

/// One playlist crosses the bucket and a node that is on air.
#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_crosses_the_bucket_and_the_live_node_without_a_seam() {
    let site = Site::start().await;
    let (one, two) = (site.cluster.origin("one").await, site.cluster.origin("two").await);
    let mut agent = site.cluster.agent("one").await;
    let edge = site.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::StandsStill);
    oracle.except(Exception::Holes);
    let tags = regular(site.cluster.dir("").as_path(), 6).await;
    let mut first = Encoder::connect(addr(&one, "rtmp"), &site.cluster.key).await.expect("in");
    first.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1004)).await;
    // It dies in the middle; the agent beside it seals its log, and dies too.
    kill(one).await;
    agent.process.says("its exact end is told").await;
    kill(agent).await;
    site.collect("one").await;
    std::fs::remove_dir_all(site.cluster.dir("one")).expect("removed");
    let tags = clip::looped(&tags, 12);
    let mut second = Encoder::connect(addr(&two, "rtmp"), &site.cluster.key).await.expect("in");
    second.real_time(&tags, |t| t).await.expect("taken");
    fetched::media_until(&session, "video", is_back).await;
    site.until_in_the_bucket("main --msn 1001").await;

    let cold = site.edge("cold").await;
    let path = "/live/main/s1/video/dvr.m3u8";
    let (warm, read) =
        (rewound::list(&base(&edge), path).await, rewound::list(&base(&cold), path).await);
    let (warm, read) = (said(path, &warm), said(path, &read));
    let n = warm.len().min(read.len());
    assert_eq!(warm[..n], read[..n], "what both list");
    for generation in ["/g1-", "/g2-"] {
        let of = |url: &&String| url.contains(generation) && !url.contains("-gap");
        assert!(read.iter().map(|s| &s.0).filter(of).count() > 1, "{generation}: {read:?}");
    }
    let moment = seconds(Wall(read[1].1.expect("dated") + 300_000));
    let begins = leads(&base(&edge), &moment).await;
    assert_eq!(leads(&base(&cold), &moment).await, begins, "the same segment in the bucket");
    let from = begins.replace("/from-", "/video/from-");
    let rewound = said(&from, &rewound::list(&base(&cold), &from).await);
    let at = read.iter().position(|s| s.0 == rewound[0].0).expect("listed");
    let n = rewound.len().min(read.len() - at);
    assert_eq!(rewound[..n], read[at..at + n], "the same URLs as live");
    second.finish().await;
    fetched::media_until(&session, "video", |p| p.ended).await;
    the_same_at(&base(&cold), &oracle.media()).await;
    silent(&oracle.report().await);
    stop(vec![edge, cold, two]).await;
    stop(site.cluster.apis).await;
}

/// A range of a channel is one movie, whoever has it: a node, a bucket, or both.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_exported_from_wherever_the_cluster_has_it() {
    let site = Site::start().await;
    let (one, two) = (site.cluster.origin("one").await, site.cluster.origin("two").await);
    let edge = site.cluster.edge("east").await;
    let tags = regular(site.cluster.dir("").as_path(), 6).await;
    let mut first = Encoder::connect(addr(&one, "rtmp"), &site.cluster.key).await.expect("in");
    first.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    first.finish().await;
    fetched::media_until(&session, "video", |p| p.ended).await;
    let second = rewound::list(&base(&edge), LISTS[2]).await.segments[1].pdt.expect("dated");
    let (from, to) = (Wall(second + 300_000), Wall(second + 2_700_000));
    let disk = site.cluster.dir("one").join("logs/main/s1").display().to_string();
    let (here, _) = site.export(&disk, from, to).await;
    let (at_the_node, _) = site.export("main", from, to).await;
    assert!(here == at_the_node, "what the node gives is another movie");
    site.collect("one").await;
    site.lose(one, "one").await;
    site.until_in_the_bucket("main --msn 1001").await;
    let (there, _) = site.export("main", from, to).await;
    assert!(here == there, "what the bucket gives is another movie");

    // The next session is on air at another node.
    let mut third = Encoder::connect(addr(&two, "rtmp"), &site.cluster.key).await.expect("in");
    third.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    let list = fetched::media_until(&session, "video", |p| p.segments.len() > 4).await;
    let to = Wall(list.segments[3].pdt.expect("dated"));
    let (_, movie) = site.export("main", from, to).await;
    assert_eq!(movie["damage"], Value::Array(vec![]), "{movie}");
    let gaps = movie["gaps"].as_array().expect("a list");
    let absent: f64 = gaps.iter().filter_map(|g| g["absent"].as_f64()).sum();
    let length = movie["duration"].as_f64().expect("seconds");
    let whole = to.since(from) as f64 / 1e6;
    assert!(gaps.len() == 1 && (length + absent - whole).abs() < 0.5, "{whole} s: {movie}");
    third.finish().await;
    stop(vec![edge, two]).await;
    stop(site.cluster.apis).await;
}

/// The database is lost, and the node with its disk: from the bucket alone a new registry knows
/// where everything is, viewers watch it at the same URLs, and numbers go on above it.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lost_its_database_knows_everything_again_from_the_bucket() {
    let mut site = Site::start().await;
    let one = site.cluster.origin("one").await;
    let edge = site.cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::StandsStill);
    oracle.except(Exception::Holes);
    let tags = regular(site.cluster.dir("").as_path(), 6).await;
    let mut first = Encoder::connect(addr(&one, "rtmp"), &site.cluster.key).await.expect("in");
    first.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1004)).await;
    // Two generations: the origin is killed, and goes on.
    kill(one).await;
    let one = site.cluster.origin("one").await;
    let mut second = Encoder::connect(addr(&one, "rtmp"), &site.cluster.key).await.expect("in");
    second.real_time(&tags, |t| t).await.expect("taken");
    fetched::media_until(&session, "video", is_back).await;
    second.finish().await;
    for rendition in ["video", "audio"] {
        fetched::media_until(&session, rendition, |p| p.ended).await;
    }
    let lists: Vec<String> = LISTS.iter().map(|l| (*l).to_owned()).collect();
    let was = texts(&base(&edge), &lists).await;
    let media = oracle.media();
    silent(&oracle.report().await);
    let last = rewound::list(&base(&edge), LISTS[2]).await.segments.last().expect("some").msn;
    let position = "main --msn 1001";
    let (data, to) = (site.cluster.dir("one").display().to_string(), Site::archive());
    within("both logs to be there", async {
        let words = ["collect", "--json", "--to", &to, "--data", &data];
        while site.tool(&words).await["logs"]
            .as_array()
            .is_none_or(|l| l.len() < 2 || l.iter().any(|l| l["whole"] != true))
        {}
    })
    .await;

    stop(vec![edge]).await;
    site.lose(one, "one").await;
    site.cluster.lose_the_database().await;
    assert_eq!(site.resolve(position).await, Vec::<Value>::new(), "nobody knows of it");
    for _ in 0..2 {
        // Told twice, nothing is another.
        assert_eq!(site.rebuild().await["findings"], Value::Array(vec![]));
        let best = site.resolve(position).await.remove(0);
        assert_eq!((&best["archived"], &best["has"]), (&true.into(), &true.into()), "{best}");
        assert_eq!(best["url"], format!("{}/main/s1/g1", Site::archive()), "{best}");
    }
    let cold = site.edge("cold").await;
    assert_eq!(texts(&base(&cold), &lists).await, was);
    the_same_at(&base(&cold), &media).await;

    // The next publish begins above everything that was.
    let two = site.cluster.origin("two").await;
    let mut third = Encoder::connect(addr(&two, "rtmp"), &site.cluster.key).await.expect("in");
    third.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&cold), "main").await;
    assert!(session.path().starts_with("/live/main/s2/"), "{session}");
    let list = fetched::media_until(&session, "video", |p| p.segments.len() > 2).await;
    assert!(list.media_sequence > last, "{} after {last}", list.media_sequence);
    // Who has been written to since is left as it is.
    site.rebuild().await;
    assert_eq!(fetched::session(&base(&cold), "main").await, session);
    third.finish().await;
    stop(vec![cold, two]).await;
    stop(site.cluster.apis).await;
}
