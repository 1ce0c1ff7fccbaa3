//! Little-endian values in and out of byte strings. Not a serialisation framework: each record
//! spells its fields out.

use bytes::{BufMut, BytesMut};

/// The body ended early or holds a value outside its range; says what was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bad(pub(super) &'static str);

/// Reads values from the front of a slice.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

macro_rules! number {
    ($($name:ident: $t:ty),*) => {$(
        pub(super) fn $name(&mut self, what: &'static str) -> Result<$t, Bad> {
            let (head, rest) = self.rest.split_first_chunk().ok_or(Bad(what))?;
            self.rest = rest;
            Ok(<$t>::from_le_bytes(*head))
        }
    )*};
}

impl<'a> Fields<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Fields<'a> {
        Fields { rest }
    }

    number!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64);

    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Bad> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Bad(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// A byte string behind a u32 length of at most `max`.
    pub(super) fn blob(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], Bad> {
        let len = self.u32(what)? as usize;
        if len > max {
            return Err(Bad(what));
        }
        self.take(len, what)
    }

    /// UTF-8 behind a u8 length.
    pub(super) fn string(&mut self, what: &'static str) -> Result<String, Bad> {
        let len = usize::from(self.u8(what)?);
        let bytes = self.take(len, what)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Bad(what))
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// UTF-8 behind a u8 length; the caller has checked the length against `STRING_MAX`.
pub(super) fn put_string(out: &mut BytesMut, s: &str) {
    out.put_u8(u8::try_from(s.len()).expect("checked against STRING_MAX, which is 255"));
    out.put_slice(s.as_bytes());
}

/// An optional number as a presence byte and the value (zero when absent).
pub(super) fn put_opt_u64(out: &mut BytesMut, v: Option<u64>) {
    out.put_u8(u8::from(v.is_some()));
    out.put_u64_le(v.unwrap_or(0));
}

/// Reads what [`put_opt_u64`] wrote.
pub(super) fn opt_u64(f: &mut Fields<'_>, what: &'static str) -> Result<Option<u64>, Bad> {
    let (present, v) = (f.u8(what)?, f.u64(what)?);
    Ok((present != 0).then_some(v))
}
