//! Answers: status, headers and bodies. Which cache may keep what for how long is decided here and
//! nowhere else; `man/castctl-hls.7` says it to those who run one.

use crate::edge::asked::{Asked, Part};
use crate::edge::text::{Coding, Text};
use crate::hls::name::File;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LOCATION, RETRY_AFTER, VARY,
};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Media is immutable under its name, and stays as long as its session's log does: a day is far
/// longer than any viewer needs it again (6.2.2 asks for the planned time to live).
pub const MEDIA: HeaderValue = HeaderValue::from_static("public, max-age=86400, immutable");

/// Target durations that the answer to a reload which names a version may be kept: whoever asks for
/// that version later than the others finds it in the cache, and goes on from there.
pub const BLOCKED_TARGET_DURATIONS: u32 = 6;

/// A playlist as it is now, and where a channel's name leads to now.
pub const NOW: HeaderValue = HeaderValue::from_static("public, max-age=1");

/// What never changes while its session lives, or any more.
pub const CONSTANT: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// The watch page and its assets: another version of castctl has others.
pub const PAGE: HeaderValue = HeaderValue::from_static("public, max-age=60");

/// Errors are never kept (TIMELINE section 2): what is missing may be there the next moment.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Media type of playlists (RFC 8216, 4).
const M3U8: &str = "application/vnd.apple.mpegurl";

/// Methods that are answered.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// How long a playlist may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It answers a reload that named it.
    Blocked {
        /// TARGETDURATION, seconds.
        target_duration: u32,
    },
    /// It is what there is now.
    Now,
    /// It will not change.
    Constant,
}

impl Kept {
    /// What Cache-Control says of it.
    pub fn header(&self) -> HeaderValue {
        match self {
            Kept::Blocked { target_duration } => {
                let seconds = target_duration.saturating_mul(BLOCKED_TARGET_DURATIONS);
                let value = format!("public, max-age={seconds}");
                HeaderValue::from_maybe_shared(Bytes::from(value)).unwrap_or(NOW)
            }
            Kept::Now => NOW,
            Kept::Constant => CONSTANT,
        }
    }
}

/// A body of shared chunks; its length is known and nothing is copied.
#[derive(Debug)]
struct Chunks(VecDeque<Bytes>);

impl Chunks {
    /// Only these bytes of them.
    fn cut(mut self, range: Range<u64>) -> Chunks {
        let (mut at, mut kept) = (0, VecDeque::new());
        for chunk in self.0.drain(..) {
            let (start, end) = (at, at + chunk.len() as u64);
            at = end;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                kept.push_back(chunk.slice((from - start) as usize..(to - start) as usize));
            }
        }
        Chunks(kept)
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|b| b.len() as u64).sum()
    }
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|b| Ok(Frame::data(b))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

fn response(
    status: StatusCode,
    cache: HeaderValue,
    content_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut r = Response::new(body);
    *r.status_mut() = status;
    r.headers_mut().insert(CACHE_CONTROL, cache);
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    r
}

/// The client has what it would get (RFC 9110, 15.4.5).
fn not_modified(cache: HeaderValue, etag: HeaderValue) -> Response<Body> {
    let mut r = Response::new(Body::empty());
    *r.status_mut() = StatusCode::NOT_MODIFIED;
    r.headers_mut().insert(CACHE_CONTROL, cache);
    r.headers_mut().insert(ETAG, etag);
    r
}

/// A playlist, compressed where the client takes it.
pub fn playlist(asked: &Asked, text: &Arc<Text>, kept: &Kept) -> Response<Body> {
    let (coding, cache) = (asked.coding(), kept.header());
    let etag = text.etag(coding);
    let mut r = match asked.knows(etag) {
        true => not_modified(cache, etag.clone()),
        false => {
            let mut r = response(StatusCode::OK, cache, M3U8, text.body(coding));
            r.headers_mut().insert(ETAG, etag.clone());
            if coding == Coding::Gzip {
                r.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            r
        }
    };
    r.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    r
}

/// The ETag of a media file: its name says which bytes it has.
pub fn media_etag(file: &File) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(format!("\"{file}\"")))
        .expect("names are of visible characters")
}

/// The client has this media file.
pub fn known_media(etag: HeaderValue) -> Response<Body> {
    not_modified(MEDIA, etag)
}

/// Media in shared chunks: all of it, or the range that is asked for.
pub fn media(asked: &Asked, etag: HeaderValue, chunks: Vec<Bytes>) -> Response<Body> {
    let chunks = Chunks(chunks.into());
    let len = chunks.len();
    let (status, chunks, range) = match asked.part(&etag, len) {
        Part::Whole => (StatusCode::OK, chunks, None),
        Part::Bytes(Range { start, end }) => {
            let range = format!("bytes {start}-{}/{len}", end - 1);
            (StatusCode::PARTIAL_CONTENT, chunks.cut(start..end), Some(range))
        }
        Part::Beyond => {
            let mut r = error(StatusCode::RANGE_NOT_SATISFIABLE, "the file ends before that");
            content_range(&mut r, format!("bytes */{len}"));
            return r;
        }
    };
    let mut r = response(status, MEDIA, "video/mp4", Body::new(chunks));
    r.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    r.headers_mut().insert(ETAG, etag);
    if let Some(range) = range {
        content_range(&mut r, range);
    }
    r
}

fn content_range(r: &mut Response<Body>, value: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        r.headers_mut().insert(CONTENT_RANGE, value);
    }
}

/// A page or its asset.
pub fn page(content_type: &'static str, body: &'static [u8]) -> Response<Body> {
    response(StatusCode::OK, PAGE, content_type, Body::from(body))
}

/// On to the current session's playlist.
pub fn redirect(to: &str) -> Response<Body> {
    let mut r = response(StatusCode::FOUND, NOW, "text/plain", Body::empty());
    if let Ok(value) = HeaderValue::from_str(to) {
        r.headers_mut().insert(LOCATION, value);
    }
    r
}

fn error(status: StatusCode, why: &str) -> Response<Body> {
    let body = Body::from(format!("{why}\n"));
    response(status, NO_STORE, "text/plain; charset=utf-8", body)
}

/// 404, with the reason for whoever reads it by hand.
pub fn not_found(why: &str) -> Response<Body> {
    error(StatusCode::NOT_FOUND, why)
}

/// 400.
pub fn bad_request(why: &str) -> Response<Body> {
    error(StatusCode::BAD_REQUEST, why)
}

/// 405: only what reads is answered.
pub fn bad_method() -> Response<Body> {
    let mut r = error(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS");
    r.headers_mut().insert(ALLOW, METHODS);
    r
}

/// What may be asked, to whoever asks that (RFC 9110, 9.3.7); a browser's question is answered by
/// `edge::cors`.
pub fn options() -> Response<Body> {
    let mut r = Response::new(Body::empty());
    *r.status_mut() = StatusCode::NO_CONTENT;
    r.headers_mut().insert(ALLOW, METHODS);
    r.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    r
}

/// 503: not now.
pub fn unavailable(why: &str) -> Response<Body> {
    let mut r = error(StatusCode::SERVICE_UNAVAILABLE, why);
    r.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    r
}
