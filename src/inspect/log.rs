//! A look into logs: every extent's file from its first byte to its last, record by record, also
//! behind damage. The files are read as they lie, without the log room's readers, which rightly
//! stop at the first record that is not whole.

use crate::base::time::{Timescale, Wall};
use crate::inspect::analysis::{Analysis, Sample, TrackFacts};
use crate::inspect::error::InspectError;
use crate::inspect::findings;
use crate::inspect::report::{
    Cost, ExtentFacts, GenerationFacts, LogFacts, Report, Severity, secs,
};
use crate::inspect::tags::facts;
use crate::log::dir::extent_files;
use crate::log::format::extent::{HEADER_LEN, Header, TRAILER_LEN, footer_start};
use crate::log::format::footer::Footer;
use crate::log::format::index::Indexer;
use crate::log::format::record::{FrameError, Record, frame, kind};
use crate::log::format::scan::{Located, Scan};
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, PACKET_HEAD};
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use crate::media::track::Kind;
use bytes::Bytes;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is taken for an extent: the writer rolls at 128 MiB, and a footer of marks
/// follows.
const EXTENT_MAX: u64 = 256 << 20;

/// Bytes whose checksums are tried while the next good record is looked for, over one extent. What
/// looks like a record's head in media is rare; hostile bytes must not take for ever.
const RESYNC_MAX: usize = 4 << 30;

/// How deep below a directory logs are looked for: `logs`, channel, session, generation.
const DEPTH: usize = 4;

/// Reads a log's directory, an extent's file, or all generations below a directory. Blocks.
///
/// # Errors
/// There is nothing of a log there, or it cannot be read at all.
pub fn inspect(path: &Path) -> Result<Report, InspectError> {
    let cannot = |source| InspectError::Read { path: path.to_owned(), source };
    let mut look = Look::new(path);
    if path.is_file() {
        let dir = path.parent().unwrap_or(Path::new(""));
        look.generation(dir, vec![(None, path.to_owned())]);
        return Ok(look.finish());
    }
    let mut dirs = Vec::new();
    find(path, DEPTH, &mut dirs).map_err(cannot)?;
    if dirs.is_empty() {
        return Err(InspectError::Unknown { path: path.to_owned() });
    }
    for dir in dirs {
        let files = extent_files(&dir).map_err(cannot)?;
        look.generation(&dir, files.into_iter().map(|(i, p)| (Some(i), p)).collect());
    }
    Ok(look.finish())
}

/// The directories that hold extents, in the order of their numbers.
fn find(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !extent_files(dir)?.is_empty() {
        found.push(dir.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut below: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    // `g10` comes after `g9`.
    let number = |p: &PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        (digits.parse::<u64>().unwrap_or(0), name.to_owned())
    };
    below.sort_by_key(number);
    below.iter().try_for_each(|b| find(b, depth - 1, found))
}

/// A look at logs, under way.
struct Look {
    report: Report,
    analysis: Analysis,
    log: LogFacts,
    /// The newest session record's target duration.
    target: Option<f64>,
}

/// One extent, taken apart.
struct Extent {
    facts: ExtentFacts,
    /// What its footer says, when it has one that can be read.
    footer: Option<Footer>,
}

impl Look {
    fn new(path: &Path) -> Look {
        Look {
            report: Report::new(path.display().to_string(), "log"),
            analysis: Analysis::interleaved(),
            log: LogFacts {
                generations: Vec::new(),
                segments: 0,
                dependent_segments: 0,
                parts: 0,
                gaps: 0,
                discontinuities: 0,
                unlisted_packets: 0,
                unknown_records: 0,
                cost: Cost::default(),
            },
            target: None,
        }
    }

    fn finish(mut self) -> Report {
        self.report.tracks = self.analysis.tracks();
        self.report.skew = self.analysis.skew();
        self.log.cost.total_bytes = self.report.bytes;
        let (log, report) = (&self.log, &mut self.report);
        for (n, what) in [
            (log.gaps, "gap(s): media was absent"),
            (log.discontinuities, "discontinuity(ies)"),
            (log.dependent_segments, "segment(s) start without an IDR"),
            (log.unlisted_packets, "packet(s) are in no segment"),
            (log.unknown_records, "record(s) of kinds this version does not know"),
        ] {
            if n > 0 {
                report.found(Severity::Note, format!("{n} {what}"));
            }
        }
        if self.report.tracks.iter().all(|t| t.packets == 0) {
            self.report.found(Severity::Problem, "no packets");
        }
        self.report.log = Some(self.log);
        findings::judge(&mut self.report, self.target);
        self.report
    }

    fn generation(&mut self, dir: &Path, files: Vec<(Option<u32>, PathBuf)>) {
        self.analysis.restart();
        let mut facts = GenerationFacts {
            directory: dir.display().to_string(),
            generation: 0,
            session: None,
            base: None,
            previous: None,
            first_msn: None,
            last_msn: None,
            from: None,
            to: None,
            target_duration: None,
            part_target: None,
            segment_target: None,
            ended: false,
            session_over: false,
            extents: Vec::new(),
        };
        let count = files.len();
        let mut before: Option<Footer> = None;
        let mut expected = files.first().and_then(|f| f.0);
        if let Some(first) = expected.filter(|first| *first > 0) {
            let text = format!("{}: the extents before {first} are not here", dir.display());
            self.report.found(Severity::Note, text);
        }
        for (n, (index, path)) in files.into_iter().enumerate() {
            if let (Some(want), Some(have)) = (expected, index)
                && want != have
            {
                let text = format!("{}: extents {want} to {} are missing", dir.display(), have - 1);
                self.report.found(Severity::Damage, text);
                before = None;
                self.analysis.restart();
            }
            expected = index.map(|i| i + 1);
            let first = index == Some(0);
            let base =
                if first { Some(Indexer::new()) } else { before.as_ref().map(Indexer::resume) };
            let Some(extent) = self.extent(&path, base, &mut facts) else {
                before = None;
                continue;
            };
            if !extent.facts.sealed && n + 1 < count {
                let text = format!("{}: not sealed, and not the last", path.display());
                self.report.found(Severity::Damage, text);
            }
            before = extent.footer;
            facts.extents.push(extent.facts);
        }
        let open = facts.extents.last().is_some_and(|e| !e.sealed);
        if open {
            let text = "the last extent is not sealed: a writer is at work, or died";
            self.report.found(Severity::Note, format!("{}: {text}", dir.display()));
        }
        self.log.generations.push(facts);
    }

    /// Reads one extent; `None` when not even its header can be read.
    fn extent(
        &mut self,
        path: &Path,
        base: Option<Indexer>,
        generation: &mut GenerationFacts,
    ) -> Option<Extent> {
        let name = path.display();
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.report.found(Severity::Damage, format!("{name}: cannot be read: {e}"));
                return None;
            }
        };
        let len = bytes.len() as u64;
        self.report.bytes += len;
        let header = match Header::decode(&bytes) {
            Ok(header) => header,
            Err(e) => {
                self.report.found(Severity::Damage, format!("{name}: {e}"));
                self.log.cost.damaged_bytes += len;
                return None;
            }
        };
        generation.generation = header.generation.0;
        let footer_at = footer_start(len, &bytes[bytes.len().saturating_sub(TRAILER_LEN)..]);
        let end = footer_at.map_or(bytes.len(), |at| at as usize);
        let mut walk = Walk { look: self, generation, base, facts: empty(&header, len) };
        let records_end = walk.records(&bytes, end);
        let Walk { base, mut facts, .. } = walk;
        if footer_at.is_none() && std::fs::metadata(path).is_ok_and(|m| m.len() > len) {
            // A writer is in the middle of a record.
            facts.torn_bytes = 0;
        }
        let mut footer = None;
        if let Some(at) = footer_at.filter(|at| *at == records_end) {
            match Footer::decode(&bytes.slice(at as usize..)) {
                Ok(found) => {
                    facts.sealed = true;
                    facts.footer_ok = base.map(|b| b.footer(at) == found);
                    footer = Some(found);
                }
                Err(e) => {
                    (facts.sealed, facts.footer_ok) = (true, Some(false));
                    self.report.found(Severity::Damage, format!("{name}: {e}"));
                }
            }
            self.log.cost.extent_bytes += len - at;
        }
        self.log.cost.extent_bytes += HEADER_LEN as u64;
        self.log.cost.damaged_bytes += facts.torn_bytes + facts.damaged_bytes;
        if facts.footer_ok == Some(false) && footer.is_some() {
            let text = format!("{name}: the footer is not what the records amount to");
            self.report.found(Severity::Damage, text);
        }
        if facts.torn_bytes > 0 {
            let text = format!(
                "{name}: torn tail: {} bytes from byte {records_end} on are no whole record",
                facts.torn_bytes
            );
            self.report.found(Severity::Damage, text);
        }
        Some(Extent { facts, footer })
    }
}

fn empty(header: &Header, bytes: u64) -> ExtentFacts {
    ExtentFacts {
        extent: header.extent,
        bytes,
        records: 0,
        sealed: false,
        footer_ok: None,
        forced_roll: header.forced_roll,
        damaged_bytes: 0,
        torn_bytes: 0,
    }
}

/// The whole file, if it is no larger than an extent can be.
fn read(path: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(EXTENT_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > EXTENT_MAX {
        return Err(std::io::Error::other("it is larger than any extent"));
    }
    Ok(bytes.into())
}

/// A walk through one extent's records.
struct Walk<'a> {
    look: &'a mut Look,
    generation: &'a mut GenerationFacts,
    /// Rebuilds the footer, while nothing is missing.
    base: Option<Indexer>,
    facts: ExtentFacts,
}

impl Walk<'_> {
    /// Takes every good record before `end`; returns where the last one ends.
    fn records(&mut self, bytes: &Bytes, end: usize) -> u64 {
        let body = bytes.slice(..end);
        let (mut at, mut budget) = (HEADER_LEN.min(end), RESYNC_MAX);
        loop {
            let rest = body.slice(at..);
            let mut scan = Scan::new(&rest);
            while let Some(located) = scan.next() {
                self.record(at, &rest, located);
            }
            let Some(stop) = scan.stop() else { return at as u64 };
            at += stop.at;
            let Some(why) = stop.why else { return at as u64 };
            self.base = None;
            match next_good(&body, at, &mut budget) {
                Some(good) => {
                    let lost = (good - at) as u64;
                    self.facts.damaged_bytes += lost;
                    let extent = self.facts.extent;
                    let text =
                        format!("extent {extent}: {lost} bytes at byte {at} are no record: {why}");
                    self.look.report.found(Severity::Damage, text);
                    self.look.analysis.restart();
                    at = good;
                }
                None => {
                    // A footer without its trailer is the writer's last act, cut short.
                    self.facts.torn_bytes = (end - at) as u64;
                    return at as u64;
                }
            }
        }
    }

    fn record(&mut self, base: usize, rest: &Bytes, located: Located) {
        let Located { range, frame, record } = located;
        self.facts.records += 1;
        let offset = (base + range.start) as u64;
        if let Some(indexer) = &mut self.base
            && indexer.observe(offset, &rest[range], &record).is_err()
        {
            self.base = None;
        }
        let cost = &mut self.look.log.cost;
        match record {
            Record::Packet { packet, seq } => {
                cost.head_bytes += (FRAME_PREFIX + FRAME_HEAD + PACKET_HEAD) as u64;
                cost.media_bytes += packet.payload.len() as u64;
                self.look.log.unlisted_packets += u64::from(seq.is_none());
                self.packet(&packet);
            }
            Record::Mark(mark) => {
                cost.mark_bytes += frame.len as u64;
                self.mark(&mark);
            }
            Record::Unknown { .. } => {
                cost.mark_bytes += frame.len as u64;
                // A footer in the middle: the trailer behind it is gone.
                if frame.kind != kind::FOOTER {
                    self.look.log.unknown_records += 1;
                }
            }
        }
    }

    fn packet(&mut self, p: &Packet) {
        let id = u32::from(p.track.0);
        if !self.look.analysis.knows(id) {
            let kind = if p.track.0 == 1 { Kind::Video } else { Kind::Audio };
            let name = "no configuration".to_owned();
            let facts = TrackFacts::unknown(id, kind, Timescale::MILLIS, name);
            self.look.analysis.configure(facts);
        }
        let size = p.payload.len() as u64;
        let sample = Sample { dts: p.dts, cts: p.cts, key: p.key, size, arrival: None };
        self.look.analysis.feed(id, sample);
    }

    fn mark(&mut self, mark: &Mark) {
        let (log, g) = (&mut self.look.log, &mut *self.generation);
        match mark {
            Mark::Generation(m) => {
                g.generation = m.generation.0;
                (g.session, g.base) = (Some(m.session.0), Some(m.base.0));
                g.previous = m.previous.as_ref().map(|(p, _)| p.0);
            }
            Mark::Session(m) => {
                g.target_duration = Some(m.target_duration);
                (g.part_target, g.segment_target) =
                    (Some(secs(m.part_target)), Some(secs(m.segment)));
                self.look.target = Some(m.target_duration.into());
            }
            Mark::Track(t) => match facts(t) {
                Ok(facts) => self.look.analysis.configure(facts),
                Err(e) => {
                    let text = format!("track {}: its configuration cannot be read: {e}", t.id);
                    self.look.report.found(Severity::Problem, text);
                }
            },
            Mark::SegmentStart(m) => {
                log.segments += 1;
                log.dependent_segments += u64::from(!m.independent);
                log.discontinuities += u64::from(m.discontinuity);
                reached(g, m.msn.0, m.wall);
            }
            Mark::PartEnd(_) => log.parts += 1,
            Mark::Gap(m) => {
                log.gaps += 1;
                reached(g, m.msn.0, m.wall);
            }
            Mark::End(m) => {
                (g.ended, g.session_over) = (true, m.session_over);
                g.to = Some(m.wall.to_string());
            }
        }
    }
}

/// Widens what a generation covers.
fn reached(g: &mut GenerationFacts, msn: u64, wall: Wall) {
    g.first_msn = Some(g.first_msn.map_or(msn, |m| m.min(msn)));
    g.last_msn = Some(g.last_msn.map_or(msn, |m| m.max(msn)));
    g.from.get_or_insert_with(|| wall.to_string());
    g.to = Some(wall.to_string());
}

/// Where the next record with a right checksum starts, after `at`.
fn next_good(body: &Bytes, at: usize, budget: &mut usize) -> Option<usize> {
    let known = |k: u8| matches!(k, kind::PACKET..=kind::CUE | kind::FOOTER);
    for from in at + 1..body.len() {
        let rest = &body[from..];
        match frame(rest, false) {
            Ok(f) if known(f.kind) && f.len <= rest.len() => {
                *budget = budget.checked_sub(f.len)?;
                if frame(rest, true).is_ok() {
                    return Some(from);
                }
            }
            Err(FrameError::Incomplete { need }) if need > rest.len() => return None,
            _ => {}
        }
    }
    None
}
