//! What is asked of the writers in a process: cues to announce, generations to end.

use crate::api::cues::{Announced, Cue, Post, Refused};
use crate::api::types::{End, Refusal};
use crate::base::error::Kind;
use crate::base::ids::{Channel, Generation};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for writers.
const ORDERS: usize = 64;

/// Another origin is to write a channel: the generation that is written here is to end.
#[derive(Debug)]
pub struct Stop {
    /// Whose.
    pub channel: Channel,
    /// Which.
    pub generation: Generation,
    /// The key that the next one was admitted with; a publisher with another one that is connected
    /// keeps the channel.
    pub key: Option<String>,
    /// The generation is not written here (any more), with its end where that was decided here; or
    /// why it is still.
    pub reply: oneshot::Sender<Result<Option<End>, Refusal>>,
}

/// [`Stop`] as the body of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopAsk {
    /// See [`Stop`].
    pub key: Option<String>,
}

/// One of them.
#[derive(Debug)]
pub enum Order {
    /// A cue.
    Cue(Post),
    /// An end.
    Stop(Stop),
}

/// Brings orders to the writers in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Orders(mpsc::Sender<Order>);

/// Where the writers take them.
pub type Taken = mpsc::Receiver<Order>;

/// The two ends.
pub fn channel() -> (Orders, Taken) {
    let (tx, rx) = mpsc::channel(ORDERS);
    (Orders(tx), rx)
}

impl Orders {
    /// Announces a cue.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn announce(&self, channel: Channel, cue: Cue) -> Result<Announced, Refused> {
        let gone = || Refused::new(Kind::Unavailable, "the origin is shutting down");
        let (reply, answer) = oneshot::channel();
        self.0.send(Order::Cue(Post { channel, cue, reply })).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Ends a generation; where it ended, if that was decided here.
    ///
    /// # Errors
    /// A publisher with another key is connected.
    pub async fn stop(
        &self,
        channel: Channel,
        generation: Generation,
        key: Option<String>,
    ) -> Result<Option<End>, Refusal> {
        let gone = || Refusal::Unavailable("the origin is shutting down".into());
        let (reply, answer) = oneshot::channel();
        let stop = Stop { channel, generation, key, reply };
        self.0.send(Order::Stop(stop)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
