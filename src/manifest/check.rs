//! From what is written to what it means: units, ranges, and the rules between fields. Collects
//! every error.

use crate::base::ids::Channel;
use crate::base::units;
use crate::manifest::locate::Places;
use crate::manifest::parse::{ERRORS_MAX, ManifestError};
use crate::manifest::raw::{RawChannel, RawManifest, RawServer, RawSync, RawViewers, Text};
use crate::manifest::text::{http_url, show};
use crate::manifest::types::{
    AdminServer, CHANNELS_MAX, CONNECTIONS_MAX, ChannelSpec, CorsOrigins, DRAIN_TIMEOUT_MAX,
    FRAME_RATE_MAX, FRAME_RATE_MIN, IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, InternalServer,
    KEYS_PER_CHANNEL_MAX, LOW_SPACE_MAX, LOW_SPACE_MIN, Manifest, PART_MAX, PART_MIN, Pace,
    RECONNECT_WINDOW_MAX, RtmpServer, SEGMENT_MAX, SEGMENT_MIN, SYNC_INTERVAL_MAX,
    SYNC_INTERVAL_MIN, Server, StreamKey, SyncPolicy, TARGET_DURATION_MAX, ViewerServer,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One check of one file.
pub(super) struct Check<'a> {
    file: &'a str,
    places: &'a Places,
    /// What is wrong so far, at most `ERRORS_MAX`.
    pub(super) errors: Vec<ManifestError>,
    /// Path of the channel that has the name.
    names: HashMap<Channel, String>,
    /// Path of the stream key.
    keys: HashMap<StreamKey, String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(file: &'a str, places: &'a Places) -> Check<'a> {
        Check { file, places, errors: Vec::new(), names: HashMap::new(), keys: HashMap::new() }
    }

    /// The whole manifest; meaningless when there are errors.
    pub(super) fn manifest(&mut self, raw: &RawManifest) -> Manifest {
        let server = match &raw.server {
            Some(raw) => self.server(raw),
            None => Server::default(),
        };
        let default = Manifest::default().channels;
        let channels = match &raw.channels {
            None => default.into_iter().map(|c| ChannelSpec { sync: server.sync, ..c }).collect(),
            Some(list) => {
                if list.is_empty() {
                    self.error("channels", "a manifest has at least one channel");
                }
                if list.len() > CHANNELS_MAX {
                    let found = list.len();
                    self.error("channels", format!("{found} are too many, at most {CHANNELS_MAX}"));
                }
                let each = list.iter().take(CHANNELS_MAX).enumerate();
                each.filter_map(|(i, c)| self.channel(&format!("channels[{i}]"), c, server.sync))
                    .collect()
            }
        };
        Manifest { channels, server }
    }

    fn error(&mut self, path: &str, message: impl AsRef<str>) {
        if self.errors.len() < ERRORS_MAX {
            let place = self.places.value(path);
            self.errors.push(ManifestError::new(self.file, place, path, message.as_ref()));
        }
    }

    fn channel(&mut self, at: &str, raw: &RawChannel, sync: SyncPolicy) -> Option<ChannelSpec> {
        let name = self.name(&format!("{at}.name"), &raw.name);
        let keys = self.keys(&format!("{at}.keys"), raw.keys.as_deref().unwrap_or_default());
        let base = ChannelSpec::new(name.clone().unwrap_or_else(placeholder));
        let path = |field: &str| format!("{at}.{field}");
        let segment =
            self.duration(&path("segment"), &raw.segment, base.segment, SEGMENT_MIN..=SEGMENT_MAX);
        let target = self.target(&path("targetDuration"), &raw.target_duration, segment);
        let part = self.duration(&path("part"), &raw.part, base.part, PART_MIN..=PART_MAX);
        if part >= segment && part <= PART_MAX {
            let message = format!(
                "the part, {}, must be shorter than the segment, {}",
                show(part),
                show(segment)
            );
            self.error(&path("part"), message);
        }
        let window = &raw.reconnect_window;
        let window_range = Duration::ZERO..=RECONNECT_WINDOW_MAX;
        let reconnect_window =
            self.duration(&path("reconnectWindow"), window, base.reconnect_window, window_range);
        let pace = self.pace(&path("pace"), &raw.pace);
        let frame_rate_millis =
            self.frame_rate(&path("frameRate"), &raw.frame_rate, base.frame_rate_millis);
        let sync = match &raw.sync {
            Some(raw) => self.sync(&path("sync"), raw),
            None => sync,
        };
        let budget_range = Duration::ZERO..=Duration::from_secs(u64::from(target));
        let latency_budget =
            self.duration(&path("latencyBudget"), &raw.latency_budget, part, budget_range);
        Some(ChannelSpec {
            name: name?,
            keys,
            segment,
            target_duration: target,
            part,
            reconnect_window,
            pace,
            frame_rate_millis,
            sync,
            latency_budget,
        })
    }

    fn name(&mut self, path: &str, text: &str) -> Option<Channel> {
        match text.parse::<Channel>() {
            Ok(name) => {
                if let Some(first) = self.names.insert(name.clone(), path.to_owned()) {
                    self.error(
                        path,
                        format!("the name {text:?} is taken by {}", self.seen(&first)),
                    );
                }
                Some(name)
            }
            Err(e) => {
                self.error(path, e.to_string());
                None
            }
        }
    }

    fn keys(&mut self, at: &str, raw: &[String]) -> Vec<StreamKey> {
        if raw.len() > KEYS_PER_CHANNEL_MAX {
            let message = format!(
                "a channel has at most {KEYS_PER_CHANNEL_MAX} stream keys, not {}",
                raw.len()
            );
            self.error(at, message);
            return Vec::new();
        }
        let mut keys = Vec::with_capacity(raw.len());
        for (i, text) in raw.iter().enumerate() {
            let path = format!("{at}[{i}]");
            match StreamKey::new(text) {
                Ok(key) => {
                    if let Some(first) = self.keys.insert(key.clone(), path.clone()) {
                        let message = format!("the same stream key as {}", self.seen(&first));
                        self.error(&path, message);
                    }
                    keys.push(key);
                }
                Err(e) => self.error(&path, e.to_string()),
            }
        }
        keys
    }

    /// `channels[0].name (line 3)`
    fn seen(&self, path: &str) -> String {
        format!("{path} (line {})", self.places.value(path).line)
    }

    fn duration(
        &mut self,
        path: &str,
        raw: &Text,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = raw else { return default };
        match units::duration(text) {
            Ok(d) => {
                self.range(path, text, d, range, show);
                d
            }
            Err(e) => {
                self.error(path, e.to_string());
                default
            }
        }
    }

    fn range<T: PartialOrd + Copy>(
        &mut self,
        path: &str,
        text: &str,
        value: T,
        range: RangeInclusive<T>,
        show: impl Fn(T) -> String,
    ) {
        if value < *range.start() {
            self.error(path, format!("{text:?} is below the minimum, {}", show(*range.start())));
        } else if value > *range.end() {
            self.error(path, format!("{text:?} is above the maximum, {}", show(*range.end())));
        }
    }

    fn target(&mut self, path: &str, raw: &Text, segment: Duration) -> u32 {
        let default = 2 * segment;
        let max = Duration::from_secs(u64::from(TARGET_DURATION_MAX));
        let d = self.duration(path, raw, default, Duration::from_secs(1)..=max);
        if let Some(text) = raw {
            if d.subsec_nanos() != 0 {
                self.error(path, format!("{text:?} is not a whole number of seconds"));
            } else if d < segment {
                let aim = show(segment);
                self.error(path, format!("{text:?} is shorter than the channel's segment, {aim}"));
            }
        }
        let secs = d.as_secs() + u64::from(d.subsec_nanos() != 0);
        u32::try_from(secs).unwrap_or(TARGET_DURATION_MAX)
    }

    fn pace(&mut self, path: &str, raw: &Text) -> Pace {
        match raw.as_deref() {
            None | Some("wall") => Pace::Wall,
            Some("media") => Pace::Media,
            Some(other) => {
                self.error(path, format!("{other:?} is not a pace: write wall or media"));
                Pace::Wall
            }
        }
    }

    fn frame_rate(&mut self, path: &str, raw: &Text, default: u32) -> u32 {
        let Some(text) = raw else { return default };
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match text.parse::<f64>() {
            Ok(rate) if plain => {
                let millis = (rate * 1000.0).round() as u32;
                let range = FRAME_RATE_MIN..=FRAME_RATE_MAX;
                self.range(path, text, millis, range, |m| (m / 1000).to_string());
                millis
            }
            _ => {
                let hint = "write frames per second (for example 25 or 29.97)";
                self.error(path, format!("{text:?} is not a frame rate: {hint}"));
                default
            }
        }
    }

    fn sync(&mut self, path: &str, raw: &RawSync) -> SyncPolicy {
        match raw {
            RawSync::EachSegment => SyncPolicy::EachSegment,
            RawSync::Never => SyncPolicy::Never,
            RawSync::Interval(text) => {
                let path = format!("{path}.interval");
                let range = SYNC_INTERVAL_MIN..=SYNC_INTERVAL_MAX;
                let text = Some(text.clone());
                SyncPolicy::Interval(self.duration(&path, &text, SYNC_INTERVAL_MIN, range))
            }
        }
    }

    fn server(&mut self, raw: &RawServer) -> Server {
        let base = Server::default();
        let data = match raw.data.as_deref() {
            Some("") => {
                self.error("server.data", "a directory has a name");
                base.data
            }
            Some(dir) => dir.into(),
            None => base.data,
        };
        let sync = raw.sync.as_ref().map_or(base.sync, |s| self.sync("server.sync", s));
        let low_space = self.low_space(raw.low_space.as_ref(), base.low_space);
        let rtmp = self.rtmp(raw);
        let viewers = match &raw.viewers {
            Some(raw) => self.viewers(raw),
            None => ViewerServer::default(),
        };
        let internal = raw.internal.as_ref().and_then(|a| a.listen.as_ref());
        let listen = self.listen("server.internal.listen", internal, base.internal.listen);
        let internal = InternalServer { listen };
        let admin = raw.admin.as_ref().and_then(|a| a.listen.as_ref());
        let listen = self.listen("server.admin.listen", admin, base.admin.listen);
        let listeners = [
            ("server.rtmp.listen", rtmp.listen),
            ("server.viewers.listen", viewers.listen),
            ("server.internal.listen", internal.listen),
            ("server.admin.listen", listen),
        ];
        self.apart(&listeners);
        let range = Duration::ZERO..=DRAIN_TIMEOUT_MAX;
        let drain_timeout =
            self.duration("server.drainTimeout", &raw.drain_timeout, base.drain_timeout, range);
        let admin = AdminServer { listen };
        Server { data, sync, low_space, rtmp, viewers, internal, admin, drain_timeout }
    }

    fn low_space(&mut self, raw: Option<&String>, default: u64) -> u64 {
        let Some(text) = raw else { return default };
        let path = "server.lowSpace";
        match units::bytes(text) {
            Ok(n) => {
                let show = |n| units::HumanBytes(n).to_string();
                self.range(path, text, n, LOW_SPACE_MIN..=LOW_SPACE_MAX, show);
                n
            }
            Err(e) => {
                self.error(path, e.to_string());
                default
            }
        }
    }

    fn rtmp(&mut self, raw: &RawServer) -> RtmpServer {
        let base = RtmpServer::default();
        let Some(raw) = &raw.rtmp else { return base };
        let listen = self.listen("server.rtmp.listen", raw.listen.as_ref(), base.listen);
        let mut max_connections = base.max_connections;
        if let Some(text) = &raw.max_connections {
            let path = "server.rtmp.maxConnections";
            match text.parse::<u32>() {
                Ok(n) => {
                    self.range(path, text, n, 1..=CONNECTIONS_MAX, |n| n.to_string());
                    max_connections = n;
                }
                Err(_) => self.error(path, format!("{text:?} is not a whole number")),
            }
        }
        let idle = IDLE_TIMEOUT_MIN..=IDLE_TIMEOUT_MAX;
        let path = "server.rtmp.idleTimeout";
        let idle_timeout = self.duration(path, &raw.idle_timeout, base.idle_timeout, idle);
        RtmpServer { listen, max_connections, idle_timeout }
    }

    fn viewers(&mut self, raw: &RawViewers) -> ViewerServer {
        let base = ViewerServer::default();
        let listen = self.listen("server.viewers.listen", raw.listen.as_ref(), base.listen);
        let cors_origins = match raw.cors_origins.as_deref() {
            None => CorsOrigins::Any,
            Some([star]) if star == "*" => CorsOrigins::Any,
            Some(list) => {
                for (i, text) in list.iter().enumerate() {
                    let path = format!("server.viewers.corsOrigins[{i}]");
                    if text == "*" {
                        self.error(&path, "\"*\" allows every page and stands alone");
                    } else if http_url(text).is_none_or(|rest| rest.contains('/')) {
                        let hint = "write scheme://host[:port] (for example https://example.com)";
                        self.error(&path, format!("{text:?} is not an origin: {hint}"));
                    }
                }
                CorsOrigins::Only(list.to_vec())
            }
        };
        let public_url = raw.public_url.as_ref().map(|text| {
            if http_url(text).is_none() {
                let hint = "write http:// or https://, a host, and no query";
                self.error(
                    "server.viewers.publicUrl",
                    format!("{text:?} is not a base URL: {hint}"),
                );
            }
            text.trim_end_matches('/').to_owned()
        });
        ViewerServer { listen, cors_origins, public_url }
    }

    fn listen(&mut self, path: &str, raw: Option<&String>, default: SocketAddr) -> SocketAddr {
        let Some(text) = raw else { return default };
        text.parse().unwrap_or_else(|_| {
            let hint = "write an IP address and a port (for example 0.0.0.0:8080 or [::]:8080)";
            self.error(path, format!("{text:?} is not a listen address: {hint}"));
            // Port 0 clashes with nothing: one mistake gives one error.
            SocketAddr::new(default.ip(), 0)
        })
    }

    /// No two listeners may want the same port of the same address. Port 0 is any free port.
    fn apart(&mut self, listeners: &[(&str, SocketAddr)]) {
        for (i, (path, addr)) in listeners.iter().enumerate() {
            for (other_path, other) in &listeners[..i] {
                let any = addr.ip().is_unspecified() || other.ip().is_unspecified();
                let clash = addr.port() == other.port() && (any || addr.ip() == other.ip());
                if !clash || addr.port() == 0 {
                    continue;
                }
                // The error belongs where somebody wrote an address.
                if self.places.written(path) {
                    self.error(path, format!("{addr} clashes with {other_path}, {other}"));
                } else {
                    self.error(other_path, format!("{other} clashes with {path}, {addr}"));
                }
            }
        }
    }
}

/// Stands in for a name that was refused, so that the rest of the channel is checked too.
fn placeholder() -> Channel {
    "unnamed".parse().expect("`unnamed` obeys the rule for channel names")
}
