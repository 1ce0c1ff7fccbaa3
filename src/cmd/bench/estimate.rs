//! castctl bench estimate: how far estimates are from what jobs take.

use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::schedule;
use crate::cmd::trials::{Clips, bar, settings, word};
use crate::control::plan::cost::estimate;
use crate::control::plan::cost::table::{Table as Machine, USUAL};
use crate::control::plan::cost::trial::{Trial, held_out, reference};
use crate::rt::clock::Clock;
use crate::transcode::trial;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Seconds of pictures of each job.
const SECONDS: u32 = 6;

/// How far a machine's table is from what jobs take that it was not made of
///
/// Twelve jobs: whole ladders, sizes, rates, a preset and pictures that no table is made of. Each
/// is compared with its estimate, after what one plain job took more or less than its own.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The machine: a table that is built in, or the file of one
    #[arg(long, value_name = "NAME|FILE", default_value = USUAL)]
    machine: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    job: String,
    estimated: f64,
    measured: f64,
    /// Measured over estimated, over the same of the reference, less 1.
    error: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    machine: String,
    /// What the reference took over its estimate: the machine and the pictures.
    reference: f64,
    jobs: Vec<Row>,
    error_median: f64,
    error_worst: f64,
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let machine = schedule::machine(&args.machine)?;
    let clock = Clock::system();
    let jobs = held_out();
    let bar = bar(jobs.len() + 1);
    let mut clips = Clips::new(SECONDS);
    let mut rows = Vec::new();
    for job in [reference()].iter().chain(&jobs) {
        bar.set_message(word(job));
        rows.push(row(job, &machine, &mut clips, &clock).await?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let first = rows.remove(0);
    let reference = first.measured / first.estimated.max(1e-6);
    for row in &mut rows {
        row.error = row.measured / row.estimated.max(1e-6) / reference - 1.0;
    }
    let mut errors: Vec<f64> = rows.iter().map(|r| r.error.abs()).collect();
    errors.sort_by(f64::total_cmp);
    let (error_median, error_worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    let machine = machine.name;
    let figures = Figures { machine, reference, jobs: rows, error_median, error_worst };
    match args.json {
        true => common::out(serde_json::to_string(&figures).map_err(Failure::failed)?),
        false => common::out(table(&figures)),
    }
    Ok(Exit::Done)
}

async fn row(
    job: &Trial,
    machine: &Machine,
    clips: &mut Clips,
    clock: &Clock,
) -> Result<Row, Failure> {
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let clip = clips.get(&job.source, &program, clock).await?;
    let job = Trial { source: clip.media, ..job.clone() };
    let estimated = estimate(&job.ladder, &job.source, machine).map_err(Failure::usage)?.total;
    let measured = trial::millicores(&program, &settings(&job), &clip, clock).await?;
    Ok(Row { job: word(&job), estimated: estimated.into(), measured, error: 0.0 })
}

fn table(f: &Figures) -> String {
    let mut out = Table::new();
    out.load_style(presets::UTF8_BORDERS_ONLY);
    out.set_header(["job", "estimated", "measured", "error"]);
    for column in out.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for r in &f.jobs {
        out.add_row([
            r.job.clone(),
            format!("{:.0} m", r.estimated),
            format!("{:.0} m", r.measured),
            format!("{:+.0} %", r.error * 100.0),
        ]);
    }
    format!(
        "{out}\nmachine {}: the reference took {:.2} of its estimate; errors after that: median \
         {:.0} %, worst {:.0} %",
        f.machine,
        f.reference,
        f.error_median * 100.0,
        f.error_worst * 100.0
    )
}
