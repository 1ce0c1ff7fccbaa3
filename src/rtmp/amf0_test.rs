//! Tests of the AMF0 reader and writer.

use super::*;

#[test]
fn every_value_reads_as_it_was_written_in_the_same_order() {
    let values = vec![
        Amf0::Number(-1.5),
        Amf0::Boolean(true),
        Amf0::string("grüße"),
        Amf0::object([("z", Amf0::Null), ("a", Amf0::Undefined), ("", Amf0::Boolean(false))]),
        Amf0::EcmaArray(vec![("d".into(), Amf0::Date(1.0e12))]),
        Amf0::StrictArray(vec![Amf0::string("avc1"), Amf0::string("hvc1")]),
        Amf0::LongString("hi".into()),
        Amf0::Typed("Class".into(), vec![("x".into(), Amf0::Number(1.0))]),
    ];
    assert_eq!(read_all(&write_all(&values)), Ok(values));
}

#[test]
fn markers_byte_by_byte() {
    for (name, bytes, value) in [
        ("date with a zone", &b"\x0b\0\0\0\0\0\0\0\0\x01\x02"[..], Amf0::Date(0.0)),
        ("xml", b"\x0f\0\0\0\x04<a/>", Amf0::LongString("<a/>".into())),
        ("reference", b"\x07\0\x01", Amf0::Undefined),
        ("unsupported", b"\x0d", Amf0::Undefined),
        ("not UTF-8", b"\x02\0\x02a\xff", Amf0::string("a\u{fffd}")),
        ("a wrong count", b"\x08\0\0\0\x09\0\0\x09", Amf0::EcmaArray(vec![])),
        (
            "typed",
            b"\x10\0\x01c\0\x01k\x05\0\0\x09",
            Amf0::Typed("c".into(), vec![("k".into(), Amf0::Null)]),
        ),
    ] {
        assert_eq!(read_all(bytes), Ok(vec![value]), "{name}");
    }
}

#[test]
fn what_is_refused_says_where() {
    let many = vec![0x05; AMF_VALUES_MAX + 1];
    let deep = |n: usize| b"\x03\x00\x01a".repeat(n);
    let arrays = b"\x0a\x00\x00\x00\x01".repeat(AMF_DEPTH_MAX + 1);
    let long = [b"\x0c\x00\x00\x80\x01".to_vec(), vec![b'x'; AMF_STRING_MAX + 1]].concat();
    for (name, bytes, text) in [
        ("short number", &b"\x00\x01"[..], "byte 1: the AMF0 data ends inside a value"),
        ("short string", b"\x02\x00\x05abc", "byte 3: the AMF0 data ends inside a value"),
        ("no end marker", b"\x03\x00\x01a\x05", "byte 5: the AMF0 data ends inside a value"),
        (
            "empty array of 4 G",
            b"\x0a\xff\xff\xff\xff",
            "byte 5: the AMF0 data ends inside a value",
        ),
        ("movie clip", b"\x05\x04", "byte 1: AMF0 type marker 0x04 is not supported"),
        ("AMF3", b"\x11\x01", "byte 0: AMF0 type marker 0x11 is not supported"),
        ("deep", &deep(AMF_DEPTH_MAX + 1), "byte 64: AMF0 values are nested more than 16 deep"),
        ("5000 deep", &deep(5000), "byte 64: AMF0 values are nested more than 16 deep"),
        ("deep arrays", &arrays, "byte 80: AMF0 values are nested more than 16 deep"),
        ("many", &many, "byte 1024: more than 1024 AMF0 values in one message"),
        ("long", &long, "byte 1: an AMF0 string of 32769 bytes; the limit is 32768"),
    ] {
        assert_eq!(read_all(bytes).map_err(|e| e.to_string()), Err(text.into()), "{name}");
    }
    let full = vec![0x05; AMF_VALUES_MAX];
    assert_eq!(read_all(&full).map(|v| v.len()), Ok(AMF_VALUES_MAX));
}

#[test]
fn a_string_too_long_for_16_bits_is_written_as_a_long_one() {
    let bytes = write_all(&[Amf0::string("x".repeat(70_000))]);
    assert_eq!((bytes[0], bytes.len()), (0x0C, 70_005));
    let cut = write_all(&[Amf0::Object(vec![("é".repeat(40_000), Amf0::Null)])]);
    assert_eq!(cut[1..3], 65_534u16.to_be_bytes());
}

#[test]
fn properties_are_found_by_name() {
    let object = Amf0::object([("app", Amf0::string("live")), ("n", Amf0::Number(2.0))]);
    assert_eq!(object.get("app").and_then(Amf0::as_str), Some("live"));
    assert_eq!(object.get("n").and_then(Amf0::as_number), Some(2.0));
    assert_eq!((object.get("x"), Amf0::Null.get("x")), (None, None));
}
