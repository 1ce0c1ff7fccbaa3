//! What is there when all is over: the packets in the logs of every origin, and where the registry
//! decided ends.

use crate::chaos::encoders::Id;
use castctl::log::format::record::Record;
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use castctl::log::subscription::From;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

/// The packets of every channel in a data directory, listed or not, added to `into`.
pub(crate) async fn packets(data: &Path, into: &mut BTreeMap<String, HashSet<Id>>) {
    let logs = Logs::open(data, Options::default()).expect("the data directory");
    for log in logs.list().await.expect("logs") {
        let of = into.entry(log.id.channel.to_string()).or_default();
        let mut reader = logs.subscribe(&log.id, From::Start).expect("a log");
        assert!(log.sealed, "{}: not sealed", log.id);
        while let Some(batch) = reader.next().await.expect("a sound log") {
            for entry in batch.records() {
                if let Record::Packet { packet, .. } = entry.record {
                    of.insert((packet.track, packet.dts));
                }
            }
        }
    }
}

/// What is asked of the registry's database for [`decided_ends`].
pub(crate) const ENDS: &str = "SELECT channel, base, COALESCE(ended, '') FROM generation \
     ORDER BY channel, generation";

/// The registry's generations, for whoever looks into a failure.
pub(crate) const ROWS: &str =
    "SELECT row_to_json(g) FROM generation g ORDER BY channel, generation";

/// By channel, the numbers between an end that the registry decided and the base that it gave to
/// the next writer: TIMELINE section 6's exception, no more.
pub(crate) fn decided_ends(rows: &str) -> BTreeMap<String, Vec<RangeInclusive<u64>>> {
    let mut out: BTreeMap<String, Vec<RangeInclusive<u64>>> = BTreeMap::new();
    let mut before: Option<(String, u64)> = None;
    for row in rows.lines() {
        let mut fields = row.splitn(3, '|');
        let mut field = || fields.next().expect("three fields");
        let (channel, base, ended) = (field().to_owned(), field(), field());
        let base: u64 = base.parse().expect("a number");
        if let Some((of, end)) = before.take()
            && of == channel
            && base > end + 1
        {
            out.entry(channel.clone()).or_default().push(end..=base - 1);
        }
        if !ended.is_empty() {
            let end: serde_json::Value = serde_json::from_str(ended).expect("JSON");
            before = Some((channel, end["msn"].as_u64().expect("a number")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_behind_a_decided_end_are_excepted() {
        let rows = "a|1000|{\"msn\":1010}\na|1011|{\"msn\":1020}\na|1024|\n\
                    b|1000|{\"msn\":1005}\nc|2000|\n";
        let found = decided_ends(rows);
        assert_eq!(found, BTreeMap::from([("a".to_owned(), vec![1020..=1023])]));
    }
}
