//! Every limit is hit by a test: each constant of `src` that is named as one is named in a test,
//! or stands in the list of those that refuse nobody anything, with its reason. Naming proves no
//! assertion, but a limit that nobody thought of cannot slip in.

use crate::Finding;
use crate::source::Source;

/// Words in a constant's name that make it a limit.
const WORDS: &[&str] =
    &["MAX", "MIN", "LIMIT", "TIMEOUT", "GRACE", "LINGER", "DEADLINE", "LEAST", "MOST"];

/// Limits that refuse nobody anything and cut nobody off: module and name, and why.
const EXEMPT: &[(&str, &str)] = &[
    (
        "bench::viewer::TIMEOUT",
        "longer than a server holds an answer; a request that meets it is counted as failed",
    ),
    ("api::directory::PAST_MAX", "a cache: what it forgets is asked for again"),
    ("api::peers::REASON_MAX", "the beginning of a text for people: it refuses nothing"),
    ("log::nodes::NODES_MAX", "a cache: a node that it lets go is connected to again"),
    (
        "api::cues::SECONDS_MOST",
        "what a number can be at all: CUE_DURATION_MAX refuses what is shorter by far",
    ),
    (
        "edge::pending::PENDING_MAX",
        "the log's index forgets the same samples (OPEN_SAMPLES_MAX); the feed's log line says so",
    ),
    (
        "edge::server::CONNECTIONS_MAX",
        "more sockets than a test can open: rt::listen::Seats keeps it, and is tested with few",
    ),
    ("av::demux::EARLY_MAX", "how far a missing decoding time is looked for: it refuses nothing"),
    ("av::record::HEAD_MAX", "what our own muxer may write of a head: no input reaches it"),
    (
        "control::registry::db::OPEN_TIMEOUT",
        "a start that goes on without its database, and says so",
    ),
    ("cmd::disk::PROBE_MAX", "the longest pause between probes: it refuses nothing"),
    ("hls::listing::GAP_MIN", "a floor for what is computed: it refuses nothing"),
    ("ingest::connection::LINGER", "follows the last word: who meets it has been told why"),
    ("ingest::connection::READ_MIN", "when a buffer is replaced: it refuses nothing"),
    ("ingest::reports::RETRY_MAX", "the longest pause between tries: it refuses nothing"),
    ("ingest::stalled::RETRY_MAX", "the longest pause between tries: it refuses nothing"),
    ("log::sync::SAMPLES_MAX", "figures that nobody fetched: the oldest are kept, none is refused"),
    ("store::error::WHY_MAX", "the beginning of a text for people: it refuses nothing"),
    (
        "store::http::CONNECT_TIMEOUT",
        "a store that is away is told as one that refuses the connection, which is tested",
    ),
    (
        "store::http::READ_TIMEOUT",
        "an answer that stands still is told as one that breaks off, which is tested",
    ),
    (
        "store::http::REQUEST_TIMEOUT",
        "a request that takes too long is tried again as one that broke off, which is tested",
    ),
    ("store::open::RETRY_PAUSE_MAX", "the longest pause between tries: it refuses nothing"),
    (
        "store::open::RETRY_TIMEOUT",
        "when tries end that RETRIES has not ended: the caller comes again, which is tested",
    ),
    ("inspect::follow::INITS_MAX", "a cache: what it drops is fetched again"),
];

/// A constant that is named as a limit.
struct Limit {
    file: usize,
    line: usize,
    name: String,
}

/// Every limit of `src` is named in a test of `src` or `tests`, or is exempt.
pub(crate) fn check(src: &[Source], tests: &[Source], found: &mut Vec<Finding>) {
    judge(src, tests, EXEMPT, found);
}

pub(crate) fn judge(
    src: &[Source],
    tests: &[Source],
    exempt: &[(&str, &str)],
    found: &mut Vec<Finding>,
) {
    let mut report = |file: &str, line: usize, what: String, mend: &str| {
        let (file, mend) = (file.to_owned(), mend.to_owned());
        found.push(Finding { file, line, rule: "limit", what, mend });
    };
    let mut named: Vec<String> = src.iter().chain(tests).flat_map(named_in_tests).collect();
    // What a module imports, its tests may name through it.
    let imports: Vec<(String, String)> = src.iter().flat_map(imports).collect();
    let through =
        imports.into_iter().filter(|(here, _)| named.contains(here)).map(|(_, path)| path);
    let through: Vec<String> = through.collect();
    named.extend(through);
    let limits: Vec<Limit> = src.iter().enumerate().flat_map(|(i, f)| limits(i, f)).collect();
    let full = |l: &Limit| format!("{}::{}", src[l.file].module.replace('/', "::"), l.name);
    for limit in &limits {
        let path = full(limit);
        let is_exempt = exempt.iter().any(|(of, _)| *of == path);
        let is_named = named.contains(&path);
        let file = &src[limit.file].file;
        if !is_named && !is_exempt {
            let mend = "hit it in a test that names it and shows what a person sees, \
                        or exempt it in tests/tidy/limits.rs with the reason";
            report(file, limit.line, format!("no test names the limit `{path}`"), mend);
        }
        if is_named && is_exempt {
            let mend = "take it off the list in tests/tidy/limits.rs";
            report(file, limit.line, format!("`{path}` is exempt, and has a test"), mend);
        }
    }
    for (path, why) in exempt {
        let gone = !limits.iter().any(|l| full(l) == *path);
        if gone || why.len() < 20 {
            let what = format!("`{path}` is exempt, and is no limit, or has no reason");
            report("tests/tidy/limits.rs", 1, what, "mend the list");
        }
    }
}

/// The constants outside of tests whose names say that they are limits.
fn limits(index: usize, file: &Source) -> Vec<Limit> {
    let mut out = Vec::new();
    for (at, _) in file.code.match_indices("const ") {
        let name: String = file.code[at + 6..]
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
            .collect();
        let declares = file.code[at + 6 + name.len()..].starts_with(':');
        if declares && !file.is_test(at) && name.split('_').any(|w| WORDS.contains(&w)) {
            out.push(Limit { file: index, line: file.line(at), name });
        }
    }
    out
}

/// Full paths (`rtmp::limits::APP_MAX`) of all that a file's tests name. A bare name in a test is
/// one of the module that the test belongs to: its own imports are full paths.
fn named_in_tests(file: &Source) -> Vec<String> {
    let mut out = Vec::new();
    for n in file.paths().into_iter().filter(|n| file.is_test(n.at)) {
        let path = match n.path[0].as_str() {
            "crate" | "castctl" => n.path[1..].join("::"),
            "self" | "super" => own(file, &n.path[1..].join("::")),
            _ => own(file, &n.path.join("::")),
        };
        out.push(path);
    }
    out
}

/// Of every path of the package that a module names: what it is called there, and its full path.
fn imports(file: &Source) -> Vec<(String, String)> {
    let paths = file.paths().into_iter().filter(|n| n.path[0] == "crate" && !file.is_test(n.at));
    let pair = |n: crate::source::Named| {
        let last = n.path.last().cloned().unwrap_or_default();
        (format!("{}::{last}", file.module.replace('/', "::")), n.path[1..].join("::"))
    };
    paths.map(pair).collect()
}

/// A path that starts in the module under test.
fn own(file: &Source, path: &str) -> String {
    let module = match (file.test, file.module.rsplit_once('/')) {
        (true, Some((parent, _))) => parent,
        _ => file.module.as_str(),
    };
    format!("{}::{path}", module.replace('/', "::"))
}
