//! Places at the desk: who owns a channel's publisher, and what is asked of the owner.

use crate::api::cues::Post;
use crate::base::ids::Channel;
use crate::ingest::publisher::Publisher;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Cues that may wait for an owner: it takes one within milliseconds.
const POSTS: usize = 16;

/// Where an owner puts its publisher for the connection that asked.
pub type Handover = oneshot::Sender<Box<Publisher>>;

/// A channel with an owner, as the desk knows it.
pub(super) struct Slot {
    pub(super) seat: u64,
    /// The key of the connection that holds the publisher; `None` while it is away.
    pub(super) key: Option<String>,
    /// Nobody has a publisher: the disk takes none.
    pub(super) stalled: bool,
    pub(super) take: oneshot::Sender<Handover>,
    pub(super) posts: mpsc::Sender<Post>,
}

/// An owner's place at the desk.
#[derive(Debug)]
pub struct Seat {
    pub(super) channel: Channel,
    pub(super) number: u64,
    taken: oneshot::Receiver<Handover>,
    posts: mpsc::Receiver<Post>,
}

/// What is asked of an owner.
#[derive(Debug)]
pub enum Asked {
    /// The next connection wants the publisher; `None`: it has given up already.
    Publisher(Option<Handover>),
    /// A cue is to be announced.
    Cue(Post),
}

impl Seat {
    /// The next connection wants the publisher; `None`: it has given up already. Cancel-safe.
    pub async fn taken(&mut self) -> Option<Handover> {
        (&mut self.taken).await.ok()
    }

    /// The next that is asked. Cancel-safe.
    pub async fn asked(&mut self) -> Asked {
        tokio::select! {
            biased;
            taken = &mut self.taken => Asked::Publisher(taken.ok()),
            // The sender goes with the slot, and then the publisher is asked for.
            Some(post) = self.posts.recv() => Asked::Cue(post),
        }
    }
}

/// The channels with an owner.
#[derive(Default)]
pub(super) struct Table {
    next_seat: u64,
    pub(super) slots: HashMap<Channel, Slot>,
}

impl Table {
    /// A new seat, and where its owner before is asked to let go.
    pub(super) fn seat(
        &mut self,
        channel: &Channel,
        key: Option<&str>,
    ) -> (Seat, Option<oneshot::Sender<Handover>>) {
        let (take, taken) = oneshot::channel();
        let (posts_tx, posts) = mpsc::channel(POSTS);
        let number = self.next_seat;
        self.next_seat += 1;
        let key = key.map(str::to_owned);
        let slot = Slot { seat: number, key, stalled: false, take, posts: posts_tx };
        let before = self.slots.insert(channel.clone(), slot);
        let seat = Seat { channel: channel.clone(), number, taken, posts };
        (seat, before.map(|s| s.take))
    }
}
