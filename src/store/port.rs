//! The port: what castctl asks of a store.

use crate::store::error::StoreError;
use crate::store::sum::Sum;
use crate::store::upload::{PART_BYTES, Upload};
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions,
};
use std::ops::Range;
use std::sync::Arc;

/// Most bytes that are read of an object as a whole: what describes a log has hundreds.
pub const SMALL_MAX: u64 = 1 << 20;

/// The name of the metadata that has the checksum; Azure takes no hyphens in names.
pub(super) const SUM_NAME: &str = "castctl_sha256";

/// It, in the library's words.
pub(super) const SUM: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed(SUM_NAME));

/// A prefix in a bucket, and everything in it. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    base: Path,
    keeps_sums: bool,
}

/// What a store says of an object without giving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its length.
    pub bytes: u64,
    /// The checksum that it was put with, where the store keeps one.
    pub sum: Option<Sum>,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name below the store's prefix.
    pub key: String,
    /// Its length.
    pub bytes: u64,
}

/// What lies directly below a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Names that have others below them.
    pub folders: Vec<String>,
    /// Objects.
    pub objects: Vec<String>,
}

impl Store {
    pub(super) fn new(
        inner: Arc<dyn ObjectStore>,
        url: &str,
        base: Path,
        keeps_sums: bool,
    ) -> Store {
        Store { inner, url: url.trim_end_matches('/').into(), base, keeps_sums }
    }

    /// Where it is, without a slash at the end: a name for it that does not change.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Does it keep checksums beside its objects?
    pub fn keeps_sums(&self) -> bool {
        self.keeps_sums
    }

    /// An object's URL, for messages.
    pub fn url_of(&self, key: &str) -> String {
        match key {
            "" => self.url.to_string(),
            key => format!("{}/{key}", self.url),
        }
    }

    pub(super) fn inner(&self) -> &dyn ObjectStore {
        &*self.inner
    }

    pub(super) fn path(&self, key: &str) -> Path {
        let parts = key.split('/').filter(|part| !part.is_empty());
        self.base.parts().chain(parts.map(Into::into)).collect()
    }

    pub(super) fn failed(&self, key: &str) -> impl Fn(object_store::Error) -> StoreError {
        let url = self.url_of(key);
        move |e| StoreError::of(url.clone(), e)
    }

    /// What a put can't find is the bucket.
    pub(super) fn refused(&self, key: &str) -> impl Fn(object_store::Error) -> StoreError {
        let (failed, url) = (self.failed(key), self.url_of(key));
        move |e| match failed(e) {
            StoreError::NotFound { .. } => {
                let why = "there is no such bucket".to_owned();
                StoreError::Unavailable { url: url.clone(), why }
            }
            e => e,
        }
    }

    pub(super) fn attributes(&self, sum: &Sum) -> Attributes {
        match self.keeps_sums {
            true => Attributes::from_iter([(SUM, sum.to_string())]),
            false => Attributes::new(),
        }
    }

    /// Puts an object whole, if there is none of that name. `bytes` are at most [`PART_BYTES`].
    ///
    /// # Errors
    /// There is one, or the store does not take it. A put whose answer was lost may have been
    /// done: the object is then found, also by this put's own second try.
    pub async fn create(&self, key: &str, bytes: Bytes, sum: &Sum) -> Result<(), StoreError> {
        debug_assert!(bytes.len() as u64 <= PART_BYTES, "a larger object is uploaded in parts");
        let attributes = self.attributes(sum);
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        let put = self.inner.put_opts(&self.path(key), bytes.into(), options).await;
        put.map(drop).map_err(self.refused(key))
    }

    /// Begins an upload in parts. Nothing is visible before [`Upload::finish`].
    pub async fn upload(&self, key: &str, sum: &Sum) -> Result<Upload, StoreError> {
        let attributes = self.attributes(sum);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let begun = self.inner.put_multipart_opts(&self.path(key), options).await;
        Ok(Upload::new(begun.map_err(self.refused(key))?, self.url_of(key)))
    }

    /// What there is to know of an object without reading it.
    pub async fn head(&self, key: &str) -> Result<Facts, StoreError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let got = self.inner.get_opts(&self.path(key), options).await;
        let got = got.map_err(self.failed(key))?;
        let sum = got.attributes.get(&SUM).and_then(|sum| sum.parse().ok());
        Ok(Facts { bytes: got.meta.size, sum })
    }

    /// Reads a small object whole; its checksum is verified where the store keeps one.
    ///
    /// # Errors
    /// It is larger than [`SMALL_MAX`], or its bytes are not those that were put.
    pub async fn small(&self, key: &str) -> Result<Bytes, StoreError> {
        let got = self.inner.get(&self.path(key)).await.map_err(self.failed(key))?;
        let corrupt = |why: String| StoreError::Corrupt { url: self.url_of(key), why };
        if got.meta.size > SMALL_MAX {
            let why = format!("it has {} bytes, such objects have hundreds", got.meta.size);
            return Err(corrupt(why));
        }
        let sum = got.attributes.get(&SUM).and_then(|sum| sum.parse::<Sum>().ok());
        let bytes = got.bytes().await.map_err(self.failed(key))?;
        match sum {
            Some(sum) if sum != Sum::of(&bytes) => Err(corrupt(format!(
                "its bytes have the checksum {}, and were put with {sum}",
                Sum::of(&bytes)
            ))),
            _ => Ok(bytes),
        }
    }

    /// Reads a range of an object, all of it.
    ///
    /// # Errors
    /// The object ends before, or cannot be read.
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let want = range.end.saturating_sub(range.start);
        if want == 0 {
            return Ok(Bytes::new());
        }
        let got = self.inner.get_range(&self.path(key), range.clone()).await;
        let got = got.map_err(self.failed(key))?;
        if got.len() as u64 != want {
            let why = format!("{} bytes came of bytes {range:?}", got.len());
            return Err(StoreError::Corrupt { url: self.url_of(key), why });
        }
        Ok(got)
    }

    /// Every object below a name, and behind `after` where that is given, in the order of their
    /// names.
    pub async fn list(&self, under: &str, after: Option<&str>) -> Result<Vec<Entry>, StoreError> {
        let path = self.path(under);
        let mut all = match after {
            Some(after) => self.inner.list_with_offset(Some(&path), &self.path(after)),
            None => self.inner.list(Some(&path)),
        };
        let mut found = Vec::new();
        while let Some(object) = all.next().await {
            let object = object.map_err(self.failed(under))?;
            if let Some(key) = self.key(&object.location) {
                found.push(Entry { key, bytes: object.size });
            }
        }
        found.sort();
        Ok(found)
    }

    /// What lies directly below a name, in order.
    pub async fn folder(&self, name: &str) -> Result<Folder, StoreError> {
        let path = self.path(name);
        let listed = self.inner.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(self.failed(name))?;
        let last = |path: &Path| path.filename().map(str::to_owned);
        let mut found = Folder {
            folders: listed.common_prefixes.iter().filter_map(last).collect(),
            objects: listed.objects.iter().filter_map(|o| last(&o.location)).collect(),
        };
        found.folders.sort();
        found.objects.sort();
        Ok(found)
    }

    /// Takes an object away; one that is not there is no error everywhere.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.inner.delete(&self.path(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            deleted => deleted.map_err(self.failed(key)),
        }
    }

    fn key(&self, path: &Path) -> Option<String> {
        let below: Vec<String> =
            path.prefix_match(&self.base)?.map(|part| part.as_ref().to_owned()).collect();
        Some(below.join("/"))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.url)
    }
}
