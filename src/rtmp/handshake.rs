//! The handshake (RTMP 1.0 section 5.2): `rml_rtmp`'s, which knows the digest variant too, behind a
//! gate that feeds it no more bytes than a handshake has. It buffers whatever it is fed, so the
//! gate is its bound.

use crate::rtmp::limits::HANDSHAKE_BYTES;
use bytes::Bytes;
use rml_rtmp::handshake as rml;

/// Why a peer's opening bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is not RTMP's version 3.
    #[error("the peer opened with byte 0x{first:02x}, not with RTMP version 3{}", hint(*first))]
    Version {
        /// The byte.
        first: u8,
    },
    /// The handshake library's own verdict.
    #[error("the handshake failed: {0}")]
    Failed(String),
}

/// What a wrong first byte usually is.
fn hint(first: u8) -> &'static str {
    match first {
        0x16 => "; this looks like TLS (rtmps://) on a plain RTMP port",
        b'G' | b'P' | b'H' | b'O' => "; this looks like HTTP on an RTMP port",
        6 => "; this is encrypted RTMP (rtmpe://), which is not supported",
        _ => "",
    }
}

/// One side's handshake.
pub(crate) struct Handshake {
    inner: rml::Handshake,
    fed: usize,
}

/// What one step came to.
#[derive(Debug)]
pub(crate) struct Step {
    /// Bytes for the peer; may be empty.
    pub(crate) reply: Bytes,
    /// No more steps follow.
    pub(crate) done: bool,
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("fed", &self.fed).finish_non_exhaustive()
    }
}

impl Handshake {
    /// The server's side: it speaks when the client has.
    pub(crate) fn server() -> Handshake {
        Handshake { inner: rml::Handshake::new(rml::PeerType::Server), fed: 0 }
    }

    /// The client's side and the bytes it opens with.
    pub(crate) fn client() -> Result<(Handshake, Bytes), HandshakeError> {
        let mut inner = rml::Handshake::new(rml::PeerType::Client);
        let opening = inner.generate_outbound_p0_and_p1().map_err(failed)?;
        Ok((Handshake { inner, fed: 0 }, opening.into()))
    }

    /// How many more of the peer's bytes belong to the handshake.
    pub(crate) fn wants(&self) -> usize {
        HANDSHAKE_BYTES - self.fed
    }

    /// Takes bytes of the peer, at most [`Handshake::wants`].
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, HandshakeError> {
        debug_assert!(bytes.len() <= self.wants());
        if let (0, Some(&first)) = (self.fed, bytes.first())
            && first != 3
        {
            return Err(HandshakeError::Version { first });
        }
        self.fed += bytes.len();
        match self.inner.process_bytes(bytes).map_err(failed)? {
            rml::HandshakeProcessResult::InProgress { response_bytes } => {
                Ok(Step { reply: response_bytes.into(), done: false })
            }
            rml::HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                debug_assert!(remaining_bytes.is_empty());
                Ok(Step { reply: response_bytes.into(), done: true })
            }
        }
    }
}

fn failed(e: rml::HandshakeError) -> HandshakeError {
    HandshakeError::Failed(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_finish_with_bytes_in_any_pieces() {
        for step in [1, 7, 1536, 1537, HANDSHAKE_BYTES] {
            let (mut client, opening) = Handshake::client().expect("opens");
            let mut server = Handshake::server();
            let (mut to_server, mut to_client) = (opening.to_vec(), Vec::new());
            let (mut server_done, mut client_done) = (false, false);
            while !(server_done && client_done) {
                for piece in std::mem::take(&mut to_server).chunks(step) {
                    let s = server.step(piece).expect("legal");
                    to_client.extend_from_slice(&s.reply);
                    server_done |= s.done;
                }
                for piece in std::mem::take(&mut to_client).chunks(step) {
                    let s = client.step(piece).expect("legal");
                    to_server.extend_from_slice(&s.reply);
                    client_done |= s.done;
                }
            }
            assert_eq!((client.wants(), server.wants()), (0, 0), "pieces of {step}");
        }
    }

    #[test]
    fn a_plain_handshake_is_answered_with_an_echo() {
        let mut server = Handshake::server();
        let block: Vec<u8> = [vec![0; 8], vec![0x55; 1528]].concat();
        let reply = server.step(&[&[3], &block[..]].concat()).expect("legal").reply;
        assert_eq!(reply.len(), HANDSHAKE_BYTES);
        assert_eq!(reply[1537..], block);
        assert!(server.step(&reply[1..1537]).expect("legal").done);
    }

    #[test]
    fn other_protocols_are_named() {
        for (first, text) in [
            (
                0x16,
                "the peer opened with byte 0x16, not with RTMP version 3; \
                 this looks like TLS (rtmps://) on a plain RTMP port",
            ),
            (
                b'G',
                "the peer opened with byte 0x47, not with RTMP version 3; \
                 this looks like HTTP on an RTMP port",
            ),
            (
                6,
                "the peer opened with byte 0x06, not with RTMP version 3; \
                 this is encrypted RTMP (rtmpe://), which is not supported",
            ),
            (0, "the peer opened with byte 0x00, not with RTMP version 3"),
        ] {
            let error = Handshake::server().step(&[first]).expect_err("refused");
            assert_eq!(error.to_string(), text);
        }
    }
}
