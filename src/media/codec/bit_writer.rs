//! Parameter sets for tests, bit by bit.

/// Bits written one field after another.
#[derive(Default)]
pub(super) struct Writer(Vec<bool>);

impl Writer {
    /// An unsigned number of so many bits.
    pub(super) fn u(mut self, bits: u32, value: u32) -> Writer {
        self.0.extend((0..bits).rev().map(|i| value >> i & 1 == 1));
        self
    }

    /// Exp-Golomb (ITU-T H.264 and H.265, 9.1 and 9.2).
    pub(super) fn ue(self, value: u32) -> Writer {
        let bits = (value + 1).ilog2();
        self.u(bits, 0).u(bits + 1, value + 1)
    }

    /// The same again and again.
    pub(super) fn many(self, count: u32, each: impl Fn(Writer) -> Writer) -> Writer {
        (0..count).fold(self, |w, _| each(w))
    }

    /// What was written.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        self.0.resize(self.0.len().next_multiple_of(8), false);
        self.0.chunks(8).map(|b| b.iter().fold(0, |n, bit| n << 1 | u8::from(*bit))).collect()
    }

    /// The same with emulation prevention (H.265, 7.3.1.1).
    pub(super) fn nal(self) -> Vec<u8> {
        let (mut out, mut zeros) = (Vec::new(), 0);
        for b in self.bytes() {
            if zeros >= 2 && b <= 3 {
                out.push(3);
                zeros = 0;
            }
            zeros = if b == 0 { zeros + 1 } else { 0 };
            out.push(b);
        }
        out
    }
}
