//! The API server: the registry over HTTP, for the nodes of a cluster and for operators. Any number
//! of them may share one PostgreSQL; none keeps anything that another does not have.
//!
//! Invariant: nothing is decided here: each request is one call of the registry.

use crate::api::auth::Secret;
use crate::api::peers::Signer;
use crate::api::types::{Refusal, Table};
use crate::control::ROUND;
use crate::control::metrics::Api;
use crate::control::registry::Registry;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::http::{Http, Limits};
use crate::rt::listen::BindError;
use crate::rt::task;
use crate::telemetry::ready::Latch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Sockets at one time: a few for each node.
const CONNECTIONS: usize = 10_000;

/// How long a request's head may take: nodes are near.
const HEAD: Duration = Duration::from_secs(10);

/// Largest request head.
const HEAD_BYTES: usize = 16 << 10;

/// How long a head that has begun may still take in a drain.
const HEAD_LATE: Duration = Duration::from_millis(200);

/// How often a replica looks whether another one has changed the table. Edges learn of a failover
/// within it.
const LOOK: Duration = Duration::from_millis(250);

/// What differs between deployments.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where nodes and operators connect; never a public address.
    pub listen: SocketAddr,
    /// How long a drain waits for answers to finish.
    pub drain_timeout: Duration,
    /// What senders have to prove that they have; `None`: everyone is trusted.
    pub secret: Option<Secret>,
    /// Looks for jobs that nobody does by itself; otherwise somebody else has to.
    pub places: bool,
}

/// What every request shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) secret: Option<Secret>,
    pub(super) signer: Signer,
    pub(super) clock: Clock,
    pub(super) table: watch::Sender<Arc<Table>>,
    /// It has been read once.
    pub(super) known: watch::Sender<bool>,
    /// The table may have changed.
    pub(super) changed: Notify,
    /// There may be a job that nobody does.
    pub(super) unplaced: Notify,
    pub(super) drain: Drain,
    pub(super) metrics: Api,
}

/// A bound API server.
pub struct Server {
    http: Http,
    shared: Arc<Shared>,
    places: bool,
}

impl Server {
    /// Binds; nothing is answered yet.
    pub async fn bind(
        config: Config,
        registry: Registry,
        metrics: Api,
        clock: Clock,
    ) -> Result<Server, BindError> {
        let limits = Limits {
            connections: CONNECTIONS,
            head: HEAD,
            head_bytes: HEAD_BYTES,
            head_grace: HEAD_LATE,
            drain: config.drain_timeout,
        };
        let http = Http::bind(config.listen, "api", limits, None).await?;
        let secret = config.secret;
        let signer = Signer { secret: secret.clone(), name: "api".into(), clock: clock.clone() };
        let (table, known) = (watch::Sender::default(), watch::Sender::new(false));
        let (changed, unplaced, drain) = (Notify::new(), Notify::new(), Drain::new());
        let shared = Shared {
            registry,
            secret,
            signer,
            clock,
            table,
            known,
            changed,
            unplaced,
            drain,
            metrics,
        };
        Ok(Server { http, shared: Arc::new(shared), places: config.places })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// Serves until the drain. Ready once the database has answered; what nodes do without it is
    /// theirs.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        let Server { http, shared, places } = self;
        ready.close("the database has not answered yet");
        let looking = task::spawn("table", look(Arc::clone(&shared)));
        let placing = task::spawn("jobs", place(Arc::clone(&shared), places));
        let mut known = shared.known.subscribe();
        let opening = async {
            tokio::select! {
                _ = known.wait_for(|known| *known) => ready.open(),
                () = drain.wait() => {}
            }
            drain.wait().await;
            ready.close("draining");
            shared.drain.start();
        };
        let service = crate::control::routes::Routes(Arc::clone(&shared));
        tokio::join!(http.serve(service, shared.clock.clone(), drain.clone()), opening);
        looking.abort();
        placing.abort();
        shared.registry.close().await;
    }
}

/// Keeps the table as the database has it. While that does not answer, it stays as it was.
async fn look(shared: Arc<Shared>) {
    let (mut shown, mut told) = (None, false);
    loop {
        let looked = async {
            let revision = shared.registry.revision(shared.clock.now().wall).await?;
            if shown.as_ref() != Some(&revision) {
                let table = Arc::new(shared.registry.table(shared.clock.now().wall).await?);
                shared.table.send_if_modified(|t| {
                    let news = *t != table;
                    *t = table;
                    news
                });
                shared.known.send_if_modified(|known| !std::mem::replace(known, true));
            }
            Ok::<_, Refusal>(revision)
        };
        match looked.await {
            Ok(revision) => {
                shown = Some(revision);
                if std::mem::take(&mut told) {
                    tracing::info!("the database answers again");
                }
            }
            Err(e) if !std::mem::replace(&mut told, true) => {
                tracing::error!("the table can't be read, trying until it can: {e}");
            }
            Err(e) => tracing::debug!("{e}"),
        }
        let next = shared.clock.now().mono.plus(LOOK);
        tokio::select! {
            () = shared.changed.notified() => {}
            () = shared.clock.sleep_until(next) => {}
        }
    }
}

/// Looks for jobs that nobody does, and gives them to somebody. Replicas that look at the same time
/// do each once.
async fn place(shared: Arc<Shared>, places: bool) {
    let mut told = false;
    loop {
        match shared.registry.reconcile(shared.clock.now().wall, places).await {
            Ok(given) => {
                told = false;
                if given > 0 {
                    shared.changed.notify_one();
                }
            }
            Err(e) if !std::mem::replace(&mut told, true) => {
                tracing::warn!("jobs that nobody does can't be given to anybody: {e}");
            }
            Err(e) => tracing::debug!("{e}"),
        }
        let next = shared.clock.now().mono.plus(ROUND);
        tokio::select! {
            () = shared.unplaced.notified() => {}
            () = shared.clock.sleep_until(next) => {}
        }
    }
}
