//! The RTMP listener: bind, take up what a restart left open, accept, drain.

use crate::api::cues::Posts;
use crate::ingest::connection::Connection;
use crate::ingest::context::{Context, PublishError};
use crate::ingest::desk::Desk;
use crate::rt::drain::{Drain, Work};
use crate::rt::listen::{BindError, Listener, Seats};
use crate::rt::task;
use crate::telemetry::ready::Latch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What differs between deployments.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Where encoders connect.
    pub listen: SocketAddr,
    /// Sockets at once; further ones wait unaccepted.
    pub max_connections: usize,
    /// Longest silence of a publisher.
    pub idle: Duration,
    /// How long a drain waits for logs to be sealed.
    pub drain_timeout: Duration,
}

/// A bound RTMP listener.
pub struct Server {
    config: Config,
    listener: Listener,
    ctx: Arc<Context>,
}

impl Server {
    /// Binds the listener; nothing is accepted yet.
    pub async fn bind(config: Config, ctx: Context) -> Result<Server, BindError> {
        let listener = Listener::bind(config.listen, "RTMP").await?;
        Ok(Server { config, listener, ctx: Arc::new(ctx) })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Takes up open sessions, then serves until the drain: publishes are ended with a word to
    /// their encoders, and every log is sealed.
    pub async fn serve(
        self,
        ready: Latch,
        mut posts: Posts,
        drain: Drain,
    ) -> Result<(), PublishError> {
        let work = Work::new();
        let desk = Desk::new(self.ctx.clone(), drain.clone(), work.clone());
        desk.take_up().await?;
        let bringing = desk.clone();
        let cues = task::spawn("cues", async move {
            while let Some(post) = posts.recv().await {
                bringing.post(post);
            }
        });
        ready.open();
        let mut seats = Seats::new(self.config.max_connections, "RTMP");
        loop {
            let accept = async {
                let permit = seats.take().await;
                (permit, self.listener.accept().await)
            };
            let (permit, (stream, peer)) = tokio::select! {
                biased;
                () = drain.wait() => break,
                accepted = accept => accepted,
            };
            let idle = self.config.idle;
            let connection = Connection::new(desk.clone(), stream, peer, idle, drain.clone());
            let open = self.ctx.metrics.connections.clone();
            let guard = work.guard();
            task::spawn(format!("rtmp {peer}"), async move {
                open.inc();
                connection.run().await;
                open.dec();
                drop((guard, permit));
            });
        }
        ready.close("draining");
        cues.abort();
        if !work.finish(self.config.drain_timeout).await {
            tracing::warn!("logs were not all sealed within the drain time-out");
        }
        Ok(())
    }
}
