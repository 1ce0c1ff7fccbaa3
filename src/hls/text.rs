//! The lines of segments, written once: when a part closes, its line is appended; when a segment
//! leaves the live edge, its lines move to one long text without parts; when it is older than any
//! delta update reaches, that text is frozen in blocks that versions share. What the lines say is
//! decided in `hls::window`, how a playlist is put together of them in `hls::playlist`.

use crate::base::time::{MICROS, Wall};
use crate::hls::name::File;
use crate::hls::rope::Blocks;
use crate::hls::segment::Part;
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

/// A time line ends, another begins.
pub(super) const BREAK: &str = "#EXT-X-DISCONTINUITY\n";

/// Microseconds as decimal seconds, exact, with as few digits as that takes, at least one after the
/// point: `2.0`, `0.533333`.
pub struct Seconds(pub i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut digits) = ((self.0 % MICROS).unsigned_abs(), 6);
        while digits > 1 && rest % 10 == 0 {
            rest /= 10;
            digits -= 1;
        }
        let sign = if self.0 < 0 && self.0 > -MICROS { "-" } else { "" };
        write!(f, "{sign}{}.{rest:0digits$}", self.0 / MICROS)
    }
}

/// The lines of one segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    /// All of them, each with its line feed.
    pub(super) text: String,
    /// Where the lines after EXT-X-DISCONTINUITY and EXT-X-MAP begin.
    pub(super) body: usize,
}

impl Lines {
    /// Appends those that are not of parts.
    fn plain(&self, out: &mut String) {
        for line in self.text.split_inclusive('\n') {
            if !line.starts_with("#EXT-X-PART:") {
                out.push_str(line);
            }
        }
    }
}

/// In lines of segments: where the lines of the `n`th after the first begin; `None` when there is
/// none. The line that is no tag is a segment's last.
pub(super) fn segment_at(lines: &str, n: usize) -> Option<usize> {
    let mut at = 0;
    let mut ends = lines.split_inclusive('\n').filter_map(|line| {
        at += line.len();
        (!line.starts_with('#')).then_some(at)
    });
    let begin = match n.checked_sub(1) {
        Some(before) => ends.nth(before)?,
        None => 0,
    };
    (begin < lines.len()).then_some(begin)
}

/// In lines that begin with a segment's: where those after EXT-X-DISCONTINUITY and EXT-X-MAP begin.
pub(super) fn body_at(lines: &str) -> usize {
    let lead = |line: &&str| *line == BREAK || line.starts_with("#EXT-X-MAP:");
    lines.split_inclusive('\n').take_while(lead).map(str::len).sum()
}

/// All lines of one rendition's segments.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// `v{render}/`, before every file name.
    folder: String,
    /// The oldest of the segments that have left the live edge, without parts.
    pub(super) blocks: Arc<Blocks>,
    /// What follows the blocks of the text without parts.
    rest: String,
    /// Complete segments at the live edge, with parts.
    pub(super) recent: VecDeque<Lines>,
    /// The open segment; not part of the playlist before it has a part.
    pub(super) open: Lines,
}

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

impl Text {
    pub(super) fn new(render: u32) -> Text {
        Text {
            folder: format!("v{render}/"),
            blocks: Arc::default(),
            rest: String::new(),
            recent: VecDeque::new(),
            open: Lines::default(),
        }
    }

    /// Begins a segment: its tags come before the first part (4.4.4.9), and EXT-X-DISCONTINUITY
    /// comes before EXT-X-MAP, because players give an init section the discontinuity number that
    /// they have counted so far.
    pub(super) fn begin(&mut self, breaks: u32, map: Option<&str>, wall: Wall) {
        let mut text = std::mem::take(&mut self.open.text);
        text.clear();
        self.discontinuities(&mut text, breaks);
        if let Some(hash) = map {
            self.map(&mut text, hash);
        }
        let body = text.len();
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{wall}").expect(MEMORY);
        self.open = Lines { text, body };
    }

    pub(super) fn discontinuities(&self, out: &mut String, breaks: u32) {
        for _ in 0..breaks {
            out.push_str(BREAK);
        }
    }

    pub(super) fn map(&self, out: &mut String, hash: &str) {
        writeln!(out, "#EXT-X-MAP:URI=\"{}init-{hash}.mp4\"", self.folder).expect(MEMORY);
    }

    pub(super) fn hint(&self, out: &mut String, kind: &str, file: &File) {
        let folder = &self.folder;
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE={kind},URI=\"{folder}{file}\"").expect(MEMORY);
    }

    /// Appends a part to the open segment.
    pub(super) fn part(&mut self, part: &Part, file: &File) {
        let (duration, folder) = (Seconds(part.duration), &self.folder);
        let independent = if part.independent && !part.gap { ",INDEPENDENT=YES" } else { "" };
        let gap = if part.gap { ",GAP=YES" } else { "" };
        writeln!(
            self.open.text,
            "#EXT-X-PART:DURATION={duration},URI=\"{folder}{file}\"{independent}{gap}"
        )
        .expect(MEMORY);
    }

    /// Completes the open segment.
    pub(super) fn finish(&mut self, gap: bool, duration: i64, file: &File) {
        let mut lines = std::mem::take(&mut self.open);
        if gap {
            lines.text.push_str("#EXT-X-GAP\n");
        }
        let duration = Seconds(duration);
        writeln!(lines.text, "#EXTINF:{duration},\n{}{file}", self.folder).expect(MEMORY);
        self.recent.push_back(lines);
    }

    /// Moves the oldest recent segment to the text without parts; where its lines and its body
    /// begin there.
    pub(super) fn retire(&mut self) -> Option<(usize, usize)> {
        let lines = self.recent.pop_front()?;
        let at = self.len();
        lines.plain(&mut self.rest);
        Some((at, at + lines.body))
    }

    /// Bytes of the text without parts.
    pub(super) fn len(&self) -> usize {
        self.blocks.len() + self.rest.len()
    }

    /// Freezes the text without parts up to byte `to` of it.
    pub(super) fn freeze(&mut self, to: usize) {
        let count = to.saturating_sub(self.blocks.len()).min(self.rest.len());
        if count > 0 {
            self.blocks = Arc::new(self.blocks.and(&self.rest[..count]));
            self.rest.drain(..count);
        }
    }

    /// The lines without parts of these blocks; what is in none yet is in the one after the last.
    pub(super) fn plain(&self, blocks: Range<usize>) -> String {
        let (mut out, all) = (String::new(), self.blocks.strands());
        for strand in all.iter().take(blocks.end).skip(blocks.start) {
            out.push_str(&String::from_utf8_lossy(strand.text()));
        }
        if blocks.end > all.len() {
            out.push_str(&self.rest);
            self.recent.iter().for_each(|lines| lines.plain(&mut out));
        }
        out
    }

    /// Appends a range of the text without parts.
    pub(super) fn copy(&self, out: &mut String, from: usize, to: usize) {
        let frozen = self.blocks.len();
        if from < frozen {
            self.blocks.copy(out, from, to.min(frozen));
        }
        if to > frozen {
            out.push_str(&self.rest[from.max(frozen) - frozen..to - frozen]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_and_short() {
        for (micros, text) in [
            (0, "0.0"),
            (1, "0.000001"),
            (500_000, "0.5"),
            (501_667, "0.501667"),
            (2_000_000, "2.0"),
            (12_050_000, "12.05"),
            (-500_000, "-0.5"),
            (-1_500_000, "-1.5"),
        ] {
            assert_eq!(Seconds(micros).to_string(), text);
        }
    }
}
