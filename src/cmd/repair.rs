//! castctl repair: mends damage in stored logs that recovery leaves alone.

use crate::base::units::HumanBytes;
use crate::cmd::common::{self, Exit, Failure};
use crate::log::fs::{Disk, FileSystem};
use crate::log::repair::report::{ExtentReport, LogReport};
use crate::log::repair::{RepairError, logs_at, repair, size};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Mend damaged logs: every record that can be read is kept, holes become gaps
#[derive(Debug, clap::Args)]
#[command(after_help = "The original of every changed file is kept beside it as NAME.damaged. \
    With --dry-run the exit code is 1 when something would be changed.")]
pub struct Args {
    /// An extent's file (it stands for its log), a log's directory (…/g1), or any directory above:
    /// then every log below it that no process is writing
    path: PathBuf,
    /// Say what would be done, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints. Fields are added, never renamed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    dry_run: bool,
    /// Something was changed, or would be.
    changed: bool,
    logs: Vec<LogReport>,
    /// Logs that were left alone.
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    directory: String,
    /// A process is writing it: nothing is wrong with that.
    held: bool,
    error: String,
}

/// Repairs, and prints what was done.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let path = args.path.display();
    std::fs::metadata(&args.path)
        .map_err(|e| Failure::failed(format!("cannot read {path}: {e}")))?;
    let fs: &dyn FileSystem = &Disk;
    let dirs = logs_at(fs, &args.path).map_err(Failure::failed)?;
    if dirs.is_empty() {
        return Err(Failure::usage(format!("{path} is no log, no extent and has no log below it"))
            .hint(
                "give a log's directory (…/g1), an extent (00000000.extent) or a data directory",
            ));
    }
    let total = dirs.iter().map(|d| size(fs, d).unwrap_or(0)).sum();
    let bar = bar(total);
    let mut out = Output { dry_run: args.dry_run, changed: false, logs: vec![], failed: vec![] };
    for dir in &dirs {
        bar.set_message(dir.display().to_string());
        let mut seen = 0;
        let done = repair(fs, dir, args.dry_run, &mut |bytes| {
            seen += bytes;
            bar.inc(bytes);
            // What is repaired is read a second time.
            if bar.length().is_some_and(|all| bar.position() > all) {
                bar.set_length(bar.position());
            }
        });
        match done {
            Ok(report) => out.logs.push(report),
            Err(e) => out.failed.push(Failed {
                directory: dir.display().to_string(),
                held: matches!(e, RepairError::Held { .. }),
                error: e.to_string(),
            }),
        }
    }
    bar.finish_and_clear();
    out.changed = out.logs.iter().any(|l| l.changed);
    print(&out, args.json)?;
    let alone = dirs.len() == 1;
    let failed = out.failed.iter().find(|f| alone || !f.held);
    match failed {
        Some(f) if alone => Err(Failure::failed(&f.error)),
        Some(_) => Err(Failure::failed("not every log could be repaired")),
        None if args.dry_run && out.changed => Ok(Exit::No),
        None => Ok(Exit::Done),
    }
}

/// A progress bar in bytes; hidden when stderr is no terminal.
fn bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{wide_bar} {bytes} of {total_bytes} {bytes_per_sec}, {eta} left  {msg}",
    );
    ProgressBar::new(total)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_finish(indicatif::ProgressFinish::AndClear)
}

fn print(out: &Output, json: bool) -> Result<(), Failure> {
    if json {
        common::out(serde_json::to_string_pretty(out).map_err(Failure::failed)?);
        return Ok(());
    }
    for log in &out.logs {
        common::out(text(log, out.dry_run));
    }
    if out.logs.len() + out.failed.len() > 1 {
        for f in &out.failed {
            common::say(format!("left alone: {}", f.error));
        }
    }
    Ok(())
}

/// One log for people: a line, and a table of the extents that are not as they were.
fn text(log: &LogReport, dry_run: bool) -> String {
    let n = log.extents.len();
    let mut parts = Vec::new();
    if log.changed {
        let verb = if dry_run { "would be repaired" } else { "repaired" };
        parts.push(format!("{}: {verb}", log.directory));
        parts.push(table(log).to_string());
    } else {
        parts.push(format!("{}: nothing to repair in {n} extent(s)", log.directory));
    }
    parts.extend(log.notes.iter().map(|n| format!("note  {n}")));
    let kept = log.extents.iter().filter_map(|e| e.kept_as.as_ref());
    parts.extend(kept.map(|k| format!("kept  {k}")));
    parts.join("\n")
}

fn table(log: &LogReport) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "extent",
        "size",
        "records kept",
        "restored",
        "bytes lost",
        "packets lost",
        "time lost",
        "gaps",
        "rebuilt",
    ]);
    let changed = |e: &&ExtentReport| e.changed || !e.damage.is_empty();
    for e in log.extents.iter().filter(changed) {
        let rebuilt = [
            (e.missing, "file"),
            (e.header_rebuilt && !e.missing, "header"),
            (e.footer_rebuilt && !e.missing, "footer"),
        ];
        let rebuilt: Vec<&str> = rebuilt.iter().filter(|r| r.0).map(|r| r.1).collect();
        table.add_row([
            e.extent.to_string(),
            if e.missing { "missing".into() } else { HumanBytes(e.bytes).to_string() },
            e.records_kept.to_string(),
            e.records_restored.to_string(),
            e.bytes_lost.to_string(),
            e.packets_lost.to_string(),
            format!("{:.3} s", e.seconds_lost),
            e.gaps_written.to_string(),
            if rebuilt.is_empty() { "-".into() } else { rebuilt.join(", ") },
        ]);
    }
    let sound = log.extents.iter().filter(|e| !changed(e)).count();
    if sound > 0 {
        table.add_row([format!("{sound} other(s)"), "nothing to repair".into()]);
    }
    table
}
