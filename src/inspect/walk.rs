//! A walk through one extent's records, over damage and on behind it.

use crate::base::time::{Timescale, Wall};
use crate::inspect::analysis::{Sample, TrackFacts};
use crate::inspect::log::Look;
use crate::inspect::report::log::{ExtentFacts, GenerationFacts, Place};
use crate::inspect::report::{Severity, secs};
use crate::inspect::tags::facts;
use crate::log::format::durable::Durable;
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, kind};
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, PACKET_HEAD, Position};
use crate::log::repair::salvage::{Ends, Found, Piece, salvage};
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use crate::media::track::Kind;
use bytes::Bytes;

/// A walk through one extent's records.
pub(super) struct Walk<'a> {
    pub(super) look: &'a mut Look,
    pub(super) generation: &'a mut GenerationFacts,
    /// Rebuilds the footer, while nothing is missing.
    pub(super) base: Option<Indexer>,
    pub(super) facts: ExtentFacts,
    /// The extent's file, for messages.
    pub(super) name: String,
    /// What to do about damage.
    pub(super) mend: &'a str,
}

impl Walk<'_> {
    /// Takes every piece of the extent, over damage and on behind it.
    pub(super) fn extent(&mut self, index: u32, bytes: &Bytes) -> Ends {
        salvage(index, bytes, &mut |piece| self.piece(piece))
    }

    fn piece(&mut self, piece: Piece) {
        let name = self.name.clone();
        match piece {
            Piece::Record(found) => self.record(found),
            Piece::Restored { found, why } => {
                self.facts.damaged_bytes += found.raw.len() as u64;
                let text = format!(
                    "{name}: the record at byte {} is damaged and can be restored: {why}; {}",
                    found.at, self.mend
                );
                self.look.report.found(Severity::Damage, text);
                self.base = None;
                self.record(found);
            }
            Piece::Lost { at, len, why, tail: false } => {
                self.facts.damaged_bytes += len;
                let text =
                    format!("{name}: {len} bytes at byte {at} are no record: {why}; {}", self.mend);
                self.look.report.found(Severity::Damage, text);
                self.look.analysis.restart();
                self.base = None;
            }
            // A footer without its trailer is the writer's last act, cut short.
            Piece::Lost { len, .. } => {
                self.facts.torn_bytes = len;
                self.base = None;
            }
        }
    }

    fn record(&mut self, found: Found) {
        let Found { at: offset, raw, frame, record } = found;
        self.facts.records += 1;
        if let Some(indexer) = &mut self.base
            && indexer.observe(offset, &raw, &record).is_err()
        {
            self.base = None;
        }
        let extent = self.facts.extent;
        self.generation.visible = Place { extent, offset: offset + frame.len as u64 };
        if frame.kind == kind::DURABLE
            && let Some(note) = Durable::decode(&raw)
            // A note that repair has moved speaks of places in the file before.
            && note.at == (Position { extent, offset })
        {
            self.generation.durable = Some(note.upto.into());
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
                g.previous = m.previous.as_ref().map(|(p, _)| p.generation.0);
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
            Mark::Cue(c) => log.cues += u64::from(!c.repeated),
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
