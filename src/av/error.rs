//! Why a container file cannot be read, and why libav does not decode, scale or encode.

use crate::base::error::Kind;
use crate::base::time::Wall;
use std::path::PathBuf;

/// Why a container file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AvError {
    /// The system's answer.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not one of the containers that are read, or its head is damaged.
    #[error("{} is no MP4, MPEG-TS or Matroska file that can be read: {why}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// libav's words.
        why: String,
    },
    /// A container without a single track that castctl carries.
    #[error("{}: nothing in it is H.264, HEVC, AV1, AAC or Opus{}", path.display(), list(found))]
    NoTracks {
        /// The file.
        path: PathBuf,
        /// What is in it instead, stream by stream.
        found: Vec<String>,
    },
    /// The file is damaged or cut off.
    #[error("{}: damaged or cut off after {}: {why}", path.display(), place(*after))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Media time of the last packet before, microseconds; `None` before any.
        after: Option<i64>,
        /// What is wrong.
        why: String,
    },
}

impl AvError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            AvError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            AvError::Io { .. } => Kind::Internal,
            AvError::Unknown { .. } | AvError::NoTracks { .. } => Kind::Invalid,
            AvError::Damaged { .. } => Kind::DataLoss,
        }
    }
}

/// Why a decoder, scaler or encoder cannot be had, or does not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoderError {
    /// A track's configuration that no decoder can be opened with.
    #[error("the track's configuration is of no use to a decoder: {why}")]
    Configuration {
        /// What is wrong with it.
        why: String,
    },
    /// The library was built without it.
    #[error("libav has no {name}")]
    Missing {
        /// The decoder or encoder.
        name: &'static str,
    },
    /// A decoded picture, or sound, of a form that cannot be converted.
    #[error("what was decoded cannot be converted: {why}")]
    Convert {
        /// The library's words.
        why: String,
    },
    /// The library refused settings, a packet or a picture.
    #[error("{what}: {why}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// The library's words.
        why: String,
    },
}

impl CoderError {
    /// libav's answer to what was to be done.
    pub(super) fn failed(what: &'static str) -> impl Fn(ffmpeg_next::Error) -> CoderError {
        move |e| CoderError::Failed { what, why: e.to_string() }
    }

    /// libav's answer to what it was to convert.
    pub(super) fn convert(e: ffmpeg_next::Error) -> CoderError {
        CoderError::Convert { why: e.to_string() }
    }

    /// A failure in own words.
    pub(super) fn because(what: &'static str, why: impl Into<String>) -> CoderError {
        CoderError::Failed { what, why: why.into() }
    }
}

fn list(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(" (it has {})", found.join(", ")) }
}

/// Media time as `00:01:02.345`: the time of day of a moment so long after midnight.
fn place(after: Option<i64>) -> String {
    match after {
        None => "its head".into(),
        Some(micros) => {
            let text = Wall(micros.max(0)).to_string();
            text.get(11..23).unwrap_or_default().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_has_a_place() {
        assert_eq!(place(Some(62_345_000)), "00:01:02.345");
        assert_eq!(place(None), "its head");
    }
}
