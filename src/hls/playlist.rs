//! Media playlists (4.4.3 to 4.4.5): the header, the lines that `hls::text` keeps, and the tail. A
//! version is a rope (`hls::rope`): what no version changes any more is referred to, what is at the
//! live edge is copied once for all playlists of the rendition, and only header and tail are
//! formatted. So a version costs what is new, however long the playlist is.
//!
//! The strands of a playlist are cut where its own text says:
//! - the header, and in the live playlist the date ranges;
//! - in the DVR playlist, the date ranges in blocks, and the rest of them;
//! - in the live playlist, the segments up to the Skip Boundary; of those of the DVR playlist a
//!   block for each [`BLOCK`] numbers, and the rest;
//! - the body: the segments from the Skip Boundary on, and the open one;
//! - the tail: hints and reports.
//!
//! A delta update is another header before the same body and tail, so that it and the lines that it
//! skips are the playlist. Its header says the init section in force.
//!
//! There is no EXT-X-INDEPENDENT-SEGMENTS, because a GOP may outgrow a segment, and no
//! EXT-X-PLAYLIST-TYPE, because none of its values allows removal (playlists that begin in the past
//! have one: `hls::rewind`). EXT-X-VERSION is what the tags
//! need (section 8): 6 for EXT-X-MAP, 9 for EXT-X-SKIP, 10 where that leaves out date ranges;
//! EXT-X-GAP and EXT-X-DATERANGE need none. EXT-X-SERVER-CONTROL and EXT-X-PART-INF are the same in
//! every version, also after EXT-X-ENDLIST.

use crate::base::ids::Msn;
use crate::hls::frame::{
    END, VERSION, VERSION_SKIP, header, hints, init_in_force, new_ranges, report,
};
use crate::hls::lookup::Position;
use crate::hls::rewind::Whole;
use crate::hls::rope::{Rope, Run, Strand};
use crate::hls::text::Lines;
use crate::hls::window::Window;
use std::fmt::Write;
use std::sync::Arc;

/// So many segment numbers are a block of the DVR playlist: about 15 KiB of text, four minutes of
/// 2 s segments. A block begins with a number that this divides, wherever the playlist begins.
pub const BLOCK: u64 = 128;

/// Which playlist of a rendition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// The sliding window, `index.m3u8`.
    Live,
    /// The whole session, `dvr.m3u8`.
    Dvr,
}

impl View {
    /// The file name in URLs.
    pub const fn file(self) -> &'static str {
        match self {
            View::Live => "index.m3u8",
            View::Dvr => "dvr.m3u8",
        }
    }
}

/// Where another rendition of the session is at this version (EXT-X-RENDITION-REPORT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    /// The other rendition's name.
    pub rendition: &'a str,
    /// The end of its playlist.
    pub position: Position,
}

impl<'a> Report<'a> {
    /// The report of `window`; `None` while it has nothing listed.
    pub fn of(window: &'a Window) -> Option<Report<'a>> {
        Some(Report { rendition: window.rendition(), position: window.position()? })
    }
}

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

/// What of the past a playlist leaves out (`_HLS_skip`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Skip {
    /// Nothing: the playlist.
    #[default]
    No,
    /// Old segments: its delta update (6.2.5.1).
    Segments,
    /// Old segments and old date ranges.
    Ranges,
}

/// One playlist of a rendition in every form.
#[derive(Debug, Clone)]
pub struct Forms {
    /// The playlist.
    pub full: Arc<Rope>,
    /// Its delta update; where that would skip nothing, or the playlist is ended, the playlist.
    pub delta: Arc<Rope>,
    /// Its delta update without old date ranges.
    pub delta_v2: Arc<Rope>,
}

/// One version of a rendition's playlists.
#[derive(Debug, Clone)]
pub struct Version {
    /// `index.m3u8`.
    pub live: Forms,
    /// `dvr.m3u8`, when it was asked for.
    pub dvr: Option<Forms>,
    /// What playlists that begin within that one are made of.
    pub whole: Option<Arc<Whole>>,
}

impl Version {
    /// The playlist of this view.
    pub fn forms(&self, view: View) -> Option<&Forms> {
        match view {
            View::Live => Some(&self.live),
            View::Dvr => self.dvr.as_ref(),
        }
    }
}

impl Forms {
    /// The playlist in this form.
    pub fn get(&self, skip: Skip) -> &Arc<Rope> {
        match skip {
            Skip::No => &self.full,
            Skip::Segments => &self.delta,
            Skip::Ranges => &self.delta_v2,
        }
    }
}

/// Renders the playlists of a window; `None` while nothing is listed.
///
/// `reports` are the other renditions at the same position of the log, in the session's order. What
/// is equal to a strand of the version `before` is taken over from it.
pub fn render(
    window: &Window,
    reports: &[Report<'_>],
    dvr: bool,
    before: Option<&Version>,
) -> Option<Version> {
    if !window.is_listed() {
        return None;
    }
    let mut renderer = Renderer { window, reports, body: None };
    let mut forms = |view| {
        let known = before.and_then(|v| v.forms(view));
        let share = |rope: Rope, skip| match known {
            Some(known) => Arc::new(rope.sharing(known.get(skip))),
            None => Arc::new(rope),
        };
        let [full, delta, delta_v2] = renderer.forms(view);
        let full = full.map(|f| share(f, Skip::No)).unwrap_or_default();
        let delta = delta.map_or_else(|| full.clone(), |d| share(d, Skip::Segments));
        let delta_v2 = delta_v2.map_or_else(|| delta.clone(), |d| share(d, Skip::Ranges));
        Forms { full, delta, delta_v2 }
    };
    let (live, dvr) = (forms(View::Live), dvr.then(|| forms(View::Dvr)));
    let whole = dvr.as_ref().map(|dvr| Arc::new(Whole::new(window, reports, dvr)));
    Some(Version { live, dvr, whole })
}

struct Renderer<'a> {
    window: &'a Window,
    reports: &'a [Report<'a>],
    /// The newest body, and the segment that it begins with.
    body: Option<(usize, Strand)>,
}

impl Renderer<'_> {
    /// A playlist, and its delta updates where they skip something.
    fn forms(&mut self, view: View) -> [Option<Rope>; 3] {
        let window = self.window;
        let (head, older) = match view {
            View::Live => (window.head, 0),
            View::Dvr => (0, window.past.len()),
        };
        let skipped = window.skip.saturating_sub(head) + older;
        let numbers = numbers(window, view);
        let header = |version| header(&window.session, numbers, version);
        let from = if skipped > 0 { window.skip } else { head };
        let body = Run::One(self.body(from, skipped == 0));
        let tail = Run::One(one(tail(window, view, self.reports)));
        let mut full = ranges(window, view, header(VERSION));
        match view {
            View::Live => {
                let mut text = String::new();
                if skipped > 0 {
                    past(&mut text, window, head, window.skip);
                }
                full.push(Run::One(one(text)));
            }
            View::Dvr => {
                let mut rest = String::new();
                if skipped > 0 {
                    let frozen = window.text.blocks.len();
                    window.text.copy(&mut rest, frozen, window.text_at(window.skip));
                }
                full.extend([Run::Many(window.text.blocks.clone()), Run::One(one(rest))]);
            }
        }
        full.extend([body.clone(), tail.clone()]);
        if skipped == 0 || window.ended {
            return [Some(Rope::new(full)), None, None];
        }
        let mut text = header(VERSION_SKIP);
        writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").expect(MEMORY);
        let mut delta = ranges(window, view, text);
        let init = Run::One(one(init_in_force(window)));
        delta.extend([init.clone(), body.clone(), tail.clone()]);
        let v2 = new_ranges(window, view).map(|new| {
            let text = new.head(header(new.version), skipped);
            vec![Run::One(one(text)), init, body, tail]
        });
        [Some(Rope::new(full)), Some(Rope::new(delta)), v2.map(Rope::new)]
    }

    /// The segments from `from` on and the open one; the same strand for both views.
    fn body(&mut self, from: usize, first: bool) -> Strand {
        if let Some((_, known)) = self.body.as_ref().filter(|(of, _)| *of == from) {
            return known.clone();
        }
        let mut text = String::with_capacity(16 << 10);
        segments(&mut text, self.window, from, first);
        let body = one(text);
        self.body = Some((from, body.clone()));
        body
    }
}

fn one(text: String) -> Strand {
    Strand::new(text)
}

/// The header and the date ranges of a playlist.
fn ranges(window: &Window, view: View, mut header: String) -> Vec<Run> {
    match view {
        View::Live => {
            window.cues.live(&mut header);
            vec![Run::One(one(header))]
        }
        View::Dvr => {
            let (blocks, rest) = window.cues.all();
            let rest = Run::One(one(rest.to_owned()));
            vec![Run::One(one(header)), Run::Many(blocks.clone()), rest]
        }
    }
}

/// Number of the first segment, and its discontinuity number before its tags.
fn numbers(window: &Window, view: View) -> (Msn, u64) {
    match view {
        View::Live => window.head_numbers(),
        View::Dvr => window.first.unwrap_or_else(|| window.head_numbers()),
    }
}

/// The first lines of a playlist that begins with segment `from`, and the rest up to `to`, all of
/// which have left the live edge.
fn past(out: &mut String, window: &Window, from: usize, to: usize) {
    let Some(segment) = window.segments.get(from) else { return };
    lead(out, window, segment.breaks, segment.init);
    window.text.copy(out, segment.body_at, window.text_at(to));
}

/// The lines of the segments from `from` on and of the open one.
///
/// EXT-X-MAP is among a segment's lines only where it changes, so the first segment of a playlist
/// gets the one that is in force.
fn segments(out: &mut String, window: &Window, from: usize, mut first: bool) {
    let text = &window.text;
    if from < window.parted {
        let segment = &window.segments[from];
        let start = if first { segment.body_at } else { segment.text_at };
        if std::mem::take(&mut first) {
            lead(out, window, segment.breaks, segment.init);
        }
        text.copy(out, start, text.len());
    }
    let recent = from.max(window.parted);
    let lines = text.recent.iter().skip(recent - window.parted);
    for (segment, lines) in window.segments.iter().skip(recent).zip(lines) {
        let of = (segment.breaks, segment.init);
        piece(out, window, std::mem::take(&mut first), of, lines);
    }
    if let Some(open) = window.open.as_ref().filter(|o| !o.parts.is_empty()) {
        piece(out, window, first, (open.breaks, open.init), &text.open);
    }
}

fn piece(
    out: &mut String,
    window: &Window,
    first: bool,
    (breaks, init): (u32, Option<u32>),
    lines: &Lines,
) {
    if first {
        lead(out, window, breaks, init);
        out.push_str(&lines.text[lines.body..]);
    } else {
        out.push_str(&lines.text);
    }
}

pub(super) fn lead(out: &mut String, window: &Window, breaks: u32, init: Option<u32>) {
    window.text.discontinuities(out, breaks);
    if let Some(init) = init.and_then(|i| window.inits.get(i as usize)) {
        window.text.map(out, &init.hash);
    }
}

fn tail(window: &Window, view: View, reports: &[Report<'_>]) -> String {
    let mut out = hints(window);
    for Report { rendition, position } in reports {
        report(&mut out, rendition, &view.file(), *position);
    }
    if window.ended {
        out.push_str(END);
    }
    out
}

#[cfg(test)]
#[path = "playlist_test.rs"]
mod tests;
