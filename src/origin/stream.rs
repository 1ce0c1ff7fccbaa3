//! A log's records as the body of an answer: the header, then what the subscription gives, with
//! what the reader must know beside it (`log::format::stream`).

use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::stream::{StreamHeader, put_moved, put_reach, put_sealed};
use crate::log::index::Index;
use crate::log::remote::wire::HEARTBEAT;
use crate::log::subscription::Subscription;
use crate::origin::metrics::Origin;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::telemetry::metrics::Raised;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use std::collections::VecDeque;

/// An index: sealed extents' footers, and whether anything follows.
pub(super) fn index(header: &StreamHeader, index: &Index) -> Bytes {
    let mut out = BytesMut::from(&header.encode()[..]);
    for footer in &index.footers {
        footer.encode(&mut out);
    }
    if index.sealed {
        put_sealed(&mut out);
    }
    out.freeze()
}

/// Batches that were read, with moves between extents, as far as `to` if they end before it.
pub(super) fn range(header: &StreamHeader, batches: Vec<Batch>, to: Position) -> Vec<Bytes> {
    let mut out = vec![Bytes::copy_from_slice(&header.encode())];
    let mut at = header.position;
    for batch in batches {
        out.extend(moved(at, batch.first()));
        at = batch.end();
        out.push(batch.bytes().clone());
    }
    out.extend(moved(at, to));
    out
}

/// About 1 MiB of what is there now.
pub(super) async fn piece(
    header: &StreamHeader,
    mut log: Subscription,
) -> Result<Vec<Bytes>, LogError> {
    let mut out = vec![Bytes::copy_from_slice(&header.encode())];
    let (batch, sealed) = log.now().await?;
    match batch {
        // What lies in another extent is the next piece.
        Some(batch) if batch.first() == header.position => out.push(batch.bytes().clone()),
        Some(batch) => out.extend(moved(header.position, batch.first())),
        None if sealed => {
            let mut end = BytesMut::new();
            put_sealed(&mut end);
            out.push(end.freeze());
        }
        None => {}
    }
    Ok(out)
}

fn moved(at: Position, to: Position) -> Option<Bytes> {
    (at != to).then(|| {
        let mut out = BytesMut::new();
        put_moved(&mut out, to);
        out.freeze()
    })
}

/// One reader of a log that goes on.
struct Tail {
    log: Subscription,
    at: Position,
    queue: VecDeque<Bytes>,
    over: bool,
    clock: Clock,
    drain: Drain,
    metrics: Origin,
    _follower: Raised,
}

/// Records there are and records to come, until the log is sealed and read, or the node drains and
/// has sent what there is.
pub(super) fn tail(
    header: &StreamHeader,
    log: Subscription,
    clock: Clock,
    drain: Drain,
    metrics: Origin,
) -> Body {
    let queue = VecDeque::from([Bytes::copy_from_slice(&header.encode()), reach(&log)]);
    let (at, follower) = (header.position, Raised::new(&metrics.followers));
    let tail = Tail { log, at, queue, over: false, clock, drain, metrics, _follower: follower };
    Body::from_stream(unfold(tail, |mut tail| async move {
        let next = tail.next().await?;
        Some((next, tail))
    }))
}

fn reach(log: &Subscription) -> Bytes {
    let mut out = BytesMut::new();
    put_reach(&mut out, log.reach().unwrap_or(log.position()));
    out.freeze()
}

impl Tail {
    async fn next(&mut self) -> Option<Result<Bytes, LogError>> {
        loop {
            if let Some(bytes) = self.queue.pop_front() {
                return Some(Ok(bytes));
            }
            if self.over {
                return None;
            }
            let beat = self.clock.now().mono.plus(HEARTBEAT);
            tokio::select! {
                biased;
                batch = self.log.next() => match batch {
                    Ok(Some(batch)) => self.send(&batch),
                    Ok(None) => {
                        let mut end = BytesMut::new();
                        put_sealed(&mut end);
                        self.queue.push_back(end.freeze());
                        self.over = true;
                    }
                    // The reader sees the answer break off, and asks again.
                    Err(e) => return Some(Err(e)),
                },
                () = self.drain.wait() => self.over = true,
                () = self.clock.sleep_until(beat) => self.queue.push_back(reach(&self.log)),
            }
        }
    }

    fn send(&mut self, batch: &Batch) {
        self.queue.extend(moved(self.at, batch.first()));
        self.at = batch.end();
        self.metrics.bytes.inc_by(batch.bytes().len() as u64);
        self.queue.push_back(batch.bytes().clone());
    }
}
