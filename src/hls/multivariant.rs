//! The multivariant playlist of a session (4.4.6): a function of the session record alone, so it
//! never changes while the session lives. Media playlists are `hls::playlist`.

use crate::media::codec::VideoRange;
use crate::media::timeline::mark::{Rendition, SessionRecord};
use crate::media::track::Kind;
use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, MasterPlaylist, QuotedOrUnquoted, Resolution,
    VariantStream,
};

/// GROUP-ID of the one audio group.
const AUDIO_GROUP: &str = "audio";

/// The version that EXT-X-MEDIA makes advisable (section 8); a playlist without it needs no
/// EXT-X-VERSION.
const VERSION_WITH_MEDIA: usize = 4;

/// Renders the multivariant playlist; URIs are relative to it and carry no query.
///
/// Every video rendition is a variant that uses the audio group, if there is audio; BANDWIDTH is
/// its peak plus the largest of the group (4.4.6.2). Without video, every audio rendition is a
/// variant of its own.
pub fn render(session: &SessionRecord) -> String {
    let of = |kind| session.renditions.iter().filter(move |r| r.kind == kind);
    let group: Vec<&Rendition> = of(Kind::Audio).collect();
    let with_group = of(Kind::Video).next().is_some() && !group.is_empty();
    let mut playlist = MasterPlaylist {
        version: with_group.then_some(VERSION_WITH_MEDIA),
        ..MasterPlaylist::default()
    };
    if with_group {
        playlist.alternatives =
            group.iter().enumerate().map(|(i, r)| alternative(r, i == 0)).collect();
        playlist.variants = of(Kind::Video).map(|r| variant(r, &group)).collect();
    } else {
        playlist.variants = session.renditions.iter().map(|r| variant(r, &[])).collect();
    }
    let mut out = Vec::with_capacity(1024);
    playlist.write_to(&mut out).expect("writing to memory cannot fail");
    String::from_utf8(out).expect("made of strings")
}

fn uri(rendition: &Rendition) -> String {
    format!("{}/index.m3u8", rendition.name)
}

fn alternative(rendition: &Rendition, first: bool) -> AlternativeMedia {
    AlternativeMedia {
        media_type: AlternativeMediaType::Audio,
        uri: Some(uri(rendition)),
        group_id: AUDIO_GROUP.into(),
        name: rendition.name.clone(),
        default: first,
        autoselect: true,
        channels: rendition.channels.map(|c| c.to_string()),
        ..AlternativeMedia::default()
    }
}

fn variant(rendition: &Rendition, group: &[&Rendition]) -> VariantStream {
    let mut codecs = vec![rendition.codecs.as_str()];
    for audio in group {
        if !codecs.contains(&audio.codecs.as_str()) {
            codecs.push(&audio.codecs);
        }
    }
    let audio_peak = group.iter().map(|r| r.bandwidth).max().unwrap_or(0);
    VariantStream {
        uri: uri(rendition),
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
            let text = render(&session);
            assert_eq!(text, want);
            m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect("parses back");
        }
    }
}
