//! Many viewers of one channel, each as cheap as can be: a connection for each of its renditions,
//! on which it follows the live edge by blocking reload, delta updates and every part. What reaches
//! the last of them when is noted part by part.

use crate::base::time::Mono;
use crate::bench::clip::stamps;
use crate::bench::playlist::Playlist;
use crate::bench::viewer::{Tally, pause};
use crate::rt::clock::Clock;
use crate::rt::task;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Pause before a viewer whose answer was none begins again.
const AGAIN: Duration = Duration::from_millis(200);

/// When each picture was sent, and when parts with them reached the viewers.
#[derive(Debug, Default)]
pub struct Fan {
    /// How many are to be reached.
    viewers: usize,
    sent: Vec<Mono>,
    parts: HashMap<String, Reach>,
    /// Microseconds from the sending of the picture that completed a part until the last viewer had
    /// the first byte of the playlist that lists it.
    listed: Vec<u64>,
    /// The same until the first byte of the part itself.
    arrived: Vec<u64>,
}

/// One part on its way.
#[derive(Debug, Default)]
struct Reach {
    /// A viewer reads its pictures' numbers for all.
    is_read: bool,
    newest: Option<u32>,
    listed: Last,
    arrived: Last,
}

/// How many have it, and when the last of them got it.
#[derive(Debug, Default)]
struct Last {
    count: usize,
    at: Mono,
}

impl Last {
    fn one_more(&mut self, at: Mono) {
        self.count += 1;
        self.at = at.max(self.at);
    }
}

impl Fan {
    /// A picture is handed to the socket.
    pub fn sent(&mut self, at: Mono) {
        self.sent.push(at);
    }

    /// From now on so many viewers are there.
    pub fn begin(&mut self, viewers: usize) {
        *self = Fan { viewers, sent: std::mem::take(&mut self.sent), ..Fan::default() };
    }

    /// The delays since the beginning in microseconds: until the last viewer's playlist, and until
    /// its part.
    pub fn take(&mut self) -> (Vec<u64>, Vec<u64>) {
        (std::mem::take(&mut self.listed), std::mem::take(&mut self.arrived))
    }

    /// A viewer got the first byte of the playlist that lists a part.
    fn listed(&mut self, uri: &str, at: Mono) {
        if self.viewers == 0 {
            return;
        }
        match self.parts.get_mut(uri) {
            Some(reach) => reach.listed.one_more(at),
            None => {
                let listed = Last { count: 1, at };
                self.parts.insert(uri.to_owned(), Reach { listed, ..Reach::default() });
            }
        }
    }

    /// A viewer got the first byte of a part; `true` when it should read its pictures for all.
    fn arrived(&mut self, uri: &str, at: Mono) -> bool {
        let Some(reach) = self.parts.get_mut(uri) else { return false };
        reach.arrived.one_more(at);
        !std::mem::replace(&mut reach.is_read, true)
    }

    /// The pictures in a part.
    fn pictures(&mut self, uri: &str, numbers: &[u32]) {
        match (self.parts.get_mut(uri), numbers.iter().max()) {
            (Some(reach), Some(newest)) => reach.newest = Some(*newest),
            // Sound: it has no numbers.
            _ => drop(self.parts.remove(uri)),
        }
        self.settle(uri);
    }

    /// Takes a part's figures once everybody has it.
    fn settle(&mut self, uri: &str) {
        let Some(reach) = self.parts.get(uri) else { return };
        let sent = reach.newest.and_then(|n| self.sent.get(n as usize));
        let everybody = reach.arrived.count >= self.viewers && reach.listed.count >= self.viewers;
        if let (Some(sent), true) = (sent, everybody) {
            let since = |last: &Last| last.at.since(*sent).as_micros() as u64;
            self.listed.push(since(&reach.listed));
            self.arrived.push(since(&reach.arrived));
            self.parts.remove(uri);
        }
    }
}

/// What the crowd shares.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Counts.
    pub tally: Arc<Tally>,
    /// Times.
    pub fan: Arc<Mutex<Fan>>,
    /// The clock of both.
    pub clock: Clock,
}

impl Shared {
    /// Nothing is counted yet.
    pub fn new(clock: Clock) -> Shared {
        Shared { tally: Arc::default(), fan: Arc::default(), clock }
    }

    /// Looks at the times.
    pub fn fan<R>(&self, f: impl FnOnce(&mut Fan) -> R) -> R {
        f(&mut self.fan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The viewers. They leave when dropped.
#[derive(Debug)]
pub struct Crowd {
    tasks: Vec<JoinHandle<Option<()>>>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Crowd {
    /// Viewers of these media playlists of one server; they come one by one over `ramp`.
    pub fn start(
        addr: SocketAddr,
        playlists: &[Url],
        viewers: usize,
        ramp: Duration,
        shared: &Shared,
    ) -> Crowd {
        let begin = shared.clock.now().mono;
        let mut tasks = Vec::new();
        for n in 0..viewers {
            let at = begin.plus(ramp.mul_f64(n as f64 / viewers as f64));
            for playlist in playlists {
                let (playlist, shared) = (playlist.clone(), shared.clone());
                tasks.push(task::spawn(format!("viewer {n}"), async move {
                    shared.clock.sleep_until(at).await;
                    Viewer { addr, playlist, shared }.watch().await;
                }));
            }
        }
        Crowd { tasks }
    }
}

/// An answer was none: no connection, a status that is not 200, a body that broke off.
#[derive(Debug)]
struct Lost;

/// One viewer's look at one rendition.
struct Viewer {
    addr: SocketAddr,
    playlist: Url,
    shared: Shared,
}

impl Viewer {
    /// Watches until the playlist ends.
    async fn watch(&self) {
        while self.connection().await.is_err() {
            self.shared.tally.error();
            pause(&self.shared.clock, AGAIN).await;
        }
    }

    async fn connection(&self) -> Result<(), Lost> {
        let stream = TcpStream::connect(self.addr).await.map_err(|_| Lost)?;
        stream.set_nodelay(true).map_err(|_| Lost)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Lost)?;
        // In one task: no wake-up passes from one to another.
        tokio::select! {
            _ = connection => Err(Lost),
            done = self.follow(requests) => done,
        }
    }

    /// Follows the live edge from the newest part on.
    async fn follow(&self, mut requests: SendRequest<Empty<Bytes>>) -> Result<(), Lost> {
        let path = self.playlist.path();
        let (mut ask, mut cursor) = (path.to_owned(), None);
        loop {
            let (answer, at) = self.get(&mut requests, &ask).await?;
            let text = answer.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
            self.shared.tally.playlist();
            let list = Playlist::parse(&String::from_utf8_lossy(&text));
            for uri in list.since(*cursor.get_or_insert_with(|| list.newest())) {
                self.shared.fan(|f| f.listed(uri, at));
                self.media(&mut requests, uri).await?;
            }
            if list.ended {
                return Ok(());
            }
            let edge = list.edge();
            cursor = Some(edge);
            let skip = if list.can_skip { "&_HLS_skip=YES" } else { "" };
            ask = format!("{path}?_HLS_msn={}&_HLS_part={}{skip}", edge.msn, edge.part);
        }
    }

    /// Fetches a part or segment and lets it go.
    async fn media(&self, requests: &mut SendRequest<Empty<Bytes>>, uri: &str) -> Result<(), Lost> {
        let url = self.playlist.join(uri).map_err(|_| Lost)?;
        let (answer, at) = self.get(requests, url.path()).await?;
        let read = self.shared.fan(|f| f.arrived(uri, at));
        let (mut body, mut count, mut kept) = (answer.into_body(), 0, Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Lost)?;
            let Some(bytes) = frame.data_ref() else { continue };
            count += bytes.len() as u64;
            if read {
                kept.extend_from_slice(bytes);
            }
        }
        self.shared.tally.media(count);
        self.shared.fan(|f| match read {
            true => f.pictures(uri, &stamps(&kept)),
            false => f.settle(uri),
        });
        Ok(())
    }

    /// Asks; the answer's head is there at the moment that comes with it.
    async fn get(
        &self,
        requests: &mut SendRequest<Empty<Bytes>>,
        path: &str,
    ) -> Result<(Response<Incoming>, Mono), Lost> {
        let host = self.playlist.host_str().unwrap_or_default();
        let request = Request::get(path).header(HOST, host).body(Empty::new());
        requests.ready().await.map_err(|_| Lost)?;
        let answer = requests.send_request(request.map_err(|_| Lost)?).await.map_err(|_| Lost)?;
        let at = self.shared.clock.now().mono;
        match answer.status() {
            StatusCode::OK => Ok((answer, at)),
            _ => Err(Lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_viewer_of_a_part_counts() {
        let mut fan = Fan::default();
        for at in [1_000, 34_000, 67_000] {
            fan.sent(Mono(at));
        }
        // Nobody is counted before the beginning.
        fan.listed("p0", Mono(1));
        assert!(!fan.arrived("p0", Mono(2)));
        fan.begin(2);
        fan.listed("p1", Mono(70_000));
        assert!(fan.arrived("p1", Mono(71_000)));
        fan.pictures("p1", &[1, 2]);
        assert_eq!(fan.take(), (vec![], vec![]), "one of two has it");
        fan.listed("p1", Mono(72_000));
        assert!(!fan.arrived("p1", Mono(77_000)));
        fan.settle("p1");
        assert_eq!(fan.take(), (vec![5_000], vec![10_000]));
        assert!(fan.parts.is_empty());
        fan.listed("sound", Mono(80_000));
        fan.arrived("sound", Mono(80_000));
        fan.pictures("sound", &[]);
        assert!(fan.parts.is_empty() && fan.take().0.is_empty());
    }

    #[test]
    fn a_part_counts_when_the_last_has_it_and_its_pictures_are_known() {
        let mut fan = Fan::default();
        fan.sent(Mono(0));
        fan.begin(1);
        fan.listed("p", Mono(3));
        fan.arrived("p", Mono(4));
        fan.settle("p");
        assert!(fan.take().0.is_empty(), "whose picture was it?");
        fan.pictures("p", &[0]);
        assert_eq!(fan.take(), (vec![3], vec![4]));
    }
}
