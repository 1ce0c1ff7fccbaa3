//! What lies behind the first bytes of an extent that are no record: does anything there claim to
//! have been durable, what is whole, and how it is kept when it is cut off. Reads in bounded
//! pieces; decides nothing.

use crate::base::ids::{Generation, TrackId};
use crate::log::aside::TORN;
use crate::log::error::LogError;
use crate::log::format::durable::{DURABLE_LEN, Durable};
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::{Frame, frame, kind};
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, PACKET_HEAD, Position};
use crate::log::fs::{FileSystem, LogFile, Open};
use crate::log::id::extent_name;
use crate::log::reader::READ_BYTES;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a record before a packet's payload.
const HEAD: usize = FRAME_PREFIX + FRAME_HEAD + PACKET_HEAD;

/// Checksums taken while records are searched among damaged bytes may cover the bytes this many
/// times: a payload can be made to look like a record at every byte.
const SEARCH_EFFORT: u64 = 4;

/// An extent's bytes, header or not.
pub(super) struct Raw {
    pub(super) file: Arc<dyn LogFile>,
    pub(super) path: PathBuf,
    pub(super) extent: u32,
    pub(super) len: u64,
}

impl Raw {
    pub(super) fn open(fs: &dyn FileSystem, dir: &Path, extent: u32) -> Result<Raw, LogError> {
        let path = dir.join(extent_name(extent));
        let opened = fs.open(&path, Open::Read).and_then(|file| Ok((file.len()?, file)));
        let (len, file) = opened.map_err(|e| LogError::io("open", &path, e))?;
        Ok(Raw { file, path, extent, len })
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Bytes, LogError> {
        let mut buf = vec![0; len.min(self.len.saturating_sub(at)) as usize];
        let read = self.file.read_at(&mut buf, at);
        buf.truncate(read.map_err(|e| LogError::io("read", &self.path, e))?);
        Ok(buf.into())
    }

    /// The highest place before which a durable record from `at` on says that the log is durable.
    pub(super) fn claim(
        &self,
        generation: Generation,
        mut at: u64,
    ) -> Result<Option<Position>, LogError> {
        let mut best = None;
        while at < self.len {
            // Pieces overlap by what a record may hang over.
            let piece = self.bytes(at, READ_BYTES + DURABLE_LEN as u64)?;
            let from = Position { extent: self.extent, offset: at };
            best = best.max(Durable::search(&piece, generation, from));
            if (piece.len() as u64) < READ_BYTES {
                break;
            }
            at += READ_BYTES;
        }
        Ok(best)
    }

    /// The whole record at `at`, if there is one that ends before `limit`; counts what its checksum
    /// cost in `effort`.
    fn whole(&self, at: u64, limit: u64, effort: &mut u64) -> Result<Option<Frame>, LogError> {
        let head = self.bytes(at, (FRAME_PREFIX + FRAME_HEAD) as u64)?;
        let Ok(f) = frame(&head, false) else { return Ok(None) };
        if !(kind::PACKET..=kind::DURABLE).contains(&f.kind) || at + f.len as u64 > limit {
            return Ok(None);
        }
        *effort += f.len as u64;
        Ok(frame(&self.bytes(at, f.len as u64)?, true).ok())
    }

    /// The first place from `at` on where a whole record begins.
    fn find(&self, mut at: u64, limit: u64, effort: &mut u64) -> Result<Option<u64>, LogError> {
        const NEED: usize = FRAME_PREFIX + FRAME_HEAD;
        while at < limit && *effort < SEARCH_EFFORT * limit {
            let piece = self.bytes(at, READ_BYTES.min(limit - at))?;
            for i in 0..piece.len().saturating_sub(NEED - 1) {
                let here = at + i as u64;
                let plausible = frame(&piece[i..i + NEED], false).is_ok_and(|f| {
                    (kind::PACKET..=kind::DURABLE).contains(&f.kind) && here + f.len as u64 <= limit
                });
                if plausible && self.whole(here, limit, effort)?.is_some() {
                    return Ok(Some(here));
                }
                if *effort >= SEARCH_EFFORT * limit {
                    break;
                }
            }
            if piece.len() < NEED {
                break;
            }
            at += (piece.len() - (NEED - 1)) as u64;
        }
        Ok(None)
    }

    /// Calls `each` with the head of the packet that is torn at `from` and of every whole packet
    /// behind it; true when any whole record is there.
    pub(super) fn examine(
        &self,
        from: u64,
        limit: u64,
        mut each: impl FnMut(TrackId, i64),
    ) -> Result<bool, LogError> {
        let (mut at, mut effort, mut any) = (from, 0, false);
        while at < limit {
            let whole = self.whole(at, limit, &mut effort)?;
            any |= whole.is_some();
            let head = self.bytes(at, HEAD as u64)?;
            if (whole.is_some() || at == from)
                && head.len() == HEAD
                && let Ok(f) = frame(&head, false)
                && f.kind == kind::PACKET
            {
                let mut dts = [0; 8];
                dts.copy_from_slice(&head[HEAD - 12..HEAD - 4]);
                each(f.track, i64::from_le_bytes(dts));
            }
            at = match whole {
                Some(f) => at + f.len as u64,
                None => match self.find(at + 1, limit, &mut effort)? {
                    Some(next) => next,
                    None => break,
                },
            };
        }
        // A search that was given up has proven nothing.
        Ok(any || effort >= SEARCH_EFFORT * limit)
    }

    /// Keeps the bytes from `at` on in a file beside the extent. One that is there already is of an
    /// earlier attempt, taken before anything was cut.
    pub(super) fn keep(&self, fs: &dyn FileSystem, dir: &Path, at: u64) -> Result<(), LogError> {
        let name = format!("{}.{at}{TORN}", extent_name(self.extent));
        let (path, made) = (dir.join(&name), dir.join(format!("{name}.new")));
        let copy = || -> io::Result<()> {
            if fs.list(dir)?.contains(&name) {
                return Ok(());
            }
            let to = match fs.open(&made, Open::Create) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    let old = fs.open(&made, Open::Write)?;
                    old.truncate(0)?;
                    old
                }
                other => other?,
            };
            let mut buf = vec![0; READ_BYTES as usize];
            let mut from = at;
            while from < self.len {
                let n = self.file.read_at(&mut buf, from)?;
                if n == 0 {
                    break;
                }
                to.write_at(&[&buf[..n]], from - at)?;
                from += n as u64;
            }
            to.sync_data()?;
            fs.rename(&made, &path)?;
            fs.sync_dir(dir)
        };
        copy().map_err(|e| LogError::io("keep the torn end of the log in", &path, e))
    }

    /// Is the record right behind the header whole? Then a bad header was not torn: the two lie in
    /// one sector.
    pub(super) fn begins_well(&self) -> Result<bool, LogError> {
        Ok(self.whole(HEADER_LEN as u64, self.len, &mut 0)?.is_some())
    }
}
