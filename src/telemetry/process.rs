//! The process's own figures, read from /proc at each scrape, under the names that every Prometheus
//! client uses. Where /proc cannot be read a figure is left out.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::fs;

/// Clock ticks per second in /proc/self/stat: USER_HZ, fixed at 100 in the kernel's ABI.
const USER_HZ: f64 = 100.0;

/// Reads /proc/self.
#[derive(Debug)]
pub(super) struct ProcessFigures;

impl Collector for ProcessFigures {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().and_then(|t| rss(&t)) {
            let name = "process_resident_memory_bytes";
            let help = "Resident memory";
            let to = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(bytes).encode(to)?;
        }
        if let Some(secs) = fs::read_to_string("/proc/self/stat").ok().and_then(|t| cpu(&t)) {
            let help = "Processor time in user and system mode";
            let to =
                to.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(secs).encode(to)?;
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            let count = i64::try_from(entries.count()).unwrap_or(i64::MAX).saturating_sub(1);
            let help = "Open file descriptors";
            let to = to.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?;
            ConstGauge::new(count).encode(to)?;
        }
        Ok(())
    }
}

/// Resident bytes from /proc/self/status (`VmRSS:  1234 kB`).
fn rss(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Seconds of processor time from /proc/self/stat: fields 14 and 15 (utime, stime) of proc(5). The
/// second field is the command's name in parentheses and may contain anything.
fn cpu(stat: &str) -> Option<f64> {
    let mut after = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system) = (after.next()?.parse::<u64>().ok()?, after.next()?.parse::<u64>().ok()?);
    Some(user.saturating_add(system) as f64 / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_their_fields() {
        assert_eq!(rss("Name:\tcastctl\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(rss("Name:\tcastctl\n"), None);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 9 0 100 1 2";
        assert_eq!(cpu(stat), Some(2.0));
        assert_eq!(cpu("7 (x"), None);
    }
}
