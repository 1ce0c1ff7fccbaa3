//! The first look at a log: every extent is read once and what the plan needs of it is kept, which
//! is its marks and holes, and no media.

use crate::base::ids::Generation;
use crate::log::format::extent::{HEADER_LEN, Header, HeaderError};
use crate::log::format::index::Indexer;
use crate::log::format::record::Record;
use crate::log::fs::{FileSystem, Open};
use crate::log::id::extent_name;
use crate::log::partly::{self, Partly};
use crate::log::repair::report::{Damage, ExtentReport};
use crate::log::repair::salvage::{Found, Piece, salvage};
use crate::log::repair::samples::Samples;
use crate::log::repair::{RepairError, io};
use crate::media::timeline::mark::Mark;
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::path::Path;

/// Largest file that is taken for an extent: the writer rolls at 128 MiB, and a footer of marks
/// follows.
pub(super) const EXTENT_MAX: u64 = 256 << 20;

/// Most damaged places that a report lists of one extent.
pub(super) const DAMAGE_MAX: usize = 1_000;

/// One thing in an extent that the plan looks at.
#[derive(Debug)]
pub(super) struct Item {
    /// Where it begins.
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A mark; with its bytes if other extents may need them.
    Mark(Mark, Option<Bytes>),
    /// Records are missing here.
    Hole,
}

/// One extent, read.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) index: u32,
    pub(super) header: Result<Header, HeaderError>,
    pub(super) items: Vec<Item>,
    /// Where its first packet begins.
    pub(super) first_packet: Option<u64>,
    /// It had a footer once, or must have one because the log has ended in it.
    pub(super) sealed: bool,
    /// Places that the disk does not give back.
    pub(super) unreadable: Vec<Range<u64>>,
    /// The records are whole and the footer is what they amount to.
    pub(super) sound: bool,
    pub(super) report: ExtentReport,
}

impl Scanned {
    /// An extent of which there is no file.
    pub(super) fn missing(dir: &Path, index: u32) -> Scanned {
        let file = dir.join(extent_name(index)).display().to_string();
        let what = "the file is missing".to_owned();
        let damage = vec![Damage { offset: 0, bytes: 0, what }];
        Scanned {
            index,
            header: Err(HeaderError::Short),
            items: vec![Item { at: HEADER_LEN as u64, what: What::Hole }],
            first_packet: None,
            sealed: true,
            unreadable: Vec::new(),
            sound: false,
            report: ExtentReport {
                extent: index,
                file,
                missing: true,
                damage,
                ..Default::default()
            },
        }
    }

    /// It has to have a footer, because others follow, and has none.
    pub(super) fn lacks_footer(&mut self) {
        let what = "the footer is missing, and another extent follows".to_owned();
        let offset = self.report.bytes;
        self.report.damage.push(Damage { offset, bytes: 0, what });
        (self.sealed, self.sound) = (true, false);
        // It may have been cut off where a record ended.
        self.items.push(Item { at: offset, what: What::Hole });
    }

    /// Is anything of its records missing?
    pub(super) fn is_holed(&self) -> bool {
        self.items.iter().any(|i| matches!(i.what, What::Hole))
    }

    /// Its repeated marks: those before its first packet and its first other mark.
    pub(super) fn leading(&self) -> impl Iterator<Item = (&Mark, &Bytes)> {
        let end = self.first_packet.unwrap_or(u64::MAX);
        let marks = self.items.iter().filter(move |i| i.at < end);
        let marks = marks.filter_map(|i| match &i.what {
            What::Mark(m, raw) => Some((m, raw.as_ref())),
            What::Hole => None,
        });
        let repeated = |m: &Mark| matches!(m, Mark::Session(_) | Mark::Track(_));
        let marks = marks.take_while(move |(m, _)| repeated(m) || matches!(m, Mark::Generation(_)));
        marks.filter_map(|(m, raw)| Some((m, raw?)))
    }
}

/// Takes in one extent. `base` is the indexer at its start, while it is known.
pub(super) fn scan(
    path: &Path,
    index: u32,
    read: &Partly,
    base: &mut Option<Indexer>,
    samples: &mut Samples,
) -> Scanned {
    let Partly { bytes, unreadable } = read;
    let mut collect = Collect {
        items: Vec::new(),
        first_packet: None,
        ended: false,
        report: ExtentReport {
            extent: index,
            file: path.display().to_string(),
            bytes: bytes.len() as u64,
            ..Default::default()
        },
        samples,
        base: base.take(),
    };
    let ends = salvage(index, bytes, &mut |piece| collect.piece(piece));
    let Collect { items, first_packet, ended, mut report, base: indexer, .. } = collect;
    if let Err(e) = &ends.header {
        let what = e.to_string();
        report.damage.insert(0, Damage { offset: 0, bytes: HEADER_LEN as u64, what });
    }
    for at in unreadable.iter().rev() {
        let what = "the disk cannot read this".to_owned();
        let bytes = at.end - at.start;
        report.damage.insert(0, Damage { offset: at.start, bytes, what });
    }
    let wrong = match (&ends.footer, &indexer) {
        (Some(footer), Some(indexer)) => indexer.footer(ends.records_end) != *footer,
        _ => false,
    };
    let fault = ends.footer_fault.clone().or_else(|| {
        (wrong && report.damage.is_empty())
            .then(|| "the footer is not what the records amount to".to_owned())
    });
    if let Some(what) = fault {
        let behind = report.bytes.saturating_sub(ends.records_end);
        report.damage.push(Damage { offset: ends.records_end, bytes: behind, what });
    }
    if ends.untried > 0 {
        let what = format!("{} places that look like records were not tried", ends.untried);
        report.damage.push(Damage { offset: HEADER_LEN as u64, bytes: 0, what });
    }
    *base = match (&ends.footer, indexer) {
        (Some(footer), _) if !wrong => Some(Indexer::resume(footer)),
        (_, Some(mut indexer)) => {
            indexer.roll();
            Some(indexer)
        }
        _ => None,
    };
    let sound = report.damage.is_empty();
    let sealed = ends.was_sealed() || ended;
    Scanned {
        index,
        header: ends.header,
        items,
        first_packet,
        sealed,
        unreadable: unreadable.clone(),
        sound,
        report,
    }
}

struct Collect<'a> {
    items: Vec<Item>,
    first_packet: Option<u64>,
    ended: bool,
    report: ExtentReport,
    samples: &'a mut Samples,
    base: Option<Indexer>,
}

impl Collect<'_> {
    fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Record(found) => {
                self.report.records_kept += 1;
                self.found(&found);
            }
            Piece::Restored { found, why } => {
                self.report.records_restored += 1;
                let bytes = found.raw.len() as u64;
                self.damage(found.at, bytes, format!("{why}; the record can be restored"));
                self.found(&found);
            }
            Piece::Lost { at, len, why, tail } => {
                self.report.bytes_lost += len;
                let what = if tail { format!("torn tail: {why}") } else { why.to_string() };
                self.damage(at, len, what);
                self.items.push(Item { at, what: What::Hole });
                self.base = None;
            }
        }
    }

    fn damage(&mut self, offset: u64, bytes: u64, what: String) {
        if self.report.damage.len() < DAMAGE_MAX {
            self.report.damage.push(Damage { offset, bytes, what });
        }
    }

    fn found(&mut self, f: &Found) {
        if let Some(base) = &mut self.base
            && base.observe(f.at, &f.raw, &f.record).is_err()
        {
            self.base = None;
        }
        match &f.record {
            Record::Packet { packet, seq } => {
                self.first_packet.get_or_insert(f.at);
                if let Some(seq) = seq {
                    self.report.packets_lost += self.samples.add(packet.track, *seq);
                }
            }
            Record::Mark(mark) => {
                self.ended |= matches!(mark, Mark::End(_));
                // A slice would hold the whole extent in memory.
                let own = |raw: &Bytes| Bytes::copy_from_slice(raw);
                let repeated = matches!(mark, Mark::Session(_) | Mark::Track(_));
                let raw = repeated.then(|| own(&f.raw));
                self.items.push(Item { at: f.at, what: What::Mark(mark.clone(), raw) });
            }
            Record::Unknown { .. } => {}
        }
    }
}

/// The generation that the headers agree on, or the one that the directory is named after, or that
/// the first record says.
pub(super) fn generation(
    dir: &Path,
    named: Option<Generation>,
    all: &[Scanned],
) -> Result<Generation, RepairError> {
    let mut found: Option<(u32, Generation)> = None;
    for e in all {
        let foreign = |why: String| {
            let path = dir.join(extent_name(e.index));
            Err(RepairError::Foreign { path, why })
        };
        match &e.header {
            Err(v @ HeaderError::Version { .. }) => return foreign(v.to_string()),
            Err(_) => {}
            Ok(h) if h.extent != e.index => {
                return foreign(format!("it is extent {} under another name", h.extent));
            }
            Ok(h) => match found {
                Some((other, g)) if g != h.generation => {
                    let has = h.generation;
                    return foreign(format!("it is of generation {has}, extent {other} of {g}"));
                }
                _ => found = Some((e.index, h.generation)),
            },
        }
    }
    let marked = all.iter().flat_map(|e| &e.items).find_map(|i| match &i.what {
        What::Mark(Mark::Generation(g), _) => Some(g.generation),
        _ => None,
    });
    let known = found.map(|f| f.1).or(named).or(marked);
    known.ok_or_else(|| RepairError::Nameless { path: dir.to_owned() })
}

/// The whole file, as far as the disk gives it back.
pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Partly, RepairError> {
    let file = fs.open(path, Open::Read).map_err(|e| io("open", path, e))?;
    let len = file.len().map_err(|e| io("read", path, e))?;
    if len > EXTENT_MAX {
        let why = "it is larger than any extent".to_owned();
        return Err(RepairError::Foreign { path: path.to_owned(), why });
    }
    partly::read(file.as_ref(), len as usize).map_err(|e| io("read", path, e))
}

/// The same again for what was planned with the first look: what could not be read then is not
/// read now.
pub(super) fn read_again(
    fs: &dyn FileSystem,
    path: &Path,
    unreadable: &[Range<u64>],
) -> Result<Bytes, RepairError> {
    let Partly { bytes, unreadable: now } = read(fs, path)?;
    if now == unreadable {
        return Ok(bytes);
    }
    let within =
        |at: &Range<u64>| unreadable.iter().any(|u| u.start <= at.start && at.end <= u.end);
    if !now.iter().all(within) {
        let why = std::io::Error::other("the disk fails in more places than before; try again");
        return Err(io("read", path, why));
    }
    let mut bytes = BytesMut::from(&bytes[..]);
    let len = bytes.len();
    let place = |at: &Range<u64>| (at.start as usize).min(len)..(at.end as usize).min(len);
    unreadable.iter().for_each(|at| bytes[place(at)].fill(0));
    Ok(bytes.freeze())
}
