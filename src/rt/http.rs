//! HTTP connections, with or without TLS, HTTP/1.1 or HTTP/2: accepted within limits, served until
//! the drain. What is asked and answered is the caller's ([`Service`]).
//!
//! Which protocol a connection speaks is agreed on in the TLS handshake (ALPN); without TLS one
//! that begins with HTTP/2's preface speaks HTTP/2 (RFC 9113, 3.3: prior knowledge, as proxies
//! have it).
//!
//! Invariant: a stranger holds a socket no longer than a handshake and a request head may take, and
//! no more memory than a head may have.

use crate::rt::clock::Clock;
use crate::rt::drain::{Drain, Work};
use crate::rt::gather::Gather;
use crate::rt::listen::{BindError, Listener, Seats};
use crate::rt::task;
use crate::rt::tls::Tls;
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an HTTP/2 connection begins with (RFC 9113, 3.4); no other request does.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// Pause before looking for the rest of a preface that has come in part.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);

/// Requests that one HTTP/2 connection may have open: a player has a handful, a proxy that joins
/// many viewers opens more connections.
const STREAMS: u32 = 200;

/// How often a silent HTTP/2 peer is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);

/// What a listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sockets at one time; the next one waits unaccepted.
    pub connections: usize,
    /// How long a handshake may take, and a request's head.
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
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>> + Send + Unpin>
        + Send
        + Unpin
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
    tls: Option<Tls>,
}

impl Http {
    /// Binds; nothing is answered yet. `role` as in [`Listener::bind`].
    pub async fn bind(
        addr: SocketAddr,
        role: &'static str,
        limits: Limits,
        tls: Option<Tls>,
    ) -> Result<Http, BindError> {
        Ok(Http { listener: Listener::bind(addr, role).await?, role, limits, tls })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Accepts until the drain; then answers under way finish, within their time.
    pub async fn serve(self, service: impl Service, clock: Clock, drain: Drain) {
        let (role, limits, tls) = (self.role, self.limits, self.tls);
        let work = Work::new();
        let mut seats = Seats::new(limits.connections, role);
        let renewal = tls.clone().map(|tls| task::spawn("certificate", tls.watch(clock)));
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
            let (service, tls) = (service.clone(), tls.clone());
            let (guard, drain) = (work.guard(), drain.clone());
            task::spawn(format!("{role} {peer}"), async move {
                let connected = service.connected();
                let met = Met { limits, drain };
                if let Err(e) = met.connection(stream, tls, service).await {
                    tracing::debug!("connection: {e}");
                }
                drop((connected, guard, permit));
            });
        }
        drop(self.listener);
        if let Some(renewal) = renewal {
            renewal.abort();
        }
        if !work.finish(limits.drain).await {
            tracing::warn!("{role}: answers did not all finish in time");
        }
    }
}

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the handshake: {0}")]
    Handshake(std::io::Error),
    #[error("nothing came within {} s", .0.as_secs())]
    Late(Duration),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// What every connection of a listener is met with.
struct Met {
    limits: Limits,
    drain: Drain,
}

impl Met {
    async fn connection(
        self,
        stream: TcpStream,
        tls: Option<Tls>,
        service: impl Service,
    ) -> Result<(), Broken> {
        let Limits { head, .. } = self.limits;
        match tls {
            Some(tls) => {
                let hands = tokio::select! {
                    hands = tokio::time::timeout(head, tls.acceptor().accept(stream)) => hands,
                    () = self.drain.wait() => return Ok(()),
                };
                let stream = hands.map_err(|_| Broken::Late(head))?.map_err(Broken::Handshake)?;
                match stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    true => self.http2(stream, service).await,
                    false => self.http1(stream, service).await,
                }
            }
            None => {
                let begins = tokio::select! {
                    begins = tokio::time::timeout(head, is_http2(&stream)) => begins,
                    () = self.drain.wait() => Ok(false),
                };
                match begins.map_err(|_| Broken::Late(head))? {
                    true => self.http2(stream, service).await,
                    false => self.http1(stream, service).await,
                }
            }
        }
    }

    async fn http2(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        service: impl Service,
    ) -> Result<(), Broken> {
        let answers = service_fn(move |request: Request<Incoming>| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(service.answer(request).await) }
        });
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(self.limits.head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answers));
        tokio::select! {
            ended = &mut connection => return Ok(ended?),
            () = self.drain.wait() => connection.as_mut().graceful_shutdown(),
        }
        Ok(connection.await?)
    }

    async fn http1(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        service: impl Service,
    ) -> Result<(), Broken> {
        // Requests under way on this connection; one at a time, but for pipelining.
        let busy = Work::new();
        let of_service = busy.clone();
        let answers = service_fn(move |request: Request<Incoming>| {
            let (service, under_way) = (service.clone(), of_service.guard());
            async move {
                let _under_way = under_way;
                Ok::<_, Infallible>(service.answer(request).await.map(Gather::new))
            }
        });
        let Limits { head, head_bytes, head_grace, .. } = self.limits;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(head_bytes);
        let mut connection = http.serve_connection(TokioIo::new(stream), answers);
        let result = tokio::select! {
            result = &mut connection => result,
            () = self.drain.wait() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                match tokio::time::timeout(head_grace, &mut connection).await {
                    Ok(result) => result,
                    // Half a request head is not worth waiting for; an answer under way is.
                    Err(_) if busy.is_idle() => {
                        let why = "the server is shutting down";
                        last_word(connection.into_parts(), "503 Service Unavailable", why).await;
                        return Ok(());
                    }
                    Err(_) => (&mut connection).await,
                }
            }
        };
        let Err(e) = result else { return Ok(()) };
        if e.is_timeout() {
            let why = format!("no whole request head within {} s", head.as_secs());
            last_word(connection.into_parts(), "408 Request Timeout", &why).await;
        }
        Err(Broken::Http(e))
    }
}

/// Does the stream begin with HTTP/2's preface? Waits for as many bytes as that takes to know.
async fn is_http2(stream: &TcpStream) -> bool {
    let mut begins = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut begins).await {
            Ok(n) if n > 0 && begins[..n] == PREFACE[..n] => {
                if n == PREFACE.len() {
                    return true;
                }
            }
            _ => return false,
        }
        // A part of it has been seen and is still there: readiness tells nothing new.
        tokio::time::sleep(PREFACE_PAUSE).await;
    }
}

/// How long a last word may take to leave.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Tells a client that has sent half a request head why it gets no other answer. One that has sent
/// nothing waits for none.
async fn last_word<I: AsyncWrite + Unpin, S>(
    parts: http1::Parts<TokioIo<I>, S>,
    status: &str,
    why: &str,
) {
    if parts.read_buf.is_empty() {
        return;
    }
    let mut stream = parts.io.into_inner();
    let length = why.len() + 1;
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         cache-control: no-store\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{why}\n"
    );
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(LAST_WORD, said).await;
}
