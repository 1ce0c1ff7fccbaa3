//! The table of channels as an answer that does not end.

use crate::api::client::Shown;
use crate::api::types::Table;
use crate::api::wire::{Line, changes};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often something is said though nothing has changed: who hears nothing for five of these
/// takes the sender for dead.
const HEARTBEAT: Duration = Duration::from_secs(1);

struct Teller {
    table: watch::Receiver<Arc<Table>>,
    told: Option<Arc<Table>>,
    clock: Clock,
    drain: Drain,
}

/// All there is, then what changes, until the drain: lines for the body of an answer.
pub fn lines(
    table: Shown,
    clock: Clock,
    drain: Drain,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let teller = Teller { table, told: None, clock, drain };
    unfold(teller, |mut teller| async move {
        let lines = teller.next().await?;
        Some((Ok(lines), teller))
    })
}

impl Teller {
    async fn next(&mut self) -> Option<Bytes> {
        if self.told.is_some() {
            let beat = self.clock.now().mono.plus(HEARTBEAT);
            tokio::select! {
                biased;
                changed = self.table.changed() => changed.ok()?,
                () = self.drain.wait() => return None,
                () = self.clock.sleep_until(beat) => {}
            }
        }
        let now = Arc::clone(&self.table.borrow_and_update());
        let mut lines = changes(self.told.as_deref().unwrap_or(&Table::default()), &now);
        self.told = Some(now);
        lines.push(Line::Known);
        let mut out = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut out, &line).expect("plain data is JSON");
            out.push(b'\n');
        }
        Some(out.into())
    }
}
