//! What a job takes and how far it keeps up, from one look at its worker to the next. Decided from
//! what it is told.

use crate::api::jobs::Load;
use crate::base::time::Mono;
use crate::rt::usage::Usage;
use crate::transcode::report::Report;
use std::time::Duration;

/// Shortest time that CPU is measured over: the kernel counts in hundredths of a second, which is
/// then a hundredth of what is measured.
const SPAN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// A worker's number, when it was looked at, and what it had used.
    since: Option<(u32, Mono, Duration)>,
    behind_micros: i64,
    /// Pictures left out since that worker's start, and how many of them were told.
    late: u64,
    told: u64,
}

impl Meter {
    /// What a worker told: sums since its start.
    pub(super) fn note(&mut self, report: &Report) {
        self.behind_micros = report.behind_micros;
        self.late = report.rungs.iter().map(|r| r.late).sum();
        // A new worker counts from nothing.
        self.told = self.told.min(self.late);
    }

    /// A look at the worker of that number: what has been so since the look before.
    pub(super) fn look(&mut self, pid: u32, usage: Option<Usage>, now: Mono) -> Load {
        let used = usage.map(|u| u.cpu);
        let before = self.since.filter(|(of, ..)| *of == pid);
        let millicores = match (before, used) {
            (Some((_, at, before)), Some(used)) if now.since(at) >= SPAN => {
                let share = used.saturating_sub(before).as_secs_f64();
                Some((share / now.since(at).as_secs_f64() * 1e3).round() as u32)
            }
            _ => None,
        };
        if before.is_none() || millicores.is_some() {
            self.since = used.map(|used| (pid, now, used));
        }
        let late = self.late - self.told;
        self.told = self.late;
        Load { millicores, behind_micros: self.behind_micros, late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::report::RungReport;

    fn at(millis: u64) -> Mono {
        Mono::default().plus(Duration::from_millis(millis))
    }

    fn used(millis: u64) -> Option<Usage> {
        Some(Usage { cpu: Duration::from_millis(millis), resident: 0 })
    }

    #[test]
    fn cpu_is_what_one_worker_used_over_a_span() {
        let mut meter = Meter::default();
        assert_eq!(meter.look(7, used(500), at(0)).millicores, None, "since when is not known");
        assert_eq!(meter.look(7, used(900), at(900)).millicores, None, "too short");
        assert_eq!(meter.look(7, used(2_000), at(2_000)).millicores, Some(750));
        assert_eq!(meter.look(7, used(2_000), at(4_000)).millicores, Some(0));
        // Another worker has used less than the one before.
        assert_eq!(meter.look(8, used(100), at(6_000)).millicores, None);
        assert_eq!(meter.look(8, None, at(8_000)).millicores, None, "it is gone");
        assert_eq!(meter.look(8, used(3_100), at(8_000)).millicores, Some(1_500));
        assert_eq!(meter.look(8, used(5_100), at(9_000)).millicores, Some(2_000));
    }

    #[test]
    fn pictures_that_were_left_out_are_told_once() {
        let mut meter = Meter::default();
        let report = |late: &[u64], behind_micros| {
            let rungs = late.iter().map(|late| RungReport { late: *late, ..RungReport::default() });
            Report { behind_micros, rungs: rungs.collect(), ..Report::default() }
        };
        let mut told = |late: &[u64]| {
            meter.note(&report(late, 40));
            let load = meter.look(7, None, at(0));
            (load.late, load.behind_micros)
        };
        assert_eq!(told(&[2, 3]), (5, 40));
        assert_eq!(told(&[2, 3]), (0, 40));
        assert_eq!(told(&[2, 4]), (1, 40));
        // Another worker.
        assert_eq!(told(&[0, 1]), (0, 40));
        assert_eq!(told(&[0, 9]), (8, 40));
    }
}
