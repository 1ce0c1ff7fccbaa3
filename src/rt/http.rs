//! HTTP connections: accepted within limits, served until the drain, given a last word. What is
//! asked and answered is the caller's ([`Service`]).
//!
//! Invariant: a stranger holds a socket no longer than a request head may take, and no more memory
//! than a head may have.

use crate::rt::drain::{Drain, Work};
use crate::rt::listen::{BindError, Listener, Seats};
use crate::rt::task;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sockets at one time; the next one waits unaccepted.
    pub connections: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// Bytes that a request's head may have.
    pub head_bytes: usize,
    /// How long a head that has begun may still take once the drain has.
    pub head_grace: Duration,
    /// How long a drain waits for answers under way.
    pub drain: Duration,
}

/// What answers. Cloned for each connection.
pub trait Service: Clone + Send + 'static {
    /// Bodies of answers.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;

    /// Answers one request.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// A connection has come; what is returned is kept as long as it lasts.
    fn connected(&self) -> impl Send + 'static;
}

/// A bound listener.
#[derive(Debug)]
pub struct Http {
    listener: Listener,
    role: &'static str,
    limits: Limits,
}

impl Http {
    /// Binds; nothing is answered yet. `role` as in [`Listener::bind`].
    pub async fn bind(
        addr: SocketAddr,
        role: &'static str,
        limits: Limits,
    ) -> Result<Http, BindError> {
        Ok(Http { listener: Listener::bind(addr, role).await?, role, limits })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Accepts until the drain; then answers under way finish, within their time.
    pub async fn serve(self, service: impl Service, drain: Drain) {
        let (role, limits) = (self.role, self.limits);
        let work = Work::new();
        let mut seats = Seats::new(limits.connections, role);
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
            let (service, guard, drain) = (service.clone(), work.guard(), drain.clone());
            task::spawn(format!("{role} {peer}"), async move {
                let connected = service.connected();
                connection(stream, service, limits, drain).await;
                drop((connected, guard, permit));
            });
        }
        drop(self.listener);
        if !work.finish(limits.drain).await {
            tracing::warn!("{role}: answers did not all finish in time");
        }
    }
}

async fn connection(stream: TcpStream, service: impl Service, limits: Limits, drain: Drain) {
    // Requests under way on this connection; one at a time, but for pipelining.
    let busy = Work::new();
    let of_service = busy.clone();
    let answers = service_fn(move |request: Request<Incoming>| {
        let (service, under_way) = (service.clone(), of_service.guard());
        async move {
            let _under_way = under_way;
            Ok::<_, Infallible>(service.answer(request).await)
        }
    });
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
    let mut connection = http.serve_connection(TokioIo::new(stream), answers);
    let result = tokio::select! {
        result = &mut connection => result,
        () = drain.wait() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            match tokio::time::timeout(limits.head_grace, &mut connection).await {
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
    tracing::debug!("connection: {e}");
    if e.is_timeout() {
        let why = format!("no whole request head within {} s", limits.head.as_secs());
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
