//! Every limit the room sets on what a stranger can send, each with its reason. Nothing here is a
//! wish of the manifest: these protect the process, whoever the peer is.

use std::time::Duration;

/// Bytes one side sends in a handshake: version, random block, echo (RTMP 1.0 section 5.2). Never
/// more is buffered.
pub const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

/// From the socket's opening to the end of the handshake. It is one round trip; ten seconds forgive
/// a lossy uplink and still end a connection that only occupies a descriptor.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// From the end of the handshake to the `publish` command (client: to the server's consent): about
/// four round trips.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest silence of a publisher, counted between whole messages so that a drip of single bytes
/// does not help. Thirty seconds outlast a Wi-Fi roam; an encoder gone for longer reconnects
/// anyway.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest Set Chunk Size (RTMP 1.0 section 5.4.1: the top bit is zero). Payloads are taken as they
/// arrive, so a large chunk size costs no memory here; message sizes are what is limited.
pub const CHUNK_SIZE_MAX: u32 = 0x7FFF_FFFF;

/// Chunk size of both directions until a Set Chunk Size (RTMP 1.0 section 5.4.1).
pub const CHUNK_SIZE_INITIAL: usize = 128;

/// The chunk size this side announces. ffmpeg adopts it for its own direction, and at 64 KiB almost
/// every frame is one chunk, which is handed on without a copy.
pub const CHUNK_SIZE_OUT: u32 = 65_536;

/// Largest video or aggregate message: one coded picture. An intra picture of 8 MiB would be 1.6
/// Gbit/s at 25 fps.
pub const VIDEO_MESSAGE_MAX: usize = 8 << 20;

/// Largest audio message: one frame of any codec; 24-bit PCM of 8 channels at 48 kHz fills this in
/// 200 ms.
pub const AUDIO_MESSAGE_MAX: usize = 256 << 10;

/// Largest command or data message, and largest message of a type that is not known. A `connect`
/// has about 300 bytes, an `onMetaData` about 1 KiB, with embedded XMP a few dozen.
pub const DATA_MESSAGE_MAX: usize = 64 << 10;

/// Largest protocol control or user control message (types 1 to 6); the longest defined one has 10
/// bytes.
pub const CONTROL_MESSAGE_MAX: usize = 1 << 10;

/// Largest media message before a publish is accepted: nobody has shown a key yet.
pub const UNACCEPTED_MEDIA_MAX: usize = DATA_MESSAGE_MAX;

/// Chunk streams of a connection. Encoders use 3 to 6; multitrack senders a few dozen.
pub const CHUNK_STREAMS_MAX: usize = 64;

/// Announced bytes of all messages begun and not finished on a connection: two of the largest.
pub const PARTIAL_BYTES_MAX: usize = 2 * VIDEO_MESSAGE_MAX;

/// The same before a publish is accepted. A buffer is reserved when its message begins, so every
/// chunk stream of every stranger would hold one; encoders begin one message at a time, or two.
pub const UNACCEPTED_PARTIAL_MAX: usize = 4 * DATA_MESSAGE_MAX;

/// Nesting of AMF0 values. Metadata of multitrack senders nests 4 deep; the reader recurses, so
/// this bounds the stack.
pub const AMF_DEPTH_MAX: usize = 16;

/// AMF0 values in one message. The largest real metadata has about 200; this bounds memory to some
/// 64 KiB of nodes.
pub const AMF_VALUES_MAX: usize = 1024;

/// Longest AMF0 string or property name in bytes; XMP packets are the longest in use.
pub const AMF_STRING_MAX: usize = 32 << 10;

/// Longest application name (`connect`'s `app`) in bytes.
pub const APP_MAX: usize = 256;

/// Longest `tcUrl`, query or version string that is kept; a longer one is refused with the command.
pub const URL_MAX: usize = 2048;

/// Longest stream key in bytes, the query not counted.
pub const STREAM_KEY_MAX: usize = 256;

/// Codecs kept of those that a `connect` names; three dozen have a FourCC.
pub const FOURCC_MAX: usize = 64;

/// Message streams one connection may create. Encoders create one; some create a second after a
/// failed publish.
pub const MESSAGE_STREAMS_MAX: u32 = 8;

/// Publishes of one connection: encoders open a connection for each, and one connection is one
/// publisher's account.
pub const PUBLISHES_MAX: u32 = 1;

/// Bytes between acknowledgements when the peer names no window (RTMP 1.0 section 5.4.4), and the
/// window announced.
pub const ACK_WINDOW: u32 = 2_500_000;

/// Bytes a peer may send between its `publish` and the answer: they wait, so that an encoder that
/// does not wait itself loses nothing. Two seconds of 4 Mbit/s.
pub const UNANSWERED_BYTES_MAX: usize = 1 << 20;
