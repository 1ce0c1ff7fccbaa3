//! What a feed makes of a log: marks into the windows of its renditions, samples into parts, what
//! is ready into playlists. Which log is read, and how, is `edge::feed`'s.

use crate::api::convert::record_from_api;
use crate::base::ids::{Msn, TrackId, Writer};
use crate::edge::anew::Anew;
use crate::edge::away;
use crate::edge::behind::{self, Behind};
use crate::edge::line::Line;
use crate::edge::media::Cell;
use crate::edge::pending::{Pending, Taken, Waiting};
use crate::edge::places::{Trail, begun_before, segment};
use crate::edge::session::{Opened, Session};
use crate::edge::sources::Sources;
use crate::hls::gather::Gathered;
use crate::hls::segment::Part;
use crate::log::batch::Entry;
use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::record::Record;
use crate::log::format::{Position, Span};
use crate::media::fmp4::fragment::Sample;
use crate::media::fmp4::init::Init;
use crate::media::timeline::mark::{Mark, PartEnd, SessionRecord};
use std::collections::HashSet;
use std::sync::Arc;

/// What was read of a line's logs so far.
pub(super) struct Reading {
    pub(super) session: Arc<Session>,
    pub(super) line: Line,
    pub(super) sources: Sources,
    pub(super) opened: Option<Arc<Opened>>,
    pending: Waiting,
    trail: Trail,
    /// A footer of the log was taken.
    begun: bool,
    /// Segments of it that are not there whole.
    torn: HashSet<(TrackId, Msn)>,
    anew: Anew,
    dirty: bool,
    /// The writer whose log could not be read to its end: what was read of it comes again, and that
    /// it does not fit the second time is no news.
    pub(super) again: Option<Writer>,
    /// A version was shown.
    pub(super) shown: bool,
    /// The writer that is read is the newest that is known.
    newest: bool,
    pub(super) behind: Behind,
}

impl Reading {
    /// Nothing was read; `opened` where the session's constants are known.
    pub(super) fn new(
        session: Arc<Session>,
        line: Line,
        sources: Sources,
        opened: Option<Arc<Opened>>,
    ) -> Reading {
        Reading {
            session,
            line,
            sources,
            opened,
            pending: Waiting::default(),
            trail: Trail::default(),
            begun: false,
            torn: HashSet::new(),
            anew: Anew::default(),
            dirty: false,
            again: None,
            shown: false,
            newest: true,
            behind: Behind::default(),
        }
    }

    /// A log is read from its beginning; `newest` when no writer is known that goes on after it.
    pub(super) fn begin(&mut self, newest: bool) {
        self.newest = newest;
        self.pending.clear();
        self.trail = Trail::default();
        self.begun = false;
        self.torn.clear();
    }

    /// The samples of sealed extents whose part ends later.
    pub(super) fn resume(&mut self, last: &Footer) {
        self.pending.resume(last);
    }

    /// Says once that a log can't be read; it is tried until it can.
    pub(super) fn unreadable(&mut self, writer: Writer, e: &LogError) {
        if self.again.replace(writer) != Some(writer) {
            tracing::error!(channel = %self.session.channel, %writer,
                "the log can't be read, trying again until it can: {e}");
        }
    }

    /// The registry says that the session is over, and every log is read: where the record of the
    /// end is missing (a crash, a disk that failed), the registry's word ends the playlists.
    pub(super) fn session_over(&mut self, last: Writer) {
        let Some(opened) = &self.opened else { return };
        for r in opened.of(&self.line) {
            if r.write().window.end_session(last) {
                r.mark_changed();
                self.dirty = true;
            }
        }
    }

    /// Shows what is new, if that is due.
    pub(super) fn publish(&mut self, due: bool) {
        let wanted = self.dirty
            || self.opened.as_ref().is_some_and(|o| o.of(&self.line).any(|r| r.is_owed_dvr()));
        if due
            && wanted
            && let Some(opened) = &self.opened
        {
            opened.publish(&self.line, self.sources.clock.now().mono);
            (self.dirty, self.shown) = (false, true);
        }
    }

    /// Takes the marks of a sealed extent, with the places of their samples.
    pub(super) fn footer(&mut self, writer: Writer, footer: &Footer) {
        if !std::mem::replace(&mut self.begun, true) {
            self.torn = begun_before(footer);
        }
        for m in footer.marks() {
            if self.behind.is_in_the_way() {
                return;
            }
            if self.is_torn(&m.mark) {
                continue;
            }
            let carriers = self.opened.iter().flat_map(|o| o.carriers(&self.line));
            if let Some((p, span)) = self.trail.listed(&m, carriers) {
                self.note(writer, p, span);
            }
            self.mark(writer, &m.mark);
        }
    }

    /// Takes a record; is it the first part of its track, behind an absence?
    pub(super) fn entry(&mut self, writer: Writer, entry: Entry) -> bool {
        if self.behind.is_in_the_way() {
            return false;
        }
        match entry.record {
            Record::Packet { packet, seq: Some(seq) } => {
                let sample = Some(Sample::from(&packet));
                let pending = Pending { seq, start: entry.start, end: entry.end, sample };
                self.pending.push(packet.track, pending);
            }
            Record::Mark(mark) if self.is_torn(&mark) => {}
            Record::Mark(mark) => {
                let carriers = self.opened.iter().flat_map(|o| o.carriers(&self.line));
                self.trail.mark(&mark, entry.start, carriers);
                // The samples first: whoever finds the part in the window finds its bytes.
                if let Mark::PartEnd(p) = &mark {
                    self.part(writer, p, entry.end);
                }
                self.mark(writer, &mark);
                return self.anew.begins(&mark);
            }
            Record::Packet { seq: None, .. } | Record::Unknown { .. } => {}
        }
        false
    }

    /// Is it of a segment whose beginning was removed? It is not listed: nobody could fetch it.
    fn is_torn(&self, mark: &Mark) -> bool {
        segment(mark).is_some_and(|of| self.torn.contains(&of))
    }

    /// Gathers a part's samples; its mark ends at `end`.
    fn part(&mut self, writer: Writer, p: &PartEnd, end: Position) {
        let Some(Taken { span, samples }) = self.pending.part(p) else {
            tracing::error!(channel = %self.session.channel, %writer, msn = %p.msn,
                "a part's samples are not in the log before its end");
            return self.note(writer, p, None);
        };
        self.note(writer, p, span.map(|samples| self.trail.span(p, samples, end)));
        let first = samples.iter().flatten().next();
        let (cues, origin) = self.trail.part(p, first);
        // Cues without the start of their segment: the part is made from the log.
        if !cues.is_empty() && origin.is_none() {
            return;
        }
        let cues = origin.filter(|_| !cues.is_empty()).map(|origin| (cues, origin));
        let (Some(samples), Some(opened)) = (samples, &self.opened) else { return };
        let Some(r) = opened.of(&self.line).find(|r| r.track == p.track) else { return };
        let mut shelf = r.write();
        if let Some(init) = shelf.current().cloned() {
            let cell = Cell::new(init, Gathered { part: Part::from(p), samples, cues });
            shelf.keep(writer, p.first_seq, p.duration, cell);
        }
    }

    /// Notes where a part lies, or that it is lost.
    fn note(&self, writer: Writer, p: &PartEnd, span: Option<Span>) {
        let rendition =
            self.opened.iter().flat_map(|o| o.of(&self.line)).find(|r| r.track == p.track);
        if let Some(r) = rendition {
            r.write().note(writer, p.msn, span);
        }
    }

    /// Has another writer gone on after this one?
    fn is_replaced(&self, writer: Writer) -> bool {
        let Session { channel, number, .. } = &*self.session;
        let table = self.sources.directory.table();
        let table = table.borrow();
        let live = table.sessions.get(channel).filter(|live| live.session == *number);
        !self.newest || live.is_some_and(|live| self.line.goes_on(live, writer))
    }

    /// A session's constants, of which the source's log says this: who makes rungs that its origin
    /// knows nothing of says more.
    fn constants(&self, of_log: &SessionRecord) -> SessionRecord {
        let told = self.sources.directory.record(&self.session.channel, self.session.number);
        told.map_or_else(|| of_log.clone(), |told| record_from_api(&told))
    }

    /// Tells every window a mark.
    fn mark(&mut self, writer: Writer, mark: &Mark) {
        // The next writer's first record says how this one ended, as the registry decided: the same
        // for an edge that reads both now and for one that left this log before its own word.
        if let Mark::End(end) = mark
            && !end.session_over
            && self.is_replaced(writer)
        {
            return;
        }
        if let (Mark::Generation(start), Some(opened)) = (mark, &self.opened) {
            // A list without its past could not be made longer again.
            let patience = if self.shown { behind::PATIENCE } else { away::PASS_OVER };
            if self.behind.look(
                start,
                (&self.line, opened),
                self.sources.clock.now().mono,
                patience,
            ) {
                return;
            }
        }
        if let (Mark::Session(record), None) = (mark, &self.opened) {
            self.opened = Some(self.session.open(self.constants(record)));
        }
        let Some(opened) = &self.opened else { return };
        if let Mark::Track(track) = mark
            && let Some(r) = opened.of(&self.line).find(|r| r.track == track.id)
        {
            let known = r.read().current().is_some_and(|i| i.track == *track);
            match Init::new(track.clone()) {
                Ok(init) if !known => {
                    if r.write().configure(Arc::new(init)) {
                        r.mark_changed();
                        self.dirty = true;
                    }
                }
                Ok(_) => {}
                Err(e) => tracing::error!(channel = %self.session.channel, "{e}"),
            }
        }
        for r in opened.of(&self.line) {
            match r.write().window.apply(writer, mark) {
                Ok(true) => {
                    r.mark_changed();
                    self.dirty = true;
                }
                Ok(false) => {}
                Err(_) if self.again == Some(writer) => {}
                Err(e) => tracing::error!(channel = %self.session.channel, %writer,
                    rendition = r.name, "a mark does not fit and is left out: {e}"),
            }
        }
    }
}
