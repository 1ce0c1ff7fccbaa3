//! One object on its way into the bucket: put where nothing is, proved to be there, or refused.

use crate::collect::pace::Pace;
use crate::log::carried::Carried;
use crate::log::error::LogError;
use crate::rt::task;
use crate::store::error::StoreError;
use crate::store::port::Store;
use crate::store::sum::{Sum, Summer};
use crate::store::upload::{PART_BYTES, Upload};
use bytes::Bytes;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Why an extent could not be collected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Disk(#[from] LogError),
    /// Somebody else's object has the name.
    #[error(
        "{url}: there is another object of that name ({why}): two logs have one place, so collect \
         this one to another prefix"
    )]
    Taken { url: String, why: String },
    #[error("cannot write the mark {}: {source}", path.display())]
    Mark { path: PathBuf, source: io::Error },
}

/// How an object came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It was put now.
    Sent,
    /// It was there.
    There,
}

/// Is told how many bytes have been sent.
pub(super) type Told = Arc<dyn Fn(u64) + Send + Sync>;

/// What carries: one for all logs.
pub(super) struct Carrier {
    pub(super) store: Store,
    /// One for each request that carries bytes.
    pub(super) seats: Arc<Semaphore>,
    pub(super) pace: Pace,
    /// Read everything back that was put.
    pub(super) read_back: bool,
    pub(super) sent: Told,
}

impl Carrier {
    /// Puts an extent and proves that it is there. Nothing is sent where it is there already.
    pub(super) async fn extent(
        &self,
        key: &str,
        source: &Arc<Carried>,
        sum: &Sum,
    ) -> Result<Put, Trouble> {
        let bytes = source.bytes();
        if self.there(key, bytes, sum, false).await? {
            return Ok(Put::There);
        }
        let put = match bytes <= PART_BYTES {
            true => self.whole(key, source, sum).await,
            false => self.parts(key, source, sum).await,
        };
        // A put that failed may have been done all the same: its answer was lost.
        match (put, self.there(key, bytes, sum, self.read_back).await) {
            (_, Ok(true)) => Ok(Put::Sent),
            (Err(e), Ok(false) | Err(Trouble::Store(_))) => Err(e),
            (Ok(()), Ok(false)) => {
                let (url, why) = (self.store.url_of(key), "it was put and is not there".into());
                Err(StoreError::Corrupt { url, why }.into())
            }
            (_, Err(e)) => Err(e),
        }
    }

    /// Puts a small object that describes a log, or finds the same one there.
    pub(super) async fn small(&self, key: &str, text: Vec<u8>) -> Result<(), Trouble> {
        let (bytes, url) = (Bytes::from(text), self.store.url_of(key));
        let put = self.store.create(key, bytes.clone(), &Sum::of(&bytes)).await;
        let found = match put {
            Ok(()) => return Ok(()),
            Err(StoreError::Exists { .. }) => self.store.small(key).await?,
            Err(e) => return Err(e.into()),
        };
        let why = || String::from_utf8_lossy(&found).trim().to_owned();
        if found == bytes { Ok(()) } else { Err(Trouble::Taken { url, why: why() }) }
    }

    /// Is this very object there? By its length and the checksum that it was put with, or, where
    /// the store keeps none or it was asked for, by its bytes.
    async fn there(
        &self,
        key: &str,
        bytes: u64,
        sum: &Sum,
        read_back: bool,
    ) -> Result<bool, Trouble> {
        let facts = match self.store.head(key).await {
            Ok(facts) => facts,
            Err(StoreError::NotFound { .. }) => return Ok(false),
            Err(e) => return Err(e.into()),
        };
        let url = self.store.url_of(key);
        if facts.bytes != bytes {
            let why = format!("it has {} bytes and not {bytes}", facts.bytes);
            return Err(Trouble::Taken { url, why });
        }
        let found = match facts.sum {
            Some(kept) if !read_back || kept != *sum => kept,
            _ => self.sum_of(key, bytes).await?,
        };
        let why = format!("its SHA-256 is {found} and not {sum}");
        if found == *sum { Ok(true) } else { Err(Trouble::Taken { url, why }) }
    }

    /// The checksum of an object's bytes, read a part at a time.
    async fn sum_of(&self, key: &str, bytes: u64) -> Result<Sum, Trouble> {
        let (mut summer, mut at) = (Summer::default(), 0);
        while at < bytes {
            let to = bytes.min(at + PART_BYTES);
            let _seat = self.seats.acquire().await;
            summer.take(&self.store.range(key, at..to).await?);
            at = to;
        }
        Ok(summer.sum())
    }

    async fn whole(&self, key: &str, source: &Arc<Carried>, sum: &Sum) -> Result<(), Trouble> {
        let _seat = self.seats.acquire().await;
        let bytes = read(source, 0, source.bytes()).await?;
        same(source, Sum::of(&bytes), sum)?;
        let len = bytes.len() as u64;
        self.pace.take(len).await;
        self.store.create(key, bytes, sum).await?;
        (self.sent)(len);
        Ok(())
    }

    async fn parts(&self, key: &str, source: &Arc<Carried>, sum: &Sum) -> Result<(), Trouble> {
        let mut upload = self.store.upload(key, sum).await?;
        let done = match self.send(&mut upload, source, sum).await {
            Ok(()) => upload.finish().await.map_err(Trouble::from),
            Err(e) => Err(e),
        };
        if done.is_err() {
            upload.abort().await;
        }
        done
    }

    /// Sends all parts, several at a time; what was read now is what was verified before.
    async fn send(
        &self,
        upload: &mut Upload,
        source: &Arc<Carried>,
        sum: &Sum,
    ) -> Result<(), Trouble> {
        let (mut summer, mut at, mut parts) = (Summer::default(), 0, Vec::new());
        let failed: Arc<OnceLock<StoreError>> = Arc::default();
        while at < source.bytes() && failed.get().is_none() {
            let to = source.bytes().min(at + PART_BYTES);
            let seat = Arc::clone(&self.seats).acquire_owned().await;
            let bytes = read(source, at, to).await?;
            summer.take(&bytes);
            self.pace.take(to - at).await;
            let (part, sent, failed) =
                (upload.part(bytes), Arc::clone(&self.sent), Arc::clone(&failed));
            parts.push(task::spawn("part", async move {
                match part.await {
                    Ok(()) => sent(to - at),
                    // The first one says why; the others fail alike.
                    Err(e) => drop(failed.set(e)),
                }
                drop(seat);
            }));
            at = to;
        }
        for part in parts {
            let _ = part.await;
        }
        match failed.get() {
            Some(e) => Err(e.clone().into()),
            None => same(source, summer.sum(), sum),
        }
    }
}

/// Reads where it may block.
async fn read(source: &Arc<Carried>, at: u64, to: u64) -> Result<Bytes, Trouble> {
    let source = Arc::clone(source);
    blocking(move || source.read(at..to)).await
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.expect("file work that panics is a bug")?)
}

/// The file gave the same bytes twice.
fn same(source: &Carried, now: Sum, verified: &Sum) -> Result<(), Trouble> {
    match now == *verified {
        true => Ok(()),
        false => Err(source.changed().into()),
    }
}
