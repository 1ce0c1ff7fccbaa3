//! What is there when all is over: the packets in the logs of every origin, and where the registry
//! decided ends.

use crate::chaos::encoders::Id;
use castctl::base::ids::{Generation, TrackId, Writer};
use castctl::hls::name::{File, Path as Name};
use castctl::log::format::record::Record;
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use castctl::log::subscription::From;
use castctl::media::timeline::mark::Mark;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;

/// What the logs hold.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// The packets of every channel, listed or not.
    pub(crate) packets: BTreeMap<String, HashSet<Id>>,
    /// Logs that nobody has sealed, though all have ended.
    pub(crate) open: Vec<String>,
    /// By channel, generation and track: each segment's first sample.
    starts: BTreeMap<(String, u64, TrackId), BTreeMap<u64, u64>>,
}

/// What the logs in a data directory hold, added to `into`.
pub(crate) async fn read(data: &Path, into: &mut Logged) {
    let logs = Logs::open(data, Options::default()).expect("the data directory");
    for log in logs.list().await.expect("logs") {
        let (channel, generation) = (log.id.channel.to_string(), log.id.generation.0);
        let of = into.packets.entry(channel.clone()).or_default();
        let mut reader = logs.subscribe(&log.id, From::Start).expect("a log");
        if !log.sealed {
            into.open.push(format!("{} in {}", log.id, data.display()));
            continue;
        }
        while let Some(batch) = reader.next().await.expect("a sound log") {
            for entry in batch.records() {
                match entry.record {
                    Record::Packet { packet, .. } => drop(of.insert((packet.track, packet.dts))),
                    Record::Mark(Mark::SegmentStart(s)) => {
                        let of = (channel.clone(), generation, s.track);
                        into.starts.entry(of).or_default().insert(s.msn.0, s.first_seq.0);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// What is asked of the registry's database for [`decided_ends`] and [`GivenUp`].
pub(crate) const ENDS: &str = "SELECT channel, base, COALESCE(ended, ''), generation \
     FROM generation ORDER BY channel, generation";

/// Media that the registry gave up where it decided an end without the writer: of the segment that
/// was open by the last report, and of what came after it. Playlists have gaps there, but where it
/// was listed before (TIMELINE section 6).
#[derive(Debug, Default)]
pub(crate) struct GivenUp(BTreeMap<(String, u64), u64>);

impl GivenUp {
    pub(crate) fn of(rows: &str) -> GivenUp {
        let mut out = GivenUp::default();
        for row in rows.lines() {
            let fields: Vec<&str> = row.split('|').collect();
            let [channel, _, end, generation] = fields[..] else { panic!("four fields: {row}") };
            let end: serde_json::Value = serde_json::from_str(end).unwrap_or_default();
            let mut tracks = end["tracks"].as_array().into_iter().flatten();
            if tracks.any(|t| t["last"] == "lost") {
                let key = (channel.to_owned(), generation.parse().expect("a number"));
                out.0.insert(key, end["msn"].as_u64().expect("a number"));
            }
        }
        out
    }

    /// Is the media of this path given up? `logged` says which segment a sample is of.
    pub(crate) fn has(&self, path: &str, logged: &Logged) -> bool {
        let Ok(Name::File { place, file, .. }) = path.parse() else { return false };
        let channel = place.channel.to_string();
        let from = |generation: Generation| self.0.get(&(channel.clone(), generation.0));
        match file {
            File::Segment { writer, msn } => {
                from(writer.generation).is_some_and(|end| msn.0 >= *end)
            }
            File::Part { writer: Writer { generation, .. }, seq } => {
                let video = place.rendition.as_str() == "video";
                let track = if video { TrackId::VIDEO } else { TrackId::AUDIO };
                let starts = logged.starts.get(&(channel.clone(), generation.0, track));
                let first = from(generation).and_then(|end| starts?.range(end..).next());
                first.is_some_and(|(_, first)| seq.0 >= *first)
            }
            _ => false,
        }
    }
}

/// The registry's generations, for whoever looks into a failure.
pub(crate) const ROWS: &str =
    "SELECT row_to_json(g) FROM generation g ORDER BY channel, generation";

/// By channel, the numbers between an end that the registry decided and the base that it gave to
/// the next writer: TIMELINE section 6's exception, no more.
pub(crate) fn decided_ends(rows: &str) -> BTreeMap<String, Vec<RangeInclusive<u64>>> {
    let mut out: BTreeMap<String, Vec<RangeInclusive<u64>>> = BTreeMap::new();
    let mut before: Option<(String, u64)> = None;
    for row in rows.lines() {
        let mut fields = row.split('|');
        let mut field = || fields.next().expect("four fields");
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
        let rows = "a|1000|{\"msn\":1010}|1\na|1011|{\"msn\":1020}|2\na|1024||3\n\
                    b|1000|{\"msn\":1005}|1\nc|2000||1\n";
        let found = decided_ends(rows);
        assert_eq!(found, BTreeMap::from([("a".to_owned(), vec![1020..=1023])]));
    }

    #[test]
    fn only_what_comes_behind_a_lost_end_is_given_up() {
        let rows = "a|1000|{\"msn\":1010,\"tracks\":[{\"last\":\"lost\"}]}|1\n\
                    a|1014|{\"msn\":1020,\"tracks\":[{\"last\":\"complete\"}]}|2\na|1021||3\n";
        let mut logged = Logged::default();
        let of = |generation| ("a".to_owned(), generation, TrackId::VIDEO);
        logged.starts.insert(of(1), BTreeMap::from([(1009, 225), (1010, 250)]));
        logged.starts.insert(of(2), BTreeMap::from([(1020, 150)]));
        let given_up = GivenUp::of(rows);
        let names = ["g1-1009", "g1-p249", "g1-1010", "g1-p250", "g1-p260", "g2-1020", "g2-p150"];
        let has = |n: &&str| given_up.has(&format!("/live/a/s1/video/v3/{n}.m4s"), &logged);
        let found: Vec<&str> = names.into_iter().filter(has).collect();
        assert_eq!(found, ["g1-1010", "g1-p250", "g1-p260"]);
    }
}
