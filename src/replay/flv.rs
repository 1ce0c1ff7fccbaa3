//! A recording in an FLV file: tags in the file's order, metadata and sequence headers first.

use crate::media::flv::body::{AudioBody, VideoBody, audio, video};
use crate::media::flv::file::{FlvReader, Tag, TagKind};
use crate::media::track::Codec;
use crate::replay::error::SourceError;
use crate::replay::message::MessageKind;
use crate::rtmp::metadata::Metadata;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

/// Tags that are looked through for the metadata and the first sequence headers, which then go
/// first: recorders write them among the first few.
const HEAD_TAGS: usize = 32;

/// Bytes of a tag's header and of the size that stands after a tag.
const TAG_HEADER: u64 = 11;
const TAG_SIZE: u64 = 4;

/// A message of a recording with the recording's own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) kind: MessageKind,
    /// Milliseconds; unwrapped.
    pub(super) dts: i64,
    pub(super) body: Bytes,
}

/// An FLV file being read.
#[derive(Debug)]
pub(super) struct FlvFile {
    path: PathBuf,
    file: File,
    reader: FlvReader,
    buf: BytesMut,
    head: VecDeque<Raw>,
    /// Those of the head.
    codecs: Vec<Codec>,
    /// The newest timestamp, unwrapped: tags share one clock.
    newest: Option<i64>,
    ended: bool,
}

impl FlvFile {
    /// Opens the file and reads its head.
    pub(super) async fn open(path: &Path) -> Result<FlvFile, SourceError> {
        let cannot = |source| SourceError::Io { path: path.to_owned(), source };
        let mut flv = FlvFile {
            path: path.to_owned(),
            file: File::open(path).await.map_err(cannot)?,
            reader: FlvReader::new(),
            buf: BytesMut::with_capacity(READ_BYTES),
            head: VecDeque::new(),
            codecs: Vec::new(),
            newest: None,
            ended: false,
        };
        while flv.head.len() < HEAD_TAGS {
            match flv.read().await {
                Ok(Some(raw)) => flv.head.push_back(raw),
                Ok(None) => break,
                // What was good before the damage is still sent; the damage is told in its place.
                Err(_) if !flv.head.is_empty() => break,
                Err(e) => return Err(e),
            }
        }
        for raw in &flv.head {
            let found = codec(raw).filter(|c| !flv.codecs.contains(c));
            flv.codecs.extend(found);
        }
        sort_head(&mut flv.head);
        Ok(flv)
    }

    /// The codecs that it needs of a server.
    pub(super) fn codecs(&self) -> &[Codec] {
        &self.codecs
    }

    /// The next message; `None` at the end, which a last tag that is not whole does not move.
    pub(super) async fn next(&mut self) -> Result<Option<Raw>, SourceError> {
        match self.head.pop_front() {
            Some(raw) => Ok(Some(raw)),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Raw>, SourceError> {
        loop {
            let tag = self.reader.next_tag();
            let bad = |source| SourceError::Flv { path: self.path.clone(), source };
            if let Some(tag) = tag.map_err(bad)? {
                return Ok(Some(self.raw(tag)));
            }
            if self.ended {
                return Ok(None);
            }
            self.buf.clear();
            let n = self.file.read_buf(&mut self.buf).await;
            let n = n.map_err(|source| SourceError::Io { path: self.path.clone(), source })?;
            self.ended = n == 0;
            self.reader.push(&self.buf);
        }
    }

    fn raw(&mut self, tag: Tag) -> Raw {
        let newest = self.newest.unwrap_or_else(|| i64::from(tag.timestamp));
        // The low 32 bits of both differ by less than 2^31 in one direction: that is the step.
        let dts = newest + i64::from(tag.timestamp.wrapping_sub(newest as u32) as i32);
        let kind = kind(&tag);
        if kind.is_media() {
            self.newest = Some(dts);
        }
        Raw { kind, dts, body: tag.body }
    }

    /// Milliseconds of media from the first tag to the last, by the sizes at the file's end; `None`
    /// when they lead nowhere.
    pub(super) async fn duration(&self) -> Option<i64> {
        let first = self.head.iter().find(|r| r.kind.is_media())?.dts;
        let mut file = File::open(&self.path).await.ok()?;
        let end = file.seek(SeekFrom::End(0)).await.ok()?;
        file.seek(SeekFrom::Start(end.checked_sub(TAG_SIZE)?)).await.ok()?;
        let size = u64::from(file.read_u32().await.ok()?);
        let start = end.checked_sub(TAG_SIZE)?.checked_sub(size)?;
        file.seek(SeekFrom::Start(start)).await.ok()?;
        let mut tag = [0; TAG_HEADER as usize];
        file.read_exact(&mut tag).await.ok()?;
        if !matches!(tag[0], 8 | 9 | 18) || size < TAG_HEADER {
            return None;
        }
        let last = u32::from_be_bytes([tag[7], tag[4], tag[5], tag[6]]);
        Some(i64::from(last.wrapping_sub(first as u32)))
    }
}

/// What a tag is to a publisher.
fn kind(tag: &Tag) -> MessageKind {
    // The length of NAL length fields matters to the IDR flag alone, which nobody asks for here.
    const NAL_LEN: u8 = 4;
    match tag.kind {
        TagKind::Video => match video(&tag.body, NAL_LEN) {
            Ok(VideoBody::Config { .. }) => MessageKind::VideoConfig,
            Ok(VideoBody::EndOfSequence) => MessageKind::VideoEnd,
            _ => MessageKind::Video,
        },
        TagKind::Audio => match audio(&tag.body) {
            Ok(AudioBody::Config { .. }) => MessageKind::AudioConfig,
            _ => MessageKind::Audio,
        },
        TagKind::Script => match Metadata::read(&tag.body) {
            Ok(Some(_)) => MessageKind::Metadata,
            _ => MessageKind::Data,
        },
    }
}

/// The codec of a configuration or of coded media.
fn codec(raw: &Raw) -> Option<Codec> {
    const NAL_LEN: u8 = 4;
    match raw.kind {
        MessageKind::Video | MessageKind::VideoConfig => match video(&raw.body, NAL_LEN).ok()? {
            VideoBody::Config { codec, .. } | VideoBody::Coded { codec, .. } => Some(codec),
            _ => None,
        },
        MessageKind::Audio | MessageKind::AudioConfig => match audio(&raw.body).ok()? {
            AudioBody::Config { codec, .. } | AudioBody::Coded { codec, .. } => Some(codec),
            _ => None,
        },
        MessageKind::Metadata | MessageKind::VideoEnd | MessageKind::Data => None,
    }
}

/// Metadata, then the first sequence header of each track, then the rest as it stands.
fn sort_head(head: &mut VecDeque<Raw>) {
    let first = |head: &VecDeque<Raw>, kind| head.iter().position(|r: &Raw| r.kind == kind);
    for kind in [MessageKind::AudioConfig, MessageKind::VideoConfig, MessageKind::Metadata] {
        let start = head.front().map_or(0, |r| r.dts);
        if let Some(raw) = first(head, kind).and_then(|at| head.remove(at)) {
            head.push_front(Raw { dts: raw.dts.min(start), ..raw });
        }
    }
}
