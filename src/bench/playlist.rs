//! As much of an HLS playlist as a viewer needs that follows the live edge: what is new, what comes
//! next, how to ask for it. Lenient: it watches anybody's server.

/// A multivariant playlist's media playlists, as written; `None` when the text is a media playlist.
pub fn renditions(text: &str) -> Option<Vec<String>> {
    let (mut uris, mut is_multivariant, mut variant) = (Vec::new(), false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#EXT-X-STREAM-INF:") {
            (is_multivariant, variant) = (true, true);
        } else if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            is_multivariant = true;
            uris.extend(attribute(list, "URI").map(str::to_owned));
        } else if variant && !line.is_empty() && !line.starts_with('#') {
            uris.push(line.to_owned());
            variant = false;
        }
    }
    let mut unique = Vec::new();
    for uri in uris {
        if !unique.contains(&uri) {
            unique.push(uri);
        }
    }
    is_multivariant.then_some(unique)
}

/// One version of a media playlist.
#[derive(Debug, Default, PartialEq)]
pub struct Playlist {
    /// EXT-X-TARGETDURATION, seconds.
    pub target: u64,
    /// May reloads block?
    pub can_block: bool,
    /// Are delta updates offered?
    pub can_skip: bool,
    /// What is listed, oldest first; the last may be unfinished.
    pub segments: Vec<Segment>,
    /// The hinted part.
    pub hint: Option<String>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

/// A listed segment.
#[derive(Debug, Default, PartialEq)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// `None` while it is unfinished.
    pub uri: Option<String>,
    /// Its parts, as far as they are listed; `None` in the place of a gap.
    pub parts: Vec<Option<String>>,
    gap: bool,
}

/// How far a viewer has read: the next segment and the next part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// Media sequence number.
    pub msn: u64,
    /// Part, from 0.
    pub part: usize,
}

impl Playlist {
    /// Reads what can be read.
    pub fn parse(text: &str) -> Playlist {
        let (mut list, mut sequence, mut open) = (Playlist::default(), 0, Segment::default());
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-TARGETDURATION" => list.target = value.parse().unwrap_or(0),
                "#EXT-X-MEDIA-SEQUENCE" => sequence = value.parse().unwrap_or(0),
                "#EXT-X-SERVER-CONTROL" => {
                    list.can_block = attribute(value, "CAN-BLOCK-RELOAD") == Some("YES");
                    list.can_skip = attribute(value, "CAN-SKIP-UNTIL").is_some();
                }
                "#EXT-X-SKIP" => {
                    let skipped = attribute(value, "SKIPPED-SEGMENTS");
                    sequence += skipped.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                }
                "#EXT-X-PART" => {
                    let gap = attribute(value, "GAP") == Some("YES");
                    let uri = attribute(value, "URI").filter(|_| !gap).map(str::to_owned);
                    open.parts.push(uri);
                }
                "#EXT-X-PRELOAD-HINT" if attribute(value, "TYPE") == Some("PART") => {
                    list.hint = attribute(value, "URI").map(str::to_owned);
                }
                "#EXT-X-GAP" => open.gap = true,
                "#EXT-X-ENDLIST" => list.ended = true,
                _ if line.starts_with('#') => {}
                _ => {
                    open.uri = Some(line.to_owned());
                    open.msn = sequence;
                    sequence += 1;
                    list.segments.push(std::mem::take(&mut open));
                }
            }
        }
        if !open.parts.is_empty() {
            open.msn = sequence;
            list.segments.push(open);
        }
        list
    }

    /// Where the next part or segment will be.
    pub fn edge(&self) -> Cursor {
        match self.segments.last() {
            Some(s) if s.uri.is_none() => Cursor { msn: s.msn, part: s.parts.len() },
            Some(s) => Cursor { msn: s.msn + 1, part: 0 },
            None => Cursor::default(),
        }
    }

    /// The cursor of a viewer that begins with the newest part or segment.
    pub fn newest(&self) -> Cursor {
        let Some(s) = self.segments.last() else { return Cursor::default() };
        Cursor { msn: s.msn, part: s.parts.len().saturating_sub(1) }
    }

    /// What lies between the cursor and the edge: parts where they are listed, else whole segments.
    pub fn since(&self, from: Cursor) -> Vec<&str> {
        let mut uris = Vec::new();
        for s in self.segments.iter().filter(|s| s.msn >= from.msn) {
            let seen = if s.msn == from.msn { from.part } else { 0 };
            if s.parts.is_empty() && !s.gap && seen == 0 {
                uris.extend(s.uri.as_deref());
            }
            uris.extend(s.parts.iter().skip(seen).filter_map(Option::as_deref));
        }
        uris
    }
}

/// An attribute's value without its quotes (RFC 8216, 4.2).
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, tail) = rest.split_once('=')?;
        let (value, after) = match tail.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"')?;
                (value, after.strip_prefix(',').unwrap_or(after))
            }
            None => tail.split_once(',').unwrap_or((tail, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW_LATENCY: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:6\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\n\
        #EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.0,\nseven.m4s\n\
        #EXT-X-PART:DURATION=0.2,URI=\"8.0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.2,GAP=YES,URI=\"8.1.m4s\"\n#EXTINF:0.4,\neight.m4s\n\
        #EXT-X-PART:DURATION=0.2,URI=\"9.0.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.1.m4s\"\n";

    #[test]
    fn what_is_new_since_a_cursor() {
        let list = Playlist::parse(LOW_LATENCY);
        assert!(list.can_block && !list.ended && list.target == 4);
        assert_eq!(list.hint.as_deref(), Some("9.1.m4s"));
        assert_eq!(list.edge(), Cursor { msn: 9, part: 1 });
        assert_eq!(list.newest(), Cursor { msn: 9, part: 0 });
        for (msn, part, uris) in [
            (0, 0, &["seven.m4s", "8.0.m4s", "9.0.m4s"][..]),
            (8, 0, &["8.0.m4s", "9.0.m4s"]),
            (8, 1, &["9.0.m4s"]),
            (9, 1, &[]),
            (10, 0, &[]),
        ] {
            assert_eq!(list.since(Cursor { msn, part }), uris, "{msn} {part}");
        }
    }

    #[test]
    fn a_delta_update_counts_what_it_leaves_out() {
        let text = "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0\n\
                    #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n#EXTINF:2.0,\na\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"b\"\n";
        let list = Playlist::parse(text);
        assert!(list.can_skip && list.can_block);
        assert_eq!(list.edge(), Cursor { msn: 13, part: 1 });
        assert_eq!(list.since(list.newest()), ["b"]);
        assert!(!Playlist::parse(LOW_LATENCY).can_skip);
    }

    #[test]
    fn a_plain_playlist_is_followed_by_segments() {
        let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.000,\n\
                    k-3.ts\n#EXTINF:2.000,\nk-4.ts\n";
        let list = Playlist::parse(text);
        assert!(!list.can_block);
        assert_eq!(list.newest(), Cursor { msn: 4, part: 0 });
        assert_eq!(list.since(list.newest()), ["k-4.ts"]);
        assert_eq!(list.edge(), Cursor { msn: 5, part: 0 });
        assert_eq!(Playlist::parse("not a playlist").segments.len(), 1);
        assert_eq!(Playlist::parse("").edge(), Cursor::default());
    }

    #[test]
    fn a_multivariant_playlist_names_each_rendition_once() {
        let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a,b\",NAME=\"x\",\
                    URI=\"audio.m3u8\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=3,CODECS=\"avc1,mp4a\",AUDIO=\"a,b\"\nvideo.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=2\nvideo.m3u8\n";
        let both = ["audio.m3u8".to_owned(), "video.m3u8".to_owned()];
        assert_eq!(renditions(text), Some(both.to_vec()));
        assert_eq!(renditions(LOW_LATENCY), None);
    }
}
