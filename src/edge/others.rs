//! What other edges may know that this one does not: of many, one is always a little behind, and a
//! viewer whose requests go to one after the other has been told more than this one can tell.

use crate::edge::rendition::Rendition;
use crate::edge::session::Session;
use crate::edge::sources::Sources;
use crate::hls::lookup::WRITERS_AHEAD;
use crate::hls::name::File;
use crate::hls::reload::{self, State};

/// May another edge have listed what a reload asks for that is too far ahead here? Where this one
/// stands still, or catches up and its list ends in the past, or the next writer has begun.
pub(super) fn may_be_ahead(
    sources: &Sources,
    session: &Session,
    rendition: &Rendition,
    state: State,
) -> bool {
    let now = sources.clock.now();
    let stands = now.mono.since(rendition.snapshots().borrow().grown);
    let stands = i64::try_from(stands.as_micros()).unwrap_or(i64::MAX);
    let (end, newest) = {
        let shelf = rendition.read();
        (shelf.window.end_wall(), shelf.window.current())
    };
    let late = end.map_or(0, |end| now.wall.since(end));
    sources.directory.is_of_many()
        && (reload::may_be_behind(state.part_target, stands, late)
            || sources.directory.has_newer(&session.channel, newest))
}

/// May another edge have listed this file, of a writer that this one has not come to yet though the
/// table has it, or one soon after? Those between may have written nothing: an encoder that comes
/// and goes is granted one after the other.
pub(super) fn may_know(
    sources: &Sources,
    session: &Session,
    rendition: &Rendition,
    file: &File,
) -> bool {
    let (File::Segment { writer, .. } | File::Part { writer, .. }) = file else { return false };
    let current = rendition.read().window.current();
    let newest = sources.directory.newer(&session.channel, session.number, current);
    newest.is_some_and(|newest| {
        let known = newest.generation.0.saturating_add(WRITERS_AHEAD);
        Some(*writer) > current && writer.generation.0 <= known
    })
}
