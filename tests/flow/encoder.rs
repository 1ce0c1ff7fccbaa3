//! An encoder whose every byte the test decides: publishes FLV tags over RTMP, in real time or as
//! fast as the server takes them, and hears what the server says.

use bytes::BufMut;
use castctl::base::time::Mono;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::rt::clock::Clock;
use castctl::rtmp::client::{ClientEvent, ClientOutput, ClientSession};
use castctl::rtmp::error::SessionError;
use castctl::rtmp::url::RtmpUrl;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A publishing connection. Dropping it is what pulling the cable looks like.
pub(crate) struct Encoder {
    session: ClientSession,
    stream: TcpStream,
    clock: Clock,
    ended: Option<SessionError>,
    /// Bytes that were written to the socket.
    sent: u64,
}

impl Encoder {
    /// Connects to `/live/{key}` and waits until the server consents.
    pub(crate) async fn connect(addr: SocketAddr, key: &str) -> Result<Encoder, SessionError> {
        Encoder::to(addr, &format!("live/{key}")).await
    }

    /// Connects to any path.
    pub(crate) async fn to(addr: SocketAddr, path: &str) -> Result<Encoder, SessionError> {
        let url: RtmpUrl = format!("rtmp://{addr}/{path}").parse().expect("an RTMP URL");
        let clock = Clock::system();
        let session = ClientSession::publish(&url, clock.now().mono)?;
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let mut encoder = Encoder { session, stream, clock, ended: None, sent: 0 };
        let mut ready = encoder.drain().await;
        while !ready {
            encoder.read().await?;
            ready = encoder.drain().await;
            if let Some(e) = encoder.ended.clone() {
                return Err(e);
            }
        }
        Ok(encoder)
    }

    /// Writes and tells; true when the server's consent was among it.
    async fn drain(&mut self) -> bool {
        let mut ready = false;
        while let Some(out) = self.session.poll_output() {
            match out {
                ClientOutput::Send(bytes) => {
                    self.sent += bytes.len() as u64;
                    // A server that has hung up is seen by reading.
                    let _ = self.stream.write_all(&bytes).await;
                }
                ClientOutput::Event(ClientEvent::Ready) => ready = true,
                ClientOutput::Event(ClientEvent::Closed { reason }) => self.ended = Some(reason),
                ClientOutput::Event(_) => {}
            }
        }
        ready
    }

    async fn read(&mut self) -> Result<(), SessionError> {
        let n = self.stream.read_buf(self.session.input_buf()).await.unwrap_or(0);
        self.session.process(self.clock.now().mono);
        if n == 0 {
            return Err(SessionError::Ended {
                code: "closed".into(),
                description: "the socket was closed".into(),
            });
        }
        Ok(())
    }

    /// Asks the server to acknowledge every so many bytes.
    pub(crate) async fn ask_acknowledgements(&mut self, every: u32) {
        self.session.ask_acknowledgements(every);
        self.drain().await;
    }

    /// Bytes that were sent, and how many of them the server says it has.
    pub(crate) fn acknowledged(&self) -> (u64, u64) {
        (self.sent, self.session.acknowledged().into())
    }

    /// Takes in what has arrived.
    pub(crate) async fn listen(&mut self) -> Result<(), SessionError> {
        while self.ended.is_none() {
            let mut buf = [0; 4096];
            match self.stream.try_read(&mut buf) {
                Ok(0) => return self.over().await.map_or(Ok(()), Err),
                Ok(n) => {
                    self.session.input_buf().put_slice(&buf[..n]);
                    self.session.process(self.clock.now().mono);
                    self.drain().await;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return self.over().await.map_or(Ok(()), Err),
            }
        }
        self.ended.clone().map_or(Ok(()), Err)
    }

    /// Sends one tag, at `timestamp` in milliseconds modulo 2^32.
    pub(crate) async fn send(&mut self, tag: &Tag, timestamp: u32) -> Result<(), SessionError> {
        match tag.kind {
            TagKind::Video => self.session.send_video(timestamp, &tag.body)?,
            TagKind::Audio => self.session.send_audio(timestamp, &tag.body)?,
            TagKind::Script => self.session.send_script(timestamp, &tag.body)?,
        }
        self.drain().await;
        self.listen().await
    }

    /// Sends tags in real time: a tag's own timestamp says when, `stamp` what it is called.
    pub(crate) async fn real_time(
        &mut self,
        tags: &[Tag],
        stamp: impl Fn(u32) -> u32,
    ) -> Result<(), SessionError> {
        let first = tags.first().map_or(0, |t| t.timestamp);
        let start = self.clock.now().mono;
        for tag in tags {
            let due = Duration::from_millis(tag.timestamp.saturating_sub(first).into());
            self.pause_until(start.plus(due)).await;
            self.send(tag, stamp(tag.timestamp)).await?;
        }
        Ok(())
    }

    async fn pause_until(&self, at: Mono) {
        self.clock.sleep_until(at).await;
    }

    /// Sends tags as fast as they are taken.
    pub(crate) async fn at_once(&mut self, tags: &[Tag]) -> Result<(), SessionError> {
        for tag in tags {
            self.send(tag, tag.timestamp).await?;
        }
        Ok(())
    }

    /// Waits for the server to end it; its words.
    pub(crate) async fn over(&mut self) -> Option<SessionError> {
        while self.ended.is_none() {
            if let Err(e) = self.read().await {
                self.drain().await;
                return self.ended.clone().or(Some(e));
            }
            self.drain().await;
        }
        self.ended.clone()
    }

    /// Ends the stream in good order, and waits until the server has read it all and hung up.
    pub(crate) async fn finished(mut self) {
        self.session.finish();
        self.drain().await;
        let _ = self.stream.shutdown().await;
        while self.read().await.is_ok() {
            self.drain().await;
        }
    }

    /// Ends the stream in good order.
    pub(crate) async fn finish(mut self) {
        self.session.finish();
        self.drain().await;
        let _ = self.stream.shutdown().await;
    }
}

/// An encoder that connects again whenever it is cut off, as OBS does.
pub(crate) async fn stubborn(addr: SocketAddr, key: String, tags: Vec<Tag>) {
    roaming(vec![addr], key, tags).await;
}

/// As [`stubborn`], with a load balancer in front of several origins: the next try is at the next.
pub(crate) async fn roaming(addrs: Vec<SocketAddr>, key: String, tags: Vec<Tag>) {
    for addr in addrs.iter().cycle() {
        if tokio::net::TcpStream::connect(addr).await.is_err() {
            tokio::task::yield_now().await;
            continue;
        }
        let Ok(mut encoder) = Encoder::connect(*addr, &key).await else { continue };
        let _ = encoder.real_time(&tags, |t| t).await;
    }
}
