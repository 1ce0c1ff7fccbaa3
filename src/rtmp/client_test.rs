//! Tests of the client session, back to back with the server session and against other
//! implementations' sessions.

use super::*;
use crate::rtmp::event::{Event, Output};
use crate::rtmp::server::{ServerConfig, ServerSession};
use rml_rtmp::sessions as rml;

fn url(query: &str) -> RtmpUrl {
    format!("rtmp://host/live/key{query}").parse().expect("legal")
}

/// Two sessions joined by two byte queues, each delivered in pieces of `step` bytes.
struct Pair {
    client: ClientSession,
    server: ServerSession,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    step: usize,
    client_events: Vec<ClientEvent>,
    server_events: Vec<Event>,
}

impl Pair {
    fn new(client: ClientSession, step: usize) -> Pair {
        Pair {
            client,
            server: ServerSession::new(ServerConfig::default(), Mono(0)),
            to_client: Vec::new(),
            to_server: Vec::new(),
            step,
            client_events: Vec::new(),
            server_events: Vec::new(),
        }
    }

    /// Runs until neither side has anything to do.
    fn settle(&mut self) {
        loop {
            self.drain_client();
            self.drain_server();
            if self.to_client.is_empty() && self.to_server.is_empty() {
                return;
            }
            for piece in std::mem::take(&mut self.to_server).chunks(self.step) {
                self.server.input_buf().extend_from_slice(piece);
                self.server.process(Mono(0));
                self.drain_server();
            }
            for piece in std::mem::take(&mut self.to_client).chunks(self.step) {
                self.client.input_buf().extend_from_slice(piece);
                self.client.process(Mono(0));
                self.drain_client();
            }
        }
    }

    fn drain_client(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Send(bytes) => self.to_server.extend_from_slice(&bytes),
                ClientOutput::Event(event) => self.client_events.push(event),
            }
        }
    }

    fn drain_server(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send(bytes) => self.to_client.extend_from_slice(&bytes),
                Output::Event(event) => self.server_events.push(event),
            }
        }
    }
}

#[test]
fn a_publisher_learns_what_the_server_has_received() {
    let client = ClientSession::publish(&url(""), Mono(0)).expect("opens");
    let mut pair = Pair::new(client, usize::MAX);
    pair.settle();
    pair.server.accept_publish(Mono(0));
    pair.settle();
    assert_eq!(pair.client.acknowledged(), 0, "its own window is far larger");
    pair.client.ask_acknowledgements(1_000);
    pair.client.send_video(0, &[0; 5_000]).expect("publishing");
    pair.settle();
    let first = pair.client.acknowledged();
    assert!(first > 5_000, "{first}");
    pair.client.send_video(40, &[0; 5_000]).expect("publishing");
    pair.settle();
    assert!((5_000..5_100).contains(&(pair.client.acknowledged() - first)));
}

/// Bodies of many sizes, around the chunk sizes too, with times that wrap and go back.
fn media() -> Vec<(u8, u32, Vec<u8>)> {
    let sizes = [1, 0, 5, 127, 128, 129, 300, 4096, 65_536, 65_537, 200_000];
    let times = [0, 0, 33, 66, 0x00FF_FFFE, 0x00FF_FFFF, 0x0100_0000, u32::MAX, 10, 5, 0x8000_0010];
    let body = |n: usize| (0..n).map(|i| (i * 31 % 251) as u8).collect();
    sizes
        .iter()
        .zip(times)
        .map(|(&n, t)| (if n % 2 == 0 { VIDEO } else { AUDIO }, t, body(n)))
        .collect()
}

/// The media among a server's events.
fn heard(events: &[Event]) -> Vec<(u8, u32, Vec<u8>)> {
    let of = |e: &Event| match e {
        Event::Video { timestamp, body } => Some((VIDEO, *timestamp, body.to_vec())),
        Event::Audio { timestamp, body } => Some((AUDIO, *timestamp, body.to_vec())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Feeds `rml_rtmp`'s handshake; once it is done, the bytes that are no longer the handshake's.
fn shake(
    handshake: &mut rml_rtmp::handshake::Handshake,
    bytes: &[u8],
    reply: &mut Vec<u8>,
) -> Option<Vec<u8>> {
    use rml_rtmp::handshake::HandshakeProcessResult::{Completed, InProgress};
    match handshake.process_bytes(bytes).expect("legal") {
        InProgress { response_bytes } => {
            reply.extend(response_bytes);
            None
        }
        Completed { response_bytes, remaining_bytes } => {
            reply.extend(response_bytes);
            Some(remaining_bytes)
        }
    }
}

#[test]
fn a_publish_between_our_two_sessions_in_pieces_of_every_size() {
    let steps = (1..=40).chain([63, 100, 127, 128, 129, 1536, 3073, 4096, 65_536, usize::MAX]);
    for step in steps {
        let client = ClientSession::publish(&url("?t=1"), Mono(0)).expect("opens");
        let mut pair = Pair::new(client, step);
        pair.settle();
        let [Event::Publish(request)] = &pair.server_events[..] else {
            panic!("{:?}", pair.server_events)
        };
        assert_eq!((request.app.as_str(), request.stream_key.as_str()), ("live", "key"));
        assert_eq!(request.query.as_deref(), Some("t=1"));
        assert_eq!(request.tc_url, "rtmp://host/live");
        pair.server.accept_publish(Mono(0));
        pair.settle();
        assert_eq!(pair.client_events, [ClientEvent::Ready], "pieces of {step}");
        assert_eq!(pair.client.poll_timeout(), None);
        pair.server_events.clear();

        let metadata = Amf0::EcmaArray(vec![("width".into(), Amf0::Number(640.0))]);
        pair.client.send_metadata(&metadata).expect("fits");
        let media = media();
        for (type_id, time, body) in &media {
            match *type_id {
                VIDEO => pair.client.send_video(*time, body).expect("fits"),
                _ => pair.client.send_audio(*time, body).expect("fits"),
            }
        }
        pair.client.finish();
        pair.settle();
        let [Event::Metadata(first), events @ .., Event::Unpublish] = &pair.server_events[..]
        else {
            panic!("{:?}", pair.server_events.last())
        };
        assert_eq!(first.raw, metadata);
        let got = heard(events);
        assert!(got == media, "pieces of {step}");
    }
}

#[test]
fn later_codecs_are_announced_and_a_server_that_takes_others_is_left() {
    let sending = |codecs: &[Codec]| {
        ClientSession::publish(&url(""), Mono(0)).expect("opens").sending(codecs)
    };
    for (codecs, want) in [
        (&[Codec::H264, Codec::Aac][..], &[][..]),
        (&[Codec::Hevc, Codec::Aac], &["hvc1"]),
        (&[Codec::Av1, Codec::Opus], &["av01", "Opus"]),
    ] {
        let mut pair = Pair::new(sending(codecs), usize::MAX);
        pair.settle();
        let [Event::Publish(request)] = &pair.server_events[..] else {
            panic!("{:?}", pair.server_events)
        };
        assert_eq!(request.fourcc_list, want);
        assert_eq!(pair.client_events, [], "the server takes them all");
    }
    let list = |names: &[&str]| {
        let names = names.iter().map(|n| Amf0::string(*n)).collect();
        [Amf0::Null, Amf0::object([("fourCcList", Amf0::StrictArray(names))])]
    };
    let check = |answer: &[Amf0]| client_connect::check(answer, &[Codec::Hevc]);
    assert_eq!(check(&list(&["av01", "hvc1"])), Ok(()));
    assert_eq!(check(&[Amf0::Null, Amf0::object([])]), Ok(()), "it does not say");
    let refused = check(&list(&["av01", "vp09"])).expect_err("not among them");
    assert_eq!(refused.to_string(), "the server does not take HEVC: it names av01, vp09");
    let none = check(&list(&[])).expect_err("none").to_string();
    assert_eq!(none, "the server does not take HEVC: it names no codec");
}

#[test]
fn a_refused_key_reaches_the_client_with_its_words() {
    let client = ClientSession::publish(&url(""), Mono(0)).expect("opens");
    let mut pair = Pair::new(client, usize::MAX);
    pair.settle();
    pair.server.refuse_publish("NetStream.Publish.BadName", "no such key");
    pair.settle();
    let (code, description) = ("NetStream.Publish.BadName".to_owned(), "no such key".to_owned());
    let refused = ClientEvent::Refused { code: code.clone(), description: description.clone() };
    let reason = SessionError::Refused { code, description };
    assert_eq!(pair.client_events, [refused, ClientEvent::Closed { reason }]);
}

#[test]
fn playing_from_a_server_that_only_takes_publishers() {
    let client = ClientSession::play(&url(""), Mono(0)).expect("opens");
    let mut pair = Pair::new(client, usize::MAX);
    pair.settle();
    let Some(ClientEvent::Closed { reason }) = pair.client_events.last() else { panic!("open") };
    assert_eq!(
        reason.to_string(),
        "refused with NetStream.Play.Failed: \
         this server speaks RTMP for publishing only; viewers use HLS"
    );
}

#[test]
fn a_client_waits_only_so_long() {
    let mut client = ClientSession::publish(&url(""), Mono(0)).expect("opens");
    let (due, reason) = client.poll_timeout().expect("waits");
    assert_eq!((due, reason), (Mono(10_000_000), Reason::Handshake));
    client.handle_timeout(due);
    assert!(matches!(client.poll_output(), Some(ClientOutput::Send(_))));
    let closed = ClientEvent::Closed { reason: Reason::Handshake.into() };
    assert_eq!(client.poll_output(), Some(ClientOutput::Event(closed)));
    assert_eq!((client.poll_output(), client.poll_timeout()), (None, None));
}

/// Our server session with `rml_rtmp`'s client session as the encoder.
#[test]
fn a_publish_by_another_client() {
    let (mut handshake, mut server) = (
        rml_rtmp::handshake::Handshake::new(rml_rtmp::handshake::PeerType::Client),
        ServerSession::new(ServerConfig::default(), Mono(0)),
    );
    let mut to_server = handshake.generate_outbound_p0_and_p1().expect("opens");
    let mut config = rml::ClientSessionConfig::new();
    config.tc_url = Some("rtmp://h/live".into());
    let (mut client, mut results) = rml::ClientSession::new(config).expect("new");
    results.push(client.request_connection("live".into()).expect("new"));
    let (mut shaken, mut events, mut sent) = (false, Vec::new(), false);
    for _ in 0..50 {
        let mut to_client = Vec::new();
        server.input_buf().extend_from_slice(&std::mem::take(&mut to_server));
        server.process(Mono(0));
        while let Some(output) = server.poll_output() {
            match output {
                Output::Send(bytes) => to_client.extend_from_slice(&bytes),
                Output::Event(Event::Publish(_)) => server.accept_publish(Mono(0)),
                Output::Event(event) => events.push(event),
            }
        }
        if !shaken {
            if let Some(rest) = shake(&mut handshake, &to_client, &mut to_server) {
                results.extend(client.handle_input(&rest).expect("legal"));
                shaken = true;
            }
        } else if !to_client.is_empty() {
            results.extend(client.handle_input(&to_client).expect("legal"));
        }
        if !shaken {
            continue;
        }
        for result in std::mem::take(&mut results) {
            use rml::ClientSessionEvent::{ConnectionRequestAccepted, PublishRequestAccepted};
            use rml::ClientSessionResult::{OutboundResponse, RaisedEvent};
            match result {
                OutboundResponse(packet) => to_server.extend(packet.bytes),
                RaisedEvent(ConnectionRequestAccepted) => {
                    let kind = rml::PublishRequestType::Live;
                    results.push(client.request_publishing("key".into(), kind).expect("connected"));
                }
                RaisedEvent(PublishRequestAccepted) => sent = true,
                _ => {}
            }
        }
        if sent {
            for (type_id, time, body) in media().into_iter().filter(|m| !m.2.is_empty()) {
                let (data, time) = (body.into(), rml_rtmp::time::RtmpTimestamp::new(time));
                results.push(match type_id {
                    VIDEO => client.publish_video_data(data, time, false).expect("publishing"),
                    _ => client.publish_audio_data(data, time, false).expect("publishing"),
                });
            }
            sent = false;
        }
    }
    let got = heard(&events);
    let want: Vec<_> = media().into_iter().filter(|m| !m.2.is_empty()).collect();
    assert!(got == want, "{} of {} messages", got.len(), want.len());
}

/// Our client session playing from, and publishing to, `rml_rtmp`'s server session.
#[test]
fn playing_from_and_publishing_to_another_server() {
    use rml::ServerSessionEvent as Told;
    use rml::ServerSessionResult::{OutboundResponse, RaisedEvent};
    for role in [Role::Play, Role::Publish] {
        let mut client = ClientSession::new(role, &url(""), Mono(0)).expect("opens");
        let mut handshake =
            rml_rtmp::handshake::Handshake::new(rml_rtmp::handshake::PeerType::Server);
        let (mut server, mut results) =
            rml::ServerSession::new(rml::ServerSessionConfig::new()).expect("new");
        let (mut shaken, mut seen, mut length) = (false, Vec::new(), 0);
        let body = vec![7u8; 5000];
        for _ in 0..50 {
            let mut to_server = Vec::new();
            while let Some(output) = client.poll_output() {
                match output {
                    ClientOutput::Send(bytes) => to_server.extend_from_slice(&bytes),
                    ClientOutput::Event(ClientEvent::Ready) if role == Role::Publish => {
                        client.send_video(40, &body).expect("fits");
                    }
                    ClientOutput::Event(event) => seen.push(event),
                }
            }
            let mut to_client = Vec::new();
            let mut rest = to_server;
            if !shaken && !rest.is_empty() {
                let left = shake(&mut handshake, &rest, &mut to_client);
                shaken = left.is_some();
                rest = left.unwrap_or_default();
            }
            if shaken {
                results.extend(server.handle_input(&rest).expect("legal"));
                while let Some(result) = (!results.is_empty()).then(|| results.remove(0)) {
                    match result {
                        OutboundResponse(packet) => to_client.extend(packet.bytes),
                        RaisedEvent(
                            Told::ConnectionRequested { request_id, .. }
                            | Told::PublishStreamRequested { request_id, .. },
                        ) => results.extend(server.accept_request(request_id).expect("asked")),
                        RaisedEvent(Told::PlayStreamRequested {
                            request_id, stream_id, ..
                        }) => {
                            results.extend(server.accept_request(request_id).expect("asked"));
                            let time = rml_rtmp::time::RtmpTimestamp::new(40);
                            let data = body.clone().into();
                            let packet = server.send_video_data(stream_id, data, time, false);
                            results.push(OutboundResponse(packet.expect("playing")));
                        }
                        RaisedEvent(Told::VideoDataReceived { data, .. }) => length = data.len(),
                        _ => {}
                    }
                }
            }
            client.input_buf().extend_from_slice(&to_client);
            client.process(Mono(0));
        }
        match role {
            Role::Publish => assert_eq!((length, &seen[..]), (5000, &[][..])),
            Role::Play => {
                let video = ClientEvent::Video { timestamp: 40, body: body.into() };
                assert_eq!(seen, [ClientEvent::Ready, video]);
            }
        }
    }
}
