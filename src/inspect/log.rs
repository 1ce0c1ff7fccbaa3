//! A look into logs: every extent's file from its first byte to its last, record by record, also
//! behind damage. The files are read as they lie, on a disk or in an archive, without the log
//! room's readers, which rightly stop at the first record that is not whole.

use crate::inspect::analysis::Analysis;
use crate::inspect::error::InspectError;
use crate::inspect::files::{DEPTH, find, known_version, read};
use crate::inspect::findings;
use crate::inspect::report::log::{Cost, ExtentFacts, GenerationFacts, LogFacts, Place};
use crate::inspect::report::{Finding, Report, Severity};
use crate::inspect::walk::Walk;
use crate::log::aside::set_aside;
use crate::log::dir::{extent_files, place};
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::footer::Footer;
use crate::log::format::index::Indexer;
use crate::log::fs::{FileSystem, Open};
use crate::log::partly::Partly;
use crate::log::trim;
use bytes::Bytes;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads a log's directory, an extent's file, or every log below a directory, each by itself.
/// Blocks.
///
/// # Errors
/// There is nothing of a log there, or it cannot be read at all.
pub fn inspect(path: &Path) -> Result<Report, InspectError> {
    let (fs, path) = &place(path)?;
    let cannot = |source| InspectError::Read { path: path.clone(), source };
    if !fs.is_dir(path) && fs.open(path, Open::Read).is_ok() {
        let dir = path.parent().unwrap_or(Path::new(""));
        return one(fs, path, dir, vec![(None, path.clone())]);
    }
    let mut dirs = Vec::new();
    find(fs.as_ref(), path, DEPTH, &mut dirs).map_err(cannot)?;
    let mut reports = Vec::new();
    let alone = dirs.len() == 1;
    for dir in dirs {
        let files = extent_files(fs.as_ref(), &dir).map_err(cannot)?;
        let files = files.into_iter().map(|(i, p)| (Some(i), p)).collect();
        let target = if alone { path } else { &dir };
        reports.push(match one(fs, target, &dir, files) {
            Err(e @ InspectError::Version { .. }) if !alone => later(target, &e),
            report => report?,
        });
    }
    match reports.pop() {
        None => Err(InspectError::Unknown { path: path.clone() }),
        Some(only) if reports.is_empty() => Ok(only),
        Some(last) => {
            reports.push(last);
            Ok(several(path, reports))
        }
    }
}

fn one(
    fs: &Arc<dyn FileSystem>,
    target: &Path,
    dir: &Path,
    files: Vec<(Option<u32>, PathBuf)>,
) -> Result<Report, InspectError> {
    for (_, path) in &files {
        known_version(fs.as_ref(), path)?;
    }
    let mut look = Look::new(fs, target);
    look.generation(dir, files);
    Ok(look.finish())
}

/// Among other logs, one that this version must not read.
fn later(target: &Path, why: &InspectError) -> Report {
    let mut report = Report::new(target.display().to_string(), "log");
    report.later_logs = 1;
    report.found(Severity::Problem, why.to_string());
    report
}

/// Several logs: each is a report of its own, since channels and generations have nothing in common
/// that could be added up.
fn several(path: &Path, logs: Vec<Report>) -> Report {
    let mut report = Report::new(path.display().to_string(), "logs");
    report.bytes = logs.iter().map(|l| l.bytes).sum();
    report.later_logs = logs.iter().map(|l| l.later_logs).sum();
    for log in &logs {
        let told = |f: &&Finding| f.severity == Severity::Damage || log.later_logs > 0;
        for f in log.findings.iter().filter(told) {
            report.found(f.severity, f.text.clone());
        }
    }
    report.logs = Some(logs);
    report
}

/// A look at logs, under way.
pub(super) struct Look {
    fs: Arc<dyn FileSystem>,
    pub(super) report: Report,
    pub(super) analysis: Analysis,
    pub(super) log: LogFacts,
    /// The newest session record's target duration.
    pub(super) target: Option<f64>,
}

/// One extent, taken apart.
struct Extent {
    facts: ExtentFacts,
    /// What its footer says, when it has one that can be read.
    footer: Option<Footer>,
}

impl Look {
    fn new(fs: &Arc<dyn FileSystem>, path: &Path) -> Look {
        Look {
            fs: Arc::clone(fs),
            report: Report::new(path.display().to_string(), "log"),
            analysis: Analysis::interleaved(),
            log: LogFacts {
                generations: Vec::new(),
                segments: 0,
                dependent_segments: 0,
                parts: 0,
                gaps: 0,
                discontinuities: 0,
                cues: 0,
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
            (log.dependent_segments, "segment(s) start without a key frame"),
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
            visible: Place::default(),
            durable: None,
            extents: Vec::new(),
        };
        self.set_aside(dir);
        let count = files.len();
        let mut before: Option<Footer> = None;
        let mut expected = files.first().and_then(|f| f.0);
        if let Some(first) = expected {
            self.beginning(dir, first);
        }
        for (n, (index, path)) in files.into_iter().enumerate() {
            if let (Some(want), Some(have)) = (expected, index)
                && want != have
            {
                let (dir, last) = (dir.display(), have - 1);
                let text =
                    format!("{dir}: extents {want} to {last} are missing; castctl repair {dir}");
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
                let mend = parent(&path).display();
                let path = path.display();
                let text = format!("{path}: not sealed, and not the last; castctl repair {mend}");
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

    /// Says why a log does not begin with extent 0, where that is so.
    fn beginning(&mut self, dir: &Path, first: u32) {
        let shown = dir.display();
        let (severity, text) = match trim::first(self.fs.as_ref(), dir) {
            Err(e) => (Severity::Damage, e.to_string()),
            Ok(from) if 0 < from && from < first => {
                let missing = format!("extents {from} to {} are missing", first - 1);
                (Severity::Damage, format!("{shown}: {missing}; castctl repair {shown}"))
            }
            Ok(0) if first == 0 => return,
            Ok(0) => (Severity::Note, format!("{shown}: the extents before {first} are not here")),
            Ok(_) => (Severity::Note, format!("{shown}: the extents before {first} were removed")),
        };
        self.report.found(severity, text);
    }

    /// Says what lies beside the extents and is no part of the log.
    fn set_aside(&mut self, dir: &Path) {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        // A directory that cannot be listed is told where its extents are looked for.
        for text in set_aside(&self.fs.list(dir).unwrap_or_default()) {
            self.report.found(Severity::Note, format!("{}: {text}", dir.display()));
        }
    }

    /// The length of a file now.
    fn len(&self, path: &Path) -> Option<u64> {
        self.fs.open(path, Open::Read).and_then(|f| f.len()).ok()
    }

    /// The bytes of a file, zeros where the disk fails; `None` when it cannot be read at all.
    fn bytes(&mut self, path: &Path) -> Option<Bytes> {
        let name = path.display();
        let found = |text| self.report.found(Severity::Damage, text);
        match read(self.fs.as_ref(), path) {
            Ok(Partly { bytes, unreadable }) => {
                let text = |at: Range<u64>| {
                    let (at, n) = (at.start, at.end - at.start);
                    format!("{name}: byte {at}: the disk cannot read {n} bytes")
                };
                unreadable.into_iter().map(text).for_each(found);
                Some(bytes)
            }
            Err(e) => {
                self.report.found(Severity::Damage, format!("{name}: cannot be read: {e}"));
                None
            }
        }
    }

    /// Reads one extent; `None` when the file cannot be read at all.
    fn extent(
        &mut self,
        path: &Path,
        base: Option<Indexer>,
        generation: &mut GenerationFacts,
    ) -> Option<Extent> {
        let name = path.display();
        let bytes = self.bytes(path)?;
        let len = bytes.len() as u64;
        self.report.bytes += len;
        let index = path.file_name().and_then(|n| n.to_str()).and_then(index_of);
        let header = Header::decode(&bytes);
        let index = index.or(header.as_ref().ok().map(|h| h.extent)).unwrap_or(0);
        if let Ok(header) = &header {
            generation.generation = header.generation.0;
        }
        let facts = empty(index, header.as_ref().is_ok_and(|h| h.forced_roll), len);
        let mend = format!("castctl repair {}", parent(path).display());
        let (name, hint) = (name.to_string(), &*mend);
        let mut walk = Walk { look: self, generation, base, facts, name, mend: hint };
        let ends = walk.extent(index, &bytes);
        let Walk { base, mut facts, name, .. } = walk;
        if let Err(e) = &ends.header {
            self.report.found(Severity::Damage, format!("{name}: byte 0: {e}; {mend}"));
        }
        if !ends.was_sealed() && self.len(path).is_some_and(|now| now > len) {
            // A writer is in the middle of a record.
            facts.torn_bytes = 0;
        }
        if ends.untried > 0 {
            let n = ends.untried;
            let text = format!(
                "{name}: {n} places that look like records were not tried: too much of the file \
                 looks like records and is none"
            );
            self.report.found(Severity::Damage, text);
        }
        let at = ends.records_end;
        facts.sealed = ends.was_sealed();
        if let Some(why) = &ends.footer_fault {
            facts.footer_ok = Some(false);
            self.report.found(Severity::Damage, format!("{name}: byte {at}: {why}; {mend}"));
        } else if let Some(found) = &ends.footer {
            facts.footer_ok = base.map(|b| b.footer(at) == *found);
            if facts.footer_ok == Some(false) {
                let text = "the footer is not what the records amount to";
                self.report.found(Severity::Damage, format!("{name}: byte {at}: {text}; {mend}"));
            }
        }
        if facts.sealed {
            self.log.cost.extent_bytes += len - at;
        }
        self.log.cost.extent_bytes += len.min(HEADER_LEN as u64);
        self.log.cost.damaged_bytes += facts.torn_bytes + facts.damaged_bytes;
        if facts.torn_bytes > 0 {
            let text = format!(
                "{name}: torn tail: {} bytes from byte {at} on are no whole record; {mend}",
                facts.torn_bytes
            );
            self.report.found(Severity::Damage, text);
        }
        Some(Extent { facts, footer: ends.footer })
    }
}

/// What repair is told to work on: the directory of an extent.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The number in an extent's file name.
fn index_of(name: &str) -> Option<u32> {
    name.strip_suffix(".extent")?.parse().ok()
}

fn empty(extent: u32, forced_roll: bool, bytes: u64) -> ExtentFacts {
    ExtentFacts {
        extent,
        bytes,
        records: 0,
        sealed: false,
        footer_ok: None,
        forced_roll,
        damaged_bytes: 0,
        torn_bytes: 0,
    }
}
