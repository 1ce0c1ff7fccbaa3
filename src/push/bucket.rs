//! A bucket that is tried until it does what it is asked for.

use crate::push::error::PushError;
use crate::push::health::Health;
use crate::push::metrics::Push;
use crate::rt::backoff::Backoff;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::store::error::StoreError;
use crate::store::files::{Headers, Version};
use crate::store::port::Store;
use bytes::Bytes;
use std::future::Future;
use std::time::Duration;

/// First pause before something is tried again, and the longest: the store's own tries (some
/// seconds of them) came before.
pub(super) const RETRY: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) store: Store,
    pub(super) metrics: Push,
    pub(super) health: Health,
    pub(super) clock: Clock,
    /// Once this has started, what fails is not tried again.
    pub(super) drain: Drain,
}

impl Bucket {
    async fn again<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, PushError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let why = match ask().await {
                Err(e @ StoreError::Exists { .. }) => {
                    self.health.well(self.store.url());
                    return Err(PushError::Taken(e));
                }
                Err(e) => e,
                Ok(done) => {
                    self.health.well(self.store.url());
                    return Ok(done);
                }
            };
            self.metrics.failures.inc();
            let now = self.clock.now().mono;
            self.health.failed(self.store.url(), &why, now);
            if self.drain.started() {
                return Err(PushError::Stopped);
            }
            tokio::select! {
                () = self.clock.sleep_until(now.plus(backoff.pause())) => {}
                () = self.drain.wait() => {}
            }
        }
    }

    /// Puts a file of media. One of the same bytes is as good.
    pub(super) async fn publish(
        &self,
        key: &str,
        chunks: &[Bytes],
        headers: &Headers,
    ) -> Result<(), PushError> {
        self.again(|| self.store.publish(key, chunks, headers)).await?;
        self.metrics.bytes.inc_by(chunks.iter().map(|chunk| chunk.len() as u64).sum());
        Ok(())
    }

    /// A playlist as it is there.
    pub(super) async fn current(&self, key: &str) -> Result<Option<(String, Version)>, PushError> {
        let found = self.again(|| self.store.current(key)).await?;
        found
            .map(|(bytes, version)| match String::from_utf8(bytes.into()) {
                Ok(text) => Ok((text, version)),
                Err(_) => Err(self.foreign(key)),
            })
            .transpose()
    }

    /// Puts a playlist in place of the version that was seen, or where there was none.
    ///
    /// # Errors
    /// [`PushError::Taken`]: it is another version.
    pub(super) async fn replace(
        &self,
        key: &str,
        text: &str,
        of: Option<&Version>,
        headers: &Headers,
    ) -> Result<Version, PushError> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let put = self.again(|| self.store.replace(key, bytes.clone(), of, headers)).await?;
        self.metrics.playlists.inc();
        Ok(put)
    }

    /// What is there is something else.
    pub(super) fn foreign(&self, key: &str) -> PushError {
        PushError::Foreign { url: self.store.url_of(key) }
    }
}
