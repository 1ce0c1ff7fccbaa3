//! Bytes of media: parts muxed once; whole segments as the parts they consist of.

use crate::base::ids::{Msn, Seq};
use crate::hls::gather::{Gathered, Gatherer};
use crate::log::batch::Batch;
use crate::log::format::record::Record;
use crate::media::fmp4::fragment::Sample;
use crate::media::fmp4::init::Init;
use bytes::Bytes;
use std::sync::{Arc, LazyLock};

type Make = Box<dyn FnOnce() -> Bytes + Send>;

/// A part whose samples are in memory: muxed when it is first asked for, after which the samples
/// are let go.
pub struct Cell(LazyLock<Bytes, Make>);

impl Cell {
    /// A part to be muxed from what it is made of.
    pub fn new(init: Arc<Init>, gathered: Gathered) -> Cell {
        Cell(LazyLock::new(Box::new(move || gathered.bytes(&init))))
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
pub fn remux(
    init: &Init,
    msn: Msn,
    carries_cues: bool,
    batches: &[Batch],
) -> Option<Vec<(Seq, Bytes)>> {
    let track = init.track.id;
    let (mut gatherer, mut out) = (Gatherer::new(track, carries_cues), Vec::new());
    for entry in batches.iter().flat_map(Batch::records) {
        match entry.record {
            Record::Packet { packet, seq: Some(seq) } if packet.track == track => {
                gatherer.sample(seq, Sample::from(&packet));
            }
            Record::Mark(mark) => {
                if let Some((p, gathered)) = gatherer.mark(&mark)
                    && p.msn == msn
                {
                    out.push((p.first_seq, gathered?.bytes(init)));
                }
            }
            _ => {}
        }
    }
    Some(out)
}
