//! A walk through one extent's records, over damage and on behind it.

use crate::base::time::{Timescale, Wall};
use crate::inspect::analysis::{Sample, TrackFacts};
use crate::inspect::log::Look;
use crate::inspect::report::log::{ExtentFacts, GenerationFacts};
use crate::inspect::report::{Severity, secs};
use crate::inspect::tags::facts;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::index::Indexer;
use crate::log::format::record::{FrameError, Record, frame, kind};
use crate::log::format::scan::{Located, Scan};
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, PACKET_HEAD};
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use crate::media::track::Kind;
use bytes::Bytes;

/// Bytes whose checksums are tried while the next good record is looked for, over one extent. What
/// looks like a record's head in media is rare; hostile bytes must not take for ever.
pub(super) const RESYNC_MAX: usize = 4 << 30;

/// A walk through one extent's records.
pub(super) struct Walk<'a> {
    pub(super) look: &'a mut Look,
    pub(super) generation: &'a mut GenerationFacts,
    /// Rebuilds the footer, while nothing is missing.
    pub(super) base: Option<Indexer>,
    pub(super) facts: ExtentFacts,
}

impl Walk<'_> {
    /// Takes every good record before `end`; returns where the last one ends.
    pub(super) fn records(&mut self, bytes: &Bytes, end: usize) -> u64 {
        let body = bytes.slice(..end);
        let (mut at, mut budget) = (HEADER_LEN.min(end), RESYNC_MAX);
        loop {
            let rest = body.slice(at..);
            let mut scan = Scan::new(&rest);
            for located in scan.by_ref() {
                self.record(at, &rest, located);
            }
            let Some(stop) = scan.stop() else { return at as u64 };
            at += stop.at;
            let Some(why) = stop.why else { return at as u64 };
            self.base = None;
            match next_good(&body, at, &mut budget) {
                Some(good) => {
                    let lost = (good - at) as u64;
                    self.facts.damaged_bytes += lost;
                    let extent = self.facts.extent;
                    let text =
                        format!("extent {extent}: {lost} bytes at byte {at} are no record: {why}");
                    self.look.report.found(Severity::Damage, text);
                    self.look.analysis.restart();
                    at = good;
                }
                None => {
                    if budget == 0 {
                        let extent = self.facts.extent;
                        let text = format!(
                            "extent {extent}: what follows byte {at} was not looked at: too much \
                             of it looks like records and is none"
                        );
                        self.look.report.found(Severity::Damage, text);
                    }
                    // A footer without its trailer is the writer's last act, cut short.
                    self.facts.torn_bytes = (end - at) as u64;
                    return at as u64;
                }
            }
        }
    }

    fn record(&mut self, base: usize, rest: &Bytes, located: Located) {
        let Located { range, frame, record } = located;
        self.facts.records += 1;
        let offset = (base + range.start) as u64;
        if let Some(indexer) = &mut self.base
            && indexer.observe(offset, &rest[range], &record).is_err()
        {
            self.base = None;
        }
        let cost = &mut self.look.log.cost;
        match record {
            Record::Packet { packet, seq } => {
                cost.head_bytes += (FRAME_PREFIX + FRAME_HEAD + PACKET_HEAD) as u64;
                cost.media_bytes += packet.payload.len() as u64;
                self.look.log.unlisted_packets += u64::from(seq.is_none());
                self.packet(&packet);
            }
            Record::Mark(mark) => {
                cost.mark_bytes += frame.len as u64;
                self.mark(&mark);
            }
            Record::Unknown { .. } => {
                cost.mark_bytes += frame.len as u64;
                // A footer in the middle: the trailer behind it is gone.
                if !matches!(frame.kind, kind::FOOTER | kind::DURABLE) {
                    self.look.log.unknown_records += 1;
                }
            }
        }
    }

    fn packet(&mut self, p: &Packet) {
        let id = u32::from(p.track.0);
        if !self.look.analysis.knows(id) {
            let kind = if p.track.0 == 1 { Kind::Video } else { Kind::Audio };
            let name = "no configuration".to_owned();
            let facts = TrackFacts::unknown(id, kind, Timescale::MILLIS, name);
            self.look.analysis.configure(facts);
        }
        let size = p.payload.len() as u64;
        let sample = Sample { dts: p.dts, cts: p.cts, key: p.key, size, arrival: None };
        self.look.analysis.feed(id, sample);
    }

    fn mark(&mut self, mark: &Mark) {
        let (log, g) = (&mut self.look.log, &mut *self.generation);
        match mark {
            Mark::Generation(m) => {
                g.generation = m.generation.0;
                (g.session, g.base) = (Some(m.session.0), Some(m.base.0));
                g.previous = m.previous.as_ref().map(|(p, _)| p.0);
            }
            Mark::Session(m) => {
                g.target_duration = Some(m.target_duration);
                (g.part_target, g.segment_target) =
                    (Some(secs(m.part_target)), Some(secs(m.segment)));
                self.look.target = Some(m.target_duration.into());
            }
            Mark::Track(t) => match facts(t) {
                Ok(facts) => self.look.analysis.configure(facts),
                Err(e) => {
                    let text = format!("track {}: its configuration cannot be read: {e}", t.id);
                    self.look.report.found(Severity::Problem, text);
                }
            },
            Mark::SegmentStart(m) => {
                log.segments += 1;
                log.dependent_segments += u64::from(!m.independent);
                log.discontinuities += u64::from(m.discontinuity);
                reached(g, m.msn.0, m.wall);
            }
            Mark::PartEnd(_) => log.parts += 1,
            Mark::Gap(m) => {
                log.gaps += 1;
                reached(g, m.msn.0, m.wall);
            }
            Mark::End(m) => {
                (g.ended, g.session_over) = (true, m.session_over);
                g.to = Some(m.wall.to_string());
            }
        }
    }
}

/// Widens what a generation covers.
fn reached(g: &mut GenerationFacts, msn: u64, wall: Wall) {
    g.first_msn = Some(g.first_msn.map_or(msn, |m| m.min(msn)));
    g.last_msn = Some(g.last_msn.map_or(msn, |m| m.max(msn)));
    g.from.get_or_insert_with(|| wall.to_string());
    g.to = Some(wall.to_string());
}

/// Where the next record with a right checksum starts, after `at`. A budget that does not last is
/// zero afterwards.
fn next_good(body: &Bytes, at: usize, budget: &mut usize) -> Option<usize> {
    let known = |k: u8| matches!(k, kind::PACKET..=kind::CUE | kind::FOOTER);
    for from in at + 1..body.len() {
        let rest = &body[from..];
        match frame(rest, false) {
            Ok(f) if known(f.kind) && f.len <= rest.len() => {
                let Some(left) = budget.checked_sub(f.len) else {
                    *budget = 0;
                    return None;
                };
                *budget = left;
                if frame(rest, true).is_ok() {
                    return Some(from);
                }
            }
            Err(FrameError::Incomplete { need }) if need > rest.len() => return None,
            _ => {}
        }
    }
    None
}
