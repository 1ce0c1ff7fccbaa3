//! Playlists of what is over between two segments of a channel, of one session or of several:
//! PLAYLIST-TYPE VOD, without parts, with ENDLIST. The lines are those of the DVR playlists; their
//! files are named from where the range's playlist stands, so that they are the same URLs.
//!
//! - TARGETDURATION is that of the session with the longest.
//! - Where a session begins there is EXT-X-DISCONTINUITY, at least one, and EXT-X-MAP. The first
//!   discontinuity number is absolute; so are those that follow, but for a session that began with
//!   the number that the one before ended with.
//! - The first segment's number is its own; numbers that nobody used between two sessions are not
//!   counted.
//! - Date ranges are those with a date in the range; of two with the same id the first.

use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};
use crate::hls::frame::END;
use crate::hls::playlist::BLOCK;
use crate::hls::text::{BREAK, body_at, segment_at};
use crate::hls::vod;
use crate::hls::window::Window;
use std::collections::HashSet;

/// What one session has of a range, of one rendition.
#[derive(Debug, Clone)]
pub struct Piece {
    /// TARGETDURATION.
    target: u32,
    /// Its first segment.
    first: Msn,
    /// The discontinuity numbers before its first segment's tags, and of its last.
    dseq: (u64, u64),
    /// EXT-X-DISCONTINUITY tags before its first segment.
    breaks: u64,
    /// EXT-X-MAP and what follows.
    lines: String,
    cues: Vec<String>,
}

/// What a window has of the complete segments `first` to `last`; `None`: nothing. `home` is the
/// folder of its rendition as the range's playlist names it, `during` from when to when date ranges
/// are listed.
pub fn piece(
    window: &Window,
    (first, last): (Msn, Msn),
    home: &str,
    during: (Wall, Wall),
) -> Option<Piece> {
    let ((first, last), text) = lines(window, (first, last))?;
    let count = usize::try_from(last.0 - first.0).ok()? + 1;
    let start = window.start(first)?;
    let mut lines = String::with_capacity(text.len() + count * home.len());
    let (map, breaks) = start.lead();
    for line in map.split_inclusive('\n').chain(text[body_at(&text)..].split_inclusive('\n')) {
        match line.strip_prefix("#EXT-X-MAP:URI=\"") {
            Some(uri) => lines.extend(["#EXT-X-MAP:URI=\"", home, uri]),
            None if line.starts_with('#') => lines.push_str(line),
            None => lines.extend([home, line]),
        }
    }
    let (blocks, rest) = window.cues.all();
    let mut cues = String::new();
    blocks.copy(&mut cues, 0, blocks.len());
    cues.push_str(rest);
    let cues = cues.split_inclusive('\n').filter(|line| is_during(line, during));
    Some(Piece {
        target: window.session.target_duration,
        first,
        dseq: (start.dseq(), window.dseq(last)?),
        breaks,
        lines,
        cues: cues.map(str::to_owned).collect(),
    })
}

/// The lines, without parts, of the complete segments from one number to another, as far as there
/// are such; and which they are. `None`: there are none.
pub(super) fn lines(window: &Window, (first, last): (Msn, Msn)) -> Option<((Msn, Msn), String)> {
    let (begin, _) = window.first?;
    let first = first.max(begin);
    let last = last.min(window.segments.back()?.msn);
    let count = usize::try_from(last.0.checked_sub(first.0)?).ok()? + 1;
    // A block begins with a number that BLOCK divides, but for the first.
    let block = |msn: Msn| msn.0 / BLOCK - begin.0 / BLOCK;
    let from = block(first).min(window.text.blocks.strands().len() as u64);
    let text =
        window.text.plain(usize::try_from(from).ok()?..usize::try_from(block(last)).ok()? + 1);
    let from = begin.0.max((begin.0 / BLOCK + from) * BLOCK);
    let text = &text[segment_at(&text, usize::try_from(first.0 - from).ok()?)?..];
    let text = &text[..segment_at(text, count).unwrap_or(text.len())];
    Some(((first, last), text.to_owned()))
}

/// Has a date range, as `hls::cues` writes it, a date between these?
fn is_during(line: &str, (from, to): (Wall, Wall)) -> bool {
    let value = |name: &str| line.split_once(name).map(|(_, rest)| rest);
    let start = value("START-DATE=\"").and_then(|v| v.split('"').next()?.parse::<Wall>().ok());
    let length = value("DURATION=").and_then(|v| v.split(',').next()?.parse::<f64>().ok());
    let Some(start) = start else { return false };
    let length = (length.unwrap_or_default() * MICROS as f64) as i64;
    start < to && start.plus(length) >= from
}

fn id(line: &str) -> &str {
    line.split_once("ID=\"").and_then(|(_, v)| v.split('"').next()).unwrap_or_default()
}

/// The playlist of these pieces, in order; `None` without any.
pub fn render(pieces: &[Piece]) -> Option<String> {
    let first = pieces.first()?;
    let target = pieces.iter().map(|p| p.target).max()?;
    let mut out = vod::header(target.into(), first.first.0, first.dseq.0);
    let mut told = HashSet::new();
    for line in pieces.iter().flat_map(|p| &p.cues) {
        if told.insert(id(line)) {
            out.push_str(line);
        }
    }
    let mut before = None;
    for piece in pieces {
        let breaks = match before {
            Some(before) => (piece.dseq.0 + piece.breaks).saturating_sub(before).max(1),
            None => piece.breaks,
        };
        (0..breaks).for_each(|_| out.push_str(BREAK));
        out.push_str(&piece.lines);
        before = Some(piece.dseq.1);
    }
    out.push_str(END);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::playlist::View;
    use crate::hls::tape::{Tape, render as playlist};

    const EVER: (Wall, Wall) = (Wall(0), Wall(i64::MAX));

    fn of(window: &Window, first: u64, last: u64, home: &str) -> Piece {
        piece(window, (Msn(first), Msn(last)), home, EVER).expect("complete segments")
    }

    #[test]
    fn the_lines_are_the_sessions_own_under_the_same_urls() {
        let mut tape = Tape::new();
        for n in 0..300 {
            tape = match n {
                50 => tape.gap(2_000),
                51 => tape.init("bb").cut().part(1_000, true),
                _ => tape.two_seconds(),
            };
        }
        let window = tape.over().window();
        let dvr = playlist(&window, View::Dvr, false, &[]).expect("listed");
        // Without parts, which only the newest have there.
        let dvr: Vec<&str> = dvr
            .lines()
            .filter(|l| !l.starts_with("#EXT-X-PART") && *l != "#EXT-X-ENDLIST")
            .collect();
        for (first, last) in
            [(100, 100), (100, 399), (127, 128), (149, 152), (150, 151), (151, 390), (398, 999)]
        {
            let text = render(&[of(&window, first, last, "../../s7/video/")]).expect("one");
            let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
            let count = (last.min(399) - first + 1) as usize;
            assert_eq!((parsed.media_sequence, parsed.segments.len()), (first, count), "{text}");
            assert!(parsed.end_list && text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n"), "{text}");
            assert!(!text.contains("#EXT-X-PART"), "{text}");
            let body = &text[text.find("#EXT-X-PROGRAM-DATE-TIME").expect("dated")..];
            let same = body.replace("../../s7/video/", "").replace("#EXT-X-ENDLIST\n", "");
            let same: Vec<&str> = same.lines().collect();
            assert!(dvr.windows(same.len()).any(|lines| lines == same), "{first}: {text}");
            let uris: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
            assert!(uris.iter().all(|uri| uri.starts_with("../../s7/video/v")), "{text}");
            let map = if (151..).contains(&first) { "init-bb.mp4" } else { "init-aa.mp4" };
            let head = &text[..text.len() - body.len()];
            assert!(head.contains(&format!("URI=\"../../s7/video/v3/{map}\"")), "{text}");
        }
    }

    #[test]
    fn where_a_session_begins_a_time_line_does() {
        let one = Tape::new().cue("goal", 1_000).two_seconds().two_seconds().over().window();
        let mut other = Tape::new().cue("goal", 1_000).cue("later", 0);
        other.dseq = 4;
        let two = other.two_seconds().cut().part(500, true).over().window();
        let text = render(&[of(&one, 101, 999, "a/"), of(&two, 0, 999, "b/")]).expect("two");
        // From 0 to the other session's 4.
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 5, "{text}");
        let maps: Vec<_> = text.lines().filter(|l| l.starts_with("#EXT-X-MAP")).collect();
        assert_eq!(maps.len(), 2, "{text}");
        assert!(maps[0].contains("\"a/v3/") && maps[1].contains("\"b/v3/"), "{text}");
        assert_eq!(text.matches("ID=\"goal\"").count(), 1, "{text}");
        let same = render(&[of(&one, 100, 999, "a/"), of(&one, 100, 999, "b/")]).expect("two");
        assert_eq!(same.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "at least one: {same}");
        assert_eq!(render(&[]), None);
    }

    #[test]
    fn date_ranges_are_those_with_a_date_in_the_range() {
        let tape = Tape::new().cue("first", 1_000).two_seconds().cue("second", 3_000);
        let window = tape.two_seconds().two_seconds().cue("third", 0).two_seconds().window();
        let begin = window.date(Msn(100)).expect("complete");
        let told = |from: i64, to: i64| {
            let during = (begin.plus(from * MICROS), begin.plus(to * MICROS));
            let piece = piece(&window, (Msn(100), Msn(103)), "", during).expect("complete");
            piece.cues.iter().map(|line| id(line).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(0, 8), ["first", "second", "third"]);
        assert_eq!(told(2, 6), ["second"]);
        assert_eq!(told(4, 8), ["second", "third"]);
        assert!(piece(&window, (Msn(104), Msn(109)), "", EVER).is_none());
    }
}
