//! Finding out what a publish carries: packets are held until every announced track has its
//! configuration, or the probe's time is up.

use crate::base::ids::{Channel, TrackId};
use crate::base::time::{Mono, Now, Timescale};
use crate::media::codec::{self, CodecError, Details, FrameLength, opus};
use crate::media::packet::Packet;
use crate::media::track::{Codec, FrameRate, Kind, Track};
use bytes::Bytes;
use std::time::Duration;

/// How long an announced or possible track may take to bring its configuration (TIMELINE section 1:
/// `probe`), from the first packet on: an encoder that looks ahead sends its configurations long
/// before.
pub const PROBE: Duration = Duration::from_secs(1);

/// Most bytes held during the probe: a second of 100 Mbit/s. Past it the probe ends with the tracks
/// it has.
pub const PROBE_BYTES_MAX: usize = 16 << 20;

/// A configured track and what its configuration says.
#[derive(Debug, Clone)]
pub struct Known {
    /// The track as the log records it.
    pub track: Track,
    /// What players need to know.
    pub details: Details,
}

impl Known {
    /// Reads a codec configuration record. `rate` is what metadata declares for video.
    pub fn new(codec: Codec, config: Bytes, rate: Option<FrameRate>) -> Result<Known, CodecError> {
        let id = match codec.kind() {
            Kind::Video => TrackId::VIDEO,
            Kind::Audio => TrackId::AUDIO,
        };
        let rate = rate.filter(|_| codec.kind() == Kind::Video);
        let mut track = Track { id, codec, timescale: Timescale::MILLIS, rate, config };
        let details = codec::details(&track)?;
        if codec.kind() == Kind::Video {
            // Parameter sets know better than metadata.
            track.rate = details.rate;
        }
        Ok(Known { track, details })
    }
}

/// What the encoder's metadata announces.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Announced {
    /// There is, or is not, a video track.
    pub video: Option<bool>,
    /// There is, or is not, an audio track.
    pub audio: Option<bool>,
    /// Frames per second.
    pub rate: Option<FrameRate>,
    /// Declared video bits per second.
    pub video_bitrate: Option<u64>,
    /// Declared audio bits per second.
    pub audio_bitrate: Option<u64>,
}

/// What is held, in the order it came.
#[derive(Debug)]
pub enum Held {
    /// A packet.
    Packet(Packet),
    /// A track's configuration that differs from its first one, for what comes after it.
    Changed(Box<Known>),
}

/// A publish whose tracks are not known yet.
#[derive(Debug, Default)]
pub struct Probe {
    /// When it began: at the first packet.
    since: Option<Mono>,
    /// The first configuration of each kind.
    pub known: Vec<Known>,
    held: Vec<Held>,
    bytes: usize,
}

impl Probe {
    /// Sets a track's configuration. One that changes after packets of the track is held in its
    /// place among them: they were made with the one before.
    pub fn configure(&mut self, known: Known) {
        let id = known.track.id;
        let used = |h: &Held| matches!(h, Held::Packet(p) if p.track == id);
        if self.known.iter().any(|k| k.track.id == id) && self.held.iter().any(used) {
            self.bytes += known.track.config.len();
            self.held.push(Held::Changed(Box::new(known)));
            return;
        }
        self.known.retain(|k| k.track.id != id);
        self.known.push(known);
        self.known.sort_by_key(|k| k.track.id);
    }

    /// Holds a packet. The first of Opus says how long its packets are going to be.
    pub fn hold(&mut self, now: Now, p: Packet) {
        self.since.get_or_insert(now.mono);
        let new = !self.held.iter().any(|h| matches!(h, Held::Packet(h) if h.track == p.track));
        let sound = self.known.iter_mut().find(|k| k.track.id == p.track && new);
        if let Some(audio) = sound.and_then(|k| k.details.audio.as_mut())
            && let FrameLength::InPacket { usual } = &mut audio.frame
        {
            *usual = opus::ticks(&p.payload);
        }
        self.bytes += p.payload.len();
        self.held.push(Held::Packet(p));
    }

    /// When the probe's time is up: at once when there is something to begin with, after as long
    /// again when there is nothing.
    pub fn deadline(&self) -> Option<Mono> {
        let wait = if self.known.is_empty() { 2 * PROBE } else { PROBE };
        self.since.map(|s| s.plus(wait))
    }

    /// Is everything known that will be waited for?
    pub fn is_done(&self, now: Now, announced: &Announced) -> bool {
        let sent = |id| self.held.iter().any(|h| matches!(h, Held::Packet(p) if p.track == id));
        // What the configuration leaves to the first packet: how long one of Opus is, and AV1's
        // sequence header, which need not be the record's.
        let told = |k: &Known| match k.track.codec {
            Codec::Av1 | Codec::Opus => sent(k.track.id),
            Codec::H264 | Codec::Hevc | Codec::Aac => true,
        };
        let has = |kind| self.known.iter().any(|k| k.track.codec.kind() == kind && told(k));
        let settled = |said: Option<bool>, kind| said == Some(false) || has(kind);
        let all = settled(announced.video, Kind::Video) && settled(announced.audio, Kind::Audio);
        let late = self.deadline().is_some_and(|d| now.mono >= d);
        !self.known.is_empty() && (all || late || self.bytes > PROBE_BYTES_MAX)
    }

    /// The time is up and no track has a configuration: nothing can be made of this publish.
    pub fn is_hopeless(&self, now: Now) -> bool {
        let late = self.deadline().is_some_and(|d| now.mono >= d);
        self.known.is_empty() && (late || self.bytes > PROBE_BYTES_MAX)
    }

    /// A track without a configuration is recorded and nobody sees it: says so.
    pub fn warn_unconfigured(&self, channel: &Channel) {
        for kind in self.unconfigured() {
            let kind = if kind == Kind::Video { "video" } else { "audio" };
            tracing::warn!(%channel, "the encoder sends {kind} without a sequence header: it is \
                recorded, and no viewer can play it");
        }
    }

    /// Kinds of which there are packets and no configuration.
    pub fn unconfigured(&self) -> Vec<Kind> {
        let has = |id| self.known.iter().any(|k| k.track.id == id);
        let sent = |id| self.held.iter().any(|h| matches!(h, Held::Packet(p) if p.track == id));
        let kinds = [(Kind::Video, TrackId::VIDEO), (Kind::Audio, TrackId::AUDIO)];
        kinds.into_iter().filter(|(_, id)| sent(*id) && !has(*id)).map(|(kind, _)| kind).collect()
    }

    /// What was held, in order.
    pub fn take(&mut self) -> Vec<Held> {
        self.bytes = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;

    #[test]
    fn a_probe_holds_so_much_and_then_ends() {
        let now = Now { mono: Mono(0), wall: Wall(0) };
        let packet = |bytes: usize| {
            let payload = Bytes::from(vec![0; bytes]);
            Packet { track: TrackId::VIDEO, dts: 0, cts: 0, key: true, payload }
        };
        let config = Bytes::from_static(&[0x12, 0x10]);
        let sound = Known::new(Codec::Aac, config, None).expect("a configuration");
        let announced = Announced::default();
        for (extra, over) in [(0, false), (1, true)] {
            let mut probe = Probe::default();
            probe.hold(now, packet(PROBE_BYTES_MAX - 1));
            probe.hold(now, packet(1 + extra));
            assert_eq!(probe.is_hopeless(now), over, "without a configuration");
            probe.configure(sound.clone());
            assert_eq!(probe.is_done(now, &announced), over, "with one of two");
            assert!(!probe.is_hopeless(now));
        }
    }

    #[test]
    fn configurations_that_are_held_count_too() {
        let (mut probe, now) = (Probe::default(), Now::default());
        let known = |n: u8| {
            let config = Bytes::from(vec![0x12, 0x10, n]);
            Known::new(Codec::Aac, config, None).expect("a configuration")
        };
        let payload = Bytes::from(vec![0; PROBE_BYTES_MAX - 2]);
        probe.configure(known(0));
        probe.hold(now, Packet { track: TrackId::AUDIO, dts: 0, cts: 0, key: true, payload });
        assert!(!probe.is_done(now, &Announced::default()));
        probe.configure(known(1));
        assert!(probe.is_done(now, &Announced::default()));
    }

    /// PART-TARGET is made of it. However long the encoder takes to send it.
    #[test]
    fn packets_that_say_how_long_they_are_are_waited_for() {
        let (mut probe, now) = (Probe::default(), Now::default());
        let announced = Announced { video: Some(false), ..Announced::default() };
        let head = opus::default_head(2).expect("a head");
        probe.configure(Known::new(Codec::Opus, head, None).expect("a configuration"));
        assert!(!probe.is_done(now, &announced));
        assert_eq!(probe.deadline(), None);
        // Two frames of 60 ms.
        let payload = Bytes::from_static(&[0x19, 1]);
        probe.hold(now, Packet { track: TrackId::AUDIO, dts: 0, cts: 0, key: true, payload });
        assert!(probe.is_done(now, &announced));
        let length = probe.known[0].details.frame_length();
        assert_eq!(length, Some(FrameLength::InPacket { usual: 5_760 }));
    }

    #[test]
    fn a_configuration_that_changes_stays_behind_the_packets_before_it() {
        let (mut probe, now) = (Probe::default(), Now::default());
        let known = |config: &'static [u8]| {
            Known::new(Codec::Aac, Bytes::from_static(config), None).expect("a configuration")
        };
        let packet = || Packet {
            track: TrackId::AUDIO,
            dts: 0,
            cts: 0,
            key: true,
            payload: Bytes::from_static(&[1]),
        };
        let (stereo, mono) = (known(&[0x12, 0x10]), known(&[0x12, 0x08]));
        probe.configure(mono.clone());
        probe.configure(stereo.clone());
        probe.hold(now, packet());
        probe.configure(mono.clone());
        probe.hold(now, packet());
        let tracks: Vec<_> = probe.known.iter().map(|k| &k.track).collect();
        assert_eq!(tracks, [&stereo.track], "before any packet the newest counts");
        let held = probe.take();
        let [Held::Packet(_), Held::Changed(k), Held::Packet(_)] = &held[..] else {
            panic!("{held:?}")
        };
        assert_eq!(k.track, mono.track);
    }

    #[test]
    fn sound_is_the_same_whatever_the_picture_declares() {
        // AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): AAC-LC, 44.1 kHz, stereo.
        let known = |rate| {
            let config = Bytes::from_static(&[0x12, 0x10]);
            Known::new(Codec::Aac, config, rate).expect("a configuration").track
        };
        assert_eq!(known(None), known(FrameRate::new(30, 1)));
    }
}
