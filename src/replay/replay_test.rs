//! Replays of files and logs to a server made of the RTMP room's server session.

use crate::base::error::Kind;
use crate::log::fixture::{BBB, packets, write_log};
use crate::media::flv::body::{AudioBody, VideoBody, audio, video};
use crate::media::flv::file::{FlvReader, FlvWriter, TagKind};
use crate::replay::error::{PublishError, SourceError};
use crate::replay::message::{Message, MessageKind, Timed};
use crate::replay::play::{PlayError, Progress, Speed, play};
use crate::replay::publish::{CONNECT_TIMEOUT, FINISH_TIMEOUT, Publisher, STALL_TIMEOUT};
use crate::replay::source::{Rounds, Source};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::listen::unanswered;
use crate::rt::task::spawn;
use crate::rtmp::error::SessionError;
use crate::rtmp::event::{Event, Output};
use crate::rtmp::server::{ServerConfig, ServerSession};
use crate::rtmp::url::RtmpUrl;
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What the server does with a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Take,
    Refuse,
    /// Reads nothing more once it has consented.
    Deaf,
    /// Closes the socket after this many messages.
    Hangs(usize),
}

type Seen = JoinHandle<Option<Vec<Event>>>;

/// A server for one connection; gives the events it saw.
async fn server(manner: Manner) -> (RtmpUrl, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let url = format!("rtmp://127.0.0.1:{port}/live/key?token=1").parse().expect("legal");
    let task = spawn("server", async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let clock = Clock::system();
        let mut session = ServerSession::new(ServerConfig::default(), clock.now().mono);
        let (mut seen, mut accepted) = (Vec::new(), false);
        loop {
            while let Some(out) = session.poll_output() {
                match out {
                    Output::Send(bytes) => {
                        // A client that went away reads nothing.
                        let _ = socket.write_all(&bytes).await;
                    }
                    Output::Event(Event::Publish(request)) => {
                        assert_eq!((&*request.app, &*request.stream_key), ("live", "key"));
                        match manner {
                            Manner::Refuse => session
                                .refuse_publish("NetStream.Publish.BadName", "somebody is live"),
                            _ => {
                                session.accept_publish(clock.now().mono);
                                accepted = true;
                            }
                        }
                    }
                    Output::Event(event) => seen.push(event),
                }
            }
            let over = matches!(seen.last(), Some(Event::Closed { .. }));
            if over || matches!(manner, Manner::Hangs(n) if seen.len() >= n) {
                return seen;
            }
            if manner == Manner::Deaf && accepted {
                std::future::pending::<()>().await;
            }
            if socket.read_buf(session.input_buf()).await.unwrap_or(0) == 0 {
                return seen;
            }
            session.process(clock.now().mono);
        }
    });
    (url, task)
}

async fn replay(path: &Path, rounds: Rounds) -> Vec<Event> {
    let (url, seen) = server(Manner::Take).await;
    let clock = Clock::system();
    let mut source = Source::open(path, rounds).await.expect("a recording");
    let mut publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    let (drain, mut progress) = (Drain::new(), Progress::default());
    let time = (&clock, &drain);
    play(&mut source, &mut publisher, Speed::Max, time, &mut progress, |_| ())
        .await
        .expect("all sent");
    let written = publisher.finish(FINISH_TIMEOUT).await.expect("finished");
    assert!(written > progress.bytes);
    seen.await.expect("joined").expect("no panic")
}

async fn all(path: &Path, rounds: Rounds) -> Vec<Timed> {
    let mut source = Source::open(path, rounds).await.expect("a recording");
    let mut out = Vec::new();
    while let Some(m) = source.next().await.expect("readable") {
        out.push(m);
    }
    out
}

fn media(events: &[Event]) -> Vec<(TagKind, u32, Bytes)> {
    let pick = |e: &Event| match e {
        Event::Video { timestamp, body } => Some((TagKind::Video, *timestamp, body.clone())),
        Event::Audio { timestamp, body } => Some((TagKind::Audio, *timestamp, body.clone())),
        _ => None,
    };
    events.iter().filter_map(pick).collect()
}

#[tokio::test]
async fn a_file_arrives_as_it_stands() {
    let events = replay(Path::new(BBB), Rounds::Times(1)).await;
    let mut file = FlvReader::from_bytes(std::fs::read(BBB).expect("the clip").into());
    let mut tags = Vec::new();
    while let Some(tag) = file.next_tag().expect("FLV") {
        if tag.kind != TagKind::Script {
            tags.push((tag.kind, tag.timestamp, tag.body));
        }
    }
    assert!(media(&events) == tags, "every body and time, in order");
    let Some(Event::Metadata(m)) = events.first() else { panic!("{:?}", events.first()) };
    assert_eq!((m.width, m.height), (Some(640.0), Some(360.0)));
    assert_eq!(events.last(), Some(&Event::Unpublish), "it ends in good order");
}

#[tokio::test]
async fn a_log_arrives_as_the_encoder_sent_it() {
    let data = tempfile::tempdir().expect("a directory");
    let dir = write_log(data.path(), 4_000_000, true).await;
    let (_, want) = packets(Path::new(BBB));
    let events = replay(&dir, Rounds::Times(1)).await;
    let Some(Event::Metadata(m)) = events.first() else { panic!("{:?}", events.first()) };
    assert_eq!((m.has_video, m.has_audio, m.framerate), (Some(true), Some(true), None));
    let (mut configs, mut got) = (Vec::new(), Vec::new());
    for (kind, timestamp, body) in media(&events) {
        match kind {
            TagKind::Video => match video(&body, 4).expect("H.264") {
                VideoBody::Coded { key, cts, payload, .. } => {
                    got.push((timestamp, cts, key, payload))
                }
                _ => configs.push(kind),
            },
            _ => match audio(&body).expect("AAC") {
                AudioBody::Coded { payload, .. } => got.push((timestamp, 0, true, payload)),
                _ => configs.push(kind),
            },
        }
    }
    assert_eq!(configs, [TagKind::Video, TagKind::Audio], "once, though every extent repeats them");
    // The log's own order may hold sound back behind a picture; each track is in order.
    let want: Vec<_> = want.into_iter().map(|p| (p.dts as u32, p.cts, p.key, p.payload)).collect();
    let mut unordered = (want.clone(), got.clone());
    unordered.0.sort();
    unordered.1.sort();
    assert!(unordered.0 == unordered.1, "{} of {} packets", got.len(), want.len());
    // The newest extent alone is a recording too.
    let last = std::fs::read_dir(&dir).expect("listed").map(|e| e.expect("an entry").path());
    let last = last.filter(|p| p.extension().is_some()).max().expect("an extent");
    let part = all(&last, Rounds::Times(1)).await;
    assert!((100..got.len()).contains(&part.len()), "{}", part.len());
    assert_eq!(part[0].message.kind, MessageKind::Metadata);
    assert_eq!(part[1].message.kind, MessageKind::VideoConfig);
}

#[tokio::test]
async fn rounds_repeat_the_media_and_nothing_else() {
    let once = all(Path::new(BBB), Rounds::Times(1)).await;
    let thrice = all(Path::new(BBB), Rounds::Times(3)).await;
    let count = |list: &[Timed], kind| list.iter().filter(|m| m.message.kind == kind).count();
    for (kind, times) in [
        (MessageKind::Metadata, 1),
        (MessageKind::VideoConfig, 1),
        (MessageKind::AudioConfig, 1),
        (MessageKind::VideoEnd, 1),
        (MessageKind::Video, 3),
        (MessageKind::Audio, 3),
    ] {
        assert_eq!(count(&thrice, kind), times * count(&once, kind), "{kind:?}");
    }
    let mut last = [None::<u32>; 2];
    for m in thrice.iter().filter(|m| m.message.kind.is_media()) {
        let lane = usize::from(m.message.kind == MessageKind::Audio);
        let step = last[lane].map_or(1, |l| m.message.timestamp.wrapping_sub(l) as i32);
        assert!((1..=80).contains(&step), "{:?} steps by {step} ms", m.message.kind);
        last[lane] = Some(m.message.timestamp);
    }
    assert!(thrice.is_sorted_by_key(|m| m.at));
}

#[tokio::test]
async fn a_changed_configuration_is_sent_again_in_every_round() {
    let mut flv = FlvWriter::new(false, true);
    for (time, body) in [
        (0, "1700000000aa"),
        (0, "170100000000000001 65"),
        (40, "1700000000bb"),
        (40, "170100000000000001 65"),
        (80, "1700000000bb"),
        (80, "170100000000000001 65"),
    ] {
        let body = crate::media::fuzz::seeded::hex(body);
        flv.tag(TagKind::Video, time, &body).expect("small");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("changes.flv");
    std::fs::write(&path, flv.take()).expect("written");
    let sent: Vec<(u32, bool)> = all(&path, Rounds::Times(2))
        .await
        .into_iter()
        .map(|m| (m.message.timestamp, m.message.kind == MessageKind::VideoConfig))
        .collect();
    let round = |t| [(t, true), (t, false), (t + 40, true), (t + 40, false), (t + 80, false)];
    assert_eq!(sent, [round(0), round(120)].concat());
}

#[tokio::test]
async fn media_time_sets_the_pace() {
    let (url, seen) = server(Manner::Take).await;
    let clock = Clock::system();
    let mut source = Source::open(Path::new(BBB), Rounds::Times(1)).await.expect("a recording");
    let mut publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    let (drain, mut progress) = (Drain::new(), Progress::default());
    let speed = Speed::Times(20.0);
    play(&mut source, &mut publisher, speed, (&clock, &drain), &mut progress, |p| {
        let media = Duration::from_micros(p.media as u64);
        assert!(p.elapsed + Duration::from_millis(1) >= media / 20, "{p:?} is early");
    })
    .await
    .expect("all sent");
    assert_eq!(progress.media, 10_040_000);
    publisher.finish(FINISH_TIMEOUT).await.expect("finished");
    seen.await.expect("joined");
}

#[tokio::test]
async fn a_drain_ends_the_publish_in_good_order() {
    let (url, seen) = server(Manner::Take).await;
    let clock = Clock::system();
    let mut source = Source::open(Path::new(BBB), Rounds::Endless).await.expect("a recording");
    let mut publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    let (drain, mut progress) = (Drain::new(), Progress::default());
    play(&mut source, &mut publisher, Speed::Times(50.0), (&clock, &drain), &mut progress, |p| {
        if p.messages == 1000 {
            drain.start();
        }
    })
    .await
    .expect("told to stop");
    assert_eq!(progress.messages, 1000, "{progress:?}");
    publisher.finish(FINISH_TIMEOUT).await.expect("finished");
    let seen = seen.await.expect("joined").expect("no panic");
    assert_eq!(seen.last(), Some(&Event::Unpublish));
}

#[tokio::test]
async fn refusals_and_losses_are_told_apart() {
    let (url, _seen) = server(Manner::Refuse).await;
    let refused = Publisher::connect(&url, &[], Clock::system()).await;
    let Err(PublishError::Refused { code, description }) = refused else { panic!("{refused:?}") };
    assert_eq!((&*code, &*description), ("NetStream.Publish.BadName", "somebody is live"));

    let (url, _seen) = server(Manner::Hangs(20)).await;
    let clock = Clock::system();
    let mut source = Source::open(Path::new(BBB), Rounds::Endless).await.expect("a recording");
    let mut publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    let (drain, mut progress) = (Drain::new(), Progress::default());
    let time = (&clock, &drain);
    let lost = play(&mut source, &mut publisher, Speed::Max, time, &mut progress, |_| ()).await;
    let Err(PlayError::Publish(e)) = lost else { panic!("{lost:?}") };
    assert!(matches!(e, PublishError::Closed | PublishError::Io(_)), "{e}");

    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let url = format!("rtmp://127.0.0.1:{port}/live/key").parse().expect("legal");
    let e = Publisher::connect(&url, &[], clock).await.expect_err("nobody listens");
    assert!(matches!(e, PublishError::Connect { .. }), "{e}");
}

/// A paused clock moves on to the next time-out as soon as no socket has anything to say.
#[tokio::test]
async fn a_server_that_reads_nothing_is_given_up() {
    let (url, _seen) = server(Manner::Deaf).await;
    let clock = Clock::system();
    let mut publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    tokio::time::pause();
    let body = Bytes::from(vec![0; 1 << 20]);
    let message = Message { kind: MessageKind::Video, timestamp: 0, body };
    let begun = clock.now().mono;
    // More than any socket holds.
    let stalled = loop {
        if let Err(e) = publisher.send(&message).await {
            break e;
        }
    };
    assert_eq!(stalled.to_string(), "the server has taken no data for 30 s");
    assert!(clock.now().mono.since(begun) >= STALL_TIMEOUT);
}

#[tokio::test]
async fn a_server_that_does_not_confirm_the_end_is_waited_for_so_long() {
    let (url, _seen) = server(Manner::Deaf).await;
    let clock = Clock::system();
    let publisher = Publisher::connect(&url, &[], clock.clone()).await.expect("accepted");
    tokio::time::pause();
    let begun = clock.now().mono;
    let e = publisher.finish(FINISH_TIMEOUT).await.expect_err("nobody knows what it has read");
    let said = e.to_string();
    assert!(said.starts_with("the server has not confirmed the end within 30 s"), "{said}");
    assert_eq!(clock.now().mono.since(begun).as_secs(), FINISH_TIMEOUT.as_secs());
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_named() {
    let (addr, _full) = unanswered();
    let url: RtmpUrl = format!("rtmp://{addr}/live/key").parse().expect("legal");
    tokio::time::pause();
    let clock = Clock::system();
    let begun = clock.now().mono;
    let lost = Publisher::connect(&url, &[], clock.clone()).await.expect_err("nobody answers");
    assert_eq!(clock.now().mono.since(begun).as_secs(), CONNECT_TIMEOUT.as_secs());
    let said = format!("cannot connect to 127.0.0.1 port {}: no answer within 10 s", url.port);
    assert_eq!(lost.to_string(), said);
}

#[tokio::test]
async fn what_is_no_recording_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "hello").expect("written");
    let empty = dir.path().join("empty.flv");
    std::fs::write(&empty, FlvWriter::new(true, true).take()).expect("written");
    let missing = dir.path().join("missing.flv");
    for path in [&text, &missing, &dir.path().to_owned(), &empty] {
        let opened = Source::open(path, Rounds::Endless).await;
        let e = match opened {
            Ok(mut source) => source.next().await.expect_err("no media"),
            Err(e) => e,
        };
        assert!(e.to_string().contains(&path.display().to_string()), "{e}");
        // What the text is taken for depends on the containers that this build reads.
        let kind = match path == &text {
            true => e.kind() == Kind::Invalid,
            false => matches!(
                e,
                SourceError::Io { .. } | SourceError::Log(_) | SourceError::Empty { .. }
            ),
        };
        assert!(kind, "{e:?}");
    }
}

#[tokio::test]
async fn a_cut_file_is_sent_to_its_last_whole_tag() {
    let whole = std::fs::read(BBB).expect("the clip");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cut.flv");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let sent = all(&path, Rounds::Times(1)).await;
    let whole = all(Path::new(BBB), Rounds::Times(1)).await;
    assert!(sent.len() > 100 && sent[..] == whole[..sent.len()]);
}

#[tokio::test]
async fn durations_are_known_before_the_end() {
    let file = Source::open(Path::new(BBB), Rounds::Times(1)).await.expect("a recording");
    assert_eq!(file.duration().await, Some(10_040_000));
    let data = tempfile::tempdir().expect("a directory");
    let dir = write_log(data.path(), 4_000_000, false).await;
    let log = Source::open(&dir, Rounds::Times(1)).await.expect("a recording");
    assert_eq!(log.duration().await, Some(10_040_000));
}

#[tokio::test]
async fn the_message_of_a_refused_size_is_not_sent() {
    let (url, seen) = server(Manner::Take).await;
    let mut publisher = Publisher::connect(&url, &[], Clock::system()).await.expect("accepted");
    let body = Bytes::from(vec![0; 1 << 24]);
    let message = Message { kind: MessageKind::Video, timestamp: 0, body };
    let e = publisher.send(&message).await.expect_err("RTMP counts lengths in 24 bits");
    assert!(matches!(e, PublishError::Session(SessionError::TooLong(_))), "{e}");
    publisher.finish(FINISH_TIMEOUT).await.expect("the connection is fine");
    assert_eq!(seen.await.expect("joined").expect("no panic").len(), 1);
}
