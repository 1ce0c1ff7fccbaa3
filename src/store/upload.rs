//! An object that is put in parts.

use crate::store::error::StoreError;
use bytes::Bytes;
use object_store::MultipartUpload;
use std::future::Future;

/// Bytes of a part. S3 takes none below 5 MiB but the last, and 10,000 of them; this is held in
/// memory for each request under way, and sent again whole where one fails.
pub const PART_BYTES: u64 = 8 << 20;

/// An upload under way. One that is dropped leaves its parts with the store, where nobody sees them
/// and a lifecycle rule takes them away; so [`Upload::abort`] it.
pub struct Upload {
    inner: Box<dyn MultipartUpload>,
    url: String,
}

impl Upload {
    pub(super) fn new(inner: Box<dyn MultipartUpload>, url: String) -> Upload {
        Upload { inner, url }
    }

    /// Sends the next part, which has [`PART_BYTES`] unless it is the last. Parts may be under way
    /// together; their order is that of these calls.
    pub fn part(
        &mut self,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (sent, url) = (self.inner.put_part(bytes.into()), self.url.clone());
        async move { sent.await.map_err(|e| StoreError::of(url, e)) }
    }

    /// Makes the object visible, once every part was sent.
    ///
    /// # Errors
    /// The store does not do it, or its answer was lost: then the object may be there.
    pub async fn finish(&mut self) -> Result<(), StoreError> {
        let done = self.inner.complete().await;
        done.map(drop).map_err(|e| StoreError::of(self.url.clone(), e))
    }

    /// Takes away what was sent. Nobody saw it; what cannot be taken away now is left to the
    /// store's lifecycle rule.
    pub async fn abort(&mut self) {
        if let Err(e) = self.inner.abort().await {
            tracing::debug!(url = self.url, "the parts of an upload could not be taken away: {e}");
        }
    }
}
