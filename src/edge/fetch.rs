//! Reads a segment's media back from the log that has it.

use crate::base::ids::Seq;
use crate::edge::media::remux;
use crate::edge::recall::Lost;
use crate::edge::rendition::Logged;
use crate::log::id::LogId;
use crate::log::source::Source;
use bytes::Bytes;

/// The parts of a segment, each with the number of its first sample.
///
/// # Errors
/// The log can't be read now, or lacks samples.
pub(super) async fn read_back(
    logs: &Source,
    id: &LogId,
    logged: &Logged,
) -> Result<Vec<(Seq, Bytes)>, Lost> {
    let Logged { msn, span, init, carries_cues, .. } = logged;
    let batches = logs.read(id, span.start..span.end).await.map_err(Lost::Log)?;
    remux(init, *msn, *carries_cues, &batches).ok_or(Lost::Missing)
}
