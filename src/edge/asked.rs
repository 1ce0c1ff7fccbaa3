//! What a request's headers ask for: a coding, a version that is known already, a range of bytes.
//! Values in, values out; what becomes of them is `edge::answer`'s.

use crate::edge::text::Coding;
use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method};
use std::ops::Range;

/// Most ETags of one If-None-Match that are looked at: a client knows one of a URL, a cache a few.
pub const ETAGS_MAX: usize = 16;

/// What a request asks for besides its path.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    gzip: bool,
    none_match: Option<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

/// Which bytes of a body are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All: no range was asked for, or one that is not understood (RFC 9110, 14.2).
    Whole,
    /// These: 206.
    Bytes(Range<u64>),
    /// None, for it begins behind the end: 416.
    Beyond,
}

impl Asked {
    /// Reads the headers. Ranges are of what GET answers (RFC 9110, 14.2).
    pub fn of(method: &Method, headers: &HeaderMap) -> Asked {
        // Several lines of a header are one list (RFC 9110, 5.3).
        let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok());
        Asked {
            gzip: takes_gzip(codings.flat_map(|line| line.split(','))),
            none_match: headers.get(IF_NONE_MATCH).cloned(),
            range: headers.get(RANGE).filter(|_| method == Method::GET).cloned(),
            if_range: headers.get(IF_RANGE).cloned(),
        }
    }

    /// How text is to be sent.
    pub fn coding(&self) -> Coding {
        if self.gzip { Coding::Gzip } else { Coding::Identity }
    }

    /// Does the client have this version (RFC 9110, 13.1.2)?
    pub fn knows(&self, etag: &HeaderValue) -> bool {
        let Some(list) = self.none_match.as_ref().and_then(|v| v.to_str().ok()) else {
            return false;
        };
        let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let etag = weak(etag.to_str().unwrap_or_default());
        list.trim() == "*" || list.split(',').take(ETAGS_MAX).any(|tag| weak(tag) == etag)
    }

    /// Which bytes of a body of `len` bytes are to be sent.
    pub fn part(&self, etag: &HeaderValue, len: u64) -> Part {
        // A date never matches: answers have none. Weak tags don't (RFC 9110, 13.1.5).
        let unchanged = self.if_range.as_ref().is_none_or(|known| known == etag);
        match self.range.as_ref().and_then(|v| v.to_str().ok()).filter(|_| unchanged) {
            Some(range) => one_range(range, len),
            None => Part::Whole,
        }
    }
}

/// Does a list of codings take gzip (RFC 9110, 12.5.3)?
fn takes_gzip<'a>(codings: impl Iterator<Item = &'a str>) -> bool {
    let (mut gzip, mut any) = (None, None);
    for coding in codings {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.split(';').find_map(|p| p.trim().strip_prefix("q="));
        // A weight that is not a number is none.
        let taken = weight.and_then(|q| q.trim().parse::<f32>().ok()).is_none_or(|q| q > 0.0);
        match name.trim() {
            n if n.eq_ignore_ascii_case("gzip") || n.eq_ignore_ascii_case("x-gzip") => {
                gzip = Some(taken);
            }
            "*" => any = Some(taken),
            _ => {}
        }
    }
    gzip.or(any).unwrap_or(false)
}

/// One range of bytes (RFC 9110, 14.1.2). Of several, and of what can't be read, nothing is made:
/// the whole body answers them.
fn one_range(text: &str, len: u64) -> Part {
    let number = |s: &str| -> Option<u64> {
        let digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        // Larger than any body.
        digits.then(|| s.parse().unwrap_or(u64::MAX))
    };
    let ends = text.strip_prefix("bytes=").and_then(|r| r.trim().split_once('-'));
    match ends.map(|(from, to)| (from, to, number(from), number(to))) {
        // A suffix: the last bytes.
        Some(("", _, _, Some(count))) => match count.min(len) {
            0 => Part::Beyond,
            count => Part::Bytes(len - count..len),
        },
        Some((_, to, Some(from), last)) if to.is_empty() || last.is_some() => {
            let last = last.unwrap_or(u64::MAX);
            match (last < from, from >= len) {
                (true, _) => Part::Whole,
                (false, true) => Part::Beyond,
                (false, false) => Part::Bytes(from..last.saturating_add(1).min(len)),
            }
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &str) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        Asked::of(&Method::GET, &headers)
    }

    #[test]
    fn gzip_is_taken_when_the_client_says_so() {
        for (value, gzip) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", true),
            ("x-gzip", true),
            ("GZIP", true),
            ("*", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("identity", false),
            ("", false),
            ("br", false),
            ("gzip;q=x", true),
        ] {
            let want = if gzip { Coding::Gzip } else { Coding::Identity };
            assert_eq!(asked("accept-encoding", value).coding(), want, "{value:?}");
        }
        let mut two = HeaderMap::new();
        two.append("accept-encoding", HeaderValue::from_static("br"));
        two.append("accept-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(Asked::of(&Method::GET, &two).coding(), Coding::Gzip);
        assert_eq!(Asked::of(&Method::GET, &HeaderMap::new()).coding(), Coding::Identity);
    }

    #[test]
    fn a_known_version_is_recognised() {
        let etag = HeaderValue::from_static("\"ab\"");
        for (value, known) in [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", W/\"ab\"", true),
            ("*", true),
            ("\"ab", false),
            ("ab", false),
            ("\"abc\"", false),
            ("", false),
        ] {
            assert_eq!(asked("if-none-match", value).knows(&etag), known, "{value:?}");
        }
        let many = |n: usize| format!("{}\"ab\"", "\"x\",".repeat(n - 1));
        assert!(asked("if-none-match", &many(ETAGS_MAX)).knows(&etag));
        assert!(!asked("if-none-match", &many(ETAGS_MAX + 1)).knows(&etag), "the body, then");
        assert!(!Asked::default().knows(&etag));
    }

    #[test]
    fn one_range_is_served_and_no_other() {
        use Part::{Beyond, Bytes, Whole};
        for (value, want) in [
            ("bytes=0-", Bytes(0..100)),
            ("bytes=0-9007199254740991", Bytes(0..100)),
            ("bytes=10-19", Bytes(10..20)),
            ("bytes=99-99", Bytes(99..100)),
            ("bytes=99-200", Bytes(99..100)),
            ("bytes=-10", Bytes(90..100)),
            ("bytes=-1000", Bytes(0..100)),
            ("bytes=0-99999999999999999999999", Bytes(0..100)),
            ("bytes=100-", Beyond),
            ("bytes=99999999999999999999999-", Beyond),
            ("bytes=-0", Beyond),
            ("bytes=0-1,5-6", Whole),
            ("bytes=5-4", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ] {
            let etag = HeaderValue::from_static("\"e\"");
            assert_eq!(asked("range", value).part(&etag, 100), want, "{value:?}");
        }
        assert_eq!(one_range("bytes=0-", 0), Beyond);
    }

    #[test]
    fn a_range_of_another_version_is_not_served() {
        let etag = HeaderValue::from_static("\"e\"");
        for (if_range, want) in [
            ("\"e\"", Part::Bytes(0..1)),
            ("W/\"e\"", Part::Whole),
            ("\"f\"", Part::Whole),
            ("Sat, 29 Oct 1994 19:43:31 GMT", Part::Whole),
        ] {
            let mut asked = asked("range", "bytes=0-0");
            asked.if_range = Some(HeaderValue::from_static(if_range));
            assert_eq!(asked.part(&etag, 10), want, "{if_range}");
        }
    }
}
