//! What a bucket holds, from the bucket alone.

use crate::api::peers::Peers;
use crate::catalog::rebuild::Catalog;
use crate::cmd::collect::archive::store_failure;
use crate::cmd::collect::print;
use crate::cmd::common::{self, Exit, Failure};
use crate::collect::rebuild::rebuild;
use crate::collect::restore::restore;
use crate::collect::tell::tell_all;
use crate::store::open::{Access, open};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;

/// What `--json` prints. Fields are added, never renamed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    url: String,
    logs: Vec<Log>,
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    log: String,
    session: u64,
    generation: u64,
    /// Nothing follows, and nothing is missing.
    whole: bool,
    bytes: u64,
    from: Option<String>,
    to: Option<String>,
    extents: Vec<Extent>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extent {
    extent: u32,
    bytes: u64,
    from: Option<String>,
    to: Option<String>,
    first_msn: Option<u64>,
    last_msn: Option<u64>,
}

/// Reads, tells the API servers where there are some, and prints.
pub(super) fn run(url: &str, api: Option<Peers>, json: bool) -> Result<Exit, Failure> {
    let store = open(url, &Access::from_env()).map_err(store_failure)?;
    let bar = bar();
    let mut tell = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let read = common::block_on(rebuild(&store, &mut tell))?;
    bar.finish_and_clear();
    let (catalog, lost) = read.map_err(store_failure)?;
    if let Some(api) = api {
        let restored = common::block_on(restore(&api, &lost.generations(&catalog)))?;
        let n = restored.map_err(|e| Failure::failed(format!("the registry is not told: {e}")))?;
        if n > 0 {
            common::say(format!("the registry had lost {n} generations, and knows them again"));
        }
        let told = common::block_on(tell_all(&api, store.url(), &catalog))?;
        let n = told.map_err(|e| Failure::failed(format!("the registry is not told: {e}")))?;
        common::say(format!("the registry was told of {n} logs"));
    }
    let findings = catalog.findings();
    if json {
        let output = output(store.url(), &catalog);
        common::out(serde_json::to_string_pretty(&output).map_err(Failure::failed)?);
    } else {
        common::out(print::catalog(&catalog));
        findings.iter().for_each(common::say);
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::No })
}

fn output(url: &str, catalog: &Catalog) -> Output {
    let logs = catalog.logs.iter().map(|(id, log)| {
        let wall = log.wall();
        let extents = log.extents.iter().map(|(n, e)| {
            let covers = e.covers.as_ref().copied().unwrap_or_default();
            Extent {
                extent: *n,
                bytes: e.bytes,
                from: covers.wall.map(|w| w.0.to_string()),
                to: covers.wall.map(|w| w.1.to_string()),
                first_msn: covers.msn.map(|m| m.0.0),
                last_msn: covers.msn.map(|m| m.1.0),
            }
        });
        Log {
            log: id.to_string(),
            session: id.session.0,
            generation: id.generation.0,
            whole: log.sealed.is_some() && log.missing().is_empty(),
            bytes: log.bytes(),
            from: wall.map(|w| w.0.to_string()),
            to: wall.map(|w| w.1.to_string()),
            extents: extents.collect(),
        }
    });
    Output { url: url.to_owned(), logs: logs.collect(), findings: catalog.findings() }
}

/// Extents that were looked at; hidden when stderr is no terminal.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} objects, {eta} left");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
