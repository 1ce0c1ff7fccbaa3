//! A bounded reader of bits, most significant first, for parameter sets and audio configurations.
//! It knows fields, not formats, and it cannot read past its slice.

use crate::media::codec::CodecError;

/// Reads bits from a slice; every read past the end is a [`CodecError::Truncated`].
#[derive(Debug, Clone)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    /// A reader at the first bit.
    pub(crate) fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, at: 0 }
    }

    /// Offset in bytes of the bit that is read next.
    pub(crate) fn byte(&self) -> usize {
        self.at / 8
    }

    /// Bits that are left.
    pub(crate) fn left(&self) -> usize {
        self.data.len() * 8 - self.at
    }

    /// Skips to the next byte boundary.
    pub(crate) fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }

    /// Skips `n` bits.
    pub(crate) fn skip(&mut self, n: usize, what: &'static str) -> Result<(), CodecError> {
        if n > self.left() {
            return Err(CodecError::Truncated { what, at: self.byte() });
        }
        self.at += n;
        Ok(())
    }

    /// One bit.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        Ok(self.u(1, what)? == 1)
    }

    /// An unsigned number of `n` bits, `n` at most 32.
    pub(crate) fn u(&mut self, n: usize, what: &'static str) -> Result<u32, CodecError> {
        debug_assert!(n <= 32, "no field is wider");
        if n > self.left() {
            return Err(CodecError::Truncated { what, at: self.byte() });
        }
        let mut value = 0u64;
        for _ in 0..n {
            let bit = self.data[self.at / 8] >> (7 - self.at % 8) & 1;
            value = value << 1 | u64::from(bit);
            self.at += 1;
        }
        Ok(value as u32)
    }

    /// An unsigned Exp-Golomb number (ISO/IEC 14496-10, 9.1), at most 2^32 - 2.
    pub(crate) fn ue(&mut self, what: &'static str) -> Result<u32, CodecError> {
        let at = self.byte();
        let mut zeros = 0;
        while !self.flag(what)? {
            zeros += 1;
            if zeros > 31 {
                return Err(CodecError::Invalid { what, at });
            }
        }
        let rest = u64::from(self.u(zeros, what)?);
        Ok(((1u64 << zeros) - 1 + rest) as u32)
    }

    /// A signed Exp-Golomb number (ISO/IEC 14496-10, 9.1.1).
    pub(crate) fn se(&mut self, what: &'static str) -> Result<i64, CodecError> {
        let n = i64::from(self.ue(what)?);
        Ok(if n % 2 == 1 { (n + 1) / 2 } else { -(n / 2) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golomb_numbers_follow_the_table_of_the_standard() {
        // 1 | 010 | 011 | 00100 | 00101, then zeros to the byte boundary.
        let mut b = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let got: Vec<u32> = (0..5).map(|_| b.ue("n").expect("in the slice")).collect();
        assert_eq!(got, [0, 1, 2, 3, 4]);
        let mut b = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let got: Vec<i64> = (0..5).map(|_| b.se("n").expect("in the slice")).collect();
        assert_eq!(got, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn the_end_is_an_error_that_names_field_and_byte() {
        let mut b = Bits::new(&[0xff]);
        assert_eq!(b.u(4, "a"), Ok(15));
        assert_eq!(b.u(5, "b"), Err(CodecError::Truncated { what: "b", at: 0 }));
        assert_eq!(b.u(4, "c"), Ok(15));
        assert_eq!(b.ue("d"), Err(CodecError::Truncated { what: "d", at: 1 }));
        let long = Bits::new(&[0; 8]).ue("e");
        assert_eq!(long, Err(CodecError::Invalid { what: "e", at: 0 }));
    }
}
