//! The logs that a bucket has, read by range as those of a disk are. What lies in a bucket never
//! changes, so what was read of it stays good; there may only be more of it later.

use crate::base::time::Mono;
use crate::catalog::about::Sealed;
use crate::catalog::key::{Key, Part};
use crate::log::batch::Batch;
use crate::log::dir::place;
use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::version::{Range as Versions, Wrote};
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Open};
use crate::log::id::{LogId, extent_index};
use crate::log::index::Index;
use crate::log::logs::{READ_MAX, blocking};
use crate::log::reader::{ExtentReader, wrote};
use crate::log::shared::lock;
use crate::log::site::{Files, Site};
use crate::log::subscription::{Piece, Subscription};
use crate::rt::clock::Clock;
use crate::store::open::{Access, open};
use crate::store::port::SMALL_MAX;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Footers that are read together: each costs some small ranges, whose answers are a round trip
/// away, and a day's log has 1,440.
const FOOTERS: usize = 16;

/// How long a log that the bucket did not have whole is not looked for again: a collector brings
/// what is new about once a minute, and who waits for a writer asks five times a second.
const AGAIN: Duration = Duration::from_secs(5);

/// Logs of which that is remembered; then they are forgotten, and looked for again.
const MISSED: usize = 10_000;

/// A bucket, and a prefix in it. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

struct Inner {
    fs: Arc<dyn FileSystem>,
    root: PathBuf,
    clock: Clock,
    /// When a log was looked for that was not there, or not all of it.
    missed: Mutex<HashMap<LogId, Mono>>,
}

impl Bucket {
    /// The bucket at a URL; the environment says how it is reached. Nothing is asked of it yet.
    ///
    /// # Errors
    /// The URL is none of a store that is known, or the environment says something impossible.
    pub fn open(url: &str, clock: Clock) -> Result<Bucket, LogError> {
        // A path on the disk is a place too, but no store.
        open(url, &Access::from_env())?;
        let (fs, root) = place(Path::new(url.trim_end_matches('/')))?;
        Ok(Bucket::on(fs, &root, clock))
    }

    /// On a file system that is open already.
    pub(super) fn on(fs: Arc<dyn FileSystem>, root: &Path, clock: Clock) -> Bucket {
        let (root, missed) = (root.to_owned(), Mutex::default());
        Bucket { inner: Arc::new(Inner { fs, root, clock, missed }) }
    }

    pub(super) fn files(&self, id: &LogId) -> Files {
        let Inner { fs, root, .. } = &*self.inner;
        let (id, dir) = (id.clone(), root.join(id.to_string()));
        let (fs, reads) = (Arc::clone(fs), Versions::TODAY);
        Files { fs, id, dir, reads, live: None, damages: None }
    }

    /// The marks of what there is of a log, from its beginning on to the first extent that is not
    /// there; `None` where there is nothing.
    ///
    /// # Errors
    /// The bucket can't be read, or what is there is damaged.
    pub async fn index(&self, id: &LogId) -> Result<Option<Index>, LogError> {
        let files = self.files(id);
        let (inner, of) = (Arc::clone(&self.inner), files.clone());
        let there = blocking(&files.dir, move || inner.there(&of)).await?;
        let Some((extents, sealed)) = there else { return Ok(None) };
        let footers = footers(&files, 0..extents).await?;
        let tail = Position { extent: extents, ..HEADER_POSITION };
        let mut index = Index { footers, tail, sealed: false };
        if sealed == Some(extents) {
            index.sealed = true;
            index.tail = index.footers.last().map_or(HEADER_POSITION, |last| last.end());
        }
        Ok(Some(index))
    }

    /// The marks of these extents of a log; `None` where not all of them are there.
    ///
    /// # Errors
    /// As [`Bucket::index`].
    pub(super) async fn part(
        &self,
        id: &LogId,
        extents: Range<u32>,
    ) -> Result<Option<Vec<Arc<Footer>>>, LogError> {
        match self.reaches(id, extents.end).await? {
            true => footers(&self.files(id), extents).await.map(Some),
            false => Ok(None),
        }
    }

    /// Is all of a log there that comes before an extent?
    ///
    /// # Errors
    /// The bucket can't be read.
    pub(super) async fn reaches(&self, id: &LogId, extent: u32) -> Result<bool, LogError> {
        let (inner, files) = (Arc::clone(&self.inner), self.files(id));
        let there = blocking(&files.dir.clone(), move || inner.there(&files)).await?;
        Ok(there.is_some_and(|(extents, _)| extents >= extent))
    }

    /// As [`Bucket::index`], of a log that is all there; `None` also where it is not known to be,
    /// or was not a moment ago.
    pub(super) async fn whole(&self, id: &LogId) -> Result<Option<Index>, LogError> {
        let Inner { clock, missed, .. } = &*self.inner;
        let now = clock.now().mono;
        if lock(missed).get(id).is_some_and(|at| now.since(*at) < AGAIN) {
            return Ok(None);
        }
        if let Some(index) = self.index(id).await?
            && index.sealed
        {
            return Ok(Some(index));
        }
        let mut missed = lock(missed);
        if missed.len() >= MISSED {
            missed.clear();
        }
        missed.insert(id.clone(), now);
        Ok(None)
    }

    /// The records from one position up to another, as [`crate::log::logs::Logs::read`].
    pub(super) async fn read(
        &self,
        id: &LogId,
        range: Range<Position>,
    ) -> Result<Vec<Batch>, LogError> {
        self.subscribe(id, range.start).up_to(range.end, READ_MAX).await
    }

    /// What there is at a position, as [`crate::log::logs::Logs::piece`].
    pub(super) async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        self.subscribe(id, from).now().await
    }

    /// Reads from a position on, to the end of what is there.
    pub(super) fn subscribe(&self, id: &LogId, from: Position) -> Subscription {
        Subscription::new(Site::Disk(self.files(id)), from)
    }

    /// Which version wrote a log, and who may read it.
    pub(super) async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        let files = self.files(id);
        blocking(&files.dir.clone(), move || wrote(&files)).await
    }
}

impl Inner {
    /// How many extents of a log are there from its beginning on, and how many it has, where it is
    /// known that none follows. Blocks.
    fn there(&self, files: &Files) -> Result<Option<(u32, Option<u32>)>, LogError> {
        let names = match files.fs.list(&files.dir) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LogError::io("list", &files.dir, e)),
        };
        let mut found: Vec<u32> = names.iter().filter_map(|n| extent_index(n)).collect();
        found.sort_unstable();
        let extents = (0..).zip(&found).take_while(|(at, n)| at == *n).count() as u32;
        if extents == 0 {
            return Ok(None);
        }
        let path = self.root.join(Key::of(&files.id, Part::Sealed));
        let named = path.file_name().and_then(|n| n.to_str());
        let sealed = match names.iter().any(|n| Some(n.as_str()) == named) {
            true => Some(sealed(files.fs.as_ref(), &path)?),
            false => None,
        };
        Ok(Some((extents, sealed)))
    }
}

/// How many extents a log has, as its last object says. Blocks.
fn sealed(fs: &dyn FileSystem, path: &Path) -> Result<u32, LogError> {
    let read = || {
        let file = fs.open(path, Open::Read)?;
        let mut bytes = vec![0; file.len()?.min(SMALL_MAX) as usize];
        let n = file.read_at(&mut bytes, 0)?;
        bytes.truncate(n);
        Ok(bytes)
    };
    let bytes = read().map_err(|e| LogError::io("read", path, e))?;
    let said = serde_json::from_slice::<Sealed>(&bytes);
    let bad = |why| LogError::Damaged { path: path.to_owned(), offset: 0, why };
    said.map(|sealed| sealed.extents).map_err(|e| bad(e.to_string()))
}

/// What the ends of these extents say, several read at a time.
async fn footers(files: &Files, extents: Range<u32>) -> Result<Vec<Arc<Footer>>, LogError> {
    let (all, mut found) = (Vec::from_iter(extents), Vec::new());
    for some in all.chunks(FOOTERS) {
        let read = |extent: u32| {
            let files = files.clone();
            tokio::task::spawn_blocking(move || footer(&files, extent))
        };
        let some: Vec<_> = some.iter().copied().map(read).collect();
        for footer in some {
            let footer = footer.await.expect("file work that panics is a bug")?;
            found.push(Arc::new(footer));
        }
    }
    Ok(found)
}

/// What an extent's end says. Blocks.
fn footer(files: &Files, extent: u32) -> Result<Footer, LogError> {
    let path = files.dir.join(crate::log::id::extent_name(extent));
    let footer = match ExtentReader::open(files.place(), extent)? {
        Some(reader) => reader.footer()?,
        None => None,
    };
    let none = || "it has no footer, and nothing else is collected".to_owned();
    footer.ok_or_else(|| LogError::Damaged { path, offset: 0, why: none() })
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.inner.root.display())
    }
}
