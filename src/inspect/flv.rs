//! A look into an FLV file.

use crate::inspect::error::InspectError;
use crate::inspect::findings;
use crate::inspect::report::{FlvFacts, Report, Severity};
use crate::inspect::tags::Tags;
use crate::media::flv::FlvError;
use crate::media::flv::file::{FlvReader, Tag, TagKind};
use crate::rtmp::metadata::Metadata;
use std::io::Read;
use std::path::Path;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Reads the whole file. Blocks.
///
/// # Errors
/// The file cannot be read, or is no FLV file from its first byte on.
pub fn inspect(path: &Path) -> Result<Report, InspectError> {
    let cannot = |source| InspectError::Read { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(cannot)?;
    let mut report = Report::new(path.display().to_string(), "flv");
    let (mut reader, mut tags, mut count) = (FlvReader::new(), Tags::new(), 0);
    let mut buf = vec![0; READ_BYTES];
    let mut broken = None;
    loop {
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => {
                    count += 1;
                    take(&mut tags, &tag);
                }
                Ok(None) => break,
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            }
        }
        if matches!(broken, Some(FlvError::File { at: 0, .. })) {
            return Err(InspectError::Unknown { path: path.to_owned() });
        }
        let n = file.read(&mut buf).map_err(cannot)?;
        if n == 0 {
            break;
        }
        report.bytes += n as u64;
        // Behind damage only the length is of interest.
        if broken.is_none() {
            reader.push(&buf[..n]);
        }
    }
    // The size behind the last tag is missing in many files; it is looked at by nobody.
    let torn = report.bytes.saturating_sub(reader.offset());
    tags.report(&mut report);
    let at = reader.offset();
    match broken {
        Some(e) => report.found(Severity::Damage, format!("{e}: {torn} bytes are not looked at")),
        None if torn > 0 => {
            let text = format!("the file is cut off: {torn} bytes at byte {at} are no whole tag");
            report.found(Severity::Damage, text);
        }
        None => {}
    }
    if tags.media == 0 {
        report.found(Severity::Damage, "the file holds no audio and no video");
    }
    report.flv = Some(FlvFacts { tags: count, torn_bytes: torn });
    findings::judge(&mut report, None);
    Ok(report)
}

fn take(tags: &mut Tags, tag: &Tag) {
    match tag.kind {
        TagKind::Video => tags.video(tag.timestamp, &tag.body, None),
        TagKind::Audio => tags.audio(tag.timestamp, &tag.body, None),
        TagKind::Script => {
            if let Ok(Some(metadata)) = Metadata::read(&tag.body) {
                tags.metadata(metadata);
            }
        }
    }
}
