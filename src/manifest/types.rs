//! What a manifest says, checked: every field with its meaning, unit, default and limits. Not how
//! it is written (`raw`) nor how it is checked (`check`).

use crate::api::ladder::Ladder;
use crate::base::ids::Channel;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Most channels in one manifest: what one file can hold legibly.
pub const CHANNELS_MAX: usize = 10_000;
/// Most ladders in one manifest: channels share them, and nobody compares more by eye.
pub const LADDERS_MAX: usize = 100;
/// Shortest stream key in characters: below this a key can be guessed.
pub const STREAM_KEY_MIN: usize = 8;
/// Longest stream key in characters: encoders cut longer ones off silently.
pub const STREAM_KEY_MAX: usize = 256;
/// Most stream keys of one channel: every publish is compared with each.
pub const KEYS_PER_CHANNEL_MAX: usize = 16;
/// Shortest aimed-at segment: shorter ones cost more requests than they save delay; parts do that.
pub const SEGMENT_MIN: Duration = Duration::from_secs(1);
/// Longest aimed-at segment: a viewer without low-latency support is three segments behind.
pub const SEGMENT_MAX: Duration = Duration::from_secs(10);
/// Longest target duration in seconds: the memory of an open segment is bounded by it.
pub const TARGET_DURATION_MAX: u32 = 60;
/// Shortest part: below this a request costs more than its media.
pub const PART_MIN: Duration = Duration::from_millis(100);
/// Longest part: above this the playlist is not low-latency any more.
pub const PART_MAX: Duration = Duration::from_secs(2);
/// Longest wait for an encoder's return: each second of it is a gap in the playlist.
pub const RECONNECT_WINDOW_MAX: Duration = Duration::from_secs(3600);
/// Longest URL of a bucket in bytes: a name of 63 and a prefix, of which keys leave no more.
pub const BUCKET_URL_MAX: usize = 1_024;
/// Lowest nominal frame rate, in thousandths of a frame per second.
pub const FRAME_RATE_MIN: u32 = 1_000;
/// Highest nominal frame rate, in thousandths of a frame per second.
pub const FRAME_RATE_MAX: u32 = 240_000;
/// Shortest time between two syncs: a sync takes about 4 ms of the disk.
pub const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Longest time between two syncs: what a crash of the machine may cost.
pub const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Least free space below which publishes are refused: a new log reserves more than 1 MiB.
pub const LOW_SPACE_MIN: u64 = 4 << 20;
/// ... and most: above any volume, so that a slip of the pen is seen.
pub const LOW_SPACE_MAX: u64 = 1 << 50;
/// Most RTMP connections that may be asked for: each costs a descriptor and its buffers.
pub const CONNECTIONS_MAX: u32 = 100_000;
/// Shortest idle time-out: an encoder that sends one key frame a second must pass.
pub const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Longest idle time-out.
pub const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Longest drain: longer than any orchestrator waits.
pub const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// A whole manifest. `Manifest::default()` is what `castctl up` runs without a file: one channel
/// `main` without stream keys (the command generates one: this room is pure and has no randomness).
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The channels, in the file's order, names unique, 1 to 10000. Default: one, `main`, without
    /// keys.
    pub channels: Vec<ChannelSpec>,
    /// The ladders of this file, in its order, names unique, at most 100; beside those that are
    /// built in. Default: none.
    pub ladders: Vec<Arc<Ladder>>,
    /// Addresses, directories and limits of the processes.
    pub server: Server,
}

impl Default for Manifest {
    fn default() -> Manifest {
        let main = "main".parse().expect("`main` obeys the rule for channel names");
        let channels = vec![ChannelSpec::new(main)];
        Manifest { channels, ladders: Vec::new(), server: Server::default() }
    }
}

impl Manifest {
    /// The ladder of this name: this file's, or one that is built in.
    pub fn ladder(&self, name: &str) -> Option<Arc<Ladder>> {
        let own = self.ladders.iter().find(|l| l.name.as_str() == name);
        own.cloned().or_else(|| Ladder::built_in(name).map(Arc::new))
    }
}

/// One channel: who may publish, and how its timeline is cut.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelSpec {
    /// `name`: the channel, in URLs, metrics and directories. Required; unique.
    pub name: Channel,
    /// `keys`: the stream keys that publish here, at most 16, each unique over all channels.
    /// Default: none, which means that nobody can publish (`castctl up` generates one).
    pub keys: Vec<StreamKey>,
    /// `segment`: the aimed-at segment length. Default 2s; 1s to 10s.
    pub segment: Duration,
    /// `targetDuration`: the limit of a segment in whole seconds (EXT-X-TARGETDURATION). Default
    /// twice the segment, rounded up; at least the segment, at most 60s.
    pub target_duration: u32,
    /// `part`: the aimed-at part length. Default 500ms; 100ms to 2s, shorter than the segment.
    pub part: Duration,
    /// `reconnectWindow`: how long a session waits for its encoder's return. Default 60s; 0s to 1h.
    pub reconnect_window: Duration,
    /// `pace`: which clock media times are held against. Default `wall`.
    pub pace: Pace,
    /// `frameRate`: the nominal rate in thousandths of a frame per second, used where the encoder
    /// declares none. Default 30 (30000 here); 1 to 240.
    pub frame_rate_millis: u32,
    /// `sync`: when the log is made durable. Default: the server's.
    pub sync: SyncPolicy,
    /// `latencyBudget`: what a transcoded rendition may lag behind the source. Default the
    /// ladder's, else one part; 0s to the target duration, and at least what the ladder's encoders
    /// hold.
    pub latency_budget: Duration,
    /// `ladder`: what the channel is transcoded to, by the name of a ladder. Default `none`.
    pub ladder: Option<Arc<Ladder>>,
    /// `hlsTo`: the bucket and prefix that finished segments and playlists are put into while the
    /// channel is live, `SCHEME://…`, at most 1024 bytes. Default: none.
    pub hls_to: Option<String>,
}

impl ChannelSpec {
    /// A channel with every default.
    pub fn new(name: Channel) -> ChannelSpec {
        ChannelSpec {
            name,
            keys: Vec::new(),
            segment: Duration::from_secs(2),
            target_duration: 4,
            part: Duration::from_millis(500),
            reconnect_window: Duration::from_secs(60),
            pace: Pace::Wall,
            frame_rate_millis: 30_000,
            sync: SyncPolicy::default(),
            latency_budget: Duration::from_millis(500),
            ladder: None,
            hls_to: None,
        }
    }
}

/// A publisher's secret: 8 to 256 printable ASCII characters without space, `/`, `?`, `&` and `#`.
/// `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StreamKey(String);

/// Why a stream key is refused. Never contains the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamKeyError {
    /// Too short or too long.
    #[error(
        "a stream key has {STREAM_KEY_MIN} to {STREAM_KEY_MAX} characters; this one has {found}"
    )]
    Length {
        /// Its length in characters.
        found: usize,
    },
    /// A character that a URL cannot carry as it is.
    #[error(
        "a stream key is made of printable ASCII characters other than space, /, ?, & and #; \
         character {at} is none of them"
    )]
    Character {
        /// Which character, from 1.
        at: usize,
    },
}

impl StreamKey {
    /// Checks a key.
    pub fn new(text: &str) -> Result<StreamKey, StreamKeyError> {
        let found = text.chars().count();
        if !(STREAM_KEY_MIN..=STREAM_KEY_MAX).contains(&found) {
            return Err(StreamKeyError::Length { found });
        }
        let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '&' | '#');
        match text.chars().position(|c| !good(c)) {
            Some(i) => Err(StreamKeyError::Character { at: i + 1 }),
            None => Ok(StreamKey(text.to_owned())),
        }
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(hidden)")
    }
}

/// Which clock the media times of a publisher are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// `wall`: a live encoder; media time runs with the wall clock.
    #[default]
    Wall,
    /// `media`: media time runs as fast as it arrives; for replays at another speed.
    Media,
}

/// When a log is made durable: what a crash of the whole machine may cost. A crash of the process
/// costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// `interval: D`: D after the first unsynced record at the latest. 10ms to 60s.
    Interval(Duration),
    /// `each-segment`: when a segment is complete.
    EachSegment,
    /// `never`: when the kernel sees fit.
    Never,
}

impl Default for SyncPolicy {
    fn default() -> SyncPolicy {
        SyncPolicy::Interval(Duration::from_millis(500))
    }
}

/// Addresses, directories and limits of the processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// `data`: the data directory, relative to the working directory. Default `./castctl-data`.
    pub data: PathBuf,
    /// `sync`: the channels' default for when a log is made durable. Default `interval: 500ms`.
    pub sync: SyncPolicy,
    /// `lowSpace`: with fewer bytes free where the logs lie, new publishes are refused. Default
    /// 1 GiB; 4 MiB to 1 PiB.
    pub low_space: u64,
    /// `rtmp`: where encoders publish.
    pub rtmp: RtmpServer,
    /// `rtmps`: where encoders publish over TLS. Default: nowhere.
    pub rtmps: Option<RtmpsServer>,
    /// `viewers`: where playlists, media and the watch page are served.
    pub viewers: ViewerServer,
    /// `internal`: where other nodes read logs.
    pub internal: InternalServer,
    /// `admin`: where metrics and health are served.
    pub admin: AdminServer,
    /// `drainTimeout`: how long a stopping process lets what runs finish. Default 20s; 0s to 1h.
    pub drain_timeout: Duration,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            data: PathBuf::from("./castctl-data"),
            sync: SyncPolicy::default(),
            low_space: 1 << 30,
            rtmp: RtmpServer::default(),
            rtmps: None,
            viewers: ViewerServer::default(),
            internal: InternalServer::default(),
            admin: AdminServer::default(),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// The RTMP listener.
#[derive(Debug, Clone, PartialEq)]
pub struct RtmpServer {
    /// `listen`: address and port. Default `0.0.0.0:1935`.
    pub listen: SocketAddr,
    /// `maxConnections`: connections at one time. Default 1000; 1 to 100000.
    pub max_connections: u32,
    /// `idleTimeout`: a publisher silent for this long is cut off. Default 30s; 1s to 1h.
    pub idle_timeout: Duration,
}

impl Default for RtmpServer {
    fn default() -> RtmpServer {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1935);
        RtmpServer { listen, max_connections: 1000, idle_timeout: Duration::from_secs(30) }
    }
}

/// The listener for RTMP over TLS; connections and silence are limited as over plain RTMP, both
/// together.
#[derive(Debug, Clone, PartialEq)]
pub struct RtmpsServer {
    /// `listen`: address and port. Default `0.0.0.0:1936`.
    pub listen: SocketAddr,
    /// `tls`: the certificate. Required.
    pub tls: TlsFiles,
}

impl RtmpsServer {
    /// Where it listens unless told otherwise: beside plain RTMP's port; RTMPS has none of its own.
    pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 1936);
}

/// The viewers' HTTP listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewerServer {
    /// `listen`: address and port. Default `0.0.0.0:8080`.
    pub listen: SocketAddr,
    /// `tls`: the certificate with which this listener speaks TLS. Default: none, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// `corsOrigins`: the web pages that may read playlists and media. Default `["*"]`: every page.
    pub cors_origins: CorsOrigins,
    /// `publicUrl`: the base URL that viewers use, where it is not the listener's own; without a
    /// slash at its end. Default: none.
    pub public_url: Option<String>,
}

impl Default for ViewerServer {
    fn default() -> ViewerServer {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
        ViewerServer { listen, tls: None, cors_origins: CorsOrigins::Any, public_url: None }
    }
}

/// A certificate, in two PEM files, relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `certificate`: the certificate and those that vouch for it. Required.
    pub certificate: PathBuf,
    /// `key`: its private key. Required.
    pub key: PathBuf,
}

/// The web pages that a browser lets read playlists and media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// `["*"]`: every page.
    Any,
    /// Pages of these origins, `scheme://host[:port]`; none for an empty list.
    Only(Vec<String>),
}

/// The HTTP listener for other nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct InternalServer {
    /// `listen`: address and port. Default `127.0.0.1:8090`: it gives all recordings to everybody
    /// who can reach it, so it is never a public address.
    pub listen: SocketAddr,
}

impl Default for InternalServer {
    fn default() -> InternalServer {
        InternalServer { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8090) }
    }
}

/// The admin HTTP listener.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminServer {
    /// `listen`: address and port. Default `127.0.0.1:9090`: it shows internals and has no
    /// password.
    pub listen: SocketAddr,
}

impl Default for AdminServer {
    fn default() -> AdminServer {
        AdminServer { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090) }
    }
}
