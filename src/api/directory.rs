//! What readers need to know of the control plane: which sessions there are and who writes them.
//! Asked of the registry in this process, or of another node, which is followed so that its table
//! is here; while that node is away the table stays as it was.

use crate::api::client::Client;
use crate::api::types::{LiveSession, Refusal, Table};
use crate::api::wire::{self, CHANNELS, LINE_MAX, Line, TABLE};
use crate::base::ids::{Channel, Session};
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use bytes::BytesMut;
use reqwest::{StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long another node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A node whose table says nothing for so long is taken for dead: it speaks every second.
const SILENCE: Duration = Duration::from_secs(5);

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
    Node(reqwest::Client, Url),
}

/// Keeps a remote directory's table; to be run for as long as the directory is used.
pub struct Follower {
    http: reqwest::Client,
    base: Url,
    clock: Clock,
    table: watch::Sender<Arc<Table>>,
    known: watch::Sender<bool>,
}

impl Directory {
    /// Of the registry that `client` asks.
    pub fn embedded(client: Client) -> Directory {
        let (_, known) = watch::channel(true);
        Directory { table: client.table(), known, asks: Asks::Registry(client) }
    }

    /// Of the node whose internal listener is at `base`, and what keeps it.
    ///
    /// # Errors
    /// The HTTP client can't be made.
    pub fn of_node(base: &str, clock: Clock) -> Result<(Directory, Follower), Refusal> {
        let base: Url = base.parse().map_err(|e| Refusal::Unavailable(format!("{base}: {e}")))?;
        let http = reqwest::Client::builder()
            .connect_timeout(ANSWER)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Refusal::Unavailable(e.to_string()))?;
        let (table_tx, table) = watch::channel(Arc::default());
        let (known_tx, known) = watch::channel(false);
        let asks = Asks::Node(http.clone(), base.clone());
        let follower = Follower { http, base, clock, table: table_tx, known: known_tx };
        Ok((Directory { table, known, asks }, follower))
    }

    /// The table of every channel's newest session; changes are waited for on it.
    pub fn table(&self) -> watch::Receiver<Arc<Table>> {
        self.table.clone()
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
            Asks::Node(http, base) => {
                let newest = self.table.borrow().sessions.get(channel).cloned();
                // Somebody may know of a session before its line has come.
                match newest.filter(|live| live.session == session) {
                    Some(live) => Ok(Some(live)),
                    None => ask(http, base, channel, session).await,
                }
            }
        }
    }
}

fn at(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Asks a node for a session that its table does not have.
async fn ask(
    http: &reqwest::Client,
    base: &Url,
    channel: &Channel,
    session: Session,
) -> Result<Option<LiveSession>, Refusal> {
    let unavailable = |e: &dyn std::fmt::Display| Refusal::Unavailable(e.to_string());
    let url = at(base, &format!("{CHANNELS}{channel}/sessions/{session}"));
    let answer = http.get(url).timeout(ANSWER).send().await.map_err(|e| unavailable(&e))?;
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => {
            let body = answer.bytes().await.map_err(|e| unavailable(&e))?;
            let said: wire::Session = serde_json::from_slice(&body).map_err(|e| unavailable(&e))?;
            let (_, live) = said.read().ok_or_else(|| unavailable(&"a channel with no name"))?;
            Ok(Some(live))
        }
        status => Err(unavailable(&format!("the upstream answers {status}"))),
    }
}

/// Why the table's answer is over.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the answer ended")]
    Ended,
    #[error("a line of it cannot be read: {0}")]
    Line(#[from] serde_json::Error),
    #[error("a line of it is longer than {LINE_MAX} bytes")]
    Long,
}

impl Follower {
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
                tracing::warn!(upstream = %self.base,
                    "the table of channels can't be followed, trying until it can: {why}");
            }
            let until = self.clock.now().mono.plus(backoff.pause());
            self.clock.sleep_until(until).await;
        }
    }

    async fn listen(
        &self,
        backoff: &mut Backoff,
        told: &mut bool,
    ) -> Result<std::convert::Infallible, Broken> {
        let send = self.http.get(at(&self.base, TABLE)).send();
        let mut answer = tokio::time::timeout(ANSWER, send).await.map_err(|_| Broken::Silent)??;
        if answer.status() != StatusCode::OK {
            return Err(Broken::Status(answer.status()));
        }
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
                self.show(&table);
                backoff.reset();
                if std::mem::take(told) {
                    tracing::info!(upstream = %self.base, "the table is being followed again");
                }
            }
        }
    }

    fn show(&self, table: &Table) {
        self.table.send_if_modified(|shown| {
            let news = **shown != *table;
            if news {
                *shown = Arc::new(table.clone());
            }
            news
        });
        self.known.send_if_modified(|known| !std::mem::replace(known, true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::task;
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse, Response};
    use futures_util::StreamExt;
    use futures_util::stream::{iter, pending};
    use std::sync::Mutex;

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
        let of_node = Directory::of_node(&format!("http://{addr}"), Clock::system());
        let (directory, follower) = of_node.expect("an address");
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
        let directory = node(vec![
            // Not all has been said.
            one.clone(),
            format!("{one}\n{KNOWN}"),
            "{not a line}".into(),
            "x".repeat(LINE_MAX + 1),
            format!("{two}\n{KNOWN}\n\n"),
        ])
        .await;
        let mut table = directory.table();
        directory.known().await;
        let main: Channel = "main".parse().expect("a name");
        let mut seen = vec![table.borrow_and_update().sessions[&main].session];
        table.changed().await.expect("it goes on");
        seen.push(table.borrow().sessions[&main].session);
        assert_eq!(seen, [Session(1), Session(2)]);
        // What the table does not have is asked for.
        assert_eq!(directory.find(&main, Session(2)).await.map(|f| f.is_some()), Ok(true));
        assert_eq!(directory.find(&main, Session(1)).await, Ok(None));
    }

    #[tokio::test]
    async fn nothing_is_known_of_a_node_that_is_not_there() {
        let (directory, follower) =
            Directory::of_node("http://127.0.0.1:9", Clock::system()).expect("an address");
        task::spawn("follower", follower.run());
        assert!(!directory.is_known());
        let main: Channel = "main".parse().expect("a name");
        let found = directory.find(&main, Session(1)).await;
        assert!(matches!(found, Err(Refusal::Unavailable(_))), "{found:?}");
        assert!(Directory::of_node("no url", Clock::system()).is_err());
    }
}
