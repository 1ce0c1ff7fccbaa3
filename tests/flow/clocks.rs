//! Encoders' clocks that wrap, jump and run backwards.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::server::{KEY, PATIENCE, Server, brisk, silent};
use castctl::manifest::types::ChannelSpec;
use std::time::Duration;

const HOUR: u32 = 3_600_000;

/// Publishes 9 s in real time under the clock `stamp`; discontinuities seen, and seconds listed.
async fn under(stamp: impl Fn(u32) -> u32) -> (u64, f64) {
    let reconnect_window = Duration::from_millis(500);
    let spec = ChannelSpec { reconnect_window, ..brisk("main", &[KEY]) };
    let server = Server::start(vec![spec]).await;
    let oracle = server.oracle("main");
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), 9);
    encoder.real_time(&tags, stamp).await.expect("the server takes it all");
    encoder.finish().await;
    let session = fetched::session(&server.url("/"), "main").await;
    let mut seen = Vec::new();
    for rendition in ["video", "audio"] {
        let list = fetched::media_until(&session, rendition, |p| p.ended).await;
        let breaks: u64 = list.segments.iter().skip(1).map(|s| s.discontinuity).sum();
        let real = list.segments.iter().filter(|s| !s.gap).map(|s| s.length()).sum::<i64>();
        seen.push((breaks, real as f64 / 1e6));
    }
    assert_eq!(seen[0].0, seen[1].0, "sound and picture break together");
    oracle.until(PATIENCE, |seen| seen.newest.len() == 2).await;
    silent(&oracle.report().await);
    server.stop().await;
    seen[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_bits_wrap_unseen() {
    let (breaks, seconds) = under(|t| t.wrapping_sub(4_500)).await;
    assert_eq!(breaks, 0);
    assert!((seconds - 9.0).abs() < 0.1, "{seconds} s listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_ahead_is_a_discontinuity() {
    let (breaks, seconds) = under(|t| if t < 4_500 { t } else { t + HOUR }).await;
    assert_eq!(breaks, 1);
    assert!(seconds > 5.0, "{seconds} s listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_back_is_a_discontinuity() {
    let (breaks, seconds) = under(|t| if t < 4_500 { t + HOUR } else { t }).await;
    assert_eq!(breaks, 1);
    assert!(seconds > 5.0, "{seconds} s listed");
}

/// Ten jumps in nine seconds, forwards and back by odd amounts: ugly, and still a legal playlist.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_out_of_its_mind_breaks_nothing() {
    let leap = |t: u32| (t / 900).wrapping_mul(2_654_435_761) % (24 * HOUR);
    let (breaks, _) = under(|t| t.wrapping_add(leap(t))).await;
    assert!(breaks <= 10, "{breaks}");
}
