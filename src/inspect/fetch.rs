//! Fetching playlists and media: bounded in size and time, counted.

use crate::base::time::Now;
use crate::inspect::error::InspectError;
use crate::inspect::playlist::File;
use crate::rt::clock::Clock;
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::time::Duration;

/// Largest playlist in bytes: a DVR window of a day at 2 s has some 4 MiB.
pub(super) const PLAYLIST_MAX: usize = 16 << 20;

/// Largest media file in bytes: 10 s of 50 Mbit/s.
pub(super) const MEDIA_MAX: usize = 64 << 20;

/// Longest wait for an answer. Servers hold a blocking reload for up to three target durations.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP client.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    clock: Clock,
    bytes: Cell<u64>,
}

impl Http {
    pub(super) fn new(clock: Clock) -> Result<Http, InspectError> {
        let agent = concat!("castctl/", env!("CARGO_PKG_VERSION"));
        let client = reqwest::Client::builder().timeout(TIMEOUT).user_agent(agent).build();
        let client = client.map_err(|e| failed("the client", &e))?;
        Ok(Http { client, clock, bytes: Cell::new(0) })
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) async fn sleep(&self, d: Duration) {
        self.clock.sleep_until(self.now().mono.plus(d)).await;
    }

    /// Bytes of all bodies so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// An address as a page at `base` means it.
    pub(super) fn join(base: &str, relative: &str) -> Result<String, InspectError> {
        let why = |e: String| InspectError::Fetch { url: relative.to_owned(), why: e };
        let base = reqwest::Url::parse(base).map_err(|e| why(e.to_string()))?;
        base.join(relative).map(String::from).map_err(|e| why(e.to_string()))
    }

    /// A playlist's text and the address it finally came from.
    pub(super) async fn text(&self, url: &str) -> Result<(String, String), InspectError> {
        let (bytes, url) = self.get(url, None, PLAYLIST_MAX).await?;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), url))
    }

    /// A media file, or the range of it that is meant.
    pub(super) async fn media(&self, base: &str, file: &File) -> Result<Bytes, InspectError> {
        let url = Http::join(base, &file.uri)?;
        Ok(self.get(&url, file.range, MEDIA_MAX).await?.0)
    }

    async fn get(
        &self,
        url: &str,
        range: Option<(u64, u64)>,
        max: usize,
    ) -> Result<(Bytes, String), InspectError> {
        let mut request = self.client.get(url);
        if let Some((from, length)) = range {
            let last = from.saturating_add(length).saturating_sub(1);
            request = request.header("range", format!("bytes={from}-{last}"));
        }
        let mut answer = request.send().await.map_err(|e| failed(url, &e))?;
        let (status, at) = (answer.status(), answer.url().to_string());
        if !status.is_success() {
            return Err(InspectError::Fetch { url: url.to_owned(), why: status.to_string() });
        }
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| failed(url, &e))? {
            if body.len() + piece.len() > max {
                let why = format!("it is longer than {max} bytes");
                return Err(InspectError::Fetch { url: url.to_owned(), why });
            }
            body.extend_from_slice(&piece);
        }
        self.bytes.set(self.bytes.get() + body.len() as u64);
        let mut body = body.freeze();
        if let Some((from, length)) = range
            && status.as_u16() == 200
        {
            // The server gave all of it.
            let end = from.saturating_add(length).min(body.len() as u64) as usize;
            body = body.slice((from as usize).min(end)..end);
        }
        Ok((body, at))
    }
}

/// What went wrong, with the reason below it: reqwest's own words stop at "error sending request".
fn failed(url: &str, e: &reqwest::Error) -> InspectError {
    if e.is_timeout() {
        let why = format!("no whole answer within {} s", TIMEOUT.as_secs());
        return InspectError::Fetch { url: url.to_owned(), why };
    }
    let mut why = String::new();
    let mut source = std::error::Error::source(e);
    while let Some(below) = source {
        why = below.to_string();
        source = below.source();
    }
    if why.is_empty() {
        why = e.to_string();
    }
    InspectError::Fetch { url: url.to_owned(), why }
}
