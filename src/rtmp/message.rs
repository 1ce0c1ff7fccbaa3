//! An RTMP message and the numbers of its types (RTMP 1.0 sections 5.4, 6.2 and 7.1). No parsing
//! happens here.

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

/// The messages inside an aggregate (RTMP 1.0 section 7.1.6), one at a time, as slices of its
/// payload.
///
/// Their times are the tags' own, moved so that the first is the aggregate's. A tail that is not a
/// whole tag is left out, as is any tag that is neither audio, video nor data.
#[derive(Debug)]
pub struct Aggregate {
    whole: Message,
    at: usize,
    shift: Option<u32>,
}

impl Aggregate {
    /// The messages of an aggregate message.
    pub fn new(whole: Message) -> Aggregate {
        Aggregate { whole, at: 0, shift: None }
    }
}

impl Iterator for Aggregate {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        loop {
            let body = &self.whole.payload;
            let head = body.get(self.at..)?.first_chunk::<11>()?;
            let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            let time = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
            let from = self.at + 11;
            body.get(from..from + length)?;
            let shift = *self.shift.get_or_insert(self.whole.timestamp.wrapping_sub(time));
            // Four bytes after each tag repeat its size.
            self.at = from + length + 4;
            if matches!(head[0], AUDIO | VIDEO | DATA_AMF0) {
                return Some(Message {
                    type_id: head[0],
                    stream_id: self.whole.stream_id,
                    timestamp: time.wrapping_add(shift),
                    payload: body.slice(from..from + length),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregate_splits_into_its_tags_with_times_from_its_own() {
        let tag = |type_id: u8, time: u32, body: &[u8]| {
            let [hi, a, b, c] = time.to_be_bytes();
            let head = [type_id, 0, 0, body.len() as u8, a, b, c, hi, 0, 0, 0];
            [&head[..], body, &[0, 0, 0, 11 + body.len() as u8]].concat()
        };
        let tags = [
            tag(VIDEO, 0x0100_0000, b"vv"),
            tag(99, 0x0100_0001, b"?"),
            tag(AUDIO, 0x0100_0017, b""),
            tag(DATA_AMF0, 0x0100_0018, b"d"),
            tag(VIDEO, 0x0100_0019, b"cut")[..12].to_vec(),
        ];
        let payload = tags.concat().into();
        let whole = Message { type_id: AGGREGATE, stream_id: 1, timestamp: 500, payload };
        let parts: Vec<_> =
            Aggregate::new(whole).map(|m| (m.type_id, m.timestamp, m.payload)).collect();
        let want = [(VIDEO, 500, "vv"), (AUDIO, 523, ""), (DATA_AMF0, 524, "d")];
        assert_eq!(parts, want.map(|(t, at, b)| (t, at, Bytes::from(b))));
    }
}
