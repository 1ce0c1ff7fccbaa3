//! Media playlists (4.4.3 to 4.4.5): the header, the lines that `hls::text` keeps, and the tail.
//! One call is one copy of the text plus the head and tail lines, whatever the window's length was
//! worth to format.
//!
//! There is no EXT-X-INDEPENDENT-SEGMENTS, because a GOP may outgrow a segment, and no
//! EXT-X-PLAYLIST-TYPE, because none of its values allows removal. EXT-X-VERSION is what the tags
//! need (section 8): 6 for EXT-X-MAP, 9 for EXT-X-SKIP. EXT-X-SERVER-CONTROL and EXT-X-PART-INF are
//! the same in every version, also after EXT-X-ENDLIST.

use crate::base::time::MICROS;
use crate::hls::lookup::Position;
use crate::hls::segment::Segment;
use crate::hls::text::{Lines, Seconds};
use crate::hls::window::Window;
use std::fmt::Write;

/// EXT-X-VERSION of a full playlist.
const VERSION: u32 = 6;

/// EXT-X-VERSION of a delta update.
const VERSION_SKIP: u32 = 9;

/// CAN-SKIP-UNTIL in target durations: the least that is allowed (4.4.3.8).
pub const SKIP_TARGET_DURATIONS: i64 = 6;

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

/// Renders a media playlist, or with `skip` its delta update (6.2.5.1); `None` while nothing is
/// listed.
///
/// `reports` are the other renditions at the same position of the log, in the session's order. A
/// delta update that would skip nothing, or of an ended playlist, is the full playlist.
pub fn render(window: &Window, view: View, skip: bool, reports: &[Report<'_>]) -> Option<String> {
    if !window.is_listed() {
        return None;
    }
    let head = match view {
        View::Live => window.head,
        View::Dvr => 0,
    };
    let skipped = if skip && !window.ended { skippable(window, head) } else { 0 };
    let lines: usize = window.text.recent.iter().map(|l| l.text.len()).sum();
    let mut out = String::with_capacity(
        window.text.old.len() - old_from(window, head + skipped) + lines + 1_024,
    );
    header(&mut out, window, head, skipped > 0);
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").expect(MEMORY);
    }
    segments(&mut out, window, head, skipped);
    tail(&mut out, window, view, reports);
    Some(out)
}

/// Does the delta update of an open playlist skip anything? If not, it is the full playlist.
pub fn has_delta(window: &Window, view: View) -> bool {
    let head = match view {
        View::Live => window.head,
        View::Dvr => 0,
    };
    !window.ended && skippable(window, head) > 0
}

fn header(out: &mut String, window: &Window, head: usize, skip: bool) {
    let session = &window.session;
    let (msn, dseq, breaks) = match (window.segments.get(head), &window.open) {
        (Some(s), _) => (s.msn.0, s.dseq, s.breaks),
        (None, Some(o)) => (o.msn.0, o.dseq, o.breaks),
        (None, None) => (0, 0, 0),
    };
    write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
         PART-HOLD-BACK={},HOLD-BACK={},CAN-SKIP-UNTIL={}\n\
         #EXT-X-PART-INF:PART-TARGET={}\n#EXT-X-MEDIA-SEQUENCE:{msn}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        if skip { VERSION_SKIP } else { VERSION },
        session.target_duration,
        Seconds(session.part_hold_back()),
        Seconds(session.hold_back()),
        Seconds(skip_boundary(session.target_duration)),
        Seconds(session.part_target),
        dseq.saturating_sub(u64::from(breaks)),
    )
    .expect(MEMORY);
}

/// The Skip Boundary in microseconds.
fn skip_boundary(target_duration: u32) -> i64 {
    SKIP_TARGET_DURATIONS * i64::from(target_duration) * MICROS
}

/// How many segments from `head` on end further from the end of the last segment than the Skip
/// Boundary.
fn skippable(window: &Window, head: usize) -> usize {
    let Some(last) = window.segments.last() else { return 0 };
    let boundary = skip_boundary(window.session.target_duration);
    window.segments[head..].partition_point(|s| last.end - s.end > boundary)
}

/// Where the text without parts continues with segment `at`.
fn old_from(window: &Window, at: usize) -> usize {
    if at < window.parted { window.segments[at].text_at } else { window.text.old.len() }
}

/// The lines of the segments from `head + skipped` on and of the open one.
///
/// EXT-X-MAP is among a segment's lines only where it changes, so the first segment of a playlist
/// gets the one that is in force. In a delta update it belongs to what is skipped: the update put
/// behind the skipped lines is the playlist.
fn segments(out: &mut String, window: &Window, head: usize, skipped: usize) {
    let text = &window.text;
    let mut first = skipped == 0;
    let from = head + skipped;
    if from < window.parted {
        let segment = &window.segments[from];
        if first {
            lead(out, window, segment.breaks, segment.init);
            out.push_str(&text.old[segment.body_at..]);
        } else {
            out.push_str(&text.old[segment.text_at..]);
        }
        first = false;
    }
    let recent = from.max(window.parted);
    for (segment, lines) in
        window.segments[recent..].iter().zip(text.recent.iter().skip(recent - window.parted))
    {
        let Segment { breaks, init, .. } = *segment;
        piece(out, window, std::mem::take(&mut first), (breaks, init), lines);
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

fn lead(out: &mut String, window: &Window, breaks: u32, init: Option<u32>) {
    window.text.discontinuities(out, breaks);
    if let Some(hash) = init.and_then(|i| window.inits.get(i as usize)) {
        window.text.map(out, hash);
    }
}

fn tail(out: &mut String, window: &Window, view: View, reports: &[Report<'_>]) {
    if let Some(file) = window.hint() {
        window.text.hint(out, &file);
    }
    for Report { rendition, position } in reports {
        let (file, msn) = (view.file(), position.msn);
        // LAST-PART is required (4.4.5.4). A gap that was written as a whole has every part that is
        // asked for (`hls::reload::decide`): its first stands for it.
        let part = position.part.unwrap_or(0);
        writeln!(
            out,
            "#EXT-X-RENDITION-REPORT:URI=\"../{rendition}/{file}\",\
             LAST-MSN={msn},LAST-PART={part}"
        )
        .expect(MEMORY);
    }
    if window.ended {
        out.push_str("#EXT-X-ENDLIST\n");
    }
}

#[cfg(test)]
#[path = "playlist_test.rs"]
mod tests;
