//! A channel whose publisher the test itself holds: what an encoder's connection would tell it, the
//! test tells it, and what no encoder can say (cues) too. Registry, logs and edges are the real
//! ones.

use crate::server::{local, within};
use castctl::api::client::{self, Client, Shown};
use castctl::api::directory::Directory;
use castctl::api::types::{PublishRequest, Want};
use castctl::cmd::settings;
use castctl::control::embedded as registry;
use castctl::control::registry::{Database, Registry};
use castctl::edge;
use castctl::edge::cors::Cors;
use castctl::ingest::context::Context;
use castctl::ingest::decided::Decided;
use castctl::ingest::metrics::Ingest;
use castctl::ingest::publisher::Publisher;
use castctl::log::bucket::Bucket;
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use castctl::log::recover::Recovered;
use castctl::log::remote::{self, Remote};
use castctl::log::source::Source;
use castctl::manifest::types::ChannelSpec;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::origin;
use castctl::rt::clock::Clock;
use castctl::rt::drain::Drain;
use castctl::rt::task;
use castctl::telemetry::metrics::Metrics;
use castctl::telemetry::ready::Ready;
use reqwest::Url;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The channel, its registry and its logs.
pub(crate) struct Stage {
    dir: TempDir,
    ctx: Arc<Context>,
    key: String,
    edges: usize,
    table: Shown,
    drain: Drain,
}

impl Stage {
    /// A stage for one channel.
    pub(crate) async fn set(spec: ChannelSpec) -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options { low_space: 0, extent_micros: 4_000_000, ..Options::default() };
        let logs = Logs::open(dir.path(), options).expect("opens");
        let file = dir.path().join("registry.db");
        let store = Registry::open(&Database::File(file), &[settings::channel(&spec)])
            .await
            .expect("opens");
        let (client, calls, table) = client::embedded();
        let (clock, drain) = (Clock::system(), Drain::new());
        task::spawn(
            "registry",
            registry::serve(store, calls, (clock.clone(), drain.clone(), drain.clone())),
        );
        let (metrics, decided) = (Ingest::register(&Metrics::new()), Decided::default());
        let ctx = Arc::new(Context { node: "local".into(), logs, client, clock, metrics, decided });
        let key = spec.keys.first().expect("a key").expose().to_owned();
        Stage { dir, ctx, key, edges: 0, table, drain }
    }

    fn client(&self) -> &Client {
        &self.ctx.client
    }

    /// A new generation's publisher, with an encoder connected to it.
    pub(crate) async fn publisher(&self) -> Publisher {
        let request = PublishRequest { key: self.key.clone(), node: "local".into() };
        let admitted = self.client().admit(request).await.expect("a good key");
        let (settings, key) = (admitted.settings, Some(admitted.key));
        let granted = self
            .client()
            .grant(&settings.name, Want { node: "local".into(), key })
            .await
            .expect("granted");
        let mut publisher = Publisher::new(self.ctx.clone(), settings, granted);
        publisher.resume().await.expect("a log");
        publisher.connected().expect("a log that takes records");
        publisher
    }

    /// Another edge over the same logs: knows nothing that it has not read of them.
    pub(crate) async fn edge(&mut self) -> Url {
        self.edge_for(Cors::Any).await
    }

    /// The same for pages of these origins.
    pub(crate) async fn edge_for(&mut self, cors: Cors) -> Url {
        self.edge_over(Source::Local(self.ctx.logs.clone()), cors).await
    }

    /// An edge that reads the logs at a node, and in a bucket too.
    pub(crate) async fn edge_from(&mut self, origin: &str, archive: Option<&str>) -> Url {
        let clock = &self.ctx.clock;
        let remote = Remote::new(origin, remote::Options::default(), clock.clone());
        let mut logs = Source::Remote(remote.expect("an address"));
        if let Some(url) = archive {
            let bucket = Bucket::open(url, clock.clone()).expect("a bucket");
            logs = logs.behind(bucket, clock.clone());
        }
        self.edge_over(logs, Cors::Any).await
    }

    /// A node that serves the logs to others: its URL.
    pub(crate) async fn origin(&self) -> String {
        let Context { logs, client, clock, .. } = &*self.ctx;
        let served = origin::server::Served {
            logs: Source::Local(logs.clone()),
            directory: Directory::embedded(client.clone(), self.table.clone()),
            orders: None,
            disk: None,
            secret: None,
            clock: clock.clone(),
            metrics: origin::metrics::Origin::register(&Metrics::new()),
        };
        let drain_timeout = Duration::from_secs(1);
        let config = origin::server::Config { listen: local(), drain_timeout };
        let server = origin::server::Server::bind(config, served).await.expect("a port");
        let url = format!("http://{}", server.addr());
        task::spawn("origin", server.serve(Ready::new().latch("internal"), self.drain.clone()));
        url
    }

    /// Seals what lost its writer, as a process does that starts.
    pub(crate) async fn recover(&self) -> Vec<Recovered> {
        self.ctx.logs.recover().await.expect("looked")
    }

    async fn edge_over(&mut self, logs: Source, cors: Cors) -> Url {
        let Context { client, clock, .. } = &*self.ctx;
        let sources = edge::sources::Sources {
            logs,
            directory: Directory::embedded(client.clone(), self.table.clone()),
            clock: clock.clone(),
            away: edge::away::Away::default(),
        };
        let config = edge::server::Config {
            listen: local(),
            tls: None,
            cors,
            drain_timeout: Duration::from_secs(1),
        };
        let counters = edge::metrics::Edge::register(&Metrics::new());
        let edge = edge::server::Server::bind(config, sources, counters).await.expect("a port");
        let url = format!("http://{}/", edge.addr()).parse().expect("a URL");
        self.edges += 1;
        let latch = Ready::new().latch("viewers");
        task::spawn(format!("edge {}", self.edges), edge.serve(latch, self.drain.clone()));
        url
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        self.dir.path()
    }

    /// Ends edges and registry.
    pub(crate) fn close(self) {
        self.drain.start();
    }
}

/// Tells a publisher what an encoder would send.
pub(crate) async fn tell(publisher: &mut Publisher, tags: &[Tag]) {
    for tag in tags {
        match tag.kind {
            TagKind::Video => publisher.video(tag.timestamp, &tag.body).expect("taken"),
            TagKind::Audio => publisher.audio(tag.timestamp, &tag.body).expect("taken"),
            TagKind::Script => {}
        }
        within("the disk", publisher.settle()).await.expect("written");
    }
}
