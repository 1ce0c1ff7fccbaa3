//! The multivariant playlist of a session (4.4.6), or of several that a range crosses: a function
//! of the session records alone, so it never changes while the session lives. Media playlists are
//! `hls::playlist`.

use crate::base::ids::{Msn, Session};
use crate::media::codec::VideoRange;
use crate::media::timeline::mark::{Rendition, SessionRecord};
use crate::media::track::Kind;
use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, MasterPlaylist, QuotedOrUnquoted, Resolution, Start,
    VariantStream,
};
use std::collections::HashMap;

/// GROUP-ID of the one audio group.
const AUDIO_GROUP: &str = "audio";

/// The version that EXT-X-MEDIA makes advisable (section 8); a playlist without it needs no
/// EXT-X-VERSION.
const VERSION_WITH_MEDIA: usize = 4;

/// Which media playlists it names (`hls::name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// The live ones of a session.
    Live,
    /// Those of a session that begin with a segment; players begin where they do, as each says too.
    From(Msn),
    /// Those of a range of segments.
    Range,
    /// The live ones of this session, from where its channel's own playlist stands.
    Entry(Session),
}

/// What sessions have in common, for a range of segments that crosses them: the renditions that all
/// have, with the codecs of all and the most that any needs. `None` where they have none in common.
pub fn common(sessions: &[&SessionRecord]) -> Option<SessionRecord> {
    let (first, others) = sessions.split_first()?;
    let mut out = (*first).clone();
    out.target_duration = sessions.iter().map(|s| s.target_duration).max()?;
    out.renditions.retain_mut(|r| {
        others.iter().all(|s| {
            let same = s.renditions.iter().find(|o| o.name == r.name && o.kind == r.kind);
            same.inspect(|o| join(r, o)).is_some()
        })
    });
    (!out.renditions.is_empty()).then_some(out)
}

/// Adds what a rendition of another session needs.
fn join(r: &mut Rendition, other: &Rendition) {
    if !r.codecs.split(',').any(|codec| codec == other.codecs) {
        r.codecs = format!("{},{}", r.codecs, other.codecs);
    }
    r.bandwidth = r.bandwidth.max(other.bandwidth);
    r.resolution = r.resolution.max(other.resolution);
    r.frame_rate_millis = r.frame_rate_millis.max(other.frame_rate_millis);
    r.channels = r.channels.max(other.channels);
    // Where the range of light differs, a player that can show the wider one is wanted.
    if r.range == VideoRange::Sdr {
        r.range = other.range;
    }
}

/// Renders the multivariant playlist; URIs are relative to it and carry no query.
///
/// Every video rendition is a variant that uses the audio group, if there is audio; BANDWIDTH is
/// its peak plus the largest of the group (4.4.6.2). Without video, every audio rendition is a
/// variant of its own.
pub fn render(session: &SessionRecord, list: List) -> String {
    let of = |kind| session.renditions.iter().filter(move |r| r.offered && r.kind == kind);
    let group: Vec<&Rendition> = of(Kind::Audio).collect();
    let with_group = of(Kind::Video).next().is_some() && !group.is_empty();
    let mut playlist = MasterPlaylist {
        version: with_group.then_some(VERSION_WITH_MEDIA),
        ..MasterPlaylist::default()
    };
    if let List::From(_) = list {
        let (time_offset, precise, other_attributes) = (0.0, Some(true), HashMap::new());
        playlist.start = Some(Start { time_offset, precise, other_attributes });
    }
    if with_group {
        playlist.alternatives =
            group.iter().enumerate().map(|(i, r)| alternative(r, list, i == 0)).collect();
        playlist.variants = of(Kind::Video).map(|r| variant(r, list, &group)).collect();
    } else {
        playlist.variants =
            of(Kind::Video).chain(of(Kind::Audio)).map(|r| variant(r, list, &[])).collect();
    }
    let mut out = Vec::with_capacity(1024);
    playlist.write_to(&mut out).expect("writing to memory cannot fail");
    String::from_utf8(out).expect("made of strings")
}

/// The session that a channel's own playlist names, and how many of its variants; `None`: it is
/// none that was made here with [`List::Entry`].
pub fn entry(text: &str) -> Option<(Session, usize)> {
    let variants: Vec<&str> =
        text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let (session, _) = variants.first()?.strip_prefix('s')?.split_once('/')?;
    Some((Session(session.parse().ok()?), variants.len()))
}

fn uri(Rendition { name, .. }: &Rendition, list: List) -> String {
    match list {
        List::Live => format!("{name}/index.m3u8"),
        List::From(msn) => format!("{name}/from-{msn}.m3u8"),
        List::Range => format!("{name}.m3u8"),
        List::Entry(session) => format!("s{session}/{name}/index.m3u8"),
    }
}

fn alternative(rendition: &Rendition, list: List, first: bool) -> AlternativeMedia {
    AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(uri(rendition, list)),
        group_id: AUDIO_GROUP.into(),
        name: rendition.name.clone(),
        default: first,
        autoselect: true,
        channels: rendition.channels.map(|c| c.to_string()),
        ..AlternativeMedia::default()
    }
}

fn variant(rendition: &Rendition, list: List, group: &[&Rendition]) -> VariantStream {
    let mut codecs = vec![rendition.codecs.as_str()];
    for audio in group {
        if !codecs.contains(&audio.codecs.as_str()) {
            codecs.push(&audio.codecs);
        }
    }
    let audio_peak = group.iter().map(|r| r.bandwidth).max().unwrap_or(0);
    VariantStream {
        uri: uri(rendition, list),
        bandwidth: rendition.bandwidth.saturating_add(audio_peak),
        codecs: Some(codecs.join(",")),
        resolution: rendition
            .resolution
            .map(|(w, h)| Resolution { width: w.into(), height: h.into() }),
        frame_rate: rendition.frame_rate_millis.map(|m| f64::from(m) / 1000.0),
        audio: (!group.is_empty()).then(|| AUDIO_GROUP.into()),
        other_attributes: range(rendition.range).map(|word| {
            let value = QuotedOrUnquoted::Unquoted(word.into());
            [("VIDEO-RANGE".to_owned(), value)].into()
        }),
        ..VariantStream::default()
    }
}

/// VIDEO-RANGE (4.4.6.2); standard is what its absence means.
fn range(range: VideoRange) -> Option<&'static str> {
    match range {
        VideoRange::Sdr => None,
        VideoRange::Hlg => Some("HLG"),
        VideoRange::Pq => Some("PQ"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TrackId;

    fn video() -> Rendition {
        Rendition {
            name: "video".into(),
            track: TrackId::VIDEO,
            kind: Kind::Video,
            codecs: "avc1.64001f".into(),
            bandwidth: 5_000_000,
            resolution: Some((1280, 720)),
            frame_rate_millis: Some(29_970),
            offered: true,
            range: VideoRange::Sdr,
            channels: None,
        }
    }

    fn audio() -> Rendition {
        Rendition {
            name: "audio".into(),
            track: TrackId::AUDIO,
            kind: Kind::Audio,
            codecs: "mp4a.40.2".into(),
            bandwidth: 200_000,
            resolution: None,
            frame_rate_millis: None,
            offered: true,
            range: VideoRange::Sdr,
            channels: Some(6),
        }
    }

    #[test]
    fn the_shapes_exactly() {
        let both = "#EXTM3U\n\
            #EXT-X-VERSION:4\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"audio/index.m3u8\",GROUP-ID=\"audio\",NAME=\"audio\",\
            DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=5200000,CODECS=\"avc1.64001f,mp4a.40.2\",\
            RESOLUTION=1280x720,FRAME-RATE=29.97,AUDIO=\"audio\"\n\
            video/index.m3u8\n";
        let video_only = "#EXTM3U\n\
            #EXT-X-STREAM-INF:BANDWIDTH=5000000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720\n\
            video/index.m3u8\n";
        let audio_only = "#EXTM3U\n\
            #EXT-X-STREAM-INF:BANDWIDTH=200000,CODECS=\"mp4a.40.2\"\n\
            audio/index.m3u8\n";
        let undeclared = Rendition { frame_rate_millis: None, ..video() };
        let hdr = Rendition {
            codecs: "hvc1.2.4.L63.90".into(),
            range: VideoRange::Hlg,
            ..undeclared.clone()
        };
        let hdr_only = "#EXTM3U\n\
            #EXT-X-STREAM-INF:BANDWIDTH=5000000,CODECS=\"hvc1.2.4.L63.90\",RESOLUTION=1280x720,\
            VIDEO-RANGE=HLG\n\
            video/index.m3u8\n";
        for (renditions, want) in [
            (vec![video(), audio()], both),
            (vec![undeclared], video_only),
            (vec![audio()], audio_only),
            (vec![hdr], hdr_only),
        ] {
            let session = SessionRecord {
                target_duration: 4,
                segment: 2_000_000,
                part_target: 502_000,
                latency_budget: 0,
                render: 1,
                renditions,
            };
            let text = render(&session, List::Live);
            assert_eq!(text, want);
            m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("parses back");
        }
    }

    fn record(renditions: Vec<Rendition>) -> SessionRecord {
        SessionRecord {
            target_duration: 4,
            segment: 2_000_000,
            part_target: 502_000,
            latency_budget: 0,
            render: 2,
            renditions,
        }
    }

    #[test]
    fn what_begins_in_the_past_says_so_and_names_its_own_playlists() {
        let record = record(vec![video(), audio()]);
        let live = render(&record, List::Live);
        let begun = render(&record, List::From(Msn(77)));
        assert!(begun.contains("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n"), "{begun}");
        let without = begun.replace("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n", "");
        assert_eq!(without.replace("/from-77.m3u8", "/index.m3u8"), live);
        let range = render(&record, List::Range);
        assert_eq!(
            range.replace("video.m3u8", "video/index.m3u8").replace("audio.", "audio/index."),
            live
        );
    }

    #[test]
    fn a_channels_own_playlist_leads_into_its_session() {
        let record = record(vec![video(), audio()]);
        let text = render(&record, List::Entry(Session(12)));
        let live = render(&record, List::Live);
        let same = text.replace("s12/video/", "video/").replace("s12/audio/", "audio/");
        assert_eq!(same, live);
        assert_eq!(entry(&text), Some((Session(12), 1)));
        for other in ["", "#EXTM3U\n", "#EXTM3U\nvideo/index.m3u8\n", "#EXTM3U\nsx/video\n"] {
            assert_eq!(entry(other), None, "{other}");
        }
        assert_eq!(entry(&live), None);
    }

    #[test]
    fn sessions_have_in_common_what_all_of_them_have() {
        let hevc = Rendition {
            codecs: "hvc1.2.4.L63.90".into(),
            bandwidth: 6_000_000,
            resolution: Some((1920, 1080)),
            range: VideoRange::Hlg,
            ..video()
        };
        let (one, two) = (record(vec![video(), audio()]), record(vec![hevc]));
        let two = SessionRecord { target_duration: 6, ..two };
        let common = common(&[&one, &two, &one]).expect("a rendition");
        let names: Vec<&str> = common.renditions.iter().map(|r| &*r.name).collect();
        assert_eq!((common.target_duration, names), (6, vec!["video"]));
        let r = &common.renditions[0];
        assert_eq!(r.codecs, "avc1.64001f,hvc1.2.4.L63.90");
        assert_eq!((r.bandwidth, r.resolution), (6_000_000, Some((1920, 1080))));
        assert_eq!((r.range, r.frame_rate_millis), (VideoRange::Hlg, Some(29_970)));
        assert_eq!(super::common(&[&record(vec![video()]), &record(vec![audio()])]), None);
        assert_eq!(super::common(&[]), None);
    }
}
