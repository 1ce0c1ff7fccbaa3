//! Bytes of media: parts muxed from samples, once; whole segments as the parts they consist of.

use crate::base::ids::Seq;
use crate::hls::segment::Part;
use crate::log::batch::Batch;
use crate::log::format::record::Record;
use crate::media::fmp4::fragment::{Sample, fragment};
use crate::media::fmp4::init::Init;
use bytes::Bytes;
use std::collections::BTreeMap;
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

/// Muxes parts from records read back from a log; `None` when one of their samples is missing.
pub fn remux(init: &Init, parts: &[Part], batches: &[Batch]) -> Option<Vec<Bytes>> {
    let mut samples: BTreeMap<Seq, Sample> = BTreeMap::new();
    for entry in batches.iter().flat_map(Batch::records) {
        if let Record::Packet { packet, seq: Some(seq) } = entry.record
            && packet.track == init.track.id
        {
            samples.insert(seq, Sample::from(&packet));
        }
    }
    let mut out = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|p| !p.gap) {
        let of_part: Vec<Sample> =
            samples.range(part.first..=part.last).map(|(_, s)| s.clone()).collect();
        let wanted = part.last.0 - part.first.0 + 1;
        if of_part.len() as u64 != wanted {
            return None;
        }
        out.push(mux(init, part, &of_part));
    }
    Some(out)
}
