//! What an object in the bucket says of itself to a CDN and to players: its media type, and how
//! long it may be kept. `man/castctl-push.7` says the same to operators.

use crate::media::track::Kind;
use crate::store::files::Headers;

/// Media has one content under its name, for ever: a year is what caches take for that.
pub const MEDIA: &str = "public, max-age=31536000, immutable";

/// A playlist that nothing will be added to.
pub const ENDED: &str = "public, max-age=86400";

/// A session's multivariant playlist when it names every rendition.
pub const WHOLE: &str = "public, max-age=300";

/// Media type of playlists (RFC 8216, 4).
const M3U8: &str = "application/vnd.apple.mpegurl";

/// Of a segment or an init section.
pub fn media(kind: Kind) -> Headers {
    let content_type = match kind {
        Kind::Video => "video/mp4",
        Kind::Audio => "audio/mp4",
    };
    Headers { content_type, cache: MEDIA.to_owned() }
}

/// Of a playlist that changes: half a target duration, so that a cache gives nobody one that lacks
/// more than a segment; at least a second, which is the least that caches know.
pub fn live(target_duration: u32) -> Headers {
    let seconds = (target_duration / 2).max(1);
    Headers { content_type: M3U8, cache: format!("public, max-age={seconds}") }
}

/// Of a playlist that may be kept for so long.
pub fn kept(cache: &str) -> Headers {
    Headers { content_type: M3U8, cache: cache.to_owned() }
}
