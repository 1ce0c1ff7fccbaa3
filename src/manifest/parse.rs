//! The one parser: text to a checked `Manifest`, or everything that is wrong with it, each with its
//! place.

use crate::manifest::check::Check;
use crate::manifest::locate::{Place, Places, places};
use crate::manifest::raw::RawManifest;
use crate::manifest::types::Manifest;
use std::fmt;

/// Largest manifest in bytes: ten thousand channels, with room.
pub const FILE_MAX: usize = 1 << 20;
/// Most errors reported at once: more than fit a screen help nobody.
pub const ERRORS_MAX: usize = 20;
/// Longest path or message in characters: a file of one long word is not repeated whole.
const TEXT_MAX: usize = 400;

/// One thing that is wrong, and where: `castctl.yaml:7:12: channels[0].segment: "2" is not a
/// duration: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{message}", PathPrefix(path))]
pub struct ManifestError {
    /// The file's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The field, `channels[0].segment`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

struct PathPrefix<'a>(&'a str);

impl fmt::Display for PathPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

impl ManifestError {
    pub(super) fn new(file: &str, place: Place, path: &str, message: &str) -> ManifestError {
        ManifestError {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            path: printable(path),
            message: printable(message),
        }
    }
}

/// Bounded, on one line, without control characters.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX));
    for (i, c) in text.chars().enumerate() {
        if i == TEXT_MAX {
            out.push_str("...");
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Everything that is wrong, at most `ERRORS_MAX`, never empty; one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestErrors(pub Vec<ManifestError>);

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, e) in self.0.iter().enumerate() {
            write!(f, "{}{e}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

/// As [`parse`], of bytes that may not be UTF-8.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Manifest, ManifestErrors> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(file, text),
        Err(e) => {
            let good = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or("").chars().count() + 1;
            Err(one(file, Place { line, column }, "", "this is not UTF-8 text"))
        }
    }
}

/// Parses the manifest `text`; `file` is the name for the messages. An empty text is the default
/// manifest. Errors of shape (YAML, unknown fields) come alone; errors of values come all at once.
pub fn parse(file: &str, text: &str) -> Result<Manifest, ManifestErrors> {
    let start = Place { line: 1, column: 1 };
    if text.len() > FILE_MAX {
        let message = format!("larger than the limit of {FILE_MAX} bytes");
        return Err(one(file, start, "", &message));
    }
    let places = places(text).map_err(|f| one(file, f.place, &f.path, &f.message))?;
    if places.empty() {
        return Ok(Manifest::default());
    }
    let from = serde_yaml::Deserializer::from_str(text);
    let raw: RawManifest =
        serde_path_to_error::deserialize(from).map_err(|e| shape_error(file, &places, &e))?;
    let mut check = Check::new(file, &places);
    let manifest = check.manifest(&raw);
    if check.errors.is_empty() {
        return Ok(manifest);
    }
    check.errors.sort_by_key(|e| (e.line, e.column));
    Err(ManifestErrors(check.errors))
}

fn one(file: &str, place: Place, path: &str, message: &str) -> ManifestErrors {
    ManifestErrors(vec![ManifestError::new(file, place, path, message)])
}

/// An error of the deserialiser, with our place and path instead of its own.
fn shape_error(
    file: &str,
    places: &Places,
    error: &serde_path_to_error::Error<serde_yaml::Error>,
) -> ManifestErrors {
    let path = error.path().to_string();
    let path = if path == "." { String::new() } else { path };
    let mut message = error.inner().to_string();
    if let Some(at) = error.inner().location() {
        let suffix = format!(" at line {} column {}", at.line(), at.column());
        message.truncate(message.strip_suffix(&suffix).map_or(message.len(), str::len));
    }
    // The deserialiser puts the path that it knows, ours or one around it, in front.
    let ends = path.char_indices().filter(|(_, c)| matches!(c, '.' | '[')).map(|(i, _)| i);
    for end in ends.chain([path.len()]) {
        if let Some(rest) = message.strip_prefix(&format!("{}: ", &path[..end])) {
            message = rest.to_owned();
            break;
        }
    }
    if path.contains("].keys") && message.starts_with("invalid type") {
        // The message would repeat the secret.
        message = "expected a list of stream keys, each one word".to_owned();
    }
    let place =
        if message.starts_with("unknown field") { places.key(&path) } else { places.value(&path) };
    one(file, place, &path, &message)
}

#[cfg(test)]
#[path = "parse_test.rs"]
mod tests;
