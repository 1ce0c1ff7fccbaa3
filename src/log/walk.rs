//! One walk through a log's records for recovery: what it keeps, and what it finds in an extent.
//! Reads; never writes.

use crate::base::ids::{Generation, TrackId};
use crate::base::time::Timescale;
use crate::log::error::LogError;
use crate::log::format::durable::Durable;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::footer::{FOOTER_HEAD, Footer};
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, frame, kind};
use crate::log::format::scan::Scan;
use crate::log::format::trimmed::Trimmed;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, Position};
use crate::log::reader::ExtentReader;
use crate::media::timeline::mark::{GenerationStart, Mark, SessionRecord};
use std::collections::HashMap;

/// What one walk through a log keeps.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) indexer: Indexer,
    pub(super) start: Option<GenerationStart>,
    pub(super) session: Option<SessionRecord>,
    pub(super) scales: HashMap<TrackId, Timescale>,
    pub(super) newest: HashMap<TrackId, i64>,
}

impl Walk {
    /// At the start of the extent after the one that `footer` closes; of a log's first without one.
    pub(super) fn behind(footer: Option<&Footer>) -> Walk {
        Walk { indexer: footer.map_or_else(Indexer::new, Indexer::resume), ..Walk::default() }
    }

    /// What the marks in an extent's footer say.
    pub(super) fn of(footer: &Footer) -> Walk {
        let mut walk = Walk::default();
        footer.marks().for_each(|m| walk.mark(&m.mark));
        walk
    }

    /// Learns from the extents before those it went through.
    pub(super) fn follows(&mut self, earlier: Walk) {
        self.start = self.start.take().or(earlier.start);
        self.session = self.session.take().or(earlier.session);
        for (track, scale) in earlier.scales {
            self.scales.entry(track).or_insert(scale);
        }
        for (track, dts) in earlier.newest {
            self.newest.entry(track).or_insert(dts);
        }
    }

    /// Learns how a log began whose first extents were removed.
    pub(super) fn begins(&mut self, trimmed: Option<&Trimmed>) {
        self.start = self.start.take().or_else(|| trimmed?.begins());
    }

    pub(super) fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Generation(m) => self.start = Some(m.clone()),
            Mark::Session(m) => self.session = Some(m.clone()),
            Mark::Track(m) => {
                self.scales.insert(m.id, m.timescale);
            }
            _ => {}
        }
    }

    pub(super) fn micros(&self, track: TrackId, dts: i64) -> i64 {
        self.scales.get(&track).copied().unwrap_or(Timescale::MILLIS).to_micros(dts)
    }
}

/// What is found in an extent.
pub(super) enum State {
    /// Records, footer, trailer: sealed, and nothing to do.
    Whole { at: u64 },
    /// Records up to `at` and nothing behind, or the beginning of the footer of these very records;
    /// 0 when the file was just being made and has no header yet.
    Unsealed { at: u64, footer: bool },
    /// Records up to `at`, and then something that is none; 0 when the header is none.
    Torn { at: u64, why: String },
}

/// What the good records of an extent hold.
#[derive(Default)]
pub(super) struct Good {
    /// How far one of them says that the log is durable.
    pub(super) claim: Option<Position>,
    /// How many packets they are.
    pub(super) packets: u64,
    /// The newest of each track.
    pub(super) newest: HashMap<TrackId, i64>,
}

impl Good {
    fn packet(&mut self, track: TrackId, dts: i64) {
        self.packets += 1;
        let newest = self.newest.entry(track).or_insert(dts);
        *newest = dts.max(*newest);
    }
}

/// Takes in the good records of an extent of this generation.
pub(super) fn walk_extent(
    reader: &ExtentReader,
    generation: Generation,
    walk: &mut Walk,
    good: &mut Good,
) -> Result<State, LogError> {
    let state = walk_records(reader, generation, walk, good)?;
    for (track, dts) in &good.newest {
        let newest = walk.newest.entry(*track).or_insert(*dts);
        *newest = (*dts).max(*newest);
    }
    Ok(state)
}

fn walk_records(
    reader: &ExtentReader,
    generation: Generation,
    walk: &mut Walk,
    good: &mut Good,
) -> Result<State, LogError> {
    let (mut at, len) = (HEADER_LEN as u64, reader.len()?);
    loop {
        let piece = reader.records(at, len)?;
        for r in Scan::trusted(&piece.bytes) {
            let start = at + r.range.start as u64;
            if r.frame.kind == kind::FOOTER {
                return Ok(match reader.footer() {
                    Ok(Some(footer)) if footer.records_end == start => State::Whole { at: start },
                    Err(e @ LogError::Io { .. }) => return Err(e),
                    _ if begun_footer(reader, start)? => {
                        State::Unsealed { at: start, footer: true }
                    }
                    _ => State::Torn { at: start, why: "a footer that is not this place's".into() },
                });
            }
            let raw = &piece.bytes[r.range.clone()];
            match &r.record {
                Record::Packet { packet, .. } => good.packet(packet.track, packet.dts),
                Record::Mark(mark) => walk.mark(mark),
                Record::Unknown { kind: kind::DURABLE } => {
                    let here = Position { extent: reader.extent, offset: start };
                    good.claim = good.claim.max(Durable::claim(raw, generation, here));
                }
                Record::Unknown { .. } => {}
            }
            if let Err(e) = walk.indexer.observe(start, raw, &r.record) {
                return Ok(State::Torn { at: start, why: e.to_string() });
            }
        }
        at += piece.bytes.len() as u64;
        match piece.torn {
            Some(_) if begun_footer(reader, at)? => {
                return Ok(State::Unsealed { at, footer: true });
            }
            Some(why) => return Ok(State::Torn { at, why: why.to_string() }),
            None if at >= len => return Ok(State::Unsealed { at, footer: false }),
            None => {}
        }
    }
}

/// Is what lies at `at` the beginning of the footer of the records before it? Then nothing of the
/// log is lost by cutting it.
fn begun_footer(reader: &ExtentReader, at: u64) -> Result<bool, LogError> {
    let head = reader.bytes(at, FOOTER_HEAD)?;
    let place = [&reader.extent.to_le_bytes()[..], &at.to_le_bytes()].concat();
    let there = head.get(FRAME_PREFIX + FRAME_HEAD..).unwrap_or_default();
    Ok(frame(&head, false).is_ok_and(|f| f.kind == kind::FOOTER) && place.starts_with(there))
}
