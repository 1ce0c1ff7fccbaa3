//! The checksum that goes with every object: SHA-256, computed while its bytes are read here.

use ring::digest::{Context, SHA256};
use std::fmt;
use std::str::FromStr;

/// The SHA-256 of an object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sum([u8; 32]);

impl Sum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Sum {
        let mut summer = Summer::default();
        summer.take(bytes);
        summer.sum()
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({self})")
    }
}

/// Why a text is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a checksum is 64 hexadecimal digits")]
pub struct NotASum;

impl FromStr for Sum {
    type Err = NotASum;

    /// Reads what [`fmt::Display`] wrote, and nothing else.
    fn from_str(s: &str) -> Result<Sum, NotASum> {
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if s.len() != 64 || !s.bytes().all(plain) {
            return Err(NotASum);
        }
        let mut sum = [0; 32];
        for (i, byte) in sum.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&s[2 * i..2 * i + 2], 16).map_err(|_| NotASum)?;
        }
        Ok(Sum(sum))
    }
}

/// Computes a [`Sum`] of bytes that come piece by piece.
#[derive(Clone)]
pub struct Summer(Context);

impl Default for Summer {
    fn default() -> Summer {
        Summer(Context::new(&SHA256))
    }
}

impl Summer {
    /// Takes in the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came.
    pub fn sum(self) -> Sum {
        let mut sum = [0; 32];
        sum.copy_from_slice(self.0.finish().as_ref());
        Sum(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_written_and_read_as_other_tools_write_it() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sum::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Sum::of(b"abc")));
        for bad in ["", "ba78", &abc.to_uppercase(), &format!("{abc}0"), &abc.replace('b', "g")] {
            assert_eq!(bad.parse::<Sum>(), Err(NotASum), "{bad}");
        }
    }
}
