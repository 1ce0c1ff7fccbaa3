//! The multivariant playlists: the session's, and the channel's, which leads into its newest
//! session.

use crate::base::ids::{Channel, Session as Number};
use crate::hls::multivariant::{self, List};
use crate::hls::name::Path;
use crate::media::timeline::mark::SessionRecord;
use crate::push::bucket::Bucket;
use crate::push::error::PushError;
use crate::push::headers;
use crate::store::files::Headers;

/// How many variants a multivariant playlist has; the lines that are no tags.
fn variants(text: &str) -> usize {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}

/// Can the session be played with these renditions? With all of the source's it can; rungs may
/// come later.
pub(super) fn is_enough(record: &SessionRecord, listed: impl Fn(&str) -> bool) -> bool {
    let offered = record.renditions.iter().filter(|r| r.offered);
    let mut source = offered.filter(|r| !r.track.is_rung()).peekable();
    source.peek().is_some() && source.all(|r| listed(&r.name))
}

/// Puts both, naming the renditions whose playlists are there.
pub(super) async fn put(
    bucket: &Bucket,
    (channel, session): (&Channel, Number),
    record: &SessionRecord,
    listed: impl Fn(&str) -> bool,
) -> Result<(), PushError> {
    let mut there = record.clone();
    there.renditions.retain(|r| r.offered && listed(&r.name));
    let offered = record.renditions.iter().filter(|r| r.offered).count();
    let live = headers::live(record.target_duration);
    let whole = match there.renditions.len() == offered {
        true => headers::kept(headers::WHOLE),
        false => live.clone(),
    };
    let key = Path::Multivariant { channel: channel.clone(), session }.to_string();
    let text = multivariant::render(&there, List::Live);
    let more = |known: &str| Ok(variants(known) < variants(&text));
    forward(bucket, &key, &text, &whole, more).await?;
    let key = Path::Entry { channel: channel.clone() }.to_string();
    let text = multivariant::render(&there, List::Entry(session));
    let newer = |known: &str| match multivariant::entry(known) {
        Some(known) => Ok(known < (session, variants(&text))),
        None => Err(bucket.foreign(&key)),
    };
    forward(bucket, &key, &text, &live, newer).await
}

/// The session that the channel's playlist in the bucket leads into.
pub(super) async fn last(bucket: &Bucket, channel: &Channel) -> Result<Option<Number>, PushError> {
    let key = Path::Entry { channel: channel.clone() }.to_string();
    let known = bucket.current(&key).await?;
    Ok(known.and_then(|(text, _)| multivariant::entry(&text)).map(|(session, _)| session))
}

/// Puts a playlist, unless the one that is there is as new.
async fn forward(
    bucket: &Bucket,
    key: &str,
    text: &str,
    headers: &Headers,
    is_newer: impl Fn(&str) -> Result<bool, PushError>,
) -> Result<(), PushError> {
    loop {
        let version = match bucket.current(key).await? {
            Some((known, _)) if !is_newer(&known)? => return Ok(()),
            known => known.map(|(_, version)| version),
        };
        match bucket.replace(key, text, version.as_ref(), headers).await {
            Err(PushError::Taken(_)) => {}
            put => return put.map(drop),
        }
    }
}
