//! Tests of the server session: what an encoder sends, what it is answered, and what the caller is
//! told.

use super::*;
use crate::rtmp::amf0::AmfError;
use crate::rtmp::amf0::write_all;
use crate::rtmp::chunk::ChunkReader;
use crate::rtmp::chunk_writer::ChunkWriter;
use crate::rtmp::limits::{APP_MAX, FOURCC_MAX, HANDSHAKE_BYTES, VIDEO_MESSAGE_MAX};
use crate::rtmp::message::{ABORT, ACKNOWLEDGEMENT, AGGREGATE, USER_CONTROL};
use bytes::Bytes;

const SECOND: u64 = 1_000_000;

/// A hand-driven encoder on one end of a session.
struct Peer {
    session: ServerSession,
    writer: ChunkWriter,
    reader: ChunkReader,
    events: Vec<Event>,
    /// Messages from the server: commands and statuses as text, others as their type.
    answers: Vec<String>,
    now: Mono,
}

impl Peer {
    /// After the handshake.
    fn new() -> Peer {
        let mut peer = Peer {
            session: ServerSession::new(ServerConfig::default(), Mono(0)),
            writer: ChunkWriter::default(),
            reader: ChunkReader::new(),
            events: Vec::new(),
            answers: Vec::new(),
            now: Mono(0),
        };
        let mut opening = vec![0; HANDSHAKE_BYTES];
        opening[0] = 3;
        peer.raw(&opening);
        peer.reader.take_raw(HANDSHAKE_BYTES);
        peer.drain();
        peer
    }

    fn connected() -> Peer {
        let mut peer = Peer::new();
        peer.connect(&[("app", Amf0::string("live"))]);
        peer.command(0, "createStream", 2.0, &[Amf0::Null]);
        peer.answers.clear();
        peer
    }

    fn asked(args: &[Amf0]) -> Peer {
        let mut peer = Peer::connected();
        peer.command(1, "publish", 3.0, &[&[Amf0::Null], args].concat());
        peer
    }

    fn publishing() -> Peer {
        let mut peer = Peer::asked(&[Amf0::string("key"), Amf0::string("live")]);
        peer.session.accept_publish(peer.now);
        peer.drain();
        peer.events.clear();
        peer.answers.clear();
        peer
    }

    fn connect(&mut self, object: &[(&str, Amf0)]) {
        let object = object.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        self.command(0, "connect", 1.0, &[Amf0::Object(object)]);
    }

    fn command(&mut self, stream_id: u32, name: &str, transaction: f64, args: &[Amf0]) {
        let head = [Amf0::string(name), Amf0::Number(transaction)];
        self.message(COMMAND_AMF0, stream_id, 0, &write_all(&[&head, args].concat()));
    }

    fn message(&mut self, type_id: u8, stream_id: u32, time: u32, body: &[u8]) {
        let bytes = self.writer.write(type_id, stream_id, time, body).expect("fits");
        self.raw(&bytes);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.session.input_buf().extend_from_slice(bytes);
        self.session.process(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => self.reader.push(&bytes),
                Output::Event(event) => self.events.push(event),
            }
        }
        if self.reader.received() < HANDSHAKE_BYTES as u64
            || self.reader.buf_mut().len() == HANDSHAKE_BYTES
        {
            return;
        }
        while let Some(m) = self.reader.next().expect("legal") {
            self.answers.push(match m.type_id {
                COMMAND_AMF0 => text(&read_all(&m.payload).expect("AMF0")),
                other => format!("type {other} {:?}", &m.payload[..]),
            });
        }
    }

    fn at(&mut self, seconds: u64) -> &mut Peer {
        self.now = Mono(seconds * SECOND);
        self.session.handle_timeout(self.now);
        self.drain();
        self
    }

    fn closed(&self) -> Option<String> {
        match self.events.last() {
            Some(Event::Closed { reason }) => Some(reason.to_string()),
            _ => None,
        }
    }
}

/// A command as `name transaction code: description`, or its last value.
fn text(values: &[Amf0]) -> String {
    let name = values[0].as_str().unwrap_or_default();
    let transaction = values[1].as_number().unwrap_or(-1.0);
    let last = &values[values.len() - 1];
    match last.get("code").and_then(Amf0::as_str) {
        Some(code) => {
            let words = last.get("description").and_then(Amf0::as_str).unwrap_or_default();
            format!("{name} {transaction} {code}: {words}")
        }
        None => format!("{name} {transaction} {last:?}"),
    }
}

#[test]
fn from_connect_to_publish_as_ffmpeg_does_it() {
    let mut peer = Peer::new();
    peer.connect(&[
        ("app", Amf0::string("/live/")),
        ("flashVer", Amf0::string("FMLE/3.0 (compatible; Lavf)")),
        ("tcUrl", Amf0::string("rtmp://h:1935/live")),
    ]);
    assert_eq!(
        peer.answers,
        [
            "type 5 [0, 38, 37, 160]",
            "type 6 [0, 38, 37, 160, 2]",
            "_result 1 NetConnection.Connect.Success: connected",
        ]
    );
    peer.answers.clear();
    peer.command(0, "releaseStream", 2.0, &[Amf0::Null, Amf0::string("k?t=1")]);
    peer.command(0, "FCPublish", 3.0, &[Amf0::Null, Amf0::string("k?t=1")]);
    peer.command(0, "createStream", 4.0, &[Amf0::Null]);
    peer.command(0, "_checkbw", 5.0, &[Amf0::Null]);
    assert_eq!(
        peer.answers,
        ["_result 2 Undefined", "_result 3 Undefined", "_result 4 Number(1.0)"]
    );
    assert_eq!(peer.events, []);
    peer.command(1, "publish", 5.0, &[Amf0::Null, Amf0::string("k?t=1"), Amf0::string("live")]);
    let request = PublishRequest {
        app: "live".into(),
        stream_key: "k".into(),
        query: Some("t=1".into()),
        tc_url: "rtmp://h:1935/live".into(),
        flash_ver: "FMLE/3.0 (compatible; Lavf)".into(),
        fourcc_list: vec![],
    };
    assert_eq!(peer.events, [Event::Publish(request)]);
    peer.answers.clear();
    peer.session.accept_publish(peer.now);
    peer.drain();
    assert_eq!(
        peer.answers,
        ["type 4 [0, 0, 0, 0, 0, 1]", "onStatus 0 NetStream.Publish.Start: publishing"]
    );
}

#[test]
fn media_arrives_as_it_was_sent_and_the_end_is_told_once() {
    let mut peer = Peer::publishing();
    peer.message(VIDEO, 1, 40, &[7; 3000]);
    peer.message(AUDIO, 1, 41, &[]);
    peer.command(0, "FCUnpublish", 6.0, &[Amf0::Null, Amf0::string("key")]);
    peer.command(0, "deleteStream", 7.0, &[Amf0::Null, Amf0::Number(1.0)]);
    peer.message(VIDEO, 1, 80, &[7; 3]);
    assert_eq!(
        peer.events,
        [
            Event::Video { timestamp: 40, body: vec![7; 3000].into() },
            Event::Audio { timestamp: 41, body: Bytes::new() },
            Event::Unpublish,
        ]
    );
    assert_eq!(peer.answers, ["onStatus 0 NetStream.Unpublish.Success: unpublished"]);
}

#[test]
fn each_way_to_end_a_publish() {
    for (name, stream_id, args, ends) in [
        ("FCUnpublish", 0, vec![Amf0::Null, Amf0::string("key")], true),
        ("closeStream", 1, vec![Amf0::Null], true),
        ("closeStream", 0, vec![Amf0::Null], false),
        ("deleteStream", 0, vec![Amf0::Null, Amf0::Number(1.0)], true),
        ("deleteStream", 0, vec![Amf0::Null], true),
        ("deleteStream", 0, vec![Amf0::Null, Amf0::Number(2.0)], false),
    ] {
        let mut peer = Peer::publishing();
        peer.command(stream_id, name, 6.0, &args);
        assert_eq!(!peer.events.is_empty(), ends, "{name} {stream_id} {args:?}");
    }
}

#[test]
fn what_an_impatient_encoder_sends_waits_for_the_answer() {
    let mut peer = Peer::asked(&[Amf0::string("key")]);
    peer.message(VIDEO, 1, 0, &[1; 100_000]);
    assert_eq!(peer.events.len(), 1);
    peer.session.accept_publish(peer.now);
    peer.drain();
    assert_eq!(peer.events[1..], [Event::Video { timestamp: 0, body: vec![1; 100_000].into() }]);

    let mut peer = Peer::asked(&[Amf0::string("key")]);
    peer.message(VIDEO, 1, 0, &vec![1; UNANSWERED_BYTES_MAX]);
    let text = "1056779 bytes came before the publish was answered; the limit is 1048576";
    assert_eq!(peer.closed().as_deref(), Some(text));
}

#[test]
fn refusals_say_why_on_the_encoders_screen_and_in_the_log() {
    let s = Amf0::string;
    let bad = "NetStream.Publish.BadName";
    for (name, mut peer, code, words) in [
        ("no key", Peer::asked(&[]), bad, "the stream key is empty"),
        ("only a query", Peer::asked(&[s("?a=1")]), bad, "the stream key is empty"),
        (
            "long key",
            Peer::asked(&[s(&"k".repeat(STREAM_KEY_MAX + 1))]),
            bad,
            "the stream key is longer than 256 bytes",
        ),
        (
            "long query",
            Peer::asked(&[s(&format!("k?{}", "q".repeat(URL_MAX + 1)))]),
            bad,
            "the stream key's query is longer than 2048 bytes",
        ),
        (
            "mode",
            Peer::asked(&[s("k"), s("x")]),
            bad,
            "the publishing mode is not live, record or append",
        ),
        (
            "caller",
            {
                let mut peer = Peer::asked(&[s("k")]);
                peer.session.refuse_publish(bad, "no such stream key");
                peer.drain();
                peer
            },
            bad,
            "no such stream key",
        ),
        (
            "second publish",
            {
                let mut peer = Peer::publishing();
                peer.command(2, "publish", 9.0, &[Amf0::Null, s("k")]);
                peer
            },
            bad,
            "a connection carries one publish; open another for the next",
        ),
        (
            "play",
            {
                let mut peer = Peer::connected();
                peer.command(1, "play", 3.0, &[Amf0::Null, s("k")]);
                peer
            },
            "NetStream.Play.Failed",
            "this server speaks RTMP for publishing only; viewers use HLS",
        ),
    ] {
        assert_eq!(peer.answers.last(), Some(&format!("onStatus 0 {code}: {words}")), "{name}");
        assert_eq!(peer.closed(), Some(format!("refused with {code}: {words}")), "{name}");
        let before = peer.events.len();
        peer.message(VIDEO, 1, 0, &[1; 10]);
        peer.session.accept_publish(peer.now);
        peer.session.end_publish("x", "y");
        peer.at(1000);
        assert_eq!(peer.events.len(), before, "{name}: nothing follows Closed");
    }
}

#[test]
fn a_connect_is_refused_with_a_reason() {
    for (object, words) in [
        (vec![], "the URL names no application: use rtmp://HOST/APP/KEY"),
        (
            vec![("app", Amf0::string("/?x"))],
            "the URL names no application: use rtmp://HOST/APP/KEY",
        ),
        (vec![("app", Amf0::Number(1.0))], "the URL names no application: use rtmp://HOST/APP/KEY"),
        (
            vec![("app", Amf0::string("a".repeat(APP_MAX + 1)))],
            "the application name is longer than 256 bytes",
        ),
        (
            vec![("app", Amf0::string("a")), ("tcUrl", Amf0::string("u".repeat(URL_MAX + 1)))],
            "tcUrl or flashVer is longer than 2048 bytes",
        ),
    ] {
        let mut peer = Peer::new();
        peer.connect(&object);
        let code = "NetConnection.Connect.Rejected";
        assert_eq!(peer.answers, [format!("_error 1 {code}: {words}")]);
        assert_eq!(peer.closed(), Some(format!("refused with {code}: {words}")));
    }
}

#[test]
fn publish_without_a_mode_and_in_every_mode() {
    for mode in [None, Some("live"), Some("record"), Some("append")] {
        let args: Vec<_> = [Some("k"), mode].into_iter().flatten().map(Amf0::string).collect();
        let peer = Peer::asked(&args);
        assert!(matches!(&peer.events[..], [Event::Publish(r)] if r.stream_key == "k"), "{mode:?}");
    }
}

#[test]
fn commands_out_of_place_end_the_session() {
    let mut first = Peer::new();
    first.command(0, "createStream", 1.0, &[Amf0::Null]);
    let text = r#"command "createStream": the first command must be connect"#;
    assert_eq!(first.closed().as_deref(), Some(text));
    let mut twice = Peer::connected();
    twice.connect(&[("app", Amf0::string("live"))]);
    let text = r#"command "connect": the connection is connected"#;
    assert_eq!(twice.closed().as_deref(), Some(text));
    assert_eq!(PUBLISHES_MAX, 1, "a second one is refused: `second publish` above");
    let mut many = Peer::connected();
    for i in 1..=MESSAGE_STREAMS_MAX {
        assert_eq!(many.closed(), None, "{i}");
        many.command(0, "createStream", 9.0, &[Amf0::Null]);
    }
    let text = r#"command "createStream": too many message streams on one connection"#;
    assert_eq!(many.closed().as_deref(), Some(text));
}

#[test]
fn connect_with_an_object_nested_5000_deep() {
    let mut peer = Peer::new();
    let head = write_all(&[Amf0::string("connect"), Amf0::Number(1.0)]);
    peer.message(COMMAND_AMF0, 0, 0, &[head, b"\x03\x00\x01a".repeat(5000)].concat());
    let text = "a command that cannot be read: byte 83: AMF0 values are nested more than 16 deep";
    assert_eq!(peer.closed().as_deref(), Some(text));
}

#[test]
fn enhanced_rtmp_clients_learn_what_is_taken() {
    let list = Amf0::StrictArray(vec![Amf0::string("hvc1"), Amf0::Null, Amf0::string("av01")]);
    let object = Amf0::object([("app", Amf0::string("live")), ("fourCcList", list)]);
    let connect = Connect::read(Some(&object)).expect("legal");
    assert_eq!(
        connect.enhanced.as_ref().map(|e| &e.names[..]),
        Some(&["hvc1".into(), "av01".into()][..])
    );
    let names = || (0..=FOURCC_MAX).map(|i| format!("{i:04}"));
    let list = Amf0::StrictArray(names().map(Amf0::String).collect());
    let map = Amf0::Object(names().map(|n| (n, Amf0::Number(4.0))).collect());
    for (name, long) in [("fourCcList", list), ("videoFourCcInfoMap", map)] {
        let many = Amf0::object([("app", Amf0::string("live")), (name, long)]);
        let kept = Connect::read(Some(&many)).map(|c| c.enhanced.map(|e| e.names.len()));
        assert_eq!(kept, Ok(Some(FOURCC_MAX)), "{name}");
    }
    let info = accepted(1.0, &connect)[3].clone();
    let taken = ["avc1", "mp4a", "hvc1", "av01", "Opus"].map(Amf0::string).to_vec();
    assert_eq!(info.get("fourCcList"), Some(&Amf0::StrictArray(taken)));
    // ModEx is read; several tracks and reconnect requests are not offered.
    assert_eq!(info.get("capsEx"), Some(&Amf0::Number(4.0)));
    let video = info.get("videoFourCcInfoMap").and_then(|m| m.get("av01"));
    assert_eq!(video, Some(&Amf0::Number(4.0)));
    assert_eq!(info.get("audioFourCcInfoMap").and_then(|m| m.get("av01")), None);
    let plain = Connect::read(Some(&Amf0::object([("app", Amf0::string("live"))])));
    assert_eq!(accepted(1.0, &plain.expect("legal"))[3].get("fourCcList"), None);
}

/// `connect` of FFmpeg 9.0.2 with `-rtmp_enhanced_codecs hvc1,av01,vp09,Opus`, chunks and all.
const FFMPEG: &[u8] = include_bytes!("../../tests/fixtures/rtmp/ffmpeg-9.0.2-connect.bin");

#[test]
fn the_connect_of_ffmpeg_is_understood() {
    let mut peer = Peer::new();
    peer.raw(FFMPEG);
    assert_eq!(peer.closed(), None);
    peer.command(0, "createStream", 2.0, &[Amf0::Null]);
    peer.command(1, "publish", 3.0, &[Amf0::Null, Amf0::string("k"), Amf0::string("live")]);
    let [Event::Publish(request)] = &peer.events[..] else { panic!("{:?}", peer.events) };
    assert_eq!(request.fourcc_list, ["hvc1", "av01", "vp09", "Opus"]);
    assert_eq!(request.flash_ver, "FMLE/3.0 (compatible; Lavf63.1.102)");
}

#[test]
fn data_messages_that_are_no_metadata_leave_the_session_alone() {
    let mut peer = Peer::publishing();
    for values in [
        vec![Amf0::string("@setDataFrame")],
        vec![Amf0::string("@setDataFrame"), Amf0::string("onMetaData")],
        vec![Amf0::string("onTextData"), Amf0::object([])],
    ] {
        peer.message(DATA_AMF0, 1, 0, &write_all(&values));
    }
    assert_eq!(peer.events, []);
    peer.message(DATA_AMF0, 1, 0, &[0x02, 0]);
    assert_eq!(peer.events, [Event::BadMetadata(AmfError::Truncated { at: 1 })]);
}

#[test]
fn metadata_with_date_long_string_and_typed_object_in_both_framings() {
    let raw = Amf0::EcmaArray(vec![
        ("when".into(), Amf0::Date(1.0)),
        ("xmp".into(), Amf0::LongString("x".repeat(100))),
        ("typed".into(), Amf0::Typed("C".into(), vec![("a".into(), Amf0::Null)])),
        ("width".into(), Amf0::Number(640.0)),
    ]);
    let body = write_all(&[Amf0::string("@setDataFrame"), Amf0::string("onMetaData"), raw.clone()]);
    for (type_id, body) in [(DATA_AMF0, body.clone()), (DATA_AMF3, [&[0], &body[..]].concat())] {
        let mut peer = Peer::publishing();
        peer.message(type_id, 1, 0, &body);
        let [Event::Metadata(m)] = &peer.events[..] else { panic!("{:?}", peer.events) };
        assert_eq!((m.width, &m.raw), (Some(640.0), &raw));
    }
}

#[test]
fn commands_in_amf3_framing() {
    let mut peer = Peer::connected();
    let values = [Amf0::string("publish"), Amf0::Number(3.0), Amf0::Null, Amf0::string("k")];
    peer.message(COMMAND_AMF3, 1, 0, &[&[0], &write_all(&values)[..]].concat());
    assert!(matches!(&peer.events[..], [Event::Publish(r)] if r.stream_key == "k"));
}

#[test]
fn an_aggregate_is_split() {
    let mut peer = Peer::publishing();
    let tag = |type_id: u8, time: u8, byte: u8| {
        [type_id, 0, 0, 1, 0, 0, time, 0, 0, 0, 0, byte, 0, 0, 0, 12]
    };
    peer.message(AGGREGATE, 1, 1000, &[tag(VIDEO, 100, 7), tag(AUDIO, 123, 8)].concat());
    assert_eq!(
        peer.events,
        [
            Event::Video { timestamp: 1000, body: vec![7].into() },
            Event::Audio { timestamp: 1023, body: vec![8].into() },
        ]
    );
}

#[test]
fn control_messages() {
    let mut peer = Peer::publishing();
    // User control 31 without a body, one too short to have a number, and an unknown message type.
    for body in [&[0, 31][..], &[0], &[], &[0, 6, 1]] {
        peer.message(USER_CONTROL, 0, 0, body);
    }
    peer.message(99, 0, 0, b"?");
    peer.message(ABORT, 0, 0, &[0, 0, 0, 9]);
    peer.message(WINDOW_ACK_SIZE, 0, 0, &[0, 0]);
    assert_eq!((&peer.answers[..], &peer.events[..]), (&[][..], &[][..]));
    peer.message(USER_CONTROL, 0, 0, &[0, 6, 1, 2, 3, 4]);
    assert_eq!(peer.answers, ["type 4 [0, 7, 1, 2, 3, 4]"]);
}

#[test]
fn acknowledgements_carry_the_total_once_a_window() {
    let mut peer = Peer::publishing();
    peer.message(WINDOW_ACK_SIZE, 0, 0, &10_000u32.to_be_bytes());
    peer.answers.clear();
    for _ in 0..10 {
        peer.message(AUDIO, 1, 0, &[0; 2500]);
    }
    assert_eq!(peer.answers.len(), 2, "{:?}", peer.answers);
    // The second comes once two windows are full, and says what had arrived by then.
    let received = peer.session.link.reader.received();
    let total = (20_000..received as u32)
        .find(|n| peer.answers[1] == format!("type {ACKNOWLEDGEMENT} {:?}", n.to_be_bytes()));
    assert!(total.is_some(), "{:?}", peer.answers);
}

#[test]
fn media_before_a_publish_is_small_and_nobodys() {
    let mut peer = Peer::connected();
    peer.message(VIDEO, 1, 0, &[7; 3000]);
    assert_eq!(peer.events, []);
    peer.message(VIDEO, 1, 0, &[7; 70_000]);
    let text = peer.closed().expect("closed");
    assert!(
        text.ends_with(
            "chunk stream 6 announces a type 9 message of 70000 bytes; the limit is 65536"
        ),
        "{text}"
    );
    let mut peer = Peer::publishing();
    peer.message(VIDEO, 1, 0, &vec![7; VIDEO_MESSAGE_MAX]);
    assert_eq!(peer.events.len(), 1);
}

#[test]
fn time_outs() {
    let mut fresh = ServerSession::new(ServerConfig::default(), Mono(SECOND));
    let limits = [HANDSHAKE_TIMEOUT, PUBLISH_TIMEOUT, IDLE_TIMEOUT].map(|t| t.as_secs());
    assert_eq!(limits, [10, 10, 30]);
    assert_eq!(fresh.poll_timeout(), Some((Mono(11 * SECOND), Reason::Handshake)));
    fresh.input_buf().extend_from_slice(&[3]);
    fresh.process(Mono(10 * SECOND));
    assert!(matches!(fresh.poll_output(), Some(Output::Send(_))));
    fresh.handle_timeout(Mono(11 * SECOND - 1));
    assert_eq!(fresh.poll_output(), None);
    fresh.handle_timeout(Mono(11 * SECOND));
    let Some(Output::Event(Event::Closed { reason })) = fresh.poll_output() else {
        panic!("not closed")
    };
    assert_eq!(reason.to_string(), "no RTMP handshake within 10 s");
    assert_eq!(fresh.poll_timeout(), None);

    let mut peer = Peer::connected();
    peer.at(9).message(AUDIO, 1, 0, &[]);
    assert_eq!(peer.session.poll_timeout(), Some((Mono(10 * SECOND), Reason::Publish)));
    peer.at(10);
    let text = "no publish or play within 10 s after the handshake";
    assert_eq!(peer.closed().as_deref(), Some(text));

    let mut peer = Peer::asked(&[Amf0::string("k")]);
    peer.at(100);
    assert_eq!((peer.session.poll_timeout(), peer.closed()), (None, None));
    peer.session.accept_publish(Mono(100 * SECOND));
    assert_eq!(peer.session.poll_timeout(), Some((Mono(130 * SECOND), Reason::Idle)));
    peer.at(129).message(AUDIO, 1, 0, &[]);
    // A drip of bytes that never make a message does not help.
    let video = [&[6, 0, 0, 0, 0, 3, 0, 9, 1, 0, 0, 0][..], &[0; 17]].concat();
    for (second, byte) in (130..159).zip(video) {
        peer.at(second).raw(&[byte]);
        assert_eq!(peer.closed(), None, "{second}");
    }
    peer.at(159);
    assert_eq!(peer.closed().as_deref(), Some("no message from the peer within the idle time-out"));
}

#[test]
fn a_publish_ended_from_here_says_why() {
    let mut peer = Peer::publishing();
    peer.session.end_publish("NetStream.Publish.Denied", "replaced by a newer connection");
    peer.drain();
    assert_eq!(
        peer.answers,
        [
            "type 4 [0, 1, 0, 0, 0, 1]",
            "onStatus 0 NetStream.Publish.Denied: replaced by a newer connection",
        ]
    );
    let text = "ended with NetStream.Publish.Denied: replaced by a newer connection";
    assert_eq!(peer.closed().as_deref(), Some(text));
}

#[test]
fn another_protocol_is_named() {
    let mut session = ServerSession::new(ServerConfig::default(), Mono(0));
    session.input_buf().extend_from_slice(b"GET / HTTP/1.1\r\n");
    session.process(Mono(0));
    let Some(Output::Event(Event::Closed { reason })) = session.poll_output() else {
        panic!("closed first")
    };
    assert_eq!(
        reason.to_string(),
        "the peer opened with byte 0x47, not with RTMP version 3; \
         this looks like HTTP on an RTMP port"
    );
    assert_eq!(session.poll_output(), None);
}
