//! Timelines out of files: of stored logs, over damage and on behind it; and of a log that a writer
//! is at work in, as it grows. Nothing is written and no lock is touched.

use crate::inspect::error::InspectError;
use crate::inspect::files::{DEPTH, find, known_version, read};
use crate::inspect::rows::Row;
use crate::inspect::timeline::{Choice, Timeline};
use crate::log::dir::{LogDir, extent_files, place};
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::fs::FileSystem;
use crate::log::partly::Partly;
use crate::log::repair::salvage::{Piece, salvage};
use crate::media::timeline::mark::Mark;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a log is looked at for more: parts come twice a second.
const EVERY: Duration = Duration::from_millis(200);

/// Looks without news after which a log that is sealed without an end record is over: a writer
/// makes the next extent at once.
const QUIET_LOOKS: u32 = 10;

/// Reads the logs at `path`, one after another; `each` gets the rows with the directory they are
/// of. Answers whether bytes are damaged. Blocks.
///
/// # Errors
/// There is no log, or it cannot be read at all.
pub fn stored(
    path: &Path,
    choice: Choice,
    each: &mut dyn FnMut(&Path, &Row),
) -> Result<bool, InspectError> {
    let mut damaged = false;
    let (fs, path) = &place(path)?;
    for (dir, files) in logs(fs.as_ref(), path)? {
        let mut timeline = Timeline::new(choice);
        files.iter().try_for_each(|(_, file)| known_version(fs.as_ref(), file))?;
        for (index, file) in files {
            let cannot = |source| InspectError::Read { path: file.clone(), source };
            let Partly { bytes, unreadable } = read(fs.as_ref(), &file).map_err(cannot)?;
            damaged |= !unreadable.is_empty();
            let ends = salvage(index, &bytes, &mut |piece| {
                match piece {
                    Piece::Record(f) => {
                        timeline.record(Position { extent: index, offset: f.at }, &f.record);
                    }
                    Piece::Restored { found, .. } => {
                        damaged = true;
                        let at = Position { extent: index, offset: found.at };
                        timeline.record(at, &found.record);
                    }
                    Piece::Lost { at, len, .. } => {
                        damaged = true;
                        timeline.hole(index, at, len);
                    }
                }
                while let Some(row) = timeline.poll() {
                    each(&dir, &row);
                }
            });
            damaged |= ends.header.is_err() || ends.footer_fault.is_some();
        }
        timeline.finish();
        while let Some(row) = timeline.poll() {
            each(&dir, &row);
        }
    }
    Ok(damaged)
}

/// A log's directory and its extents' numbers and files.
type Files = (PathBuf, Vec<(u32, PathBuf)>);

fn logs(fs: &dyn FileSystem, path: &Path) -> Result<Vec<Files>, InspectError> {
    let cannot = |source| InspectError::Read { path: path.to_owned(), source };
    let mut dirs = Vec::new();
    if fs.is_dir(path) {
        find(fs, path, DEPTH, &mut dirs).map_err(cannot)?;
    } else if let Some(dir) = path.parent() {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let all = extent_files(fs, dir).map_err(cannot)?;
        let one: Vec<_> =
            all.into_iter().filter(|(_, p)| p.file_name() == path.file_name()).collect();
        if !one.is_empty() {
            return Ok(vec![(dir.to_owned(), one)]);
        }
    }
    if dirs.is_empty() {
        return Err(InspectError::Unknown { path: path.to_owned() });
    }
    let with = |dir: PathBuf| Ok((dir.clone(), extent_files(fs, &dir).map_err(cannot)?));
    dirs.into_iter().map(with).collect()
}

/// Reads one log from its start on, waiting for more until it is sealed or the drain begins;
/// `each` gets the rows.
///
/// # Errors
/// There is no log, several are below the path, or it is damaged.
pub async fn follow(
    path: &Path,
    choice: Choice,
    clock: &Clock,
    drain: &Drain,
    each: &mut (dyn FnMut(&Row) + Send),
) -> Result<(), InspectError> {
    let (fs, path) = &place(path)?;
    let files = logs(fs.as_ref(), path)?;
    let [(dir, _)] = &files[..] else {
        let logs = files.len();
        return Err(InspectError::Several { path: path.clone(), logs });
    };
    let log = LogDir::on(fs, dir)?;
    let mut records = log.read_from(log.extents().first().copied().unwrap_or(0));
    let mut timeline = Timeline::new(choice);
    let mut quiet = 0;
    loop {
        let batch = tokio::select! {
            batch = records.next() => batch?,
            () = drain.wait() => break,
        };
        let Some(batch) = batch else {
            quiet += 1;
            if quiet % QUIET_LOOKS == 0 && sealed(fs.as_ref(), dir)? {
                break;
            }
            tokio::select! {
                () = clock.sleep_until(clock.now().mono.plus(EVERY)) => continue,
                () = drain.wait() => break,
            }
        };
        quiet = 0;
        let mut over = false;
        for entry in batch.records() {
            timeline.record(entry.start, &entry.record);
            over |= matches!(entry.record, Record::Mark(Mark::End(_)));
        }
        while let Some(row) = timeline.poll() {
            each(&row);
        }
        if over {
            return Ok(());
        }
    }
    timeline.finish();
    while let Some(row) = timeline.poll() {
        each(&row);
    }
    Ok(())
}

/// Has the newest extent its footer?
fn sealed(fs: &dyn FileSystem, dir: &Path) -> Result<bool, InspectError> {
    let cannot = |source| InspectError::Read { path: dir.to_owned(), source };
    let files = extent_files(fs, dir).map_err(cannot)?;
    let Some((index, file)) = files.last() else { return Ok(false) };
    let bytes = read(fs, file).map_err(cannot)?.bytes;
    Ok(salvage(*index, &bytes, &mut |_| {}).footer.is_some())
}

impl From<LogError> for InspectError {
    fn from(e: LogError) -> InspectError {
        InspectError::Log(e)
    }
}
