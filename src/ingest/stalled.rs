//! A session whose disk takes no log: it waits for the disk and for its encoder, and ends when its
//! reconnect window does. Playlists stand still meanwhile, since no gap can be written; what is
//! stored stays readable. An encoder that is back before the disk is told to come again.

use crate::api::types::{ChannelSettings, End, Unfinished};
use crate::base::ids::Generation;
use crate::base::time::Mono;
use crate::ingest::context::PublishError;
use crate::ingest::desk::Desk;
use crate::ingest::publisher::Publisher;
use crate::ingest::seat::Seat;
use std::sync::Arc;
use std::time::Duration;

/// First pause between tries; each is twice the one before.
const RETRY: Duration = Duration::from_millis(500);

/// Longest pause: what a viewer may wait beyond the disk's own time.
const RETRY_MAX: Duration = Duration::from_secs(8);

/// See the module doc.
pub(super) struct Stalled {
    pub(super) desk: Desk,
    pub(super) settings: Arc<ChannelSettings>,
    /// When the reconnect window is over.
    pub(super) over: Mono,
    /// An end that the registry has not been told yet.
    pub(super) untold: Option<(Generation, End)>,
}

/// What a try came to.
enum Tried {
    /// A new generation writes gaps until the encoder is back.
    TakenUp(Box<Publisher>),
    /// The session is over.
    Over,
}

impl Stalled {
    pub(super) async fn run(mut self, mut seat: Seat) {
        let clock = self.desk.context().clock.clone();
        let mut pause = RETRY;
        loop {
            let now = clock.now().mono;
            // The last try before the end is the one at the end.
            let next = now.plus(pause);
            let due = if now < self.over { next.min(self.over) } else { next };
            tokio::select! {
                biased;
                handover = seat.taken() => {
                    // The newcomer begins a generation of its own, after this end if it is told.
                    let _ = self.tell().await;
                    return drop(handover);
                }
                () = self.desk.draining() => {
                    let _ = self.tell().await;
                    return self.desk.release(&seat);
                }
                () = clock.sleep_until(due) => {}
            }
            match self.attempt(clock.now().mono >= self.over).await {
                Ok(Tried::TakenUp(publisher)) => {
                    return self.desk.away(publisher, seat, self.over);
                }
                Ok(Tried::Over) => return self.desk.release(&seat),
                Err(e) => {
                    tracing::debug!(channel = %self.settings.name, "the session still stands: {e}");
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn tell(&mut self) -> Result<(), PublishError> {
        if let Some((generation, end)) = self.untold.clone() {
            let client = &self.desk.context().client;
            client.end(&self.settings.name, generation, end).await?;
            self.untold = None;
        }
        Ok(())
    }

    async fn attempt(&mut self, over: bool) -> Result<Tried, PublishError> {
        self.tell().await?;
        let ctx = self.desk.context().clone();
        let channel = &self.settings.name;
        let all = ctx.client.unfinished(ctx.node.clone()).await?;
        let Some(open) = all.into_iter().find(|u| u.settings.name == *channel) else {
            return Ok(Tried::Over);
        };
        if over {
            self.end_session(open).await?;
            return Ok(Tried::Over);
        }
        ctx.logs.usable().await?;
        // The log before may have been left without its footer.
        ctx.recover().await?;
        let grant = ctx.client.grant(channel, ctx.want(None)).await?;
        let generation = grant.generation;
        let mut publisher = Box::new(Publisher::new(ctx, self.settings.clone(), grant));
        if let Err(e) = publisher.resume().await {
            self.untold = publisher.end(false).await.untold.map(|end| (generation, end));
            return Err(e);
        }
        tracing::info!(%channel, session = %open.session, %generation,
            "the disk is well again: the session is taken up");
        Ok(Tried::TakenUp(publisher))
    }

    /// The registry's word alone: no record of it can be written, and edges take it for one.
    async fn end_session(&self, open: Unfinished) -> Result<(), PublishError> {
        let ctx = self.desk.context().clone();
        let channel = &self.settings.name;
        match open.end {
            Some(end) => {
                let end = End { session_over: true, ..end };
                ctx.client.end(channel, open.generation, end).await?;
            }
            None => {
                // The grant decides how the last one ended.
                let grant = ctx.client.grant(channel, ctx.want(None)).await?;
                Publisher::new(ctx, self.settings.clone(), grant).end(true).await.result?;
            }
        }
        tracing::warn!(%channel, session = %open.session,
            "the reconnect window is over before the disk was well: the session is ended");
        Ok(())
    }
}
