//! Fuzz bodies: each takes a stranger's bytes and asserts what must hold for all of them.
//! `tests/fuzz` runs them under cargo-fuzz; a seeded smoke run over mutations of valid sessions is
//! part of the tests.

use crate::base::time::Mono;
use crate::rtmp::amf0;
use crate::rtmp::chunk::ChunkReader;
use crate::rtmp::event::{Event, Output};
use crate::rtmp::limits::{HANDSHAKE_BYTES, PARTIAL_BYTES_MAX, VIDEO_MESSAGE_MAX};
use crate::rtmp::server::{ServerConfig, ServerSession};

/// The chunk reader: it never holds more than its limits, ends every input in finite work, and
/// reads the same messages whatever the pieces are that the bytes come in.
pub fn fuzz_chunk(bytes: &[u8]) {
    let read = |step: usize| {
        let mut reader = ChunkReader::new();
        reader.allow_media(true);
        let (mut messages, mut error) = (0u64, None);
        for piece in bytes.chunks(step.max(1)) {
            reader.push(piece);
            loop {
                match reader.next() {
                    Ok(Some(m)) => {
                        assert!(m.payload.len() <= VIDEO_MESSAGE_MAX);
                        messages += 1;
                    }
                    Ok(None) => break,
                    Err(e) => error = Some(e),
                }
                if error.is_some() {
                    return (messages, error);
                }
            }
            assert!(reader.unfinished() <= PARTIAL_BYTES_MAX);
            assert!(reader.buf_mut().len() < 18, "only an unfinished header waits");
        }
        (messages, error)
    };
    let step = 1 + bytes.first().map_or(0, |b| usize::from(*b));
    assert_eq!(read(bytes.len()), read(step));
}

/// The AMF0 reader: what it takes, it writes back to bytes that read as the same values.
pub fn fuzz_amf0(bytes: &[u8]) {
    if let Ok(values) = amf0::read_all(bytes) {
        let again = amf0::write_all(&values);
        // A replaced byte of a string grows, and may then pass the string limit.
        if again.len() <= bytes.len() {
            let read = amf0::read_all(&again).expect("what was written reads");
            // NaN is not equal to itself; its text is.
            assert_eq!(format!("{read:?}"), format!("{values:?}"));
        }
    }
}

/// The server session: the bytes follow a plain handshake, every publish is accepted, and nothing
/// comes after `Closed`. Returns how many outputs were events.
pub fn fuzz_server(bytes: &[u8]) -> usize {
    let mut session = ServerSession::new(ServerConfig::default(), Mono(0));
    session.input_buf().extend_from_slice(&[3]);
    session.input_buf().resize(HANDSHAKE_BYTES, 0);
    let (mut events, mut closed) = (0, false);
    let step = 1 + bytes.first().map_or(0, |b| usize::from(*b) * 16);
    for (i, piece) in std::iter::once(&[][..]).chain(bytes.chunks(step)).enumerate() {
        let now = Mono(i as u64 * 1000);
        session.input_buf().extend_from_slice(piece);
        session.process(now);
        while let Some(output) = session.poll_output() {
            let Output::Event(event) = output else { continue };
            assert!(!closed, "an event after Closed");
            events += 1;
            match event {
                Event::Publish(request) => {
                    assert!(!request.app.is_empty() && !request.stream_key.is_empty());
                    session.accept_publish(now);
                }
                Event::Closed { reason } => {
                    assert!(!reason.to_string().is_empty());
                    closed = true;
                }
                _ => {}
            }
        }
        assert_eq!(session.poll_timeout().is_none(), closed);
    }
    events
}

#[cfg(test)]
#[path = "fuzz_test.rs"]
mod tests;
