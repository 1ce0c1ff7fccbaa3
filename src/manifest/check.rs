//! From what is written to what it means: units, ranges, and the rules between fields. Collects
//! every error.

use crate::api::ladder::Ladder;
use crate::base::ids::Channel;
use crate::base::units;
use crate::manifest::locate::Places;
use crate::manifest::parse::{ERRORS_MAX, ManifestError};
use crate::manifest::raw::{RawChannel, RawManifest, RawSync, Text};
use crate::manifest::text::show;
use crate::manifest::types::{
    BUCKET_URL_MAX, CHANNELS_MAX, ChannelSpec, FRAME_RATE_MAX, FRAME_RATE_MIN,
    KEYS_PER_CHANNEL_MAX, Manifest, PART_MAX, PART_MIN, Pace, RECONNECT_WINDOW_MAX, SEGMENT_MAX,
    SEGMENT_MIN, SYNC_INTERVAL_MAX, SYNC_INTERVAL_MIN, Server, StreamKey, SyncPolicy,
    TARGET_DURATION_MAX,
};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// One check of one file.
pub(super) struct Check<'a> {
    file: &'a str,
    pub(super) places: &'a Places,
    /// What is wrong so far, at most `ERRORS_MAX`.
    pub(super) errors: Vec<ManifestError>,
    /// Path of the channel that has the name.
    names: HashMap<Channel, String>,
    /// Path of the stream key.
    keys: HashMap<StreamKey, String>,
    /// The file's ladders that could be read.
    pub(super) ladders: Vec<Arc<Ladder>>,
}

impl<'a> Check<'a> {
    pub(super) fn new(file: &'a str, places: &'a Places) -> Check<'a> {
        let (names, keys) = (HashMap::new(), HashMap::new());
        Check { file, places, errors: Vec::new(), names, keys, ladders: Vec::new() }
    }

    /// The whole manifest; meaningless when there are errors.
    pub(super) fn manifest(&mut self, raw: &RawManifest) -> Manifest {
        let server = match &raw.server {
            Some(raw) => self.server(raw),
            None => Server::default(),
        };
        self.ladders = self.ladders(raw.ladders.as_deref().unwrap_or_default());
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
        Manifest { channels, ladders: std::mem::take(&mut self.ladders), server }
    }

    pub(super) fn error(&mut self, path: &str, message: impl AsRef<str>) {
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
        let ladder = self.channel_ladder(&path("ladder"), raw.ladder.as_deref());
        let budget_range = Duration::ZERO..=Duration::from_secs(u64::from(target));
        let budget = ladder.as_ref().and_then(|l| l.latency_budget).unwrap_or(part);
        let latency_budget =
            self.duration(&path("latencyBudget"), &raw.latency_budget, budget, budget_range);
        let spec = ChannelSpec {
            name: name.clone().unwrap_or_else(placeholder),
            keys,
            segment,
            target_duration: target,
            part,
            reconnect_window,
            pace,
            frame_rate_millis,
            sync,
            latency_budget,
            ladder,
            hls_to: self.bucket(&path("hlsTo"), &raw.hls_to),
        };
        self.budget(at, raw, &spec);
        name.map(|_| spec)
    }

    /// The URL of a bucket, by its shape: which stores there are is known to who opens it.
    fn bucket(&mut self, path: &str, raw: &Text) -> Option<String> {
        let text = raw.as_ref()?;
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let is_url =
            scheme.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !is_url || text.contains(char::is_whitespace) {
            self.error(path, format!("{text:?} is no URL of a bucket, as s3://BUCKET/PREFIX"));
        } else if text.len() > BUCKET_URL_MAX {
            let found = text.len();
            self.error(path, format!("a URL has at most {BUCKET_URL_MAX} bytes, not {found}"));
        }
        Some(text.clone())
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

    pub(super) fn duration(
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

    pub(super) fn range<T: PartialOrd + Copy>(
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

    pub(super) fn frame_rate(&mut self, path: &str, raw: &Text, default: u32) -> u32 {
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

    pub(super) fn sync(&mut self, path: &str, raw: &RawSync) -> SyncPolicy {
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
}

/// Stands in for a name that was refused, so that the rest of the channel is checked too.
fn placeholder() -> Channel {
    "unnamed".parse().expect("`unnamed` obeys the rule for channel names")
}
