//! A log's marks from the footers of its sealed extents, without its media.

use crate::log::error::LogError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::logs::Index;
use crate::log::reader::{ExtentReader, extents};
use crate::log::shared::Phase;
use crate::log::subscription::Source;
use std::sync::Arc;

/// Reads the footers in order, up to the first extent that is not sealed. Blocks.
pub(super) fn read_index(source: &Source) -> Result<Index, LogError> {
    // What the writer has not shown as sealed is not, whatever the file looks like.
    let state = source.state();
    let mut index = Index { footers: Vec::new(), tail: HEADER_POSITION, sealed: false };
    let all = extents(source.fs.as_ref(), &source.dir)?;
    for extent in &all {
        index.tail = Position { extent: *extent, ..HEADER_POSITION };
        if state.is_some_and(|s| s.phase == Phase::Open && *extent >= s.visible.extent) {
            return Ok(index);
        }
        let reader = ExtentReader::open(source.place(), *extent)?;
        let footer = match reader {
            Some(reader) => reader.footer()?,
            None => None,
        };
        let Some(footer) = footer else { return Ok(index) };
        index.tail = footer.end();
        index.footers.push(Arc::new(footer));
    }
    index.sealed = true;
    Ok(index)
}
