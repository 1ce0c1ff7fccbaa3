//! A recording as timed messages: a file or a log, once, several times or for ever.

use crate::log::format::extent::{HEADER_LEN, Header, HeaderError};
use crate::media::flv::FlvError;
use crate::media::track::Codec;
#[cfg(feature = "transcode")]
use crate::replay::container::Container;
use crate::replay::error::SourceError;
use crate::replay::flv::{FlvFile, Raw};
use crate::replay::message::{Message, MessageKind, Timed};
use crate::replay::recording::Recording;
use crate::replay::timeline::Timeline;
use crate::store::open::is_url;
use bytes::Bytes;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// How often a recording is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// So many times; zero is as one.
    Times(u64),
    /// For ever.
    Endless,
}

/// Where messages are read from.
#[derive(Debug)]
enum Reader {
    Flv(Box<FlvFile>),
    Log(Box<Recording>),
    #[cfg(feature = "transcode")]
    Container(Box<Container>),
}

impl Reader {
    /// By content: names are never looked at.
    async fn open(path: &Path) -> Result<Reader, SourceError> {
        let cannot = |source| SourceError::Io { path: path.to_owned(), source };
        if path.to_str().is_some_and(is_url) {
            return Ok(Reader::Log(Box::new(Recording::open(path).await?)));
        }
        let facts = tokio::fs::metadata(path).await.map_err(cannot)?;
        if facts.is_dir() || is_extent(path).await.map_err(cannot)? {
            return Ok(Reader::Log(Box::new(Recording::open(path).await?)));
        }
        match FlvFile::open(path).await {
            Ok(file) => Ok(Reader::Flv(Box::new(file))),
            #[cfg(feature = "transcode")]
            Err(SourceError::Flv { path, source: FlvError::File { at: 0, .. } }) => {
                Ok(Reader::Container(Box::new(Container::open(&path).await?)))
            }
            #[cfg(not(feature = "transcode"))]
            Err(SourceError::Flv { path, source: FlvError::File { at: 0, .. } }) => {
                Err(SourceError::Unknown { path })
            }
            Err(e) => Err(e),
        }
    }

    async fn next(&mut self) -> Result<Option<Raw>, SourceError> {
        match self {
            Reader::Flv(file) => file.next().await,
            Reader::Log(log) => log.next().await,
            #[cfg(feature = "transcode")]
            Reader::Container(file) => file.next().await,
        }
    }
}

/// Does the file begin as an extent does, whole or not?
async fn is_extent(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(HEADER_LEN);
    tokio::fs::File::open(path).await?.take(HEADER_LEN as u64).read_to_end(&mut head).await?;
    Ok(!matches!(Header::decode(&head), Err(HeaderError::Magic | HeaderError::Short)))
}

/// The timed messages of a recording, with continuous timestamps over all rounds.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    reader: Reader,
    timeline: Timeline,
    /// Rounds after this one.
    left: Rounds,
    /// The configurations that the receiver has.
    video: Option<Bytes>,
    audio: Option<Bytes>,
    /// In the first round, where descriptions are sent.
    first: bool,
}

impl Source {
    /// Opens an FLV, MP4, MPEG-TS or Matroska file, a log's directory, one extent of a log, or a
    /// directory with one session's logs in it; or a log in an archive, by its URL.
    ///
    /// # Errors
    /// The path cannot be read, or is no recording; the message names it.
    pub async fn open(path: &Path, rounds: Rounds) -> Result<Source, SourceError> {
        let reader = Reader::open(path).await?;
        let left = match rounds {
            Rounds::Times(n) => Rounds::Times(n.saturating_sub(1)),
            Rounds::Endless => Rounds::Endless,
        };
        Ok(Source {
            path: path.to_owned(),
            reader,
            timeline: Timeline::default(),
            left,
            video: None,
            audio: None,
            first: true,
        })
    }

    /// Microseconds of media in one round, when the recording tells it cheaply.
    pub async fn duration(&self) -> Option<i64> {
        let millis = match &self.reader {
            Reader::Flv(file) => file.duration().await?,
            Reader::Log(log) => log.duration().await?,
            #[cfg(feature = "transcode")]
            Reader::Container(file) => file.duration()?,
        };
        millis.checked_mul(1000)
    }

    /// The codecs that a server has to take, as far as the recording's beginning tells.
    pub fn codecs(&self) -> Vec<Codec> {
        match &self.reader {
            Reader::Flv(file) => file.codecs().to_vec(),
            Reader::Log(log) => log.codecs(),
            #[cfg(feature = "transcode")]
            Reader::Container(file) => file.codecs().to_vec(),
        }
    }

    /// What the recording has that is not sent, each in a few words for a person.
    pub fn left_out(&self) -> &[String] {
        match &self.reader {
            #[cfg(feature = "transcode")]
            Reader::Container(file) => file.left_out(),
            Reader::Flv(_) | Reader::Log(_) => &[],
        }
    }

    /// The next message; `None` when all rounds are over.
    ///
    /// # Errors
    /// The recording is damaged from here on, or holds no media at all.
    pub async fn next(&mut self) -> Result<Option<Timed>, SourceError> {
        loop {
            let Some(raw) = self.reader.next().await? else {
                if !self.timeline.any() {
                    return Err(SourceError::Empty { path: self.path.clone() });
                }
                if !self.rewind().await? {
                    return Ok(None);
                }
                continue;
            };
            let (timestamp, at) = self.timeline.place(raw.kind, raw.dts);
            if self.wanted(&raw) {
                let message = Message { kind: raw.kind, timestamp, body: raw.body };
                return Ok(Some(Timed { at, message }));
            }
        }
    }

    /// Starts the next round, if there is one.
    async fn rewind(&mut self) -> Result<bool, SourceError> {
        match &mut self.left {
            Rounds::Times(0) => return Ok(false),
            Rounds::Times(n) => *n -= 1,
            Rounds::Endless => {}
        }
        self.reader = Reader::open(&self.path).await?;
        self.timeline.next_round();
        self.first = false;
        Ok(true)
    }

    /// Does the receiver need this? A configuration that it has, or a description or an end in the
    /// middle of the rounds, would only disturb it.
    fn wanted(&mut self, raw: &Raw) -> bool {
        let known = match raw.kind {
            MessageKind::VideoConfig => &mut self.video,
            MessageKind::AudioConfig => &mut self.audio,
            MessageKind::Metadata => return self.first,
            MessageKind::VideoEnd => return self.left == Rounds::Times(0),
            MessageKind::Video | MessageKind::Audio | MessageKind::Data => return true,
        };
        let new = known.as_ref() != Some(&raw.body);
        *known = Some(raw.body.clone());
        new
    }
}
