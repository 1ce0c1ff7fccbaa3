//! Tables for people.

use crate::base::time::Wall;
use crate::base::units::HumanBytes;
use crate::catalog::rebuild::Catalog;
use crate::collect::summary::Summary;
use comfy_table::{CellAlignment, Table, presets};

/// A table without lines whose columns but the first and the last are numbers.
fn table(head: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().copied());
    for column in table.column_iter_mut().skip(1).take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What was done, log by log.
pub(super) fn summary(summary: &Summary) -> String {
    let mut table = table(&["log", "uploaded", "bytes", "there", "left", "state"], 4);
    for log in &summary.logs {
        let state = match (log.whole, log.open) {
            _ if log.gone => "only in the bucket",
            (true, _) => "whole",
            (_, true) => "being written, or its writer is gone",
            (..) if log.left > 0 => "not collected",
            _ => "goes on",
        };
        table.add_row([
            log.log.clone(),
            log.uploaded.to_string(),
            HumanBytes(log.uploaded_bytes).to_string(),
            log.there.to_string(),
            log.left.to_string(),
            state.to_owned(),
        ]);
    }
    let (n, bytes) = (summary.uploaded, HumanBytes(summary.uploaded_bytes));
    let mut text = format!(
        "{}\n{n} extents ({bytes}) put to {}, {} were there, {} left",
        table.trim_fmt(),
        summary.to,
        summary.there,
        summary.left
    );
    if summary.removed > 0 {
        let (n, bytes) = (summary.removed, HumanBytes(summary.removed_bytes));
        text +=
            &format!("\n{n} extents ({bytes}) removed here, {} logs whole", summary.removed_logs);
    }
    text
}

/// What is left, and why, a line each.
pub(super) fn left(summary: &Summary) -> Vec<String> {
    let logs = summary.logs.iter().filter_map(|log| Some((log, log.why.as_ref()?)));
    let untold = summary.untold.iter().map(|why| format!("the registry is not told: {why}"));
    let said = logs.map(|(log, why)| {
        let bytes = HumanBytes(log.left_bytes);
        format!("not collected: {}: {} extents ({bytes}): {why}", log.log, log.left)
    });
    let kept = summary.kept.iter().map(|why| format!("not removed: {why}"));
    said.chain(untold).chain(kept).collect()
}

/// What a bucket holds, log by log.
pub(super) fn catalog(catalog: &Catalog) -> String {
    let head = ["log", "extents", "bytes", "segments", "from", "to", "state"];
    let mut table = table(&head, 3);
    let moment = |wall: Option<Wall>| wall.map_or_else(|| "-".to_owned(), |w| w.to_string());
    for (id, log) in &catalog.logs {
        let (wall, msn) = (log.wall(), log.msn());
        let state = match (log.missing().is_empty(), log.sealed) {
            (false, _) => "extents are missing",
            (true, Some(_)) => "whole",
            (true, None) => "goes on",
        };
        table.add_row([
            id.to_string(),
            log.extents.len().to_string(),
            HumanBytes(log.bytes()).to_string(),
            msn.map_or_else(|| "-".to_owned(), |m| format!("{}..{}", m.0.0, m.1.0)),
            moment(wall.map(|w| w.0)),
            moment(wall.map(|w| w.1)),
            state.to_owned(),
        ]);
    }
    let bytes: u64 = catalog.logs.values().map(|log| log.bytes()).sum();
    let n: usize = catalog.logs.values().map(|log| log.extents.len()).sum();
    format!("{}\n{n} extents, {}", table.trim_fmt(), HumanBytes(bytes))
}
