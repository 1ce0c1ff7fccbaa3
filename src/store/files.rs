//! Objects that others fetch over HTTP, as files: with the headers that they are answered with, and
//! the one kind that is replaced, a playlist, by whoever has seen its newest version.

use crate::store::error::StoreError;
use crate::store::port::{SMALL_MAX, SUM, Store};
use crate::store::sum::{Sum, Summer};
use bytes::Bytes;
use object_store::{Attribute, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

/// What whoever fetches an object is told of it; kept where the store keeps such things, which a
/// directory does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache: String,
}

/// Which version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(UpdateVersion);

/// The checksum of bytes in pieces.
pub fn sum_of(chunks: &[Bytes]) -> Sum {
    let mut summer = Summer::default();
    chunks.iter().for_each(|chunk| summer.take(chunk));
    summer.sum()
}

impl Store {
    fn options(&self, sum: &Sum, headers: &Headers, mode: PutMode) -> PutOptions {
        let mut attributes = self.attributes(sum);
        if self.keeps_sums() {
            attributes.insert(Attribute::ContentType, headers.content_type.into());
            attributes.insert(Attribute::CacheControl, headers.cache.clone().into());
        }
        PutOptions { mode, attributes, ..PutOptions::default() }
    }

    /// Puts a file, if there is none of that name. One of the same bytes is as good.
    ///
    /// # Errors
    /// There is another one, or the store does not take it.
    pub async fn publish(
        &self,
        key: &str,
        chunks: &[Bytes],
        headers: &Headers,
    ) -> Result<(), StoreError> {
        let sum = sum_of(chunks);
        let payload: PutPayload = chunks.iter().cloned().collect();
        let options = self.options(&sum, headers, PutMode::Create);
        let put = self.inner().put_opts(&self.path(key), payload, options).await;
        match put.map(drop).map_err(self.refused(key)) {
            Err(taken @ StoreError::Exists { .. }) => match self.has(key, chunks, &sum).await? {
                true => Ok(()),
                false => Err(taken),
            },
            put => put,
        }
    }

    /// Has the object of this name these bytes?
    async fn has(&self, key: &str, chunks: &[Bytes], sum: &Sum) -> Result<bool, StoreError> {
        let bytes: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let facts = self.head(key).await?;
        if facts.bytes != bytes {
            return Ok(false);
        }
        match facts.sum {
            Some(known) => Ok(known == *sum),
            None => Ok(Sum::of(&self.range(key, 0..bytes).await?) == *sum),
        }
    }

    /// A file as it is now, if it is there.
    ///
    /// # Errors
    /// It can't be read, or is larger than [`SMALL_MAX`].
    pub async fn current(&self, key: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        let got = match self.inner().get(&self.path(key)).await.map_err(self.failed(key)) {
            Ok(got) => got,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        if got.meta.size > SMALL_MAX {
            let why = format!("it has {} bytes, a live playlist has thousands", got.meta.size);
            return Err(StoreError::Corrupt { url: self.url_of(key), why });
        }
        let version = Version(UpdateVersion {
            e_tag: got.meta.e_tag.clone(),
            version: got.meta.version.clone(),
        });
        let sum = got.attributes.get(&SUM).and_then(|sum| sum.parse::<Sum>().ok());
        let bytes = got.bytes().await.map_err(self.failed(key))?;
        match sum {
            Some(sum) if sum != Sum::of(&bytes) => {
                let why = "its bytes are not those that were put".to_owned();
                Err(StoreError::Corrupt { url: self.url_of(key), why })
            }
            _ => Ok(Some((bytes, version))),
        }
    }

    /// Puts a file in place of the version `of`, or, without one, where there is none.
    ///
    /// A directory cannot tie a put to a version: there it is compared right before the put.
    ///
    /// # Errors
    /// [`StoreError::Exists`]: there is another version, which may be this put's own, when the
    /// answer to its first try was lost. Else the store does not take it.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        of: Option<&Version>,
        headers: &Headers,
    ) -> Result<Version, StoreError> {
        let mode = match of {
            None => PutMode::Create,
            Some(Version(of)) if self.keeps_sums() => PutMode::Update(of.clone()),
            Some(of) => {
                let url = self.url_of(key);
                let same = self.current(key).await?.is_some_and(|(_, now)| now == *of);
                same.then_some(PutMode::Overwrite).ok_or(StoreError::Exists { url })?
            }
        };
        let options = self.options(&Sum::of(&bytes), headers, mode);
        let put = self.inner().put_opts(&self.path(key), bytes.into(), options).await;
        let put = put.map_err(self.refused(key))?;
        Ok(Version(put.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::{Access, in_memory, open};

    fn headers(cache: &str) -> Headers {
        Headers { content_type: "video/mp4", cache: cache.to_owned() }
    }

    async fn suite(store: &Store) {
        let media = [Bytes::from_static(b"moof"), Bytes::from_static(b"mdat")];
        let long = headers("public, max-age=31536000, immutable");
        store.publish("a/one.m4s", &media, &long).await.expect("put");
        store.publish("a/one.m4s", &[Bytes::from_static(b"moofmdat")], &long).await.expect("same");
        for other in [&b"moofmdaT"[..], b"moof"] {
            let other = [Bytes::from_static(other)];
            let e = store.publish("a/one.m4s", &other, &long).await.expect_err("another");
            assert!(matches!(e, StoreError::Exists { .. }), "{e}");
        }
        let short = headers("public, max-age=2");
        let text = |n: u8| Bytes::from(format!("#EXTM3U {n}"));
        assert_eq!(store.current("a/index.m3u8").await.expect("read"), None);
        let first = store.replace("a/index.m3u8", text(1), None, &short).await.expect("put");
        let taken = store.replace("a/index.m3u8", text(9), None, &short).await;
        assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
        let second = store.replace("a/index.m3u8", text(22), Some(&first), &short).await;
        let second = second.expect("put");
        let late = store.replace("a/index.m3u8", text(3), Some(&first), &short).await;
        assert!(matches!(late, Err(StoreError::Exists { .. })), "{late:?}");
        let (now, version) = store.current("a/index.m3u8").await.expect("read").expect("there");
        assert_eq!(now, text(22));
        store.replace("a/index.m3u8", text(4), Some(&version), &short).await.expect("put");
        let late = store.replace("a/index.m3u8", text(5), Some(&second), &short).await;
        assert!(matches!(late, Err(StoreError::Exists { .. })), "{late:?}");
    }

    #[tokio::test]
    async fn files_are_put_once_and_playlists_by_who_has_seen_the_newest() {
        suite(&in_memory()).await;
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("file://{}/pre/fix", dir.path().display());
        suite(&open(&url, &Access::default()).expect("a store")).await;
    }
}
