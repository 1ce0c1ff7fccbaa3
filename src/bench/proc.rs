//! What a process and its children used, as Linux's `/proc` tells it.

use serde::Serialize;
use std::path::PathBuf;

/// Ticks of `/proc/PID/stat` in a second: the kernel's promise to user space on every architecture
/// that Debian runs on.
const TICKS: u64 = 100;

/// What a process and its children have used so far, or hold now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// CPU milliseconds in user space, of ended threads too.
    pub user_ms: u64,
    /// CPU milliseconds in the kernel.
    pub system_ms: u64,
    /// Resident bytes.
    pub rss: u64,
    /// Resident bytes, each page shared by n counted for one in n.
    pub pss: u64,
}

impl Usage {
    /// CPU milliseconds of both kinds.
    pub fn cpu_ms(&self) -> u64 {
        self.user_ms + self.system_ms
    }
}

/// What the process and everything it started used. What has ended meanwhile is missing.
pub fn usage(pid: u32) -> std::io::Result<Usage> {
    let mut sum = Usage::default();
    let (root, mut todo) = (pid, vec![pid]);
    while let Some(pid) = todo.pop() {
        let own = match one(pid) {
            Err(_) if pid != root => continue,
            own => own?,
        };
        sum.user_ms += own.user_ms;
        sum.system_ms += own.system_ms;
        sum.rss += own.rss;
        sum.pss += own.pss;
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            // A thread that has ended between the two calls has no children.
            let children = std::fs::read_to_string(task.path().join("children"));
            todo.extend(
                children.iter().flat_map(|c| c.split_whitespace()).flat_map(str::parse::<u32>),
            );
        }
    }
    Ok(sum)
}

/// CPU milliseconds that this process used by itself.
pub fn own_cpu_ms() -> std::io::Result<u64> {
    let [user, system, ..] = times("self")?;
    Ok(user + system)
}

/// CPU milliseconds of the programs that this process started and waited for the end of.
pub fn ended_cpu_ms() -> std::io::Result<u64> {
    let [.., user, system] = times("self")?;
    Ok(user + system)
}

fn one(pid: u32) -> std::io::Result<Usage> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let [user_ms, system_ms, ..] = times(&pid.to_string())?;
    let rollup = std::fs::read_to_string(dir.join("smaps_rollup"))?;
    let (rss, pss) = (kilobytes(&rollup, "Rss:"), kilobytes(&rollup, "Pss:"));
    Ok(Usage { user_ms, system_ms, rss, pss })
}

fn times(process: &str) -> std::io::Result<[u64; 4]> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    Ok(cpu(&stat).ok_or(std::io::ErrorKind::InvalidData)?)
}

/// `utime`, `stime`, `cutime` and `cstime` of `/proc/PID/stat` (proc(5)) in milliseconds.
fn cpu(stat: &str) -> Option<[u64; 4]> {
    // The second field is the program's name in parentheses, with whatever is in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || Some(fields.next()?.parse::<u64>().ok()? * 1000 / TICKS);
    Some([next()?, next()?, next()?, next()?])
}

/// Bytes of a line `Name:  123 kB`; 0 without one.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    let number = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_and_smaps_are_read() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 125 75 9 9 20 0 1 0 100 1 1";
        assert_eq!(cpu(stat), Some([1250, 750, 90, 90]));
        assert_eq!(cpu("42 (x) S 1"), None);
        let rollup = "5560-7ff rollup\nRss:      1234 kB\nPss:       100 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(kilobytes(rollup, "Rss:"), 1234 * 1024);
        assert_eq!(kilobytes(rollup, "Pss:"), 100 * 1024);
        assert_eq!(kilobytes(rollup, "Swap:"), 0);
    }

    #[test]
    fn this_process_uses_memory() {
        let mine = usage(std::process::id()).expect("proc");
        assert!(mine.rss > 0 && mine.pss > 0 && mine.pss <= mine.rss, "{mine:?}");
    }
}
