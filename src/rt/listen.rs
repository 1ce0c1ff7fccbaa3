//! TCP sockets: connecting takes no longer than it may, bind fails fast with the address in its
//! message, accept survives what passes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long accepting pauses when the system is out of descriptors or memory: long enough not to
/// spin, short enough that an encoder's reconnect is not lost.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for {role}: {source}")]
pub struct BindError {
    addr: SocketAddr,
    role: &'static str,
    source: io::Error,
}

/// Connects within `limit`; the error of one that takes longer says so.
pub async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let answer = tokio::time::timeout(limit, TcpStream::connect((host, port))).await;
    answer.unwrap_or_else(|_| {
        let why = format!("no answer within {} s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

/// For tests: an address at which connecting waits for an answer for as long as the second value is
/// kept.
#[cfg(test)]
pub(crate) fn unanswered() -> (SocketAddr, impl Send) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    let mut queue = Vec::new();
    // The kernel answers until the queue of connections that nobody accepts is full.
    while let Ok(one) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
        queue.push(one);
    }
    (addr, (listener, queue))
}

/// Places for the connections of one listener: who comes when all are taken waits unaccepted, and
/// the log says so, once until a tenth of them is free again.
#[derive(Debug)]
pub struct Seats {
    free: Arc<Semaphore>,
    max: usize,
    role: &'static str,
    told: bool,
}

impl Seats {
    /// `max` free places; `role` as in [`Listener::bind`].
    pub fn new(max: usize, role: &'static str) -> Seats {
        Seats { free: Arc::new(Semaphore::new(max)), max, role, told: false }
    }

    /// A place, kept until it is dropped; waits until there is one. Cancel-safe.
    pub async fn take(&mut self) -> impl Send + 'static + use<> {
        let free = self.free.available_permits();
        if free == 0 && !self.told {
            let (role, max) = (self.role, self.max);
            tracing::warn!("all {max} {role} connections are taken: the next ones wait");
        }
        self.told = free <= self.max / 10 && (self.told || free == 0);
        self.free.clone().acquire_owned().await
    }
}

/// A bound listener that knows its address (port 0 has become a real port).
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    addr: SocketAddr,
    role: &'static str,
}

impl Listener {
    /// Binds `addr` for `role` (a word for messages: `RTMP`, `viewers`, `admin`).
    pub async fn bind(addr: SocketAddr, role: &'static str) -> Result<Listener, BindError> {
        let bound = async {
            let inner = TcpListener::bind(addr).await?;
            let addr = inner.local_addr()?;
            Ok(Listener { inner, addr, role })
        };
        bound.await.map_err(|source| BindError { addr, role, source })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection, with Nagle's algorithm off. Errors of one connection or of exhausted
    /// resources are logged and waited out; the listener never ends.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.inner.accept().await {
                Ok((stream, peer)) => {
                    if let Err(e) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, "TCP_NODELAY: {e}");
                    }
                    return (stream, peer);
                }
                Err(e) => {
                    tracing::warn!(role = self.role, "accept failed, pausing: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The bare listener, for a server that accepts by itself.
    pub fn into_inner(self) -> TcpListener {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_all_seats_are_taken_waits() {
        let mut seats = Seats::new(20, "RTMP");
        let mut taken = Vec::new();
        for _ in 0..20 {
            assert!(!seats.told);
            taken.push(seats.take().await);
        }
        let waits = tokio::time::timeout(Duration::from_secs(1), seats.take()).await;
        assert!(waits.is_err() && seats.told);
        taken.truncate(18);
        taken.push(seats.take().await);
        assert!(seats.told, "nearly all are still taken: that was said");
        taken.truncate(10);
        drop(seats.take().await);
        assert!(!seats.told, "the next time is news");
    }
}
