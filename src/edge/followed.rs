//! A session as this edge has it, for others in its process that do with it what a viewer does:
//! its windows as they move on, and the bytes of what they list. The feed is the viewers' own, and
//! goes on for as long as somebody follows.

use crate::api::types::Refusal;
use crate::base::ids::{Channel, Session as Number};
use crate::edge::channels::Channels;
use crate::edge::fetch;
use crate::edge::recall::Lost;
use crate::edge::rendition::{Place, Rendition, Snapshot};
use crate::edge::session::{Opened, Session};
use crate::hls::lookup::Lookup;
use crate::hls::name::File;
use crate::hls::window::Window;
use crate::media::timeline::mark::{RENDER, SessionRecord};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a feed is told that somebody follows it: well below the time after which it ends.
const TOUCH: Duration = Duration::from_secs(10);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Followed {
    channels: Channels,
    session: Arc<Session>,
    opened: Arc<Opened>,
}

/// What tells that a rendition has changed.
pub struct Changes(watch::Receiver<Arc<Snapshot>>);

impl Changes {
    /// Resolves when it has, since this was last asked; never, when its feed has ended.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Followed {
    /// A session, once its constants are known; `None` when the channel never had it.
    ///
    /// # Errors
    /// It can't be asked for now, its feed has ended, or it is of a later castctl than this.
    pub async fn of(
        channels: &Channels,
        channel: &Channel,
        number: Number,
    ) -> Result<Option<Followed>, Refusal> {
        let Some(session) = channels.session(channel, number).await? else { return Ok(None) };
        let mut opened = session.opened();
        let known = tokio::select! {
            known = opened.wait_for(Option::is_some) => known.ok().and_then(|o| o.clone()),
            () = held(channels, &session) => None,
        };
        let gone = || Refusal::Unavailable("its logs are not read any more".into());
        let opened = known.ok_or_else(gone)?;
        if opened.record.render > RENDER {
            return Err(Refusal::Unavailable("this edge is older than the session".into()));
        }
        Ok(Some(Followed { channels: channels.clone(), session, opened }))
    }

    /// The session's constants.
    pub fn record(&self) -> &Arc<SessionRecord> {
        &self.opened.record
    }

    /// Keeps the feed going; resolves when it has ended all the same, and the session is to be
    /// followed anew.
    pub async fn held(&self) {
        held(&self.channels, &self.session).await;
    }

    /// What is asked of a rendition's window; `None` before what was recorded of it has been read,
    /// and of a rendition that the session does not have.
    pub fn look<R>(&self, rendition: &str, ask: impl FnOnce(&Window) -> R) -> Option<R> {
        let rendition = self.opened.rendition(rendition)?;
        let is_read = rendition.snapshots().borrow().state.is_some();
        is_read.then(|| ask(&rendition.read().window))
    }

    /// What tells of a rendition's changes from now on.
    pub fn changes(&self, rendition: &str) -> Option<Changes> {
        self.opened.rendition(rendition).map(|r| Changes(r.snapshots()))
    }

    /// The bytes of a complete segment or an init section, in pieces.
    ///
    /// # Errors
    /// It is not there, or its log can't be read now.
    pub async fn bytes(&self, rendition: &str, file: &File) -> Result<Vec<Bytes>, Lost> {
        let of = self.opened.rendition(rendition).ok_or(Lost::Missing)?;
        match find(of, file) {
            Lookup::Found(Place::Bytes(bytes)) => Ok(vec![bytes]),
            Lookup::Found(Place::Memory(cells)) => Ok(cells.iter().map(|c| c.bytes()).collect()),
            Lookup::Found(Place::Log(logged)) => {
                let logs = &self.channels.sources().logs;
                let id = self.session.log(rendition, logged.writer);
                let read = fetch::read_back(logs, &id, &logged).await;
                let read = read.inspect_err(|_| self.session.doubt.notify_one())?;
                Ok(read.into_iter().map(|(_, bytes)| bytes).collect())
            }
            Lookup::Future | Lookup::Never | Lookup::Elsewhere => Err(Lost::Missing),
        }
    }
}

fn find(rendition: &Rendition, file: &File) -> Lookup<Place> {
    let shelf = rendition.read();
    match file {
        File::Segment { writer, msn } => shelf.segment(*writer, *msn),
        File::Init { hash } => shelf.init(hash),
        File::Part { .. } | File::Gap { .. } => Lookup::Never,
    }
}

async fn held(channels: &Channels, session: &Arc<Session>) {
    let clock = &channels.sources().clock;
    while channels.feeds(session) {
        let now = clock.now().mono;
        session.touch(now);
        clock.sleep_until(now.plus(TOUCH)).await;
    }
}
