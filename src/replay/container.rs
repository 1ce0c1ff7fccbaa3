//! A recording in a container file (MP4, MPEG-TS, Matroska), read by libav on a thread of its own.

use crate::av::demux::{Demuxer, Item};
use crate::av::error::AvError;
use crate::media::track::{Codec, Kind, Track};
use crate::replay::describe::describe;
use crate::replay::error::SourceError;
use crate::replay::flv::Raw;
use crate::replay::interleave::Interleave;
use crate::replay::message::MessageKind;
use std::path::Path;
use tokio::sync::mpsc::{Receiver, channel};

/// Items read ahead: a second or two, so that a slow disk is not noticed.
const READ_AHEAD: usize = 128;

/// A container file being read.
#[derive(Debug)]
pub(super) struct Container {
    items: Receiver<Result<Item, AvError>>,
    interleave: Interleave,
    /// What goes first.
    description: Option<Raw>,
    codecs: Vec<Codec>,
    duration: Option<i64>,
    left_out: Vec<String>,
    /// Told when everything that came before it has been sent.
    failed: Option<AvError>,
}

impl Container {
    /// Opens the file and begins to read it.
    pub(super) async fn open(path: &Path) -> Result<Container, SourceError> {
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Demuxer::open(&owned)).await;
        let stopped = |e: tokio::task::JoinError| SourceError::Io {
            path: path.to_owned(),
            source: std::io::Error::other(e.to_string()),
        };
        let demuxer = opened.map_err(stopped)??;
        let first = |kind| demuxer.tracks().find(|t: &&Track| t.codec.kind() == kind).cloned();
        let (video, audio) = (first(Kind::Video), first(Kind::Audio));
        let mut left_out = demuxer.left_out().to_vec();
        let sent =
            |t: &Track| [&video, &audio].iter().any(|s| s.as_ref().is_some_and(|s| s.id == t.id));
        let more = demuxer.tracks().filter(|t| !sent(t));
        left_out.extend(more.map(|t| format!("another track ({})", t.codec.name())));
        let body = describe(
            video.is_some().then_some(video.as_ref()),
            audio.is_some().then_some(audio.as_ref()),
        );
        let description = Some(Raw { kind: MessageKind::Metadata, dts: 0, body });
        let duration = demuxer.duration().map(|d| d / 1000);
        let codecs = video.iter().chain(&audio).map(|t| t.codec).collect();
        let interleave = Interleave::new(video.into_iter().chain(audio).collect());
        let (to, items) = channel(READ_AHEAD);
        // It ends with the file, or at the next item once the other end is gone.
        tokio::task::spawn_blocking(move || read(demuxer, &to));
        let failed = None;
        Ok(Container { items, interleave, description, codecs, duration, left_out, failed })
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Raw>, SourceError> {
        if let Some(raw) = self.description.take() {
            return Ok(Some(raw));
        }
        loop {
            if let Some(raw) = self.interleave.next() {
                return Ok(Some(raw));
            }
            match self.items.recv().await {
                Some(Ok(Item::Track(track))) => self.interleave.track(track),
                Some(Ok(Item::Packet(packet))) => self.interleave.packet(&packet),
                Some(Err(e)) => {
                    self.failed = Some(e);
                    self.interleave.end();
                }
                None => {
                    self.interleave.end();
                    return match (self.interleave.next(), self.failed.take()) {
                        (Some(raw), failed) => {
                            self.failed = failed;
                            Ok(Some(raw))
                        }
                        (None, Some(e)) => Err(e.into()),
                        (None, None) => Ok(None),
                    };
                }
            }
        }
    }

    /// The codecs that it needs of a server.
    pub(super) fn codecs(&self) -> &[Codec] {
        &self.codecs
    }

    /// Milliseconds of media, when the file says so.
    pub(super) fn duration(&self) -> Option<i64> {
        self.duration
    }

    /// What the file has that is not sent.
    pub(super) fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

/// Reads until the end, an error, or nobody listens.
fn read(mut demuxer: Demuxer, to: &tokio::sync::mpsc::Sender<Result<Item, AvError>>) {
    loop {
        let item = match demuxer.read() {
            Ok(Some(item)) => Ok(item),
            Ok(None) => break,
            Err(e) => Err(e),
        };
        let over = item.is_err();
        if to.blocking_send(item).is_err() || over {
            break;
        }
    }
    if demuxer.skipped() > 0 {
        tracing::warn!(
            packets = demuxer.skipped(),
            "left out: without a time, or with nothing in them"
        );
    }
}
