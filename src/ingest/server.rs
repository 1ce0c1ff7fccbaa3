//! The RTMP listener: bind, take up what a restart left open, accept, drain.

use crate::api::orders::Taken;
use crate::api::types::Refusal;
use crate::ingest::connection::Connection;
use crate::ingest::context::{Context, PublishError};
use crate::ingest::desk::Desk;
use crate::ingest::doors::{Doors, Guest, Secure};
use crate::rt::drain::{Drain, Work};
use crate::rt::listen::{BindError, Seats};
use crate::rt::task;
use crate::telemetry::metrics::Raised;
use crate::telemetry::ready::Latch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What differs between deployments.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where encoders connect.
    pub listen: SocketAddr,
    /// Where they connect over TLS; `None`: nowhere.
    pub secure: Option<Secure>,
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
    doors: Doors,
    ctx: Arc<Context>,
}

/// Pause before the registry is asked again for what a restart left open.
const AGAIN: Duration = Duration::from_secs(1);

/// What is asked of this origin while it serves.
#[derive(Debug)]
pub struct Given {
    /// Cues and ends.
    pub orders: Taken,
    /// Changes when there may be sessions of other origins to take up.
    pub unfinished: watch::Receiver<u64>,
}

impl Server {
    /// Binds the listener; nothing is accepted yet.
    pub async fn bind(config: Config, ctx: Context) -> Result<Server, BindError> {
        let doors = Doors::bind(config.listen, config.secure.clone()).await?;
        Ok(Server { config, doors, ctx: Arc::new(ctx) })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.doors.plain()
    }

    /// The bound address for RTMP over TLS.
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.doors.secure()
    }

    /// Takes up open sessions, then serves until the drain: publishes are ended with a word to
    /// their encoders, and every log is sealed.
    pub async fn serve(
        self,
        ready: Latch,
        Given { mut orders, unfinished }: Given,
        drain: Drain,
    ) -> Result<(), PublishError> {
        let work = Work::new();
        let desk = Desk::new(self.ctx.clone(), drain.clone(), work.clone());
        let mut ends = self.ctx.recover().await?;
        ready.close("the registry has not answered yet");
        loop {
            match desk.take_up(&mut ends).await {
                Ok(()) => break,
                Err(e @ PublishError::Refused(Refusal::Unavailable(_))) => {
                    tracing::warn!("waiting for the registry: {e}");
                }
                Err(e) => return Err(e),
            }
            let again = self.ctx.clock.now().mono.plus(AGAIN);
            tokio::select! {
                () = drain.wait() => return self.finish(&work).await,
                () = self.ctx.clock.sleep_until(again) => {}
            }
        }
        let bringing = desk.clone();
        let bring = task::spawn("orders", async move {
            while let Some(order) = orders.recv().await {
                bringing.order(order);
            }
        });
        take_up(desk.clone(), (unfinished, drain.clone()), work.guard());
        let renewal = self.doors.renewal(self.ctx.clock.clone());
        ready.open();
        let mut seats = Seats::new(self.config.max_connections, "RTMP");
        loop {
            let accept = async {
                let permit = seats.take().await;
                (permit, self.doors.accept().await)
            };
            let (permit, guest) = tokio::select! {
                biased;
                () = drain.wait() => break,
                accepted = accept => accepted,
            };
            let (desk, drain) = (desk.clone(), drain.clone());
            let (guard, peer) = (work.guard(), guest.peer);
            let idle = self.config.idle;
            task::spawn(format!("rtmp {peer}"), async move {
                meet(guest, desk, idle, drain).await;
                drop((guard, permit));
            });
        }
        ready.close("draining");
        if let Some(renewal) = renewal {
            renewal.abort();
        }
        self.finish(&work).await?;
        // Until now it was said where generations ended.
        bring.abort();
        Ok(())
    }

    /// Waits until all that was begun has ended.
    async fn finish(&self, work: &Work) -> Result<(), PublishError> {
        if !work.finish(self.config.drain_timeout).await {
            tracing::warn!("logs were not all sealed within the drain time-out");
        }
        Ok(())
    }
}

/// Takes sessions up until the drain, which cuts none short: one that is being taken up has a log
/// that wants sealing. The guard holds the drain open until then.
fn take_up(
    desk: Desk,
    (mut unfinished, stop): (watch::Receiver<u64>, Drain),
    guard: impl Send + 'static,
) {
    task::spawn("take up", async move {
        loop {
            tokio::select! {
                changed = unfinished.changed() => if changed.is_err() { break },
                () = stop.wait() => break,
            }
            desk.take_up_others().await;
        }
        drop(guard);
    });
}

/// Serves one encoder from its handshake on.
async fn meet(guest: Guest, desk: Desk, idle: Duration, drain: Drain) {
    let (peer, open) = (guest.peer, desk.context().metrics.connections.clone());
    let _open = Raised::new(&open);
    let welcome = tokio::select! {
        welcome = guest.welcome() => welcome,
        () = drain.wait() => return,
    };
    match welcome {
        Ok(stream) => Connection::new(desk, stream, peer, idle, drain).run().await,
        Err(e) => tracing::info!(%peer, "connection over: {e}"),
    }
}
