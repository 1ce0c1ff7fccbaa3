//! What a log's files amount to, without writing: for a disk that takes nothing any more.

use crate::log::error::LogError;
use crate::log::format::index::Indexer;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::pass::footer;
use crate::log::reader::{ExtentReader, Place, there};
use crate::log::recover::Recovered;
use crate::log::walk::{Good, State, Walk, walk_extent};

/// What `recover::close` would find.
pub(super) fn survey(place: Place<'_>) -> Result<Recovered, LogError> {
    let (trimmed, all) = there(place.fs, place.dir)?;
    let (mut walk, mut position, mut seen) = (Walk::default(), HEADER_POSITION, 0);
    let first = trimmed.as_ref().map_or(0, |t| t.first);
    for extent in (first..).zip(all).map_while(|(due, e)| (due == e).then_some(e)) {
        if extent > 0 {
            walk.indexer.roll();
        }
        if let Some(footer) = footer(place, extent)? {
            let earlier = std::mem::replace(&mut walk, Walk::of(&footer));
            walk.follows(earlier);
            walk.indexer = Indexer::at(&footer);
            (position, seen) = (footer.end(), extent + 1);
            continue;
        }
        let reader = match ExtentReader::open(place, extent) {
            Err(LogError::Header { source, .. }) if source.is_damage() => break,
            reader => reader?.ok_or(LogError::NotFound { path: place.dir.to_owned() })?,
        };
        let state = walk_extent(&reader, place.id.generation, &mut walk, &mut Good::default())?;
        let (State::Whole { at } | State::Unsealed { at, .. } | State::Torn { at, .. }) = &state;
        (position, seen) = (Position { extent, offset: *at }, extent + 1);
        if !matches!(state, State::Unsealed { footer: true, .. }) {
            break;
        }
    }
    walk.begins(trimmed.as_ref());
    Ok(Recovered::of(walk, place.id, None, seen, position, false))
}
