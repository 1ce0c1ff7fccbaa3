//! Live playlists that are files: for whoever has no server to ask, only what was put somewhere.
//! Complete segments alone, with the names, dates, init sections and discontinuities that the
//! edge's playlist has for them; no parts, hints or reports, and nothing that a server would have
//! to do (EXT-X-SERVER-CONTROL).
//!
//! Whoever puts the files decides when a segment is listed: it takes [`pieces`] of a window, puts
//! what they name, and lists them with [`Plain::push`]. A playlist that was put is read back
//! ([`Plain::read`]) by whoever goes on with it, in this process or in another; so it is all that
//! needs to be known to go on.
//!
//! - The window is the edge's: the shortest run of segments at the end that lasts
//!   [`LIVE_WINDOW`] or three target durations.
//! - Date ranges are those of the edge's live playlist at the time.
//! - A segment whose media can't be had is listed as a gap ([`Piece::lost`]).
//!
//! Invariant: of two playlists of one rendition the one that is further lists everything of the
//! other that is still in its window, on the same numbers.

use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};
use crate::hls::frame::{END, VERSION};
use crate::hls::name::File;
use crate::hls::range::lines;
use crate::hls::text::{BREAK, Seconds};
use crate::hls::window::{LIVE_WINDOW, PART_TARGET_DURATIONS, Window};
use crate::media::timeline::mark::SessionRecord;
use std::collections::VecDeque;
use std::fmt::Write;

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

/// A number's dates differ by no more in one session, in microseconds: where writers could not be
/// asked, edges may have listed others of its gaps.
const SAME: i64 = 60 * MICROS;

/// One complete segment, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub msn: Msn,
    /// Its media, or the name that stands for absent media.
    pub file: File,
    /// Hash of the init section in force; `None` before the first media.
    pub init: Option<String>,
    /// The discontinuity number before its tags.
    dseq: u64,
    /// EXT-X-DISCONTINUITY tags before it.
    breaks: u64,
    wall: Wall,
    /// EXTINF in microseconds.
    duration: i64,
}

impl Piece {
    /// It is absent after all.
    #[must_use]
    pub fn lost(mut self) -> Piece {
        if let File::Segment { writer, msn } = self.file {
            self.file = File::Gap { writer, msn, n: 0 };
        }
        self
    }

    /// Is there media of it?
    pub fn has_media(&self) -> bool {
        matches!(self.file, File::Segment { .. })
    }

    /// Where it ends, by the wall clock.
    pub fn end(&self) -> Wall {
        self.wall.plus(self.duration)
    }
}

/// What a window has of complete segments from this number on, at most so many; nothing where that
/// is still to come. Where the window begins later, from there on.
pub fn pieces(window: &Window, from: Msn, most: u64) -> Vec<Piece> {
    let from = window.first_msn().map_or(from, |first| from.max(first));
    let last = Msn(from.0.saturating_add(most.saturating_sub(1)));
    let found = lines(window, (from, last));
    let Some(((first, _), text)) = found else { return Vec::new() };
    let Some(start) = window.start(first) else { return Vec::new() };
    let (map, _) = start.lead();
    let mut reader = Reader::new(first, start.dseq(), window.render());
    map.lines().for_each(|line| reader.map(line));
    text.lines().filter_map(|line| reader.line(line)).collect()
}

/// The first segment of a window's live playlist; `None` while there is none.
pub fn head(window: &Window) -> Option<Msn> {
    window.has_segment().then(|| window.head_numbers().0)
}

/// Takes lines of segments apart.
struct Reader {
    next: Msn,
    dseq: u64,
    folder: String,
    breaks: u64,
    init: Option<String>,
    wall: Option<Wall>,
    duration: Option<i64>,
    /// A line could not be read.
    broken: bool,
}

impl Reader {
    fn new(next: Msn, dseq: u64, render: u32) -> Reader {
        Reader {
            next,
            dseq,
            folder: format!("v{render}/"),
            breaks: 0,
            init: None,
            wall: None,
            duration: None,
            broken: false,
        }
    }

    fn map(&mut self, line: &str) {
        let uri = line.strip_prefix("#EXT-X-MAP:URI=\"").and_then(|l| l.strip_suffix('"'));
        let file = uri.and_then(|uri| uri.strip_prefix(self.folder.as_str()));
        if let Some(Ok(File::Init { hash })) = file.map(str::parse) {
            self.init = Some(hash);
        }
    }

    /// The piece that this line is the last of.
    fn line(&mut self, line: &str) -> Option<Piece> {
        match line.split_once(':') {
            Some(("#EXT-X-MAP", _)) => self.map(line),
            Some(("#EXT-X-PROGRAM-DATE-TIME", date)) => self.wall = date.parse().ok(),
            Some(("#EXTINF", seconds)) => self.duration = micros(seconds.trim_end_matches(',')),
            _ if line == BREAK.trim_end() => self.breaks += 1,
            _ if line.starts_with('#') || line.is_empty() => {}
            _ => {
                let piece = self.piece(line);
                self.broken |= piece.is_none();
                return piece;
            }
        }
        None
    }

    fn piece(&mut self, uri: &str) -> Option<Piece> {
        let file: File = uri.strip_prefix(self.folder.as_str())?.parse().ok()?;
        let (File::Segment { msn, .. } | File::Gap { msn, .. }) = file else { return None };
        if msn != self.next {
            return None;
        }
        let (wall, duration) = (self.wall.take()?, self.duration.take()?);
        let (dseq, breaks) = (self.dseq, std::mem::take(&mut self.breaks));
        self.next = msn.next();
        self.dseq += breaks;
        Some(Piece { msn, file, init: self.init.clone(), dseq, breaks, wall, duration })
    }
}

/// What [`Seconds`] wrote.
fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = u32::try_from(fraction.len()).ok().filter(|n| (1..=6).contains(n))?;
    let whole: i64 = whole.parse().ok()?;
    let fraction = fraction.parse::<u32>().ok()? * 10_u32.pow(6 - digits);
    whole.checked_mul(MICROS)?.checked_add(fraction.into())
}

/// A rendition's playlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    target: u32,
    render: u32,
    pieces: VecDeque<Piece>,
    ended: bool,
}

impl Plain {
    /// Nothing is listed.
    pub fn new(session: &SessionRecord) -> Plain {
        let (target, render) = (session.target_duration, session.render);
        Plain { target, render, pieces: VecDeque::new(), ended: false }
    }

    /// Reads what [`Plain::text`] wrote of a rendition of this session; `None`: it is something
    /// else.
    pub fn read(session: &SessionRecord, text: &str) -> Option<Plain> {
        let value = |name: &str| {
            let found = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            found.and_then(|value| value.parse::<u64>().ok())
        };
        let mut plain = Plain::new(session);
        let ours = text.starts_with("#EXTM3U\n")
            && value("#EXT-X-TARGETDURATION") == Some(plain.target.into());
        let first = Msn(value("#EXT-X-MEDIA-SEQUENCE").filter(|_| ours)?);
        let dseq = value("#EXT-X-DISCONTINUITY-SEQUENCE")?;
        let mut reader = Reader::new(first, dseq, plain.render);
        plain.pieces = text.lines().filter_map(|line| reader.line(line)).collect();
        plain.ended = text.ends_with(END);
        (!reader.broken && !plain.pieces.is_empty()).then_some(plain)
    }

    /// Is it of the session that the window is of, as far as can be told? Numbers begin anew where
    /// a registry does, and dates do not.
    pub fn fits(&self, window: &Window) -> bool {
        let Some(last) = self.last() else { return true };
        let near = |date: Wall| last.wall.since(date).abs() <= SAME;
        match (window.date(last.msn), window.first_msn(), window.complete_until()) {
            (Some(date), ..) => near(date),
            // Another writer may have read more.
            (None, Some(first), Some(end)) if first <= last.msn => near(end) || last.wall > end,
            _ => true,
        }
    }

    /// The number of the segment to be listed next; `None`: any.
    pub fn next(&self) -> Option<Msn> {
        self.pieces.back().map(|p| p.msn.next())
    }

    /// The last one listed.
    pub fn last(&self) -> Option<&Piece> {
        self.pieces.back()
    }

    /// Nothing will change any more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Is something in this one that may be added to the other? To one that is ended, nothing is.
    pub fn is_ahead_of(&self, other: &Plain) -> bool {
        !other.ended && (self.next(), self.ended) > (other.next(), other.ended)
    }

    /// Another one of this rendition, with what only this one has behind it.
    #[must_use]
    pub fn onto(self, mut other: Plain) -> Plain {
        if self.is_ahead_of(&other) {
            self.pieces.into_iter().for_each(|piece| other.push(piece));
            other.ended = self.ended;
        }
        other
    }

    /// Lists a segment, and lets go of those that have left the window. One that is listed already
    /// changes nothing; a list begins anew behind a number that is missing.
    pub fn push(&mut self, piece: Piece) {
        if let Some(next) = self.next() {
            if piece.msn < next {
                return;
            }
            if piece.msn > next {
                self.pieces.clear();
            }
        }
        self.pieces.push_back(piece);
        let least = PART_TARGET_DURATIONS * i64::from(self.target) * MICROS;
        let keep = LIVE_WINDOW.max(least);
        let mut length: i64 = self.pieces.iter().map(|p| p.duration).sum();
        while let Some(first) = self.pieces.front()
            && self.pieces.len() > 1
            && length - first.duration >= keep
        {
            length -= first.duration;
            self.pieces.pop_front();
        }
    }

    /// The session is over.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The playlist, with these date ranges ([`date_ranges`]); empty while nothing is listed.
    pub fn text(&self, date_ranges: &str) -> String {
        let Some(first) = self.pieces.front() else { return String::new() };
        let folder = format!("v{}/", self.render);
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{}\n\
             #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n{date_ranges}",
            self.target, first.msn, first.dseq
        );
        let mut init = None;
        for piece in &self.pieces {
            (0..piece.breaks).for_each(|_| out.push_str(BREAK));
            if let Some(hash) = piece.init.as_ref().filter(|hash| init != Some(*hash)) {
                let file = File::Init { hash: hash.clone() };
                writeln!(out, "#EXT-X-MAP:URI=\"{folder}{file}\"").expect(MEMORY);
                init = Some(hash);
            }
            writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", piece.wall).expect(MEMORY);
            if !piece.has_media() {
                out.push_str("#EXT-X-GAP\n");
            }
            let (duration, file) = (Seconds(piece.duration), &piece.file);
            writeln!(out, "#EXTINF:{duration},\n{folder}{file}").expect(MEMORY);
        }
        if self.ended {
            out.push_str(END);
        }
        out
    }
}

/// The date ranges of a window's live playlist, as lines.
pub fn date_ranges(window: &Window) -> String {
    let mut out = String::new();
    window.cues.live(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::playlist::View;
    use crate::hls::tape::{Tape, render, session};

    /// What a window's live playlist says to who has no server.
    fn of_the_edge(window: &Window) -> String {
        let live = render(window, View::Live, false, &[]).expect("listed");
        let parts = ["#EXT-X-PART", "#EXT-X-SERVER-CONTROL", "#EXT-X-PRELOAD", "#EXT-X-RENDITION"];
        let mut out = String::new();
        let mut open = String::new();
        for line in live.lines().filter(|line| !parts.iter().any(|p| line.starts_with(p))) {
            open.extend([line, "\n"]);
            // Lines of a segment that is not complete are none.
            if !line.starts_with('#') || line == END.trim_end() || out.is_empty() {
                out.push_str(&std::mem::take(&mut open));
            }
        }
        out
    }

    /// Lists what is complete, so many at a time.
    fn follow(plain: &mut Plain, window: &Window, most: u64) {
        loop {
            let from = plain.next().or_else(|| head(window)).expect("listed");
            let some = pieces(window, from, most);
            if some.is_empty() {
                break;
            }
            assert!(some.len() as u64 <= most);
            some.into_iter().for_each(|piece| plain.push(piece));
        }
        if window.is_ended() {
            plain.end();
        }
    }

    /// Reconnects, absences, new init sections and cues, until the window has moved.
    fn eventful() -> Vec<Tape> {
        let mut tapes = vec![Tape::new().two_seconds()];
        for n in 0..300 {
            let tape = tapes.last().expect("one").clone();
            tapes.push(match n % 75 {
                3 => tape.gap(2_000),
                4 => tape.gap(2_000),
                5 => tape.init(if n < 75 { "bb" } else { "aa" }).cut().part(1_000, true),
                9 => tape.cue(["one", "two", "three", "four"][n / 75], 3_000).two_seconds(),
                12 => tape.cut().part(480, true),
                13 => tape.dependent().part(3_980, false),
                14 => tape.segment().part(500, true).gap_part(500, false).part(500, true),
                _ => tape.two_seconds(),
            });
        }
        let over = tapes.last().expect("one").clone().over();
        tapes.push(over);
        tapes
    }

    #[test]
    fn it_is_the_edges_playlist_without_what_takes_a_server() {
        let mut plain = Plain::new(&session());
        for (n, tape) in eventful().into_iter().enumerate() {
            let window = tape.window();
            if !window.has_segment() {
                continue;
            }
            follow(&mut plain, &window, 1 + n as u64 % 3);
            assert_eq!(plain.text(&date_ranges(&window)), of_the_edge(&window), "{n}");
        }
        assert!(plain.is_ended());
    }

    #[test]
    fn the_shape_exactly() {
        let tape = Tape::new().two_seconds().gap(1_500).init("bb").cut().part(1_000, true);
        let window = tape.over().window();
        let mut plain = Plain::new(&session());
        assert_eq!(plain.text(""), "");
        follow(&mut plain, &window, 8);
        assert_eq!(
            plain.text(""),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:100\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n#EXTINF:2.0,\nv3/g1-100.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:08.125Z\n#EXT-X-GAP\n#EXTINF:1.5,\n\
             v3/g1-101-gap0.m4s\n\
             #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"v3/init-bb.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:09.625Z\n#EXTINF:1.0,\nv3/g1-102.m4s\n\
             #EXT-X-ENDLIST\n"
        );
    }

    #[test]
    fn who_reads_one_goes_on_as_who_wrote_it() {
        let mut plain = Plain::new(&session());
        for tape in eventful() {
            let window = tape.window();
            if !window.has_segment() {
                continue;
            }
            follow(&mut plain, &window, 8);
            let text = plain.text(&date_ranges(&window));
            let read = Plain::read(&session(), &text).expect("its own");
            assert_eq!(read.text(&date_ranges(&window)), text);
            assert!(!read.is_ahead_of(&plain) && !plain.is_ahead_of(&read));
            plain = read;
        }
        // What has left the window by then is not needed.
        let all = eventful();
        let (early, late) = (all[20].clone().window(), all[290].clone().window());
        let mut plain = Plain::new(&session());
        follow(&mut plain, &early, 8);
        let before = plain.clone();
        follow(&mut plain, &late, 8);
        assert!(plain.is_ahead_of(&before) && !before.is_ahead_of(&plain));
        // Of two writers one comes second, with more or with less.
        let (mut fast, slow) = (before.clone(), before.clone());
        let some = pieces(&late, fast.next().expect("listed"), 9);
        some.into_iter().for_each(|piece| fast.push(piece));
        assert_eq!(fast.clone().onto(slow.clone()), fast);
        assert_eq!(slow.clone().onto(fast.clone()), fast);
        let mut ended = slow;
        ended.end();
        assert_eq!(fast.onto(ended.clone()), ended, "what is over stays over");
        assert_eq!(plain.text(&date_ranges(&late)), of_the_edge(&late));
    }

    #[test]
    fn what_is_no_playlist_of_the_session_is_none() {
        let window = Tape::new().two_seconds().two_seconds().segment().window();
        let mut plain = Plain::new(&session());
        follow(&mut plain, &window, 8);
        let text = plain.text("");
        assert!(Plain::read(&session(), &text).is_some());
        for (from, to) in [
            ("#EXTM3U\n", "#EXTM3V\n"),
            ("DURATION:4", "DURATION:6"),
            ("v3/g1-101.m4s", "v2/g1-101.m4s"),
            ("g1-101.m4s", "g1-102.m4s"),
            ("g1-101.m4s", "g1-p101.m4s"),
            ("#EXTINF:2.0,", "#EXTINF:2.0000000,"),
            ("#EXT-X-PROGRAM-DATE-TIME:2026", "#EXT-X-PROGRAM-DATE-TIME:x"),
            ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-MEDIA"),
        ] {
            assert_eq!(Plain::read(&session(), &text.replace(from, to)), None, "{from}");
        }
        for text in ["", "#EXTM3U\n", "<html>"] {
            assert_eq!(Plain::read(&session(), text), None, "{text}");
        }
    }

    #[test]
    fn a_playlist_of_another_registrys_session_is_told_by_its_dates() {
        let some = |n: u64, late: i64| {
            let mut tape = Tape::new();
            tape.wall += late * MICROS;
            (0..n).fold(tape, |tape, _| tape.two_seconds()).segment().window()
        };
        let mut plain = Plain::new(&session());
        assert!(plain.fits(&some(3, 0)), "nothing is listed");
        follow(&mut plain, &some(10, 0), 99);
        assert!(plain.fits(&some(10, 0)) && plain.fits(&some(300, 0)), "read further");
        assert!(plain.fits(&some(1, 0)), "read less far");
        for (n, late) in [(10, 3_600), (1, 3_600), (300, 3_600), (10, -3_600)] {
            assert!(!plain.fits(&some(n, late)), "{n} {late}");
        }
    }

    #[test]
    fn media_that_is_lost_is_a_gap_and_a_hole_in_numbers_begins_anew() {
        let window = Tape::new().two_seconds().two_seconds().two_seconds().segment().window();
        let mut plain = Plain::new(&session());
        let mut all = pieces(&window, Msn(0), 99);
        assert_eq!(all.iter().map(|p| p.msn.0).collect::<Vec<_>>(), [100, 101, 102]);
        assert!(all.iter().all(Piece::has_media) && pieces(&window, Msn(103), 9).is_empty());
        assert_eq!(all[0].end(), Wall(1_795_195_388_125_000));
        plain.push(all.remove(0));
        let second = all.remove(0).lost();
        assert!(!second.has_media());
        plain.push(second.clone());
        let text = plain.text("");
        assert!(text.ends_with("#EXT-X-GAP\n#EXTINF:2.0,\nv3/g1-101-gap0.m4s\n"), "{text}");
        let before = plain.clone();
        plain.push(second);
        assert_eq!(plain, before, "it is listed already");
        let mut later = all.remove(0);
        later.msn = Msn(900);
        plain.push(later);
        assert_eq!(plain.next(), Some(Msn(901)));
        assert!(plain.text("").contains("#EXT-X-MEDIA-SEQUENCE:900\n"));
    }
}
