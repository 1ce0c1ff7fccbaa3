//! The viewers' listener as a transport: TLS, HTTP/1.1 and HTTP/2, and what strangers may hold open
//! on each.

use crate::clip;
use crate::encoder::Encoder;
use crate::process::{ffmpeg, node, run};
use crate::server::{KEY, Server, brisk, fast, local, within};
use castctl::manifest::types::{RtmpsServer, TlsFiles};
use castctl::media::timeline::mark::RENDER;
use castctl::rt::http::PREFACE;
use reqwest::{Client, StatusCode, Version};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A certificate for localhost and 127.0.0.1, written to `dir`; with what a client must trust.
fn certificate(dir: &Path) -> (TlsFiles, reqwest::Certificate) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    let files = TlsFiles { certificate: dir.join("tls.crt"), key: dir.join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    (files, reqwest::Certificate::from_der(made.cert.der()).expect("a certificate"))
}

/// T01: HTTP/2 is offered in the handshake (ALPN h2), and HTTP/1.1 beside it; the same bytes on
/// both. Without TLS a proxy that knows may speak HTTP/2 too.
#[tokio::test(flavor = "multi_thread")]
async fn t01_http2_is_offered_by_alpn_and_gives_what_http1_gives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (files, trusted) = certificate(dir.path());
    let server =
        Server::with(vec![fast("main", &[KEY])], |m| m.server.viewers.tls = Some(files)).await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.at_once(&clip::looped(&clip::bbb(), 6)).await.expect("taken");
    let client = || Client::builder().add_root_certificate(trusted.clone());
    let h2 = client().build().expect("a client");
    let h1 = client().http1_only().build().expect("a client");
    let base = format!("https://{}/", server.viewers);
    // Plain HTTP is not spoken there.
    assert!(reqwest::get(server.url("/live/main/index.m3u8")).await.is_err());
    let list = format!("{base}live/main/index.m3u8");
    let entry = h2.get(&list).send().await.expect("an answer");
    assert_eq!((entry.status(), entry.version()), (StatusCode::OK, Version::HTTP_2));
    let session = entry.url().clone();
    let media = format!("video/v{RENDER}/g1-1000.m4s");
    for path in ["index.m3u8", "video/index.m3u8", &media] {
        let url = session.join(path).expect("a URL");
        let (one, two) = (h1.get(url.clone()).send().await, h2.get(url).send().await);
        let (one, two) = (one.expect("an answer"), two.expect("an answer"));
        assert_eq!((one.version(), two.version()), (Version::HTTP_11, Version::HTTP_2));
        assert_eq!((one.status(), two.status()), (StatusCode::OK, StatusCode::OK), "{path}");
        for name in ["content-type", "cache-control", "etag"] {
            assert_eq!(one.headers().get(name), two.headers().get(name), "{path} {name}");
        }
        let (one, two) = (one.bytes().await.expect("a body"), two.bytes().await.expect("a body"));
        assert_eq!(one, two, "{path}");
    }
    encoder.finish().await;
    server.stop().await;

    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let knows = Client::builder().http2_prior_knowledge().build().expect("a client");
    let answer = knows.get(server.url("/live/main/index.m3u8")).send().await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::NOT_FOUND, Version::HTTP_2));
    server.stop().await;
}

/// A preface that comes byte by byte is one, and half of one is no request.
#[tokio::test(flavor = "multi_thread")]
async fn a_preface_in_pieces_is_waited_for() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let mut socket = TcpStream::connect(server.viewers).await.expect("connected");
    socket.set_nodelay(true).expect("a socket");
    for byte in PREFACE {
        socket.write_all(&[*byte]).await.expect("sent");
        tokio::task::yield_now().await;
    }
    socket.write_all(b"\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let mut frame = [0; 9];
    within("the server's settings", socket.read_exact(&mut frame)).await.expect("a frame");
    assert_eq!(frame[3], 4, "SETTINGS come first (RFC 9113, 3.4)");
    // What begins alike and is none.
    let mut socket = TcpStream::connect(server.viewers).await.expect("connected");
    socket.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = [0; 12];
    within("an answer", socket.read_exact(&mut answer)).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 405");
    server.stop().await;
}

/// A real process with a real certificate, asked by curl; renewed under way, and without one that
/// it could use.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_speaks_tls_to_curl_and_refuses_a_bad_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let (files, _) = certificate(dir.path());
    let path = |p: &Path| p.to_str().expect("a path").to_owned();
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let upstream = format!("--upstream=http://{}", server.internal);
    let viewers = format!("--viewers={}", local());
    let (crt, key) = (path(&files.certificate), path(&files.key));
    let words = ["serve-edge", &upstream, &viewers, "--admin=127.0.0.1:0", "--tls-key", &key];
    let edge = node(&[&words[..], &["--tls-certificate", &crt]].concat(), "admin").await;
    let base = edge.line("viewers").to_owned();
    assert!(base.starts_with("https://"), "{base}");
    let url = format!("{base}/live/main/index.m3u8");
    let format = "%{http_version} %{http_code}";
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http2", "--cacert", &crt, "-o", "/dev/null", "-w", format, &url]);
    let said = run(&mut curl).await;
    assert!(["2 404", "2 503"].contains(&&*said.out), "{said:?}");
    edge.process.signal(Signal::TERM);
    assert_eq!(within("the end", edge.process.ended()).await.code, Some(0));
    let wrong = [&words[..], &["--tls-certificate", &key]].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_castctl"));
    let refused = run(command.args(wrong)).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("tls.key: it holds no certificate in PEM form"), "{refused:?}");
    server.stop().await;
}

/// Encoders come in over TLS as they do without; who does not speak it is not let in.
#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_publishes_over_rtmps() {
    let dir = tempfile::tempdir().expect("a directory");
    let (files, _) = certificate(dir.path());
    let mut addr = None;
    let server = Server::with(vec![brisk("main", &[KEY])], |m| {
        // A port that is free now: the server does not say which one it got.
        let free = std::net::TcpListener::bind(local()).expect("a port");
        let listen = free.local_addr().expect("bound");
        addr = Some(listen);
        m.server.rtmps = Some(RtmpsServer { listen, tls: files });
    })
    .await;
    let addr = addr.expect("chosen");
    let clip = format!("{}/tests/fixtures/media/bbb.flv", env!("CARGO_MANIFEST_DIR"));
    let to = format!("rtmps://{addr}/live/{KEY}");
    let ended = run(&mut ffmpeg(&format!("-re -i {clip} -c copy -f flv {to}"))).await;
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
    let list = server.url("/live/main/index.m3u8");
    let session = crate::fetched::get(list).await;
    assert_eq!(session.status(), StatusCode::FOUND);
    // Another key is told why over TLS too.
    let wrong = format!("-re -i {clip} -c copy -f flv rtmps://{addr}/live/nobodys-key");
    let ended = run(&mut ffmpeg(&wrong)).await;
    assert_ne!(ended.code, Some(0), "{}", ended.err);
    // Plain RTMP is not spoken there.
    let plain = within("an end", Encoder::connect(addr, KEY)).await;
    assert!(plain.is_err(), "no TLS, no publish");
    server.stop().await;
}
