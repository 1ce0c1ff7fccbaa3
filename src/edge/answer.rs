//! Answers: status, headers and bodies. Which cache may keep what for how long is decided here and
//! nowhere else.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, VARY,
};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Media is immutable under its name.
const MEDIA: &str = "public, max-age=86400, immutable";
/// Playlists answered to a blocking reload are that version for ever, but only the next reload
/// names it.
const BLOCKED: &str = "public, max-age=24";
/// Playlists as they are now.
const PLAYLIST: &str = "public, max-age=1";
/// Errors are never kept (TIMELINE section 2).
const NO_STORE: &str = "no-store";

/// Media type of playlists (RFC 8216, 4).
const M3U8: &str = "application/vnd.apple.mpegurl";

/// Who may read answers from a page of another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Everybody, without credentials.
    Any,
    /// These origins.
    Only(Vec<String>),
}

impl Cors {
    /// Adds the headers that let `origin` read this answer.
    pub fn apply(&self, origin: Option<&HeaderValue>, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        match self {
            Cors::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Cors::Only(list) => {
                headers.insert(VARY, HeaderValue::from_static("Origin"));
                let allowed = origin.filter(|o| list.iter().any(|l| l.as_bytes() == o.as_bytes()));
                if let Some(o) = allowed {
                    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, o.clone());
                    headers.insert(
                        "access-control-allow-credentials",
                        HeaderValue::from_static("true"),
                    );
                }
            }
        }
        headers.insert("timing-allow-origin", HeaderValue::from_static("*"));
    }
}

/// A body of shared chunks; its length is known and nothing is copied.
#[derive(Debug)]
struct Chunks(VecDeque<Bytes>);

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
        SizeHint::with_exact(self.0.iter().map(|b| b.len() as u64).sum())
    }
}

fn response(
    status: StatusCode,
    cache: &'static str,
    content_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut r = Response::new(body);
    *r.status_mut() = status;
    r.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    r
}

/// A playlist version. `blocked`: it answers a reload that named it.
pub fn playlist(body: Bytes, etag: &Bytes, blocked: bool) -> Response<Body> {
    let cache = if blocked { BLOCKED } else { PLAYLIST };
    let mut r = response(StatusCode::OK, cache, M3U8, body.into());
    if let Ok(value) = HeaderValue::from_maybe_shared(etag.clone()) {
        r.headers_mut().insert(ETAG, value);
    }
    r
}

/// A multivariant playlist: constant for its session.
pub fn multivariant(body: Bytes) -> Response<Body> {
    response(StatusCode::OK, PLAYLIST, M3U8, body.into())
}

/// Media in shared chunks.
pub fn media(chunks: Vec<Bytes>) -> Response<Body> {
    let body = Body::new(Chunks(chunks.into()));
    response(StatusCode::OK, MEDIA, "video/mp4", body)
}

/// A page or its asset.
pub fn page(content_type: &'static str, body: &'static [u8]) -> Response<Body> {
    response(StatusCode::OK, "public, max-age=60", content_type, Body::from(body))
}

/// On to the current session's playlist.
pub fn redirect(to: &str) -> Response<Body> {
    let mut r = response(StatusCode::FOUND, PLAYLIST, "text/plain", Body::empty());
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

/// 405: only GET and HEAD are answered.
pub fn bad_method() -> Response<Body> {
    error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD")
}

/// 503: not now.
pub fn unavailable(why: &str) -> Response<Body> {
    let mut r = error(StatusCode::SERVICE_UNAVAILABLE, why);
    r.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
    r
}
