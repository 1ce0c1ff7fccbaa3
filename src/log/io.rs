//! The thread that writes, so that nothing else waits for a disk: `log-io` writes what the writers
//! hand over and makes it visible. `sync` makes it durable.

use crate::log::aside::STUB;
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::fs::{LogFile, Open};
use crate::log::id::extent_name;
use crate::log::options::Sync;
use crate::log::recover;
use crate::log::sealed::Sealed;
use crate::log::shared::{Current, Phase, Shared, lock};
use crate::log::survey::survey;
use crate::log::sync::{SyncOp, Totals};
use crate::log::tail::Written;
use crate::media::timeline::mark::End;
use crate::rt::clock::Clock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

/// Least room kept reserved behind the newest record, so that a generation can be ended and its
/// extent sealed on a full disk: a footer of a minute of three tracks at 200 ms parts has about 100
/// KiB, and what is written last is up to 100 ms of media. Where the footer is larger, so is the
/// room.
pub(super) const RESERVE: u64 = 256 << 10;

/// Room is reserved this much at a time: one call for about 3 s of a 2.5 Mbit/s stream.
pub(super) const RESERVE_STEP: u64 = 1 << 20;

/// What a writer asks the io thread to do, in order.
pub(super) enum Op {
    Write(Written),
    /// Seal the current extent with this footer (trailer included) and begin the next.
    Roll {
        footer: Bytes,
        header: Header,
    },
    /// Say how the log ends as its files are.
    Survey(oneshot::Sender<Result<Option<End>, LogError>>),
    /// Seal the log; where it has stopped, with this end record.
    Seal {
        footer: Bytes,
        end: Option<End>,
        sealed: Sealed,
        done: oneshot::Sender<Result<Sealed, LogError>>,
    },
    /// The writer was dropped.
    Abandon,
}

/// The io thread's life: ends when every writer and every `Logs` is gone.
pub(super) struct IoThread {
    pub(super) inbox: Receiver<Arc<Shared>>,
    pub(super) sync: Sender<SyncOp>,
    pub(super) totals: Arc<Totals>,
    pub(super) clock: Clock,
}

impl IoThread {
    pub(super) fn run(self) {
        let mut runnable = VecDeque::new();
        loop {
            if runnable.is_empty() {
                match self.inbox.recv() {
                    Ok(log) => runnable.push_back(log),
                    Err(_) => return,
                }
            }
            runnable.extend(self.inbox.try_iter());
            // One turn for each log: a busy one cannot starve the others.
            if let Some(log) = runnable.pop_front()
                && self.turn(&log)
            {
                runnable.push_back(log);
            }
        }
    }

    /// Does all that is queued for one log; true when more came in meanwhile.
    pub(super) fn turn(&self, log: &Arc<Shared>) -> bool {
        let ops = std::mem::take(&mut lock(&log.queue).ops);
        let mut batches = Vec::new();
        for op in ops {
            match op {
                Op::Write(batch) => {
                    batches.push(batch);
                    continue;
                }
                op => {
                    let last = match &op {
                        Op::Seal { footer, .. } => Some(footer.len() as u64),
                        _ => None,
                    };
                    self.write(log, std::mem::take(&mut batches), last);
                    self.other(log, op);
                }
            }
        }
        self.write(log, batches, None);
        let mut queue = lock(&log.queue);
        queue.scheduled = !queue.ops.is_empty();
        queue.scheduled
    }

    /// Writes batches in one call, then shows them to the readers. The last ones of a log, which
    /// only a footer of `last` bytes follows, may use the room that was reserved for the end.
    fn write(&self, log: &Arc<Shared>, batches: Vec<Written>, last: Option<u64>) {
        let total: usize = batches.iter().map(|b| b.bytes.len()).sum();
        let Some(newest) = batches.last() else { return };
        let end = newest.end();
        let room = match last {
            Some(footer) => Room { keep: footer, step: 0 },
            None => Room { keep: newest.closing.max(RESERVE), step: RESERVE_STEP },
        };
        if log.has_failed() {
            return log.release(total);
        }
        let started = self.clock.now().mono;
        let bufs: Vec<&[u8]> = batches.iter().map(|b| &b.bytes[..]).collect();
        if let Err(e) = append(&mut lock(&log.current), &bufs, room) {
            log.fail(e);
            return log.release(total);
        }
        let took = self.clock.now().mono.since(started).as_micros() as u64;
        self.totals.writes.fetch_add(1, Ordering::Relaxed);
        self.totals.write_micros.fetch_add(took, Ordering::Relaxed);
        log.written.fetch_add(total as u64, Ordering::Relaxed);
        lock(&log.dirty).since.get_or_insert(started);
        let segment = batches.iter().any(|b| b.segment);
        {
            let mut tail = lock(&log.tail);
            for b in batches {
                let (bytes, micros) = (log.options.tail_bytes, log.options.tail_micros);
                if let Some(free) = tail.push(b, bytes, micros) {
                    *lock(&log.spare) = Some(free);
                }
            }
        }
        log.state.send_modify(|s| s.visible = end);
        log.release(total);
        if segment && log.options.sync == Sync::EachSegment {
            let _ = self.sync.send(SyncOp::Segment(Arc::clone(log)));
        }
    }

    fn other(&self, log: &Arc<Shared>, op: Op) {
        match op {
            Op::Write(_) => {}
            Op::Roll { footer, header } => {
                log.release(footer.len());
                if !log.has_failed()
                    && let Err(e) = roll(log, &footer, header)
                {
                    log.fail(e);
                }
            }
            Op::Survey(done) => {
                let found = survey(log.place());
                let _ = done.send(found.map(|found| found.end));
            }
            Op::Seal { footer, end, mut sealed, done } => {
                log.release(footer.len());
                match self.close(log, &footer, end.as_ref(), &mut sealed) {
                    Ok(()) if sealed.left_open => {
                        abandon(log);
                        let _ = done.send(Ok(sealed));
                    }
                    Ok(()) => {
                        log.state.send_modify(|s| {
                            s.visible = sealed.position;
                            s.phase = Phase::Sealed;
                        });
                        // The footer is to be durable too.
                        lock(&log.dirty).since.get_or_insert(self.clock.now().mono);
                        let log = Arc::clone(log);
                        let _ = self.sync.send(SyncOp::Seal { log, sealed, done });
                    }
                    Err(e) => {
                        log.fail(e.clone());
                        abandon(log);
                        let _ = done.send(Err(e));
                    }
                }
            }
            Op::Abandon => abandon(log),
        }
    }

    /// Writes the last footer. After a failure the file may end in a torn record: then the log is
    /// closed as recovery would close it, with an end record, into the room that was reserved;
    /// where not even that can be written, its end is read and the log is left to recovery.
    fn close(
        &self,
        log: &Shared,
        footer: &[u8],
        end: Option<&End>,
        sealed: &mut Sealed,
    ) -> Result<(), LogError> {
        if !log.has_failed() {
            match seal_extent(&mut lock(&log.current), footer) {
                Ok(()) => return Ok(()),
                Err(e) => log.fail(e),
            }
        }
        sealed.failed = log.error.get().cloned();
        let closed = match recover::close(log.place(), end) {
            Ok(closed) => closed,
            Err(e) => {
                tracing::error!(log = %log.id,
                    "it can't be sealed either and is left for recovery: {e}");
                sealed.left_open = true;
                survey(log.place())?
            }
        };
        sealed.position = closed.position;
        sealed.extents = closed.extents;
        if let Some(end) = closed.end {
            sealed.end = end;
        }
        Ok(())
    }
}

/// Gives the log up as it is; recovery will seal it.
fn abandon(log: &Shared) {
    // The lock first: whoever sees that the writer is gone may recover at once.
    lock(&log.lock).take();
    log.state.send_modify(|s| s.phase = Phase::Gone);
}

/// What is to be reserved behind a write: `keep` bytes, and where that is not so already, `step`
/// bytes more.
#[derive(Clone, Copy)]
struct Room {
    keep: u64,
    step: u64,
}

/// Appends to the current file, with room to spare behind.
fn append(current: &mut Current, bufs: &[&[u8]], room: Room) -> Result<(), LogError> {
    let len: usize = bufs.iter().map(|b| b.len()).sum();
    let end = current.offset + len as u64;
    let at = |e| LogError::io("write", &current.path, e);
    if end + room.keep > current.allocated {
        let upto = end + room.keep + room.step;
        current.file.allocate(current.offset, upto - current.offset).map_err(at)?;
        current.allocated = upto;
    }
    current.file.write_at(bufs, current.offset).map_err(at)?;
    current.offset = end;
    Ok(())
}

/// Writes a footer into the reserved room and gives back what is left of it.
fn seal_extent(current: &mut Current, footer: &[u8]) -> Result<(), LogError> {
    let end = current.offset + footer.len() as u64;
    let write = current.file.write_at(&[footer], current.offset);
    write
        .and_then(|()| current.file.truncate(end))
        .map_err(|e| LogError::io("seal", &current.path, e))?;
    current.offset = end;
    Ok(())
}

/// Makes a new extent's file with its header in it.
pub(super) fn new_extent(
    fs: &dyn crate::log::fs::FileSystem,
    dir: &Path,
    header: Header,
) -> Result<Current, LogError> {
    let path = dir.join(extent_name(header.extent));
    let made: io::Result<Arc<dyn LogFile>> = fs.open(&path, Open::Create).and_then(|file| {
        file.write_at(&[&header.encode()], 0)?;
        Ok(file)
    });
    let made = made.map_err(|e| LogError::io("create", &path, e)).and_then(|file| {
        let path = path.clone();
        let mut current = Current { file, path, offset: HEADER_LEN as u64, allocated: 0 };
        let room = Room { keep: RESERVE, step: RESERVE_STEP };
        append(&mut current, &[], room).map(|()| current)
    });
    if made.is_err() {
        // Out of the way of whoever seals the log: it ends with the extent before.
        let _ = fs.rename(&path, &path.with_extension(format!("extent{STUB}")));
    }
    made
}

/// Ends an extent and begins the next. The next has its room before the reserve of this one is
/// given back: on a full disk the log can still be sealed where it is.
fn roll(log: &Shared, footer: &[u8], header: Header) -> Result<(), LogError> {
    let next = new_extent(log.fs.as_ref(), &log.dir, header)?;
    let mut current = lock(&log.current);
    seal_extent(&mut current, footer)?;
    let mut dirty = lock(&log.dirty);
    dirty.files.push((header.extent, next.path.clone(), Arc::clone(&next.file)));
    dirty.names = true;
    *current = next;
    Ok(())
}
