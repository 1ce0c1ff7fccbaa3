//! What a window refuses of its marks.

use crate::base::ids::{Msn, Session, Writer};

/// A mark that breaks the contract. It changed nothing, except that its generation, when newer, is
/// the current one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// The writer has been fenced, or an old log was found.
    #[error("mark of writer {got}, but writer {have} is current")]
    Stale {
        /// Generation of the mark.
        got: Writer,
        /// Current generation.
        have: Writer,
    },
    /// Another session: other playlists.
    #[error("mark of session {got}, but these are playlists of session {have}")]
    OtherSession {
        /// Session of the mark.
        got: Session,
        /// Session of the window.
        have: Session,
    },
    /// The session is over.
    #[error("a mark after the end of the session")]
    AfterEnd,
    /// A number went back, or jumped by more than `hls::window::HOLE_MAX`.
    #[error("segment {got} where {want} or a little later is due")]
    Msn {
        /// Number in the mark.
        got: Msn,
        /// Number that is due.
        want: Msn,
    },
    /// A discontinuity number went back, or jumped by more than `hls::window::BREAKS_MAX`.
    #[error("segment {msn}: discontinuity number {got} after {have}")]
    Dseq {
        /// The segment.
        msn: Msn,
        /// Number in the mark.
        got: u64,
        /// Number of the segment before.
        have: u64,
    },
    /// A segment with media before [`set_init`](crate::hls::window::Window::set_init).
    #[error("segment {0} starts before the track has a configuration")]
    NoInit(Msn),
    /// A part of a segment that is not open, or is not the next, or has samples or a duration that
    /// cannot be.
    #[error("part {part} of segment {msn} does not follow from what was read")]
    Part {
        /// The segment.
        msn: Msn,
        /// The part.
        part: u32,
    },
}
