//! Another node's logs as they are read here: over a real socket, from nodes that answer well,
//! badly or not at all.

use crate::base::error::Kind;
use crate::base::ids::Generation;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::stream::{StreamHeader, put_moved, put_reach, put_sealed};
use crate::log::format::version::{Range as Versions, Wrote};
use crate::log::id::LogId;
use crate::log::remote::wire::{Ask, HEARTBEAT, SILENCE_MAX, parse};
use crate::log::remote::{ANSWER_MAX, INDEX_MAX, KNOWN_MAX, Options, REASON_MAX, Remote};
use crate::log::subscription::From;
use crate::media::packet::Packet;
use crate::rt::clock::Clock;
use crate::rt::task;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

const START: Position = Position { extent: 0, offset: 32 };

fn id() -> LogId {
    "main/s1/g7".parse().expect("a log")
}

fn header(position: Position) -> BytesMut {
    let (wrote, reads) = (Wrote::TODAY, Versions::TODAY);
    let header = StreamHeader::answer(wrote, reads, Generation(7), position).expect("today");
    BytesMut::from(&header.encode()[..])
}

/// `n` packets' records.
fn records(n: u8) -> BytesMut {
    let mut out = BytesMut::new();
    for i in 0..n {
        let packet = Packet {
            track: crate::base::ids::TrackId::VIDEO,
            dts: i.into(),
            cts: 0,
            key: false,
            payload: Bytes::from(vec![i; 100]),
        };
        crate::log::format::record::encode_packet(&mut out, &packet, None).expect("it fits");
    }
    out
}

type Script = Arc<Mutex<Vec<Response>>>;

/// What a node was asked, in order.
type Asked = Arc<Mutex<Vec<Ask>>>;

/// A node that gives these answers, one after another, and then none.
async fn upstream(answers: Vec<Response>) -> (Remote, Asked) {
    patient(answers, Options::default()).await
}

/// ... and who reads it, with options.
async fn patient(mut answers: Vec<Response>, options: Options) -> (Remote, Asked) {
    answers.reverse();
    let (script, asked) = (Script::new(Mutex::new(answers)), Asked::default());
    async fn next(State((script, asked)): State<(Script, Asked)>, request: Request) -> Response {
        let uri = request.uri();
        let (_, ask) = parse(uri.path(), uri.query().unwrap_or("")).expect("a request of ours");
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
        let answer = script.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let app = Router::new().fallback(next).with_state((script, Arc::clone(&asked)));
    task::spawn("upstream", async move { axum::serve(listener, app).await });
    let remote = Remote::new(&format!("http://{addr}"), options, Clock::system());
    (remote.expect("an address"), asked)
}

fn ok(body: impl Into<Body>) -> Response {
    body.into().into_response()
}

fn said(result: Result<impl Sized, LogError>) -> (Kind, String) {
    let e = result.err().expect("an error");
    let text = e.to_string();
    let text = text.split_once("/g7/").map_or(text.clone(), |(_, rest)| rest.to_owned());
    (e.kind(), text)
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_taken_up_where_it_broke() {
    let next = Position { extent: 1, offset: 32 };
    let (all, half) = (records(4), records(2));
    let mut first = header(START);
    put_reach(&mut first, Position { extent: 1, offset: 9_999 });
    first.extend_from_slice(&half);
    // The third record is cut off.
    first.extend_from_slice(&all[half.len()..half.len() + 20]);
    let middle = Position { offset: START.offset + half.len() as u64, ..START };
    let mut second = header(middle);
    second.extend_from_slice(&all[half.len()..]);
    put_moved(&mut second, next);
    second.extend_from_slice(&half);
    put_sealed(&mut second);
    let (remote, asked) = upstream(vec![ok(first.freeze()), ok(second.freeze())]).await;
    let mut log = remote.subscribe(&id(), From::Position(START)).await.expect("subscribed");
    let mut got = BytesMut::new();
    while let Some(batch) = log.next().await.expect("records") {
        got.extend_from_slice(batch.bytes());
    }
    assert_eq!(got, [&all[..], &half[..]].concat());
    assert_eq!(log.position(), Position { offset: 32 + half.len() as u64, ..next });
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(asked, [Ask::Tail { from: START }, Ask::Tail { from: middle }]);
}

#[tokio::test]
async fn one_answer_serves_all_who_follow_a_log() {
    let mut body = header(START);
    body.extend_from_slice(&records(3));
    put_sealed(&mut body);
    let (remote, asked) = upstream(vec![ok(body.freeze())]).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(remote.subscribe(&id(), From::Position(START)).await.expect("subscribed"));
    }
    for log in &mut readers {
        let mut n = 0;
        while let Some(batch) = log.next().await.expect("records") {
            n += batch.records().count();
        }
        assert_eq!(n, 3);
    }
    assert_eq!(asked.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
}

/// A reader of what is not in memory any more asks for it; the node says where it goes on.
#[tokio::test]
async fn what_is_not_in_memory_is_asked_for_a_piece_at_a_time() {
    let late = Position { extent: 4, offset: 32 };
    let mut tail = header(late);
    put_reach(&mut tail, late);
    tail.extend_from_slice(&records(1));
    put_sealed(&mut tail);
    let mut piece = header(START);
    piece.extend_from_slice(&records(2));
    let end = Position { offset: 32 + records(2).len() as u64, ..START };
    let mut moved = header(end);
    put_moved(&mut moved, late);
    let script = [tail, piece, moved].map(|b| ok(b.freeze()));
    let (remote, asked) = upstream(script.into()).await;
    let mut newest = remote.subscribe(&id(), From::Position(late)).await.expect("subscribed");
    newest.next().await.expect("records").expect("one batch");
    let mut log = remote.subscribe(&id(), From::Position(START)).await.expect("subscribed");
    let mut at = Vec::new();
    while let Some(batch) = log.next().await.expect("records") {
        at.push((batch.first(), batch.records().count()));
    }
    assert_eq!(at, [(START, 2), (late, 1)]);
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(asked[1..], [Ask::Piece { from: START }, Ask::Piece { from: end }]);
}

#[tokio::test]
async fn what_a_node_refuses_is_said_as_it_said_it() {
    let (remote, _) = upstream(vec![
        (StatusCode::NOT_FOUND, "nothing").into_response(),
        (StatusCode::RANGE_NOT_SATISFIABLE, "not so far").into_response(),
        (StatusCode::NOT_ACCEPTABLE, "no common version").into_response(),
        (StatusCode::SERVICE_UNAVAILABLE, "x".repeat(2 * REASON_MAX)).into_response(),
        ok("no stream at all, and longer than the header of one"),
        ok(header(START).freeze()),
    ])
    .await;
    let (id, range) = (id(), START..Position { offset: 99, ..START });
    assert_eq!(said(remote.index(&id).await).0, Kind::NotFound);
    let no = remote.read(&id, range.clone()).await;
    assert!(matches!(no, Err(LogError::NoSuchPosition { .. })), "{no:?}");
    let (kind, why) = said(remote.index(&id).await);
    assert_eq!((kind, &*why), (Kind::Invalid, "index: 406 Not Acceptable: no common version"));
    let (kind, why) = said(remote.index(&id).await);
    let reason = "x".repeat(REASON_MAX);
    assert_eq!(kind, Kind::Unavailable);
    assert_eq!(why, format!("index: 503 Service Unavailable: {reason}"));
    let (kind, why) = said(remote.index(&id).await);
    assert_eq!((kind, &*why), (Kind::DataLoss, "index: this is not a stream of a castctl log"));
    let (kind, why) = said(remote.read(&id, range).await);
    let want = "records?from=0:32&to=0:99: asked for 0:32 to 0:99, got 0:32 to 0:32";
    assert_eq!((kind, &*why), (Kind::DataLoss, want));
    for bad in ["", "localhost:8090", "ftp://host", "http://"] {
        let no = Remote::new(bad, Options::default(), Clock::system()).expect_err("no address");
        assert_eq!(no.kind(), Kind::Invalid, "{bad}");
        assert!(no.to_string().contains("write http://HOST:PORT"), "{no}");
    }
}

#[tokio::test]
async fn an_index_beyond_its_limit_is_refused() {
    let piece = Bytes::from(vec![0; 1 << 20]);
    let pieces = (0..=INDEX_MAX / piece.len()).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
    let endless = Body::from_stream(futures_util::stream::iter(pieces));
    let (remote, _) = upstream(vec![ok(endless)]).await;
    let (kind, why) = said(remote.index(&id()).await);
    assert_eq!(kind, Kind::Exhausted);
    assert_eq!(why, format!("index: the answer is longer than {INDEX_MAX} bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_given_up() {
    let (remote, _) = upstream(Vec::new()).await;
    let clock = Clock::system();
    let begun = clock.now().mono;
    let (kind, why) = said(remote.index(&id()).await);
    assert_eq!(kind, Kind::Unavailable);
    assert!(why.contains("no answer in time"), "{why}");
    assert!(clock.now().mono.since(begun) <= 2 * ANSWER_MAX);
}

#[tokio::test]
async fn a_sender_that_falls_silent_is_asked_again() {
    let mut body = header(START);
    put_reach(&mut body, START);
    let silent = futures_util::stream::unfold(Some(body.freeze()), |first| async move {
        match first {
            Some(first) => Some((Ok::<_, std::io::Error>(first), None)),
            None => std::future::pending().await,
        }
    });
    let mut whole = header(START);
    whole.extend_from_slice(&records(1));
    put_sealed(&mut whole);
    let script = vec![ok(Body::from_stream(silent)), ok(whole.freeze())];
    assert_eq!(Options::default().silence, SILENCE_MAX);
    assert!(SILENCE_MAX >= 5 * HEARTBEAT, "a sender speaks in time");
    let silence = std::time::Duration::from_millis(50);
    let (remote, asked) = patient(script, Options { silence, ..Options::default() }).await;
    let mut log = remote.subscribe(&id(), From::Position(START)).await.expect("subscribed");
    assert!(log.next().await.expect("records").is_some());
    assert_eq!(asked.lock().unwrap_or_else(PoisonError::into_inner).len(), 2);
}

#[tokio::test]
async fn a_log_is_asked_once_who_may_read_it() {
    let answers = (0..2).map(|_| ok(header(START).freeze())).collect();
    let (remote, asked) = upstream(answers).await;
    let id = id();
    let wrote = || remote.wrote(&id);
    assert_eq!(wrote().await.expect("an answer"), Wrote::TODAY);
    assert_eq!(wrote().await.expect("remembered"), Wrote::TODAY);
    {
        let mut known = crate::log::shared::lock(&remote.inner.wrote);
        for n in 0..KNOWN_MAX as u64 {
            known.insert(LogId { generation: Generation(n), ..id.clone() }, Wrote::TODAY);
        }
        known.remove(&id);
        known.insert(LogId { generation: Generation(u64::MAX), ..id.clone() }, Wrote::TODAY);
    }
    assert_eq!(wrote().await.expect("asked anew"), Wrote::TODAY);
    assert_eq!(crate::log::shared::lock(&remote.inner.wrote).len(), 1, "the others are forgotten");
    assert_eq!(asked.lock().unwrap_or_else(PoisonError::into_inner).len(), 2);
}
