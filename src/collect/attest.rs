//! What is on this disk and nowhere else: a look at every log's directory, at the marks beside its
//! extents, and at nothing else. Who takes a node away for good asks this, and believes no catalog.

use crate::api::attested::{AttestAsk, Attested, Left};
use crate::base::time::Wall;
use crate::collect::marks::{self, Mark};
use crate::log::dir::{all_of, extent_files};
use crate::log::error::LogError;
use crate::log::fs::Disk;
use crate::log::id::{LogId, SEALED};
use std::io;
use std::path::Path;

/// Looks at a data directory. Blocks: a listing of each log, and where a bucket is named a small
/// file for each extent.
///
/// # Errors
/// Something can't be looked at: then nobody knows what is there.
pub fn look(data: &Path, ask: &AttestAsk, at: Wall) -> Result<Attested, LogError> {
    let to = ask.to.as_ref().map(|to| to.trim_end_matches('/').to_owned());
    let mut found = Attested { at, to, ..Attested::default() };
    for id in all_of(data)? {
        let dir = id.dir(data);
        let left = match left(&id, &dir, found.to.as_deref()) {
            Ok(left) => left,
            // It was removed since the names were read, and only what is collected is.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !dir.exists() => continue,
            Err(e) => return Err(LogError::io("look at", &dir, e)),
        };
        found.logs += 1;
        left.into_iter().for_each(|left| found.leave(left));
    }
    Ok(found)
}

/// As [`look`], with its error in words.
///
/// # Errors
/// As there.
pub fn look_or_say(data: &Path, ask: &AttestAsk, at: Wall) -> Result<Attested, String> {
    look(data, ask, at).map_err(|e| e.to_string())
}

/// What is left of a log; `None`: it is over, and all of it is in the bucket.
fn left(id: &LogId, dir: &Path, to: Option<&str>) -> io::Result<Option<Left>> {
    let in_bucket = |mark: &Path| match to {
        None => mark.exists(),
        Some(to) => Mark::read(mark).is_some_and(|mark| mark.to == to),
    };
    // Looked at first: what is made while the rest is read belongs to a log that is open.
    let open = !dir.join(SEALED).exists();
    let mut left = Left { log: id.to_string(), open, extents: 0, bytes: 0 };
    for (extent, path) in extent_files(&Disk, dir)? {
        if in_bucket(&marks::of_extent(dir, extent)) {
            continue;
        }
        match std::fs::metadata(&path) {
            Ok(file) => left.bytes += file.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        left.extents += 1;
    }
    Ok((left.open || left.extents > 0).then_some(left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sum::Sum;

    #[test]
    fn what_has_no_mark_or_may_be_written_is_left() {
        let data = tempfile::tempdir().expect("a directory");
        let id = |text: &str| text.parse::<LogId>().expect("a log");
        let make = |log: &str, extents: u32, sealed: bool| {
            let dir = id(log).dir(data.path());
            std::fs::create_dir_all(&dir).expect("made");
            for n in 0..extents {
                std::fs::write(dir.join(format!("{n:08}.extent")), [0; 100]).expect("written");
            }
            if sealed {
                std::fs::write(dir.join(SEALED), "").expect("written");
            }
            dir
        };
        let mark = |dir: &Path, extent, to: &str| {
            let mark = Mark::extent(to, 100, &Sum::of(b"x"));
            mark.write(&marks::of_extent(dir, extent)).expect("written");
        };
        let over = make("a/s1/g1", 2, true);
        let on_air = make("a/s1/g2", 3, false);
        make("b/s1/g1", 0, false);
        let attested = |to: Option<&str>| {
            let ask = AttestAsk { to: to.map(str::to_owned) };
            look(data.path(), &ask, Wall(7)).expect("looked at")
        };
        let of = |found: &Attested| (found.logs, found.open, found.uncollected, found.bytes);
        assert_eq!(of(&attested(None)), (3, 2, 5, 500));
        (0..2).for_each(|n| mark(&over, n, "s3://x"));
        (0..2).for_each(|n| mark(&on_air, n, "s3://y"));
        assert_eq!(of(&attested(None)), (3, 2, 1, 100));
        let found = attested(Some("s3://x/"));
        assert_eq!((of(&found), found.at), ((3, 2, 3, 300), Wall(7)));
        let names: Vec<_> = found.left.iter().map(|l| (&*l.log, l.open, l.extents)).collect();
        assert_eq!(names, [("a/s1/g2", true, 3), ("b/s1/g1", true, 0)]);
        assert!(!found.is_clear());
        std::fs::remove_dir_all(&on_air).expect("removed");
        std::fs::remove_dir_all(id("b/s1/g1").dir(data.path())).expect("removed");
        assert!(attested(Some("s3://x")).is_clear());
        assert!(!attested(Some("s3://y")).is_clear(), "another bucket");
    }
}
