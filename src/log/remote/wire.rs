//! The requests with which one node reads another's logs: paths, queries and header names, for
//! both sides. What comes back is a stream (`log::format::stream`).
//!
//! ```text
//! GET /v1/logs/{channel}/s{session}/g{generation}/index    the sealed extents' footers
//!     ?from=N                          of extent N and later
//!     ?msn=N  ?time=T                  of those that reach to this number, this moment
//! GET …/records?from=E:O               about 1 MiB of records that are there now
//! GET …/records?from=E:O&to=E:O        all records between
//! GET …/tail?from=E:O                  what is there and what comes, in one answer
//! ```
//! Every request carries [`VERSIONS`]. Refusals: 404 no such log; 406 no common version of the
//! format; 409 its writer is gone and has not sealed it; 410 it begins with a later extent here,
//! and the body is that extent's number; 416 no such position; 503 try later.

use crate::base::ids::Msn;
use crate::base::time::Wall;
use crate::log::format::Position;
use crate::log::id::LogId;
use std::time::Duration;

/// The versions of the log format that the asking node reads (`log::format::version::Range`).
pub const VERSIONS: &str = "castctl-log-versions";

/// Media type of a stream.
pub const STREAM: &str = "application/vnd.castctl.log";

/// What all paths to logs begin with.
pub const LOGS: &str = "/v1/logs/";

/// How often a sender that has nothing to send says how far its log goes.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// A sender that said nothing for so long is taken for dead: five beats, so that a loaded machine
/// is not.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What is asked of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Footers.
    Index(Since),
    /// Records that are there now, about 1 MiB of them.
    Piece {
        /// Where they start.
        from: Position,
    },
    /// Records between two positions.
    Range {
        /// Where they start.
        from: Position,
        /// Where they end.
        to: Position,
    },
    /// Records there are and records to come.
    Tail {
        /// Where they start.
        from: Position,
    },
}

/// Which sealed extents an index is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Since {
    /// All.
    #[default]
    Start,
    /// This one and later.
    Extent(u32),
    /// The one that has this segment, and later; earlier ones where none has.
    Msn(Msn),
    /// The one that has this moment, and later.
    Time(Wall),
}

/// The path and query of a request.
pub fn path(id: &LogId, ask: &Ask) -> String {
    let log = format!("{LOGS}{id}");
    match ask {
        Ask::Index(Since::Start) => format!("{log}/index"),
        Ask::Index(Since::Extent(n)) => format!("{log}/index?from={n}"),
        Ask::Index(Since::Msn(n)) => format!("{log}/index?msn={n}"),
        Ask::Index(Since::Time(t)) => format!("{log}/index?time={t}"),
        Ask::Piece { from } => format!("{log}/records?from={from}"),
        Ask::Range { from, to } => format!("{log}/records?from={from}&to={to}"),
        Ask::Tail { from } => format!("{log}/tail?from={from}"),
    }
}

/// Reads what [`path`] gave; `None` for anything else.
pub fn parse(path: &str, query: &str) -> Option<(LogId, Ask)> {
    let mut parts = path.strip_prefix(LOGS)?.split('/');
    let (channel, session, generation) = (parts.next()?, parts.next()?, parts.next()?);
    let (what, end) = (parts.next()?, parts.next());
    let id: LogId = format!("{channel}/{session}/{generation}").parse().ok()?;
    let (mut from, mut to, mut msn, mut time) = (None, None, None, None);
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let slot = match name {
            "from" => &mut from,
            "to" => &mut to,
            "msn" => &mut msn,
            "time" => &mut time,
            _ => return None,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let position = |s: Option<&str>| s?.parse().ok();
    let ask = match (what, from, to, msn, time) {
        ("index", None, None, None, None) => Ask::Index(Since::Start),
        ("index", Some(n), None, None, None) => Ask::Index(Since::Extent(n.parse().ok()?)),
        ("index", None, None, Some(n), None) => Ask::Index(Since::Msn(Msn(n.parse().ok()?))),
        ("index", None, None, None, Some(t)) => Ask::Index(Since::Time(t.parse().ok()?)),
        ("records", from, None, None, None) => Ask::Piece { from: position(from)? },
        ("records", from, to, None, None) => {
            Ask::Range { from: position(from)?, to: position(to)? }
        }
        ("tail", from, None, None, None) => Ask::Tail { from: position(from)? },
        _ => return None,
    };
    end.is_none().then_some((id, ask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_read_as_it_was_meant_and_nothing_else_is() {
        let id: LogId = "main-2/s7/g9".parse().expect("a log");
        let (from, to) = (Position { extent: 3, offset: 4096 }, Position { extent: 4, offset: 32 });
        for (ask, text) in [
            (Ask::Index(Since::Start), "index"),
            (Ask::Index(Since::Extent(4)), "index?from=4"),
            (Ask::Index(Since::Msn(Msn(1000))), "index?msn=1000"),
            (Ask::Index(Since::Time(Wall(1_000))), "index?time=1970-01-01T00:00:00.001Z"),
            (Ask::Piece { from }, "records?from=3:4096"),
            (Ask::Range { from, to }, "records?from=3:4096&to=4:32"),
            (Ask::Tail { from }, "tail?from=3:4096"),
        ] {
            let said = path(&id, &ask);
            assert_eq!(said, format!("/v1/logs/main-2/s7/g9/{text}"));
            let (path, query) = said.split_once('?').unwrap_or((&said, ""));
            assert_eq!(parse(path, query), Some((id.clone(), ask)));
        }
        for bad in [
            "",
            "/v1/logs/main/s7/g9",
            "/v1/logs/main/s7/g9/",
            "/v1/logs/main/s7/g9/other",
            "/v1/logs/main/s7/g9/tail",
            "/v1/logs/main/s7/g9/tail?from=3",
            "/v1/logs/main/s7/g9/tail?from=03:1",
            "/v1/logs/main/s7/g9/tail?from=3:1&to=4:1",
            "/v1/logs/main/s7/g9/tail/x?from=3:1",
            "/v1/logs/main/s7/g9/index?from=1&from=2",
            "/v1/logs/main/s7/g9/index?token=1",
            "/v1/logs/Main/s7/g9/index",
            "/v1/logs/main/7/9/index",
            "/v1/logs/../s7/g9/index",
        ] {
            let (path, query) = bad.split_once('?').unwrap_or((bad, ""));
            assert_eq!(parse(path, query), None, "{bad}");
        }
    }
}
