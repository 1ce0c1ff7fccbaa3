//! Tests of the chunk reader on hand-written chunks.

use super::*;
use crate::rtmp::limits::{CHUNK_SIZE_OUT, CHUNK_STREAMS_MAX, PARTIAL_BYTES_MAX};

/// A chunk whose header fields are those its type has.
fn chunk(fmt: u8, csid: u8, time: u32, type_id: u8, len: usize, body: &[u8]) -> Vec<u8> {
    let mut v = vec![fmt << 6 | csid];
    if fmt <= 2 {
        v.extend_from_slice(&time.to_be_bytes()[1..]);
    }
    if fmt <= 1 {
        v.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
        v.push(type_id);
    }
    if fmt == 0 {
        v.extend_from_slice(&1u32.to_le_bytes());
    }
    v.extend_from_slice(body);
    v
}

fn control(type_id: u8, value: u32) -> Vec<u8> {
    chunk(0, 2, 0, type_id, 4, &value.to_be_bytes())
}

/// Messages as `type@time:length`, and the error if it came to one. A media publisher's reader.
fn read(chunks: &[Vec<u8>]) -> (Vec<String>, Option<String>) {
    let mut reader = ChunkReader::new();
    reader.allow_media(true);
    reader.push(&chunks.concat());
    let mut seen = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(m)) => {
                assert!(m.payload.windows(2).all(|w| w[0] == w[1]), "mixed payload");
                seen.push(format!("{}@{}:{}", m.type_id, m.timestamp, m.payload.len()));
            }
            Ok(None) => return (seen, None),
            Err(e) => return (seen, Some(e.to_string())),
        }
    }
}

#[track_caller]
fn accepts(chunks: &[Vec<u8>], messages: &[&str]) {
    let (seen, error) = read(chunks);
    assert_eq!((seen.as_slice(), error), (messages.map_owned().as_slice(), None));
}

#[track_caller]
fn refuses(chunks: &[Vec<u8>], text: &str) {
    assert_eq!(read(chunks).1.as_deref(), Some(text));
}

trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}
impl MapOwned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}

#[test]
fn a_small_audio_message_inside_a_video_message() {
    accepts(
        &[
            chunk(0, 6, 10, 9, 300, &[7; 128]),
            chunk(0, 4, 11, 8, 10, &[8; 10]),
            chunk(3, 6, 0, 0, 0, &[7; 128]),
            chunk(3, 6, 0, 0, 0, &[7; 44]),
        ],
        &["8@11:10", "9@10:300"],
    );
}

#[test]
fn a_larger_audio_message_interleaved_chunk_by_chunk_with_video() {
    accepts(
        &[
            chunk(0, 6, 10, 9, 300, &[7; 128]),
            chunk(0, 4, 11, 8, 200, &[8; 128]),
            chunk(3, 4, 0, 0, 0, &[8; 72]),
            chunk(3, 6, 0, 0, 0, &[7; 128]),
            chunk(3, 6, 0, 0, 0, &[7; 44]),
        ],
        &["8@11:200", "9@10:300"],
    );
}

#[test]
fn a_length_that_changes_inside_a_message_is_refused() {
    refuses(
        &[chunk(0, 6, 10, 9, 300, &[7; 128]), chunk(1, 6, 10, 9, 100, &[7; 100])],
        "byte 140: chunk stream 6 changes its message's length from 300 to 100 bytes",
    );
    refuses(
        &[chunk(0, 6, 10, 9, 300, &[7; 128]), chunk(1, 6, 10, 8, 300, &[7; 128])],
        "byte 140: chunk stream 6 changes its message's type from 9 to 8",
    );
}

#[test]
fn full_headers_that_repeat_the_message_continue_it() {
    accepts(
        &[
            chunk(0, 6, 10, 9, 200, &[7; 128]),
            chunk(0, 6, 10, 9, 200, &[7; 72]),
            chunk(2, 6, 5, 0, 0, &[7; 128]),
            chunk(3, 6, 0, 0, 0, &[7; 72]),
        ],
        &["9@10:200", "9@15:200"],
    );
}

#[test]
fn abort_forgets_the_unfinished_message() {
    let mut reader = ChunkReader::new();
    reader.push(&chunk(0, 6, 10, 9, 300, &[7; 128]));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.unfinished(), 300);
    reader.push(&control(ABORT, 6));
    reader.push(&control(ABORT, 6));
    reader.push(&control(ABORT, 77));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.unfinished(), 0);
    reader.push(&chunk(0, 6, 20, 9, 5, &[1; 5]));
    assert_eq!(reader.next().map(|m| m.map(|m| m.payload.len())), Ok(Some(5)));
}

#[test]
fn extended_timestamps() {
    let ext = |v: u32, n: usize| [&v.to_be_bytes()[..], &vec![7; n]].concat();
    // Below 0xFFFFFF in the long form, on a delta header.
    accepts(
        &[chunk(0, 6, 10, 9, 5, &[7; 5]), chunk(1, 6, EXTENDED, 9, 5, &ext(1, 5))],
        &["9@10:5", "9@11:5"],
    );
    // Repeated in the middle of a message, as ffmpeg does; the next delta is short again.
    accepts(
        &[
            chunk(0, 6, EXTENDED, 9, 200, &ext(0x0100_0000, 128)),
            chunk(3, 6, 0, 0, 0, &ext(0x0100_0000, 72)),
            chunk(1, 6, 33, 9, 5, &[7; 5]),
        ],
        &["9@16777216:200", "9@16777249:5"],
    );
    // Not repeated: some encoders do not.
    accepts(
        &[
            chunk(0, 6, EXTENDED, 9, 200, &ext(0x0100_0000, 128)),
            chunk(3, 6, 0, 0, 0, &[7; 72]),
            chunk(1, 6, 33, 9, 5, &[7; 5]),
        ],
        &["9@16777216:200", "9@16777249:5"],
    );
    // A type 3 chunk that begins a message repeats the delta, and times wrap.
    accepts(
        &[
            chunk(0, 6, EXTENDED, 9, 5, &ext(u32::MAX - 9, 5)),
            chunk(2, 6, 10, 0, 0, &[7; 5]),
            chunk(3, 6, 0, 0, 0, &[7; 5]),
        ],
        &["9@4294967286:5", "9@0:5", "9@10:5"],
    );
    accepts(
        &[
            chunk(0, 6, 10, 9, 5, &[7; 5]),
            chunk(2, 6, EXTENDED, 0, 0, &ext(EXTENDED, 5)),
            chunk(3, 6, 0, 0, 0, &ext(EXTENDED, 5)),
        ],
        &["9@10:5", "9@16777225:5", "9@33554440:5"],
    );
}

#[test]
fn set_chunk_size_zero_and_the_largest() {
    refuses(&[control(1, 0)], "byte 0: Set Chunk Size 0 is not between 1 and 2147483647");
    refuses(
        &[control(1, 0x8000_0000)],
        "byte 0: Set Chunk Size 2147483648 is not between 1 and 2147483647",
    );
    accepts(&[control(1, CHUNK_SIZE_MAX), chunk(0, 6, 0, 9, 500, &[7; 500])], &["9@0:500"]);
    refuses(
        &[control(1, CHUNK_SIZE_MAX), chunk(0, 6, 20, 9, 0xFF_FFFF, &[1; 5])],
        "byte 16: chunk stream 6 announces a type 9 message of 16777215 bytes; \
         the limit is 8388608",
    );
    refuses(
        &[chunk(0, 2, 0, 1, 3, &[0; 3])],
        "byte 0: the type 1 control message has 3 bytes, it needs 4",
    );
}

#[test]
fn a_new_chunk_size_counts_inside_a_message_under_way() {
    accepts(
        &[
            chunk(0, 6, 10, 9, 300, &[7; 128]),
            control(1, CHUNK_SIZE_OUT),
            chunk(3, 6, 0, 0, 0, &[7; 172]),
        ],
        &["9@10:300"],
    );
}

#[test]
fn every_type_has_its_largest_message() {
    for (type_id, limit) in [
        (4, CONTROL_MESSAGE_MAX),
        (AUDIO, AUDIO_MESSAGE_MAX),
        (VIDEO, VIDEO_MESSAGE_MAX),
        (AGGREGATE, VIDEO_MESSAGE_MAX),
        (18, DATA_MESSAGE_MAX),
        (20, DATA_MESSAGE_MAX),
        (99, DATA_MESSAGE_MAX),
    ] {
        accepts(&[chunk(0, 6, 0, type_id, limit, &[])], &[]);
        refuses(
            &[chunk(0, 6, 0, type_id, limit + 1, &[])],
            &format!(
                "byte 0: chunk stream 6 announces a type {type_id} message of {} bytes; \
                 the limit is {limit}",
                limit + 1
            ),
        );
    }
    let mut before_accept = ChunkReader::new();
    before_accept.push(&chunk(0, 6, 0, VIDEO, UNACCEPTED_MEDIA_MAX + 1, &[]));
    assert_eq!(
        before_accept.next().map_err(|e| e.to_string()),
        Err("byte 0: chunk stream 6 announces a type 9 message of 65537 bytes; the limit is 65536"
            .into())
    );
}

#[test]
fn chunk_streams_and_unfinished_bytes_are_bounded() {
    assert_eq!((CHUNK_STREAMS_MAX, PARTIAL_BYTES_MAX), (64, 16_777_216));
    let one = |csid: u8| chunk(0, csid, 0, 8, 1, &[1]);
    let low: Vec<_> = (2..62).map(one).collect();
    let forms = [&[0, 255][..], &[1, 0, 1], &[1, 255, 255], &[0, 0], &[1, 7, 0]]
        .map(|basic| [basic, &one(3)[1..]].concat());
    refuses(
        &[low, forms.to_vec()].concat(),
        "byte 838: chunk stream 71 is one more than the 64 of a connection",
    );
    let huge = |csid| chunk(0, csid, 0, 9, VIDEO_MESSAGE_MAX, &[7; 128]);
    refuses(
        &[huge(4), huge(5), chunk(0, 6, 0, 8, 200, &[1; 128])],
        "byte 280: chunk stream 6 brings the unfinished messages to 16777416 bytes; \
         the limit is 16777216",
    );
}

#[test]
fn a_stranger_has_few_messages_open() {
    let mut before_accept = ChunkReader::new();
    for csid in 3..8 {
        before_accept.push(&chunk(0, csid, 0, 20, DATA_MESSAGE_MAX, &[2; 128]));
    }
    assert_eq!(
        before_accept.next().map_err(|e| e.to_string()),
        Err("byte 560: chunk stream 7 brings the unfinished messages to 327680 bytes; \
             the limit is 262144"
            .into())
    );
    assert_eq!(before_accept.unfinished(), UNACCEPTED_PARTIAL_MAX);
}

#[test]
fn the_three_forms_of_a_chunk_stream_id_are_told_apart() {
    let body = &chunk(0, 3, 7, 9, 200, &[7; 128])[1..];
    for basic in [&[63][..], &[0, 0], &[0, 255], &[1, 0, 1], &[1, 255, 255]] {
        let mut rest = basic.to_vec();
        rest[0] |= 3 << 6;
        accepts(
            &[[basic, body].concat(), one_inside(), [&rest[..], &[7; 72]].concat()],
            &["8@1:3", "9@7:200"],
        );
    }
    fn one_inside() -> Vec<u8> {
        chunk(0, 3, 1, 8, 3, &[8; 3])
    }
}

#[test]
fn headers_without_a_predecessor() {
    for fmt in [2, 3] {
        let text = format!(
            "byte 0: the first chunk of chunk stream 6 has a type {fmt} header, \
             which repeats fields of an earlier one"
        );
        refuses(&[chunk(fmt, 6, 0, 0, 0, &[])], &text);
    }
    // librtmp opens its control stream with a type 1 header.
    accepts(&[chunk(1, 2, 0, 4, 6, &[0; 6])], &["4@0:6"]);
}

#[test]
fn empty_messages_are_messages() {
    accepts(&[chunk(0, 6, 1, 8, 0, &[]), chunk(3, 6, 0, 0, 0, &[])], &["8@1:0", "8@2:0"]);
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let all = [
        chunk(0, 6, 10, 9, 300, &[7; 128]),
        chunk(0, 4, EXTENDED, 8, 10, &[&(1u32 << 24).to_be_bytes()[..], &[8; 10]].concat()),
        chunk(3, 6, 0, 0, 0, &[7; 128]),
        chunk(3, 6, 0, 0, 0, &[7; 44]),
    ]
    .concat();
    for step in 1..=all.len() {
        let mut reader = ChunkReader::new();
        let mut seen = Vec::new();
        for piece in all.chunks(step) {
            reader.push(piece);
            while let Some(m) = reader.next().expect("legal") {
                seen.push((m.type_id, m.timestamp, m.payload.len()));
            }
        }
        assert_eq!(seen, [(8, 1 << 24, 10), (9, 10, 300)], "pieces of {step}");
        assert_eq!((reader.received(), reader.unfinished()), (all.len() as u64, 0));
    }
}

#[test]
fn a_message_whole_in_the_buffer_is_not_copied() {
    let mut reader = ChunkReader::new();
    reader.push(&chunk(0, 6, 10, 9, 100, &[7; 100]));
    let from = reader.buf_mut()[12..].as_ptr();
    let message = reader.next().expect("legal").expect("whole");
    assert_eq!(message.payload.as_ptr(), from);
}
