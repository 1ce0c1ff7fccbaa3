//! Packets of a container file as an encoder would send them: in the order of their decoding times,
//! in milliseconds from zero. Pure.
//!
//! RTMP counts milliseconds. DTS and PTS are each rounded to the nearest one from the file's own
//! ticks, so that no error adds up, and the composition offset sent is the difference of the two:
//! both arrive within half a millisecond of the file's. The file's zero is moved to its first
//! decoding time by a whole number of milliseconds, since containers begin anywhere (MP4 below
//! zero, MPEG-TS at any hour) and players of RTMP expect zero.

use crate::base::time::{MICROS, Timescale};
use crate::media::flv::write::{audio_body, audio_config_body, video_body, video_config_body};
use crate::media::packet::Packet;
use crate::media::track::{Kind, Track};
use crate::replay::flv::Raw;
use crate::replay::message::MessageKind;
use bytes::Bytes;
use std::collections::VecDeque;

/// How much of one track is held while the other has nothing. Files are interleaved to a second or
/// so; a track may also simply have ended.
const HOLD_MICROS: i64 = 3 * MICROS;
const HOLD_PACKETS: usize = 4096;

/// A message of one track that waits for its turn.
#[derive(Debug)]
struct Held {
    dts: i64,
    kind: MessageKind,
    body: Bytes,
}

/// One track.
#[derive(Debug)]
struct Lane {
    track: Track,
    held: VecDeque<Held>,
    /// A configuration that goes with the next packet.
    config: Option<Bytes>,
}

/// Both tracks. See the module doc.
#[derive(Debug, Default)]
pub(super) struct Interleave {
    lanes: Vec<Lane>,
    ended: bool,
    /// What becomes zero, milliseconds.
    origin: Option<i64>,
}

impl Interleave {
    /// A file's tracks, at most one of each kind.
    pub(super) fn new(tracks: Vec<Track>) -> Interleave {
        let lane = |track| Lane { track, held: VecDeque::new(), config: None };
        Interleave { lanes: tracks.into_iter().map(lane).collect(), ended: false, origin: None }
    }

    /// A configuration, from the track's next packet on. Of a track that is not sent: nothing.
    pub(super) fn track(&mut self, track: Track) {
        if let Some(lane) = self.lanes.iter_mut().find(|l| l.track.id == track.id) {
            lane.config = Some(match track.codec.kind() {
                Kind::Video => video_config_body(track.codec, &track.config),
                Kind::Audio => audio_config_body(track.codec, &track.config),
            });
            lane.track = track;
        }
    }

    /// A packet. Of a track that is not sent: nothing.
    pub(super) fn packet(&mut self, p: &Packet) {
        let Some(lane) = self.lanes.iter_mut().find(|l| l.track.id == p.track) else { return };
        let millis = |ticks| lane.track.timescale.convert(ticks, Timescale::MILLIS);
        let (dts, codec) = (millis(p.dts), lane.track.codec);
        let (config, kind, body) = match codec.kind() {
            Kind::Video => {
                let cts = i32::try_from(millis(p.pts()).saturating_sub(dts)).unwrap_or_default();
                let body = video_body(codec, p.key, cts, &p.payload);
                (MessageKind::VideoConfig, MessageKind::Video, body)
            }
            Kind::Audio => {
                let body = audio_body(codec, &p.payload);
                (MessageKind::AudioConfig, MessageKind::Audio, body)
            }
        };
        let config = lane.config.take().map(|body| Held { dts, kind: config, body });
        lane.held.extend(config);
        lane.held.push_back(Held { dts, kind, body });
    }

    /// No more comes in.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The next message, when its turn is certain.
    pub(super) fn next(&mut self) -> Option<Raw> {
        let certain = self.ended
            || self.lanes.iter().all(|l| !l.held.is_empty())
            || self.lanes.iter().any(Lane::is_full);
        let waiting = self.lanes.iter_mut().filter(|l| !l.held.is_empty());
        let lane = waiting.min_by_key(|l| l.held.front().map(|h| h.dts)).filter(|_| certain)?;
        let held = lane.held.pop_front()?;
        let origin = *self.origin.get_or_insert(held.dts);
        Some(Raw { kind: held.kind, dts: held.dts.saturating_sub(origin), body: held.body })
    }
}

impl Lane {
    fn is_full(&self) -> bool {
        let ends = self.held.front().zip(self.held.back());
        let span = ends.map_or(0, |(a, b)| b.dts.saturating_sub(a.dts));
        span.saturating_mul(1000) >= HOLD_MICROS || self.held.len() >= HOLD_PACKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TrackId;
    use crate::media::flv::body::{VideoBody, video};
    use crate::media::track::Codec;

    fn track(id: TrackId, codec: Codec, scale: u32) -> Track {
        let timescale = Timescale::new(scale).expect("not zero");
        Track { id, codec, timescale, rate: None, config: Bytes::from_static(&[1]) }
    }

    fn packet(track: TrackId, dts: i64, cts: i32) -> Packet {
        Packet { track, dts, cts, key: false, payload: Bytes::from_static(&[0, 0, 0, 1, 0x41]) }
    }

    fn all(i: &mut Interleave) -> Vec<Raw> {
        std::iter::from_fn(|| i.next()).collect()
    }

    #[test]
    fn times_are_rounded_each_from_its_own_ticks() {
        let video_track = track(TrackId::VIDEO, Codec::H264, 90_000);
        let mut i = Interleave::new(vec![video_track]);
        // 29.97 frames a second for an hour, shown two frames late.
        let count = 107_892;
        for n in 0..count {
            i.packet(&packet(TrackId::VIDEO, 3003 * n, 6006));
        }
        i.end();
        let sent = all(&mut i);
        for (n, raw) in (0i64..).zip(&sent) {
            let exact = |ticks: i64| ticks as f64 / 90.0;
            let Ok(VideoBody::Coded { cts, .. }) = video(&raw.body, 4) else { panic!("coded") };
            assert!((raw.dts as f64 - exact(3003 * n)).abs() <= 0.5);
            let pts = raw.dts + i64::from(cts);
            assert!((pts as f64 - exact(3003 * (n + 2))).abs() <= 0.5);
        }
        assert_eq!(sent.len() as i64, count);
    }

    #[test]
    fn tracks_go_by_their_times_and_begin_at_zero() {
        let (v, a) = (TrackId::VIDEO, TrackId::AUDIO);
        let tracks = vec![track(v, Codec::H264, 1000), track(a, Codec::Aac, 48_000)];
        let mut i = Interleave::new(tracks.clone());
        i.track(tracks[0].clone());
        // Below zero, as MP4 files with re-ordered pictures begin; sound comes in one piece later.
        for n in 0..4 {
            i.packet(&packet(v, 40 * n - 80, 80));
        }
        assert_eq!(i.next(), None, "what the other track has may come first");
        i.track(tracks[1].clone());
        for n in -1..3 {
            i.packet(&packet(a, 1024 * n, 0));
        }
        i.packet(&packet(TrackId(3), 0, 0));
        i.end();
        let sent: Vec<(MessageKind, i64)> = all(&mut i).iter().map(|r| (r.kind, r.dts)).collect();
        use MessageKind::{Audio, AudioConfig, Video, VideoConfig};
        let want = [
            (VideoConfig, 0),
            (Video, 0),
            (Video, 40),
            (AudioConfig, 59),
            (Audio, 59),
            (Video, 80),
            (Audio, 80),
            (Audio, 101),
            (Video, 120),
            (Audio, 123),
        ];
        assert_eq!(sent, want);
    }

    #[test]
    fn a_track_that_has_ended_holds_nothing_up_for_long() {
        let tracks =
            vec![track(TrackId::VIDEO, Codec::H264, 1000), track(TrackId::AUDIO, Codec::Aac, 1000)];
        let mut i = Interleave::new(tracks);
        i.packet(&packet(TrackId::AUDIO, 0, 0));
        let mut sent = 0;
        for n in 0..1000 {
            i.packet(&packet(TrackId::VIDEO, 40 * n, 0));
            sent += all(&mut i).len();
        }
        assert!(sent > 900, "{sent}");
    }
}
