//! The table of channels as an answer that does not end.

use crate::api::directory::Directory;
use crate::api::types::Table;
use crate::api::wire::{Line, changes};
use crate::log::remote::wire::HEARTBEAT;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

struct Teller {
    table: watch::Receiver<Arc<Table>>,
    told: Option<Arc<Table>>,
    clock: Clock,
    drain: Drain,
}

/// All there is, then what changes, until the node drains.
pub(super) fn body(directory: &Directory, clock: Clock, drain: Drain) -> Body {
    let teller = Teller { table: directory.table(), told: None, clock, drain };
    Body::from_stream(unfold(teller, |mut teller| async move {
        let lines = teller.next().await?;
        Some((Ok::<_, Infallible>(lines), teller))
    }))
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
