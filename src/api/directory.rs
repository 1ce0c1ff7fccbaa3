//! What readers need to know of the control plane: which sessions there are, who writes them, and
//! where their logs are read. Asked of the registry in this process, or of other servers, which are
//! followed so that their table is here; while they are away the table stays as it was.

use crate::api::client::{self, Client, Shown};
use crate::api::kept::Kept;
use crate::api::peers::{ANSWER, Peers};
use crate::api::types::{LiveSession, Refusal, SessionRecord, SessionSpan, Table};
use crate::api::wire::{self, LINE_MAX, Line, TABLE};
use crate::base::ids::{Channel, Session, Writer};
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use bytes::BytesMut;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Sessions of the past whose nodes are remembered; then they are forgotten, and asked for again.
const PAST_MAX: usize = 10_000;

/// A node whose table says nothing for so long is taken for dead, and the next is asked: it speaks
/// every second.
const SILENCE: Duration = Duration::from_millis(2_500);

/// First pause before the table is asked for again, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Answers readers' questions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Directory {
    table: watch::Receiver<Arc<Table>>,
    known: watch::Receiver<bool>,
    asks: Asks,
}

#[derive(Debug, Clone)]
enum Asks {
    Registry(Client),
    /// And what they said of sessions that are not in the table.
    Peers(Peers, Arc<Mutex<Past>>),
    /// Of the sessions that it mirrors; the others are of who shows them.
    Mirror(Client, Box<Directory>),
}

type Past = HashMap<(Channel, Session), LiveSession>;

/// Keeps a remote directory's table; to be run for as long as the directory is used.
pub struct Follower {
    peers: Peers,
    clock: Clock,
    table: watch::Sender<Arc<Table>>,
    known: watch::Sender<bool>,
    kept: Option<Kept>,
    /// It is one of several that know more or less of the same.
    replicas: bool,
}

impl Directory {
    /// Of the registry in this process.
    pub fn embedded(client: Client, table: Shown) -> Directory {
        let (_, known) = watch::channel(true);
        Directory { table, known, asks: Asks::Registry(client) }
    }

    /// Of other servers, nodes or API servers, and what keeps it.
    pub fn of(peers: Peers, clock: Clock) -> (Directory, Follower) {
        let (table_tx, table) = watch::channel(Arc::default());
        let (known_tx, known) = watch::channel(false);
        let asks = Asks::Peers(peers.clone(), Arc::default());
        let (kept, replicas) = (None, true);
        let follower = Follower { peers, clock, table: table_tx, known: known_tx, kept, replicas };
        (Directory { table, known, asks }, follower)
    }

    /// Of the registry in this process, which mirrors what `upstream` knows. Known when that is.
    pub fn mirroring(client: Client, table: Shown, upstream: Directory) -> Directory {
        let known = upstream.known.clone();
        Directory { table, known, asks: Asks::Mirror(client, Box::new(upstream)) }
    }

    /// The table of every channel's newest session; changes are waited for on it.
    pub fn table(&self) -> watch::Receiver<Arc<Table>> {
        self.table.clone()
    }

    /// Is who asks one of several that read the same, each in its own time?
    pub fn is_of_many(&self) -> bool {
        matches!(self.asks, Asks::Peers(..))
    }

    /// Has there been a table?
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Resolves when there has been a table.
    pub async fn known(&self) {
        let mut known = self.known.clone();
        if known.wait_for(|k| *k).await.is_err() && !*known.borrow() {
            std::future::pending::<()>().await;
        }
    }

    /// A session by its number; `None` when the channel never had it.
    pub async fn find(
        &self,
        channel: &Channel,
        session: Session,
    ) -> Result<Option<LiveSession>, Refusal> {
        match &self.asks {
            Asks::Registry(client) => client.find(channel, session).await,
            Asks::Mirror(client, upstream) => match client.find(channel, session).await? {
                Some(live) if live.open || live.over => Ok(Some(live)),
                None if !upstream.is_newest(channel, session) => {
                    Box::pin(upstream.find(channel, session)).await
                }
                _ => Err(Refusal::Unavailable("its constants are not set yet".into())),
            },
            Asks::Peers(peers, past) => {
                let newest = self.table.borrow().sessions.get(channel).cloned();
                // Somebody may know of a session before its line has come.
                if let Some(live) = newest.filter(|live| live.session == session) {
                    return Ok(Some(live));
                }
                let found = client::find(peers, channel, session).await?;
                let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
                if past.len() >= PAST_MAX {
                    past.clear();
                }
                if let Some(live) = &found {
                    past.insert((channel.clone(), session), live.clone());
                }
                Ok(found)
            }
        }
    }

    /// All sessions of a channel, oldest first; none of one that never had any.
    pub async fn sessions(&self, channel: &Channel) -> Result<Vec<SessionSpan>, Refusal> {
        match &self.asks {
            Asks::Registry(client) => client.sessions(channel).await,
            Asks::Peers(peers, _) => client::sessions(peers, channel).await,
            Asks::Mirror(_, upstream) => Box::pin(upstream.sessions(channel)).await,
        }
    }

    fn is_newest(&self, channel: &Channel, session: Session) -> bool {
        self.table.borrow().sessions.get(channel).is_some_and(|live| live.session == session)
    }

    /// Has a channel a writer after this one, in whichever session?
    pub fn has_newer(&self, channel: &Channel, than: Option<Writer>) -> bool {
        let table = self.table.borrow();
        table.sessions.get(channel).is_some_and(|live| newest(live, than) > than)
    }

    /// A session's newest writer of the source, or of rungs, whichever `than` is one of, if that
    /// one is newer.
    pub fn newer(
        &self,
        channel: &Channel,
        session: Session,
        than: Option<Writer>,
    ) -> Option<Writer> {
        let table = self.table.borrow();
        let live = table.sessions.get(channel).filter(|live| live.session == session)?;
        newest(live, than).filter(|newest| Some(*newest) > than)
    }

    /// The URL where a log is read: of the node that wrote it, or of who has adopted it; `None`
    /// while nobody is known to have it. Of sessions that are not in the table, what
    /// [`Directory::find`] last found.
    pub fn holder(&self, channel: &Channel, session: Session, writer: Writer) -> Option<String> {
        let table = self.table.borrow();
        self.told(&table, channel, session, |live| {
            live.holder(writer).and_then(|n| table.nodes.get(n).cloned())
        })
    }

    /// A session's constants, where its source's log says less; of sessions that are not in the
    /// table, as [`Directory::holder`].
    pub fn record(&self, channel: &Channel, session: Session) -> Option<Arc<SessionRecord>> {
        self.told(&self.table.borrow(), channel, session, |live| live.record.clone())
    }

    /// Of what was told of a session, in the table or when it was asked for.
    fn told<T>(
        &self,
        table: &Table,
        channel: &Channel,
        session: Session,
        of: impl Fn(&LiveSession) -> Option<T>,
    ) -> Option<T> {
        let live = table.sessions.get(channel).filter(|live| live.session == session);
        match (live, &self.asks) {
            (Some(live), _) => of(live),
            (None, Asks::Peers(_, past)) => {
                let past = past.lock().unwrap_or_else(PoisonError::into_inner);
                past.get(&(channel.clone(), session)).and_then(of)
            }
            (None, Asks::Registry(_) | Asks::Mirror(..)) => None,
        }
    }
}

/// The newest writer of a session's source; of its rungs, where `like` is one of those.
fn newest(live: &LiveSession, like: Option<Writer>) -> Option<Writer> {
    match like.is_some_and(|w| w.job.is_some()) {
        false => live.generations.last().map(|(g, _)| Writer::from(*g)),
        true => live.jobs.last().map(|(g, job, _)| Writer { generation: *g, job: Some(*job) }),
    }
}

/// Why the table's answer is over.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the answer broke off: {0}")]
    Http(#[from] reqwest::Error),
    #[error("nothing was heard for {} s", SILENCE.as_secs_f32())]
    Silent,
    #[error("the answer ended")]
    Ended,
    #[error("a line of it cannot be read: {0}")]
    Line(#[from] serde_json::Error),
    #[error("a line of it is longer than {LINE_MAX} bytes")]
    Long,
}

impl Follower {
    /// Keeps the table on disk too, and begins with what is there.
    pub fn kept(mut self, kept: Kept) -> Follower {
        if let Some(table) = kept.load() {
            let channels = table.sessions.len();
            tracing::info!(channels, "the table of channels is as it was kept, until it is told");
            self.show(&table);
        }
        self.kept = Some(kept);
        self
    }

    /// Of one server, whose word counts also where it begins anew with numbers that it had given.
    pub fn of_one(self) -> Follower {
        Follower { replicas: false, ..self }
    }

    /// Follows the node's table for ever.
    pub async fn run(self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut told = false;
        loop {
            let why = match self.listen(&mut backoff, &mut told).await {
                Ok(never) => match never {},
                Err(why) => why,
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(upstream = %self.peers.first(),
                    "the table of channels can't be followed, trying until it can: {why}");
            }
            self.peers.next();
            let until = self.clock.now().mono.plus(backoff.pause());
            self.clock.sleep_until(until).await;
        }
    }

    async fn listen(
        &self,
        backoff: &mut Backoff,
        told: &mut bool,
    ) -> Result<std::convert::Infallible, Broken> {
        let asked = tokio::time::timeout(ANSWER * 2, self.peers.stream(TABLE)).await;
        let mut answer = asked.map_err(|_| Broken::Silent)??;
        // What is said first is all there is: the old table stands until it has been said.
        let (mut table, mut whole) = (Table::default(), false);
        let mut rest = BytesMut::new();
        loop {
            let chunk = tokio::time::timeout(SILENCE, answer.chunk()).await;
            let chunk = chunk.map_err(|_| Broken::Silent)??.ok_or(Broken::Ended)?;
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line = rest.split_to(end + 1);
                whole |= wire::apply(&mut table, serde_json::from_slice::<Line>(&line)?);
            }
            if rest.len() > LINE_MAX {
                return Err(Broken::Long);
            }
            if whole {
                if self.show(&table) {
                    self.keep().await;
                }
                backoff.reset();
                if std::mem::take(told) {
                    let upstream = self.peers.first();
                    tracing::info!(upstream, "the table is being followed again");
                }
            }
        }
    }

    /// A disk that takes nothing costs the next start, nothing else.
    async fn keep(&self) {
        let Some(kept) = self.kept.clone() else { return };
        let table = Arc::clone(&self.table.borrow());
        let stored = tokio::task::spawn_blocking(move || kept.store(&table)).await;
        if let Ok(Err(e)) = stored {
            tracing::warn!("the table of channels can't be kept: {e}");
        }
    }

    /// True when it is news. Of several servers one that is cut off from the registry's database
    /// knows less, and is asked after the others: what was decided of a channel is not taken back.
    fn show(&self, table: &Table) -> bool {
        let news = self.table.send_if_modified(|shown| {
            if **shown == *table {
                return false;
            }
            let told = table.clone();
            let table = if self.replicas { told.no_older(shown) } else { told };
            let news = **shown != table;
            if news {
                *shown = Arc::new(table);
            }
            news
        });
        self.known.send_if_modified(|known| !std::mem::replace(known, true));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::peers::Signer;
    use crate::rt::task;
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::{Request, State};
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Response};
    use futures_util::StreamExt;
    use futures_util::stream::{iter, pending};
    use std::sync::Mutex;

    fn peers(base: &str) -> Peers {
        Peers::new(base, Signer::stranger()).expect("an address")
    }

    /// A node whose table says one of these at a time; a body that ends with an empty line goes on
    /// for ever.
    async fn node(tables: Vec<String>) -> Directory {
        let tables = Arc::new(Mutex::new(tables.into_iter()));
        async fn answer(
            State(tables): State<Arc<Mutex<std::vec::IntoIter<String>>>>,
            request: Request,
        ) -> Response {
            if request.uri().path() != TABLE {
                return StatusCode::NOT_FOUND.into_response();
            }
            let next = tables.lock().expect("no panic").next();
            let Some(text) = next else { return std::future::pending().await };
            let ends = !text.ends_with("\n\n");
            let first = iter([Ok::<_, std::io::Error>(Bytes::from(text.trim().to_owned() + "\n"))]);
            match ends {
                true => Body::from_stream(first).into_response(),
                false => Body::from_stream(first.chain(pending())).into_response(),
            }
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let app = Router::new().fallback(answer).with_state(tables);
        task::spawn("node", async move { axum::serve(listener, app).await });
        let (directory, follower) =
            Directory::of(peers(&format!("http://{addr}")), Clock::system());
        task::spawn("follower", follower.run());
        directory
    }

    fn line(session: u64) -> String {
        let rest = r#""over":false,"open":true,"generations":[]}"#;
        format!(r#"{{"kind":"session","channel":"main","session":{session},{rest}"#)
    }

    const KNOWN: &str = r#"{"kind":"known"}"#;

    #[tokio::test]
    async fn a_table_is_shown_whole_and_a_broken_one_leaves_the_old() {
        let (one, two) = (line(1), line(2));
        let other = line(7).replace("main", "other");
        let directory = node(vec![
            // Not all has been said.
            one.clone(),
            format!("{one}\n{KNOWN}"),
            "{not a line}".into(),
            "x".repeat(LINE_MAX + 1),
            format!("{two}\n{KNOWN}"),
            format!("{one}\n{other}\n{KNOWN}\n\n"),
        ])
        .await;
        let mut table = directory.table();
        directory.known().await;
        let main: Channel = "main".parse().expect("a name");
        let mut seen = vec![table.borrow_and_update().sessions[&main].session];
        table.changed().await.expect("it goes on");
        seen.push(table.borrow_and_update().sessions[&main].session);
        assert_eq!(seen, [Session(1), Session(2)]);
        table.changed().await.expect("it goes on");
        assert_eq!(table.borrow().sessions.len(), 2);
        // Another server that knows less takes nothing back.
        assert_eq!(table.borrow().sessions[&main].session, Session(2));
        // What the table does not have is asked for.
        assert_eq!(directory.find(&main, Session(2)).await.map(|f| f.is_some()), Ok(true));
        assert_eq!(directory.find(&main, Session(1)).await, Ok(None));
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_node_that_is_not_there() {
        let (directory, follower) = Directory::of(peers("http://127.0.0.1:9"), Clock::system());
        task::spawn("follower", follower.run());
        assert!(!directory.is_known());
        let main: Channel = "main".parse().expect("a name");
        let found = directory.find(&main, Session(1)).await;
        assert!(matches!(found, Err(Refusal::Unavailable(_))), "{found:?}");
    }
}
