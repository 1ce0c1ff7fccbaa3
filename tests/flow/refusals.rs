//! Encoders that are refused or cut off, as a person sees it: the reason on the encoder's own
//! terminal, and in the server's log.

use crate::clip;
use crate::encoder::Encoder;
use crate::process::{self, Up, ffmpeg};
use crate::server::{local, within};
use castctl::ingest::probe::PROBE_BYTES_MAX;
use castctl::media::flv::file::{Tag, TagKind};
use castctl::media::flv::write;
use castctl::media::track::Codec;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const MANIFEST: &str = "\
channels:
  - name: main
    keys: [main-key-1]
  - name: second
    keys: [second-key]
server:
  rtmp: { idleTimeout: 4s }
";

struct Site {
    up: Up,
    rtmp: SocketAddr,
    _dir: TempDir,
}

async fn site() -> Site {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = write(dir.path(), MANIFEST);
    let up = Up::start(&dir.path().join("data"), Some(&manifest), [local(); 3]).await;
    let rtmp = up.ports()[0];
    Site { up, rtmp, _dir: dir }
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("castctl.yaml");
    std::fs::write(&path, text).expect("a file");
    path
}

/// Publishes with ffmpeg; its terminal must show `reason`, and so must the server's log.
async fn shown(site: &mut Site, words: &str, path: &str, reason: &str) {
    let fixture = clip::fixture();
    let words = format!("-re -i {} {words} -f flv rtmp://{}/{path}", fixture.display(), site.rtmp);
    let ended = process::run(&mut ffmpeg(&words)).await;
    assert_ne!(ended.code, Some(0), "{path}: ffmpeg thinks that all went well");
    assert!(ended.err.contains(reason), "{path}: ffmpeg shows:\n{}", ended.err);
    site.up.process.says(reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_shows_why_it_is_refused() {
    let mut site = site().await;
    shown(&mut site, "-c copy", "live/wrong-key-1", "unknown stream key").await;
    shown(&mut site, "-c copy", "stream/main-key-1", "unknown application").await;
    let mp3 = "this stream can't be carried: MP3 audio";
    shown(&mut site, "-c:v copy -c:a libmp3lame", "live/main-key-1", mp3).await;
}

/// Sends `tags` until the server hangs up; its reason, which its log must show as well.
async fn cut_off(site: &mut Site, tags: &[Tag], reason: &str) {
    let mut encoder = Encoder::connect(site.rtmp, "second-key").await.expect("accepted");
    let sent = encoder.at_once(tags).await;
    let over = match sent {
        Err(e) => Some(e),
        Ok(()) => within(reason, encoder.over()).await,
    };
    let over = over.expect("a reason").to_string();
    assert!(over.contains(reason), "wanted {reason:?}: {over}");
    site.up.process.says(reason).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_is_told_what_cannot_be_carried() {
    let mut site = site().await;
    let video = |body: &[u8]| Tag {
        kind: TagKind::Video,
        timestamp: 0,
        body: bytes::Bytes::copy_from_slice(body),
    };
    // Enhanced RTMP: sequence starts of vp09, and of hvc1 with a record that is none.
    let vp9 = [&[0x90][..], b"vp09", &[1; 8]].concat();
    cut_off(&mut site, &[video(&vp9)], "VP9 (Enhanced RTMP vp09)").await;
    let hevc = [&[0x90][..], b"hvc1", &[1; 23]].concat();
    cut_off(&mut site, &[video(&hevc)], "the codec configuration can't be used: hvcC").await;
    cut_off(&mut site, &[video(&[0x12, 0, 0])], "Sorenson H.263 video").await;
    let broken = write::video_config_body(Codec::H264, &[1, 100, 0, 31, 0xff, 0xe1, 0, 9, 0x67]);
    cut_off(&mut site, &[video(&broken)], "the codec configuration can't be used").await;
    // Pictures and sound without their configuration.
    let bare = clip::looped(&clip::bbb(), 1);
    let bare: Vec<Tag> = bare.into_iter().filter(|t| t.body.get(1) != Some(&0)).collect();
    cut_off(&mut site, &bare, "no audio or video configuration arrived").await;
    // More of it than is held while its configuration is awaited.
    let picture = [&[0x17, 1, 0, 0, 0][..], &vec![0; PROBE_BYTES_MAX / 3]].concat();
    let pictures: Vec<Tag> = (0..4).map(|_| video(&picture)).collect();
    cut_off(&mut site, &pictures, "no audio or video configuration arrived").await;
    // Nothing at all.
    let idle = "no message from the peer within the idle time-out";
    let mut encoder = Encoder::connect(site.rtmp, "second-key").await.expect("accepted");
    within(idle, encoder.over()).await;
    site.up.process.says(idle).await;
}

/// A peer that connects and says nothing, or speaks another protocol.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_shown_the_door() {
    let mut site = site().await;
    let mut silent = TcpStream::connect(site.rtmp).await.expect("connected");
    let mut web = TcpStream::connect(site.rtmp).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut web, request).await.expect("written");
    let mut answer = Vec::new();
    let _ = within("the end of a web request", web.read_to_end(&mut answer)).await;
    site.up.process.says("connection over").await;
    let _ = within("the end of silence", silent.read_to_end(&mut answer)).await;
    site.up.process.says("no RTMP handshake within 10 s").await;
    assert!(answer.is_empty(), "nothing is said before the peer speaks");
}
