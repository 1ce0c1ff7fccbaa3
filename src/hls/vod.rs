//! Media playlists of what is over: PLAYLIST-TYPE VOD, segments without parts, ENDLIST. The same
//! names and lines as the live playlist has (`hls::text`), so that the same files serve both. Made
//! of windows that remember everything (`Window::whole`).

use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};
use crate::hls::name::File;
use crate::hls::segment::Segment;
use crate::hls::text::Seconds;
use crate::hls::window::Window;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// EXT-X-VERSION: EXT-X-MAP without I-FRAMES-ONLY needs 6, EXT-X-GAP none (section 8).
const VERSION: u32 = 6;

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

/// How a segment of the range is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// With its file.
    Media,
    /// Its time passes, without media (EXT-X-GAP).
    Gap,
    /// Not at all: what follows it follows what is before it.
    LeftOut,
}

/// The complete segments that a range of time overlaps; those that a range of numbers names.
/// The first is one that can be decoded from its start. `None` when there are none.
pub fn range(
    window: &Window,
    (from, to): (Option<Wall>, Option<Wall>),
    (first, last): (Option<Msn>, Option<Msn>),
) -> Option<RangeInclusive<Msn>> {
    let inside = |s: &Segment| {
        from.is_none_or(|from| s.wall.plus(s.duration) > from)
            && to.is_none_or(|to| s.wall < to)
            && first.is_none_or(|first| s.msn >= first)
            && last.is_none_or(|last| s.msn <= last)
            && !s.gap
    };
    let begin = window.segments.iter().position(inside)?;
    let end = window.segments.iter().rposition(inside)?;
    // Only as far as the pictures belong together.
    let independent = |s: &Segment| s.gap || s.is_independent();
    let start = window.segments.range(..=begin).rposition(independent).unwrap_or(begin);
    let start = if window.segments[start].gap { begin } else { start };
    Some(window.segments[start].msn..=window.segments[end].msn)
}

/// The complete segments with these numbers.
pub fn segments(window: &Window, range: RangeInclusive<Msn>) -> impl Iterator<Item = &Segment> {
    window.segments.iter().filter(move |s| range.contains(&s.msn))
}

/// The header of a playlist whose first segment has these numbers; `target` is TARGETDURATION.
pub(super) fn header(target: i64, msn: u64, dseq: u64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target}\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:{msn}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{dseq}\n"
    )
}

/// Renders the playlist of these segments; `show` decides about each.
pub fn render(
    window: &Window,
    range: RangeInclusive<Msn>,
    show: impl Fn(&Segment) -> Show,
) -> String {
    let shown: Vec<(&Segment, Show)> = segments(window, range).map(|s| (s, show(s))).collect();
    let longest = shown.iter().map(|(s, _)| (s.duration + MICROS / 2) / MICROS).max().unwrap_or(1);
    let target = longest.max(i64::from(window.session.target_duration));
    let first = shown.iter().find(|(_, show)| *show != Show::LeftOut);
    let (msn, dseq) = first.map_or((0, 0), |(s, _)| (s.msn.0, s.dseq));
    let mut out = header(target, msn, dseq);
    if let (Some((first, _)), Some((last, _))) = (first, shown.last()) {
        window.cues.within(&mut out, first.msn, last.msn);
    }
    let folder = format!("v{}/", window.session.render);
    let (mut init, mut before) = (None, dseq);
    for (s, show) in shown.iter().filter(|(_, show)| *show != Show::LeftOut) {
        window.text.discontinuities(&mut out, s.dseq.saturating_sub(before) as u32);
        before = s.dseq;
        if *show == Show::Media && s.init != init {
            init = s.init;
            if let Some(init) = init.and_then(|i| window.inits.get(i as usize)) {
                window.text.map(&mut out, &init.hash);
            }
        }
        writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", s.wall).expect(MEMORY);
        let (writer, msn) = (s.writer, s.msn);
        let file = match show {
            Show::Media => File::Segment { writer, msn },
            _ => {
                out.push_str("#EXT-X-GAP\n");
                File::Gap { writer, msn, n: 0 }
            }
        };
        writeln!(out, "#EXTINF:{},\n{folder}{file}", Seconds(s.duration)).expect(MEMORY);
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}
