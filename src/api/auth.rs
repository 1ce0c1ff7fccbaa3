//! How the nodes of a cluster know each other: everyone has the cluster's secret, and sends a
//! token made with it that is good for a minute. `castctl1.{name}.{expires}.{mac}`: `expires` in
//! seconds since the epoch, `mac` the hexadecimal HMAC-SHA256 (RFC 2104) of what stands before it.
//!
//! The token names the sender and proves that it has the secret; it does not cover the request, so
//! internal listeners belong on a private network or behind TLS.

use crate::base::time::{MICROS, Wall};
use ring::hmac;
use std::sync::Arc;

/// What tokens begin with.
const PREFIX: &str = "castctl1";

/// How long a token is good for: what is overheard soon says nothing.
const LIFETIME: i64 = 60;

/// How far the clocks of two nodes may be apart, seconds; nodes without NTP are not helped further.
const SKEW: i64 = 60;

/// Fewest characters of a secret: 96 bits where they are hexadecimal.
pub const SECRET_MIN: usize = 24;

/// Longest name of a node in bytes.
pub const NODE_NAME_MAX: usize = 64;

/// Why a secret or a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The secret can be guessed.
    #[error("the cluster's secret has {0} characters, {SECRET_MIN} are needed")]
    Short(usize),
    /// There is none, or not in its form.
    #[error("this needs the cluster's secret (--secret-file)")]
    Missing,
    /// It was made with another secret.
    #[error("made with another cluster's secret")]
    Forged,
    /// It is too old, or from the future.
    #[error("expired, or the clocks of the two nodes are more than a minute apart")]
    Expired,
}

/// A cluster's secret. Never printed.
#[derive(Clone)]
pub struct Secret(Arc<hmac::Key>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a node's name is, for messages.
pub const NODE_NAME: &str = "1 to 64 of a-z, 0-9, '.', '-' and '_'";

/// May this be a node's name: 1 to [`NODE_NAME_MAX`] of `a-z 0-9 . _ -`?
pub fn is_node_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=NODE_NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
}

impl Secret {
    /// A secret; white space around it does not count.
    pub fn new(text: &str) -> Result<Secret, AuthError> {
        let text = text.trim();
        match text.len() {
            n if n < SECRET_MIN => Err(AuthError::Short(n)),
            _ => Ok(Secret(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))),
        }
    }

    /// A token of the node `name`.
    pub fn token(&self, name: &str, now: Wall) -> String {
        // A dot in the name would be taken for the next field's: names are hexadecimal here.
        let name: String = name.bytes().map(|b| format!("{b:02x}")).collect();
        let said = format!("{PREFIX}.{name}.{}", now.0.div_euclid(MICROS) + LIFETIME);
        let mac: String = hmac::sign(&self.0, said.as_bytes())
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{said}.{mac}")
    }

    /// Whose token is this?
    ///
    /// # Errors
    /// It is none of this cluster, or too old.
    pub fn verify(&self, token: &str, now: Wall) -> Result<String, AuthError> {
        let (said, mac) = token.rsplit_once('.').ok_or(AuthError::Missing)?;
        let mac = unhex(mac).ok_or(AuthError::Missing)?;
        hmac::verify(&self.0, said.as_bytes(), &mac).map_err(|_| AuthError::Forged)?;
        let mut fields = said.split('.');
        let (prefix, name, expires) = (fields.next(), fields.next(), fields.next());
        let name = name.and_then(unhex).and_then(|n| String::from_utf8(n).ok());
        let expires = expires.and_then(|e| e.parse::<i64>().ok());
        let (Some(PREFIX), Some(name), Some(expires)) = (prefix, name, expires) else {
            return Err(AuthError::Missing);
        };
        let now = now.0.div_euclid(MICROS);
        let good = now - SKEW <= expires && expires <= now + LIFETIME + SKEW;
        if good { Ok(name) } else { Err(AuthError::Expired) }
    }

    /// What a request's `authorization` header says of its sender.
    pub fn sender(&self, header: Option<&str>, now: Wall) -> Result<String, AuthError> {
        let token = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or(AuthError::Missing)?;
        self.verify(token, now)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok();
    let even = text.len().is_multiple_of(2) && text.is_ascii();
    even.then(|| text.as_bytes().chunks(2).map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Wall = Wall(1_000 * MICROS);

    fn later(seconds: i64) -> Wall {
        AT.plus(seconds * MICROS)
    }

    #[test]
    fn a_token_says_who_sent_it_for_a_minute() {
        let secret = Secret::new(" 0123456789abcdef01234567\n").expect("long enough");
        let token = secret.token("origin-1.a", AT);
        for at in [later(0), later(60), later(-60), later(120)] {
            assert_eq!(secret.verify(&token, at).as_deref(), Ok("origin-1.a"), "{at:?}");
        }
        for at in [later(121), later(-61)] {
            assert_eq!(secret.verify(&token, at), Err(AuthError::Expired), "{at:?}");
        }
        let header = format!("Bearer {token}");
        assert_eq!(secret.sender(Some(&header), AT).as_deref(), Ok("origin-1.a"));
        for header in [None, Some("Basic x"), Some(&*token), Some("Bearer x"), Some("Bearer é.é")]
        {
            assert_eq!(secret.sender(header, AT), Err(AuthError::Missing), "{header:?}");
        }
    }

    #[test]
    fn what_was_changed_is_noticed() {
        let secret = Secret::new("0123456789abcdef01234567").expect("long enough");
        let other = Secret::new("0123456789abcdef01234568").expect("long enough");
        let token = secret.token("a", AT);
        assert_eq!(other.verify(&token, AT), Err(AuthError::Forged));
        for i in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[i] = if bad[i] == b'0' { b'1' } else { b'0' };
            let bad = String::from_utf8(bad).expect("ASCII");
            assert!(secret.verify(&bad, AT).is_err(), "{bad}");
        }
        let short = "x".repeat(SECRET_MIN - 1);
        assert_eq!(Secret::new(&short).map(|_| ()), Err(AuthError::Short(SECRET_MIN - 1)));
    }

    #[test]
    fn names_of_nodes() {
        let longest = "n".repeat(NODE_NAME_MAX);
        for (name, good) in [
            ("origin-1.rack_2", true),
            (&*longest, true),
            (&*format!("{longest}n"), false),
            ("", false),
            ("Origin", false),
            ("a/b", false),
        ] {
            assert_eq!(is_node_name(name), good, "{name}");
        }
    }
}
