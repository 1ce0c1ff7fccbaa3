//! Date ranges (4.4.5.1): which cues a playlist lists, and their lines.
//!
//! - EXT-X-DATERANGE lines stand between the header and the first segment: they belong to no
//!   segment, and one may outlast every segment that was there when it came.
//! - The first cue of an id counts, in every rendition; a tag never changes.
//! - The DVR playlist lists every cue of the session. The live playlist lists a cue until it was
//!   over a target duration before the leader's segment of the same number as the playlist's first:
//!   later than it must (6.2.1: no date of it may map to a listed segment), so that all renditions
//!   with the same first number list the same cues (6.2.4), though their dates differ by a frame.
//! - A delta update that skips date ranges (`_HLS_skip=v2`) has those that were announced in the
//!   last five target durations: the skip boundary less one, for the time between an announcement
//!   and its first playlist. What was removed is told for a skip boundary.
//! - Data is JSON, which has quotation marks and line breaks; in a quoted string it is
//!   percent-encoded (RFC 3986, 2.1), as JavaScript's `decodeURIComponent` reads it. So is `$`,
//!   which would begin the name of a variable (4.3).

use crate::base::ids::Msn;
use crate::base::time::{MICROS, Wall};
use crate::hls::rope::Blocks;
use crate::hls::text::Seconds;
use crate::hls::window::SKIP_TARGET_DURATIONS;
use crate::media::timeline::cue::Cue;
use std::collections::{HashSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

/// So many cues are a block of the DVR playlist's text.
const BLOCK: usize = 64;

/// How long an announcement is told to those who skip date ranges, target durations.
const NEW_TARGET_DURATIONS: i64 = SKIP_TARGET_DURATIONS - 1;

/// A cue that the live playlist lists.
#[derive(Debug, Clone)]
struct Listed {
    id: String,
    ends: Wall,
    added: Wall,
    line: String,
}

/// The cues of one rendition.
#[derive(Debug, Clone)]
pub(super) struct Cues {
    target: i64,
    known: HashSet<String>,
    /// Dates of the leader's segments, from the one that the live playlist's first is compared
    /// with.
    clock: VecDeque<(Msn, Wall)>,
    live: Vec<Listed>,
    /// Those that the live playlist has lost, and the end of the playlist then.
    removed: VecDeque<(String, Wall)>,
    /// Lines of the newest, with the time of their announcement.
    new: VecDeque<(Wall, String)>,
    /// Lines of all: whole blocks, and the rest.
    blocks: Arc<Blocks>,
    rest: String,
    in_rest: usize,
    /// Start, end and line of every cue, for a window that remembers everything.
    whole: Option<Vec<(Wall, Wall, String)>>,
}

/// Which cues a delta update has, and which the client has to forget.
pub(super) struct Update {
    /// Lines of the new ones.
    pub(super) lines: String,
    /// Ids of those removed, tab between them.
    pub(super) removed: String,
    /// Some are left out.
    pub(super) skips: bool,
}

impl Cues {
    pub(super) fn new(target_duration: u32) -> Cues {
        Cues {
            target: i64::from(target_duration) * MICROS,
            known: HashSet::new(),
            clock: VecDeque::new(),
            live: Vec::new(),
            removed: VecDeque::new(),
            new: VecDeque::new(),
            blocks: Arc::default(),
            rest: String::new(),
            in_rest: 0,
            whole: None,
        }
    }

    /// Remembers everything, for [`Cues::within`].
    pub(super) fn whole(self) -> Cues {
        Cues { whole: Some(Vec::new()), ..self }
    }

    /// Appends the lines of cues with a date in the segments `first` to `last`, as the leader's
    /// dates are: the same in every rendition.
    pub(super) fn within(&self, out: &mut String, first: Msn, last: Msn) {
        let from = self.date(first);
        let to = self.clock.iter().find(|(msn, _)| *msn > last).map(|(_, wall)| *wall);
        for (start, end, line) in self.whole.iter().flatten() {
            if from.is_none_or(|from| *end >= from) && to.is_none_or(|to| *start < to) {
                out.push_str(line);
            }
        }
    }

    /// A segment of the leader begins.
    pub(super) fn hear(&mut self, msn: Msn, wall: Wall) {
        if self.clock.back().is_none_or(|(last, _)| msn > *last) {
            self.clock.push_back((msn, wall));
        }
    }

    /// The date that cues are held against in a playlist which begins with `head`.
    fn date(&self, head: Msn) -> Option<Wall> {
        let after = self.clock.partition_point(|(msn, _)| *msn <= head);
        self.clock.get(after.checked_sub(1)?).map(|(_, wall)| *wall)
    }

    fn is_over(&self, ends: Wall, head: Msn) -> bool {
        self.date(head).is_some_and(|date| ends.plus(self.target) < date)
    }

    /// Takes a cue; false for one that is known. `head` is the live playlist's first number.
    pub(super) fn add(&mut self, cue: &Cue, head: Option<Msn>) -> bool {
        if !self.known.insert(cue.id.clone()) {
            return false;
        }
        let line = line(cue);
        if self.in_rest == BLOCK {
            self.blocks = Arc::new(self.blocks.and(&self.rest));
            self.rest.clear();
            self.in_rest = 0;
        }
        self.rest.push_str(&line);
        self.in_rest += 1;
        self.new.push_back((cue.added, line.clone()));
        if let Some(whole) = &mut self.whole {
            whole.push((cue.start, cue.end(), line.clone()));
        }
        if !head.is_some_and(|head| self.is_over(cue.end(), head)) {
            let (id, ends, added) = (cue.id.clone(), cue.end(), cue.added);
            self.live.push(Listed { id, ends, added, line });
        }
        true
    }

    /// The live playlist begins with `head` and ends at `now`: lets go of what it has lost.
    pub(super) fn slide(&mut self, head: Msn, now: Wall) {
        while self.whole.is_none() && self.clock.get(1).is_some_and(|(msn, _)| *msn <= head) {
            self.clock.pop_front();
        }
        let mut kept = Vec::with_capacity(self.live.len());
        for listed in std::mem::take(&mut self.live) {
            match self.is_over(listed.ends, head) {
                true => self.removed.push_back((listed.id, now)),
                false => kept.push(listed),
            }
        }
        self.live = kept;
        let told = self.told_since(now);
        while self.removed.front().is_some_and(|(_, at)| *at < told) {
            self.removed.pop_front();
        }
        let new = self.new_since(now);
        while self.new.front().is_some_and(|(added, _)| *added < new) {
            self.new.pop_front();
        }
    }

    fn told_since(&self, now: Wall) -> Wall {
        now.plus(-SKIP_TARGET_DURATIONS * self.target)
    }

    fn new_since(&self, now: Wall) -> Wall {
        now.plus(-NEW_TARGET_DURATIONS * self.target)
    }

    /// Appends the live playlist's lines.
    pub(super) fn live(&self, out: &mut String) {
        self.live.iter().for_each(|l| out.push_str(&l.line));
    }

    /// The DVR playlist's lines: blocks, and what follows them.
    pub(super) fn all(&self) -> (&Arc<Blocks>, &str) {
        (&self.blocks, &self.rest)
    }

    /// What a delta update of the live playlist has of them.
    pub(super) fn live_update(&self, now: Wall) -> Update {
        let since = self.new_since(now);
        let new = |l: &&Listed| l.added >= since;
        let told = self.told_since(now);
        let removed: Vec<&str> =
            self.removed.iter().filter(|r| r.1 >= told).map(|r| r.0.as_str()).collect();
        Update {
            lines: self.live.iter().filter(new).map(|l| l.line.as_str()).collect(),
            removed: removed.join("\t"),
            skips: !self.live.iter().all(|l| l.added >= since),
        }
    }

    /// What a delta update of the DVR playlist has of them. It never loses one.
    pub(super) fn dvr_update(&self, now: Wall) -> Update {
        let since = self.new_since(now);
        let new = self.new.iter().filter(|(added, _)| *added >= since);
        let lines: String = new.map(|(_, line)| line.as_str()).collect();
        let skips = lines.len() < self.blocks.len() + self.rest.len();
        Update { lines, removed: String::new(), skips }
    }
}

/// `write!` to a `String` returns an error that cannot happen.
const MEMORY: &str = "writing to memory cannot fail";

/// The line of a cue.
pub(super) fn line(cue: &Cue) -> String {
    let mut out = format!("#EXT-X-DATERANGE:ID=\"{}\",", cue.id);
    if !cue.class.is_empty() {
        write!(out, "CLASS=\"{}\",", cue.class).expect(MEMORY);
    }
    let (start, duration) = (cue.start, Seconds(cue.duration));
    write!(out, "START-DATE=\"{start}\",DURATION={duration},X-CASTCTL-DATA=\"").expect(MEMORY);
    for byte in cue.data.bytes() {
        match byte {
            b'"' | b'%' | b'$' => write!(out, "%{byte:02X}").expect(MEMORY),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect(MEMORY),
        }
    }
    out.push_str("\"\n");
    out
}
