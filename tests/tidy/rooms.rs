//! Who may import whom, which rooms are pure, and which foreign crate has its door where. A new
//! arrow is a design change: it is made in these tables, with its reason, and in `ARCHITECTURE.md`,
//! or not at all.

use crate::Finding;
use crate::source::{Named, Source};

const MEDIA_SERVICE: &[&str] = &["base", "media", "log", "api", "rt", "telemetry"];
const BELOW_SERVICES: &[&str] = &[
    "base",
    "rt",
    "media",
    "sign",
    "av",
    "api",
    "store",
    "telemetry",
    "rtmp",
    "whip",
    "hls",
    "catalog",
    "manifest",
    "log",
    "control",
    "pools",
];

/// The may-import table. A room's own inside is always open to it, and an entry opens the rooms
/// within it. Every arrow points up the list, so there are no circles.
#[rustfmt::skip]
pub(crate) const MAY_IMPORT: &[(&str, &[&[&str]])] = &[
    ("base", &[]),
    ("rt", &[&["base"]]),
    ("media", &[&["base"]]),
    ("sign", &[&["base"]]),
    ("av", &[&["base", "media"]]),
    // What a channel is transcoded to: pure, for those who check, plan and transcode it.
    ("api/ladder", &[&["base"]]),
    ("api/types", &[&["base", "api/ladder"]]),
    ("api/jobs", &[&["base", "api/types", "api/ladder"]]),
    // What people are shown of a cluster has its jobs in it.
    ("api/cluster", &[&["base", "api/types", "api/jobs"]]),
    ("api/convert", &[&["base", "media", "api/types"]]),
    ("api", &[&["base", "rt"]]),
    ("store", &[&["base", "rt"]]),
    ("telemetry", &[&["base", "rt"]]),
    ("rtmp", &[&["base", "media"]]),
    ("whip", &[&["base", "media"]]),
    ("hls", &[&["base", "media"]]),
    ("catalog", &[&["base", "media"]]),
    ("manifest", &[&["base", "media", "api/types", "api/ladder"]]),
    ("log/format", &[&["base", "media"]]),
    // An archive's names are the catalog's, also for who reads it.
    ("log", &[&["base", "media", "catalog", "store", "rt"]]),
    ("control/plan", &[&["base", "api/types", "api/cluster", "api/ladder", "api/jobs"]]),
    ("control", &[&["base", "api", "rt", "telemetry", "catalog"]]),
    ("pools/plan", &[&["base", "api/types"]]),
    ("pools", &[&["base", "api", "rt", "telemetry", "catalog"]]),
    ("ingest", &[MEDIA_SERVICE, &["rtmp", "whip"]]),
    ("origin", &[&["base", "log", "api", "sign", "rt", "telemetry"]]),
    ("edge", &[MEDIA_SERVICE, &["hls", "sign"]]),
    ("transcode", &[MEDIA_SERVICE, &["av"]]),
    // What it pushes are an edge's sessions, which `cmd` gives it: no log is read here.
    ("push", &[&["base", "media", "hls", "store", "api", "rt", "telemetry"]]),
    ("collect", &[&["base", "log", "catalog", "store", "api", "rt", "telemetry"]]),
    ("inspect", &[BELOW_SERVICES]),
    ("conform", &[BELOW_SERVICES]),
    ("replay", &[BELOW_SERVICES]),
    ("export", &[BELOW_SERVICES]),
    ("bench", &[BELOW_SERVICES]),
    ("cmd", &[BELOW_SERVICES, SERVICES, TOOLS]),
    ("bin", &[&["cmd"]]),
];

/// Own sockets and tasks; never import each other.
pub(crate) const SERVICES: &[&str] = &["ingest", "origin", "edge", "transcode", "push", "collect"];

/// What the commands of those names do; a service never imports one.
pub(crate) const TOOLS: &[&str] = &["inspect", "conform", "replay", "export", "bench"];

/// Sans-IO rooms: time is an argument, bytes in, bytes out.
const PURE: &[&str] = &[
    "base",
    "media",
    "sign",
    "rtmp",
    "whip",
    "hls",
    "catalog",
    "manifest",
    "log/format",
    "api/ladder",
    "control/plan",
    "pools/plan",
];

/// Names that a pure room has no use for. A path is caught when it contains the segments in a row.
/// Addresses (`std::net::SocketAddr`) are values and pass.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["tokio_util"],
    &["tracing"],
    &["async"],
    &["Instant"],
    &["SystemTime"],
    &["Mutex"],
    &["RwLock"],
    &["std", "fs"],
    &["TcpStream"],
    &["TcpListener"],
    &["UdpSocket"],
    &["ToSocketAddrs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "sync", "mpsc"],
];

/// The doors of foreign crates: the modules that may name them. `*` is anywhere (pure rooms still
/// name no runtime).
#[rustfmt::skip]
pub(crate) const DOORS: &[(&str, &[&str])] = &[
    ("axum", &["edge", "origin", "ingest", "control/server", "control/routes", "telemetry"]),
    ("bytes", &["*"]),
    ("clap", &["cmd"]),
    ("clap_complete", &["cmd"]),
    ("clap_mangen", &["cmd"]),
    ("comfy_table", &["cmd", "inspect", "conform", "replay", "export", "bench"]),
    ("crc_fast", &["log/format", "media/fmp4", "hls/rope", "replay/digest"]),
    ("ffmpeg_next", &["av"]),
    ("flate2", &["hls/rope"]),
    ("h264_reader", &["media/codec"]),
    ("futures_util", &["api/teller", "edge/feed", "origin", "push", "store"]),
    ("http_body_util", &["origin", "control/routes", "store/http", "bench/crowd"]),
    ("http_body", &[
        "rt/gather", "rt/http", "edge", "origin",
        "ingest", "control/server", "telemetry",
    ]),
    ("hyper", &[
        "rt/http", "edge", "origin", "ingest",
        "control/routes", "telemetry", "bench/crowd",
    ]),
    ("hyper_util", &["rt/http", "bench/crowd"]),
    ("indicatif", &["cmd", "inspect", "conform", "replay", "export", "bench"]),
    ("m3u8_rs", &["hls", "inspect"]),
    ("moka", &["edge/recall"]),
    ("mp4_atom", &["media/fmp4"]),
    ("object_store", &["store"]),
    ("prometheus_client", &["telemetry"]),
    ("proptest", &["*"]),
    ("reqwest", &[
        "api", "rt/client", "store", "log/remote", "inspect", "conform", "replay", "export",
        "bench",
    ]),
    ("rcgen", &["*"]),
    ("ring", &["api/auth", "control/registry", "rt/tls", "store/sum"]),
    ("rml_amf0", &["rtmp"]),
    ("rml_rtmp", &["rtmp"]),
    ("rustix", &["log/fs", "bench"]),
    ("saphyr_parser", &["manifest"]),
    ("schemars", &["api", "control/openapi"]),
    ("scuffle_av1", &["media/codec"]),
    ("scuffle_h265", &["media/codec"]),
    ("serde", &["*"]),
    ("serde_json", &["*"]),
    ("serde_path_to_error", &["manifest"]),
    ("serde_yaml", &["manifest", "control/plan/cost"]),
    ("sqlx", &["control/registry"]),
    ("tempfile", &["*"]),
    ("thiserror", &["*"]),
    ("tokio", &["*"]),
    ("tokio_rustls", &["rt/tls", "rt/http"]),
    ("tokio_util", &["*"]),
    ("tracing", &["*"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// Tests may stand up a server, fetch what it has or take it apart wherever they are.
const OPEN_IN_TESTS: &[&str] = &["axum", "flate2", "futures_util", "mp4_atom", "reqwest"];

/// `inside` is `outer` or lies within it.
fn within(inside: &str, outer: &str) -> bool {
    inside.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The room of a module: the longest entry of the table that holds it.
pub(crate) fn room(module: &str) -> Option<&'static str> {
    let holds = MAY_IMPORT.iter().map(|(name, _)| *name).filter(|name| within(module, name));
    holds.max_by_key(|name| name.len())
}

/// All rules of this file on one source file.
pub(crate) fn check(file: &Source, found: &mut Vec<Finding>) {
    let mut report = |at: usize, rule, what: String, mend: String| {
        found.push(Finding { file: file.file.clone(), line: file.line(at), rule, what, mend });
    };
    if file.module == "lib" {
        return;
    }
    let Some(home) = room(&file.module) else {
        let what = format!("`{}` is in no room of the may-import table", file.module);
        report(0, "room", what, "move it into a room, or add the room to the table".into());
        return;
    };
    for named in file.paths() {
        if let Some((rule, what, mend)) = arrow(home, &named)
            .or_else(|| upwards(file, home, &named))
            .or_else(|| impure(file, home, &named))
            .or_else(|| door(file, home, &named))
        {
            report(named.at, rule, what, mend);
        }
    }
}

type Breach = Option<(&'static str, String, String)>;

fn arrow(home: &str, named: &Named) -> Breach {
    let first = named.path[0].as_str();
    if first != "crate" && !(home == "bin" && first == "castctl") {
        return None;
    }
    let (Some(name), tail) = (named.path.get(1), named.path.get(2)) else { return None };
    let target = tail.and_then(|t| room(&format!("{name}/{t}"))).or_else(|| room(name));
    let Some(target) = target else {
        let what = format!("`crate::{name}` is a name through the crate root");
        return Some((
            "crate-root",
            what,
            "name it by its full path, crate::room::file::Name".into(),
        ));
    };
    let rows =
        MAY_IMPORT.iter().find(|(r, _)| *r == home).map(|(_, rows)| *rows).unwrap_or_default();
    let open =
        within(target, home) || rows.iter().flat_map(|r| r.iter()).any(|r| within(target, r));
    if !open {
        let list: Vec<&str> = rows.iter().flat_map(|r| r.iter().copied()).collect();
        let what = format!("`{home}` may not import `{target}`");
        let mend = match list.is_empty() {
            true => format!("`{home}` imports nothing: pass a value in"),
            false => format!(
                "`{home}` may import {}: pass a value in, or compose in `cmd`",
                list.join(", ")
            ),
        };
        return Some(("may-import", what, mend));
    }
    if named.glob && target != home {
        let what = format!("a glob import from `{target}`");
        return Some(("glob", what, "list the names".into()));
    }
    None
}

/// `super::` that leaves the room, and `use super::*` in production code.
fn upwards(file: &Source, home: &str, named: &Named) -> Breach {
    let supers = named.path.iter().take_while(|s| *s == "super").count();
    if supers == 0 {
        return None;
    }
    let test = file.is_test(named.at);
    if named.glob && !test {
        let what = "`use super::*` in production code".to_owned();
        return Some(("glob", what, "list the names by their full path".into()));
    }
    // An inline `mod tests` is one module deeper than its file.
    let depth = file.module.split('/').count() + usize::from(test && !file.test);
    if depth - supers.min(depth) < home.split('/').count() {
        let what = format!("`{}` leaves the room `{home}`", named.path.join("::"));
        return Some((
            "may-import",
            what,
            "write crate::room::…, so that the arrow can be seen".into(),
        ));
    }
    None
}

fn impure(file: &Source, home: &str, named: &Named) -> Breach {
    if !PURE.contains(&home) || file.is_test(named.at) {
        return None;
    }
    let hit = IMPURE.iter().find(|bad| named.path.windows(bad.len()).any(|w| w == **bad))?;
    let what = format!("the pure room `{home}` names `{}`", hit.join("::"));
    let mend = "take time and bytes as arguments; sockets, files and tasks live in services";
    Some(("pure", what, mend.into()))
}

fn door(file: &Source, home: &str, named: &Named) -> Breach {
    let (name, doors) = DOORS.iter().find(|(name, _)| named.path[0] == *name)?;
    let open = doors.iter().any(|d| *d == "*" || within(&file.module, d))
        || (OPEN_IN_TESTS.contains(name) && file.is_test(named.at));
    // A lone word may be a variable; a crate is named by a path or a `use`.
    if open || (named.path.len() == 1 && !file.code[..named.at].trim_end().ends_with("use")) {
        return None;
    }
    let what = format!("`{name}` is named in `{home}`");
    Some(("door", what, format!("its door is {}: go through it", doors.join(", "))))
}

#[test]
fn arrows_point_up_the_table_and_services_know_no_service() {
    for (i, (home, rows)) in MAY_IMPORT.iter().enumerate() {
        for target in rows.iter().flat_map(|r| r.iter()) {
            assert!(MAY_IMPORT[..i].iter().any(|(r, _)| r == target), "{home} -> {target}");
            let peer = SERVICES.contains(target) || TOOLS.contains(target);
            assert!(!(peer && SERVICES.contains(home)), "the service {home} imports {target}");
        }
    }
}
