//! An archive as a file system: a bucket that is listed and read by range, with the paths that its
//! objects' URLs are. So whatever reads a log on a disk reads an archived one. Nothing can be
//! written.
//!
//! Requests are made by a thread of its own; whoever reads waits, as for a disk.

use crate::base::error::Kind;
use crate::log::error::LogError;
use crate::log::fs::{FileSystem, Lock, LogFile, Open};
use crate::rt::task;
use crate::store::error::StoreError;
use crate::store::open::{Access, open};
use crate::store::port::Store;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What is fetched for a small read: the end of most extents with its footer, in one request.
const BLOCK: u64 = 64 << 10;

/// Most that is fetched in one request: a slow line brings this much in the time that one may take.
const FETCH: usize = 8 << 20;

/// Blocks of an extent that are kept: the one with its header, those with its trailer and with the
/// beginning of its footer.
const BLOCKS: usize = 3;

/// Objects that are kept open: whoever reads on in an extent, and viewers after viewers, find its
/// ends at hand. 192 KiB each.
const OPENED: usize = 64;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A bucket, read.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    door: Door,
    /// Those that were opened last, oldest first. None is ever another one later.
    opened: Arc<Mutex<VecDeque<Arc<Object>>>>,
}

/// Where requests go.
#[derive(Debug, Clone)]
struct Door {
    store: Store,
    ask: UnboundedSender<Work>,
}

impl Archive {
    /// The bucket that a URL lies in. Nothing is asked of it yet.
    pub(super) fn open(url: &str, access: &Access) -> Result<Archive, LogError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let bucket = rest.split('/').next().unwrap_or_default();
        Archive::over(open(&format!("{scheme}://{bucket}"), access)?)
    }

    /// A store whose objects have paths below its URL.
    pub(super) fn over(store: Store) -> Result<Archive, LogError> {
        let failed = |e| LogError::io("start a thread for", Path::new(store.url()), e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (ask, mut asked) = unbounded_channel::<Work>();
        let serve = move || {
            runtime.block_on(async move {
                while let Some(work) = asked.recv().await {
                    task::spawn("archive", work);
                }
            });
        };
        std::thread::Builder::new().name("archive".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Archive { door: Door { store, ask }, opened: Arc::default() })
    }

    /// The name of the object with this path.
    fn key(&self, path: &Path) -> io::Result<String> {
        let text = path.to_str().and_then(|text| text.strip_prefix(self.door.store.url()));
        let key = text.map(|text| text.trim_matches('/').to_owned());
        key.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Door {
    /// Waits for what a future answers on the archive's thread.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> io::Result<T> {
        let (tell, answer) = std::sync::mpsc::channel();
        let gone = || io::Error::other("the archive's thread is gone");
        let work = Box::pin(async move {
            // Whoever asked waits for it.
            let _ = tell.send(work.await);
        });
        self.ask.send(work).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?.map_err(to_io)
    }
}

fn to_io(e: StoreError) -> io::Error {
    let kind = match e.kind() {
        Kind::NotFound => io::ErrorKind::NotFound,
        Kind::Denied => io::ErrorKind::PermissionDenied,
        Kind::DataLoss => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, e)
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl FileSystem for Archive {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (store, key) = (self.door.store.clone(), self.key(dir)?);
        let found = self.door.wait(async move { store.folder(&key).await })?;
        let names: Vec<String> = found.folders.into_iter().chain(found.objects).collect();
        match names.is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(names),
        }
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        if how != Open::Read {
            return read_only();
        }
        let (store, key) = (self.door.store.clone(), self.key(path)?);
        let opened = || self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(object) = opened().iter().find(|object| object.key == key) {
            return Ok(Arc::clone(object) as Arc<dyn LogFile>);
        }
        let name = key.clone();
        let facts = self.door.wait(async move { store.head(&name).await })?;
        let (door, blocks) = (self.door.clone(), Mutex::default());
        let object = Arc::new(Object { door, key, len: facts.bytes, blocks });
        let mut opened = opened();
        if opened.len() >= OPENED {
            opened.pop_front();
        }
        opened.push_back(Arc::clone(&object));
        Ok(object)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        read_only()
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }

    fn is_read_only(&self, _: &Path) -> io::Result<bool> {
        Ok(true)
    }
}

/// One object. It never changes while it is read: its name has one content.
struct Object {
    door: Door,
    key: String,
    len: u64,
    /// The newest blocks that were fetched, by their numbers.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl Object {
    fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (store, key) = (self.door.store.clone(), self.key.clone());
        self.door.wait(async move { store.range(&key, range).await })
    }

    fn block(&self, n: u64) -> io::Result<Bytes> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = blocks.iter().find(|(have, _)| *have == n) {
            return Ok(bytes.clone());
        }
        let bytes = self.fetch(n * BLOCK..((n + 1) * BLOCK).min(self.len))?;
        if blocks.len() >= BLOCKS {
            blocks.pop_front();
        }
        blocks.push_back((n, bytes.clone()));
        Ok(bytes)
    }
}

impl LogFile for Object {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = offset.saturating_add(buf.len() as u64).min(self.len);
        let want = end.saturating_sub(offset) as usize;
        if want as u64 > BLOCK {
            let mut at = offset;
            for piece in buf[..want].chunks_mut(FETCH) {
                let to = at + piece.len() as u64;
                piece.copy_from_slice(&self.fetch(at..to)?);
                at = to;
            }
            return Ok(want);
        }
        let mut at = 0;
        while at < want {
            let place = offset + at as u64;
            let block = self.block(place / BLOCK)?;
            let from = &block[(place % BLOCK) as usize..];
            let n = from.len().min(want - at);
            buf[at..at + n].copy_from_slice(&from[..n]);
            at += n;
        }
        Ok(want)
    }

    fn write_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        read_only()
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        read_only()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        read_only()
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({})", self.key)
    }
}
