//! What a recording amounts to, track by track, with a checksum over its packets: two recordings of
//! the same packets have the same digest, whatever they are stored in, wherever their times begin
//! and however the two tracks are interleaved. It is made of the messages that a replay sends.

use crate::media::flv::stream::{Brought, Coded, Stream};
use crate::replay::error::SourceError;
use crate::replay::message::{Message, MessageKind};
use crate::replay::source::Source;
use bytes::Bytes;
use comfy_table::{Table, presets};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use serde::Serialize;

/// CRC-64/XZ: no accident of a CI job makes two recordings alike.
const CHECKSUM: CrcAlgorithm = CrcAlgorithm::Crc64Xz;

/// Separates what is summed, so that no packet looks like a configuration.
const PACKET: u8 = 1;
const CONFIG: u8 = 2;

/// A recording in a few numbers. The JSON form is `castctl replay --digest --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Over the tracks: one word to compare.
    pub checksum: String,
    /// Video first.
    pub tracks: Vec<TrackDigest>,
}

impl Digest {
    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header([
            "track", "packets", "key", "configs", "bytes", "start", "time", "checksum",
        ]);
        for t in &self.tracks {
            let seconds = |ms: i64| format!("{:.3} s", ms as f64 / 1000.0);
            table.add_row([
                t.kind.to_owned(),
                t.packets.to_string(),
                t.key_frames.to_string(),
                t.configurations.to_string(),
                t.bytes.to_string(),
                seconds(t.start_millis),
                seconds(t.duration_millis),
                t.checksum.clone(),
            ]);
        }
        format!("{}\nchecksum {}", table, self.checksum)
    }
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackDigest {
    /// `video` or `audio`.
    pub kind: &'static str,
    /// Packets.
    pub packets: u64,
    /// Pictures that a decoder can start at; every packet of audio.
    pub key_frames: u64,
    /// Configurations, one after another, that packets were made with.
    pub configurations: u64,
    /// Bytes of the payloads.
    pub bytes: u64,
    /// Milliseconds from the recording's first packet to this track's.
    pub start_millis: i64,
    /// Milliseconds of decoding time from the first packet to the last; steps back count as such.
    pub duration_millis: i64,
    /// Over every packet's distance from the one before, composition offset and payload, and the
    /// configurations in their places.
    pub checksum: String,
}

struct Lane {
    crc: Crc,
    /// Counts from the packet on that comes next: another that comes before it takes its place.
    config: Option<Bytes>,
    start: u32,
    last: u32,
    digest: TrackDigest,
}

/// Reads a recording to its end.
///
/// # Errors
/// It is damaged, or holds no media.
pub async fn digest(source: &mut Source, mut told: impl FnMut(i64)) -> Result<Digest, SourceError> {
    let (mut lanes, mut tags) = ([None, None], Stream::default());
    while let Some(next) = source.next().await? {
        take(&mut lanes, &mut tags, &next.message);
        told(next.at);
    }
    Ok(finish(lanes))
}

fn lane<'a>(slot: &'a mut Option<Lane>, kind: &'static str, timestamp: u32) -> &'a mut Lane {
    slot.get_or_insert_with(|| Lane {
        crc: Crc::new(CHECKSUM),
        config: None,
        start: timestamp,
        last: timestamp,
        digest: TrackDigest {
            kind,
            packets: 0,
            key_frames: 0,
            configurations: 0,
            bytes: 0,
            start_millis: 0,
            duration_millis: 0,
            checksum: String::new(),
        },
    })
}

fn take([v, a]: &mut [Option<Lane>; 2], tags: &mut Stream, m: &Message) {
    let (slot, kind, read) = match m.kind {
        MessageKind::Video | MessageKind::VideoConfig => (v, "video", tags.video(&m.body)),
        MessageKind::Audio | MessageKind::AudioConfig => (a, "audio", tags.audio(&m.body)),
        MessageKind::Metadata | MessageKind::VideoEnd | MessageKind::Data => return,
    };
    let Ok(Brought { config, packet, .. }) = read else { return };
    if let Some((_, config)) = config {
        lane(slot, kind, m.timestamp).config = Some(config);
    }
    if let Some(Coded { key, cts, payload }) = packet {
        lane(slot, kind, m.timestamp).packet(m.timestamp, key, cts, &payload);
    }
}

impl Lane {
    fn configure(&mut self, config: &[u8]) {
        self.digest.configurations += 1;
        self.crc.update(&[CONFIG]);
        self.crc.update(&(config.len() as u64).to_be_bytes());
        self.crc.update(config);
    }

    fn packet(&mut self, timestamp: u32, key: bool, cts: i32, payload: &[u8]) {
        if let Some(config) = self.config.take() {
            self.configure(&config);
        }
        if self.digest.packets == 0 {
            (self.start, self.last) = (timestamp, timestamp);
        }
        // Timestamps count modulo 2^32: the step is the difference in one direction or the other.
        let step = timestamp.wrapping_sub(self.last) as i32;
        self.last = timestamp;
        self.digest.packets += 1;
        self.digest.key_frames += u64::from(key);
        self.digest.bytes += payload.len() as u64;
        self.digest.duration_millis += i64::from(step);
        self.crc.update(&[PACKET]);
        self.crc.update(&step.to_be_bytes());
        self.crc.update(&cts.to_be_bytes());
        self.crc.update(&(payload.len() as u64).to_be_bytes());
        self.crc.update(payload);
    }
}

fn finish(lanes: [Option<Lane>; 2]) -> Digest {
    let mut lanes: Vec<Lane> = lanes.into_iter().flatten().collect();
    let base = lanes.first().map_or(0, |l| l.start);
    let starts = lanes.iter().map(|l| i64::from(l.start.wrapping_sub(base) as i32));
    let first = starts.min().unwrap_or(0);
    let mut all = Crc::new(CHECKSUM);
    for lane in &mut lanes {
        let start = i64::from(lane.start.wrapping_sub(base) as i32) - first;
        let sum = lane.crc.finalize();
        lane.digest.start_millis = start;
        lane.digest.checksum = format!("{sum:016x}");
        all.update(lane.digest.kind.as_bytes());
        all.update(&start.to_be_bytes());
        all.update(&sum.to_be_bytes());
    }
    let checksum = format!("{:016x}", all.finalize());
    Digest { checksum, tracks: lanes.into_iter().map(|l| l.digest).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::flv::write::{video_body, video_config_body};
    use crate::media::fuzz::seeded::hex;
    use crate::media::track::Codec;

    /// SVT-AV1's record differs from what its key frames say; a log has what is in force.
    #[test]
    fn what_was_sent_and_what_was_recorded_of_it_are_the_same() {
        let sent = hex("81000c00 0a0b0200000521e7f66017c002");
        let in_force = hex("81000c00 0a0b0200000521e7f66257c802");
        let key = hex("0a0b0200000521e7f66257c802 320110");
        let sum = |records: &[&[u8]]| {
            let (mut lanes, mut tags) = ([None, None], Stream::default());
            let mut send = |kind, body| {
                take(&mut lanes, &mut tags, &Message { kind, timestamp: 7, body });
            };
            for record in records {
                send(MessageKind::VideoConfig, video_config_body(Codec::Av1, record));
            }
            send(MessageKind::Video, video_body(Codec::Av1, true, 0, &key));
            finish(lanes)
        };
        let file = sum(&[&sent]);
        assert_eq!(file, sum(&[&in_force]));
        assert_eq!(file, sum(&[&in_force, &in_force]), "repeated");
        assert_eq!(file.tracks[0].configurations, 1);
    }
}
