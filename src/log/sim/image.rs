//! What must hold of a log that was recovered, whatever happened to it before.

use crate::log::format::extent::HEADER_LEN;
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, kind};
use crate::log::format::scan::Scan;
use crate::log::format::{Position, record};
use crate::log::fs::FileSystem;
use crate::log::id::LogId;
use crate::log::reader::{ExtentReader, Place, there};
use crate::log::recover::Recovered;
use crate::log::sim::disk::SimDisk;
use crate::log::sim::drive::{DATA, Story};
use crate::media::timeline::mark::Mark;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// All records of a sealed log, read as a reader reads them; every extent must be whole and its
/// footer the one that its records give, but that of the one at which a trimmed log begins.
pub(super) fn read(disk: &SimDisk, id: &LogId) -> Result<Vec<(Position, Record)>, String> {
    let dir = id.dir(Path::new(DATA));
    let (mut all, mut indexer) = (Vec::new(), Indexer::new());
    let (trimmed, extents) = there(disk, &dir).map_err(|e| e.to_string())?;
    let first = trimmed.map_or(0, |t| t.first);
    for (due, extent) in (first..).zip(extents) {
        if due != extent {
            return Err(format!("extent {due} is missing"));
        }
        if extent > first {
            indexer.roll();
        }
        let place = Place::of(disk, &dir, id);
        let reader = ExtentReader::open(place, extent).map_err(|e| e.to_string())?;
        let reader = reader.ok_or("it is listed and not there")?;
        let end = reader.sealed.ok_or(format!("extent {extent} is not sealed"))?;
        let mut at = HEADER_LEN as u64;
        while at < end {
            let piece = reader.records(at, end).map_err(|e| e.to_string())?;
            if piece.bytes.is_empty() {
                return Err(format!("extent {extent} is damaged at {at}: {:?}", piece.torn));
            }
            for r in Scan::new(&piece.bytes) {
                let offset = at + r.range.start as u64;
                let raw = &piece.bytes[r.range.clone()];
                if first == 0 || extent > first {
                    indexer.observe(offset, raw, &r.record).map_err(|e| e.to_string())?;
                }
                all.push((Position { extent, offset }, r.record));
            }
            at += piece.bytes.len() as u64;
        }
        if first > 0 && extent == first {
            let footer = reader.footer().map_err(|e| e.to_string())?;
            indexer = Indexer::at(&footer.ok_or("it is sealed and has no footer")?);
            continue;
        }
        let (mut want, len) = (BytesMut::new(), reader.len().map_err(|e| e.to_string())?);
        indexer.footer(end).encode(&mut want);
        let got = reader.bytes(end, (len - end) as usize).map_err(|e| e.to_string())?;
        if got != want {
            return Err(format!("extent {extent}'s footer is not what its records give"));
        }
    }
    Ok(all)
}

/// Everything at or below `safe` is there, nothing else than what was appended is.
pub(super) fn compare(
    story: &Story,
    safe: Position,
    got: &[(Position, Record)],
) -> Result<(), String> {
    let own = |r: &&(Position, Record)| !matches!(r.1, Record::Unknown { kind: kind::DURABLE });
    let repeats = |r: &&(Position, Record)| {
        r.0.extent == 0 || !matches!(r.1, Record::Mark(Mark::Session(_) | Mark::Track(_)))
    };
    let mut got: Vec<_> = got.iter().filter(own).filter(repeats).collect();
    if let Some(end) = &story.ended
        && matches!(got.last(), Some((_, Record::Mark(Mark::End(e)))) if e == end)
    {
        // Nobody appended it: it was made of what is there.
        got.pop();
    }
    for (i, have) in got.iter().enumerate() {
        match story.records.get(i) {
            Some(want) if want == *have => {}
            want => {
                let (have, want) = (short(Some(have)), short(want));
                return Err(format!("{have} was read where {want} was appended"));
            }
        }
    }
    match story.records.get(got.len()) {
        // Positions ascend: the first that is missing is the lowest.
        lost @ Some((at, _)) if *at < safe => {
            Err(format!("{} is lost, the watermark was {safe}", short(lost)))
        }
        _ => Ok(()),
    }
}

/// A record without its payload.
fn short(record: Option<&(Position, Record)>) -> String {
    match record {
        Some((at, Record::Packet { packet, seq })) => {
            format!("a packet of track {}, {seq:?}, at {at}", packet.track)
        }
        Some((at, other)) => format!("{other:?} at {at}"),
        None => "nothing".into(),
    }
}

/// The numbers in a log's marks.
pub(super) fn msns(records: &[(Position, Record)]) -> Vec<u64> {
    let number = |(_, r): &(Position, Record)| match r {
        Record::Mark(Mark::SegmentStart(m)) => Some(m.msn.0),
        Record::Mark(Mark::PartEnd(m)) => Some(m.msn.0),
        Record::Mark(Mark::Gap(m)) => Some(m.msn.0),
        _ => None,
    };
    records.iter().filter_map(number).collect()
}

/// What recovery says of a log is what the log says.
pub(super) fn agrees(r: &Recovered, records: &[(Position, Record)]) -> Result<(), String> {
    let start = records.iter().find_map(|(_, r)| match r {
        Record::Mark(Mark::Generation(m)) => Some(m),
        _ => None,
    });
    if r.start.as_ref() != start || r.end.is_some() != start.is_some() {
        return Err(format!("recovery says it starts with {:?}, it does with {start:?}", r.start));
    }
    let last = msns(records).into_iter().max();
    if let (Some(end), Some(last)) = (&r.end, last)
        && end.msn.0 < last
    {
        return Err(format!("recovery says it ended at {}, there is {last} in it", end.msn.0));
    }
    Ok(())
}

/// The whole records of the log in any file of its directory, whatever its name.
pub(super) fn whole(files: &BTreeMap<PathBuf, Vec<u8>>) -> HashSet<Bytes> {
    let mut found = HashSet::new();
    for bytes in files.values() {
        let mut at = 0;
        while at < bytes.len() {
            match record::frame(&bytes[at..], true) {
                Ok(f) if (kind::PACKET..=kind::END).contains(&f.kind) => {
                    found.insert(Bytes::copy_from_slice(&bytes[at..at + f.len]));
                    at += f.len;
                }
                // A footer repeats marks; it is no place of their own.
                Ok(f) if f.kind == kind::FOOTER => at += f.len,
                _ => at += 1,
            }
        }
    }
    found
}

/// The names there are in the log's directory.
pub(super) fn names(disk: &SimDisk, id: &LogId) -> Vec<String> {
    disk.list(&id.dir(Path::new(DATA))).unwrap_or_default()
}
