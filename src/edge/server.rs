//! The viewers' listener: HTTP/1.1, limits on what a stranger may hold open, and a drain that lets
//! answers finish.

use crate::edge::channels::Channels;
use crate::edge::cors::Cors;
use crate::edge::feed::Sources;
use crate::edge::http::Handler;
use crate::edge::metrics::Edge;
use crate::rt::drain::{Drain, Work};
use crate::rt::listen::{BindError, Listener, Seats};
use crate::rt::task;
use crate::telemetry::ready::Latch;
use axum::http::Request;
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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
    /// Whose pages may read.
    pub cors: Cors,
    /// How long a drain waits for answers to finish.
    pub drain_timeout: Duration,
}

/// A bound listener for viewers.
pub struct Server {
    config: Config,
    listener: Listener,
    sources: Sources,
    metrics: Edge,
}

impl Server {
    /// Binds the listener; nothing is answered yet.
    pub async fn bind(
        config: Config,
        sources: Sources,
        metrics: Edge,
    ) -> Result<Server, BindError> {
        let listener = Listener::bind(config.listen, "viewers").await?;
        Ok(Server { config, listener, sources, metrics })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Serves until the drain: held requests are answered 503, answers under way finish.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        let channels = Channels::new(self.sources, self.metrics.clone());
        let handler = Handler::new(channels, self.metrics.clone(), drain.clone());
        let cors = Arc::new(self.config.cors);
        let work = Work::new();
        let mut seats = Seats::new(CONNECTIONS_MAX, "viewer");
        ready.open();
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
            let (handler, cors) = (handler.clone(), cors.clone());
            let (guard, drain, open) =
                (work.guard(), drain.clone(), self.metrics.connections.clone());
            task::spawn(format!("viewer {peer}"), async move {
                open.inc();
                connection(stream, handler, cors, drain).await;
                open.dec();
                drop((guard, permit));
            });
        }
        ready.close("draining");
        if !work.finish(self.config.drain_timeout).await {
            tracing::warn!("viewers' answers did not all finish in time");
        }
    }
}

async fn connection(stream: TcpStream, handler: Handler, cors: Arc<Cors>, drain: Drain) {
    // Requests under way on this connection; one at a time, but for pipelining.
    let busy = Work::new();
    let of_service = busy.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (handler, cors, under_way) = (handler.clone(), cors.clone(), of_service.guard());
        async move {
            let _under_way = under_way;
            let mut response = handler.answer(&request).await;
            cors.apply(request.method(), request.headers(), &mut response);
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let result = tokio::select! {
        result = &mut connection => result,
        () = drain.wait() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            match tokio::time::timeout(HEAD_GRACE, &mut connection).await {
                Ok(result) => result,
                // Half a request head is not worth waiting for; an answer under way is.
                Err(_) if busy.is_idle() => {
                    let why = "the server is shutting down";
                    return last_word(connection.into_parts(), "503 Service Unavailable", why).await;
                }
                Err(_) => (&mut connection).await,
            }
        }
    };
    let Err(e) = result else { return };
    tracing::debug!("viewer connection: {e}");
    if e.is_timeout() {
        let why = format!("no whole request head within {} s", HEAD_TIMEOUT.as_secs());
        last_word(connection.into_parts(), "408 Request Timeout", &why).await;
    }
}

/// Tells a client that has sent half a request head why it gets no other answer. One that has sent
/// nothing waits for none.
async fn last_word<S>(parts: Parts<TokioIo<TcpStream>, S>, status: &str, why: &str) {
    if parts.read_buf.is_empty() {
        return;
    }
    let mut stream = parts.io.into_inner();
    let length = why.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         cache-control: no-store\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{why}\n"
    );
    // Written at once or not at all: nothing else is in the socket's buffer.
    let _ = stream.try_write(answer.as_bytes());
    let _ = stream.shutdown().await;
}
