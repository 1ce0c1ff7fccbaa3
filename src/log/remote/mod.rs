//! Logs that another node has: read over HTTP, through the same subscription as those of this one.
//!
//! A log that is followed is brought here once, by one task (`follow`), however many read it; its
//! newest records are held in memory as a writer's are, within `Options`. Who reads further back
//! asks the other node for it, a piece at a time. The requests are in `wire`.
//!
//! Invariant: a connection that breaks leaves no hole: the next one begins where the last good
//! record ended. A node that can't be reached is asked again until it can, and readers wait.
//! Invariant: no byte is shown before its checksum was verified here.

pub(super) mod follow;
pub mod wire;

use crate::base::error::Kind;
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::stream::{Item, StreamHeader, StreamReader, read_index};
use crate::log::format::version::{Range as Versions, Wrote};
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::logs::READ_MAX;
use crate::log::remote::follow::Followed;
use crate::log::remote::wire::{Ask, Since};
use crate::log::shared::lock;
use crate::log::site::Site;
use crate::log::subscription::{From, Piece, Subscription};
use crate::rt::client::said;
use crate::rt::clock::Clock;
use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode, Url};
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How long connecting may take: another node is near, or gone.
const CONNECT: Duration = Duration::from_secs(3);

/// How long an answer that is not a tail may take, whole: a cold disk and 64 MiB.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Largest index that is taken: footers of a day at 200 ms parts and three tracks have about
/// 100 MiB.
pub const INDEX_MAX: usize = 512 << 20;

/// Most bytes of a refusal's reason that are repeated.
const REASON_MAX: usize = 300;

/// Logs whose writers' versions are remembered; then they are asked for anew.
const KNOWN_MAX: usize = 10_000;

/// What differs between those who read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Newest records of each followed log held in memory, bytes; default 16 MiB.
    pub tail_bytes: usize,
    /// ... and microseconds of media; default 4 s. As a writer's (`log::options`).
    pub tail_micros: i64,
    /// A sender that said nothing for so long is taken for dead; default [`wire::SILENCE_MAX`].
    pub silence: Duration,
    /// How long an answer may be waited for before it begins; default 20 s, as long as all of one
    /// that is not a tail may take.
    pub begin: Duration,
    /// The versions of the format that this node reads: this code's own.
    pub reads: Versions,
}

impl Default for Options {
    fn default() -> Options {
        let writer = crate::log::options::Options::default();
        let (tail_bytes, tail_micros) = (writer.tail_bytes, writer.tail_micros);
        let (silence, begin, reads) = (wire::SILENCE_MAX, ANSWER_MAX, Versions::TODAY);
        Options { tail_bytes, tail_micros, silence, begin, reads }
    }
}

/// Makes the token that a request to another node carries; `None`: nodes trust everyone.
pub type Bearer = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Is told when a node can't be reached, or stops speaking.
pub(super) type Trouble = Arc<dyn Fn(&LogError) + Send + Sync>;

/// The logs of one other node. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    http: reqwest::Client,
    base: Url,
    options: Options,
    clock: Clock,
    bearer: Bearer,
    trouble: Trouble,
    followed: Mutex<HashMap<LogId, Weak<Followed>>>,
    wrote: Mutex<HashMap<LogId, Wrote>>,
}

impl Remote {
    /// The node whose internal listener is at `base`, an `http` or `https` URL.
    ///
    /// # Errors
    /// It is no such URL, or the HTTP client can't be made.
    pub fn new(base: &str, options: Options, clock: Clock) -> Result<Remote, LogError> {
        Remote::signed(base, options, clock, Arc::new(|| None))
    }

    /// As [`Remote::new`], with a token in each request.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub fn signed(
        base: &str,
        options: Options,
        clock: Clock,
        bearer: Bearer,
    ) -> Result<Remote, LogError> {
        Remote::told(base, options, clock, bearer, Arc::new(|_| ()))
    }

    /// As [`Remote::signed`]; `trouble` is told when the node can't be reached.
    ///
    /// # Errors
    /// As [`Remote::new`].
    pub(super) fn told(
        base: &str,
        options: Options,
        clock: Clock,
        bearer: Bearer,
        trouble: Trouble,
    ) -> Result<Remote, LogError> {
        let no = || LogError::Upstream {
            url: base.to_owned(),
            why: "this is no address of a node: write http://HOST:PORT".into(),
            kind: Kind::Invalid,
        };
        let base: Url = base.parse().map_err(|_| no())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(no());
        }
        let failed = |e: reqwest::Error| upstream(&base, e.to_string(), Kind::Internal);
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(failed)?;
        let (followed, wrote) = (Mutex::default(), Mutex::default());
        let inner = Inner { http, base, options, clock, bearer, trouble, followed, wrote };
        Ok(Remote { inner: Arc::new(inner) })
    }

    /// The marks of a log's sealed extents, and where to read on for the rest.
    pub async fn index(&self, id: &LogId) -> Result<Index, LogError> {
        self.index_since(id, Since::Start).await
    }

    /// As [`Remote::index`], without the extents before.
    pub async fn index_since(&self, id: &LogId, since: Since) -> Result<Index, LogError> {
        let inner = &self.inner;
        let ask = Ask::Index(since);
        let (url, bytes) = inner.whole(id, &ask, INDEX_MAX).await?;
        let read = read_index(bytes, inner.options.reads, id.generation);
        let (footers, tail, sealed) =
            read.map_err(|e| upstream(&url, e.to_string(), Kind::DataLoss))?;
        Ok(Index { footers: footers.into_iter().map(Arc::new).collect(), tail, sealed })
    }

    /// Which version wrote a log, and who may read it, as the other node says.
    pub async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        if let Some(wrote) = lock(&self.inner.wrote).get(id) {
            return Ok(*wrote);
        }
        // The shortest answer that begins with a header.
        let ask = Ask::Index(Since::Extent(u32::MAX));
        let (url, bytes) = self.inner.whole(id, &ask, INDEX_MAX).await?;
        let header = StreamHeader::decode(&bytes, self.inner.options.reads);
        let header = header.map_err(|e| upstream(&url, e.to_string(), Kind::DataLoss))?;
        let mut known = lock(&self.inner.wrote);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(id.clone(), header.wrote);
        Ok(header.wrote)
    }

    /// Reads a log from a position on, waiting for more while it is being written.
    pub async fn subscribe(&self, id: &LogId, from: From) -> Result<Subscription, LogError> {
        let at = match from {
            From::Position(position) => position,
            From::Start => {
                let index = self.index(id).await?;
                let oldest = index.footers.first().map(|f| f.extent);
                Position { extent: oldest.unwrap_or(index.tail.extent), offset: HEADER }
            }
        };
        // No record lies before the header's end.
        let at = Position { offset: at.offset.max(HEADER), ..at };
        let log = self.follow(id, at);
        let changes = log.changes();
        Ok(Subscription::new(Site::Node(log, changes), at))
    }

    /// The log's task, started now if it is not running.
    fn follow(&self, id: &LogId, at: Position) -> Arc<Followed> {
        let mut followed = lock(&self.inner.followed);
        followed.retain(|_, log| log.strong_count() > 0);
        if let Some(log) = followed.get(id).and_then(Weak::upgrade)
            && !log.is_gone()
        {
            return log;
        }
        let log = Followed::start(Arc::clone(&self.inner), id.clone(), at);
        followed.insert(id.clone(), Arc::downgrade(&log));
        log
    }

    /// How many logs are followed.
    pub(super) fn following(&self) -> usize {
        let followed = lock(&self.inner.followed);
        followed.values().filter(|log| log.strong_count() > 0).count()
    }

    /// What there is at a position: from memory, where the log is followed here, else as the other
    /// node says.
    pub async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        let followed = lock(&self.inner.followed).get(id).and_then(Weak::upgrade);
        if let Some(log) = followed
            && let Ok(Some(batch)) = lock(&log.tail).get(from)
            && batch.first() == from
        {
            return Ok(Piece::Records(batch));
        }
        self.inner.piece(id, from).await
    }

    /// The records from one position up to another, which must be records' ends.
    pub async fn read(&self, id: &LogId, range: Range<Position>) -> Result<Vec<Batch>, LogError> {
        let Range { start, end } = range;
        let ask = Ask::Range { from: start, to: end };
        let (url, bytes) = self.inner.whole(id, &ask, READ_MAX as usize + (1 << 20)).await?;
        let (batches, _) = self.inner.records(id, &url, bytes)?;
        // Nothing is missing, or it is no answer.
        let first = batches.first().map_or(start, Batch::first);
        let last = batches.last().map_or(start, Batch::end);
        let whole = first == start && (last == end || end.offset <= HEADER);
        if start != end && !whole {
            let why = format!("asked for {start} to {end}, got {first} to {last}");
            return Err(upstream(&url, why, Kind::DataLoss));
        }
        Ok(batches)
    }
}

/// Where an extent's records start: a range that ends here ends with the extent before.
const HEADER: u64 = crate::log::format::extent::HEADER_LEN as u64;

impl Inner {
    fn url(&self, id: &LogId, ask: &Ask) -> Url {
        let mut url = self.base.clone();
        let path = wire::path(id, ask);
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.set_query((!query.is_empty()).then_some(query));
        url
    }

    /// The node can't be reached, or has stopped speaking.
    fn lost(&self, url: &Url, why: String) -> LogError {
        let e = upstream(url, why, Kind::Unavailable);
        (self.trouble)(&e);
        e
    }

    /// Asks, and has an answer that is a stream.
    async fn ask(&self, id: &LogId, ask: &Ask) -> Result<(Url, Response), LogError> {
        let url = self.url(id, ask);
        let mut request = self.http.get(url.clone());
        request = request.header(wire::VERSIONS, self.options.reads.to_string());
        if let Some(token) = (self.bearer)() {
            request = request.bearer_auth(token);
        }
        if !matches!(ask, Ask::Tail { .. }) {
            request = request.timeout(ANSWER_MAX);
        }
        let sent = tokio::time::timeout(self.options.begin, request.send()).await;
        let answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(self.lost(&url, said(&e))),
            Err(_) => return Err(self.lost(&url, "no answer in time".into())),
        };
        let position = match ask {
            Ask::Piece { from } | Ask::Tail { from } => *from,
            Ask::Range { to, .. } => *to,
            Ask::Index(_) => Position::default(),
        };
        match answer.status() {
            StatusCode::OK => Ok((url, answer)),
            StatusCode::NOT_FOUND => Err(LogError::NotFound { path: plain(&url) }),
            StatusCode::GONE => {
                let first = answer.text().await.unwrap_or_default();
                let bad = |_| upstream(&url, "410, and no extent".into(), Kind::Unavailable);
                let first = first.trim().parse().map_err(bad)?;
                Err(LogError::Removed { path: plain(&url), first })
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(LogError::NoSuchPosition { path: plain(&url), position })
            }
            status => {
                let kind = match status {
                    StatusCode::NOT_ACCEPTABLE => Kind::Invalid,
                    StatusCode::CONFLICT => Kind::Conflict,
                    _ => Kind::Unavailable,
                };
                let body = answer.text().await.unwrap_or_default();
                let reason: String = body.trim().chars().take(REASON_MAX).collect();
                Err(upstream(&url, format!("{status}: {reason}"), kind))
            }
        }
    }

    /// Asks, and has the whole answer, of at most `max` bytes.
    async fn whole(&self, id: &LogId, ask: &Ask, max: usize) -> Result<(Url, Bytes), LogError> {
        let (url, mut answer) = self.ask(id, ask).await?;
        let mut all = BytesMut::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if all.len() + chunk.len() <= max => all.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    let why = format!("the answer is longer than {max} bytes");
                    return Err(upstream(&url, why, Kind::Exhausted));
                }
                Ok(None) => return Ok((url, all.freeze())),
                Err(e) => return Err(self.lost(&url, said(&e))),
            }
        }
    }

    /// Asks what there is at a position.
    pub(super) async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        let (url, bytes) = self.whole(id, &Ask::Piece { from }, READ_MAX as usize).await?;
        let (batches, last) = self.records(id, &url, bytes)?;
        match (batches.into_iter().next(), last) {
            (Some(batch), _) if batch.first() == from => Ok(Piece::Records(batch)),
            (None, Some(Item::Moved(to))) if to > from => Ok(Piece::Moved(to)),
            (None, Some(Item::Sealed)) => Ok(Piece::Sealed),
            (None, None) => Ok(Piece::Nothing),
            _ => Err(upstream(&url, format!("what came does not follow {from}"), Kind::DataLoss)),
        }
    }

    /// The records of a whole answer, and what was said last beside them.
    fn records(
        &self,
        id: &LogId,
        url: &Url,
        bytes: Bytes,
    ) -> Result<(Vec<Batch>, Option<Item>), LogError> {
        let mut reader = StreamReader::new(self.options.reads, id.generation);
        reader.push(bytes);
        let (mut batches, mut last) = (Vec::new(), None);
        let wrong = |e: String| upstream(url, e, Kind::DataLoss);
        while let Some(item) = reader.next().map_err(|e| wrong(e.to_string()))? {
            match item {
                Item::Records { first, bytes } => batches.push(Batch::trusted(first, bytes)),
                other => last = Some(other),
            }
        }
        Ok((batches, last))
    }
}

/// The other node did not give what was asked for.
fn upstream(url: &Url, why: String, kind: Kind) -> LogError {
    LogError::Upstream { url: plain(url).display().to_string(), why, kind }
}

/// A URL as it may stand in a message: without a password.
fn plain(url: &Url) -> PathBuf {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.as_str().into()
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Remote({})", plain(&self.inner.base).display())
    }
}

#[cfg(test)]
mod remote_test;
