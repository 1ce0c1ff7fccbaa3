//! Who may read answers from a page of another origin, and what scripts may see of them (Fetch,
//! "CORS protocol"). Viewers' cookies go with requests of the origins that are listed, and with no
//! others.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN, VARY,
};
use axum::http::{HeaderName, HeaderValue, Method, Response};

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// What a page may do.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What a page may send besides what needs no leave. A range that is not a simple one needs it.
const SENDS: HeaderValue =
    HeaderValue::from_static("Range, If-Range, If-None-Match, Cache-Control, Authorization");

/// What a script may read of an answer besides what needs no leave: players correct their clock by
/// Age and Date, and measure by lengths.
pub const READS: HeaderValue = HeaderValue::from_static(
    "Age, Date, ETag, Content-Length, Content-Range, Accept-Ranges, Content-Encoding, Retry-After",
);

/// How long a browser may remember that it asked: two hours is the most that any does.
pub const REMEMBER: HeaderValue = HeaderValue::from_static("7200");

/// Who may read answers from a page of another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Everybody, without credentials.
    Any,
    /// These origins.
    Only(Vec<String>),
}

impl Cors {
    /// Adds the headers that let the request's origin read this answer.
    pub fn apply(&self, method: &Method, request: &HeaderMap, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        let star = HeaderValue::from_static("*");
        let reader = match self {
            Cors::Any => Some(star.clone()),
            Cors::Only(list) => {
                // Also where the request names none: a cache must not give it to one that does.
                headers.append(VARY, HeaderValue::from_static("Origin"));
                let allowed = |o: &&HeaderValue| list.iter().any(|l| l.as_bytes() == o.as_bytes());
                request.get(ORIGIN).filter(allowed).cloned()
            }
        };
        headers.insert(TIMING_ALLOW_ORIGIN, star);
        let Some(reader) = reader else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, reader);
        if matches!(self, Cors::Only(_)) {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if method == Method::OPTIONS && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENDS);
            headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBER);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READS);
        }
    }
}
