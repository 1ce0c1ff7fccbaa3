//! Why a job stops while its source may go on: what the registry shows of it, and the drain.

use crate::rt::drain::Drain;
use crate::transcode::begin::{Context, LAST_WORDS, Next, Which};
use std::time::Duration;

/// How long a job of a node that drains waits for another node to be given it, before it ends where
/// it is: the registry plans once a second, and at once when a node says that it leaves.
const SUCCESSOR: Duration = Duration::from_secs(2);

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nothing follows it here.
    Over,
    /// Another node goes on, as soon as it is told where this one has ended.
    Handed,
}

/// Resolves when a job is to stop.
pub(super) async fn leave(ctx: &Context, which: &Which, stop: &Drain) -> Leave {
    let mut table = ctx.directory.table();
    let mut until = None;
    loop {
        let next = which.next(&table.borrow_and_update());
        match next {
            Next::OtherNode => return Leave::Handed,
            Next::OtherSource => {
                ctx.clock.sleep_until(ctx.clock.now().mono.plus(LAST_WORDS)).await;
                return Leave::Over;
            }
            Next::Nobody => {}
        }
        tokio::select! {
            changed = table.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            () = stop.wait(), if until.is_none() => match ctx.hands_over {
                true => until = Some(ctx.clock.now().mono.plus(SUCCESSOR)),
                false => return Leave::Over,
            },
            () = ctx.clock.sleep_until_due(until) => return Leave::Over,
        }
    }
}
