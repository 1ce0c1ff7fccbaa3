//! From measurements to a machine's table: least squares over the model's terms, none below zero.

use crate::control::plan::cost::Work;
use crate::control::plan::cost::table::{Table, Term};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most rounds of the descent: terms that grow together (pixels and frames of one size) take
/// thousands.
const ROUNDS: usize = 50_000;

/// The descent ends when no rate moves by more than this share of itself.
const STILL: f64 = 1e-9;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sample {
    /// What was done, all at the same time.
    pub work: Vec<Work>,
    /// What kind of pictures they were.
    #[serde(default)]
    pub content: String,
    /// What it took: CPU time of user and system by the time that the pictures last.
    pub millicores: f64,
}

/// The table that is nearest to the samples. Each counts by its relative error, so that small
/// pictures are met as well as large ones; a sample of nothing counts nothing. Rates have three
/// decimals.
pub fn fit(name: &str, measured: &str, samples: &[Sample]) -> Table {
    let samples = samples.iter().filter(|s| s.millicores > 0.0);
    let rows: Vec<BTreeMap<Term, f64>> = samples.map(row).collect();
    let terms: BTreeSet<Term> = rows.iter().flat_map(|r| r.keys().copied()).collect();
    let terms: Vec<Term> = terms.into_iter().collect();
    let index = |t: &Term| terms.binary_search(t).expect("every row's terms are among them");
    // The normal equations; only terms that occur together meet.
    let mut square: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); terms.len()];
    let mut right = vec![0.0; terms.len()];
    for row in &rows {
        for (a, x) in row {
            let i = index(a);
            right[i] += x;
            for (b, y) in row {
                *square[i].entry(index(b)).or_default() += x * y;
            }
        }
    }
    let solved = descend(&square, &right);
    let rate = |x: f64| (x * 1e3).round() / 1e3;
    let rates = terms.into_iter().zip(solved).map(|(t, x)| (t, rate(x))).collect();
    Table { name: name.into(), measured: measured.into(), rates }
}

/// A sample's terms, each by what was measured: they shall sum to one.
fn row(sample: &Sample) -> BTreeMap<Term, f64> {
    let mut row = BTreeMap::new();
    for (term, amount) in sample.work.iter().flat_map(Work::terms).filter(|(_, n)| *n > 0.0) {
        *row.entry(term).or_default() += amount / sample.millicores;
    }
    row
}

/// The x, none below zero, that minimises the square form: one coordinate after another, each to
/// its best. The form is convex, so this ends where no x is better.
fn descend(square: &[BTreeMap<usize, f64>], right: &[f64]) -> Vec<f64> {
    let mut x = vec![0.0; right.len()];
    for _ in 0..ROUNDS {
        let mut moved = false;
        for (i, row) in square.iter().enumerate() {
            let own = row.get(&i).copied().unwrap_or_default();
            if own <= 0.0 {
                continue;
            }
            let others: f64 = row.iter().filter(|(j, _)| **j != i).map(|(j, a)| a * x[*j]).sum();
            let best = ((right[i] - others) / own).max(0.0);
            moved |= (best - x[i]).abs() > STILL * best.max(STILL);
            x[i] = best;
        }
        if !moved {
            break;
        }
    }
    x
}
