//! A sealed extent as bytes to be carried elsewhere: made durable here, verified from its first
//! byte to its last, then read. Blocks; never writes.

use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::footer::Footer;
use crate::log::reader::{ExtentReader, READ_BYTES};
use bytes::Bytes;
use std::ops::Range;

/// A sealed extent: it never changes again, but that a repair may put another file in its place,
/// which this one does not become.
#[derive(Debug)]
pub struct Carried {
    reader: ExtentReader,
    footer: Footer,
    records_end: u64,
    len: u64,
}

impl Carried {
    /// Opens an extent; `None` while it is not sealed.
    ///
    /// # Errors
    /// The file, its header or its footer cannot be read.
    pub fn open(log: &LogDir, extent: u32) -> Result<Option<Carried>, LogError> {
        let Some(reader) = log.reader(extent)? else {
            return Err(LogError::NotFound { path: log.extent_path(extent) });
        };
        let Some(records_end) = reader.sealed else { return Ok(None) };
        let Some(footer) = reader.footer()? else { return Ok(None) };
        let len = reader.len()?;
        Ok(Some(Carried { reader, footer, records_end, len }))
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// What it holds.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Makes it durable, so that no crash of the machine cuts off here what is elsewhere by then;
    /// checks every record's checksum, and gives all of its bytes to `take`, in order.
    ///
    /// # Errors
    /// The disk does not do it, or a record is damaged.
    pub fn verify(&self, take: &mut dyn FnMut(&[u8])) -> Result<(), LogError> {
        self.reader.sync()?;
        take(&self.read(0..HEADER_LEN as u64)?);
        let mut at = HEADER_LEN as u64;
        while at < self.records_end {
            let piece = self.reader.records(at, self.records_end)?;
            take(&piece.bytes);
            if piece.bytes.is_empty() {
                let why = piece.torn.map_or("its records end early".into(), |e| e.to_string());
                return Err(self.reader.damaged(at, why));
            }
            at += piece.bytes.len() as u64;
        }
        while at < self.len {
            let to = self.len.min(at + READ_BYTES);
            take(&self.read(at..to)?);
            at = to;
        }
        Ok(())
    }

    /// For who was given other bytes than were verified before.
    pub fn changed(&self) -> LogError {
        self.reader.damaged(0, "it was not read twice as the same bytes".into())
    }

    /// The bytes of a range, all of them.
    ///
    /// # Errors
    /// They cannot be read, or the file has become shorter.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, LogError> {
        let want = range.end.saturating_sub(range.start) as usize;
        let bytes = self.reader.bytes(range.start, want)?;
        match bytes.len() == want {
            true => Ok(bytes),
            false => Err(self.reader.damaged(range.start, "the file has become shorter".into())),
        }
    }
}
