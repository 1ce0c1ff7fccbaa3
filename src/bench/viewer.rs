//! Viewers that follow the live edge as a low-latency player does: blocking reloads and every part
//! where the server offers them, else the playlist every half target duration and every segment.

use crate::base::time::Mono;
use crate::bench::playlist::{Cursor, Playlist, renditions};
use crate::rt::clock::Clock;
use crate::rt::task;
use bytes::Bytes;
use reqwest::{Client, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pause before asking again for what is not there yet, or failed.
const RETRY: Duration = Duration::from_millis(200);

/// Longer than a server holds a request for three target durations of 4 s.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP client as the viewers use it.
///
/// # Errors
/// The TLS library could not be set up.
pub fn client() -> reqwest::Result<Client> {
    Client::builder().timeout(TIMEOUT).no_proxy().tcp_nodelay(true).build()
}

/// What the viewers got so far.
#[derive(Debug, Default)]
pub struct Tally {
    playlists: AtomicU64,
    media: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

/// A moment of a tally.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Playlists.
    pub playlists: u64,
    /// Parts and segments.
    pub media: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Answers other than 200 after the first playlist.
    pub errors: u64,
}

impl Seen {
    /// What came between two moments.
    pub fn since(self, earlier: Seen) -> Seen {
        Seen {
            playlists: self.playlists - earlier.playlists,
            media: self.media - earlier.media,
            bytes: self.bytes - earlier.bytes,
            errors: self.errors - earlier.errors,
        }
    }
}

impl Tally {
    /// A playlist came.
    pub fn playlist(&self) {
        self.playlists.fetch_add(1, Ordering::Relaxed);
    }

    /// A part or segment of so many bytes came.
    pub fn media(&self, bytes: u64) {
        self.media.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An answer was none.
    pub fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// What the viewers got so far.
    pub fn seen(&self) -> Seen {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Seen {
            playlists: get(&self.playlists),
            media: get(&self.media),
            bytes: get(&self.bytes),
            errors: get(&self.errors),
        }
    }
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// Where it came from after redirects.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// When its head was there.
    pub head: Mono,
    /// When all of it was there.
    pub whole: Mono,
    /// The body.
    pub body: Bytes,
}

/// Fetches a URL.
///
/// # Errors
/// No answer, or not all of it.
pub async fn get(http: &Client, clock: &Clock, url: Url) -> reqwest::Result<Answer> {
    let response = http.get(url).send().await?;
    let (head, status, url) = (clock.now().mono, response.status(), response.url().clone());
    let body = response.bytes().await?;
    Ok(Answer { url, status, head, whole: clock.now().mono, body })
}

/// Viewers of one stream, one task a rendition. Ends when dropped.
#[derive(Debug)]
pub struct Viewer {
    task: JoinHandle<Option<()>>,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Viewer {
    /// Watches every rendition of a playlist, from when it is there.
    pub fn start(http: Client, url: Url, clock: Clock, tally: Arc<Tally>) -> Viewer {
        let name = format!("viewer {}", url.path());
        let task = task::spawn(name, async move {
            let urls = entry(&http, &clock, &url, RETRY).await;
            let mut followers = Vec::new();
            for url in urls {
                let (http, clock, tally) = (http.clone(), clock.clone(), tally.clone());
                let follow = async move { follow(&http, &clock, url, &tally).await };
                followers.push(Follower(task::spawn("rendition", follow)));
            }
            std::future::pending::<()>().await;
        });
        Viewer { task }
    }
}

/// A task that ends with its handle.
struct Follower(JoinHandle<Option<()>>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until the playlist is there; answers its media playlists (itself, if it is one).
pub async fn entry(http: &Client, clock: &Clock, url: &Url, retry: Duration) -> Vec<Url> {
    loop {
        if let Ok(a) = get(http, clock, url.clone()).await
            && a.status == StatusCode::OK
        {
            let text = String::from_utf8_lossy(&a.body);
            let urls = match renditions(&text) {
                Some(uris) => uris.iter().filter_map(|u| a.url.join(u).ok()).collect(),
                None => vec![a.url.clone()],
            };
            if !urls.is_empty() {
                return urls;
            }
        }
        pause(clock, retry).await;
    }
}

/// Waits this long.
pub async fn pause(clock: &Clock, time: Duration) {
    clock.sleep_until(clock.now().mono.plus(time)).await;
}

/// The URL of a blocking reload.
pub fn reload(url: &Url, edge: Cursor) -> Url {
    let mut url = url.clone();
    let Cursor { msn, part } = edge;
    url.query_pairs_mut()
        .append_pair("_HLS_msn", &msn.to_string())
        .append_pair("_HLS_part", &part.to_string());
    url
}

/// Follows one media playlist until it ends.
async fn follow(http: &Client, clock: &Clock, url: Url, tally: &Tally) {
    let mut cursor = None;
    let mut ask = url.clone();
    loop {
        let list = match get(http, clock, ask.clone()).await {
            Ok(a) if a.status == StatusCode::OK => {
                tally.playlist();
                Playlist::parse(&String::from_utf8_lossy(&a.body))
            }
            _ => {
                tally.error();
                pause(clock, RETRY).await;
                continue;
            }
        };
        for uri in list.since(*cursor.get_or_insert_with(|| list.newest())) {
            let Ok(media) = url.join(uri) else { continue };
            match get(http, clock, media).await {
                Ok(a) if a.status == StatusCode::OK => {
                    tally.media(a.body.len() as u64);
                }
                _ => tally.error(),
            }
        }
        cursor = Some(list.edge());
        if list.ended {
            return;
        }
        if list.can_block {
            ask = reload(&url, list.edge());
        } else {
            pause(clock, Duration::from_millis(list.target.max(1) * 500)).await;
        }
    }
}
