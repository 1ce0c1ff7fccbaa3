//! A log's marks from the footers of its sealed extents, without its media.

use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::reader::{ExtentReader, there};
use crate::log::remote::wire::Since;
use crate::log::shared::Phase;
use crate::log::site::Files;
use crate::log::trim::absent;
use std::sync::Arc;

/// The marks of a log without its media.
#[derive(Debug, Clone)]
pub struct Index {
    /// The footers of its sealed extents, in order. Where the oldest were removed, the first one's
    /// marks begin with the generation's start, which stood in them.
    pub footers: Vec<Arc<Footer>>,
    /// Where to read on: the start of the first extent that is not sealed, or the log's end.
    pub tail: Position,
    /// The log is sealed: nothing follows.
    pub sealed: bool,
}

impl Index {
    /// Leaves out the extents that end before what is asked for.
    pub(super) fn forget(&mut self, since: Since) {
        self.footers.retain(|f| match since {
            Since::Start => true,
            Since::Extent(n) => f.extent >= n,
            // An extent without segments of its own may hold their samples.
            Since::Msn(n) => f.msn.is_none_or(|(_, last)| last >= n),
            Since::Time(t) => f.wall.is_none_or(|(_, last)| last > t),
        });
    }
}

/// Reads the footers in order, up to the first extent that is not sealed. Blocks.
pub(super) fn read_index(source: &Files) -> Result<Index, LogError> {
    // What the writer has not shown as sealed is not, whatever the file looks like.
    let state = source.state();
    let mut index = Index { footers: Vec::new(), tail: HEADER_POSITION, sealed: false };
    let (fs, dir) = (source.fs.as_ref(), &source.dir);
    let (trimmed, all) = there(fs, dir)?;
    for extent in &all {
        index.tail = Position { extent: *extent, ..HEADER_POSITION };
        if state.is_some_and(|s| s.phase == Phase::Open && *extent >= s.visible.extent) {
            return Ok(index);
        }
        let Some(reader) = ExtentReader::open(source.place(), *extent)? else {
            let Err(e) = absent(fs, dir, index.tail) else { return Ok(index) };
            // It was removed a moment ago, and those before it.
            return if matches!(e, LogError::Removed { .. }) { read_index(source) } else { Err(e) };
        };
        let Some(mut footer) = reader.footer()? else { return Ok(index) };
        index.tail = footer.end();
        if let Some(trimmed) = trimmed.as_ref().filter(|t| t.first == *extent) {
            footer.begin_with(&trimmed.start);
        }
        index.footers.push(Arc::new(footer));
    }
    index.sealed = true;
    Ok(index)
}
