//! The oracle: watches a channel on any number of servers the way a crowd of players would, keeps
//! everything they said, and tells where they contradict each other, the media, or the rules. A
//! test that runs under it asserts that its report is empty. It is a reader only, shares no code
//! with the servers, and names its exceptions here and nowhere else ([`Exception`]).

#![allow(dead_code, reason = "each test binary uses its own part of the library")]

mod follow;
pub(crate) mod ledger;
pub(crate) mod media;
pub(crate) mod playlist;
pub(crate) mod rules;

use reqwest::Url;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// What a balancer's own 503 carries: no server stands behind it at this moment, so nobody has
/// answered.
pub(crate) const NOBODY: &str = "x-nobody";

/// A contradiction, or a broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `P04` and the like; `one-url`, `download`, `EXTINF`, `syntax`, `unseen`.
    pub(crate) rule: &'static str,
    /// Which server said it, and to what kind of request; empty when it is nobody's alone.
    pub(crate) who: String,
    /// What, and where.
    pub(crate) detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.detail)?;
        if self.who.is_empty() { Ok(()) } else { write!(f, " [{}]", self.who) }
    }
}

/// What the contract allows knowingly; a test names the one it provokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exception {
    /// MSNs between a decided end and the next generation's base: real on one edge, gap on another.
    DecidedEnd {
        /// Which.
        msns: RangeInclusive<u64>,
    },
    /// MSNs that `repair` turned into gap: a part that is gone, and its segment without it.
    Repaired {
        /// Which.
        msns: RangeInclusive<u64>,
    },
    /// Playlists may stand still for one lease: a process was killed, or the registry was away.
    StandsStill,
    /// Nodes will be killed, stopped and cut off: what only such a node has, and no edge has in
    /// memory, is refused until it is back.
    NodesAway,
    /// The publisher sends with holes in its media times.
    Holes,
}

/// How much has been seen; for tests that wait for something to be on air.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Versions of media playlists.
    pub(crate) versions: usize,
    /// Media URLs downloaded.
    pub(crate) downloads: usize,
    /// Newest listed MSN by rendition directory (`/live/main/s1/video/`).
    pub(crate) newest: BTreeMap<String, u64>,
}

/// A running watch; it must live inside a runtime.
pub(crate) struct Oracle {
    shared: Arc<follow::Shared>,
}

impl Oracle {
    /// Starts to watch `channel` on every server: each rendition's live and DVR playlist, by
    /// blocking reloads and by plain polls, and every media URL that any of them names.
    pub(crate) fn watch(servers: Vec<Url>, channel: &str) -> Oracle {
        Oracle::watch_with(servers, Vec::new(), channel)
    }

    /// The same, and through balancers, of which each answer may be another server's.
    pub(crate) fn watch_with(servers: Vec<Url>, balancers: Vec<Url>, channel: &str) -> Oracle {
        let names = balancers.iter().map(Url::to_string).collect();
        let servers: Vec<Url> = servers.into_iter().chain(balancers).collect();
        let shared = Arc::new(follow::Shared::new(servers.clone()));
        shared.ledger().balancers = names;
        for server in servers {
            shared.spawn(follow::channel(Arc::clone(&shared), server, channel.to_owned()));
        }
        Oracle { shared }
    }

    /// Watches more media playlists on every server: those that begin with a segment of a session
    /// (`/live/main/s1/video/from-1003.m3u8`), as more playlists of its renditions.
    pub(crate) fn also(&self, paths: &[String]) {
        for server in self.shared.servers() {
            paths.iter().for_each(|path| follow::follow_both(&self.shared, server, path.clone()));
        }
    }

    /// Allows what the test is about to provoke.
    pub(crate) fn except(&self, exception: Exception) {
        self.shared.ledger().exceptions.push(exception);
    }

    /// What has been seen so far.
    pub(crate) fn seen(&self) -> Seen {
        let ledger = self.shared.ledger();
        let (versions, downloads) = (ledger.versions, ledger.downloads());
        Seen { versions, downloads, newest: ledger.newest() }
    }

    /// Every media URL that was delivered so far, with its bytes.
    pub(crate) fn media(&self) -> BTreeMap<String, bytes::Bytes> {
        self.shared.ledger().media().clone()
    }

    /// Waits until `enough` has been seen.
    ///
    /// # Panics
    /// When it takes longer than `limit`: the test has failed.
    pub(crate) async fn until(&self, limit: Duration, enough: impl Fn(&Seen) -> bool) -> Seen {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                let seen = self.seen();
                if enough(&seen) {
                    return seen;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(seen) => seen,
            Err(_) => panic!("not seen within {limit:?}: {:?}", self.seen()),
        }
    }

    /// Ends the watch: stops following, finishes the downloads, asks every server once more for
    /// what its last playlists name, and judges. Empty when all is well.
    pub(crate) async fn report(self) -> Vec<Finding> {
        self.finish().await;
        self.judge()
    }

    /// Ends the watch, and does not judge yet: the servers are needed no more.
    pub(crate) async fn finish(&self) {
        self.shared.finish().await;
    }

    /// Judges a watch that has ended.
    pub(crate) fn judge(self) -> Vec<Finding> {
        self.shared.ledger().judge()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}
