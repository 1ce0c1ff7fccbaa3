//! A feed reads the logs of one session, generation after generation, and moves its renditions on:
//! marks into the windows, samples into parts. Sealed extents are read by their footers alone, the
//! rest by subscription.

use crate::base::ids::Generation;
use crate::edge::anew::{self, Anew};
use crate::edge::away;
use crate::edge::behind::{self, Behind};
use crate::edge::leave::{Leave, Left, newer, next_generation};
use crate::edge::media::Cell;
use crate::edge::mended::mended;
use crate::edge::pending::{Pending, Taken, Waiting};
use crate::edge::places::Trail;
use crate::edge::session::{Opened, Session, idle};
use crate::edge::sources::Sources;
use crate::hls::gather::Gathered;
use crate::hls::segment::Part;
use crate::log::batch::Entry;
use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::record::Record;
use crate::log::format::{Position, Span};
use crate::log::subscription::From;
use crate::media::fmp4::fragment::Sample;
use crate::media::fmp4::init::Init;
use crate::media::timeline::mark::{Mark, PartEnd};
use std::sync::Arc;
use std::time::Duration;

/// Pause after a log could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// One session's feed.
pub struct Feed {
    session: Arc<Session>,
    sources: Sources,
    opened: Option<Arc<Opened>>,
    pending: Waiting,
    trail: Trail,
    anew: Anew,
    dirty: bool,
    /// The generation whose log could not be read to its end: what was read of it comes again, and
    /// that it does not fit the second time is no news.
    again: Option<Generation>,
    /// A version was shown.
    shown: bool,
    /// The generation that is read is the newest that is known.
    newest: bool,
    behind: Behind,
}

impl Feed {
    /// A feed that has read nothing.
    pub fn new(session: Arc<Session>, sources: Sources) -> Feed {
        let (pending, trail) = (Waiting::default(), Trail::default());
        Feed {
            session,
            sources,
            opened: None,
            pending,
            trail,
            anew: Anew::default(),
            dirty: false,
            again: None,
            shown: false,
            newest: true,
            behind: Behind::default(),
        }
    }

    /// Reads until nobody wants the session any more, or what was read is no longer so.
    pub async fn run(mut self) {
        let (session, Sources { logs, clock, .. }) = (self.session.clone(), self.sources.clone());
        tokio::select! {
            () = idle(session.clone(), clock.clone()) => {}
            () = mended(session.clone(), logs, clock) => {}
            () = self.follow() => {}
        }
        tracing::debug!(channel = %session.channel, session = %session.number, "feed ends");
    }

    /// Reads the session's generations in order, waiting for new ones.
    async fn follow(&mut self) {
        let mut table = self.sources.directory.table();
        let mut created = self.sources.logs.watch();
        let mut done: Option<Generation> = None;
        loop {
            table.mark_unchanged();
            created.mark_unchanged();
            let (channel, number) = (&self.session.channel, self.session.number);
            let live = match self.sources.directory.find(channel, number).await {
                Ok(Some(live)) => live,
                Ok(None) => return,
                Err(e) => {
                    tracing::warn!(%channel, "{e}");
                    self.pause(RETRY).await;
                    continue;
                }
            };
            let next = next_generation(&live, done);
            match next {
                Some(generation) => {
                    let newest = !newer(&live, generation);
                    match self.generation(generation, newest).await {
                        Ok(()) if self.behind.is_in_the_way() => self.read_on().await,
                        Ok(()) => {
                            self.session.set_waits(false);
                            done = Some(generation);
                        }
                        // Granted, but its log is not there yet, or will not be.
                        Err(LogError::NotFound { .. }) if !newest => done = Some(generation),
                        Err(LogError::NotFound { .. }) => tokio::select! {
                            () = self.idle_until(&mut table) => {}
                            () = created.changed() => {}
                        },
                        Err(e) => {
                            self.unreadable(generation, &e);
                            let id = self.session.log(generation);
                            let wait = !newest && !self.shown;
                            let wait = wait && away::is_worth_waiting(&self.sources, &id);
                            self.session.set_waits(wait);
                            self.pause(RETRY).await;
                            if !newest && !wait {
                                done = Some(generation);
                            }
                        }
                    }
                }
                None => {
                    if let (true, Some(last)) = (live.over, done) {
                        self.session_over(last);
                    }
                    self.idle_until(&mut table).await;
                }
            }
        }
    }

    /// Reads on in a generation whose log has more than was read of it.
    async fn read_on(&mut self) {
        let Some((generation, until)) = self.behind.take() else { return };
        tracing::info!(channel = %self.session.channel, %generation, "it has more: reading on");
        self.again = Some(generation);
        self.session.set_waits(!self.shown);
        let clock = self.sources.clock.clone();
        let again = async {
            // What it says is known: it was read before.
            let _ = self.generation(generation, false).await;
            clock.sleep_until(clock.now().mono.plus(behind::AGAIN)).await;
        };
        tokio::select! {
            () = again => {}
            () = clock.sleep_until(until) => {}
        }
    }

    /// Says once that a log can't be read; it is tried until it can.
    fn unreadable(&mut self, generation: Generation, e: &LogError) {
        if self.again.replace(generation) != Some(generation) {
            tracing::error!(channel = %self.session.channel, %generation,
                "the log can't be read, trying again until it can: {e}");
        }
    }

    /// The registry says that the session is over, and every log is read: where the record of the
    /// end is missing (a crash, a disk that failed), the registry's word ends the playlists.
    fn session_over(&mut self, last: Generation) {
        let Some(opened) = &self.opened else { return };
        for r in &opened.renditions {
            if r.write().window.end_session(last) {
                r.mark_changed();
                self.dirty = true;
            }
        }
    }

    async fn pause(&self, length: Duration) {
        let until = self.sources.clock.now().mono.plus(length);
        self.sources.clock.sleep_until(until).await;
    }

    async fn idle_until<T>(&mut self, table: &mut tokio::sync::watch::Receiver<T>) {
        self.publish(true);
        loop {
            tokio::select! {
                changed = table.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                () = self.session.nudge.notified() => self.publish(true),
            }
        }
    }

    /// Reads one generation's log to its end; `newest` when none is known that goes on after it.
    async fn generation(&mut self, generation: Generation, newest: bool) -> Result<(), LogError> {
        let id = self.session.log(generation);
        self.newest = newest;
        self.pending.clear();
        self.trail = Trail::default();
        let index = away::index(&self.sources, &id, newest).await?;
        for footer in &index.footers {
            self.footer(generation, footer);
        }
        if index.sealed || self.behind.is_in_the_way() {
            return Ok(());
        }
        if let Some(last) = index.footers.last() {
            self.pending.resume(last);
        }
        let mut log = self.sources.logs.subscribe(&id, From::Position(index.tail)).await?;
        let session = self.session.clone();
        let mut leave = Leave::new(&self.sources, id.clone());
        loop {
            let batch = tokio::select! {
                batch = log.next() => batch?,
                left = leave.due() => match left {
                    Left::Moved => {
                        let at = From::Position(log.position());
                        log = self.sources.logs.subscribe(&id, at).await?;
                        continue;
                    }
                    // Who says nothing at all has no more to say.
                    Left::Replaced if log.caught_up() || !log.is_heard() => return Ok(()),
                    Left::Replaced => continue,
                },
                () = session.nudge.notified() => {
                    self.publish(newest && log.caught_up());
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            for entry in batch.records() {
                let begins = self.entry(generation, entry);
                if begins && newest && self.shown {
                    self.publish(true);
                    self.pause(anew::ALONE).await;
                }
            }
            if self.behind.is_in_the_way() {
                return Ok(());
            }
            // While a backlog is read nobody sees the past go by, also not who asks for the DVR
            // playlist meanwhile: a player that joins there would begin where the feed happens to
            // be. What is shown is the newest.
            self.publish(newest && log.caught_up());
        }
        Ok(())
    }

    fn publish(&mut self, due: bool) {
        let wanted = self.dirty
            || self.opened.as_ref().is_some_and(|o| o.renditions.iter().any(|r| r.is_owed_dvr()));
        if due
            && wanted
            && let Some(opened) = &self.opened
        {
            opened.publish(self.sources.clock.now().mono);
            (self.dirty, self.shown) = (false, true);
        }
    }

    /// Takes the marks of a sealed extent, with the places of their samples.
    fn footer(&mut self, generation: Generation, footer: &Footer) {
        for m in footer.marks() {
            if self.behind.is_in_the_way() {
                return;
            }
            let carriers = self.opened.iter().flat_map(|o| o.carriers());
            if let Some((p, span)) = self.trail.listed(&m, carriers) {
                self.note(generation, p, span);
            }
            self.mark(generation, &m.mark);
        }
    }

    /// Takes a record; is it the first part of its track, behind an absence?
    fn entry(&mut self, generation: Generation, entry: Entry) -> bool {
        if self.behind.is_in_the_way() {
            return false;
        }
        match entry.record {
            Record::Packet { packet, seq: Some(seq) } => {
                let sample = Some(Sample::from(&packet));
                let pending = Pending { seq, start: entry.start, end: entry.end, sample };
                self.pending.push(packet.track, pending);
            }
            Record::Mark(mark) => {
                let carriers = self.opened.iter().flat_map(|o| o.carriers());
                self.trail.mark(&mark, entry.start, carriers);
                // The samples first: whoever finds the part in the window finds its bytes.
                if let Mark::PartEnd(p) = &mark {
                    self.part(generation, p, entry.end);
                }
                self.mark(generation, &mark);
                return self.anew.begins(&mark);
            }
            Record::Packet { seq: None, .. } | Record::Unknown { .. } => {}
        }
        false
    }

    /// Gathers a part's samples; its mark ends at `end`.
    fn part(&mut self, generation: Generation, p: &PartEnd, end: Position) {
        let Some(Taken { span, samples }) = self.pending.part(p) else {
            tracing::error!(channel = %self.session.channel, %generation, msn = %p.msn,
                "a part's samples are not in the log before its end");
            return self.note(generation, p, None);
        };
        self.note(generation, p, span.map(|samples| self.trail.span(p, samples, end)));
        let first = samples.iter().flatten().next();
        let (cues, origin) = self.trail.part(p, first);
        // Cues without the start of their segment: the part is made from the log.
        if !cues.is_empty() && origin.is_none() {
            return;
        }
        let cues = origin.filter(|_| !cues.is_empty()).map(|origin| (cues, origin));
        let (Some(samples), Some(opened)) = (samples, &self.opened) else { return };
        let Some(r) = opened.renditions.iter().find(|r| r.track == p.track) else { return };
        let mut shelf = r.write();
        if let Some(init) = shelf.current().cloned() {
            let cell = Cell::new(init, Gathered { part: Part::from(p), samples, cues });
            shelf.keep(generation, p.first_seq, p.duration, cell);
        }
    }

    /// Notes where a part lies, or that it is lost.
    fn note(&self, generation: Generation, p: &PartEnd, span: Option<Span>) {
        let rendition = self.opened.iter().flat_map(|o| &o.renditions).find(|r| r.track == p.track);
        if let Some(r) = rendition {
            r.write().note(generation, p.msn, span);
        }
    }

    /// Has another writer gone on after this generation?
    fn is_replaced(&self, generation: Generation) -> bool {
        let Session { channel, number, .. } = &*self.session;
        let table = self.sources.directory.table();
        let table = table.borrow();
        let live = table.sessions.get(channel).filter(|live| live.session == *number);
        !self.newest || live.is_some_and(|live| live.generations.iter().any(|g| g.0 > generation))
    }

    /// Tells every window a mark.
    fn mark(&mut self, generation: Generation, mark: &Mark) {
        // The next writer's first record says how this one ended, as the registry decided: the same
        // for an edge that reads both now and for one that left this log before its own word.
        if let Mark::End(end) = mark
            && !end.session_over
            && self.is_replaced(generation)
        {
            return;
        }
        if let (Mark::Generation(start), Some(opened)) = (mark, &self.opened) {
            // A list without its past could not be made longer again.
            let patience = if self.shown { behind::PATIENCE } else { away::PASS_OVER };
            if self.behind.look(start, opened, self.sources.clock.now().mono, patience) {
                return;
            }
        }
        if let (Mark::Session(record), None) = (mark, &self.opened) {
            self.opened = Some(self.session.open(record.clone()));
        }
        let Some(opened) = &self.opened else { return };
        if let Mark::Track(track) = mark
            && let Some(r) = opened.renditions.iter().find(|r| r.track == track.id)
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
        for r in &opened.renditions {
            match r.write().window.apply(generation, mark) {
                Ok(true) => {
                    r.mark_changed();
                    self.dirty = true;
                }
                Ok(false) => {}
                Err(_) if self.again == Some(generation) => {}
                Err(e) => tracing::error!(channel = %self.session.channel, %generation,
                    rendition = r.name, "a mark does not fit and is left out: {e}"),
            }
        }
    }
}
