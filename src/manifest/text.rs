//! Words of a manifest read and shown where no other room has them.

use std::time::Duration;

/// The part of an http or https URL after the scheme; `None` when it has no host, or a character
/// that a base URL cannot have.
pub(super) fn http_url(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let good =
        rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'"' | b'\\'));
    (good && !rest.is_empty() && !rest.starts_with(['/', ':'])).then_some(rest)
}

/// A duration as the manifest writes it.
pub(super) fn show(d: Duration) -> String {
    match (d.subsec_nanos(), d.as_secs()) {
        (0, s) if s != 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        (0, s) => format!("{s}s"),
        _ => format!("{}ms", d.as_secs_f64() * 1000.0),
    }
}
