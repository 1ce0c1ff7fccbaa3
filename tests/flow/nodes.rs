//! Origins and edges as nodes of their own: whichever node answers, the same URL has the same bytes
//! and no playlist contradicts another, while encoders go away and processes are killed.

use crate::clip;
use crate::encoder::{Encoder, stubborn};
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::oracle::{Exception, Oracle};
use crate::process::{Up, node};
use crate::server::{Edge, KEY, Server, brisk, local, silent, within};
use bytes::Bytes;
use castctl::log::format::version::VERSION;
use castctl::manifest::types::ChannelSpec;
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The version of the log's format that a later origin writes.
const NEXT: u16 = VERSION + 1;

/// Every media URL that was seen has the same bytes at `base`.
pub(crate) async fn the_same_at(base: &Url, media: &BTreeMap<String, Bytes>) {
    assert!(media.len() > 20, "{} URLs were seen", media.len());
    for (path, bytes) in media {
        let url = base.join(path).expect("a URL");
        let answer = fetched::get(url.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{url} is missing");
        assert_eq!(answer.bytes().await.expect("a body"), bytes, "{url} differs");
    }
}

fn breaks(p: &Playlist) -> u64 {
    p.segments.iter().skip(1).map(|s| s.discontinuity).sum()
}

fn is_back(p: &Playlist) -> bool {
    let complete = p.segments.iter().rev().skip_while(|s| s.uri.is_none());
    breaks(p) >= 1 && complete.take_while(|s| !s.gap).count() >= 2
}

/// A warm edge, its child, a cold edge and `up` itself, while the encoder plays, is cut off, comes
/// back, and goes for good.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_says_the_same_whatever_the_encoder_does() {
    let reconnect_window = Duration::from_secs(12);
    let server =
        Server::start(vec![ChannelSpec { reconnect_window, ..brisk("main", &[KEY]) }]).await;
    let warm = Edge::start(server.internal).await;
    let child = Edge::start(warm.internal).await;
    let bases = vec![server.url("/"), warm.url("/"), child.url("/")];
    let oracle = Oracle::watch(bases, "main");
    let play = async |seconds| {
        let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
        let tags = clip::looped(&clip::bbb(), seconds);
        encoder.real_time(&tags, |t| t).await.expect("the server takes it all");
        encoder
    };
    // The cable is pulled.
    drop(play(6).await);
    let session = fetched::session(&child.url("/"), "main").await;
    let gone = |p: &Playlist| p.segments.iter().filter(|s| s.gap).count() >= 8;
    fetched::media_until(&session, "video", gone).await;
    let encoder = play(6).await;
    fetched::media_until(&session, "video", is_back).await;
    encoder.finish().await;
    for rendition in ["video", "audio"] {
        for node in [server.url("/"), warm.url("/"), child.url("/")] {
            let session = node.join(session.path()).expect("a URL");
            fetched::media_until(&session, rendition, |p| p.ended).await;
        }
    }
    let media = oracle.media();
    let cold = Edge::start(warm.internal).await;
    the_same_at(&cold.url("/"), &media).await;
    for rendition in ["video", "audio"] {
        for list in ["index.m3u8", "dvr.m3u8"] {
            let path = format!("{rendition}/{list}");
            let mut texts = Vec::new();
            for node in [&server.url("/"), &warm.url("/"), &child.url("/"), &cold.url("/")] {
                let session = node.join(session.path()).expect("a URL");
                texts.push(fetched::text(session.join(&path).expect("a URL")).await);
            }
            texts.dedup();
            assert_eq!(texts.len(), 1, "{path}: {}", texts.join("\n\n"));
        }
    }
    silent(&oracle.report().await);
    for edge in [cold, child, warm] {
        edge.stop().await;
    }
    server.stop().await;
}

/// A viewer of an edge that knows nothing yet, and of one whose upstream is away.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_says_what_it_waits_for() {
    // Nobody listens there.
    let nobody = tokio::net::TcpListener::bind(local()).await.expect("a port");
    let addr = nobody.local_addr().expect("an address");
    drop(nobody);
    let edge = Edge::start(addr).await;
    let entry = fetched::get(edge.url("/live/main/index.m3u8")).await;
    assert_eq!(entry.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = entry.text().await.expect("text");
    assert!(why.contains("upstream"), "{why}");
    let session = fetched::get(edge.url("/live/main/s1/index.m3u8")).await;
    assert_eq!(session.status(), StatusCode::SERVICE_UNAVAILABLE);
    edge.stop().await;
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let edge = Edge::start(server.internal).await;
    let known = async {
        loop {
            let entry = fetched::get(edge.url("/live/main/index.m3u8")).await;
            if entry.status() == StatusCode::NOT_FOUND {
                return;
            }
            assert_eq!(entry.status(), StatusCode::SERVICE_UNAVAILABLE);
            tokio::task::yield_now().await;
        }
    };
    within("the table of channels", known).await;
    edge.stop().await;
    server.stop().await;
}

/// What an origin and its edges are started from.
pub(crate) struct Nodes {
    data: tempfile::TempDir,
    manifest: std::path::PathBuf,
}

impl Nodes {
    /// Short segments and parts.
    pub(crate) fn new() -> Nodes {
        Nodes::with("segment: 1s\n  targetDuration: 2s\n  part: 200ms\n  latencyBudget: 200ms")
    }

    /// One channel with these fields.
    pub(crate) fn with(fields: &str) -> Nodes {
        let data = tempfile::tempdir().expect("a directory");
        let manifest = data.path().join("castctl.yaml");
        let text = format!("channels:\n- name: main\n  keys: [{KEY}]\n  {fields}\n");
        std::fs::write(&manifest, text).expect("written");
        Nodes { data, manifest }
    }

    /// Where all of it lies.
    pub(crate) fn dir(&self) -> &Path {
        self.data.path()
    }

    pub(crate) async fn origin(&self, rtmp: SocketAddr, internal: SocketAddr) -> Up {
        self.origin_writing("", rtmp, internal).await
    }

    /// An origin that pretends a version of the log's format.
    async fn origin_writing(&self, format: &str, rtmp: SocketAddr, internal: SocketAddr) -> Up {
        let path = |p: &Path| p.to_str().expect("a path").to_owned();
        let words = [
            "ingest".into(),
            "--manifest".into(),
            path(&self.manifest),
            "--data".into(),
            path(&self.data.path().join("data")),
            format!("--rtmp={rtmp}"),
            format!("--internal={internal}"),
            "--admin=127.0.0.1:0".into(),
            format!("--pretend-format={format}"),
        ];
        node(&words.each_ref().map(String::as_str), "key").await
    }

    /// A transcoder that makes the one ladder of a manifest.
    pub(crate) async fn transcoder(
        &self,
        upstream: &str,
        ladder: &Path,
        internal: SocketAddr,
    ) -> Up {
        let words = [
            "transcode".into(),
            format!("--upstream={upstream}"),
            format!("--ladder={}", ladder.display()),
            format!("--data={}", self.data.path().join("rungs").display()),
            format!("--internal={internal}"),
            "--admin=127.0.0.1:0".into(),
        ];
        node(&words.each_ref().map(String::as_str), "admin").await
    }

    pub(crate) async fn edge(&self, upstream: &str, viewers: SocketAddr) -> Up {
        let words = [
            "serve-edge".into(),
            format!("--upstream={upstream}"),
            format!("--viewers={viewers}"),
            "--internal=127.0.0.1:0".into(),
            "--admin=127.0.0.1:0".into(),
        ];
        node(&words.each_ref().map(String::as_str), "admin").await
    }
}

pub(crate) fn addr(up: &Up, line: &str) -> SocketAddr {
    let said = up.line(line).trim_start_matches("http://").trim_start_matches("rtmp://");
    said.trim_end_matches("/live").parse().expect("an address")
}

pub(crate) fn base(edge: &Up) -> Url {
    format!("{}/", edge.line("viewers")).parse().expect("a URL")
}

/// `kill -9` of an edge, and of the origin in the middle of a part; both come back on their ports.
#[tokio::test(flavor = "multi_thread")]
async fn killed_nodes_come_back_and_viewers_go_on() {
    let nodes = Nodes::new();
    let origin = nodes.origin(local(), local()).await;
    let (rtmp, internal) = (addr(&origin, "rtmp"), addr(&origin, "internal"));
    let upstream = origin.line("internal").to_owned();
    let first = nodes.edge(&upstream, local()).await;
    let second = nodes.edge(&upstream, local()).await;
    let child = nodes.edge(second.line("internal"), local()).await;
    let bases = vec![base(&first), base(&second), base(&child)];
    let oracle = Oracle::watch(bases.clone(), "main");
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    let tags = clip::looped(&clip::bbb(), 120);
    let encoder = task::spawn("encoder", stubborn(rtmp, KEY.to_owned(), tags));
    let session = fetched::session(&base(&child), "main").await;
    let beyond = |n: u64| move |p: &Playlist| p.media_sequence + p.segments.len() as u64 > n;
    let at = |base: &Url| base.join(session.path()).expect("a URL");
    fetched::media_until(&at(&base(&child)), "video", beyond(1004)).await;

    oracle.except(Exception::StandsStill);
    let (viewers, killed) = (addr(&first, "viewers"), base(&first));
    first.process.signal(Signal::KILL);
    assert_eq!(first.process.ended().await.code, None, "killed");
    let first = nodes.edge(&upstream, viewers).await;
    assert_eq!(base(&first), killed, "the same address");
    fetched::media_until(&at(&killed), "video", beyond(1006)).await;

    origin.process.signal(Signal::KILL);
    assert_eq!(origin.process.ended().await.code, None, "killed");
    let before = oracle.media();
    let origin = nodes.origin(rtmp, internal).await;
    for base in &bases {
        for rendition in ["video", "audio"] {
            let list = fetched::media_until(&at(base), rendition, is_back).await;
            assert_eq!(breaks(&list), 1, "{base} {rendition}: one discontinuity");
        }
    }
    for base in &bases {
        the_same_at(base, &before).await;
    }
    encoder.abort();
    silent(&oracle.report().await);
    for up in [child, first, second, origin] {
        up.process.signal(Signal::TERM);
        let ended = within("the end", up.process.ended()).await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
}

/// An origin of the next version: read where that is an addition, refused with a reason where it
/// changes what older readers take it for.
#[tokio::test(flavor = "multi_thread")]
async fn an_origin_of_a_later_version_is_read_or_refused_by_name() {
    for (format, reads) in [(format!("{NEXT}-1"), true), (format!("{NEXT}-{NEXT}"), false)] {
        let nodes = Nodes::new();
        let origin = nodes.origin_writing(&format, local(), local()).await;
        let mut edge = nodes.edge(origin.line("internal"), local()).await;
        let mut encoder = Encoder::connect(addr(&origin, "rtmp"), KEY).await.expect("accepted");
        let tags = clip::looped(&clip::bbb(), 3);
        encoder.real_time(&tags, |t| t).await.expect("the server takes it all");
        if reads {
            let session = fetched::session(&base(&edge), "main").await;
            fetched::media_until(&session, "video", |p| p.segments.len() >= 2).await;
        } else {
            let asked = base(&edge).join("live/main/s1/index.m3u8").expect("a URL");
            let asked = task::spawn("viewer", fetched::get(asked));
            let said = edge.process.says("upgrade the reader").await;
            let why = format!("can be sent as version {NEXT}, the reader understands");
            assert!(said.contains(&why), "{said}");
            let answer = asked.await.expect("not aborted").expect("no panic");
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        encoder.finish().await;
        for up in [edge, origin] {
            up.process.signal(Signal::TERM);
            assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
        }
    }
}
