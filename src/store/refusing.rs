//! A store in memory that refuses what it is told to refuse, as one does whose permissions were
//! changed, and notes what it was asked. For tests of those who use stores.

use crate::rt::clock::Clock;
use crate::store::port::Store;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a request takes.
const TAKES: Duration = Duration::from_millis(50);

/// What it refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Refused {
    #[default]
    Nothing,
    Everything,
    /// Reading goes on.
    Puts,
}

/// What it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Requests that were refused.
    pub(crate) refused: u64,
    /// How often each object was put.
    pub(crate) puts: BTreeMap<String, u32>,
    /// Most bytes that all puts had under way at one time.
    pub(crate) held_max: usize,
    held: usize,
    now: Refused,
}

/// Tells the store what to refuse. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Refusing {
    clock: Clock,
    asked: Arc<Mutex<Asked>>,
    inner: Arc<InMemory>,
}

/// Such a store, and who tells it.
pub(crate) fn refusing(clock: &Clock) -> (Store, Refusing) {
    let (asked, inner) = (Arc::default(), Arc::default());
    let refusing = Refusing { clock: clock.clone(), asked, inner };
    let store = Store::new(Arc::new(refusing.clone()), "memory:///", Path::default(), true);
    (store, refusing)
}

type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

impl Refusing {
    /// What it refuses from now on.
    pub(crate) fn refuse(&self, what: Refused) {
        self.lock().now = what;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Asked {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn may(&self, path: &Path, refused_with: &[Refused]) -> Result<()> {
        let at = self.clock.now().mono.plus(TAKES);
        self.clock.sleep_until(at).await;
        let mut asked = self.lock();
        if !refused_with.contains(&asked.now) {
            return Ok(());
        }
        asked.refused += 1;
        Err(Error::PermissionDenied { path: path.to_string(), source: "403 Forbidden".into() })
    }
}

const ALWAYS: [Refused; 1] = [Refused::Everything];
const PUTS: [Refused; 2] = [Refused::Everything, Refused::Puts];

impl ObjectStore for Refusing {
    fn put_opts<'s, 'p, 'f>(
        &'s self,
        location: &'p Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Answer<'f, PutResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let bytes = payload.content_length();
            {
                let mut asked = self.lock();
                asked.held += bytes;
                asked.held_max = asked.held_max.max(asked.held);
            }
            let may = self.may(location, &PUTS).await;
            self.lock().held -= bytes;
            may?;
            let put = self.inner.put_opts(location, payload, opts).await?;
            *self.lock().puts.entry(location.to_string()).or_default() += 1;
            Ok(put)
        })
    }

    fn put_multipart_opts<'s, 'p, 'f>(
        &'s self,
        location: &'p Path,
        opts: PutMultipartOptions,
    ) -> Answer<'f, Box<dyn MultipartUpload>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            self.may(location, &PUTS).await?;
            self.inner.put_multipart_opts(location, opts).await
        })
    }

    fn get_opts<'s, 'p, 'f>(
        &'s self,
        location: &'p Path,
        options: GetOptions,
    ) -> Answer<'f, GetResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            self.may(location, &ALWAYS).await?;
            self.inner.get_opts(location, options).await
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'s, 'p, 'f>(&'s self, prefix: Option<&'p Path>) -> Answer<'f, ListResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'a, 'b, 'f>(
        &'s self,
        from: &'a Path,
        to: &'b Path,
        options: CopyOptions,
    ) -> Answer<'f, ()>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        self.inner.copy_opts(from, to, options)
    }
}

impl std::fmt::Display for Refusing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Refusing({})", self.inner)
    }
}
