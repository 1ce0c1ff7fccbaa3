//! The pool that makes the load: publishers in real time, one task each, over RTMP.

use crate::base::time::Mono;
use crate::bench::clip::{Clip, Message, stamp};
use crate::bench::error::BenchError;
use crate::bench::server::Target;
use crate::media::flv::file::TagKind;
use crate::rt::clock::Clock;
use crate::rt::task;
use crate::rtmp::client::{ClientEvent, ClientOutput, ClientSession};
use crate::rtmp::url::RtmpUrl;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The pool's publishers start this far apart at most: all within two GOPs of the made clip, their
/// key frames evenly spread.
const RAMP: Duration = Duration::from_secs(4);

/// One publish on one connection.
#[derive(Debug)]
pub struct Publisher {
    number: usize,
    host: String,
    stream: TcpStream,
    session: ClientSession,
    clock: Clock,
    ready: bool,
}

impl Publisher {
    /// Connects and publishes; returns with the server's consent.
    ///
    /// # Errors
    /// No connection, or the server does not consent.
    pub async fn connect(
        number: usize,
        addr: SocketAddr,
        url: &RtmpUrl,
        clock: Clock,
    ) -> Result<Publisher, BenchError> {
        let host = addr.to_string();
        let error = |e: std::io::Error| BenchError::Publish {
            number,
            host: host.clone(),
            why: e.to_string(),
        };
        let stream = TcpStream::connect(addr).await.map_err(error)?;
        stream.set_nodelay(true).map_err(error)?;
        let session = ClientSession::publish(url, clock.now().mono)?;
        let mut p = Publisher { number, host, stream, session, clock, ready: false };
        loop {
            p.drain().await?;
            if p.ready {
                return Ok(p);
            }
            let read = p.stream.read_buf(p.session.input_buf()).await;
            if read.map_err(|e| p.error(e))? == 0 {
                return Err(p.error("the server closed the connection"));
            }
            p.session.process(p.clock.now().mono);
        }
    }

    /// Sends a message; returns when the socket has taken it.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn send(
        &mut self,
        kind: TagKind,
        timestamp: u32,
        body: &[u8],
    ) -> Result<(), BenchError> {
        match kind {
            TagKind::Video => self.session.send_video(timestamp, body)?,
            TagKind::Audio => self.session.send_audio(timestamp, body)?,
            TagKind::Script => self.session.send_script(timestamp, body)?,
        }
        // What the server says meanwhile (acknowledgements, its end) is taken in passing.
        match self.stream.try_read_buf(self.session.input_buf()) {
            Ok(0) => return Err(self.error("the server closed the connection")),
            Ok(_) => self.session.process(self.clock.now().mono),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(self.error(e)),
        }
        self.drain().await
    }

    /// Ends the publish in good order.
    pub async fn finish(mut self) {
        self.session.finish();
        while let Some(out) = self.session.poll_output() {
            if let ClientOutput::Send(bytes) = out
                && self.stream.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
        let _ = self.stream.shutdown().await;
    }

    fn error(&self, why: impl ToString) -> BenchError {
        BenchError::Publish { number: self.number, host: self.host.clone(), why: why.to_string() }
    }

    async fn drain(&mut self) -> Result<(), BenchError> {
        while let Some(out) = self.session.poll_output() {
            match out {
                ClientOutput::Send(bytes) => {
                    self.stream.write_all(&bytes).await.map_err(|e| self.error(e))?;
                }
                ClientOutput::Event(ClientEvent::Ready) => self.ready = true,
                ClientOutput::Event(ClientEvent::Closed { reason }) => {
                    return Err(self.error(reason));
                }
                ClientOutput::Event(_) => {}
            }
        }
        Ok(())
    }
}

/// Publishes in real time for ever, with a number in every picture; `sent` is told the moment
/// before each is handed to the socket, so that no viewer can be earlier. Ends by being lost.
///
/// # Errors
/// The connection is lost.
pub async fn numbered(
    publisher: &mut Publisher,
    clip: &Clip,
    clock: &Clock,
    mut sent: impl FnMut(Mono),
) -> Result<std::convert::Infallible, BenchError> {
    let mut pace = Pace::new(clock.now().mono);
    let (mut rounds, mut number) = (clip.rounds(), 0u32);
    loop {
        let (m, at) = rounds.step();
        let due = pace.due(at);
        if due > clock.now().mono {
            clock.sleep_until(due).await;
        }
        if m.kind != TagKind::Video || m.once {
            publisher.send(m.kind, at, &m.body).await?;
            continue;
        }
        let body = stamp(&m.body, number);
        number += 1;
        sent(clock.now().mono);
        publisher.send(m.kind, at, &body).await?;
    }
}

/// What the pool did so far.
#[derive(Debug, Default)]
pub struct Tally {
    connected: AtomicUsize,
    sent_bytes: AtomicU64,
    /// How late each video message was handed to the socket, microseconds.
    late: Mutex<Vec<u64>>,
    lost: Mutex<Vec<String>>,
}

impl Tally {
    /// Publishers that have the server's consent.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Bytes of messages sent.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Takes the lateness of the video messages since the last call, microseconds.
    pub fn take_late(&self) -> Vec<u64> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why publishers were lost.
    pub fn lost(&self) -> Vec<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Publishers that run until this is dropped or stopped.
#[derive(Debug)]
pub struct Pool {
    /// What they did so far.
    pub tally: Arc<Tally>,
    tasks: Vec<JoinHandle<Option<()>>>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        for t in &self.tasks {
            t.abort();
        }
    }
}

impl Pool {
    /// Starts one publisher for each target; they begin spread over a few seconds.
    pub fn start(targets: &[Target], addr: SocketAddr, clip: &Arc<Clip>, clock: &Clock) -> Pool {
        let tally = Arc::new(Tally::default());
        let now = clock.now().mono;
        let tasks = targets.iter().enumerate().map(|(number, target)| {
            let (clip, clock, tally) = (clip.clone(), clock.clone(), tally.clone());
            let url = target.rtmp.clone();
            let begin = now.plus(RAMP.mul_f64(number as f64 / targets.len() as f64));
            task::spawn(format!("publisher {number}"), async move {
                clock.sleep_until(begin).await;
                let ended = publish(number, addr, &url, &clip, clock, &tally).await;
                let Err(e) = ended;
                tally.lost.lock().unwrap_or_else(PoisonError::into_inner).push(e.to_string());
            })
        });
        let tasks = tasks.collect();
        Pool { tally, tasks }
    }

    /// How long until every publisher has begun.
    pub fn ramp() -> Duration {
        RAMP
    }
}

/// Publishes for ever; ends by being lost.
async fn publish(
    number: usize,
    addr: SocketAddr,
    url: &RtmpUrl,
    clip: &Clip,
    clock: Clock,
    tally: &Tally,
) -> Result<std::convert::Infallible, BenchError> {
    let mut publisher = Publisher::connect(number, addr, url, clock.clone()).await?;
    tally.connected.fetch_add(1, Ordering::Relaxed);
    let mut pace = Pace::new(clock.now().mono);
    let mut rounds = clip.rounds();
    loop {
        let (Message { kind, body, once, .. }, at) = rounds.step();
        let due = pace.due(at);
        if due > clock.now().mono {
            clock.sleep_until(due).await;
        }
        publisher.send(*kind, at, body).await?;
        tally.sent_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        if *kind == TagKind::Video && !once {
            let late = clock.now().mono.since(due).as_micros() as u64;
            tally.late.lock().unwrap_or_else(PoisonError::into_inner).push(late);
        }
    }
}

/// Real time: when a message of a timestamp is due.
#[derive(Debug)]
pub struct Pace {
    begin: Mono,
}

impl Pace {
    /// The clip's first message is due at `begin`.
    pub fn new(begin: Mono) -> Pace {
        Pace { begin }
    }

    /// When a message is due; `at` in milliseconds.
    pub fn due(&mut self, at: u32) -> Mono {
        self.begin.plus(Duration::from_millis(u64::from(at)))
    }
}
