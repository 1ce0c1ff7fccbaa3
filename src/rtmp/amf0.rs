//! AMF0 (Action Message Format 0): a bounded reader and a writer that keeps the order of
//! properties. AMF3 is not read; messages in AMF3 framing carry AMF0 in practice.

use crate::rtmp::limits::{AMF_DEPTH_MAX, AMF_STRING_MAX, AMF_VALUES_MAX};

/// Why bytes are not an AMF0 value. `at` counts from the start of the message's payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmfError {
    /// The bytes end inside a value.
    #[error("byte {at}: the AMF0 data ends inside a value")]
    Truncated {
        /// Offset of the part that is not whole.
        at: usize,
    },
    /// A type marker that has no meaning here (movie clip, record set, AMF3, or none at all).
    #[error("byte {at}: AMF0 type marker 0x{marker:02x} is not supported")]
    Marker {
        /// Offset of the marker.
        at: usize,
        /// The marker.
        marker: u8,
    },
    /// Nested deeper than [`AMF_DEPTH_MAX`].
    #[error("byte {at}: AMF0 values are nested more than {AMF_DEPTH_MAX} deep")]
    TooDeep {
        /// Offset of the value that is too deep.
        at: usize,
    },
    /// More than [`AMF_VALUES_MAX`] values in one message.
    #[error("byte {at}: more than {AMF_VALUES_MAX} AMF0 values in one message")]
    TooMany {
        /// Offset of the value that is too many.
        at: usize,
    },
    /// A string or name longer than [`AMF_STRING_MAX`].
    #[error("byte {at}: an AMF0 string of {length} bytes; the limit is {AMF_STRING_MAX}")]
    TooLong {
        /// Offset of the string's length.
        at: usize,
        /// Bytes announced.
        length: usize,
    },
}

/// Names and values in the order they were sent.
pub type Properties = Vec<(String, Amf0)>;

/// One AMF0 value. Strings are UTF-8; what is not is replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq)]
pub enum Amf0 {
    /// A double.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Up to 65,535 bytes.
    String(String),
    /// An anonymous object.
    Object(Properties),
    /// Null.
    Null,
    /// Undefined; also what a reference or an unsupported value reads as.
    Undefined,
    /// An associative array.
    EcmaArray(Properties),
    /// An array with an index.
    StrictArray(Vec<Amf0>),
    /// Milliseconds since 1970 in UTC; the time zone is reserved and zero.
    Date(f64),
    /// A string with a 32-bit length; also what an XML document reads as.
    LongString(String),
    /// An object of a named class.
    Typed(String, Properties),
}

impl Amf0 {
    /// A string value.
    pub fn string(s: impl Into<String>) -> Amf0 {
        Amf0::String(s.into())
    }

    /// An object of these properties, in this order.
    pub fn object<const N: usize>(properties: [(&str, Amf0); N]) -> Amf0 {
        Amf0::Object(properties.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    /// The text of a string or long string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Amf0::String(s) | Amf0::LongString(s) => Some(s),
            _ => None,
        }
    }

    /// The value of a number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Amf0::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The properties of an object, an associative array or a typed object.
    pub fn properties(&self) -> Option<&[(String, Amf0)]> {
        match self {
            Amf0::Object(p) | Amf0::EcmaArray(p) | Amf0::Typed(_, p) => Some(p),
            _ => None,
        }
    }

    /// The first property of this name.
    pub fn get(&self, name: &str) -> Option<&Amf0> {
        self.properties()?.iter().find(|(k, _)| k == name).map(|(_, v)| v)
    }
}

/// Reads all values of a payload.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Amf0>, AmfError> {
    let mut reader = Reader { bytes, at: 0, values: 0 };
    let mut out = Vec::new();
    while reader.at < bytes.len() {
        out.push(reader.value(0)?);
    }
    Ok(out)
}

/// A cursor over one payload that counts what it has made.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], AmfError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let out = rest.get(..n).ok_or(AmfError::Truncated { at: self.at })?;
        self.at += n;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let at = self.at;
        self.take(N)?.first_chunk::<N>().copied().ok_or(AmfError::Truncated { at })
    }

    fn number(&mut self) -> Result<f64, AmfError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn text(&mut self, long: bool) -> Result<String, AmfError> {
        let at = self.at;
        let length = if long {
            u32::from_be_bytes(self.array()?) as usize
        } else {
            usize::from(u16::from_be_bytes(self.array()?))
        };
        if length > AMF_STRING_MAX {
            return Err(AmfError::TooLong { at, length });
        }
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// One value; `depth` is how many values it lies in.
    fn value(&mut self, depth: usize) -> Result<Amf0, AmfError> {
        let at = self.at;
        if depth >= AMF_DEPTH_MAX {
            return Err(AmfError::TooDeep { at });
        }
        self.values += 1;
        if self.values > AMF_VALUES_MAX {
            return Err(AmfError::TooMany { at });
        }
        let [marker] = self.array()?;
        Ok(match marker {
            0x00 => Amf0::Number(self.number()?),
            0x01 => Amf0::Boolean(self.array::<1>()? != [0]),
            0x02 => Amf0::String(self.text(false)?),
            0x03 => Amf0::Object(self.properties(depth)?),
            0x05 => Amf0::Null,
            0x06 | 0x0D => Amf0::Undefined,
            0x07 => {
                self.array::<2>()?;
                Amf0::Undefined
            }
            0x08 => {
                // The count is a hint that senders get wrong; the end marker counts.
                self.array::<4>()?;
                Amf0::EcmaArray(self.properties(depth)?)
            }
            0x0A => {
                let n = u32::from_be_bytes(self.array()?);
                let mut out = Vec::new();
                for _ in 0..n {
                    out.push(self.value(depth + 1)?);
                }
                Amf0::StrictArray(out)
            }
            0x0B => {
                let millis = self.number()?;
                self.array::<2>()?;
                Amf0::Date(millis)
            }
            0x0C | 0x0F => Amf0::LongString(self.text(true)?),
            0x10 => Amf0::Typed(self.text(false)?, self.properties(depth)?),
            marker => return Err(AmfError::Marker { at, marker }),
        })
    }

    /// Names and values up to the end marker: an empty name and 0x09.
    fn properties(&mut self, depth: usize) -> Result<Properties, AmfError> {
        let mut out = Vec::new();
        loop {
            let name = self.text(false)?;
            if name.is_empty() && self.bytes.get(self.at) == Some(&0x09) {
                self.at += 1;
                return Ok(out);
            }
            out.push((name, self.value(depth + 1)?));
        }
    }
}

/// Appends a value. A string over 65,535 bytes becomes a long string; a name over that is cut, as
/// AMF0 has no longer.
pub fn write(value: &Amf0, out: &mut Vec<u8>) {
    match value {
        Amf0::Number(n) => {
            out.push(0x00);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Amf0::Boolean(b) => out.extend_from_slice(&[0x01, u8::from(*b)]),
        Amf0::String(s) if s.len() <= usize::from(u16::MAX) => {
            out.push(0x02);
            write_name(s, out);
        }
        Amf0::String(s) | Amf0::LongString(s) => {
            out.push(0x0C);
            out.extend_from_slice(&count(s.len()).to_be_bytes());
            out.extend_from_slice(s.as_bytes());
        }
        Amf0::Object(p) => {
            out.push(0x03);
            write_properties(p, out);
        }
        Amf0::Null => out.push(0x05),
        Amf0::Undefined => out.push(0x06),
        Amf0::EcmaArray(p) => {
            out.push(0x08);
            out.extend_from_slice(&count(p.len()).to_be_bytes());
            write_properties(p, out);
        }
        Amf0::StrictArray(values) => {
            out.push(0x0A);
            out.extend_from_slice(&count(values.len()).to_be_bytes());
            values.iter().for_each(|v| write(v, out));
        }
        Amf0::Date(millis) => {
            out.push(0x0B);
            out.extend_from_slice(&millis.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Amf0::Typed(class, p) => {
            out.push(0x10);
            write_name(class, out);
            write_properties(p, out);
        }
    }
}

/// The bytes of a row of values: a command's or data message's payload.
pub fn write_all(values: &[Amf0]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    values.iter().for_each(|v| write(v, &mut out));
    out
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn write_properties(properties: &[(String, Amf0)], out: &mut Vec<u8>) {
    for (name, value) in properties {
        write_name(name, out);
        write(value, out);
    }
    out.extend_from_slice(&[0, 0, 0x09]);
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    let mut end = name.len().min(usize::from(u16::MAX));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = &name[..end];
    out.extend_from_slice(&(name.len() as u16).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
#[path = "amf0_test.rs"]
mod tests;
