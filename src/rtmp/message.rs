//! An RTMP message and the numbers of its types (RTMP 1.0 sections 5.4, 6.2 and 7.1). No parsing happens here.

use bytes::Bytes;

/// Set Chunk Size.
pub const SET_CHUNK_SIZE: u8 = 1;
/// Abort Message: forget what was received of a chunk stream's unfinished message.
pub const ABORT: u8 = 2;
/// Acknowledgement: bytes received so far.
pub const ACKNOWLEDGEMENT: u8 = 3;
/// User Control: an event number and its data.
pub const USER_CONTROL: u8 = 4;
/// Window Acknowledgement Size.
pub const WINDOW_ACK_SIZE: u8 = 5;
/// Set Peer Bandwidth.
pub const SET_PEER_BANDWIDTH: u8 = 6;
/// Audio: the body of an FLV audio tag.
pub const AUDIO: u8 = 8;
/// Video: the body of an FLV video tag.
pub const VIDEO: u8 = 9;
/// Data in AMF3 framing.
pub const DATA_AMF3: u8 = 15;
/// Command in AMF3 framing.
pub const COMMAND_AMF3: u8 = 17;
/// Data in AMF0.
pub const DATA_AMF0: u8 = 18;
/// Command in AMF0.
pub const COMMAND_AMF0: u8 = 20;
/// Aggregate: a row of FLV tags.
pub const AGGREGATE: u8 = 22;

/// User control event: a message stream begins.
pub const EVENT_STREAM_BEGIN: u16 = 0;
/// User control event: a message stream has no more data.
pub const EVENT_STREAM_EOF: u16 = 1;
/// User control event: the client's buffer in milliseconds.
pub const EVENT_SET_BUFFER_LENGTH: u16 = 3;
/// User control event: asks for a ping response with the same four bytes.
pub const EVENT_PING_REQUEST: u16 = 6;
/// User control event: the answer to a ping request.
pub const EVENT_PING_RESPONSE: u16 = 7;

/// One whole RTMP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the payload is; see the constants of this file.
    pub type_id: u8,
    /// The message stream; 0 is the connection itself.
    pub stream_id: u32,
    /// Milliseconds, modulo 2^32, from an origin of the sender's choice.
    pub timestamp: u32,
    /// The body, often a slice of the read buffer.
    pub payload: Bytes,
}

/// The messages inside an aggregate (RTMP 1.0 section 7.1.6), as slices of its payload.
///
/// Their times are the tags' own, moved so that the first is the aggregate's. A tail that is not a whole tag is left
/// out, as is any tag that is neither audio, video nor data.
pub fn split_aggregate(whole: &Message) -> Vec<Message> {
    let body = &whole.payload;
    let (mut out, mut at, mut shift) = (Vec::new(), 0usize, None);
    while let Some(head) = body.get(at..at + 11) {
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let time = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        let from = at + 11;
        if body.len() - from < length {
            break;
        }
        let shift = *shift.get_or_insert(whole.timestamp.wrapping_sub(time));
        if matches!(head[0], AUDIO | VIDEO | DATA_AMF0) {
            out.push(Message {
                type_id: head[0],
                stream_id: whole.stream_id,
                timestamp: time.wrapping_add(shift),
                payload: body.slice(from..from + length),
            });
        }
        at = from + length + 4;
    }
    out
}
