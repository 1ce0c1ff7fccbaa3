//! What of a disk may go: decided from what is there, what is wanted, and the time. Pure.
//!
//! - Only what is marked as collected to this bucket, and has nothing before it that is not.
//! - From a log's oldest extent on, without a gap, and never its newest collected one, at which the
//!   log begins then (`log::trim`); or all of a log that is over, whole in the bucket, and alone in
//!   its directory.
//! - What is older than `keep` goes. Below `free`, the oldest of all logs goes too, until there is
//!   room, but nothing younger than [`FLOOR`].

use crate::base::time::Wall;
use crate::log::id::LogId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is younger stays, however little room there is: the live windows of playlists have up to
/// two minutes, and an edge that begins to read, or reads on after a while, asks for more.
pub const FLOOR: Duration = Duration::from_secs(5 * 60);

/// What is wanted; with neither, nothing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// The hot window: what is older goes.
    pub keep: Option<Duration>,
    /// Bytes that the file system is to have free.
    pub free: Option<u64>,
}

impl Policy {
    /// Does it remove anything, ever?
    pub fn is_idle(&self) -> bool {
        *self == Policy::default()
    }
}

/// A log on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which one.
    pub id: LogId,
    /// Its extents from the oldest on that are collected, up to the first that is not.
    pub collected: Vec<Extent>,
    /// It is over, all of it is in the bucket, and nothing else lies beside it.
    pub whole: bool,
}

/// An extent that is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its number.
    pub number: u32,
    /// Its length.
    pub bytes: u64,
    /// When its newest media was on air, or its file was written, if that was later.
    pub newest: Wall,
}

/// What is to go of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Which log.
    pub id: LogId,
    /// Its extents before this one; `None`: all of it.
    pub to: Option<u32>,
    /// These extents, in order.
    pub extents: Vec<Extent>,
}

impl Removal {
    /// Bytes that it gives back.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|e| e.bytes).sum()
    }
}

/// What is to go, in the order of `logs`; `free` is what the file system has now.
pub fn choose(logs: &[Log], policy: Policy, free: u64, now: Wall) -> Vec<Removal> {
    let older = |e: &Extent, than: Duration| {
        let than = i64::try_from(than.as_micros()).unwrap_or(i64::MAX);
        now.since(e.newest) >= than
    };
    // How many go of each log.
    let mut counts = vec![0; logs.len()];
    if let Some(keep) = policy.keep {
        for (count, log) in counts.iter_mut().zip(logs) {
            *count = log.may_go().iter().take_while(|e| older(e, keep)).count();
        }
    }
    if let Some(wanted) = policy.free {
        let gone = |(count, log): (&usize, &Log)| -> u64 {
            log.collected[..*count].iter().map(|e| e.bytes).sum()
        };
        let mut free = free.saturating_add(counts.iter().zip(logs).map(gone).sum());
        let next = |at: usize, count: usize| {
            let extent = logs[at].may_go().get(count).filter(|e| older(e, FLOOR));
            extent.map(|e| (e.newest, at))
        };
        let mut oldest: BTreeSet<(Wall, usize)> =
            counts.iter().enumerate().filter_map(|(at, count)| next(at, *count)).collect();
        while free < wanted
            && let Some((_, at)) = oldest.pop_first()
        {
            free = free.saturating_add(logs[at].collected[counts[at]].bytes);
            counts[at] += 1;
            oldest.extend(next(at, counts[at]));
        }
    }
    let some = counts.into_iter().zip(logs).filter(|(count, _)| *count > 0);
    some.map(|(count, log)| Removal {
        id: log.id.clone(),
        to: log.collected.get(count).map(|e| e.number),
        extents: log.collected[..count].to_vec(),
    })
    .collect()
}

impl Log {
    /// The extents that may go at all.
    fn may_go(&self) -> &[Extent] {
        let n = self.collected.len();
        &self.collected[..if self.whole { n } else { n.saturating_sub(1) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    /// A log whose extents were on air at these minutes, of ten bytes each.
    fn log(name: &str, whole: bool, first: u32, minutes: &[i64]) -> Log {
        let extent = |(n, minute): (u32, &i64)| {
            let newest = Wall(minute * MINUTE);
            Extent { number: n, bytes: 10, newest }
        };
        let collected = (first..).zip(minutes).map(extent).collect();
        Log { id: name.parse().expect("a log"), collected, whole }
    }

    fn chosen(
        logs: &[Log],
        policy: Policy,
        free: u64,
        minute: i64,
    ) -> Vec<(String, Option<u32>, u64)> {
        let all = choose(logs, policy, free, Wall(minute * MINUTE));
        all.iter().map(|r| (r.id.to_string(), r.to, r.bytes())).collect()
    }

    fn keep(minutes: u64) -> Policy {
        Policy { keep: Some(Duration::from_secs(60 * minutes)), free: None }
    }

    fn free(bytes: u64) -> Policy {
        Policy { keep: None, free: Some(bytes) }
    }

    #[test]
    fn nothing_goes_unless_it_is_asked_for() {
        let logs = [log("a/s1/g1", true, 0, &[1, 2, 3])];
        assert!(Policy::default().is_idle());
        assert!(chosen(&logs, Policy::default(), 0, 10_000).is_empty());
        assert!(!keep(1).is_idle() && !free(1).is_idle());
    }

    #[test]
    fn what_is_out_of_the_window_goes_from_the_oldest_on_and_a_log_that_is_over_goes_whole() {
        let a = |to: Option<u32>, bytes: u64| vec![("a/s1/g1".to_owned(), to, bytes)];
        let goes_on = [log("a/s1/g1", false, 4, &[1, 2, 3, 4])];
        assert!(chosen(&goes_on, keep(10), 0, 10).is_empty());
        assert_eq!(chosen(&goes_on, keep(10), 0, 11), a(Some(5), 10));
        assert_eq!(chosen(&goes_on, keep(10), 0, 13), a(Some(7), 30));
        // The log has to begin with something that is sealed.
        assert_eq!(chosen(&goes_on, keep(10), 0, 1000), a(Some(7), 30));
        let over = [log("a/s1/g1", true, 4, &[1, 2, 3, 4])];
        assert_eq!(chosen(&over, keep(10), 0, 13), a(Some(7), 30));
        assert_eq!(chosen(&over, keep(10), 0, 14), a(None, 40));
        // A clock that went back: what is behind something young stays.
        let back = [log("a/s1/g1", true, 0, &[1, 9, 2, 3])];
        assert_eq!(chosen(&back, keep(5), 0, 10), a(Some(1), 10));
        let none = [log("a/s1/g1", false, 0, &[]), log("b/s1/g1", false, 0, &[1])];
        assert!(chosen(&none, keep(1), 0, 1000).is_empty());
        // What is dated in the future is young.
        assert!(chosen(&over, keep(0), 0, 0).is_empty());
    }

    #[test]
    fn where_room_is_short_the_oldest_of_all_goes_but_nothing_that_is_young() {
        let logs = [
            log("a/s1/g1", false, 0, &[10, 30, 50, 70]),
            log("b/s1/g1", true, 0, &[20, 40]),
            log("c/s1/g1", false, 0, &[97, 98, 99]),
        ];
        let got = |policy, free| chosen(&logs, policy, free, 100);
        let named = |all: &[(&str, Option<u32>, u64)]| {
            all.iter().map(|(n, to, b)| ((*n).to_owned(), *to, *b)).collect::<Vec<_>>()
        };
        assert!(got(free(100), 100).is_empty());
        assert_eq!(got(free(100), 91), named(&[("a/s1/g1", Some(1), 10)]));
        assert_eq!(
            got(free(100), 80),
            named(&[("a/s1/g1", Some(1), 10), ("b/s1/g1", Some(1), 10)])
        );
        assert_eq!(got(free(100), 60), named(&[("a/s1/g1", Some(2), 20), ("b/s1/g1", None, 20)]));
        let most = named(&[("a/s1/g1", Some(3), 30), ("b/s1/g1", None, 20)]);
        assert_eq!(got(free(1000), 0), most, "and no more");
        // What the window takes counts as room.
        let both = Policy { keep: keep(80).keep, ..free(100) };
        assert_eq!(got(both, 80), named(&[("a/s1/g1", Some(1), 10), ("b/s1/g1", Some(1), 10)]));
        let page = include_str!("../../man/castctl-archive.7");
        let said = format!("number floor\n{} minutes,", FLOOR.as_secs() / 60);
        assert!(page.contains(&said), "the page says another");
        let young = [log("a/s1/g1", true, 0, &[96, 97])];
        assert!(chosen(&young, free(100), 0, 100).is_empty());
        let floor = i64::try_from(FLOOR.as_secs()).expect("minutes") / 60;
        assert_eq!(chosen(&young, free(100), 0, 96 + floor).len(), 1);
    }
}
