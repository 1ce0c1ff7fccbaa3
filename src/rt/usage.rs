//! What a process has used, as Linux's `/proc` tells it.

use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second: the kernel's promise to user space on every architecture
/// that Debian runs on.
const TICKS: u64 = 100;

/// What a process has used so far, and holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user space and in the kernel, of ended threads too; without its children.
    pub cpu: Duration,
    /// Resident bytes.
    pub resident: u64,
}

/// What a process has used. `None`: there is no such process, or no `/proc`.
pub fn of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // One that has ended and that nobody has waited for has no memory.
    Some(Usage { cpu: cpu(&stat)?, resident: resident(&status).unwrap_or(0) })
}

/// Fields 14 and 15 of `/proc/PID/stat` (proc(5)): `utime` and `stime`.
fn cpu(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses, with whatever is in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(1_000 / TICKS)?))
}

/// Bytes of the line `VmRSS:  123 kB` of `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_their_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 9 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 (x"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(resident("Name:\tx\n"), None);
        let own = of(std::process::id()).expect("proc");
        assert!(own.resident > 0);
        assert_eq!(of(u32::MAX), None);
    }
}
