//! The manifest parser from outside: exact messages, defaults, limits, and a smoke run over damaged
//! texts.

use crate::manifest::locate::{DEPTH_MAX, WEIGHT_MAX};
use crate::manifest::parse::{ERRORS_MAX, FILE_MAX, TEXT_MAX, parse, parse_bytes};
use crate::manifest::raw::{
    RawChannel, RawInterval, RawLadder, RawListen, RawManifest, RawRtmp, RawRtmps, RawRung,
    RawServer, RawSound, RawTls, RawViewers,
};
use crate::manifest::types::{
    BUCKET_URL_MAX, CHANNELS_MAX, CONNECTIONS_MAX, CorsOrigins, DRAIN_TIMEOUT_MAX, FRAME_RATE_MAX,
    FRAME_RATE_MIN, IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, KEYS_PER_CHANNEL_MAX, LOW_SPACE_MAX,
    LOW_SPACE_MIN, Manifest, PART_MAX, PART_MIN, Pace, RECONNECT_WINDOW_MAX, SEGMENT_MAX,
    SEGMENT_MIN, STREAM_KEY_MAX, STREAM_KEY_MIN, SYNC_INTERVAL_MAX, SYNC_INTERVAL_MIN, SyncPolicy,
    TARGET_DURATION_MAX,
};
use std::time::Duration;

const SAMPLE: &str = include_str!("../../recipes/castctl.yaml");
const PAGE: &str = include_str!("../../man/castctl-manifest.5");

fn message(text: &str) -> String {
    match parse("castctl.yaml", text) {
        Ok(m) => format!("accepted: {m:?}"),
        Err(e) => e.to_string(),
    }
}

/// What is wrong, the text, and all that is said about it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "no unit",
        "channels:\n  - name: main\n    segment: 2\n",
        "castctl.yaml:3:14: channels[0].segment: \"2\" is not a duration: write a number and \
         a unit, ms, s, m or h (for example 500ms, 2s)",
    ),
    (
        "foreign unit",
        "channels:\n  - name: main\n    part: 1 second\n",
        "castctl.yaml:3:11: channels[0].part: \"1 second\" is not a duration: write a number \
         and a unit, ms, s, m or h (for example 500ms, 2s)",
    ),
    (
        "below the minimum",
        "channels:\n  - {name: a, segment: 500ms, part: 100ms}\n",
        "castctl.yaml:2:24: channels[0].segment: \"500ms\" is below the minimum, 1s",
    ),
    (
        "above the maximum",
        "channels:\n  - {name: a, segment: 11s}\n",
        "castctl.yaml:2:24: channels[0].segment: \"11s\" is above the maximum, 10s",
    ),
    (
        "part as long as the segment",
        "channels: [{name: a, segment: 1s, part: 1s}]",
        "castctl.yaml:1:41: channels[0].part: the part, 1s, must be shorter than the segment, \
         1s",
    ),
    (
        "limit under the aim",
        "channels:\n- name: a\n  targetDuration: 3s\n  segment: 4s\n",
        "castctl.yaml:3:19: channels[0].targetDuration: \"3s\" is shorter than the channel's \
         segment, 4s",
    ),
    (
        "limit not whole",
        "channels: [{name: a, targetDuration: 4500ms}]",
        "castctl.yaml:1:38: channels[0].targetDuration: \"4500ms\" is not a whole number of \
         seconds",
    ),
    (
        "limit too long",
        "channels: [{name: a, targetDuration: 61s}]",
        "castctl.yaml:1:38: channels[0].targetDuration: \"61s\" is above the maximum, 60s",
    ),
    (
        "window too long",
        "channels: [{name: a, reconnectWindow: 61m}]",
        "castctl.yaml:1:39: channels[0].reconnectWindow: \"61m\" is above the maximum, 1h",
    ),
    (
        "unknown pace",
        "channels: [{name: a, pace: fast}]",
        "castctl.yaml:1:28: channels[0].pace: \"fast\" is not a pace: write wall or media",
    ),
    (
        "no frame rate",
        "channels: [{name: a, frameRate: 30fps}]",
        "castctl.yaml:1:33: channels[0].frameRate: \"30fps\" is not a frame rate: write \
         frames per second (for example 25 or 29.97)",
    ),
    (
        "frame rate too high",
        "channels: [{name: a, frameRate: 241}]",
        "castctl.yaml:1:33: channels[0].frameRate: \"241\" is above the maximum, 240",
    ),
    (
        "budget over the limit",
        "channels: [{name: a, latencyBudget: 5s}]",
        "castctl.yaml:1:37: channels[0].latencyBudget: \"5s\" is above the maximum, 4s",
    ),
    (
        "unknown sync",
        "channels: [{name: a, sync: always}]",
        "castctl.yaml:1:28: channels[0].sync: invalid value: string \"always\", expected \
         `each-segment`, `never` or `interval: D` (for example interval: 500ms)",
    ),
    (
        "sync by a number",
        "channels: [{name: a, sync: 500}]",
        "castctl.yaml:1:28: channels[0].sync: invalid type: integer `500`, expected \
         `each-segment`, `never` or `interval: D` (for example interval: 500ms)",
    ),
    (
        "sync of what",
        "channels: [{name: a, sync: {every: 1s}}]",
        "castctl.yaml:1:29: channels[0].sync.every: unknown field `every`, expected \
         `interval`",
    ),
    (
        "sync too often",
        "channels:\n- name: a\n  sync:\n    interval: 5ms\n",
        "castctl.yaml:4:15: channels[0].sync.interval: \"5ms\" is below the minimum, 10ms",
    ),
    (
        "server sync too rare",
        "server: {sync: {interval: 2m}}",
        "castctl.yaml:1:27: server.sync.interval: \"2m\" is above the maximum, 60s",
    ),
    (
        "low space without a unit",
        "server: {lowSpace: 500}",
        "castctl.yaml:1:20: server.lowSpace: \"500\" is not a size: write a number and a unit, B, \
         KiB, MiB, GiB or TiB (for example 64MiB)",
    ),
    (
        "low space too low",
        "server:\n  lowSpace: 1MiB\n",
        "castctl.yaml:2:13: server.lowSpace: \"1MiB\" is below the minimum, 4.0 MiB",
    ),
    (
        "bad name",
        "channels: [{name: Main}]",
        "castctl.yaml:1:19: channels[0].name: channel name \"Main\" must be 1 to 64 of a-z, \
         0-9, '-' and '_', and start with a letter or digit",
    ),
    (
        "empty name",
        "channels: [{name: ''}]",
        "castctl.yaml:1:19: channels[0].name: channel name \"\" must be 1 to 64 of a-z, 0-9, \
         '-' and '_', and start with a letter or digit",
    ),
    (
        "name missing",
        "channels:\n  - name: a\n  - keys: [longenough]\n",
        "castctl.yaml:3:5: channels[1]: missing field `name`",
    ),
    (
        "name taken",
        "channels:\n  - name: a\n  - name: a\n",
        "castctl.yaml:3:11: channels[1].name: the name \"a\" is taken by channels[0].name \
         (line 2)",
    ),
    (
        "no channel",
        "channels: []",
        "castctl.yaml:1:11: channels: a manifest has at least one channel",
    ),
    (
        "channels by name",
        "channels: {main: {}}",
        "castctl.yaml:1:11: channels: invalid type: map, expected a sequence",
    ),
    (
        "unknown channel field",
        "channels:\n  - name: a\n    segmnt: 2s\n",
        "castctl.yaml:3:5: channels[0].segmnt: unknown field `segmnt`, expected one of \
         `name`, `keys`, `segment`, `targetDuration`, `part`, `reconnectWindow`, `pace`, \
         `frameRate`, `sync`, `latencyBudget`, `ladder`, `hlsTo`",
    ),
    (
        "unknown server field",
        "server:\n  rtmp:\n    port: 1935\n",
        "castctl.yaml:3:5: server.rtmp.port: unknown field `port`, expected one of `listen`, \
         `maxConnections`, `idleTimeout`",
    ),
    (
        "unknown top field",
        "chanels: []\n",
        "castctl.yaml:1:1: chanels: unknown field `chanels`, expected one of `channels`, \
         `ladders`, `server`",
    ),
    (
        "field twice",
        "channels:\n  - name: a\n    part: 1s\n    part: 1s\n",
        "castctl.yaml:4:5: channels[0].part: the field `part` is written twice",
    ),
    (
        "top field twice",
        "server: {}\nserver: {}\n",
        "castctl.yaml:2:1: server: the field `server` is written twice",
    ),
    (
        "key too short",
        "channels: [{name: a, keys: [secret1]}]",
        "castctl.yaml:1:29: channels[0].keys[0]: a stream key has 8 to 256 characters; this \
         one has 7",
    ),
    (
        "key of bad characters",
        "channels: [{name: a, keys: ['secret word']}]",
        "castctl.yaml:1:29: channels[0].keys[0]: a stream key is made of printable ASCII \
         characters other than space, /, ?, & and #; character 7 is none of them",
    ),
    (
        "key twice in a channel",
        "channels: [{name: a, keys: [secret-one, secret-one]}]",
        "castctl.yaml:1:41: channels[0].keys[1]: the same stream key as channels[0].keys[0] \
         (line 1)",
    ),
    (
        "key in two channels",
        "channels:\n- name: a\n  keys:\n  - secret-one\n- name: b\n  keys:\n  - secret-one\n",
        "castctl.yaml:7:5: channels[1].keys[0]: the same stream key as channels[0].keys[0] \
         (line 4)",
    ),
    (
        "keys not a list",
        "channels: [{name: a, keys: secret-one}]",
        "castctl.yaml:1:28: channels[0].keys: expected a list of stream keys, each one word",
    ),
    (
        "a key not a word",
        "channels: [{name: a, keys: [{secret-one: x}]}]",
        "castctl.yaml:1:29: channels[0].keys[0]: expected a list of stream keys, each one \
         word",
    ),
    (
        "listen by name",
        "server: {rtmp: {listen: 'localhost:1935'}}",
        "castctl.yaml:1:25: server.rtmp.listen: \"localhost:1935\" is not a listen address: \
         write an IP address and a port (for example 0.0.0.0:8080 or [::]:8080)",
    ),
    (
        "listen without port",
        "server: {admin: {listen: 127.0.0.1}}",
        "castctl.yaml:1:26: server.admin.listen: \"127.0.0.1\" is not a listen address: write \
         an IP address and a port (for example 0.0.0.0:8080 or [::]:8080)",
    ),
    (
        "one port twice",
        "server:\n  viewers:\n    listen: 0.0.0.0:9090\n",
        "castctl.yaml:3:13: server.viewers.listen: 0.0.0.0:9090 clashes with \
         server.admin.listen, 127.0.0.1:9090",
    ),
    (
        "certificate without key",
        "server:\n  viewers:\n    tls: {certificate: a.pem}\n",
        "castctl.yaml:3:10: server.viewers.tls: missing field `key`",
    ),
    (
        "certificate without name",
        "server: {viewers: {tls: {certificate: '', key: a.pem}}}",
        "castctl.yaml:1:39: server.viewers.tls.certificate: a file has a name",
    ),
    (
        "RTMPS without certificate",
        "server:\n  rtmps: {listen: 0.0.0.0:443}\n",
        "castctl.yaml:2:10: server.rtmps: missing field `tls`",
    ),
    (
        "RTMPS on RTMP's port",
        "server: {rtmps: {listen: '0.0.0.0:1935', tls: {certificate: a.pem, key: b.pem}}}",
        "castctl.yaml:1:26: server.rtmps.listen: 0.0.0.0:1935 clashes with \
         server.rtmp.listen, 0.0.0.0:1935",
    ),
    (
        "no connections",
        "server: {rtmp: {maxConnections: 0}}",
        "castctl.yaml:1:33: server.rtmp.maxConnections: \"0\" is below the minimum, 1",
    ),
    (
        "connections by unit",
        "server: {rtmp: {maxConnections: 1k}}",
        "castctl.yaml:1:33: server.rtmp.maxConnections: \"1k\" is not a whole number",
    ),
    (
        "idle for ever",
        "server: {rtmp: {idleTimeout: 2h}}",
        "castctl.yaml:1:30: server.rtmp.idleTimeout: \"2h\" is above the maximum, 1h",
    ),
    (
        "origin with a path",
        "server: {viewers: {corsOrigins: ['https://a.example/x']}}",
        "castctl.yaml:1:34: server.viewers.corsOrigins[0]: \"https://a.example/x\" is not an \
         origin: write scheme://host[:port] (for example https://example.com)",
    ),
    (
        "star among origins",
        "server: {viewers: {corsOrigins: ['https://a.example', '*']}}",
        "castctl.yaml:1:55: server.viewers.corsOrigins[1]: \"*\" allows every page and stands \
         alone",
    ),
    (
        "URL without scheme",
        "server: {viewers: {publicUrl: live.example.com}}",
        "castctl.yaml:1:31: server.viewers.publicUrl: \"live.example.com\" is not a base URL: \
         write http:// or https://, a host, and no query",
    ),
    (
        "drain for ever",
        "server: {drainTimeout: 2h}",
        "castctl.yaml:1:24: server.drainTimeout: \"2h\" is above the maximum, 1h",
    ),
    (
        "data nowhere",
        "server: {data: ''}",
        "castctl.yaml:1:16: server.data: a directory has a name",
    ),
    (
        "not YAML",
        "channels:\n  - name: [a\n",
        "castctl.yaml:3:1: this is not YAML: while parsing a flow sequence, expected ',' or \
         ']'",
    ),
    (
        "tab",
        "channels:\n\t- name: a\n",
        "castctl.yaml:2:2: this is not YAML: tabs disallowed within this context (block \
         indentation)",
    ),
    (
        "a word",
        "castctl",
        "castctl.yaml:1:1: invalid type: string \"castctl\", expected the fields `channels`, \
         `ladders` and `server`",
    ),
    (
        "two documents",
        "server: {}\n---\nserver: {}\n",
        "castctl.yaml:2:1: a manifest is one YAML document; a second starts",
    ),
    (
        "tag",
        "channels: [{name: !secret a}]",
        "castctl.yaml:1:27: channels[0].name: YAML tags (!name) mean nothing here; write the \
         plain value",
    ),
    (
        "alias of nothing",
        "channels: *none\n",
        "castctl.yaml:1:11: this is not YAML: while parsing node, found unknown anchor",
    ),
    (
        "list as key",
        "server: {[a]: b}\n",
        "castctl.yaml:1:10: server: a key is a plain word, not a list or a mapping",
    ),
    (
        "merge key",
        "channels: [&a {name: a}, {<<: *a}]",
        "castctl.yaml:1:27: channels[1].<<: unknown field `<<`, expected one of `name`, \
         `keys`, `segment`, `targetDuration`, `part`, `reconnectWindow`, `pace`, `frameRate`, \
         `sync`, `latencyBudget`, `ladder`, `hlsTo`",
    ),
    (
        "too deep",
        "a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
        "castctl.yaml:1:19: a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested more than \
         16 deep",
    ),
    (
        "everything at once",
        "channels:\n  - name: A\n    part: 3s\nserver:\n  drainTimeout: soon\n",
        "castctl.yaml:2:11: channels[0].name: channel name \"A\" must be 1 to 64 of a-z, 0-9, \
         '-' and '_', and start with a letter or digit\n\
         castctl.yaml:3:11: channels[0].part: \"3s\" is above the maximum, 2s\n\
         castctl.yaml:5:17: server.drainTimeout: \"soon\" is not a duration: write a number \
         and a unit, ms, s, m or h (for example 500ms, 2s)",
    ),
    (
        "alias in itself",
        "channels: &a [*a]",
        "castctl.yaml:1:15: channels[0]: an alias inside the value that it stands for",
    ),
    (
        "two listeners written",
        "server: {rtmp: {listen: '[::1]:9090'}, admin: {listen: '[::1]:9090'}}",
        "castctl.yaml:1:56: server.admin.listen: [::1]:9090 clashes with server.rtmp.listen, \
         [::1]:9090",
    ),
    (
        "fields for a list",
        "channels: [main]",
        "castctl.yaml:1:12: channels[0]: invalid type: string \"main\", expected a channel's \
         fields (for example `name: main`)",
    ),
    (
        "no bucket",
        "channels: [{name: a, hlsTo: bucket/prefix}]",
        "castctl.yaml:1:29: channels[0].hlsTo: \"bucket/prefix\" is no URL of a bucket, as \
         s3://BUCKET/PREFIX",
    ),
    (
        "a list for fields",
        "server: [rtmp]",
        "castctl.yaml:1:9: server: invalid type: sequence, expected the server's fields",
    ),
    (
        "control characters",
        "channels: [{name: \"\\e[31m\\n\"}]",
        "castctl.yaml:1:19: channels[0].name: channel name \"\\u{1b}[31m\\n\" must be 1 to 64 \
         of a-z, 0-9, '-' and '_', and start with a letter or digit",
    ),
];

#[test]
fn every_error_names_its_place_and_path() {
    for (name, text, expected) in REFUSED {
        assert_eq!(message(text), *expected, "{name}");
    }
}

#[test]
fn a_buckets_url_has_a_limit() {
    let of = |len: usize| format!("channels: [{{name: a, hlsTo: 's3://{}'}}]", "x".repeat(len - 5));
    let longest = parse("x", &of(BUCKET_URL_MAX)).expect("the limit");
    assert_eq!(longest.channels[0].hls_to.as_ref().map(String::len), Some(BUCKET_URL_MAX));
    let error = message(&of(BUCKET_URL_MAX + 1));
    assert!(error.ends_with("a URL has at most 1024 bytes, not 1025"), "{error}");
}

#[test]
fn an_empty_file_is_the_default() {
    for text in
        ["", "\n", "# only a comment\n", "---\n", "~", "server:\nchannels:\n", "server: {rtmp: }"]
    {
        assert_eq!(parse("x", text), Ok(Manifest::default()), "{text:?}");
    }
    let main = &Manifest::default().channels[0];
    assert_eq!((main.name.as_str(), main.keys.len()), ("main", 0));
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = "\
channels:
  - name: 24
    keys: [12345678, 0xdeadbeef]
    segment: 3s
    part: 200ms
    frameRate: 29.97
    pace: media
    sync: never
  - {name: b, sync: {interval: 1s}, reconnectWindow: 0s, targetDuration: 2s}
  - {name: c, segment: 2.5s}
server:
  sync: each-segment
  lowSpace: 2GiB
  rtmp: {listen: '[::]:0', maxConnections: 5, idleTimeout: 1m}
  viewers: {corsOrigins: ['https://a.example:8443'], publicUrl: 'https://live.example/x/'}
";
    let m = parse("x", text).expect("a good manifest");
    let [a, b, c] = &m.channels[..] else { panic!("three channels") };
    let keys: Vec<&str> = a.keys.iter().map(|k| k.expose()).collect();
    assert_eq!((a.name.as_str(), &keys[..]), ("24", &["12345678", "0xdeadbeef"][..]));
    assert_eq!((a.target_duration, a.frame_rate_millis, a.pace), (6, 29_970, Pace::Media));
    assert_eq!(a.latency_budget, Duration::from_millis(200), "one part");
    assert_eq!(a.sync, SyncPolicy::Never);
    assert_eq!(b.sync, SyncPolicy::Interval(Duration::from_secs(1)));
    assert_eq!((b.target_duration, b.reconnect_window), (2, Duration::ZERO));
    assert_eq!((c.sync, c.target_duration), (SyncPolicy::EachSegment, 5));
    assert_eq!(m.server.low_space, 2 << 30);
    assert_eq!(m.server.rtmp.listen.to_string(), "[::]:0");
    assert_eq!(m.server.rtmp.idle_timeout, Duration::from_secs(60));
    let viewers = &m.server.viewers;
    assert_eq!(viewers.cors_origins, CorsOrigins::Only(vec!["https://a.example:8443".into()]));
    assert_eq!(viewers.public_url.as_deref(), Some("https://live.example/x"));
    assert!(!format!("{m:?}").contains("12345678"), "a stream key is never printed");
}

#[test]
fn aliases_save_typing() {
    let text = "channels: [{name: a, sync: &s {interval: 1s}}, {name: b, sync: *s}]";
    let m = parse("x", text).expect("a good manifest");
    assert_eq!(m.channels[0].sync, m.channels[1].sync);
    let wrong = "channels:\n- {name: a, sync: &s {interval: 1ms}}\n- {name: b, sync: *s}\n";
    let all = message(wrong);
    assert!(all.starts_with("castctl.yaml:2:33: channels[0].sync.interval: "), "{all}");
    assert!(all.contains("castctl.yaml:3:19: channels[1].sync.interval: "), "{all}");
}

#[test]
fn limits_hold() {
    let big = " ".repeat(FILE_MAX + 1);
    assert_eq!(message(&big), "castctl.yaml:1:1: larger than the limit of 1048576 bytes");
    let many: String = (0..10_001).map(|i| format!("- name: c{i}\n")).collect();
    assert_eq!(
        message(&format!("channels:\n{many}")),
        "castctl.yaml:2:3: channels: 10001 are too many, at most 10000"
    );
    let keys: Vec<String> = (0..17).map(|i| format!("long-enough-{i}")).collect();
    assert_eq!(
        message(&format!("channels: [{{name: a, keys: [{}]}}]", keys.join(", "))),
        "castctl.yaml:1:28: channels[0].keys: a channel has at most 16 stream keys, not 17"
    );
    let names: String = (0..50).map(|_| "- name: A\n").collect();
    let errors = parse("x", &format!("channels:\n{names}")).expect_err("bad names");
    assert_eq!(errors.0.len(), ERRORS_MAX);
    let word = "x".repeat(FILE_MAX - 10);
    assert!(message(&format!("{{{word}: 1}}")).len() < 2000, "a long word is cut");
    assert_eq!(
        parse_bytes("x", b"server: {}\n# \xc3\xa4 \xff").map_err(|e| e.to_string()),
        Err("x:2:5: this is not UTF-8 text".to_owned())
    );
    assert!(parse_bytes("x", b"server: {}").is_ok());
}

/// The value that is the limit, the nearest one beyond it, the manifest around it, the field's
/// path, and what is said of the one beyond.
type Edge = (String, String, &'static str, &'static str, String);

fn edges() -> Vec<Edge> {
    let step = Duration::from_millis(1);
    let text = |d: Duration| format!("{}ms", d.as_millis());
    let low = |d: Duration| (text(d), text(d - step), "below the minimum");
    let high = |d: Duration| (text(d), text(d + step), "above the maximum");
    let rate = |m: u32| format!("{}", f64::from(m) / 1000.0);
    let second = Duration::from_secs(1);
    let target = Duration::from_secs(TARGET_DURATION_MAX.into());
    let rows = [
        ("channels[0].segment", "channels: [{name: a, segment: ?}]", low(SEGMENT_MIN), "1s"),
        ("channels[0].segment", "channels: [{name: a, segment: ?}]", high(SEGMENT_MAX), "10s"),
        (
            "channels[0].targetDuration",
            "channels: [{name: a, targetDuration: ?}]",
            (text(target), text(target + second), "above the maximum"),
            "60s",
        ),
        ("channels[0].part", "channels: [{name: a, part: ?}]", low(PART_MIN), "100ms"),
        ("channels[0].part", "channels: [{name: a, segment: 4s, part: ?}]", high(PART_MAX), "2s"),
        (
            "channels[0].reconnectWindow",
            "channels: [{name: a, reconnectWindow: ?}]",
            high(RECONNECT_WINDOW_MAX),
            "1h",
        ),
        (
            "channels[0].frameRate",
            "channels: [{name: a, frameRate: ?}]",
            (rate(FRAME_RATE_MIN), rate(FRAME_RATE_MIN - 1), "below the minimum"),
            "1",
        ),
        (
            "channels[0].frameRate",
            "channels: [{name: a, frameRate: ?}]",
            (rate(FRAME_RATE_MAX), rate(FRAME_RATE_MAX + 1), "above the maximum"),
            "240",
        ),
        ("server.sync.interval", "server: {sync: {interval: ?}}", low(SYNC_INTERVAL_MIN), "10ms"),
        ("server.sync.interval", "server: {sync: {interval: ?}}", high(SYNC_INTERVAL_MAX), "60s"),
        (
            "server.rtmp.maxConnections",
            "server: {rtmp: {maxConnections: ?}}",
            (CONNECTIONS_MAX.to_string(), (CONNECTIONS_MAX + 1).to_string(), "above the maximum"),
            "100000",
        ),
        (
            "server.rtmp.idleTimeout",
            "server: {rtmp: {idleTimeout: ?}}",
            low(IDLE_TIMEOUT_MIN),
            "1s",
        ),
        (
            "server.rtmp.idleTimeout",
            "server: {rtmp: {idleTimeout: ?}}",
            high(IDLE_TIMEOUT_MAX),
            "1h",
        ),
        ("server.drainTimeout", "server: {drainTimeout: ?}", high(DRAIN_TIMEOUT_MAX), "1h"),
    ];
    let edge = |(path, around, (at, beyond, how), limit): (_, _, (String, String, &str), &str)| {
        let said = format!("{beyond:?} is {how}, {limit}");
        (at, beyond, around, path, said)
    };
    rows.map(edge).into()
}

#[test]
fn low_space_is_accepted_at_its_limits_and_not_beyond() {
    let said = |n: u64, unit: &str| message(&format!("server: {{lowSpace: {n}{unit}}}"));
    let (low, high) = (LOW_SPACE_MIN >> 10, LOW_SPACE_MAX >> 40);
    for legal in [said(low, "KiB"), said(high, "TiB")] {
        assert!(legal.starts_with("accepted"), "{legal}");
    }
    let (low, high) = (said(low - 1, "KiB"), said(high + 1, "TiB"));
    assert!(low.ends_with("is below the minimum, 4.0 MiB"), "{low}");
    assert!(high.contains("is above the maximum"), "{high}");
}

#[test]
fn the_limit_is_accepted_and_what_is_beyond_it_is_not() {
    for (at, beyond, around, path, said) in edges() {
        let legal = around.replace('?', &at);
        assert!(parse("x", &legal).is_ok(), "{legal}: {}", message(&legal));
        let column = around.find('?').expect("a place for the value") + 1;
        let want = format!("castctl.yaml:1:{column}: {path}: {said}");
        assert_eq!(message(&around.replace('?', &beyond)), want);
    }
}

#[test]
fn counts_and_lengths_are_kept_to_the_number() {
    let channels = |n: usize| {
        let each: String = (0..n).map(|i| format!("- name: c{i}\n")).collect();
        format!("channels:\n{each}")
    };
    let keys = |n: usize| {
        let each: Vec<String> = (0..n).map(|i| format!("long-enough-{i}")).collect();
        format!("channels: [{{name: a, keys: [{}]}}]", each.join(", "))
    };
    let key = |n: usize| format!("channels: [{{name: a, keys: [{}]}}]", "k".repeat(n));
    // The document's own mapping is one level.
    let deep = |n: usize| format!("a: {}1{}", "[".repeat(n - 1), "]".repeat(n - 1));
    for (legal, beyond, said) in [
        (
            channels(CHANNELS_MAX),
            channels(CHANNELS_MAX + 1),
            "channels: 10001 are too many, at most 10000",
        ),
        (
            keys(KEYS_PER_CHANNEL_MAX),
            keys(KEYS_PER_CHANNEL_MAX + 1),
            "channels[0].keys: a channel has at most 16 stream keys, not 17",
        ),
        (
            key(STREAM_KEY_MIN),
            key(STREAM_KEY_MIN - 1),
            "channels[0].keys[0]: a stream key has 8 to 256 characters; this one has 7",
        ),
        (
            key(STREAM_KEY_MAX),
            key(STREAM_KEY_MAX + 1),
            "channels[0].keys[0]: a stream key has 8 to 256 characters; this one has 257",
        ),
        (deep(DEPTH_MAX), deep(DEPTH_MAX + 1), "nested more than 16 deep"),
    ] {
        let error = message(&beyond);
        assert!(error.ends_with(said), "{error}");
        assert!(!message(&legal).contains(said.rsplit(": ").next().unwrap_or(said)), "{said}");
    }
    // A value of so many bytes, written out by an alias as often as it takes.
    let size = FILE_MAX / 2;
    let bomb = |times: usize| {
        let list = vec!["*a"; times].join(", ");
        format!("channels: [&a {}, {list}]", "k".repeat(size))
    };
    let fits = WEIGHT_MAX / (size + 1) - 1;
    let said = "aliases repeat too much: over 2097152 bytes written out";
    assert!(message(&bomb(fits + 1)).ends_with(said), "{}", message(&bomb(fits + 1)));
    assert!(!message(&bomb(fits)).contains("aliases repeat too much"));
    let word = "x".repeat(2 * TEXT_MAX);
    let cut = format!("{}...", "x".repeat(TEXT_MAX));
    let error = message(&format!("{word}: 1"));
    assert!(error.starts_with(&format!("castctl.yaml:1:1: {cut}: ")), "{error}");
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = String::from("channels:\n- &a0 [k, k, k, k, k, k, k, k, k, k]\n");
    for i in 1..12 {
        let nine = format!("*a{}, ", i - 1).repeat(9);
        bomb.push_str(&format!("- &a{i} [{nine}]\n"));
    }
    let expected = "aliases repeat too much: over 2097152 bytes written out";
    assert!(message(&bomb).ends_with(expected), "{}", message(&bomb));
    // Flat: one long list of keys, named by every channel.
    let list = vec!["long-enough"; 1000].join(", ");
    let mut flat = format!("channels:\n- {{name: a, keys: &k [{list}]}}\n");
    for i in 0..1000 {
        flat.push_str(&format!("- {{name: c{i}, keys: *k}}\n"));
    }
    assert!(message(&flat).ends_with(expected), "{}", message(&flat));
}

#[test]
fn the_sample_and_the_page_are_true() {
    let sample = parse("recipes/castctl.yaml", SAMPLE).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(sample.channels.len(), 2);
    let example = PAGE.split(".nf\n").last().and_then(|s| s.split(".fi").next());
    parse("man", example.expect("an example")).unwrap_or_else(|e| panic!("{e}"));
    let written = "channels:\n\n\n\n\n- name: a\n  segment:   2\n";
    let page = PAGE.replace("duration:\nwrite", "duration: write");
    assert!(page.contains(&message(written)), "{}", message(written));
}

/// The names that a part of the schema knows, out of the deserialiser's own refusal.
fn fields<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
    let refusal = serde_yaml::from_str::<T>("'?': 1").expect_err("an unknown field").to_string();
    refusal.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_is_in_the_page_and_in_the_sample() {
    let parts = [
        fields::<RawManifest>(),
        fields::<RawChannel>(),
        fields::<RawLadder>(),
        fields::<RawRung>(),
        fields::<RawSound>(),
        fields::<RawServer>(),
        fields::<RawRtmp>(),
        fields::<RawRtmps>(),
        fields::<RawViewers>(),
        fields::<RawTls>(),
        fields::<RawListen>(),
        fields::<RawInterval>(),
    ];
    assert_eq!(
        parts.iter().map(Vec::len).collect::<Vec<_>>(),
        [3, 12, 4, 12, 3, 9, 3, 2, 4, 2, 1, 1]
    );
    for field in parts.iter().flatten() {
        let heading = [format!(".B {field}\n"), format!(".BR {field} "), format!(".SS {field}\n")];
        let documented = heading.iter().any(|h| PAGE.contains(h)) || field == "interval";
        assert!(documented, "man/castctl-manifest.5 does not explain `{field}`");
        assert!(
            SAMPLE.contains(&format!("{field}:")),
            "recipes/castctl.yaml does not use `{field}`"
        );
    }
}

#[test]
fn damaged_texts_never_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let bits =
        ["[", "{", "]", "}", ": ", "- ", "\n", "&a ", "*a", "!!", "|\n", "'", "\"", "#", "\t", "?"];
    let seeds: Vec<&str> = REFUSED.iter().map(|(_, text, _)| *text).chain([SAMPLE]).collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..6000 {
        let mut text = seeds[random(seeds.len())].as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(text.len() + 1);
            match random(4) {
                0 if at < text.len() => text[at] = random(256) as u8,
                1 => text.truncate(at),
                2 => drop(text.splice(at..at, bits[random(bits.len())].bytes())),
                _ => {
                    let end = (at + random(20)).min(text.len());
                    let copy = text[at..end].to_vec();
                    text.splice(at..at, copy);
                }
            }
        }
        match parse_bytes("x", &text) {
            Ok(m) => good += usize::from(!m.channels.is_empty()),
            Err(e) => {
                bad += 1;
                assert!(!e.0.is_empty() && e.0.iter().all(|e| e.line > 0 && e.column > 0));
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} good, {bad} bad: the run must reach both");
}
