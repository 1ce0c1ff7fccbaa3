//! Why a recording cannot be read or published.

use crate::base::error::Kind;
use crate::log::error::LogError;
use crate::media::flv::FlvError;
use crate::rtmp::error::SessionError;
use std::path::PathBuf;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file or directory.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No kind of recording that this build reads.
    #[cfg(not(feature = "transcode"))]
    #[error(
        "{} is neither an FLV file nor an extent of a castctl log; MP4, MPEG-TS and Matroska \
         files need a castctl that is built with the feature `transcode`",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// A container file.
    #[cfg(feature = "transcode")]
    #[error(transparent)]
    Container(#[from] crate::av::error::AvError),
    /// A directory with several recordings in it.
    #[error("{} holds {} recordings: name one of\n  {}", path.display(), found.len(), lines(found))]
    Ambiguous {
        /// The directory.
        path: PathBuf,
        /// The recordings.
        found: Vec<PathBuf>,
    },
    /// A log goes on behind an extent that does not end as it should.
    #[error(
        "{} is not sealed, and the log goes on in a later extent: castctl inspect {} says what is \
         wrong",
        path.display(),
        path.display()
    )]
    Broken {
        /// The extent.
        path: PathBuf,
    },
    /// An FLV file that stops being one.
    #[error("{}: {source}", path.display())]
    Flv {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: FlvError,
    },
    /// A log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// No coded audio or video at all.
    #[error("{} holds no audio and no video", path.display())]
    Empty {
        /// The recording.
        path: PathBuf,
    },
}

impl SourceError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            SourceError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            SourceError::Io { .. } => Kind::Internal,
            #[cfg(not(feature = "transcode"))]
            SourceError::Unknown { .. } => Kind::Invalid,
            #[cfg(feature = "transcode")]
            SourceError::Container(e) => e.kind(),
            SourceError::Ambiguous { .. } | SourceError::Empty { .. } => Kind::Invalid,
            SourceError::Flv { .. } | SourceError::Broken { .. } => Kind::DataLoss,
            SourceError::Log(e) => e.kind(),
        }
    }
}

/// Why a publish did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection.
    #[error("cannot connect to {host} port {port}: {source}")]
    Connect {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The server said no, in its words.
    #[error("the server refused the publish with {code}{}", words(description))]
    Refused {
        /// RTMP status code.
        code: String,
        /// The server's words; may be empty.
        description: String,
    },
    /// The server names the codecs that it takes, and one of the recording's is not among them.
    #[error(transparent)]
    NotTaken(SessionError),
    /// The server ended what it had accepted, in its words.
    #[error("the server ended the publish: {} ({code})", or(description, "it gives no reason"))]
    Ended {
        /// RTMP status code.
        code: String,
        /// The server's words; may be empty.
        description: String,
    },
    /// All is written, and the server has not closed the connection: nobody knows what it took.
    #[error(
        "the server has not confirmed the end within {seconds} s: the last of the recording may be \
         missing there"
    )]
    Unconfirmed {
        /// How long.
        seconds: u64,
    },
    /// All is written, and the server threw the connection away: what it had not read is lost.
    #[error("the server reset the connection before it had confirmed the end")]
    Reset,
    /// The session ended or broke.
    #[error("the connection was lost: {0}")]
    Session(#[from] SessionError),
    /// The server closed the connection and gave no reason.
    #[error("the server closed the connection without a reason")]
    Closed,
    /// The socket failed.
    #[error("the connection was lost: {0}")]
    Io(#[from] std::io::Error),
    /// The server takes no more bytes.
    #[error("the server has taken no data for {seconds} s")]
    Stalled {
        /// How long.
        seconds: u64,
    },
}

impl PublishError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            PublishError::Refused { .. } | PublishError::NotTaken(_) => Kind::Denied,
            PublishError::Session(SessionError::TooLong(_)) => Kind::Invalid,
            _ => Kind::Unavailable,
        }
    }
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn lines(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join("\n  ")
}

fn words(description: &str) -> String {
    if description.is_empty() { String::new() } else { format!(": {description}") }
}
