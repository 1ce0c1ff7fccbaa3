//! The door to the file system: everything the log does to a disk goes through these two traits, so
//! that tests can put a disk behind them that is slow, full or loses power.

use rustix::fs::{FallocateFlags, StatVfsMountFlags};
use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// An existing file, to be read.
    Read,
    /// An existing file, to be read and written.
    Write,
    /// A file that must not exist yet, to be read and written.
    Create,
}

/// Holds a lock until dropped.
pub type Lock = Box<dyn Send + Sync>;

/// Directories and names.
pub trait FileSystem: Debug + Send + Sync {
    /// Makes the directory and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Is there a directory of this name?
    fn is_dir(&self, path: &Path) -> bool {
        self.list(path).is_ok()
    }
    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>>;
    /// Gives a file another name in the same directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name in the same directory; both are the file until one is taken away.
    /// An error where the file system has no such thing.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Takes a file's name away: who has it open reads on.
    fn remove(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Takes away a directory in which nothing is.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock on a file, which is made when it is missing; `None` when somebody else has
    /// it. The lock falls with the process, however it ends.
    fn lock(&self, path: &Path) -> io::Result<Option<Lock>>;
    /// Bytes that an unprivileged process can still write below `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// A number that changes when the file of this name is replaced or written. An error where the
    /// file system has no such thing.
    fn stamp(&self, path: &Path) -> io::Result<u64> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Is the file system of `dir` mounted read-only, or has the kernel made it so?
    fn is_read_only(&self, _dir: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// One file.
pub trait LogFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Does it have no bytes?
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at `offset`; less than asked for only at the file's end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bufs`, one after another, at `offset`.
    fn write_at(&self, bufs: &[&[u8]], offset: u64) -> io::Result<()>;
    /// Sets the length; room allocated beyond it is given back.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Reserves room without changing the length. `Ok` too where the file system can't.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// Did the device fail (`EIO`)? What it has there is lost, or was never there.
pub fn device_failed(e: &io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours.
        std::fs::read_dir(dir)?
            .filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(how != Open::Read).create_new(how == Open::Create);
        Ok(Arc::new(DiskFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn stamp(&self, path: &Path) -> io::Result<u64> {
        let meta = std::fs::metadata(path)?;
        let mut hash = DefaultHasher::new();
        (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()).hash(&mut hash);
        Ok(hash.finish())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_read_only(&self, dir: &Path) -> io::Result<bool> {
        Ok(rustix::fs::statvfs(dir)?.f_flag.contains(StatVfsMountFlags::RDONLY))
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl LogFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buf.is_empty() {
            match self.0.read_at(buf, offset) {
                Ok(0) => break,
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                    total += n;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(total)
    }

    fn write_at(&self, bufs: &[&[u8]], mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = bufs.iter().map(|b| IoSlice::new(b)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            // The kernel takes at most 1024 slices (UIO_MAXIOV) in one call.
            let some = rest.len().min(1024);
            match rustix::io::pwritev(&self.0, &rest[..some], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    IoSlice::advance_slices(&mut rest, n);
                    offset += n as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, offset, len) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}
