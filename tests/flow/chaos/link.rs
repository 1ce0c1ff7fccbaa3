//! The network between two of the cast: a TCP relay with a fixed address in front of a listener
//! that comes and goes with its process. A link that is cut takes nothing from either side and
//! gives nothing to either; its connections stay open, as they do when a cable is pulled.

use crate::chaos::plan::Who;
use castctl::rt::task;
use std::net::{SocketAddr, TcpListener as Plain};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Ports below those that systems give to clients (Linux: from 32768), so that nobody takes one
/// while its process is away.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Bytes moved at a time.
const CHUNK: usize = 16 << 10;

/// A port that nobody has, and nobody will be given by chance.
pub(crate) fn own_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = u32::from(PORTS.end - PORTS.start);
    // Processes of one machine begin at different places.
    let first = std::process::id().wrapping_mul(97) % span;
    loop {
        let n = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from((first + n) % span).expect("within the range");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        if Plain::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// What moves bytes for all links: a thread of its own, or players and oracles that keep the
/// test's threads busy would make every network slow.
fn network() -> &'static Runtime {
    static NETWORK: OnceLock<Runtime> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let mut one = Builder::new_multi_thread();
        one.worker_threads(1).thread_name("network").enable_all().build().expect("a thread")
    })
}

/// See the module.
pub(crate) struct Link {
    pub(crate) addr: SocketAddr,
    /// Who is at its ends; a listener for everybody has one end.
    ends: Vec<Who>,
    target: watch::Sender<Option<SocketAddr>>,
    cut: watch::Sender<bool>,
}

impl Link {
    /// A link whose far end is not there yet.
    pub(crate) fn new(ends: &[Who]) -> Link {
        let addr = own_port();
        let (target, wanted) = watch::channel(None);
        let (cut, is_cut) = watch::channel(false);
        let _of = network().enter();
        task::spawn(format!("link {addr}"), listen(addr, wanted, is_cut));
        Link { addr, ends: ends.to_vec(), target, cut }
    }

    /// Its process listens there now; `None`: connecting is refused, as by a machine without it.
    pub(crate) fn leads_to(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
    }

    /// Cuts and joins it by who is off the network.
    pub(crate) fn set(&self, off: &[Who]) {
        self.cut.send_replace(self.ends.iter().any(|end| off.contains(end)));
    }
}

async fn listen(
    addr: SocketAddr,
    mut target: watch::Receiver<Option<SocketAddr>>,
    cut: watch::Receiver<bool>,
) {
    loop {
        let Ok(Some(to)) = target.wait_for(Option::is_some).await.map(|t| *t) else { return };
        let listener = TcpListener::bind(addr).await.unwrap_or_else(|e| panic!("{addr}: {e}"));
        loop {
            tokio::select! {
                changed = target.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                accepted = listener.accept() => {
                    let Ok((near, _)) = accepted else { continue };
                    task::spawn(format!("relay {addr}"), relay(near, to, cut.clone()));
                }
            }
        }
    }
}

async fn relay(near: TcpStream, to: SocketAddr, mut cut: watch::Receiver<bool>) {
    if joined(&mut cut).await.is_none() {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let there = async {
        pump(near_read, far_write, cut.clone()).await;
        // The other direction may still have something to say.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = there => {}
        () = pump(far_read, near_write, cut.clone()) => {}
    }
}

async fn joined(cut: &mut watch::Receiver<bool>) -> Option<()> {
    cut.wait_for(|cut| !*cut).await.ok().map(|_| ())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<bool>) {
    let mut buf = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buf).await.unwrap_or(0);
        // What is under way when the link is cut arrives when it is joined, the end too.
        if joined(&mut cut).await.is_none() {
            return;
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&buf[..read]).await.is_err() {
            return;
        }
    }
}
