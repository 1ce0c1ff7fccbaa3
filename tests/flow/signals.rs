//! The process and its surroundings: signals, exit codes, what is wrong before anything is bound.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched::get;
use crate::process::{self, Up, castctl_up};
use crate::server::{local, within};
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use reqwest::StatusCode;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A viewer in the middle of a request: holds a drain open.
async fn slow_viewer(up: &Up) -> TcpStream {
    let mut socket = TcpStream::connect(up.ports()[1]).await.expect("connected");
    socket.write_all(b"GET /live/main/index.m3u8 HTTP/1.1\r\nHost: ").await.expect("written");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_everything_in_good_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let up = Up::start(dir.path(), None, [local(); 3]).await;
    let ready = format!("{}/readyz", up.line("admin"));
    let ready: reqwest::Url = ready.parse().expect("a URL");
    within("readiness", async {
        while get(ready.clone()).await.status() != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut encoder = Encoder::connect(up.ports()[0], up.line("key")).await.expect("accepted");
    encoder.real_time(&clip::looped(&clip::bbb(), 3), |t| t).await.expect("taken");
    let viewer = slow_viewer(&up).await;
    up.process.signal(Signal::TERM);
    let told = within("the encoder's end", encoder.over()).await.expect("a reason").to_string();
    assert!(told.contains("the server is shutting down; connect again"), "{told}");
    let answer = get(ready).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = answer.text().await.expect("text");
    assert!(text.contains("draining"), "{text}");
    drop(viewer);
    let ended = up.process.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let logs = Logs::open(dir.path(), Options::default()).expect("the data directory");
    let logs = logs.list().await.expect("logs");
    assert!(logs.len() == 1 && logs.iter().all(|l| l.sealed), "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_forces_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut up = Up::start(dir.path(), None, [local(); 3]).await;
    let _viewer = slow_viewer(&up).await;
    up.process.signal(Signal::INT);
    up.process.says("draining; a second signal forces the end").await;
    up.process.signal(Signal::TERM);
    let ended = within("the forced end", up.process.ended()).await;
    assert_eq!(ended.code, Some(4), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_is_bound() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let up = Up::start(&data, None, [local(); 3]).await;
    let [rtmp, viewers, admin] = up.ports();
    // A second server on the same data.
    let mut second = castctl_up(&data);
    second.args(["--rtmp", "127.0.0.1:0", "--viewers", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let ended = process::run(&mut second).await;
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(ended.err.contains("another castctl runs on the data directory"), "{}", ended.err);
    assert!(ended.err.contains("hint: stop it, or name another directory"), "{}", ended.err);
    // A port that is taken.
    for (flag, taken) in [("--rtmp", rtmp), ("--viewers", viewers), ("--admin", admin)] {
        let mut command = castctl_up(&dir.path().join("other"));
        for other in ["--rtmp", "--viewers", "--admin"] {
            let addr = if other == flag { taken } else { local() };
            command.arg(other).arg(addr.to_string());
        }
        let ended = process::run(&mut command).await;
        assert_eq!(ended.code, Some(3), "{flag}: {}", ended.err);
        assert!(ended.err.contains(&taken.to_string()), "{flag}: {}", ended.err);
        assert!(ended.out.is_empty(), "{flag}: nothing is announced: {}", ended.out);
    }
    // A manifest that is wrong, on ports that are taken: the manifest is what is told.
    let manifest = dir.path().join("castctl.yaml");
    let text = format!(
        "channels:\n  - name: main\n    segmnt: 2s\nserver:\n  rtmp:\n    listen: {rtmp}\n"
    );
    std::fs::write(&manifest, text).expect("a file");
    let ended = process::run(castctl_up(&data).arg("--manifest").arg(&manifest)).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let place = format!("{}:3:5", manifest.display());
    assert!(ended.err.contains(&place) && ended.err.contains("segmnt"), "{}", ended.err);
    let ended = process::run(castctl_up(&data).args(["--log-format", "loud"])).await;
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    up.process.signal(Signal::TERM);
    assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
}
