//! What is published: an FLV file held in memory and looped with continuous timestamps. Without a
//! file, one is made with ffmpeg: 720p30 noise at the wanted bit rate, a key frame every 2 s, AAC.

use crate::bench::error::BenchError;
use crate::media::flv::file::{FlvReader, TagKind};
use bytes::{BufMut, Bytes, BytesMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds of a made clip: ten GOPs, long enough that bit rate control has settled.
const MADE_SECONDS: u32 = 20;

/// Bit rate of the made clip's sound.
const AUDIO_BITS: u64 = 128_000;

/// Lowest bit rate that leaves the made clip's picture some.
const BITS_MIN: u64 = 256_000;

/// Identifies our SEI message (user_data_unregistered, H.264 D.2.7); without zero bytes, so that no
/// emulation prevention is needed.
const STAMP_ID: &[u8; 16] = b"castctl-bench-01";

/// Digits of a stamp's number.
const STAMP_DIGITS: usize = 8;

/// One message of the clip.
#[derive(Debug, Clone)]
pub struct Message {
    /// Audio, video or script data.
    pub kind: TagKind,
    /// Milliseconds from the clip's first message.
    pub timestamp: u32,
    /// The tag's body.
    pub body: Bytes,
    /// A configuration or script data: sent in the first round only.
    pub once: bool,
    /// A key frame of video.
    pub key: bool,
}

/// A clip in memory.
#[derive(Debug)]
pub struct Clip {
    messages: Vec<Message>,
    /// Milliseconds after which the next round begins.
    length: u32,
}

impl Clip {
    /// Reads an FLV file of H.264 with or without AAC.
    ///
    /// # Errors
    /// No such file, no FLV, or no two pictures in it.
    pub fn read(path: &Path) -> Result<Clip, BenchError> {
        let bytes = std::fs::read(path).map_err(BenchError::io("read", path))?;
        Clip::parse(path, bytes.into())
    }

    /// A clip from a file's bytes; `path` is for messages.
    fn parse(path: &Path, bytes: Bytes) -> Result<Clip, BenchError> {
        let clip_error = |source| BenchError::Clip { path: path.into(), source };
        let unfit = |why| BenchError::UnfitClip { path: path.into(), why };
        let (mut reader, mut messages) = (FlvReader::from_bytes(bytes), Vec::new());
        while let Some(tag) = reader.next_tag().map_err(clip_error)? {
            let (once, key) = match (tag.kind, &tag.body[..]) {
                (TagKind::Script, _) => (true, false),
                (TagKind::Video, [head, kind, ..]) => (*kind == 0, head >> 4 == 1 && *kind == 1),
                (TagKind::Audio, [head, kind, ..]) => (head >> 4 == 10 && *kind == 0, false),
                _ => continue,
            };
            // An AVC end of sequence ends nothing here: the clip goes on from its beginning.
            if tag.kind == TagKind::Video && tag.body[1] == 2 {
                continue;
            }
            let (kind, timestamp, body) = (tag.kind, tag.timestamp, tag.body);
            messages.push(Message { kind, timestamp, body, once, key });
        }
        let first = messages.iter().find(|m| !m.once).map_or(0, |m| m.timestamp);
        for m in &mut messages {
            m.timestamp = m.timestamp.saturating_sub(first);
        }
        let pictures: Vec<u32> = messages
            .iter()
            .filter(|m| m.kind == TagKind::Video && !m.once)
            .map(|m| m.timestamp)
            .collect();
        let [begin, .., end] = pictures[..] else {
            return Err(unfit("has fewer than two pictures"));
        };
        let is_key = messages.iter().find(|m| m.kind == TagKind::Video && !m.once);
        if !is_key.is_some_and(|m| m.key) {
            return Err(unfit("does not begin with a key frame"));
        }
        let frame = end.saturating_sub(begin) / (pictures.len() as u32 - 1);
        let last = messages.last().map_or(0, |m| m.timestamp).max(end + frame.max(1));
        Ok(Clip { messages, length: last })
    }

    /// Bits per second over all rounds.
    pub fn bits_per_second(&self) -> u64 {
        let bytes: u64 =
            self.messages.iter().filter(|m| !m.once).map(|m| m.body.len() as u64).sum();
        bytes * 8000 / u64::from(self.length.max(1))
    }

    /// The clip from its beginning, for ever.
    pub fn rounds(&self) -> Rounds<'_> {
        Rounds { clip: self, next: 0, offset: 0 }
    }
}

/// A position in the endless clip.
#[derive(Debug)]
pub struct Rounds<'a> {
    clip: &'a Clip,
    next: usize,
    /// Milliseconds at which this round began; wraps as RTMP's timestamps do.
    offset: u32,
}

impl<'a> Rounds<'a> {
    /// The next message and its time in milliseconds since the beginning.
    pub fn step(&mut self) -> (&'a Message, u32) {
        loop {
            let Some(m) = self.clip.messages.get(self.next) else {
                self.next = 0;
                self.offset = self.offset.wrapping_add(self.clip.length);
                continue;
            };
            self.next += 1;
            if !m.once || self.offset == 0 {
                return (m, self.offset.wrapping_add(m.timestamp));
            }
        }
    }
}

/// The body of a video message with a number in it, as an SEI message in front of its NAL units:
/// every server carries it along, whatever it makes of the rest. NAL lengths must have 4 bytes,
/// which is what encoders use.
pub fn stamp(body: &[u8], number: u32) -> Bytes {
    // Codec and packet type and composition time.
    let (head, units) = body.split_at(body.len().min(5));
    let payload = (STAMP_ID.len() + STAMP_DIGITS) as u8;
    let mut out = BytesMut::with_capacity(body.len() + 64);
    out.put_slice(head);
    out.put_u32(3 + u32::from(payload) + 1);
    out.put_slice(&[0x06, 0x05, payload]);
    out.put_slice(STAMP_ID);
    out.put_slice(format!("{number:08x}").as_bytes());
    out.put_u8(0x80);
    out.put_slice(units);
    out.freeze()
}

/// The numbers in media of any container that keeps NAL units whole, in their order.
pub fn stamps(media: &[u8]) -> Vec<u32> {
    let (mut found, mut rest) = (Vec::new(), media);
    while let Some(at) = rest.windows(STAMP_ID.len()).position(|w| w == STAMP_ID) {
        rest = &rest[at + STAMP_ID.len()..];
        let digits = rest.get(..STAMP_DIGITS).and_then(|d| std::str::from_utf8(d).ok());
        found.extend(digits.and_then(|d| u32::from_str_radix(d, 16).ok()));
    }
    found
}

/// The made clip of this bit rate, made now if `dir` has none.
///
/// # Errors
/// ffmpeg is missing or fails, or the bit rate is below 256 kbit/s.
pub fn made(dir: &Path, bits: u64) -> Result<PathBuf, BenchError> {
    let path = dir.join(format!("clip-{}kbps.flv", bits / 1000));
    if path.exists() {
        return Ok(path);
    }
    if bits < BITS_MIN {
        return Err(BenchError::UnfitClip {
            path,
            why: "would have less than 256 kbit/s: there would be no picture",
        });
    }
    std::fs::create_dir_all(dir).map_err(BenchError::io("make", dir))?;
    // Renamed when it is whole: two commands may make it at once.
    let part = dir.join(format!("clip-{}.{}.part", bits / 1000, std::process::id()));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(arguments(bits)).arg(&part).stdin(Stdio::null());
    let done = ffmpeg.output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => BenchError::Missing {
            what: "ffmpeg, which makes the clip,",
            path: "ffmpeg".into(),
            mend: "apt-get install ffmpeg, or name a clip with --clip",
        },
        _ => BenchError::io("run", "ffmpeg")(e),
    })?;
    if !done.status.success() {
        return Err(BenchError::Server {
            name: "ffmpeg".into(),
            why: format!("could not make the clip: {}", done.status),
            said: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        });
    }
    std::fs::rename(&part, &path).map_err(BenchError::io("rename", part))?;
    Ok(path)
}

/// Constant bit rate as live encoders send it: a small VBV, no B-frames, a fixed GOP.
fn arguments(bits: u64) -> Vec<String> {
    let video = bits.saturating_sub(AUDIO_BITS) / 1000;
    let line = format!(
        "-v error -y -f lavfi -i testsrc2=size=1280x720:rate=30 \
         -f lavfi -i sine=frequency=440:sample_rate=48000 -vf noise=alls=12:allf=t \
         -c:v libx264 -preset veryfast -pix_fmt yuv420p -b:v {video}k -minrate {video}k \
         -maxrate {video}k -bufsize {video}k -x264-params nal-hrd=cbr:force-cfr=1 -g 60 \
         -keyint_min 60 -sc_threshold 0 -bf 0 -c:a aac -b:a {AUDIO_BITS} -ac 2 \
         -t {MADE_SECONDS} -f flv"
    );
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::flv::file::FlvWriter;

    #[test]
    fn a_picture_needs_some_bits() {
        let dir = tempfile::tempdir().expect("a directory");
        let refused = made(dir.path(), BITS_MIN - 1).expect_err("too few").to_string();
        let said = "would have less than 256 kbit/s: there would be no picture";
        assert!(refused.ends_with(said), "{refused}");
    }

    fn file() -> Bytes {
        let mut w = FlvWriter::new(true, true);
        for (kind, at, body) in [
            (TagKind::Script, 0, &b"meta"[..]),
            (TagKind::Video, 0, &[0x17, 0, 0, 0, 0, 1][..]),
            (TagKind::Audio, 0, &[0xaf, 0, 0x12, 0x10][..]),
            (TagKind::Video, 100, &[0x17, 1, 0, 0, 0, 7][..]),
            (TagKind::Audio, 105, &[0xaf, 1, 9][..]),
            (TagKind::Video, 140, &[0x27, 1, 0, 0, 0, 8][..]),
            (TagKind::Video, 140, &[0x17, 2, 0, 0, 0][..]),
        ] {
            w.tag(kind, at, body).expect("small");
        }
        w.take()
    }

    #[test]
    fn a_clip_loops_with_continuous_times_and_says_what_it_is_once() {
        let clip = Clip::parse(Path::new("x.flv"), file()).expect("a clip");
        let mut rounds = clip.rounds();
        let mut next = || {
            let (m, at) = rounds.step();
            (m.kind, m.once, m.key, at)
        };
        use TagKind::{Audio, Script, Video};
        for expected in [
            (Script, true, false, 0),
            (Video, true, false, 0),
            (Audio, true, false, 0),
            (Video, false, true, 0),
            (Audio, false, false, 5),
            (Video, false, false, 40),
            (Video, false, true, 80),
            (Audio, false, false, 85),
            (Video, false, false, 120),
            (Video, false, true, 160),
        ] {
            assert_eq!(next(), expected);
        }
    }

    #[test]
    fn clips_that_cannot_be_measured_with_are_refused() {
        let mut w = FlvWriter::new(false, true);
        w.tag(TagKind::Video, 0, &[0x27, 1, 0, 0, 0, 8]).expect("small");
        w.tag(TagKind::Video, 33, &[0x27, 1, 0, 0, 0, 8]).expect("small");
        let error = Clip::parse(Path::new("x.flv"), w.take()).expect_err("no key frame");
        assert_eq!(error.to_string(), "clip x.flv does not begin with a key frame");
        let empty = FlvWriter::new(true, true).take();
        let error = Clip::parse(Path::new("x.flv"), empty).expect_err("empty");
        assert_eq!(error.to_string(), "clip x.flv has fewer than two pictures");
        assert!(Clip::parse(Path::new("x.flv"), Bytes::from_static(b"MP4")).is_err());
    }

    #[test]
    fn stamps_are_found_again_in_their_order() {
        let body = [0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88];
        let one = stamp(&body, 0x1234_abcd);
        assert_eq!(one[..5], body[..5]);
        assert_eq!(one[5..9], 28u32.to_be_bytes());
        assert_eq!(one[9 + 28..], body[5..]);
        let media = [&one[..], b"mdat", &stamp(&body, 7)].concat();
        assert_eq!(stamps(&media), [0x1234_abcd, 7]);
        assert_eq!(stamps(&media[..media.len() - 20]), [0x1234_abcd]);
    }
}
