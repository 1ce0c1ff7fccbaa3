//! An HLS VOD folder: the playlists of a session's range, and its segments muxed as an edge muxes
//! them, so that every file is what viewers of the live stream got. Records in, files out through
//! `output`; the reading is `job`'s.

use crate::base::ids::{Generation, Msn, TrackId};
use crate::export::error::ExportError;
use crate::export::moment::Range;
use crate::export::output::{ENTRY, OutputDir};
use crate::export::plan::Gaps;
use crate::export::summary::{GapSummary, TrackSummary, seconds};
use crate::hls::gather::{Gathered, Gatherer};
use crate::hls::lookup::Lookup;
use crate::hls::multivariant;
use crate::hls::name::File;
use crate::hls::segment::{Part, Segment};
use crate::hls::vod::{self, Show};
use crate::hls::window::Window;
use crate::log::format::record::Record;
use crate::media::fmp4::fragment::Sample;
use crate::media::fmp4::init::Init;
use crate::media::timeline::mark::{Mark, PartEnd, SessionRecord};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// One rendition of the folder.
#[derive(Debug)]
struct Rendition {
    track: TrackId,
    name: String,
    window: Window,
    inits: Vec<Init>,
    gatherer: Gatherer,
    /// Parts of segments that are not whole yet.
    open: BTreeMap<(Generation, Msn), Vec<Bytes>>,
    /// Segments that are written.
    written: BTreeSet<(Generation, Msn)>,
    bytes: u64,
}

/// A folder in the making: first all marks, then `choose`, then all records, then `finish`.
#[derive(Debug, Default)]
pub struct Folder {
    session: Option<Arc<SessionRecord>>,
    renditions: Vec<Rendition>,
    generation: Option<Generation>,
    range: Option<RangeInclusive<Msn>>,
    bad: Vec<String>,
}

impl Folder {
    /// Takes the next mark of a generation's log.
    pub fn mark(&mut self, generation: Generation, mark: &Mark) {
        self.generation = self.generation.max(Some(generation));
        if let (Mark::Session(record), None) = (mark, &self.session) {
            let session = Arc::new(record.clone());
            let rendition = |r: &crate::media::timeline::mark::Rendition| Rendition {
                track: r.track,
                name: r.name.clone(),
                window: Window::whole(session.clone(), r.track),
                inits: Vec::new(),
                gatherer: Gatherer::new(r.track, session.carries_cues(r.track)),
                open: BTreeMap::new(),
                written: BTreeSet::new(),
                bytes: 0,
            };
            self.renditions = session.renditions.iter().map(rendition).collect();
            self.session = Some(session);
        }
        if let Mark::Track(track) = mark
            && let Some(r) = self.renditions.iter_mut().find(|r| r.track == track.id)
        {
            match Init::new(track.clone()) {
                Ok(init) => {
                    r.window.set_init(&init.hash);
                    if r.inits.iter().all(|i| i.hash != init.hash) {
                        r.inits.push(init);
                    }
                }
                Err(e) => self.bad.push(e.to_string()),
            }
        }
        for r in &mut self.renditions {
            // An edge leaves out a mark that does not fit, too; marks before a joining point are
            // none of the range's.
            let _ = r.window.apply(generation.into(), mark);
        }
    }

    /// All marks are known: chooses the segments. `None` when the range has none.
    pub fn choose(&mut self, range: &Range) -> Option<RangeInclusive<Msn>> {
        if let Some(last) = self.generation {
            for r in &mut self.renditions {
                // What a crash left open is listed with the parts it has.
                r.window.end_session(last.into());
            }
        }
        let lead = self.renditions.first()?;
        self.range = vod::range(&lead.window, (range.from, range.to), (range.first, range.last));
        self.range.clone()
    }

    /// Takes the next record of a generation's log and writes the segments that are whole.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn record(
        &mut self,
        generation: Generation,
        record: Record,
        out: &mut OutputDir,
    ) -> Result<(), ExportError> {
        match record {
            Record::Packet { packet, seq: Some(seq) } => {
                if let Some(r) = self.renditions.iter_mut().find(|r| r.track == packet.track) {
                    r.gatherer.sample(seq, Sample::from(&packet));
                }
                Ok(())
            }
            Record::Mark(Mark::Generation(_)) => {
                for r in &mut self.renditions {
                    let cues = self.session.as_ref().is_some_and(|s| s.carries_cues(r.track));
                    r.gatherer = Gatherer::new(r.track, cues);
                }
                Ok(())
            }
            Record::Mark(mark) => {
                for r in &mut self.renditions {
                    if let (Some((p, Some(part))), Some(range)) =
                        (r.gatherer.mark(&mark), &self.range)
                    {
                        r.part(generation, &p, &part, range, out)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes playlists and init sections. Answers what each rendition has, where media was absent,
    /// and which segments damage left without their samples.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn finish(self, gaps: Gaps, out: &mut OutputDir) -> Result<Done, ExportError> {
        let (Some(session), Some(range)) = (&self.session, &self.range) else {
            return Err(ExportError::Nothing { covers: None });
        };
        let absent = self.absent(range);
        let mut done = Done { damage: self.bad.clone(), ..Done::default() };
        let mut listed = (**session).clone();
        listed.renditions.retain(|of| {
            let found = self.renditions.iter().find(|r| r.track == of.track);
            found.is_some_and(|r| !r.written.is_empty())
        });
        for r in self.renditions.iter().filter(|r| !r.written.is_empty()) {
            let text = vod::render(&r.window, range.clone(), |s| match r.has(s) {
                true => Show::Media,
                false if gaps == Gaps::Close && absent.contains(&s.msn) => Show::LeftOut,
                false => Show::Gap,
            });
            out.write(&format!("{}/{ENTRY}", r.name), &[text.into()])?;
            let folder = format!("{}/v{}", r.name, session.render);
            for init in r.inits.iter().filter(|i| r.uses(i, range)) {
                let name = File::Init { hash: init.hash.clone() };
                out.write(&format!("{folder}/{name}"), std::slice::from_ref(&init.bytes))?;
            }
            done.track(r, range);
        }
        let lead = &self.renditions[0];
        done.time(lead, range, &absent, gaps);
        out.write(ENTRY, &[multivariant::render(&listed, multivariant::List::Live).into()])?;
        Ok(done)
    }

    /// Numbers that no rendition has media of.
    fn absent(&self, range: &RangeInclusive<Msn>) -> BTreeSet<Msn> {
        let of = |r: &Rendition, media: bool| -> Vec<Msn> {
            let all = vod::segments(&r.window, range.clone());
            all.filter(|s| r.has(s) == media).map(|s| s.msn).collect()
        };
        let mut absent: BTreeSet<Msn> = BTreeSet::new();
        self.renditions.iter().for_each(|r| absent.extend(of(r, false)));
        for msn in self.renditions.iter().flat_map(|r| of(r, true)) {
            absent.remove(&msn);
        }
        absent
    }
}

impl Rendition {
    /// Is a segment's file written?
    fn has(&self, s: &Segment) -> bool {
        self.written.contains(&(s.writer.generation, s.msn))
    }

    fn uses(&self, init: &Init, range: &RangeInclusive<Msn>) -> bool {
        let mut all = vod::segments(&self.window, range.clone());
        all.any(|s| self.init_of(s.writer.generation, s.msn).is_some_and(|i| i.hash == init.hash))
    }

    fn init_of(&self, generation: Generation, msn: Msn) -> Option<&Init> {
        let Lookup::Found(media) = self.window.segment(generation.into(), msn) else { return None };
        self.inits.iter().find(|i| i.hash.as_str() == &**media.init)
    }

    /// A part is complete: muxes it, and writes its segment when that is complete too.
    fn part(
        &mut self,
        generation: Generation,
        p: &PartEnd,
        made: &Gathered,
        range: &RangeInclusive<Msn>,
        out: &mut OutputDir,
    ) -> Result<(), ExportError> {
        if !range.contains(&p.msn) {
            return Ok(());
        }
        let Some(init) = self.init_of(generation, p.msn) else { return Ok(()) };
        let bytes = made.bytes(init);
        let open = self.open.entry((generation, p.msn)).or_default();
        open.push(bytes);
        let Lookup::Found(media) = self.window.segment(generation.into(), p.msn) else {
            return Ok(());
        };
        let real = |part: &&Part| !part.gap;
        if open.len() == media.parts.unwrap_or_default().iter().filter(real).count() {
            let parts = self.open.remove(&(generation, p.msn)).unwrap_or_default();
            let render = self.window.render();
            let name = File::Segment { writer: generation.into(), msn: p.msn };
            out.write(&format!("{}/v{render}/{name}", self.name), &parts)?;
            self.written.insert((generation, p.msn));
            self.bytes += parts.iter().map(|b| b.len() as u64).sum::<u64>();
        }
        Ok(())
    }
}

/// What a folder has.
#[derive(Debug, Default)]
pub struct Done {
    /// Its renditions.
    pub tracks: Vec<TrackSummary>,
    /// Where media is absent in all of them.
    pub gaps: Vec<GapSummary>,
    /// Seconds that it plays.
    pub duration: f64,
    /// Wall clock of its start.
    pub from: String,
    /// What is listed and not there.
    pub damage: Vec<String>,
}

impl Done {
    fn track(&mut self, r: &Rendition, range: &RangeInclusive<Msn>) {
        self.tracks.push(TrackSummary {
            name: r.name.clone(),
            codecs: r.inits.first().map_or(String::new(), |i| i.details.codecs.clone()),
            count: r.written.len() as u64,
            bytes: r.bytes,
            configurations: r.inits.iter().filter(|i| r.uses(i, range)).count(),
        });
        let lost = |s: &&Segment| !s.gap && !r.has(s);
        for s in vod::segments(&r.window, range.clone()).filter(lost) {
            let text = format!("{}: segment {} is not whole and is left out", r.name, s.msn);
            self.damage.push(text);
        }
    }

    /// Adds up the leader's segments.
    fn time(
        &mut self,
        lead: &Rendition,
        range: &RangeInclusive<Msn>,
        absent: &BTreeSet<Msn>,
        gaps: Gaps,
    ) {
        let (mut now, mut run) = (0, 0);
        let closed = gaps == Gaps::Close;
        let all: Vec<&Segment> = vod::segments(&lead.window, range.clone()).collect();
        let begins = all.iter().find(|s| lead.has(s)).map(|s| s.wall.to_string());
        self.from = begins.unwrap_or_default();
        for s in all {
            if absent.contains(&s.msn) {
                run += s.duration;
                now += if closed { 0 } else { s.duration };
                continue;
            }
            if run > 0 {
                let at = seconds(if closed { now } else { now - run });
                self.gaps.push(GapSummary { at, absent: seconds(run), closed });
            }
            run = 0;
            now += s.duration;
        }
        self.duration = seconds(now);
    }
}
