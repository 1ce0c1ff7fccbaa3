//! Files that appear whole or not at all: written under another name, synced, renamed. Blocking.

use crate::export::error::ExportError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered for one write: as much as is read at once.
const BUFFER: usize = 1 << 20;

/// What a name has while it is being written.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// A directory's name without what ends it, so that `.part` can follow.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(dir: &Path) -> Result<(), ExportError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(ExportError::io("sync", dir))
}

/// Where a movie goes.
#[derive(Debug)]
pub struct Output {
    to: Box<dyn To>,
    /// Bytes written.
    bytes: u64,
}

trait To: Write + Send + std::fmt::Debug {
    /// What is written to, for messages.
    fn place(&self) -> &Path;
    fn finish(&mut self) -> Result<(), ExportError>;
}

impl Output {
    /// A file that takes its name when it is finished; `force`: also when the name is taken.
    ///
    /// # Errors
    /// The name is taken, or the file cannot be made.
    pub fn file(path: &Path, force: bool) -> Result<Output, ExportError> {
        if path.is_dir() || (path.exists() && !force) {
            return Err(ExportError::Exists { path: path.to_owned() });
        }
        let part = part_of(path);
        let file = File::create(&part).map_err(ExportError::io("create", &part))?;
        let to = PartFile {
            file: BufWriter::with_capacity(BUFFER, file),
            part,
            path: path.to_owned(),
            finished: false,
        };
        Ok(Output { to: Box::new(to), bytes: 0 })
    }

    /// Standard output.
    pub fn stdout() -> Output {
        let to = Stdout(BufWriter::with_capacity(BUFFER, std::io::stdout()));
        Output { to: Box::new(to), bytes: 0 }
    }

    /// Appends.
    ///
    /// # Errors
    /// The disk is full, or the pipe is closed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.bytes += bytes.len() as u64;
        let written = self.to.write_all(bytes);
        written.map_err(ExportError::io("write", self.to.place()))
    }

    /// Makes it durable and gives it its name; its length in bytes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn finish(mut self) -> Result<u64, ExportError> {
        self.to.finish()?;
        Ok(self.bytes)
    }
}

/// A file under its `.part` name, removed unless it is finished.
#[derive(Debug)]
struct PartFile {
    file: BufWriter<File>,
    part: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Write for PartFile {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl To for PartFile {
    fn place(&self) -> &Path {
        &self.part
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(ExportError::io("write", &self.part))?;
        std::fs::rename(&self.part, &self.path).map_err(ExportError::io("name", &self.path))?;
        self.finished = true;
        sync_dir(parent(&self.path))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.finished {
            // It is in nobody's way under its other name if it stays.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}

#[derive(Debug)]
struct Stdout(BufWriter<std::io::Stdout>);

impl Write for Stdout {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl To for Stdout {
    fn place(&self) -> &Path {
        Path::new("standard output")
    }

    fn finish(&mut self) -> Result<(), ExportError> {
        self.0.flush().map_err(ExportError::io("write", self.place()))
    }
}

/// The file that every exported folder has at its top.
pub const ENTRY: &str = "index.m3u8";

/// A directory that takes its name when it is finished.
#[derive(Debug)]
pub struct OutputDir {
    part: PathBuf,
    path: PathBuf,
    /// Directories made in it.
    made: Vec<PathBuf>,
    bytes: u64,
    finished: bool,
}

impl OutputDir {
    /// Makes it under its other name. An empty directory may be in its place; with `force` also
    /// one that an export wrote.
    ///
    /// # Errors
    /// The name is taken, or the directory cannot be made.
    pub fn new(path: &Path, force: bool) -> Result<OutputDir, ExportError> {
        let path = plain(path);
        if path.exists() && !is_empty(&path) {
            if !force || !path.is_dir() {
                return Err(ExportError::Exists { path });
            }
            if !path.join(ENTRY).is_file() {
                return Err(ExportError::Foreign { path });
            }
        }
        let part = part_of(&path);
        if part.join(ENTRY).is_file() || is_empty(&part) {
            // What an export that was killed left behind.
            let _ = std::fs::remove_dir_all(&part);
        }
        std::fs::create_dir_all(&part).map_err(ExportError::io("create", &part))?;
        let dir = OutputDir { made: vec![part.clone()], part, path, bytes: 0, finished: false };
        // The mark of an export's folder; its text comes last.
        File::create(dir.part.join(ENTRY)).map_err(ExportError::io("create", &dir.part))?;
        Ok(dir)
    }

    /// Writes one file of it, with the directories above it, and syncs it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn write(&mut self, name: &str, pieces: &[bytes::Bytes]) -> Result<(), ExportError> {
        let path = self.part.join(name);
        let dir = parent(&path).to_owned();
        if !self.made.contains(&dir) {
            std::fs::create_dir_all(&dir).map_err(ExportError::io("create", &dir))?;
            for above in dir.ancestors().take_while(|d| *d != self.part) {
                self.made.push(above.to_owned());
            }
        }
        let written = File::create(&path).and_then(|mut file| {
            pieces.iter().try_for_each(|p| file.write_all(p))?;
            file.sync_all()
        });
        written.map_err(ExportError::io("write", &path))?;
        self.bytes += pieces.iter().map(|p| p.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Makes it durable and gives it its name; the bytes of its files.
    ///
    /// # Errors
    /// The system refuses.
    pub fn finish(mut self) -> Result<u64, ExportError> {
        for dir in &self.made {
            sync_dir(dir)?;
        }
        if self.path.exists() {
            std::fs::remove_dir_all(&self.path).map_err(ExportError::io("replace", &self.path))?;
        }
        std::fs::rename(&self.part, &self.path).map_err(ExportError::io("name", &self.path))?;
        self.finished = true;
        sync_dir(parent(&self.path))?;
        Ok(self.bytes)
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        if !self.finished {
            // It is in nobody's way under its other name if it stays.
            let _ = std::fs::remove_dir_all(&self.part);
        }
    }
}

fn is_empty(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut d| d.next().is_none())
}
