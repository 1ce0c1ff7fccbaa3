//! What both sides of a connection do alike: the handshake, protocol control (RTMP 1.0 sections 5.4
//! and 7.1.7), acknowledgements, aggregates, and the queue of what is to be sent and told.

use crate::rtmp::amf0::{Amf0, write_all};
use crate::rtmp::chunk::ChunkReader;
use crate::rtmp::chunk_writer::{ChunkWriter, PayloadTooLong};
use crate::rtmp::error::SessionError;
use crate::rtmp::handshake::{Handshake, HandshakeError};
use crate::rtmp::limits::ACK_WINDOW;
use crate::rtmp::message::{
    ACKNOWLEDGEMENT, AGGREGATE, Aggregate, COMMAND_AMF0, EVENT_PING_REQUEST, EVENT_PING_RESPONSE,
    Message, SET_PEER_BANDWIDTH, USER_CONTROL, WINDOW_ACK_SIZE,
};
use bytes::Bytes;
use std::collections::VecDeque;

/// What a session wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<E> {
    /// Write these bytes to the socket.
    Send(Bytes),
    /// Something happened.
    Event(E),
}

/// One side of a connection below its commands.
#[derive(Debug)]
pub(crate) struct Link<E> {
    handshake: Option<Handshake>,
    pub(crate) reader: ChunkReader,
    writer: ChunkWriter,
    pub(crate) out: VecDeque<Output<E>>,
    aggregate: Option<Aggregate>,
    /// Bytes between acknowledgements that the peer asked for.
    window: u32,
    /// Bytes received at the last acknowledgement.
    acknowledged: u64,
    /// What the peer has acknowledged, modulo 2^32.
    pub(crate) confirmed: u32,
}

impl<E> Link<E> {
    fn new(handshake: Handshake) -> Link<E> {
        Link {
            handshake: Some(handshake),
            reader: ChunkReader::new(),
            writer: ChunkWriter::default(),
            out: VecDeque::new(),
            aggregate: None,
            window: ACK_WINDOW,
            acknowledged: 0,
            confirmed: 0,
        }
    }

    /// A server's side, waiting for the client to speak.
    pub(crate) fn server() -> Link<E> {
        Link::new(Handshake::server())
    }

    /// A client's side, with its opening queued.
    pub(crate) fn client() -> Result<Link<E>, HandshakeError> {
        let (handshake, opening) = Handshake::client()?;
        let mut link = Link::new(handshake);
        link.out.push_back(Output::Send(opening));
        Ok(link)
    }

    /// Whether the handshake is still under way.
    pub(crate) fn shaking(&self) -> bool {
        self.handshake.is_some()
    }

    /// Does what the received bytes allow of the handshake.
    pub(crate) fn shake(&mut self) -> Result<(), SessionError> {
        let Some(handshake) = &mut self.handshake else { return Ok(()) };
        let bytes = self.reader.take_raw(handshake.wants());
        if bytes.is_empty() {
            return Ok(());
        }
        let step = handshake.step(&bytes)?;
        if !step.reply.is_empty() {
            self.out.push_back(Output::Send(step.reply));
        }
        if step.done {
            self.handshake = None;
        }
        Ok(())
    }

    /// The next message that is not protocol control; `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(part) = self.aggregate.as_mut().and_then(Iterator::next) {
                return Ok(Some(part));
            }
            self.aggregate = None;
            let Some(message) = self.reader.next()? else {
                self.acknowledge();
                return Ok(None);
            };
            match message.type_id {
                SET_PEER_BANDWIDTH => {}
                ACKNOWLEDGEMENT => {
                    if let Some(&bytes) = message.payload.first_chunk::<4>() {
                        self.confirmed = u32::from_be_bytes(bytes);
                    }
                }
                WINDOW_ACK_SIZE => {
                    // Zero and messages too short to hold a size leave the window as it is.
                    if let Some(&[a, b, c, d]) = message.payload.first_chunk::<4>()
                        && [a, b, c, d] != [0; 4]
                    {
                        self.window = u32::from_be_bytes([a, b, c, d]);
                    }
                }
                USER_CONTROL => self.user_control(&message.payload),
                AGGREGATE => self.aggregate = Some(Aggregate::new(message)),
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Answers a ping; every other event, known or not, whole or not, asks nothing of this side.
    fn user_control(&mut self, body: &[u8]) {
        if let [a, b, data @ ..] = body
            && u16::from_be_bytes([*a, *b]) == EVENT_PING_REQUEST
            && let Some(time) = data.first_chunk::<4>()
        {
            self.send_event(EVENT_PING_RESPONSE, u32::from_be_bytes(*time));
        }
    }

    /// Section 5.4.3: the total of bytes received, modulo 2^32, at least once a window.
    fn acknowledge(&mut self) {
        let received = self.reader.received();
        if received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = received;
            self.send_control(ACKNOWLEDGEMENT, &(received as u32).to_be_bytes());
        }
    }

    /// Queues one message; times are milliseconds modulo 2^32.
    pub(crate) fn send(
        &mut self,
        type_id: u8,
        stream_id: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), PayloadTooLong> {
        let bytes = self.writer.write(type_id, stream_id, timestamp, payload)?;
        self.out.push_back(Output::Send(bytes));
        Ok(())
    }

    /// Queues a protocol control message, which always fits.
    pub(crate) fn send_control(&mut self, type_id: u8, payload: &[u8]) {
        debug_assert!(payload.len() <= 10);
        let _fits = self.send(type_id, 0, 0, payload);
    }

    /// Queues a user control event with one 32-bit number.
    pub(crate) fn send_event(&mut self, event: u16, number: u32) {
        let body = [&event.to_be_bytes()[..], &number.to_be_bytes()].concat();
        self.send_control(USER_CONTROL, &body);
    }

    /// Queues Set Chunk Size; later messages are cut accordingly.
    pub(crate) fn send_chunk_size(&mut self, size: u32) {
        let bytes = self.writer.set_chunk_size(size);
        self.out.push_back(Output::Send(bytes));
    }

    /// Queues an AMF0 command. Every string of ours and of a peer is bounded far below a message's
    /// length.
    pub(crate) fn send_command(&mut self, stream_id: u32, values: &[Amf0]) {
        let body = write_all(values);
        let sent = self.send(COMMAND_AMF0, stream_id, 0, &body);
        debug_assert!(sent.is_ok());
    }
}

/// Payload of a message in AMF3 framing, which is a zero byte and AMF0; others as they are.
pub(crate) fn amf0_part(message: &Message) -> &[u8] {
    use crate::rtmp::message::{COMMAND_AMF3, DATA_AMF3};
    match (message.type_id, &message.payload[..]) {
        (COMMAND_AMF3 | DATA_AMF3, [0, rest @ ..]) => rest,
        (_, all) => all,
    }
}
