//! Where encoders come in: RTMP, and RTMP over TLS beside it. What follows is the same for both.

use crate::rt::clock::Clock;
use crate::rt::listen::{BindError, Listener};
use crate::rt::task;
use crate::rt::tls::{Secured, Tls};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::either::Either;

/// How long a TLS handshake may take: as long as RTMP's own, a few round trips of a slow link.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// An encoder that does not take our few bytes for this long is gone.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An encoder's connection.
pub type Socket = Either<TcpStream, Box<Secured>>;

/// Where RTMP over TLS is taken.
#[derive(Debug, Clone)]
pub struct Secure {
    /// Where encoders connect.
    pub listen: SocketAddr,
    /// The certificate.
    pub tls: Tls,
}

/// The bound listeners.
#[derive(Debug)]
pub struct Doors {
    plain: Listener,
    secure: Option<(Listener, Tls)>,
}

/// Somebody who has come in; over TLS, still to shake hands.
pub struct Guest {
    stream: TcpStream,
    tls: Option<Tls>,
    /// Who it is.
    pub peer: SocketAddr,
}

impl Doors {
    /// Binds; nothing is accepted yet.
    pub async fn bind(plain: SocketAddr, secure: Option<Secure>) -> Result<Doors, BindError> {
        let plain = Listener::bind(plain, "RTMP").await?;
        let secure = match secure {
            Some(Secure { listen, tls }) => Some((Listener::bind(listen, "RTMPS").await?, tls)),
            None => None,
        };
        Ok(Doors { plain, secure })
    }

    /// The address for plain RTMP.
    pub fn plain(&self) -> SocketAddr {
        self.plain.addr()
    }

    /// The address for RTMP over TLS.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.secure.as_ref().map(|(listener, _)| listener.addr())
    }

    /// Keeps the certificate new, where there is one.
    pub fn renewal(&self, clock: Clock) -> Option<JoinHandle<Option<()>>> {
        let (_, tls) = self.secure.as_ref()?;
        Some(task::spawn("RTMPS certificate", tls.clone().watch(clock)))
    }

    /// The next one to come, through either. Cancel-safe.
    pub async fn accept(&self) -> Guest {
        let secure = async {
            match &self.secure {
                Some((listener, tls)) => (listener.accept().await, Some(tls.clone())),
                None => std::future::pending().await,
            }
        };
        let ((stream, peer), tls) = tokio::select! {
            met = self.plain.accept() => (met, None),
            met = secure => met,
        };
        Guest { stream, tls, peer }
    }
}

/// Sends all of `bytes`.
///
/// # Errors
/// The socket's, or they were not taken within [`WRITE_TIMEOUT`].
pub async fn send(socket: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    let sent = async {
        socket.write_all(bytes).await?;
        // TLS may keep what the socket did not take at once.
        socket.flush().await
    };
    tokio::time::timeout(WRITE_TIMEOUT, sent).await.unwrap_or_else(|_| {
        let seconds = WRITE_TIMEOUT.as_secs();
        let why = format!("the peer has taken nothing of what it was sent for {seconds} s");
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

impl Guest {
    /// The connection, after the handshake where there is one.
    ///
    /// # Errors
    /// It failed, or took longer than [`TLS_HANDSHAKE`].
    pub async fn welcome(self) -> io::Result<Socket> {
        let Some(tls) = self.tls else { return Ok(Either::Left(self.stream)) };
        let hands = tokio::time::timeout(TLS_HANDSHAKE, tls.acceptor().accept(self.stream)).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time");
        Ok(Either::Right(Box::new(hands.map_err(late)??)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::tls::Files;
    use tokio::io::AsyncReadExt;

    #[tokio::test(start_paused = true)]
    async fn who_shakes_no_hands_is_let_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let files =
            Files { certificate: dir.path().join("tls.crt"), key: dir.path().join("tls.key") };
        std::fs::write(&files.certificate, made.cert.pem()).expect("written");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
        let tls = Tls::load(files, &[]).expect("loaded");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let doors = Doors::bind(any, Some(Secure { listen: any, tls })).await.expect("ports");
        let secure = doors.secure().expect("there");
        let clock = Clock::system();
        let begun = clock.now().mono;
        let silent = TcpStream::connect(secure).await.expect("connected");
        let guest = doors.accept().await;
        let refused = guest.welcome().await.map(drop).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{refused}");
        assert!(clock.now().mono.since(begun) >= TLS_HANDSHAKE);
        drop(silent);
        // Plain RTMP's first byte.
        let mut plain = TcpStream::connect(secure).await.expect("connected");
        plain.write_all(&[3; 1537]).await.expect("sent");
        let refused = doors.accept().await.welcome().await.map(drop).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");
        // Through the other door nobody is asked for anything.
        let mut plain = TcpStream::connect(doors.plain()).await.expect("connected");
        let mut socket = doors.accept().await.welcome().await.expect("welcome");
        plain.write_all(&[3]).await.expect("sent");
        assert_eq!(socket.read_u8().await.expect("read"), 3);
    }
}
