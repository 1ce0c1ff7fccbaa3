//! A log over HTTP, once and over another node in between: the same records, footers and ranges as
//! on the disk they come from.

use crate::api::client;
use crate::api::directory::Directory;
use crate::base::ids::Msn;
use crate::base::time::MICROS;
use crate::log::fixture::{ON_AIR, write_log};
use crate::log::format::Position;
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::log::remote::wire::Since;
use crate::log::remote::{self, Remote};
use crate::log::source::Source;
use crate::log::subscription::From;
use crate::origin::metrics::Origin;
use crate::origin::server::{Config, Served, Server};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use reqwest::StatusCode;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinHandle;

struct Node {
    addr: SocketAddr,
    drain: Drain,
    task: JoinHandle<Option<()>>,
}

impl Node {
    /// Serves what `logs` has.
    async fn start(logs: Source) -> Node {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { listen, drain_timeout: Duration::from_secs(5) };
        let directory = {
            let (client, _, table) = client::embedded();
            Directory::embedded(client, table)
        };
        let (clock, metrics) = (Clock::system(), Origin::register(&Metrics::new()));
        let served =
            Served { logs, directory, orders: None, disk: None, secret: None, clock, metrics };
        let server = Server::bind(config, served).await.expect("a port");
        let (addr, drain) = (server.addr(), Drain::new());
        let latch = Ready::new().latch("internal");
        let task = task::spawn("node", server.serve(latch, drain.clone()));
        Node { addr, drain, task }
    }

    /// What another node reads of it.
    fn source(&self) -> Source {
        let options = remote::Options::default();
        let remote = Remote::new(&format!("http://{}", self.addr), options, Clock::system());
        Source::Remote(remote.expect("an address"))
    }

    async fn stop(self) {
        self.drain.start();
        self.task.await.expect("not aborted").expect("no panic");
    }
}

fn id() -> LogId {
    "main/s2/g3".parse().expect("a log")
}

/// Every record of a log, by position.
async fn records(source: &Source, from: From) -> Vec<(Position, bytes::Bytes)> {
    let mut log = source.subscribe(&id(), from).await.expect("subscribed");
    let mut out = Vec::new();
    while let Some(batch) = log.next().await.expect("records") {
        for entry in batch.records() {
            let at = |p: Position| (p.offset - batch.first().offset) as usize;
            out.push((entry.start, batch.bytes().slice(at(entry.start)..at(entry.end))));
        }
    }
    out
}

fn extents(index: &Index) -> Vec<u32> {
    index.footers.iter().map(|f| f.extent).collect()
}

#[tokio::test]
async fn what_other_nodes_read_is_what_lies_on_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    write_log(dir.path(), 2 * MICROS, true).await;
    let disk = Source::Local(Logs::open(dir.path(), Options::default()).expect("opens"));
    let near = Node::start(disk.clone()).await;
    let far = Node::start(near.source()).await;
    let all = records(&disk, From::Start).await;
    let index = disk.index(&id()).await.expect("an index");
    assert!(all.len() > 500 && index.footers.len() >= 4 && index.sealed, "a log to speak of");
    for source in [near.source(), far.source()] {
        assert_eq!(records(&source, From::Start).await, all);
        let there = source.index(&id()).await.expect("an index");
        assert_eq!((there.footers, there.tail), (index.footers.clone(), index.tail));
        assert!(there.sealed);
        // From the middle of an extent to the middle of a later one.
        let (from, to) = (all[all.len() / 3].0, all[all.len() * 3 / 4].0);
        let read = |s: &Source| {
            let s = s.clone();
            async move { s.read(&id(), from..to).await.expect("a range") }
        };
        let (here, there) = (read(&disk).await, read(&source).await);
        let bytes = |b: Vec<crate::log::batch::Batch>| {
            b.iter().flat_map(|b| b.bytes().to_vec()).collect::<Vec<u8>>()
        };
        assert!(bytes(here) == bytes(there), "{from} to {to}");
        assert_eq!(records(&source, From::Position(from)).await, all[all.len() / 3..]);
        assert_eq!(source.wrote(&id()).await.ok(), disk.wrote(&id()).await.ok());
    }
    far.stop().await;
    near.stop().await;
}

#[tokio::test]
async fn an_index_may_begin_at_a_segment_or_a_moment() {
    let dir = tempfile::tempdir().expect("a directory");
    write_log(dir.path(), 2 * MICROS, true).await;
    let disk = Source::Local(Logs::open(dir.path(), Options::default()).expect("opens"));
    let node = Node::start(disk.clone()).await;
    let index = disk.index(&id()).await.expect("an index");
    let (all, count) = (extents(&index), index.footers.len());
    // The second extent's first segment, and the moment at which it begins.
    let second = &index.footers[1];
    let (msn, wall) = (second.msn.expect("segments").0, second.wall.expect("times").0);
    let last = index.footers[count - 1].msn.expect("segments").1;
    for source in [&disk, &node.source()] {
        for (since, want) in [
            (Since::Start, &all[..]),
            (Since::Extent(2), &all[2..]),
            (Since::Extent(99), &[]),
            (Since::Msn(Msn(msn.0 + 1)), &all[1..]),
            (Since::Msn(Msn(0)), &all[..]),
            (Since::Msn(last.next()), &[]),
            (Since::Time(wall.plus(500_000)), &all[1..]),
            (Since::Time(ON_AIR), &all[..]),
        ] {
            let got = source.index_since(&id(), since).await.expect("an index");
            assert_eq!((extents(&got), got.tail), (want.to_vec(), index.tail), "{since:?}");
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn who_asks_wrongly_is_told_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    write_log(dir.path(), 2 * MICROS, true).await;
    let disk = Source::Local(Logs::open(dir.path(), Options::default()).expect("opens"));
    let node = Node::start(disk).await;
    let http = reqwest::Client::new();
    for (path, versions, status, says) in [
        ("/v1/logs/main/s2/g3/index", "", 400, "say in castctl-log-versions"),
        ("/v1/logs/main/s2/g3/index", "9-10", 406, "upgrade the sender"),
        ("/v1/logs/main/s2/g4/index", "1", 404, "there is no log at"),
        ("/v1/logs/main/s2/g3/records?from=0:33", "1", 500, "damaged at byte 33"),
        ("/v1/logs/main/s2/g3/records?from=0:32&to=99:32", "1", 416, "99:32"),
        ("/v1/logs/main/s2/g3/other", "1", 404, "nothing is here"),
        ("/v1/channels/main/sessions/x", "1", 404, "nothing is here"),
        ("/live/main/index.m3u8", "1", 404, "nothing is here"),
    ] {
        let mut request = http.get(format!("http://{}{path}", node.addr));
        if !versions.is_empty() {
            request = request.header(remote::wire::VERSIONS, versions);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::from_u16(status).expect("a status"), "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        let text = answer.text().await.expect("text");
        assert!(text.contains(says), "{path}: {text}");
    }
    let post = http.post(format!("http://{}/v1/table", node.addr)).send().await;
    assert_eq!(post.expect("an answer").status(), StatusCode::METHOD_NOT_ALLOWED);
    node.stop().await;
}
