//! Listening sockets: bind fails fast with the address in its message; accept survives what passes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

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
