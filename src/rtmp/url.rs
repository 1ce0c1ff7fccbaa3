//! RTMP URLs: `rtmp://host[:port]/app[/instance]/key[?query]`. No names are resolved and nothing is
//! percent-decoded: encoders send the path as it is typed.

use crate::rtmp::limits::{APP_MAX, STREAM_KEY_MAX, URL_MAX};
use std::fmt;
use std::str::FromStr;

/// RTMP's port when a URL names none.
pub const DEFAULT_PORT: u16 = 1935;

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("{url:?} is not an RTMP URL: it must start with rtmp://")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// No host, or one with characters that no host has.
    #[error("{url:?} names no host: write rtmp://HOST[:PORT]/APP/KEY")]
    Host {
        /// The URL.
        url: String,
    },
    /// A port that is not 1 to 65535.
    #[error("{url:?}: {port:?} is not a port number")]
    Port {
        /// The URL.
        url: String,
        /// What stands in the port's place.
        port: String,
    },
    /// The path has no application or no stream key.
    #[error("{url:?} names no {what}: write rtmp://HOST[:PORT]/APP/KEY")]
    Path {
        /// The URL.
        url: String,
        /// The missing part.
        what: &'static str,
    },
    /// A part longer than the protocol room accepts.
    #[error("the {what} of the RTMP URL has {length} bytes; the limit is {limit}")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// A parsed RTMP URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtmpUrl {
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Application, with its instance: all of the path but the last part.
    pub app: String,
    /// Stream key, without the query.
    pub key: String,
    /// What follows `?`.
    pub query: Option<String>,
}

impl RtmpUrl {
    /// Key and query as they are sent in `publish` and `play`.
    pub fn stream_name(&self) -> String {
        match &self.query {
            Some(q) => format!("{}?{q}", self.key),
            None => self.key.clone(),
        }
    }

    /// Scheme, host, port and application: `connect`'s `tcUrl`. The stream key is a secret and not
    /// in it.
    pub fn tc_url(&self) -> String {
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let (open, close) = brackets;
        match self.port {
            DEFAULT_PORT => format!("rtmp://{open}{}{close}/{}", self.host, self.app),
            port => format!("rtmp://{open}{}{close}:{port}/{}", self.host, self.app),
        }
    }
}

impl FromStr for RtmpUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<RtmpUrl, UrlError> {
        limit("text", url, URL_MAX)?;
        let owned = || url.to_owned();
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("rtmp") => rest,
            _ => return Err(UrlError::Scheme { url: owned() }),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => v6.split_once(']').ok_or_else(|| UrlError::Host { url: owned() })?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || "@[]?#".contains(c);
        if host.is_empty() || host.contains(bad) {
            return Err(UrlError::Host { url: owned() });
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|p| *p != 0).ok_or_else(|| port_error(url, digits))?
            }
            other => return Err(port_error(url, other.unwrap_or(port))),
        };
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path, None),
        };
        let (app, key) = path.trim_start_matches('/').rsplit_once('/').unwrap_or((path, ""));
        let app = app.trim_matches('/');
        for (what, part) in [("application", app), ("stream key", key)] {
            if part.is_empty() {
                return Err(UrlError::Path { url: owned(), what });
            }
        }
        limit("application", app, APP_MAX)?;
        limit("stream key", key, STREAM_KEY_MAX)?;
        Ok(RtmpUrl { host: host.into(), port, app: app.into(), key: key.into(), query })
    }
}

/// The URL again; the port is left out when it is RTMP's own.
impl fmt::Display for RtmpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tc_url(), self.stream_name())
    }
}

fn port_error(url: &str, port: &str) -> UrlError {
    UrlError::Port { url: url.into(), port: port.into() }
}

fn limit(what: &'static str, part: &str, limit: usize) -> Result<(), UrlError> {
    match part.len() {
        length if length > limit => Err(UrlError::TooLong { what, length, limit }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_their_parts() {
        for (url, host, port, app, key, query) in [
            ("rtmp://a.example/live/key", "a.example", 1935, "live", "key", None),
            ("RTMP://127.0.0.1:19350/live/k", "127.0.0.1", 19350, "live", "k", None),
            ("rtmp://[::1]:99/live/k", "::1", 99, "live", "k", None),
            ("rtmp://[2001:db8::1]/live/k", "2001:db8::1", 1935, "live", "k", None),
            ("rtmp://h/app/inst/k", "h", 1935, "app/inst", "k", None),
            ("rtmp://h/live/k?t=a/b&x=1", "h", 1935, "live", "k", Some("t=a/b&x=1")),
            ("rtmp://h//live/k", "h", 1935, "live", "k", None),
        ] {
            let got: RtmpUrl = url.parse().expect(url);
            assert_eq!((got.host.as_str(), got.port), (host, port), "{url}");
            assert_eq!((got.app.as_str(), got.key.as_str()), (app, key), "{url}");
            assert_eq!(got.query.as_deref(), query, "{url}");
            assert_eq!(got.to_string().parse::<RtmpUrl>().as_ref(), Ok(&got), "{url}");
        }
        let url: RtmpUrl = "rtmp://[::1]:99/live/k?t=1".parse().expect("legal");
        assert_eq!(url.tc_url(), "rtmp://[::1]:99/live");
        assert_eq!(url.stream_name(), "k?t=1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let long = format!("rtmp://h/{}/k", "a".repeat(APP_MAX + 1));
        let long_key = format!("rtmp://h/a/{}", "k".repeat(STREAM_KEY_MAX + 1));
        let long_url = format!("rtmp://h/a/k?{}", "q".repeat(URL_MAX));
        for (url, text) in [
            ("http://h/a/k", r#""http://h/a/k" is not an RTMP URL: it must start with rtmp://"#),
            ("h/a/k", r#""h/a/k" is not an RTMP URL: it must start with rtmp://"#),
            ("rtmp:///a/k", r#""rtmp:///a/k" names no host: write rtmp://HOST[:PORT]/APP/KEY"#),
            (
                "rtmp://[::1/a/k",
                r#""rtmp://[::1/a/k" names no host: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            (
                "rtmp://u@h/a/k",
                r#""rtmp://u@h/a/k" names no host: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            ("rtmp://h:0/a/k", r#""rtmp://h:0/a/k": "0" is not a port number"#),
            ("rtmp://h:99999/a/k", r#""rtmp://h:99999/a/k": "99999" is not a port number"#),
            ("rtmp://h:+1/a/k", r#""rtmp://h:+1/a/k": "+1" is not a port number"#),
            (
                "rtmp://::1/a/k",
                r#""rtmp://::1/a/k" names no host: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            ("rtmp://h", r#""rtmp://h" names no application: write rtmp://HOST[:PORT]/APP/KEY"#),
            (
                "rtmp://h/live",
                r#""rtmp://h/live" names no stream key: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            (
                "rtmp://h/live/",
                r#""rtmp://h/live/" names no stream key: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            (
                "rtmp://h/live?k",
                r#""rtmp://h/live?k" names no stream key: write rtmp://HOST[:PORT]/APP/KEY"#,
            ),
            (&long, "the application of the RTMP URL has 257 bytes; the limit is 256"),
            (&long_key, "the stream key of the RTMP URL has 257 bytes; the limit is 256"),
            (&long_url, "the text of the RTMP URL has 2061 bytes; the limit is 2048"),
        ] {
            assert_eq!(url.parse::<RtmpUrl>().map_err(|e| e.to_string()), Err(text.into()));
        }
    }
}
