//! The viewers' listener: limits on what a stranger may hold open, and who may read the answers.

use crate::edge::channels::Channels;
use crate::edge::cors::Cors;
use crate::edge::http::Handler;
use crate::edge::metrics::Edge;
use crate::edge::sources::Sources;
use crate::rt::drain::Drain;
use crate::rt::http::{Http, Limits, Service};
use crate::rt::listen::BindError;
use crate::rt::tls::Tls;
use crate::telemetry::metrics::Raised;
use crate::telemetry::ready::Latch;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may take to send a request's head: a slow phone does, a stranger who holds
/// sockets open doesn't.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request head that has begun may still take once the drain has: one that is on its way
/// arrives in that time.
pub const HEAD_GRACE: Duration = Duration::from_secs(1);

/// Largest request head: a player's is below 2 KiB, signed cookies add some.
pub const HEAD_MAX: usize = 32 << 10;

/// Sockets of viewers at once: beyond the descriptors of most machines; a proxy in front sets the
/// real bound.
pub const CONNECTIONS_MAX: usize = 50_000;

/// What differs between deployments.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where viewers connect.
    pub listen: SocketAddr,
    /// With TLS.
    pub tls: Option<Tls>,
    /// Whose pages may read.
    pub cors: Cors,
    /// How long a drain waits for answers to finish.
    pub drain_timeout: Duration,
}

/// A bound listener for viewers.
pub struct Server {
    cors: Cors,
    http: Http,
    channels: Channels,
    metrics: Edge,
}

impl Server {
    /// Binds the listener; nothing is answered yet.
    pub async fn bind(
        config: Config,
        sources: Sources,
        metrics: Edge,
    ) -> Result<Server, BindError> {
        let limits = Limits {
            connections: CONNECTIONS_MAX,
            head: HEAD_TIMEOUT,
            head_bytes: HEAD_MAX,
            head_grace: HEAD_GRACE,
            drain: config.drain_timeout,
        };
        let http = Http::bind(config.listen, "viewer", limits, config.tls).await?;
        let channels = Channels::new(sources, metrics.clone());
        Ok(Server { cors: config.cors, http, channels, metrics })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.http.addr()
    }

    /// What is watched.
    pub fn channels(&self) -> Channels {
        self.channels.clone()
    }

    /// Serves until the drain: held requests are answered 503, answers under way finish.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        let clock = self.channels.sources().clock.clone();
        let handler = Handler::new(self.channels, self.metrics.clone(), drain.clone());
        let metrics = self.metrics;
        let viewers = Viewers(Arc::new(Answering { handler, cors: self.cors, metrics }));
        ready.open();
        let serve = self.http.serve(viewers, clock, drain.clone());
        let closing = async {
            drain.wait().await;
            ready.close("draining");
        };
        tokio::join!(serve, closing);
    }
}

/// Answers viewers. Cloned for each request: one count goes up and down, whatever it holds.
#[derive(Clone)]
struct Viewers(Arc<Answering>);

struct Answering {
    handler: Handler,
    cors: Cors,
    metrics: Edge,
}

impl Service for Viewers {
    type Body = Body;

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = self.0.handler.answer(&request).await;
        self.0.cors.apply(request.method(), request.headers(), &mut response);
        response
    }

    fn connected(&self) -> impl Send + 'static {
        Raised::new(&self.0.metrics.connections)
    }
}
