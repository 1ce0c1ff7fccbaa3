//! The watch's hands: asks servers for playlists and media and writes the answers into the ledger.
//! Decides nothing.

use super::ledger::{Claim, Ledger, Want, WantKind};
use super::playlist::Playlist;
use super::{Exception, NOBODY};
use castctl::rt::clock::Clock;
use reqwest::{Client, Response, StatusCode, Url};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after an answer that is no playlist, and between two looks for a new session.
const RETRY: Duration = Duration::from_millis(200);

/// Pause between two plain polls: not a multiple of any part length, so that it wanders over them.
const POLL: Duration = Duration::from_millis(670);

/// No answer may take longer; above the longest hold of a blocked reload (3 target durations).
const ANSWER: Duration = Duration::from_secs(30);

/// How long media that is listed may be refused where nodes are away knowingly: they are stopped or
/// cut off for 10 s, and a lease later all edges have found them again.
const NODE_AWAY: i64 = 15_000_000;

/// Downloads at a time.
const DOWNLOADS: usize = 16;

/// How an answer is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// As it is.
    Now,
    /// A node may be away that has it.
    Knowingly,
    /// Nobody asks again.
    Last,
}

/// What came of asking.
enum Came {
    /// It is written down.
    Something,
    /// It was refused, knowingly.
    Refused,
    /// Nobody answered.
    Nothing,
}

/// What all tasks of one watch share.
pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    client: Client,
    clock: Clock,
    tasks: TaskTracker,
    downloads: Semaphore,
    /// Server and URL that were asked for already.
    asked: Mutex<BTreeSet<(String, Want)>>,
    /// The last playlist of every server and path.
    last: Mutex<BTreeMap<(String, String), Vec<Want>>>,
    servers: Vec<Url>,
    pub(super) stop: CancellationToken,
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(servers: Vec<Url>) -> Shared {
        let client = Client::builder()
            .timeout(ANSWER)
            .build()
            .expect("the client has no options to fail on");
        Shared {
            ledger: Mutex::default(),
            client,
            clock: Clock::system(),
            tasks: TaskTracker::new(),
            downloads: Semaphore::new(DOWNLOADS),
            asked: Mutex::default(),
            last: Mutex::default(),
            servers,
            stop: CancellationToken::new(),
            changed: Notify::new(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no holder of the ledger panics")
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    pub(super) fn servers(&self) -> &[Url] {
        &self.servers
    }

    fn at(&self) -> i64 {
        i64::try_from(self.clock.now().mono.0).unwrap_or(i64::MAX)
    }

    /// A GET that ends with the watch; `None` when the server could not be reached or the watch is
    /// over.
    async fn get(&self, url: Url) -> Option<Response> {
        tokio::select! {
            answer = self.client.get(url).send() => answer.ok(),
            () = self.stop.cancelled() => None,
        }
    }

    /// Sleeps; `false` when the watch is over.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.stop.cancelled() => false,
        }
    }

    /// Ends following, completes downloads, and asks for everything still named once more.
    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let missing = self.ledger().missing();
        let last = std::mem::take(&mut *self.last.lock().expect("not poisoned"));
        let again = last
            .into_iter()
            .flat_map(|((server, _), wants)| wants.into_iter().map(move |w| (server.clone(), w)));
        let again: BTreeSet<(String, Want)> =
            again.filter(|(_, w)| w.kind != WantKind::Hint).collect();
        for (server, want) in again {
            self.fetch_once(&server, &want, Ask::Last).await;
        }
        for path in missing {
            let want = Want { path, kind: WantKind::Media };
            for server in &self.servers {
                self.fetch_once(server.as_str(), &want, Ask::Last).await;
            }
        }
    }

    fn nodes_are_away(&self) -> bool {
        self.ledger().exceptions.contains(&Exception::NodesAway)
    }

    /// Does who answered 503 for a piece of media answer so while it has a playlist of it? Who was
    /// started again since it listed that has none before it has read where that is.
    async fn lists_and_refuses(&self, media: &Url) -> bool {
        let Ok(list) = media.join("../index.m3u8") else { return true };
        let list = self.client.get(list).send().await;
        if !list.is_ok_and(|a| a.status() == StatusCode::OK) {
            return false;
        }
        let again = self.client.get(media.clone()).send().await;
        again.is_ok_and(|a| {
            a.status() == StatusCode::SERVICE_UNAVAILABLE && !a.headers().contains_key(NOBODY)
        })
    }

    /// Asks for a URL and writes down what came. Unless this is the last time, a server that lists
    /// nothing now is nobody.
    async fn fetch_once(&self, server: &str, want: &Want, ask: Ask) -> Came {
        let url = Url::parse(server).and_then(|s| s.join(&want.path));
        let Ok(url) = url else { return Came::Something };
        let Ok(answer) = self.client.get(url.clone()).send().await else { return Came::Nothing };
        let status = answer.status();
        if answer.headers().contains_key(NOBODY) {
            return Came::Nothing;
        }
        let is_away = status == StatusCode::SERVICE_UNAVAILABLE && want.kind == WantKind::Media;
        if is_away && ask != Ask::Last {
            match (self.lists_and_refuses(&url).await, ask) {
                (false, _) => return Came::Nothing,
                (true, Ask::Knowingly) => return Came::Refused,
                (true, _) => {}
            }
        }
        if status != StatusCode::OK {
            self.ledger().refused(server, want, status.as_u16());
            return Came::Something;
        }
        if want.kind == WantKind::Gap {
            self.ledger().refused(server, want, 200);
            return Came::Something;
        }
        let Ok(bytes) = answer.bytes().await else { return Came::Nothing };
        self.ledger().bytes(server, &want.path, bytes);
        self.changed.notify_waiters();
        Came::Something
    }
}

/// Finds the channel's sessions on one server and follows each.
pub(super) async fn channel(shared: Arc<Shared>, server: Url, channel: String) {
    let Ok(entry) = server.join(&format!("live/{channel}/index.m3u8")) else { return };
    let mut followed = BTreeSet::new();
    loop {
        if let Some(answer) = shared.get(entry.clone()).await
            && answer.status() == StatusCode::OK
        {
            let path = answer.url().path().to_owned();
            if let Ok(text) = answer.text().await
                && followed.insert(path.clone())
            {
                let media = shared.ledger().multivariant(server.as_str(), &path, &text);
                for live in media {
                    follow_both(&shared, &server, live.clone());
                    if let Some(home) = live.strip_suffix("index.m3u8") {
                        follow_both(&shared, &server, format!("{home}dvr.m3u8"));
                    }
                }
            }
        }
        if !shared.pause(RETRY).await {
            return;
        }
    }
}

pub(super) fn follow_both(shared: &Arc<Shared>, server: &Url, path: String) {
    for blocking in [true, false] {
        shared.spawn(playlist(Arc::clone(shared), server.clone(), path.clone(), blocking));
    }
}

/// Follows one media playlist until it ends or the watch does. A DVR playlist that was never there
/// is left alone.
async fn playlist(shared: Arc<Shared>, server: Url, path: String, blocking: bool) {
    let Ok(plain) = server.join(&path) else { return };
    let who = format!("{server} {}", if blocking { "blocking" } else { "plain" });
    let mut next = None;
    loop {
        let mut url = plain.clone();
        let asked: Option<(u64, u64)> = next.filter(|_| blocking);
        if let Some((msn, part)) = asked {
            url.set_query(Some(&format!("_HLS_msn={msn}&_HLS_part={part}")));
        }
        let answer = shared.get(url).await;
        let status = answer.as_ref().map(Response::status);
        let text = match answer {
            Some(answer) if status == Some(StatusCode::OK) => answer.text().await.ok(),
            _ => None,
        };
        match (text, status) {
            (Some(text), _) => {
                let claim = Claim { who: who.clone(), at: shared.at(), path: path.clone(), asked };
                let Some(read) = keep(&shared, &server, &claim, &text) else { return };
                if read.ended {
                    return;
                }
                next = read.next();
            }
            (None, Some(StatusCode::NOT_FOUND))
                if path.ends_with("/dvr.m3u8") && next.is_none() =>
            {
                return;
            }
            // After a hold that was too long, or a restart, the reader begins anew.
            (None, _) => next = None,
        }
        let wait = if blocking && next.is_some() { Duration::ZERO } else { POLL };
        if !shared.pause(wait).await {
            return;
        }
    }
}

/// Writes a version into the ledger and sends for what it names; `None` when it can't be read.
fn keep(shared: &Arc<Shared>, server: &Url, claim: &Claim, text: &str) -> Option<Playlist> {
    let (read, wants) = shared.ledger().version(claim, text);
    shared.changed.notify_waiters();
    let key = (server.to_string(), claim.path.clone());
    shared.last.lock().expect("not poisoned").insert(key, wants.clone());
    let mut asked = shared.asked.lock().expect("not poisoned");
    for want in wants {
        if asked.insert((server.to_string(), want.clone())) {
            shared.spawn(fetch(Arc::clone(shared), server.to_string(), want));
        }
    }
    read
}

/// Fetches one URL. A server that is away is asked again until the watch ends; a hint ends with the
/// watch.
async fn fetch(shared: Arc<Shared>, server: String, want: Want) {
    if want.kind == WantKind::Hint {
        tokio::select! {
            _ = shared.fetch_once(&server, &want, Ask::Now) => {}
            () = shared.stop.cancelled() => {}
        }
        return;
    }
    let mut late = None;
    loop {
        let permit = shared.downloads.acquire().await;
        let knowingly = shared.nodes_are_away() && late.is_none_or(|late| shared.at() < late);
        let ask = if knowingly { Ask::Knowingly } else { Ask::Now };
        let came = shared.fetch_once(&server, &want, ask).await;
        drop(permit);
        match came {
            Came::Something => return,
            Came::Refused => drop(late.get_or_insert(shared.at() + NODE_AWAY)),
            Came::Nothing => {}
        }
        if !shared.pause(RETRY).await {
            return;
        }
    }
}
