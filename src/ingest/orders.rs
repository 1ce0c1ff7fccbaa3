//! Orders on their way to a channel's owner, and the end of a generation that another origin goes
//! on after.

use crate::api::cues::Refused;
use crate::api::orders::{Order, Stop};
use crate::api::types::Refusal;
use crate::base::error::Kind;
use crate::base::ids::Channel;
use crate::ingest::context::{ClaimError, Context};
use crate::ingest::desk::Desk;
use crate::ingest::publisher::Publisher;
use crate::ingest::seat::Seat;
use crate::rt::task;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// How long an end is settled on the word of who asks for it; then the registry decides first, as
/// it does without one. Who asks waits half a second longer (`control::routes`, `STOP`), for the
/// log to be sealed: an end that comes too late was decided otherwise.
const ASKS: Duration = Duration::from_secs(1);

impl Desk {
    /// Brings an order to the channel's owner, or says that there is none.
    pub fn order(&self, order: Order) {
        match order {
            Order::Cue(post) => self.bring(Order::Cue(post)),
            Order::Stop(stop) => {
                let desk = self.clone();
                task::spawn(format!("stop {}", stop.channel), async move {
                    desk.answer(stop).await;
                });
            }
        }
    }

    /// Answers with the end when it is settled, whatever it was that ended the generation: an owner
    /// that is ending it takes no more orders.
    async fn answer(&self, stop: Stop) {
        let Stop { channel, generation, key, mut reply } = stop;
        let Context { decided, clock, .. } = &**self.context();
        let (inner, answer) = oneshot::channel();
        let asking = decided.ask(&channel, generation);
        self.bring(Order::Stop(Stop { channel: channel.clone(), generation, key, reply: inner }));
        let said = async {
            tokio::select! {
                biased;
                end = decided.end(&channel, generation) => Ok(Some(end)),
                said = answer => said.unwrap_or(Ok(None)),
            }
        };
        tokio::pin!(said);
        let until = clock.now().mono.plus(ASKS);
        let said = tokio::select! {
            biased;
            said = &mut said => said,
            () = reply.closed() => return,
            () = clock.sleep_until(until) => {
                drop(asking);
                said.await
            }
        };
        let _ = reply.send(said);
    }

    fn bring(&self, order: Order) {
        let channel = match &order {
            Order::Cue(post) => &post.channel,
            Order::Stop(stop) => &stop.channel,
        };
        let owner = self.table(|t| {
            let slot = t.slots.get(channel).filter(|s| !s.stalled);
            slot.map(|s| (s.key.clone(), s.orders.clone()))
        });
        let Some((held, orders)) = owner else { return nobody(order) };
        // Another key's publisher that is connected keeps the channel.
        if let (Order::Stop(stop), Some(held)) = (&order, held)
            && stop.key.as_ref().is_some_and(|key| *key != held)
        {
            return refuse(order, ClaimError::InUse);
        }
        match orders.try_send(order) {
            Ok(()) => {}
            Err(TrySendError::Full(order)) => busy(order),
            Err(TrySendError::Closed(order)) => nobody(order),
        }
    }

    /// Ends the generation that another origin is to go on after, if it is this publisher's; the
    /// publisher comes back where it is not.
    pub async fn stop(
        &self,
        publisher: Box<Publisher>,
        seat: &Seat,
        stop: Stop,
    ) -> Option<Box<Publisher>> {
        if publisher.generation() > stop.generation {
            let _ = stop.reply.send(Ok(None));
            return Some(publisher);
        }
        tracing::info!(channel = %seat.channel, generation = %publisher.generation(),
            "another origin goes on with the channel");
        self.end(publisher, seat, false).await;
        let _ = stop.reply.send(Ok(None));
        None
    }
}

/// Nobody writes the channel here: a generation that was to end has ended.
fn nobody(order: Order) {
    let why = "nobody publishes to this channel here";
    match order {
        Order::Cue(post) => drop(post.reply.send(Err(Refused::new(Kind::NotFound, why)))),
        Order::Stop(stop) => drop(stop.reply.send(Ok(None))),
    }
}

/// The owner has more orders than it has taken.
fn busy(order: Order) {
    let why = "too many cues of this channel at once: try again";
    match order {
        Order::Cue(post) => drop(post.reply.send(Err(Refused::new(Kind::Unavailable, why)))),
        Order::Stop(stop) => drop(stop.reply.send(Err(Refusal::Unavailable(why.into())))),
    }
}

/// The channel is somebody else's.
fn refuse(order: Order, why: impl FnOnce(Channel) -> ClaimError) {
    if let Order::Stop(Stop { channel, reply, .. }) = order {
        let _ = reply.send(Err(Refusal::Conflict(why(channel).to_string())));
    }
}
