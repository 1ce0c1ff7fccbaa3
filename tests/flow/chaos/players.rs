//! A pool of players that keep to the protocol to the letter: one a channel, through the balancer.
//! Blocking reloads, every part, the time-outs and retries of hls.js 1.6's default policies. What
//! hls.js would end playing for is fatal here.

use crate::chaos::playback::Playback;
use crate::chaos::rendition::{Item, Known};
use crate::oracle::playlist;
use castctl::base::time::Mono;
use castctl::rt::clock::Clock;
use castctl::rt::task;
use reqwest::{Client, StatusCode, Url};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// `maxTimeToFirstByteMs` of playlists and fragments.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// `maxLoadTimeMs` of a manifest, which waits for a session's first media here.
const MANIFEST: Duration = Duration::from_secs(20);

/// `errorRetry.retryDelayMs`.
const AGAIN: Duration = Duration::from_secs(1);

/// `maxNumRetry` of playlists, after errors as after time-outs.
const PLAYLIST_TRIES: u32 = 2;

/// `maxNumRetry` of fragments after errors.
const FRAGMENT_TRIES: u32 = 6;

/// How often a player's clock is looked at.
const TICK: Duration = Duration::from_millis(25);

/// What a player saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) playback: Playback,
    pub(crate) fatal: Vec<String>,
    /// What was tried again, by what it was.
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) parts: u64,
}

/// One player.
pub(crate) struct Player {
    pub(crate) channel: String,
    http: Client,
    clock: Clock,
    seen: Mutex<Seen>,
    stop: watch::Receiver<bool>,
}

/// Why something was not loaded.
enum Missed {
    Timeout,
    Status(StatusCode),
    Lost,
}

impl Missed {
    fn name(&self) -> String {
        match self {
            Missed::Timeout => "timed out".into(),
            Missed::Status(status) => status.as_u16().to_string(),
            Missed::Lost => "connection lost".into(),
        }
    }

    /// hls.js tries again what has no status, and what is the server's fault.
    fn is_final(&self) -> bool {
        matches!(self, Missed::Status(status) if !status.is_server_error())
    }
}

impl Player {
    /// A player of a channel at a balancer; it plays until `stop`.
    pub(crate) fn new(channel: &str, clock: Clock, stop: watch::Receiver<bool>) -> Arc<Player> {
        let http = Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
        let (channel, playback) = (channel.to_owned(), Playback::new(2));
        let (fatal, errors, parts) = (Vec::new(), BTreeMap::new(), 0);
        let seen = Mutex::new(Seen { playback, fatal, errors, parts });
        Arc::new(Player { channel, http, clock, seen, stop })
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Mono {
        self.clock.now().mono
    }

    fn error(&self, what: &str, missed: &Missed) {
        let name = format!("{what} {}", missed.name());
        *self.seen().errors.entry(name).or_default() += 1;
    }

    fn fatal(&self, what: String) {
        let at = self.now().0 as f64 / 1e6;
        self.seen().fatal.push(format!("{} at {at:.1} s: {what}", self.channel));
    }

    /// Plays until it is told to stop.
    pub(crate) async fn play(self: Arc<Player>, base: Url) {
        let mut stop = self.stop.clone();
        let playing = async {
            let Some(lists) = self.manifest(&base).await else { return };
            let loaders = lists.into_iter().enumerate().map(|(track, list)| {
                let player = Arc::clone(&self);
                task::spawn(format!("{} {list}", self.channel), player.follow(track, list))
            });
            let _loaders: Vec<_> = loaders.map(Loader).collect();
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                let now = self.now();
                self.seen().playback.tick(now);
            }
        };
        tokio::select! {
            () = playing => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        let now = self.now();
        self.seen().playback.close(now);
    }

    async fn load(&self, url: Url, limit: Duration) -> Result<(Url, Vec<u8>), Missed> {
        let got = async {
            let lost = |_: reqwest::Error| Missed::Lost;
            let answer = self.http.get(url).send().await.map_err(lost)?;
            let (status, url) = (answer.status(), answer.url().clone());
            if status != StatusCode::OK {
                return Err(Missed::Status(status));
            }
            Ok((url, answer.bytes().await.map_err(lost)?.to_vec()))
        };
        tokio::time::timeout(limit, got).await.unwrap_or(Err(Missed::Timeout))
    }

    async fn pause(&self) {
        self.clock.sleep_until(self.now().plus(AGAIN)).await;
    }

    /// The media playlists; a page asks for a channel's entry until it is there.
    async fn manifest(&self, base: &Url) -> Option<Vec<Url>> {
        let entry = base.join(&format!("live/{}/index.m3u8", self.channel)).expect("a URL");
        loop {
            match self.load(entry.clone(), MANIFEST).await {
                Ok((url, text)) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    match playlist::multivariant(&text) {
                        Ok((uris, _)) if uris.len() == 2 => {
                            return uris.iter().map(|uri| url.join(uri).ok()).collect();
                        }
                        other => self.fatal(format!("the manifest: {other:?}")),
                    }
                    return None;
                }
                Err(missed) => self.error("manifest", &missed),
            }
            self.pause().await;
        }
    }

    /// Follows one rendition until something is fatal.
    async fn follow(self: Arc<Player>, track: usize, list: Url) {
        let mut known = Known::default();
        let (mut ask, mut limit, mut tries) = (list.clone(), FIRST_BYTE, 0);
        loop {
            let blocks = ask.query().is_some();
            match self.load(ask.clone(), limit).await {
                Ok((_, text)) => {
                    tries = 0;
                    let text = String::from_utf8_lossy(&text).into_owned();
                    let next = match self.take(track, &list, &mut known, &text).await {
                        Ok(next) => next,
                        Err(why) => return self.fatal(format!("{list}: {why}")),
                    };
                    limit = FIRST_BYTE.min(known.patience());
                    ask = list.clone();
                    ask.set_query(Some(&format!("_HLS_msn={}&_HLS_part={}", next.0, next.1)));
                }
                Err(missed) => {
                    self.error("playlist", &missed);
                    tries += 1;
                    if missed.is_final() || tries > PLAYLIST_TRIES {
                        let (name, query) = (missed.name(), ask.query().unwrap_or_default());
                        return self.fatal(format!("{list}?{query}: {name}, {tries} times"));
                    }
                    // A blocked reload that took too long is asked again at once, and plainly.
                    if !(blocks && matches!(missed, Missed::Timeout)) {
                        self.pause().await;
                    }
                    (ask, limit) = (list.clone(), FIRST_BYTE);
                }
            }
        }
    }

    /// A new version: loads what is new of it; what to ask for next.
    async fn take(
        &self,
        track: usize,
        list: &Url,
        known: &mut Known,
        text: &str,
    ) -> Result<(u64, u64), String> {
        let read = playlist::parse(text)?;
        if read.ended {
            return Err("the playlist has ended".into());
        }
        let place = self.seen().playback.place();
        let news = known.update(&read, place)?;
        if known.went_back {
            let mut seen = self.seen();
            *seen.errors.entry("playlist behind the one before".into()).or_default() += 1;
        }
        self.seen().playback.listed(known.edge(), known.distance(&read));
        for item in news {
            let (from, to) = (item.from, item.to);
            match self.item(list, &item).await {
                Ok(gap) => self.seen().playback.add(track, (from, to), gap),
                Err(missed) => return Err(format!("{}: {}", item.uri, missed.name())),
            }
        }
        read.next().ok_or_else(|| "an empty playlist".to_owned())
    }

    /// Loads a part or segment; true where it is a gap.
    async fn item(&self, list: &Url, item: &Item) -> Result<bool, Missed> {
        if item.gap {
            return Ok(true);
        }
        let url = list.join(&item.uri).map_err(|_| Missed::Lost)?;
        let mut tries = 0;
        loop {
            match self.load(url.clone(), FIRST_BYTE).await {
                Ok(_) => {
                    self.seen().parts += 1;
                    return Ok(false);
                }
                Err(missed) => {
                    self.error("media", &missed);
                    tries += 1;
                    if missed.is_final() || tries > FRAGMENT_TRIES {
                        return Err(missed);
                    }
                    if !matches!(missed, Missed::Timeout) {
                        self.pause().await;
                    }
                }
            }
        }
    }
}

/// A task that ends with its player.
struct Loader(tokio::task::JoinHandle<Option<()>>);

impl Drop for Loader {
    fn drop(&mut self) {
        self.0.abort();
    }
}
