//! One rendition of a watched session: its window, the parts in memory, and the newest texts that
//! viewers wait for.

use crate::base::ids::{Msn, Seq, TrackId, Writer};
use crate::base::time::Mono;
use crate::edge::media::Cell;
use crate::edge::places::Places;
use crate::edge::starts::Starts;
use crate::edge::text::{Text, Texts};
use crate::hls::lookup::{Lookup, Media};
use crate::hls::playlist::{self, Report, Skip, Version, View};
use crate::hls::reload;
use crate::hls::rewind::Whole;
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
#[derive(Debug, Default)]
pub struct Snapshot {
    /// As rendered; `None` while nothing is listed.
    version: Option<Version>,
    live: Option<Texts>,
    dvr: Option<Texts>,
    /// How far it is.
    pub state: Option<reload::State>,
    /// Since when.
    pub grown: Mono,
}

impl Snapshot {
    fn new(version: Option<Version>, state: Option<reload::State>, grown: Mono) -> Snapshot {
        let texts = |view| version.as_ref().and_then(|v| v.forms(view)).map(Texts::new);
        Snapshot { live: texts(View::Live), dvr: texts(View::Dvr), version, state, grown }
    }

    /// What playlists that begin within the DVR playlist are made of, where that was asked for.
    pub fn whole(&self) -> Option<&Arc<Whole>> {
        self.version.as_ref()?.whole.as_ref()
    }
}

/// Which of a rendition's media playlists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The live one, or the DVR one.
    View(View),
    /// The one that begins with this segment.
    From(Msn),
}

/// What changes with the marks.
#[derive(Debug)]
pub struct Shelf {
    /// What is listed.
    pub window: Window,
    parts: BTreeMap<(Writer, Seq), (Arc<Cell>, i64)>,
    in_memory: i64,
    places: Places,
    inits: HashMap<Arc<str>, Arc<Init>>,
    /// The configuration in force for samples that come.
    current: Option<Arc<Init>>,
    memory_limit: i64,
}

/// Where a media name's bytes are.
#[derive(Debug)]
pub enum Place {
    /// Here.
    Bytes(Bytes),
    /// Parts in memory.
    Memory(Vec<Arc<Cell>>),
    /// In the log.
    Log(Logged),
}

/// A segment in a log.
#[derive(Debug)]
pub struct Logged {
    /// Whose log.
    pub writer: Writer,
    /// The segment.
    pub msn: Msn,
    /// Everything that it is made of.
    pub span: Span,
    /// The part that is asked for, by its first sample; `None`: all of it.
    pub part: Option<Seq>,
    /// The configuration in force.
    pub init: Arc<Init>,
    /// Its parts carry the events of cues.
    pub carries_cues: bool,
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
    starts: Starts,
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
            places: Places::default(),
            inits: HashMap::new(),
            current: None,
            memory_limit,
        };
        Rendition {
            name: name.to_owned(),
            track,
            shelf: RwLock::new(shelf),
            snapshot: watch::Sender::new(Arc::default()),
            starts: Starts::default(),
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

    /// A playlist of a version; `None` when what it needs was not asked for in time, or is not
    /// listed.
    pub fn text(&self, version: &Snapshot, list: List, skip: Skip) -> Option<Arc<Text>> {
        let texts = match list {
            List::View(View::Live) => version.live.as_ref()?,
            List::View(View::Dvr) => version.dvr.as_ref()?,
            List::From(msn) => {
                let begin = || self.read().window.start(msn);
                let texts = self.starts.texts(msn, version.whole()?, begin)?;
                return Some(texts.get(skip).clone());
            }
        };
        Some(texts.get(skip).clone())
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
        self.changed.load(Ordering::Relaxed) && self.snapshot.borrow().version.is_none()
    }

    /// Renders a new version and wakes everyone who waits. `reports` are the other renditions' at
    /// this moment, which is `now`.
    pub fn publish(&self, reports: &[Report<'_>], now: Mono) {
        self.changed.store(false, Ordering::Relaxed);
        let before = self.snapshot.borrow().clone();
        let shelf = self.read();
        // Whoever wants the next one too asks again: nobody pays for a reader that is gone.
        let dvr = self.wants_dvr.swap(false, Ordering::Relaxed);
        let version = playlist::render(&shelf.window, reports, dvr, before.version.as_ref());
        let state = shelf.window.is_listed().then(|| shelf.window.state());
        drop(shelf);
        let grown = if state == before.state { before.grown } else { now };
        self.snapshot.send_replace(Arc::new(Snapshot::new(version, state, grown)));
    }
}

impl Shelf {
    /// A configuration came into force. True when the playlists are different now.
    pub fn configure(&mut self, init: Arc<Init>) -> bool {
        let changed = self.window.set_init(&init.hash);
        self.inits.entry(init.hash.as_str().into()).or_insert_with(|| init.clone());
        self.current = Some(init);
        changed
    }

    /// The configuration in force.
    pub fn current(&self) -> Option<&Arc<Init>> {
        self.current.as_ref()
    }

    /// The init section of this name.
    pub fn init(&self, hash: &str) -> Lookup<Place> {
        match (self.window.init(hash), self.inits.get(hash)) {
            (Lookup::Found(()), Some(init)) => Lookup::Found(Place::Bytes(init.bytes.clone())),
            (Lookup::Future, _) => Lookup::Future,
            _ => Lookup::Never,
        }
    }

    /// Notes where a part and what it needs of its segment lie; `None`: it is lost.
    pub fn note(&mut self, writer: Writer, msn: Msn, span: Option<Span>) {
        self.places.part(writer, msn, span);
    }

    /// The writers of which something is noted.
    pub fn writers(&self) -> Vec<Writer> {
        self.places.writers().collect()
    }

    /// Is all that is noted of a writer where `places` has it? They are of its log from extent
    /// `first` on.
    pub fn is_noted_in(&self, writer: Writer, places: &Places, first: u32) -> bool {
        self.places.is_in(writer, places, first)
    }

    /// Keeps a part in memory, and lets go of the oldest.
    pub fn keep(&mut self, writer: Writer, first: Seq, duration: i64, cell: Cell) {
        self.in_memory += duration;
        // A log that is read again after an error brings its newest parts again.
        if let Some((_, known)) = self.parts.insert((writer, first), (Arc::new(cell), duration)) {
            self.in_memory -= known;
        }
        while self.in_memory > self.memory_limit
            && let Some((_, (_, duration))) = self.parts.pop_first()
        {
            self.in_memory -= duration;
        }
    }

    /// Where the bytes of a part are.
    pub fn part(&self, writer: Writer, seq: Seq) -> Lookup<Place> {
        if let Some((cell, _)) = self.parts.get(&(writer, seq)) {
            return Lookup::Found(Place::Memory(vec![cell.clone()]));
        }
        self.place(self.window.part(writer, seq), Some(seq))
    }

    /// Where the bytes of a segment are.
    pub fn segment(&self, writer: Writer, msn: Msn) -> Lookup<Place> {
        self.place(self.window.segment(writer, msn), None)
    }

    fn place(&self, found: Lookup<Media<'_>>, part: Option<Seq>) -> Lookup<Place> {
        let Media { msn, writer, init, parts } = match found {
            Lookup::Found(media) => media,
            Lookup::Future => return Lookup::Future,
            Lookup::Never => return Lookup::Never,
            Lookup::Elsewhere => return Lookup::Elsewhere,
        };
        let in_memory: Option<Vec<Arc<Cell>>> = parts.and_then(|parts| {
            let real = parts.iter().filter(|p| !p.gap);
            real.map(|p| self.parts.get(&(writer, p.first)).map(|c| c.0.clone())).collect()
        });
        if let Some(cells) = in_memory {
            return Lookup::Found(Place::Memory(cells));
        }
        match (self.places.get(writer, msn), self.inits.get(init)) {
            (Some(span), Some(init)) => {
                let (init, carries_cues) = (init.clone(), self.window.carries_cues());
                let logged = Logged { writer, msn, span, part, init, carries_cues };
                Lookup::Found(Place::Log(logged))
            }
            // Marked, but its samples are not in the log: it is damaged there.
            _ => Lookup::Never,
        }
    }
}
