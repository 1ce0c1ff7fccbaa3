//! Places at the desk: who owns a channel's publisher, and what is asked of the owner.

use crate::api::orders::Order;
use crate::base::ids::Channel;
use crate::ingest::publisher::Publisher;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for an owner: it takes one within milliseconds.
const ORDERS: usize = 16;

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
    pub(super) orders: mpsc::Sender<Order>,
}

/// An owner's place at the desk.
#[derive(Debug)]
pub struct Seat {
    pub(super) channel: Channel,
    pub(super) number: u64,
    taken: oneshot::Receiver<Handover>,
    orders: mpsc::Receiver<Order>,
}

/// What is asked of an owner.
#[derive(Debug)]
pub enum Asked {
    /// The next connection wants the publisher; `None`: it has given up already.
    Publisher(Option<Handover>),
    /// A cue is to be announced, or the generation ended.
    Order(Order),
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
            Some(order) = self.orders.recv() => Asked::Order(order),
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
        let (orders_tx, orders) = mpsc::channel(ORDERS);
        let number = self.next_seat;
        self.next_seat += 1;
        let key = key.map(str::to_owned);
        let slot = Slot { seat: number, key, stalled: false, take, orders: orders_tx };
        let before = self.slots.insert(channel.clone(), slot);
        let seat = Seat { channel: channel.clone(), number, taken, orders };
        (seat, before.map(|s| s.take))
    }
}
