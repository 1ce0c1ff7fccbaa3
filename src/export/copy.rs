//! The second pass: the payloads of the planned samples, chunk by chunk in the order in which they
//! lie in the file.

use crate::base::ids::Generation;
use crate::export::error::ExportError;
use crate::export::layout::{Chunk, Layout, description, number};
use crate::export::output::Output;
use crate::export::plan::Plan;
use crate::log::format::record::Record;
use crate::media::fmp4::fragment::{Fragment, Sample, fragment};
use bytes::Bytes;
use std::collections::VecDeque;

/// Takes records, gives chunks.
#[derive(Debug)]
pub struct Copier<'a> {
    plan: &'a Plan,
    layout: &'a Layout,
    /// Per track: the planned sample that comes next in the log.
    next: Vec<usize>,
    /// Per track: payloads of chunks that are not whole yet.
    held: Vec<VecDeque<Bytes>>,
    chunk: usize,
}

impl<'a> Copier<'a> {
    /// At the start of a plan.
    pub fn new(plan: &'a Plan, layout: &'a Layout) -> Copier<'a> {
        let tracks = plan.tracks.len();
        Copier {
            plan,
            layout,
            next: vec![0; tracks],
            held: vec![VecDeque::new(); tracks],
            chunk: 0,
        }
    }

    /// Have all chunks been given?
    pub fn is_done(&self) -> bool {
        self.chunk == self.layout.chunks.len()
    }

    /// Takes the next record of a generation's log; others than planned packets are passed over.
    pub fn record(&mut self, generation: Generation, record: Record) {
        let Record::Packet { packet, seq: Some(seq) } = record else { return };
        let tracks = &self.plan.tracks;
        let Some(at) = tracks.iter().position(|t| t.lane.track == packet.track) else { return };
        let lane = &tracks[at].lane;
        let Some(sample) = lane.samples.get(self.next[at]) else { return };
        let segment = &lane.segments[sample.segment()];
        if (segment.generation, sample.seq) != (generation, seq.0 as u32) {
            return;
        }
        self.next[at] += 1;
        let before = &self.layout.before_keys[at][segment.init];
        let payload = match sample.key() && !before.is_empty() {
            true => Bytes::from([&before[..], &packet.payload].concat()),
            false => packet.payload,
        };
        self.held[at].push_back(payload);
    }

    /// The next chunk, if its samples are here.
    pub fn poll(&mut self) -> Option<(Chunk, Vec<Bytes>)> {
        let chunk = *self.layout.chunks.get(self.chunk)?;
        let held = &mut self.held[chunk.track];
        if held.len() < chunk.samples {
            return None;
        }
        self.chunk += 1;
        Some((chunk, held.drain(..chunk.samples).collect()))
    }

    /// What is missing at the end of the log.
    pub fn missing(&self) -> Option<String> {
        let mut tracks = self.plan.tracks.iter().zip(&self.next);
        let (t, next) = tracks.find(|(t, next)| **next < t.lane.samples.len())?;
        let seq = t.lane.samples[*next].seq;
        Some(format!("sample {seq} of track {} is not where it was", t.lane.track))
    }
}

/// Writes a chunk as it lies in an mdat.
///
/// # Errors
/// The output refuses it, or a payload is not as long as it was.
pub fn plain(
    plan: &Plan,
    chunk: &Chunk,
    payloads: &[Bytes],
    out: &mut Output,
) -> Result<(), ExportError> {
    let samples = &plan.tracks[chunk.track].lane.samples[chunk.first..];
    for (sample, payload) in samples.iter().zip(payloads) {
        if payload.len() as u64 != u64::from(sample.size) {
            let what = format!("sample {} has another length than it had", sample.seq);
            return Err(ExportError::Changed { what });
        }
        out.write(payload)?;
    }
    Ok(())
}

/// A chunk as a movie fragment. `sequence` counts them, from 1.
pub fn fragmented(plan: &Plan, chunk: &Chunk, payloads: Vec<Bytes>, sequence: u32) -> Bytes {
    let track = &plan.tracks[chunk.track];
    let planned = &track.lane.samples[chunk.first..];
    let after = planned.get(chunk.samples).map_or(track.end, |s| s.dts);
    let start = planned.first().map_or(0, |s| s.dts);
    let samples: Vec<Sample> = planned
        .iter()
        .zip(payloads)
        .map(|(s, payload)| Sample { dts: s.dts, cts: s.cts, key: s.key(), payload })
        .collect();
    fragment(&Fragment {
        track_number: number(chunk.track),
        description: description(chunk),
        sequence,
        decode_time: u64::try_from(start).unwrap_or(0),
        duration: track.timescale.to_micros(after.saturating_sub(start)),
        timescale: track.timescale,
        mux: track.timescale,
        frames: None,
        samples: &samples,
    })
}
