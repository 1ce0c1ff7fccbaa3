//! GStreamer publishes; ffmpeg and GStreamer play.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::Exception;
use crate::process::{self, Process, ffmpeg};
use crate::server::{KEY, PATIENCE, Server, channel, silent};
use rustix::process::Signal;
use std::process::Command;

/// gst-launch with a pipeline.
fn gstreamer(pipeline: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-e").args(pipeline.split_whitespace());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_publishes_and_ffmpeg_plays() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let pipeline = format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! h264parse ! mux. \
         audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse \
         ! mux. flvmux name=mux streamable=true ! rtmp2sink location={}",
        server.publish_url(KEY)
    );
    let publisher = Process::start(&mut gstreamer(&pipeline));
    let session = fetched::session(&server.url("/"), "main").await;
    oracle.until(PATIENCE, |seen| seen.newest.values().all(|n| *n >= 1001)).await;
    let words = format!(
        "-xerror -i {} -t 8 -fps_mode passthrough -enc_time_base -1 -f null -",
        server.url("/live/main/index.m3u8")
    );
    let played = process::run(&mut ffmpeg(&words)).await;
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""));
    publisher.signal(Signal::INT);
    let published = publisher.ended().await;
    assert_eq!(published.code, Some(0), "{}", published.err);
    let list = fetched::media(&session, "video").await;
    assert!(list.segments.iter().all(|s| !s.gap && s.discontinuity == 0), "one clean stream");
    // The encoder's first frames of sound overlap: those that do are not listed.
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_plays_picture_and_sound() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let addr = server.url("/");
    let publish = castctl::rt::task::spawn("encoder", async move {
        let tags = clip::looped(&clip::bbb(), 60);
        // Ends with the test.
        let _ = encoder.real_time(&tags, |t| t).await;
    });
    fetched::session(&addr, "main").await;
    oracle.until(PATIENCE, |seen| seen.newest.values().all(|n| *n >= 1002)).await;
    let play = |rendition: &str, decode: &str| {
        let pipeline = format!(
            "souphttpsrc location={}live/main/s1/{rendition}/index.m3u8 ! hlsdemux ! qtdemux \
             ! {decode} ! fakesink name=eye silent=false sync=false",
            addr
        );
        Process::start(gstreamer(&pipeline).arg("-v"))
    };
    let mut video = play("video", "h264parse ! avdec_h264");
    let mut audio = play("audio", "aacparse ! avdec_aac");
    for (name, player) in [("video", &mut video), ("audio", &mut audio)] {
        // A line for each decoded buffer.
        player.prints("(eye:sink) (", 250).await;
        assert!(!player.said().contains("ERROR"), "{name}: {}", player.said());
    }
    publish.abort();
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}
