//! Clips to publish: made by ffmpeg or taken from the fixtures, read as FLV tags, and weighed: what
//! every viewer must get of them.

use crate::process;
use bytes::Bytes;
use castctl::base::ids::TrackId;
use castctl::media::flv::body::{self, AudioBody, VideoBody};
use castctl::media::flv::file::{FlvReader, Tag, TagKind};
use std::path::{Path, PathBuf};

/// An access unit as it was sent: its track, its times in milliseconds, its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unit {
    pub(crate) track: TrackId,
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) payload: Bytes,
}

/// The clip in the tree: 10 s, 640x360, 25 fps, AAC 44.1 kHz.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media/bbb.flv")
}

/// Test picture and tone through ffmpeg into `dir/name.flv`; `options` come after the inputs.
pub(crate) async fn make(dir: &Path, name: &str, seconds: u32, options: &str) -> PathBuf {
    let path = dir.join(format!("{name}.flv"));
    let size = if options.contains("-vn") { "64x64" } else { "320x180" };
    let rate = options.split("-r ").nth(1).and_then(|r| r.split(' ').next()).unwrap_or("25");
    let words = format!(
        "-y -f lavfi -i testsrc2=size={size}:rate={rate} \
         -f lavfi -i sine=frequency=440:sample_rate=48000 -t {seconds} \
         -c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 400k -c:a aac {options}"
    );
    let made = process::run(process::ffmpeg(&words).arg(&path)).await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    path
}

/// The tags of an FLV file.
pub(crate) fn tags(path: &Path) -> Vec<Tag> {
    let mut reader = FlvReader::from_bytes(std::fs::read(path).expect("a clip").into());
    std::iter::from_fn(|| reader.next_tag().expect("an FLV file")).collect()
}

/// The fixture's tags without its script data.
pub(crate) fn bbb() -> Vec<Tag> {
    tags(&fixture()).into_iter().filter(|t| t.kind != TagKind::Script).collect()
}

/// `clip` over and over with times that go on, up to `seconds`.
pub(crate) fn looped(clip: &[Tag], seconds: u32) -> Vec<Tag> {
    let is_config = |t: &Tag| t.kind != TagKind::Script && t.body.get(1) == Some(&0);
    let length = clip.iter().map(|t| t.timestamp).max().unwrap_or(0) + 40;
    let mut out = Vec::new();
    for round in 0.. {
        for tag in clip.iter().filter(|t| round == 0 || !is_config(t)) {
            let timestamp = tag.timestamp + round * length;
            if timestamp >= seconds * 1000 {
                return out;
            }
            out.push(Tag { timestamp, ..tag.clone() });
        }
    }
    out
}

/// Every picture with 20 kB more, as filler data (H.264 7.3.2.7).
pub(crate) fn heavy(tags: &[Tag]) -> Vec<Tag> {
    let filler = [&20_000u32.to_be_bytes()[..], &[12], &[0xff; 19_998], &[0x80]].concat();
    let picture = |t: &Tag| t.kind == TagKind::Video && t.body.get(1) == Some(&1);
    let body = |t: &Tag| match picture(t) {
        true => [&t.body[..], &filler].concat().into(),
        false => t.body.clone(),
    };
    tags.iter().map(|t| Tag { body: body(t), ..t.clone() }).collect()
}

/// The access units in tags, by track, in the order sent.
pub(crate) fn units(tags: &[Tag]) -> Vec<Unit> {
    let unit = |t: &Tag| {
        let dts = i64::from(t.timestamp);
        match t.kind {
            TagKind::Video => match body::video(&t.body, 4).expect("H.264") {
                VideoBody::Coded { cts, payload, .. } => {
                    let pts = dts + i64::from(cts);
                    Some(Unit { track: TrackId::VIDEO, dts, pts, payload })
                }
                _ => None,
            },
            TagKind::Audio => match body::audio(&t.body).expect("AAC") {
                AudioBody::Coded { payload, .. } => {
                    Some(Unit { track: TrackId::AUDIO, dts, pts: dts, payload })
                }
                _ => None,
            },
            TagKind::Script => None,
        }
    };
    let mut out: Vec<Unit> = tags.iter().filter_map(unit).collect();
    out.sort_by_key(|u| u.track);
    out
}
