//! `man/castctl-log.5` says what the code does: every number in its tables is compared, and
//! `tests/reader.py`, which was written from the page alone, reads what the writer writes.

use crate::base::ids::{Generation, TrackId};
use crate::log::format::durable::{DURABLE_LEN, Durable};
use crate::log::format::extent::{HEADER_LEN, Header, TRAILER_LEN};
use crate::log::format::index::Indexer;
use crate::log::format::record::{begin, finish, flag, kind};
use crate::log::format::stream::{STREAM_HEADER_LEN, StreamHeader};
use crate::log::format::trimmed::TRIMMED_LEN;
use crate::log::format::version::{VERSION, Wrote};
use crate::log::format::{
    CONFIG_MAX, FRAME_HEAD, FRAME_PREFIX, HEADER_POSITION, LENGTH_MAX, LIST_MAX, MARK_BYTES_MAX,
    MARK_MAX, MARKS_MAX, OPEN_SAMPLES_MAX, PACKET_HEAD, PAYLOAD_MAX, STRING_MAX,
};
use bytes::BytesMut;

const PAGE: &str = include_str!("../../../man/castctl-log.5");

/// The lines of a table: what its name is followed by, and the rows.
fn table(name: &str) -> (String, Vec<&'static str>) {
    let head = format!(".\\\" {name}");
    let mut lines = PAGE.lines().skip_while(|l| !l.starts_with(&head));
    let first = lines.next().unwrap_or_else(|| panic!("no table `{name}` in the page"));
    (first[head.len()..].trim().to_owned(), lines.take_while(|l| *l != ".\\\" end").collect())
}

/// Rows of a number and a text.
fn numbered(name: &str) -> Vec<(u64, &'static str)> {
    let rows = table(name).1.into_iter();
    rows.map(|r| {
        let (n, text) = r.split_once(' ').expect("two columns");
        (n.parse().expect("a number"), text.trim())
    })
    .collect()
}

#[test]
fn the_limits_kinds_and_flags_are_the_codes() {
    let limits: Vec<u64> = table("table limits")
        .1
        .iter()
        .map(|l| l.split_whitespace().last().and_then(|n| n.parse().ok()).expect("a number"))
        .collect();
    let want = [
        PAYLOAD_MAX,
        LENGTH_MAX,
        MARK_MAX,
        CONFIG_MAX,
        STRING_MAX,
        LIST_MAX,
        MARKS_MAX,
        MARK_BYTES_MAX,
        OPEN_SAMPLES_MAX,
    ];
    assert_eq!(limits, want.map(|n| n as u64));
    let kinds: Vec<(u8, &str)> = vec![
        (kind::PACKET, "packet"),
        (kind::GENERATION, "generation start"),
        (kind::SESSION, "session"),
        (kind::TRACK, "track"),
        (kind::SEGMENT_START, "segment start"),
        (kind::PART_END, "part end"),
        (kind::GAP, "gap"),
        (kind::END, "end"),
        (kind::CUE, "cue"),
        (kind::DURABLE, "durable"),
        (kind::PRETENDED, "never defined: writers that pretend to be a later version write it"),
        (kind::FOOTER, "footer"),
    ];
    let rows: Vec<(u8, &str)> =
        numbered("table kinds").into_iter().map(|(n, t)| (n as u8, t)).collect();
    assert_eq!(rows, kinds);
    let flags: Vec<u8> = numbered("table flags").iter().map(|(n, _)| *n as u8).collect();
    let want = [
        flag::KEY,
        flag::UNLISTED,
        flag::INDEPENDENT,
        flag::DISCONTINUITY,
        flag::PART,
        flag::SESSION_OVER,
        flag::REPEATED,
    ];
    assert_eq!(flags, want);
    assert!(PAGE.contains(&format!("This is version {VERSION}.")));
}

/// A fixed layout: each row starts where the one before ends, the last ends with the whole.
#[test]
fn the_fixed_layouts_have_no_gap_and_the_codes_length() {
    for (name, len) in [
        ("table header", HEADER_LEN),
        ("table trailer", TRAILER_LEN),
        ("table stream", STREAM_HEADER_LEN),
        ("table trimmed", TRIMMED_LEN),
        ("table record", FRAME_PREFIX + FRAME_HEAD),
    ] {
        let (said, rows) = table(name);
        assert_eq!(said.parse(), Ok(len), "{name}");
        let mut at = 0;
        for row in &rows {
            let mut words = row.split_whitespace();
            let offset: usize = words.next().and_then(|w| w.parse().ok()).expect("an offset");
            assert_eq!(offset, at, "{name}: {row}");
            at += words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        }
        assert_eq!(at, len, "{name}");
    }
    let wrote = Wrote { version: 0x0102, oldest_reader: 0x0304 };
    let (extent, generation) = (0x0506_0708, Generation(0x090a));
    let header = Header { extent, generation, forced_roll: true, wrote }.encode();
    assert_eq!(header[8..28], *b"\x02\x01\x01\0\x08\x07\x06\x05\x0a\x09\0\0\0\0\0\0\x04\x03\0\0");
    let stream = StreamHeader { version: 3, wrote, generation, position: HEADER_POSITION }.encode();
    assert_eq!(
        stream[8..36],
        *b"\x03\0\0\0\0\0\0\0\x0a\x09\0\0\0\0\0\0\x20\0\0\0\0\0\0\0\x02\x01\x04\x03"
    );
    let own = [(kind::MOVED, "moved"), (kind::REACH, "reach"), (kind::SEALED, "sealed")];
    for ((n, text), (kind, name)) in numbered("table stream kinds").into_iter().zip(own) {
        assert!(n == u64::from(kind) && text.starts_with(name), "{n} {text}");
    }
}

/// Bytes of the fields that every body of a kind has, summed up from the page's own lines.
fn fixed(kind: u8) -> (usize, usize) {
    let (said, rows) = table(&format!("body {kind} "));
    let said = said.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a size");
    let mut sum = 0;
    for row in rows {
        // Lists and what is there only at times come after the fixed fields.
        if row.contains(" track; ") || row.starts_with("string") || row.contains("bit 0") {
            break;
        }
        let words: Vec<&str> = row.split(|c: char| !c.is_alphanumeric()).collect();
        for (word, size) in
            [("u8", 1), ("u16", 2), ("u32", 4), ("i32", 4), ("u64", 8), ("i64", 8), ("optional", 9)]
        {
            // A field's type begins its line, or follows the field before it.
            let again = [" and ", "; "].iter().map(|s| row.matches(&format!("{s}{word}")).count());
            sum += size * (usize::from(words[0] == word) + again.sum::<usize>());
        }
    }
    (said, sum)
}

#[test]
fn the_bodies_add_up_and_are_as_long_as_what_is_written() {
    let mut out = BytesMut::new();
    Durable { generation: Generation(1), at: HEADER_POSITION, upto: HEADER_POSITION }
        .encode(&mut out);
    assert_eq!(out.len(), DURABLE_LEN);
    let mut footer = BytesMut::new();
    Indexer::new().footer(32).encode(&mut footer);
    let head = FRAME_PREFIX + FRAME_HEAD;
    let empty = footer.len() - TRAILER_LEN - head;
    for (kind, size) in [
        (kind::PACKET, PACKET_HEAD),
        (kind::GENERATION, 41),
        (kind::SESSION, 34),
        (kind::TRACK, 17),
        (kind::SEGMENT_START, 32),
        (kind::PART_END, 44),
        (kind::GAP, 36),
        (kind::END, 26),
        (kind::CUE, 24),
        (kind::DURABLE, DURABLE_LEN - head),
    ] {
        let (said, sum) = fixed(kind);
        assert_eq!((said, sum), (size, size), "kind {kind}");
        if kind == kind::PACKET || kind == kind::DURABLE {
            continue;
        }
        // As short as the page says a body may be, it is read; a byte less and it is not. A track
        // needs a codec, a timescale and no rate, a cue an id and data.
        let mut body = vec![0; size];
        if kind == kind::TRACK {
            (body[0], body[1]) = (1, 1);
        }
        if kind == kind::CUE {
            body.extend_from_slice(b"\x01x\0\x01\0\0\x001");
        }
        let size = body.len();
        for (len, known) in [(size, true), (size - 1, false)] {
            let mut out = BytesMut::new();
            let start = begin(&mut out, kind, 0, TrackId(1));
            out.extend_from_slice(&body[..len]);
            finish(&mut out, start);
            let bytes = out.freeze();
            let found = crate::log::format::scan::Scan::new(&bytes).next().expect("whole");
            let mark = matches!(found.record, crate::log::format::record::Record::Mark(_));
            assert_eq!(mark, known, "kind {kind} with {len} bytes");
        }
    }
    let (said, _) = fixed(kind::FOOTER);
    // The two counts that the page puts behind the list of tracks are there when it is empty.
    assert_eq!((said, empty), (59, 59 + 8));
}
