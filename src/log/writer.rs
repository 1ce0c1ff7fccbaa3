//! The writing end of a log. Nothing here waits for a disk: records are encoded into a buffer,
//! `flush` hands the buffer to the io thread, and `ready` is where a publisher waits while too much
//! is on its way.

use crate::base::ids::Seq;
use crate::log::error::LogError;
use crate::log::format::durable::{DURABLE_LEN, Durable};
use crate::log::format::extent::Header;
use crate::log::format::index::Indexer;
use crate::log::format::record::{encode_mark, encode_other, encode_packet, kind};
use crate::log::format::version::VERSION;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, HEADER_POSITION, PACKET_HEAD, Position};
use crate::log::id::LogId;
use crate::log::io::Op;
use crate::log::repeats::Repeats;
use crate::log::sealed::Sealed;
use crate::log::shared::{Shared, lock};
use crate::log::tail::Written;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{End, GenerationStart, Mark};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use tokio::sync::oneshot;

/// A batch is handed over at this size even when nobody flushes: readers get whole batches, and 1
/// MiB is what they read from disk at a time too.
const BATCH_BYTES: usize = 1 << 20;

/// Size of a buffer: the batches of most of a second share one at 2.5 Mbit/s, and a hundred writers
/// hold 25 MiB.
const BUFFER_BYTES: usize = 256 << 10;

/// Room that a mark is given; a larger one only costs a copy.
const MARK_ROOM: usize = 4 << 10;

/// Bytes of a packet's record before its payload.
const RECORD_HEAD: usize = FRAME_PREFIX + FRAME_HEAD + PACKET_HEAD;

/// Writes one log. Dropped without `seal`, it leaves the log to recovery.
pub struct Writer {
    shared: Arc<Shared>,
    io: Sender<Arc<Shared>>,
    start: GenerationStart,
    indexer: Indexer,
    buf: BytesMut,
    /// Where the buffer's first byte goes.
    first: Position,
    /// End of the batch before the buffer.
    follows: Position,
    repeats: Repeats,
    media: i64,
    segment: bool,
    /// Media time at which the extent began.
    extent_began: Option<i64>,
    /// How far the log says of itself that it is durable.
    attested: Position,
    sealed: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        io: Sender<Arc<Shared>>,
        start: GenerationStart,
    ) -> Result<Writer, LogError> {
        let mark = Mark::Generation(start.clone());
        let mut writer = Writer {
            shared,
            io,
            start,
            indexer: Indexer::new(),
            buf: BytesMut::with_capacity(BUFFER_BYTES),
            first: HEADER_POSITION,
            follows: HEADER_POSITION,
            repeats: Repeats::default(),
            media: 0,
            segment: false,
            extent_began: None,
            attested: HEADER_POSITION,
            sealed: false,
        };
        writer.append_mark(&mark)?;
        writer.flush();
        Ok(writer)
    }

    /// The log.
    pub fn id(&self) -> &LogId {
        &self.shared.id
    }

    /// Where the next record will start.
    pub fn position(&self) -> Position {
        Position { offset: self.first.offset + self.buf.len() as u64, ..self.first }
    }

    /// Appends a packet; `seq` is `None` for one that no segment lists. Returns where its record
    /// starts.
    ///
    /// # Errors
    /// The payload is larger than `format::PAYLOAD_MAX`, or the log has stopped (see
    /// [`Writer::error`]).
    pub fn append_packet(
        &mut self,
        packet: &Packet,
        seq: Option<Seq>,
    ) -> Result<Position, LogError> {
        self.check()?;
        self.make_room(packet.payload.len() + RECORD_HEAD);
        let at = self.position();
        let len = encode_packet(&mut self.buf, packet, seq)?;
        let payload = packet.payload.len();
        self.indexer.packet(packet.track, seq, packet.key, payload, at.offset, len);
        let scale = self.repeats.timescale(packet.track);
        self.media = self.media.max(scale.to_micros(packet.dts));
        self.appended();
        Ok(at)
    }

    /// Appends a mark. Returns where its record starts.
    ///
    /// # Errors
    /// The mark exceeds a limit of the format, or the log has stopped (see [`Writer::error`]).
    pub fn append_mark(&mut self, mark: &Mark) -> Result<Position, LogError> {
        self.check()?;
        self.make_room(MARK_ROOM);
        let at = self.position();
        let from = self.buf.len();
        encode_mark(&mut self.buf, mark)?;
        if let Err(e) = self.indexer.mark(at.offset, &self.buf[from..], Some(mark)) {
            self.buf.truncate(from);
            return Err(e.into());
        }
        self.repeats.note(mark);
        if let Mark::SegmentStart(_) = mark {
            self.segment = true;
            if self.shared.options.format.version > VERSION {
                self.pretend()?;
            }
        }
        self.appended();
        Ok(at)
    }

    /// Appends a record that this code does not know, as a later version would.
    fn pretend(&mut self) -> Result<(), LogError> {
        let (at, from) = (self.position().offset, self.buf.len());
        encode_other(&mut self.buf, kind::PRETENDED, b"of a later version");
        Ok(self.indexer.mark(at, &self.buf[from..], None)?)
    }

    /// Rolls to a new extent when the current one is large or long enough. To be called just before
    /// an independent segment start of the leading track; `media_micros` is that segment's media
    /// time. True when it rolled.
    pub fn roll_if_due(&mut self, media_micros: i64) -> bool {
        let began = *self.extent_began.get_or_insert(media_micros);
        let options = &self.shared.options;
        let due = self.position().offset >= options.extent_bytes
            || media_micros.saturating_sub(began) >= options.extent_micros;
        if due {
            self.roll(false);
            self.extent_began = Some(media_micros);
        }
        due
    }

    /// Hands everything appended so far to the io thread, and rolls where the extent could not be
    /// synced. Never waits.
    pub fn flush(&mut self) {
        self.hand_over();
        if self.shared.is_to_leave(self.first.extent) && !self.shared.has_failed() {
            self.roll(true);
            self.extent_began = None;
        }
    }

    fn hand_over(&mut self) {
        if self.buf.is_empty() {
            return;
        }
        self.attest();
        let bytes = self.buf.split().freeze();
        let (segment, media) = (std::mem::take(&mut self.segment), self.media);
        let (follows, first) = (self.follows, self.first);
        let closing = self.indexer.closing_len() as u64;
        let batch = Written { follows, first, bytes, media, segment, closing };
        self.first = batch.end();
        self.follows = self.first;
        self.push(batch.bytes.len(), Op::Write(batch));
    }

    /// Bytes handed over and not written yet.
    pub fn backlog(&self) -> usize {
        self.shared.backlog.load(Ordering::Acquire)
    }

    /// Waits while more than `Options::backlog_bytes` are on their way.
    ///
    /// # Errors
    /// The log has stopped.
    pub async fn ready(&self) -> Result<(), LogError> {
        loop {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that no wake-up between the two is missed.
            room.as_mut().enable();
            self.check()?;
            if self.backlog() <= self.shared.options.backlog_bytes {
                return Ok(());
            }
            room.await;
        }
    }

    /// Readers see the log up to here.
    pub fn visible(&self) -> Position {
        self.shared.state.borrow().visible
    }

    /// A machine crash loses nothing before this.
    pub fn durable(&self) -> Position {
        lock(&self.shared.dirty).durable
    }

    /// Why the log has stopped, if it has: nothing is written after the first failure until `seal`.
    pub fn error(&self) -> Option<LogError> {
        self.shared.error.get().cloned()
    }

    /// Stops the log: a newer generation goes on, and readers may have left this one where it is.
    /// What was appended and is not visible is dropped; [`Writer::seal_stopped`] ends it.
    pub fn replace(&mut self) {
        self.buf.clear();
        self.shared.replaced();
    }

    /// How the log would end now.
    pub fn end(&self) -> End {
        self.indexer.end(&self.start)
    }

    /// How a log that has stopped ends: what its files amount to, whatever was appended since.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn holds(&self) -> Result<End, LogError> {
        let (done, answer) = oneshot::channel();
        self.push(0, Op::Survey(done));
        let gone = LogError::WriterGone { path: self.shared.dir.clone() };
        let found = answer.await.unwrap_or(Err(gone))?;
        Ok(found.unwrap_or_else(|| Indexer::new().end(&self.start)))
    }

    /// Writes what is left and the footer, makes it durable and frees the lock. After a failure of
    /// the disk the log is sealed over what was written, in the room reserved for it; the answer
    /// then says so in `failed`.
    ///
    /// # Errors
    /// The log could not be sealed; recovery will try again.
    pub async fn seal(self) -> Result<Sealed, LogError> {
        self.seal_as(None).await
    }

    /// Seals a log that has stopped, with `end` as its end record: [`Writer::holds`] says what that
    /// can be. One that has not stopped was given its end record before.
    ///
    /// # Errors
    /// As [`Writer::seal`].
    pub async fn seal_stopped(self, end: End) -> Result<Sealed, LogError> {
        self.seal_as(Some(end)).await
    }

    async fn seal_as(mut self, end: Option<End>) -> Result<Sealed, LogError> {
        self.hand_over();
        self.sealed = true;
        let position = self.position();
        let sealed = Sealed {
            id: self.shared.id.clone(),
            end: self.end(),
            position,
            extents: position.extent + 1,
            failed: None,
            left_open: false,
        };
        let footer = self.footer();
        let (done, answer) = oneshot::channel();
        self.push(footer.len(), Op::Seal { footer, end, sealed, done });
        let gone = LogError::WriterGone { path: self.shared.dir.clone() };
        answer.await.unwrap_or(Err(gone))
    }

    /// Notes in the log how far it is durable, when that has moved on and the buffer has room: no
    /// byte is copied for it.
    fn attest(&mut self) {
        let upto = self.durable();
        if upto <= self.attested || self.buf.capacity() - self.buf.len() < DURABLE_LEN {
            return;
        }
        self.attested = upto;
        let generation = self.shared.id.generation;
        Durable { generation, at: self.position(), upto }.encode(&mut self.buf);
    }

    fn check(&self) -> Result<(), LogError> {
        self.shared.error.get().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// A record that does not fit the buffer goes into the next one: what is in this one is never
    /// copied again.
    fn make_room(&mut self, need: usize) {
        if self.buf.capacity() - self.buf.len() < need {
            self.hand_over();
            self.buf = lock(&self.shared.spare).take().unwrap_or_default();
            self.buf.clear();
            self.buf.reserve(need.max(BUFFER_BYTES));
        }
    }

    /// After every record: bounds the batch and the extent.
    fn appended(&mut self) {
        if self.buf.len() >= BATCH_BYTES {
            self.hand_over();
        }
        let hard = self.shared.options.extent_bytes.saturating_mul(2);
        if self.position().offset >= hard || self.indexer.full() {
            self.roll(true);
            self.extent_began = None;
        }
    }

    fn footer(&self) -> Bytes {
        let footer = self.indexer.footer(self.position().offset);
        let mut out = BytesMut::with_capacity(footer.encoded_len());
        footer.encode(&mut out);
        out.freeze()
    }

    fn roll(&mut self, forced_roll: bool) {
        self.hand_over();
        let footer = self.footer();
        self.indexer.roll();
        self.first = self.first.next_extent();
        let (extent, generation) = (self.first.extent, self.shared.id.generation);
        let wrote = self.shared.options.format;
        let header = Header { extent, generation, forced_roll, wrote };
        self.push(footer.len(), Op::Roll { footer, header });
        for mark in self.repeats.at_roll() {
            let (at, from) = (self.position().offset, self.buf.len());
            encode_mark(&mut self.buf, &mark).expect("it was encoded before");
            self.indexer
                .mark(at, &self.buf[from..], Some(&mark))
                .expect("a session, its tracks and few cues are far below an extent's limit");
        }
    }

    fn push(&self, bytes: usize, op: Op) {
        self.shared.backlog.fetch_add(bytes, Ordering::AcqRel);
        let mut queue = lock(&self.shared.queue);
        queue.ops.push_back(op);
        if !std::mem::replace(&mut queue.scheduled, true) {
            // Fails only when the io thread is gone, which outlives every writer.
            let _ = self.io.send(Arc::clone(&self.shared));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.sealed {
            self.hand_over();
            self.push(0, Op::Abandon);
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({} at {})", self.shared.id, self.position())
    }
}
