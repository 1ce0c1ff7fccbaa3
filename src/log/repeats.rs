//! What an extent repeats at its start of those before it, so that who begins to read there knows
//! what is in force.

use crate::base::ids::TrackId;
use crate::base::time::{Timescale, Wall};
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::Mark;
use crate::media::track::Track;

/// How long a cue is repeated after it is over, microseconds of the segments' dates: who begins to
/// read at an extent knows what the playlists that begin with that extent's segments list, and what
/// they have just lost. Above the live window and the skip boundary together.
const CUES_FOR: i64 = 300_000_000;

/// Most cues that are repeated, the newest: a fifth of an extent's marks, if each is as large as
/// one may be.
pub(super) const CUES_REPEATED_MAX: usize = 256;

/// What is in force of a log.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Newest session record.
    session: Option<Mark>,
    /// Newest configuration of each track.
    tracks: Vec<Track>,
    /// Oldest first.
    cues: Vec<Cue>,
    /// Newest date of a segment.
    dated: Wall,
}

impl Repeats {
    /// A mark is appended.
    pub(super) fn note(&mut self, mark: &Mark) {
        match mark {
            Mark::Session(_) => self.session = Some(mark.clone()),
            Mark::Track(track) => {
                self.tracks.retain(|t| t.id != track.id);
                self.tracks.push(track.clone());
            }
            Mark::SegmentStart(s) => self.dated = self.dated.max(s.wall),
            Mark::Gap(g) => self.dated = self.dated.max(g.wall),
            Mark::Cue(cue) => self.cues.push(Cue { repeated: true, ..cue.clone() }),
            _ => {}
        }
    }

    /// The unit of a track's times.
    pub(super) fn timescale(&self, track: TrackId) -> Timescale {
        let known = self.tracks.iter().find(|t| t.id == track);
        known.map_or(Timescale::MILLIS, |t| t.timescale)
    }

    /// The marks that a new extent begins with.
    pub(super) fn at_roll(&mut self) -> Vec<Mark> {
        let since = self.dated.plus(-CUES_FOR);
        self.cues.retain(|c| c.end() >= since);
        self.cues.drain(..self.cues.len().saturating_sub(CUES_REPEATED_MAX));
        let tracks = self.tracks.iter().cloned().map(Mark::Track);
        let cues = self.cues.iter().cloned().map(Mark::Cue);
        self.session.iter().cloned().chain(tracks).chain(cues).collect()
    }
}
