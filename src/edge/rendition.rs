//! One rendition of a watched session: its window, the parts in memory, and the newest texts that
//! viewers wait for.

use crate::base::ids::{Generation, Msn, Seq, TrackId};
use crate::edge::media::Cell;
use crate::edge::mended::{Spans, widen};
use crate::hls::lookup::Lookup;
use crate::hls::playlist::{self, Report, View};
use crate::hls::reload;
use crate::hls::segment::Part;
use crate::hls::window::Window;
use crate::log::format::Span;
use crate::media::fmp4::init::Init;
use crate::media::timeline::mark::SessionRecord;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// Target durations of parts kept in memory: where players without low latency join, three from the
/// end (draft-pantos-hls-rfc8216bis-22, 4.4.3.8), and the segment they join in. What is older stays
/// downloadable too (6.2.2) and is read from the log, to the same bytes.
const MEMORY_TARGET_DURATIONS: i64 = 4;

/// One version of a rendition's playlists.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The live playlist; `None` while nothing is listed.
    pub live: Option<Text>,
    /// Its delta update.
    pub live_delta: Option<Text>,
    /// The DVR playlist and its delta, when somebody wants them.
    pub dvr: Option<(Text, Text)>,
    /// How far it is.
    pub state: Option<reload::State>,
}

/// A rendered playlist and its ETag.
#[derive(Debug, Clone)]
pub struct Text {
    /// The text.
    pub body: Bytes,
    /// Its hash, quoted.
    pub etag: Bytes,
}

impl Text {
    fn new(text: String) -> Text {
        // FNV-1a over words of 8 bytes: names versions of our own text, no adversary chooses it.
        let hash = text.as_bytes().chunks(8).fold(0xcbf2_9ce4_8422_2325u64, |h, word| {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            let h = (h ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0100_0000_01b3);
            // Multiplication alone carries nothing downwards.
            h ^ (h >> 32)
        });
        Text { body: text.into(), etag: format!("\"{hash:016x}\"").into() }
    }
}

/// What changes with the marks.
#[derive(Debug)]
pub struct Shelf {
    /// What is listed.
    pub window: Window,
    parts: BTreeMap<(Generation, Seq), (Arc<Cell>, i64)>,
    in_memory: i64,
    spans: HashMap<(Generation, Msn), Span>,
    inits: HashMap<Arc<str>, Arc<Init>>,
    /// The configuration in force for samples that come.
    current: Option<Arc<Init>>,
    memory_limit: i64,
}

/// Where a media name's bytes are.
#[derive(Debug)]
pub enum Place {
    /// In memory.
    Memory(Vec<Arc<Cell>>),
    /// In the log: these parts, within this span.
    Log {
        /// Whose log.
        generation: Generation,
        /// The segment's samples.
        span: Span,
        /// The parts asked for.
        parts: Vec<Part>,
        /// The configuration in force.
        init: Arc<Init>,
    },
}

/// One rendition. Shared between its feed and every viewer.
#[derive(Debug)]
pub struct Rendition {
    /// Name in URLs.
    pub name: String,
    /// Its track.
    pub track: TrackId,
    shelf: RwLock<Shelf>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    wants_dvr: AtomicBool,
    changed: AtomicBool,
}

impl Rendition {
    /// An empty rendition of a session.
    pub fn new(session: &Arc<SessionRecord>, name: &str, track: TrackId) -> Rendition {
        let memory_limit = MEMORY_TARGET_DURATIONS * i64::from(session.target_duration) * 1_000_000;
        let shelf = Shelf {
            window: Window::new(session.clone(), track),
            parts: BTreeMap::new(),
            in_memory: 0,
            spans: HashMap::new(),
            inits: HashMap::new(),
            current: None,
            memory_limit,
        };
        Rendition {
            name: name.to_owned(),
            track,
            shelf: RwLock::new(shelf),
            snapshot: watch::Sender::new(Arc::default()),
            wants_dvr: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        }
    }

    /// Reads the shelf; never held across an await.
    pub fn read(&self) -> RwLockReadGuard<'_, Shelf> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the shelf; the feed alone does.
    pub fn write(&self) -> RwLockWriteGuard<'_, Shelf> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The versions as they come.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Asks for the DVR playlist in the next version; `true` when it was not asked for before.
    pub fn want_dvr(&self) -> bool {
        !self.wants_dvr.swap(true, Ordering::Relaxed)
    }

    /// Is the DVR playlist wanted and not in the newest version?
    pub fn is_owed_dvr(&self) -> bool {
        self.wants_dvr.load(Ordering::Relaxed) && self.snapshot.borrow().dvr.is_none()
    }

    /// The window is different from the newest version.
    pub fn mark_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Does the newest version lack something?
    pub fn is_due(&self) -> bool {
        self.changed.load(Ordering::Relaxed) || self.is_owed_dvr()
    }

    /// Has something come that is the first to be listed?
    pub fn is_new(&self) -> bool {
        self.changed.load(Ordering::Relaxed) && self.snapshot.borrow().live.is_none()
    }

    /// Renders a new version and wakes everyone who waits. `reports` are the other renditions' at
    /// this moment.
    pub fn publish(&self, reports: &[Report<'_>]) {
        self.changed.store(false, Ordering::Relaxed);
        let shelf = self.read();
        let render =
            |view, skip| playlist::render(&shelf.window, view, skip, reports).map(Text::new);
        // Whoever wants the next one too asks again: nobody pays for a reader that is gone.
        let dvr = self.wants_dvr.swap(false, Ordering::Relaxed);
        let dvr = dvr.then(|| render(View::Dvr, false).zip(render(View::Dvr, true))).flatten();
        let live = render(View::Live, false);
        let live_delta = match playlist::has_delta(&shelf.window, View::Live) {
            true => render(View::Live, true),
            false => live.clone(),
        };
        let snapshot = Snapshot {
            live,
            live_delta,
            dvr,
            state: shelf.window.is_listed().then(|| shelf.window.state()),
        };
        drop(shelf);
        self.snapshot.send_replace(Arc::new(snapshot));
    }
}

impl Shelf {
    /// A configuration came into force.
    pub fn configure(&mut self, init: Arc<Init>) {
        self.window.set_init(&init.hash);
        self.inits.entry(init.hash.as_str().into()).or_insert_with(|| init.clone());
        self.current = Some(init);
    }

    /// The configuration in force.
    pub fn current(&self) -> Option<&Arc<Init>> {
        self.current.as_ref()
    }

    /// The init section of this name.
    pub fn init(&self, hash: &str) -> Option<Bytes> {
        self.inits.get(hash).map(|i| i.bytes.clone())
    }

    /// Notes where a part's samples lie.
    pub fn note(&mut self, generation: Generation, msn: Msn, span: Span) {
        widen(self.spans.entry((generation, msn)).or_insert(span), span);
    }

    /// Where all samples lie that are noted, by generation.
    pub fn spans(&self) -> BTreeMap<Generation, Spans> {
        let mut all: BTreeMap<Generation, Spans> = BTreeMap::new();
        for ((generation, msn), span) in &self.spans {
            all.entry(*generation).or_default().insert(*msn, *span);
        }
        all
    }

    /// Keeps a part in memory, and lets go of the oldest.
    pub fn keep(&mut self, generation: Generation, first: Seq, duration: i64, cell: Cell) {
        self.in_memory += duration;
        // A log that is read again after an error brings its newest parts again.
        if let Some((_, known)) = self.parts.insert((generation, first), (Arc::new(cell), duration))
        {
            self.in_memory -= known;
        }
        while self.in_memory > self.memory_limit
            && let Some((_, (_, duration))) = self.parts.pop_first()
        {
            self.in_memory -= duration;
        }
    }

    /// Where the bytes of a part are.
    pub fn part(&self, generation: Generation, seq: Seq) -> Lookup<Place> {
        if let Some((cell, _)) = self.parts.get(&(generation, seq)) {
            return Lookup::Found(Place::Memory(vec![cell.clone()]));
        }
        self.place(self.window.part(generation, seq))
    }

    /// Where the bytes of a segment are.
    pub fn segment(&self, generation: Generation, msn: Msn) -> Lookup<Place> {
        self.place(self.window.segment(generation, msn))
    }

    fn place(&self, found: Lookup<crate::hls::lookup::Media<'_>>) -> Lookup<Place> {
        let media = match found {
            Lookup::Found(media) => media,
            Lookup::Future => return Lookup::Future,
            Lookup::Never => return Lookup::Never,
        };
        let generation = media.generation;
        let real = media.parts.iter().filter(|p| !p.gap);
        let in_memory: Option<Vec<Arc<Cell>>> = real
            .clone()
            .map(|p| self.parts.get(&(generation, p.first)).map(|c| c.0.clone()))
            .collect();
        if let Some(cells) = in_memory {
            return Lookup::Found(Place::Memory(cells));
        }
        match (self.spans.get(&(generation, media.msn)), self.inits.get(media.init)) {
            (Some(span), Some(init)) => Lookup::Found(Place::Log {
                generation,
                span: *span,
                parts: real.cloned().collect(),
                init: init.clone(),
            }),
            // Marked, but its samples are not in the log: it is damaged there.
            _ => Lookup::Never,
        }
    }
}
