//! How late media is: a publisher that numbers its frames and notes when it sent each, a viewer
//! that notes when their bytes are there.

use crate::base::time::Mono;
use crate::bench::clip::{Clip, stamps};
use crate::bench::error::BenchError;
use crate::bench::playlist::{Cursor, Playlist};
use crate::bench::progress::Progress;
use crate::bench::publishers::{Publisher, numbered};
use crate::bench::server::Target;
use crate::bench::stats::{Summary, summary};
use crate::bench::viewer::{self, entry, get, pause, reload};
use crate::rt::clock::Clock;
use crate::rt::task;
use reqwest::{Client, StatusCode, Url};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between two looks for the first playlist: below a millisecond it would be load of its own.
const FIRST_LOOK: Duration = Duration::from_millis(5);

/// How long the first media may take: beyond any of the known servers by far.
const FIRST_MEDIA: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to publish and what to watch.
    pub target: Target,
    /// A playlist that shows media before the target's does: castctl's stable URL waits for a whole
    /// segment, because players take parts alone for an empty playlist.
    pub early: Option<String>,
    /// The publisher's socket.
    pub addr: SocketAddr,
    /// For how long, from the first media on.
    pub seconds: u64,
}

/// What came out; times in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Every frame: sent until its bytes were there, by way of the playlist.
    pub all_frames: Option<Summary>,
    /// The newest frame of each part.
    pub newest_frame: Option<Summary>,
    /// The newest frame of each part, until the request for the hinted part was answered.
    pub part_downloadable: Option<Summary>,
    /// From the server's consent to publish until media was listed.
    pub first_media_after_publish: Option<f64>,
    /// From the first key frame until media was listed.
    pub first_media_after_key_frame: Option<f64>,
    /// From the first key frame until the target's playlist was answered.
    pub playable_after_key_frame: Option<f64>,
    /// Frames sent until the viewer ended.
    pub frames_sent: usize,
    /// Frames the viewer got, from its first on.
    pub frames_seen: usize,
}

/// What publisher and viewer tell each other, and what they found.
#[derive(Debug, Default)]
struct Notes {
    consent: Option<Mono>,
    listed: Option<Mono>,
    playable: Option<Mono>,
    /// When each frame was handed to the socket.
    sent: Vec<Mono>,
    all: Vec<u64>,
    newest: Vec<u64>,
    hinted: Vec<u64>,
    failed: Option<String>,
}

type Shared = Arc<Mutex<Notes>>;

fn with<R>(notes: &Shared, f: impl FnOnce(&mut Notes) -> R) -> R {
    f(&mut notes.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Notes {
    /// How long ago each frame was sent, at `now`.
    fn delays(&self, frames: &[u32], now: Mono) -> Vec<u64> {
        let sent = frames.iter().filter_map(|n| self.sent.get(*n as usize));
        sent.map(|s| now.since(*s).as_micros() as u64).collect()
    }

    fn newest(&self, frames: &[u32], now: Mono) -> Option<u64> {
        self.delays(&[*frames.iter().max()?], now).pop()
    }

    fn report(&self) -> Report {
        let from = |from: Option<Mono>, until: Option<Mono>| {
            Some(until?.since(from?).as_micros() as f64 / 1000.0)
        };
        let key_frame = self.sent.first().copied();
        Report {
            all_frames: summary(&self.all),
            newest_frame: summary(&self.newest),
            part_downloadable: summary(&self.hinted),
            first_media_after_publish: from(self.consent, self.listed),
            first_media_after_key_frame: from(key_frame, self.listed),
            playable_after_key_frame: from(key_frame, self.playable),
            frames_sent: self.sent.len(),
            frames_seen: self.all.len(),
        }
    }
}

impl Plan {
    /// Measures.
    ///
    /// # Errors
    /// The publisher is lost, or the viewer sees nothing.
    pub async fn run(
        &self,
        clip: Arc<Clip>,
        clock: &Clock,
        progress: &Progress,
    ) -> Result<Report, BenchError> {
        let playlist = &self.target.playlist;
        let no = |why: String| BenchError::Viewer { url: playlist.clone(), why };
        let parse = |u: &str| Url::parse(u).map_err(|e| no(e.to_string()));
        let target = parse(playlist)?;
        let url = parse(self.early.as_ref().unwrap_or(playlist))?;
        let http = viewer::client().map_err(|e| no(e.to_string()))?;
        let notes = Shared::default();
        progress.say("waiting for the first media".into());
        let publish = publish(self.clone(), clip, clock.clone(), notes.clone());
        let publish = task::spawn("publisher", publish);
        let playable = playable(http.clone(), clock.clone(), target, notes.clone());
        let playable = task::spawn("entry", playable);
        let watching = watch(http, clock.clone(), url, notes.clone());
        let watching = task::spawn("viewer", watching);
        let listed = self.until_listed(clock, &notes).await;
        if listed {
            progress.say("measuring".into());
            let begin = clock.now().mono;
            for n in 1..=self.seconds {
                clock.sleep_until(begin.plus(Duration::from_secs(n))).await;
                progress.second();
            }
        }
        watching.abort();
        playable.abort();
        publish.abort();
        if let Some(why) = with(&notes, |n| n.failed.take()) {
            return Err(no(why));
        }
        if !listed {
            return Err(no(format!("saw no media in {} s", FIRST_MEDIA.as_secs())));
        }
        Ok(with(&notes, |n| n.report()))
    }

    async fn until_listed(&self, clock: &Clock, notes: &Shared) -> bool {
        let deadline = clock.now().mono.plus(FIRST_MEDIA);
        while clock.now().mono < deadline {
            let (listed, failed) = with(notes, |n| (n.listed.is_some(), n.failed.is_some()));
            if listed || failed {
                return listed;
            }
            pause(clock, Duration::from_millis(50)).await;
        }
        false
    }
}

/// Publishes in real time, with a number in every frame; a failure is noted.
async fn publish(plan: Plan, clip: Arc<Clip>, clock: Clock, notes: Shared) {
    let Err(e) = send(&plan, &clip, &clock, &notes).await;
    with(&notes, |n| n.failed = Some(format!("lost its publisher: {e}")));
}

async fn send(
    plan: &Plan,
    clip: &Clip,
    clock: &Clock,
    notes: &Shared,
) -> Result<std::convert::Infallible, BenchError> {
    let mut publisher = Publisher::connect(0, plan.addr, &plan.target.rtmp, clock.clone()).await?;
    let begin = clock.now().mono;
    with(notes, |n| n.consent = Some(begin));
    numbered(&mut publisher, clip, clock, |at| with(notes, |n| n.sent.push(at))).await
}

/// Notes when a player that knows the target's playlist can begin.
async fn playable(http: Client, clock: Clock, target: Url, notes: Shared) {
    entry(&http, &clock, &target, FIRST_LOOK).await;
    with(&notes, |n| n.playable = Some(clock.now().mono));
}

/// Watches the rendition that has the frames.
async fn watch(http: Client, clock: Clock, url: Url, notes: Shared) {
    let urls = entry(&http, &clock, &url, FIRST_LOOK).await;
    let (url, mut cursor) = frames_in(&http, &clock, &urls, &notes).await;
    let mut ask = reload(&url, cursor);
    let mut hinted = None;
    loop {
        let Ok(a) = get(&http, &clock, ask.clone()).await else {
            pause(&clock, FIRST_LOOK).await;
            continue;
        };
        let list = Playlist::parse(&String::from_utf8_lossy(&a.body));
        for uri in list.since(cursor) {
            let Ok(media) = url.join(uri) else { continue };
            let Ok(a) = get(&http, &clock, media).await else { continue };
            let frames = stamps(&a.body);
            with(&notes, |n| {
                let (all, newest) = (n.delays(&frames, a.whole), n.newest(&frames, a.whole));
                n.all.extend(all);
                n.newest.extend(newest);
            });
        }
        cursor = list.edge().max(cursor);
        if list.hint != hinted
            && let Some(media) = list.hint.as_deref().and_then(|u| url.join(u).ok())
        {
            // Ends by itself: the part comes, or the server stops holding the request.
            task::spawn("hint", hint(http.clone(), clock.clone(), media, notes.clone()));
            hinted.clone_from(&list.hint);
        }
        if list.can_block {
            ask = reload(&url, list.edge());
        } else {
            ask = url.clone();
            pause(&clock, Duration::from_millis(50)).await;
        }
    }
}

/// Waits for the first media; answers the playlist whose media has numbered frames, and its edge.
async fn frames_in(http: &Client, clock: &Clock, urls: &[Url], notes: &Shared) -> (Url, Cursor) {
    loop {
        for url in urls {
            let Ok(a) = get(http, clock, url.clone()).await else { continue };
            let list = Playlist::parse(&String::from_utf8_lossy(&a.body));
            if a.status != StatusCode::OK || list.segments.is_empty() {
                continue;
            }
            with(notes, |n| n.listed = n.listed.or(Some(a.whole)));
            for uri in list.since(list.newest()) {
                let Ok(media) = url.join(uri) else { continue };
                let Ok(a) = get(http, clock, media).await else { continue };
                if !stamps(&a.body).is_empty() {
                    return (url.clone(), list.edge());
                }
            }
        }
        pause(clock, FIRST_LOOK).await;
    }
}

/// Asks for a part before it is there.
async fn hint(http: Client, clock: Clock, media: Url, notes: Shared) {
    let Ok(a) = get(&http, &clock, media).await else { return };
    let frames = stamps(&a.body);
    with(&notes, |n| {
        let delay = n.newest(&frames, a.head);
        n.hinted.extend(delay);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_from_the_sending_of_the_frame() {
        let sent = [1000, 34_000, 67_000].map(Mono).to_vec();
        let (consent, listed) = (Some(Mono(500)), Some(Mono(201_000)));
        let playable = Some(Mono(2_001_000));
        let mut notes = Notes { consent, listed, playable, sent, ..Notes::default() };
        assert_eq!(notes.delays(&[0, 1, 9], Mono(100_000)), [99_000, 66_000]);
        assert_eq!(notes.newest(&[0, 2, 1], Mono(100_000)), Some(33_000));
        assert_eq!(notes.newest(&[], Mono(100_000)), None);
        notes.newest = vec![33_000];
        let report = notes.report();
        assert_eq!(report.first_media_after_publish, Some(200.5));
        assert_eq!(report.first_media_after_key_frame, Some(200.0));
        assert_eq!(report.playable_after_key_frame, Some(2000.0));
        assert_eq!((report.frames_sent, report.frames_seen), (3, 0));
        assert!(report.all_frames.is_none());
    }
}
