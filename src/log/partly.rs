//! Reads a file of which the disk may not give back all: what cannot be read is zeros, and said.
//! For tools that look at damage; a server takes such a file for one that cannot be read.

use crate::log::fs::{LogFile, device_failed};
use bytes::{Bytes, BytesMut};
use std::io;
use std::ops::Range;

/// What is read at once where a larger read has failed: a page, the least that a kernel reads.
const BLOCK: usize = 4 << 10;

/// The bytes of a file, and where they are zeros because the disk failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partly {
    /// As many as the file has.
    pub bytes: Bytes,
    /// In order, not touching.
    pub unreadable: Vec<Range<u64>>,
}

/// Reads the first `len` bytes of a file, as far as they can be read; fewer where it ends before.
///
/// # Errors
/// Something else than a failing disk.
pub fn read(file: &dyn LogFile, len: usize) -> io::Result<Partly> {
    let mut bytes = BytesMut::zeroed(len);
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    match file.read_at(&mut bytes, 0) {
        Ok(n) => bytes.truncate(n),
        Err(e) if !device_failed(&e) => return Err(e),
        Err(_) => {
            for at in (0..len).step_by(BLOCK) {
                let to = len.min(at + BLOCK);
                match file.read_at(&mut bytes[at..to], at as u64) {
                    Ok(n) if n < to - at => {
                        bytes.truncate(at + n);
                        break;
                    }
                    Ok(_) => {}
                    Err(e) if device_failed(&e) => {
                        bytes[at..to].fill(0);
                        match unreadable.last_mut() {
                            Some(last) if last.end == at as u64 => last.end = to as u64,
                            _ => unreadable.push(at as u64..to as u64),
                        }
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }
    Ok(Partly { bytes: bytes.freeze(), unreadable })
}
