//! Bytes of media: parts muxed from samples, once; whole segments as the parts they consist of.

use crate::base::ids::{Msn, Seq};
use crate::hls::segment::Part;
use crate::log::batch::Batch;
use crate::log::format::record::Record;
use crate::media::fmp4::fragment::{Sample, fragment};
use crate::media::fmp4::init::Init;
use crate::media::timeline::mark::Mark;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

/// The bytes of a part: the same samples give the same bytes on every edge.
pub fn mux(init: &Init, part: &Part, samples: &[Sample]) -> Bytes {
    fragment(&part.fragment(init, samples))
}

type Make = Box<dyn FnOnce() -> Bytes + Send>;

/// A part whose samples are in memory: muxed when it is first asked for, after which the samples
/// are let go.
pub struct Cell(LazyLock<Bytes, Make>);

impl Cell {
    /// A part to be muxed from `samples`.
    pub fn new(init: Arc<Init>, part: Part, samples: Vec<Sample>) -> Cell {
        Cell(LazyLock::new(Box::new(move || mux(&init, &part, &samples))))
    }

    /// The part's bytes.
    pub fn bytes(&self) -> Bytes {
        Bytes::clone(&self.0)
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cell")
    }
}

/// Muxes the parts of a segment from the records of its span in a log (`edge::places`); each with
/// the number of its first sample. `None` when one of their samples is missing.
pub fn remux(init: &Init, msn: Msn, batches: &[Batch]) -> Option<Vec<(Seq, Bytes)>> {
    let track = init.track.id;
    let (mut waiting, mut out) = (VecDeque::new(), Vec::new());
    for entry in batches.iter().flat_map(Batch::records) {
        match entry.record {
            Record::Packet { packet, seq: Some(seq) } if packet.track == track => {
                waiting.push_back((seq, Sample::from(&packet)));
            }
            Record::Mark(Mark::PartEnd(p)) if p.track == track => {
                let older = waiting.partition_point(|(seq, _)| *seq < p.first_seq);
                waiting.drain(..older);
                let count = waiting.partition_point(|(seq, _)| *seq <= p.last_seq);
                let samples: Vec<Sample> = waiting.drain(..count).map(|(_, s)| s).collect();
                if p.msn != msn {
                    continue;
                }
                if count as u64 != p.last_seq.0.saturating_sub(p.first_seq.0) + 1 {
                    return None;
                }
                out.push((p.first_seq, mux(init, &Part::from(&p), &samples)));
            }
            _ => {}
        }
    }
    Some(out)
}
