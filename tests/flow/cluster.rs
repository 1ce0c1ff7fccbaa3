//! A cluster of real processes: API servers on one PostgreSQL, origins, edges. Any of them may be
//! killed while an encoder publishes and viewers watch.

use crate::chaos::link::Link;
use crate::chaos::plan::{Role, Who};
use crate::clip;
use crate::encoder::{Encoder, roaming};
use crate::fetched;
use crate::nodes::{addr, base};
use crate::oracle::playlist::Playlist;
use crate::oracle::{Exception, Oracle};
use crate::postgres::{self, Postgres};
use crate::process::{Ended, Up, castctl, node, plain, run};
use crate::rewound;
use crate::server::{local, silent, within};
use castctl::base::time::Wall;
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// At the far end of the links to it.
const THE_API: Who = Who { role: Role::Api, number: 0 };

/// What the processes of a cluster share.
pub(crate) struct Cluster {
    dir: TempDir,
    secret: PathBuf,
    /// `--database`, or `--data` of the one API server, and what else is particular to them.
    state: Vec<String>,
    pub(crate) apis: Vec<Up>,
    pub(crate) key: String,
}

impl Cluster {
    /// So many API servers, and the channel `main`.
    pub(crate) async fn start(apis: usize) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let state = match apis {
            1 => format!("--data={}", dir.path().join("api").display()),
            _ => format!("--database={}", postgres::shared().database()),
        };
        Cluster::on(dir, vec![state], apis).await
    }

    /// One API server that gives a node so many children.
    pub(crate) async fn in_tiers(fanout: usize) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let state = format!("--data={}", dir.path().join("api").display());
        Cluster::on(dir, vec![state, format!("--fanout={fanout}")], 1).await
    }

    /// One API server with what a manifest says, whose channel `main` has this key.
    pub(crate) async fn of_a_manifest(manifest: &str, key: &str) -> Cluster {
        Cluster::of_a_manifest_and(manifest, key, &[]).await
    }

    /// The same, with these flags for the API server.
    pub(crate) async fn of_a_manifest_and(manifest: &str, key: &str, flags: &[&str]) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("castctl.yaml");
        std::fs::write(&file, manifest).expect("written");
        let data = format!("--data={}", dir.path().join("api").display());
        let mut state = vec![data, format!("--manifest={}", file.display())];
        state.extend(flags.iter().map(|f| (*f).to_owned()));
        let mut cluster = Cluster::empty(dir, state, 1).await;
        cluster.key = key.into();
        cluster
    }

    async fn on(dir: TempDir, state: Vec<String>, apis: usize) -> Cluster {
        let mut cluster = Cluster::empty(dir, state, apis).await;
        cluster.make_the_channel().await;
        cluster
    }

    async fn make_the_channel(&mut self) {
        let made = self
            .operator("channel create main --segment 1s --part 200ms --reconnect-window 20s")
            .await;
        assert_eq!(made.code, Some(0), "{}", made.err);
        let made: serde_json::Value = serde_json::from_str(&made.out).expect("JSON");
        self.key = made["key"].as_str().expect("a key").to_owned();
    }

    /// The one API server dies and all that it has; the next knows its channel, with another key.
    pub(crate) async fn lose_the_database(&mut self) {
        kill(self.apis.remove(0)).await;
        std::fs::remove_dir_all(self.dir.path().join("api")).expect("removed");
        let api = self.api(local()).await;
        self.apis.push(api);
        self.make_the_channel().await;
    }

    async fn empty(dir: TempDir, state: Vec<String>, apis: usize) -> Cluster {
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "a secret of this test's cluster\n").expect("written");
        let mut cluster = Cluster { dir, secret, state, apis: Vec::new(), key: String::new() };
        for _ in 0..apis {
            let api = cluster.api(local()).await;
            cluster.apis.push(api);
        }
        cluster
    }

    async fn run(&self, words: &[String], last: &str) -> Up {
        let secret = format!("--secret-file={}", self.secret.display());
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend([&*secret, "--admin=127.0.0.1:0"]);
        node(&words, last).await
    }

    async fn api(&self, listen: SocketAddr) -> Up {
        let mut words = vec!["serve-api".into(), format!("--listen={listen}")];
        words.extend(self.state.clone());
        self.run(&words, "admin").await
    }

    /// Where the API servers are, for `--api`.
    fn urls(&self) -> String {
        let urls: Vec<&str> = self.apis.iter().map(|a| a.line("api")).collect();
        urls.join(",")
    }

    pub(crate) async fn origin(&self, name: &str) -> Up {
        self.origin_at(name, local()).await
    }

    async fn origin_at(&self, name: &str, rtmp: SocketAddr) -> Up {
        self.origin_of(name, rtmp, &self.urls()).await
    }

    async fn origin_of(&self, name: &str, rtmp: SocketAddr, api: &str) -> Up {
        let words = [
            "ingest".into(),
            format!("--api={api}"),
            format!("--node={name}"),
            format!("--data={}", self.dir.path().join(name).display()),
            format!("--rtmp={rtmp}"),
            "--internal=127.0.0.1:0".into(),
        ];
        self.run(&words, "admin").await
    }

    /// An origin, and its own way to the one API server.
    async fn origin_behind_a_link(&self, name: &str) -> (Up, Link) {
        let link = Link::new(&[THE_API]);
        link.leads_to(Some(addr(&self.apis[0], "api")));
        (self.origin_of(name, local(), &format!("http://{}", link.addr)).await, link)
    }

    pub(crate) async fn transcoder(&self, name: &str) -> Up {
        self.transcoder_that(name, &[]).await
    }

    /// With these flags.
    pub(crate) async fn transcoder_that(&self, name: &str, flags: &[&str]) -> Up {
        let mut words = vec![
            "transcode".into(),
            format!("--api={}", self.urls()),
            format!("--node={name}"),
            format!("--data={}", self.dir.path().join(name).display()),
            "--internal=127.0.0.1:0".into(),
            "--capacity=2000".into(),
        ];
        words.extend(flags.iter().map(|f| (*f).to_owned()));
        self.run(&words, "admin").await
    }

    /// Where a node keeps what it has.
    pub(crate) fn data_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Who gives jobs to transcoders, beside the API servers.
    pub(crate) async fn scheduler(&self) -> Up {
        self.run(&["schedule".into(), format!("--api={}", self.urls())], "admin").await
    }

    /// The agent beside an origin.
    pub(crate) async fn agent(&self, origin: &str) -> Up {
        let words = [
            "collect".into(),
            "--serve-only".into(),
            format!("--api={}", self.urls()),
            format!("--node={origin}-agent"),
            format!("--data={}", self.dir.path().join(origin).display()),
            "--internal=127.0.0.1:0".into(),
        ];
        self.run(&words, "admin").await
    }

    pub(crate) async fn edge(&self, name: &str) -> Up {
        self.edge_of(name, &self.urls()).await
    }

    async fn edge_of(&self, name: &str, api: &str) -> Up {
        let words = [
            "serve-edge".into(),
            format!("--api={api}"),
            format!("--node={name}"),
            format!("--state={}", self.dir.path().join(name).display()),
            "--viewers=127.0.0.1:0".into(),
            "--internal=127.0.0.1:0".into(),
        ];
        self.run(&words, "admin").await
    }

    /// An edge that reads a bucket, reached as `settings` say.
    pub(crate) async fn edge_with(
        &self,
        name: &str,
        archive: &str,
        settings: &[(String, String)],
    ) -> Up {
        let mut command = plain();
        command.args(["serve-edge", "--api", &self.urls(), "--node", name]);
        command.args(["--archive", archive, "--viewers=127.0.0.1:0", "--internal=127.0.0.1:0"]);
        command.args(["--admin=127.0.0.1:0", "--secret-file"]).arg(&self.secret);
        command.envs(settings.iter().cloned());
        Up::run_until(command, "admin").await
    }

    /// A process of this cluster that goes on, and reaches a bucket as `settings` say.
    pub(crate) async fn lasting(&self, words: &[&str], settings: &[(String, String)]) -> Up {
        let mut command = plain();
        command.args(words).args(["--api", &self.urls(), "--secret-file"]).arg(&self.secret);
        command.arg("--admin=127.0.0.1:0").envs(settings.iter().cloned());
        Up::run_until(command, "admin").await
    }

    /// A command of this cluster that reaches a bucket as `settings` say.
    pub(crate) async fn tool(&self, words: &[&str], settings: &[(String, String)]) -> Ended {
        let mut command = plain();
        command.args(words).args(["--api", &self.urls(), "--secret-file"]).arg(&self.secret);
        run(command.envs(settings.iter().cloned())).await
    }

    /// The directory of a node of this name; of none, where all of them lie.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An operator's command, with JSON as its answer.
    pub(crate) async fn operator(&self, words: &str) -> Ended {
        let (api, secret) = (self.urls(), self.secret.display().to_string());
        let words: Vec<&str> = words.split_whitespace().collect();
        castctl(&[&words[..], &["--json", "--api", &api, "--secret-file", &secret]].concat()).await
    }
}

pub(crate) async fn stop(all: Vec<Up>) {
    for up in all {
        up.process.signal(Signal::TERM);
        let ended = within("the end", up.process.ended()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
}

pub(crate) async fn kill(up: Up) {
    up.process.signal(Signal::KILL);
    assert_eq!(up.process.ended().await.code, None, "killed");
}

pub(crate) fn next(p: &Playlist) -> u64 {
    p.media_sequence + p.segments.len() as u64
}

pub(crate) fn beyond(n: u64) -> impl Fn(&Playlist) -> bool {
    move |p: &Playlist| next(p) > n
}

/// Two whole segments stand behind the newest discontinuity.
pub(crate) fn is_back(p: &Playlist) -> bool {
    let broken = p.segments.iter().rposition(|s| s.discontinuity > 0);
    let complete = |s: &&crate::oracle::playlist::Segment| s.uri.is_some() && !s.gap;
    broken.is_some_and(|at| p.segments[at..].iter().filter(complete).count() >= 2)
}

/// The origin on air is killed: the encoder finds the other one, and viewers of every edge go on
/// with the same URLs. The origin comes back, and goes on with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_killed_is_replaced_and_viewers_go_on() {
    let cluster = Cluster::start(2).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edges = [cluster.edge("east").await, cluster.edge("west").await];
    let bases: Vec<Url> = edges.iter().map(base).collect();
    let oracle = Oracle::watch(bases.clone(), "main");
    oracle.except(Exception::Holes);
    let origins = vec![addr(&one, "rtmp"), addr(&two, "rtmp")];
    let tags = clip::looped(&clip::bbb(), 120);
    let encoder = task::spawn("encoder", roaming(origins.clone(), cluster.key.clone(), tags));
    let session = fetched::session(&bases[0], "main").await;
    let at = |base: &Url| base.join(session.path()).expect("a URL");
    for base in &bases {
        fetched::media_until(&at(base), "video", beyond(1004)).await;
    }
    let newest = next(&fetched::media(&at(&bases[0]), "video").await);
    oracle.except(Exception::StandsStill);
    oracle.except(Exception::DecidedEnd { msns: newest - 1..=newest + 8 });
    kill(one).await;
    for base in &bases {
        for rendition in ["video", "audio"] {
            fetched::media_until(&at(base), rendition, is_back).await;
        }
    }
    // Both logs are known, and why which one is read.
    let found = cluster.operator("resolve main --explain").await;
    assert_eq!(found.code, Some(0), "{}", found.err);
    let found: serde_json::Value = serde_json::from_str(&found.out).expect("JSON");
    assert_eq!(found["sources"][0]["node"], "two");
    assert_eq!(found["sources"][0]["url"], two.line("internal"));
    let past = cluster.operator("resolve main --msn 1000").await;
    let past: serde_json::Value = serde_json::from_str(&past.out).expect("JSON");
    assert_eq!(
        (&past["sources"][0]["node"], &past["sources"][0]["has"]),
        (&"one".into(), &true.into())
    );
    // A viewer who comes now finds the same session.
    let late = cluster.edge("late").await;
    let found = fetched::session(&base(&late), "main").await;
    assert_eq!(found.path(), session.path());
    let one = cluster.origin("one").await;
    let newest = next(&fetched::media(&at(&bases[1]), "video").await);
    fetched::media_until(&at(&bases[1]), "video", beyond(newest + 2)).await;
    encoder.abort();
    silent(&oracle.report().await);
    let [east, west] = edges;
    stop(vec![east, west, late, one, two]).await;
    stop(cluster.apis).await;
}

/// What two origins recorded is watched as one thing, also by an edge that starts now, once the
/// origin that was killed is back with its logs.
#[tokio::test(flavor = "multi_thread")]
async fn viewers_rewind_over_the_death_of_an_origin() {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edge = cluster.edge("east").await;
    let late = cluster.edge("late").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::Holes);
    let origins = vec![addr(&one, "rtmp"), addr(&two, "rtmp")];
    let tags = clip::looped(&rewound::regular(cluster.dir.path(), 10).await, 120);
    let encoder = task::spawn("encoder", roaming(origins, cluster.key.clone(), tags));
    let session = fetched::session(&base(&edge), "main").await;
    let list = fetched::media_until(&session, "video", beyond(1004)).await;
    let second = list.segments[1].clone();
    let moment = rewound::seconds(Wall(second.pdt.expect("dated") + 500_000));
    let begins = rewound::leads(&base(&edge), &moment).await;
    assert_eq!(begins, format!("/live/main/s1/from-{}.m3u8", second.msn));
    let path = begins.replace("/from-", "/video/from-");
    oracle.also(std::slice::from_ref(&path));
    let newest = next(&fetched::media(&session, "video").await);
    oracle.except(Exception::StandsStill);
    oracle.except(Exception::DecidedEnd { msns: newest - 1..=newest + 8 });
    kill(one).await;
    fetched::media_until(&session, "video", is_back).await;
    let one = cluster.origin("one").await;
    let newest = next(&fetched::media(&session, "video").await);
    fetched::media_until(&session, "video", beyond(newest + 1)).await;
    assert_eq!(rewound::leads(&base(&late), &moment).await, begins, "it has just been asked");
    let list = rewound::list(&base(&late), &path).await;
    let urls = rewound::said(&path, &list);
    for generation in ["/g1-", "/g2-"] {
        let of = |url: &&String| url.contains(generation) && !url.contains("-gap");
        assert!(urls.iter().map(|s| &s.0).filter(of).count() > 1, "{generation}: {urls:?}");
    }
    let media = oracle.media();
    for (url, ..) in urls.iter().filter(|(url, ..)| media.contains_key(url)) {
        let bytes = fetched::ok(base(&late).join(url).expect("a URL")).await;
        assert_eq!(media[url], bytes, "{url}: not what was live");
    }
    encoder.abort();
    silent(&oracle.report().await);
    stop(vec![edge, late, one, two]).await;
    stop(cluster.apis).await;
}

/// An encoder that goes to another origin while the first one lives: the first is asked to stop,
/// and its end is exact: not one segment is missing.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_moves_leaves_no_gap() {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    let tags = clip::looped(&clip::bbb(), 4);
    let mut first = Encoder::connect(addr(&one, "rtmp"), &cluster.key).await.expect("accepted");
    first.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    // The first connection hangs, as half-open ones do.
    let mut second = Encoder::connect(addr(&two, "rtmp"), &cluster.key).await.expect("accepted");
    second.real_time(&clip::looped(&clip::bbb(), 9), |t| t).await.expect("taken");
    let why = within("the first to be told", first.over()).await.expect("a reason");
    assert!(why.to_string().contains("another origin"), "{why}");
    let list = fetched::media_until(&session, "video", is_back).await;
    assert_eq!(list.segments.iter().filter(|s| s.gap).count(), 0, "{list:?}");
    second.finish().await;
    silent(&oracle.report().await);
    stop(vec![edge, one, two]).await;
    stop(cluster.apis).await;
}

/// The origin that an encoder goes away from is cut off from the registry: asked to stop, it says
/// where it ended itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_without_the_registry_still_says_where_it_ended() {
    let cluster = Cluster::start(1).await;
    let (one, link) = cluster.origin_behind_a_link("one").await;
    let two = cluster.origin("two").await;
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    let tags = clip::looped(&clip::bbb(), 4);
    let mut first = Encoder::connect(addr(&one, "rtmp"), &cluster.key).await.expect("accepted");
    first.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    link.set(&[THE_API]);
    let mut second = Encoder::connect(addr(&two, "rtmp"), &cluster.key).await.expect("accepted");
    second.real_time(&clip::looped(&clip::bbb(), 9), |t| t).await.expect("taken");
    let list = fetched::media_until(&session, "video", is_back).await;
    assert_eq!(list.segments.iter().filter(|s| s.gap).count(), 0, "{list:?}");
    second.finish().await;
    link.set(&[]);
    silent(&oracle.report().await);
    stop(vec![edge, one, two]).await;
    stop(cluster.apis).await;
}

/// While its encoder and the registry are both away a channel stands still: nobody knows whether
/// somebody else goes on. Then absence is written.
#[tokio::test(flavor = "multi_thread")]
async fn absence_is_written_when_the_registry_can_be_asked() {
    let cluster = Cluster::start(1).await;
    let (one, link) = cluster.origin_behind_a_link("one").await;
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::StandsStill);
    let tags = clip::looped(&clip::bbb(), 6);
    let mut encoder = Encoder::connect(addr(&one, "rtmp"), &cluster.key).await.expect("accepted");
    encoder.real_time(&tags, |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    link.set(&[THE_API]);
    drop(encoder);
    let next = next(&fetched::media(&session, "video").await);
    let wait = session.join(&format!("video/index.m3u8?_HLS_msn={next}")).expect("a URL");
    // Held for three target durations; the first gap is due after one and a half.
    assert_eq!(fetched::get(wait).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    link.set(&[]);
    fetched::media_until(&session, "video", |p| p.segments.iter().any(|s| s.gap)).await;
    silent(&oracle.report().await);
    stop(vec![edge, one]).await;
    stop(cluster.apis).await;
}

/// Without API servers what runs goes on, for viewers who come as for those who are there; new
/// publishes are told why not.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_on_air_notices_that_the_api_is_away() {
    let mut cluster = Cluster::start(1).await;
    let origin = cluster.origin("one").await;
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::Holes);
    let tags = clip::looped(&clip::bbb(), 120);
    let rtmp = vec![addr(&origin, "rtmp")];
    let encoder = task::spawn("encoder", roaming(rtmp.clone(), cluster.key.clone(), tags));
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1003)).await;
    // It was here once.
    let late = cluster.edge("late").await;
    fetched::session(&base(&late), "main").await;
    stop(vec![late]).await;
    let api = cluster.apis.remove(0);
    let listen = addr(&api, "api");
    kill(api).await;
    let newest = next(&fetched::media(&session, "video").await);
    // Longer than a lease.
    fetched::media_until(&session, "video", beyond(newest + 8)).await;
    // An edge that starts now knows from its disk what is on air.
    let late = cluster.edge_of("late", &format!("http://{listen}")).await;
    let found = fetched::session(&base(&late), "main").await;
    assert_eq!(found.path(), session.path());
    fetched::media_until(&found, "video", beyond(newest)).await;
    let refused = Encoder::connect(rtmp[0], "somebody-else").await.err().expect("refused");
    assert!(refused.to_string().contains("unavailable"), "{refused}");
    let api = cluster.api(listen).await;
    cluster.apis.push(api);
    let newest = next(&fetched::media(&session, "video").await);
    let list = fetched::media_until(&session, "video", beyond(newest + 8)).await;
    assert!(list.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "{list:?}");
    encoder.abort();
    silent(&oracle.report().await);
    stop(vec![edge, late, origin]).await;
    stop(cluster.apis).await;
}

/// As without API servers: their database is killed, and stands still.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_on_air_notices_that_the_database_is_away() {
    let database = Postgres::start();
    let state = format!("--database={}", database.database());
    let cluster = Cluster::on(tempfile::tempdir().expect("a directory"), vec![state], 2).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::Holes);
    let tags = clip::looped(&clip::bbb(), 120);
    let rtmp = vec![addr(&one, "rtmp")];
    let encoder = task::spawn("encoder", roaming(rtmp.clone(), cluster.key.clone(), tags));
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1003)).await;
    let more = async |n| {
        let newest = next(&fetched::media(&session, "video").await);
        fetched::media_until(&session, "video", beyond(newest + n)).await
    };
    database.crash();
    more(4).await;
    // The API servers know what is on air.
    let late = cluster.edge("late").await;
    let found = fetched::session(&base(&late), "main").await;
    assert_eq!(found.path(), session.path());
    let refused = Encoder::connect(rtmp[0], "somebody-else").await.err().expect("refused");
    assert!(refused.to_string().contains("unavailable"), "{refused}");
    database.again();
    more(3).await;
    database.freeze();
    more(4).await;
    database.thaw();
    let list = more(4).await;
    assert!(list.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "{list:?}");
    // And what is new is taken again.
    let made = cluster.operator("channel key add main").await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    encoder.abort();
    silent(&oracle.report().await);
    stop(vec![late, edge, one, two]).await;
    stop(cluster.apis).await;
}

/// An origin is drained while it is on air: the encoder's own reconnect is all that anybody sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_origin_hands_over_without_a_gap() {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::Holes);
    let origins = vec![addr(&one, "rtmp"), addr(&two, "rtmp")];
    let tags = clip::looped(&clip::bbb(), 120);
    let encoder = task::spawn("encoder", roaming(origins, cluster.key.clone(), tags));
    let session = fetched::session(&base(&edge), "main").await;
    fetched::media_until(&session, "video", beyond(1002)).await;
    stop(vec![one]).await;
    let list = fetched::media_until(&session, "video", is_back).await;
    assert_eq!(list.segments.iter().filter(|s| s.gap).count(), 0, "{list:?}");
    encoder.abort();
    silent(&oracle.report().await);
    stop(vec![edge, two]).await;
    stop(cluster.apis).await;
}

/// The encoder and its origin are gone for good: another origin ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_comes_back_to_is_ended_by_an_origin_that_lives() {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.origin("one").await, cluster.origin("two").await);
    let edge = cluster.edge("east").await;
    let oracle = Oracle::watch(vec![base(&edge)], "main");
    oracle.except(Exception::StandsStill);
    let mut encoder = Encoder::connect(addr(&one, "rtmp"), &cluster.key).await.expect("accepted");
    encoder.real_time(&clip::looped(&clip::bbb(), 4), |t| t).await.expect("taken");
    let session = fetched::session(&base(&edge), "main").await;
    let list = fetched::media_until(&session, "video", beyond(1002)).await;
    oracle.except(Exception::DecidedEnd { msns: next(&list) - 1..=next(&list) + 16 });
    kill(one).await;
    drop(encoder);
    for rendition in ["video", "audio"] {
        let ended = fetched::media_until(&session, rendition, |p| p.ended).await;
        assert!(ended.segments.iter().any(|s| s.gap), "{ended:?}");
    }
    silent(&oracle.report().await);
    stop(vec![edge, two]).await;
    stop(cluster.apis).await;
}

/// Keys: several, with terms, revoked while they publish; strangers are refused.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_to_and_strangers_kept_out() {
    let cluster = Cluster::start(1).await;
    let origin = cluster.origin("one").await;
    let rtmp = addr(&origin, "rtmp");
    let refused = async |key: &str| {
        let refused = Encoder::connect(rtmp, key).await.err().expect("refused");
        refused.to_string()
    };
    let made = async |words: &str| -> (String, String) {
        let made = cluster.operator(words).await;
        assert_eq!(made.code, Some(0), "{}", made.err);
        let made: serde_json::Value = serde_json::from_str(&made.out).expect("JSON");
        let of = |name: &str| made[name].as_str().expect("a text").to_owned();
        (of("id"), of("key"))
    };
    assert!(refused("nobodys-key").await.contains("unknown stream key"));
    let (_, early) = made("channel key add main --not-before 2999-01-01T00:00:00Z").await;
    assert!(refused(&early).await.contains("may not be used before 2999-01-01"));
    let (_, late) = made("channel key add main --expires 2001-01-01T00:00:00Z").await;
    assert!(refused(&late).await.contains("expired at 2001-01-01"));
    let (id, key) = made("channel key add main --note second").await;
    let mut encoder = Encoder::connect(rtmp, &key).await.expect("accepted");
    encoder.real_time(&clip::looped(&clip::bbb(), 2), |t| t).await.expect("taken");
    // The other key is the channel's too, but somebody is on air.
    let other = refused(&cluster.key).await;
    assert!(other.contains("with another key"), "{other}");
    // The API server brings a cue to the origin that writes.
    let cue = cluster.operator("cue main --id goal --data 1").await;
    assert_eq!(cue.code, Some(0), "{}", cue.err);
    let again = cluster.operator("cue main --id goal --data 1").await;
    assert_eq!(again.code, Some(1), "{}", again.err);
    assert!(again.err.starts_with("refused: this session has had a cue"), "{}", again.err);
    let revoked = cluster.operator(&format!("channel key revoke main {id}")).await;
    assert_eq!(revoked.code, Some(0), "{}", revoked.err);
    let ended = within("the publish to end", async {
        let tags = clip::looped(&clip::bbb(), 60);
        match encoder.real_time(&tags, |t| t + 2_000).await {
            Ok(()) => encoder.over().await.expect("a reason"),
            Err(e) => e,
        }
    });
    let ended = ended.await.to_string();
    assert!(ended.contains("revoked"), "{ended}");
    assert!(refused(&key).await.contains("revoked"));
    let again = cluster.operator("channel create main").await;
    assert_eq!(again.code, Some(1), "{}", again.err);
    // Who has no secret, or another one, learns nothing.
    for (url, path) in
        [(cluster.urls(), "/v1/status"), (origin.line("internal").into(), "/v1/table")]
    {
        let answer = fetched::get(format!("{url}{path}").parse().expect("a URL")).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{url}{path}");
    }
    drop(encoder);
    stop(vec![origin]).await;
    stop(cluster.apis).await;
}
