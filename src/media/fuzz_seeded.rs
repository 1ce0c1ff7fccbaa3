//! For tests: repeatable random mutations, the clip in `tests/fixtures`, bytes written as hex.

/// The clip: H.264 Constrained Baseline 640x360 25 fps, AAC-LC 44.1 kHz stereo, 10 s.
pub(crate) const BBB: &[u8] = include_bytes!("../../tests/fixtures/media/bbb.flv");

/// The clip's avcC.
pub(crate) const BBB_AVCC: &str =
    "0142c01effe100196742c01ed890280bfe5c0440000003004000000c83c58b898001000568c888cb20";

/// Bytes of a hex string; spaces are ignored.
pub(crate) fn hex(s: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        s.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).expect("hex")).collect();
    digits.chunks(2).map(|c| c[0] << 4 | c[1]).collect()
}

/// A xorshift generator; never start it with zero.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// Changes, cuts, repeats or inserts a few bytes.
    pub(crate) fn mutate(&mut self, data: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(data.len());
            match self.below(6) {
                0 => data.truncate(at),
                1 => data.insert(at.min(data.len()), self.below(256) as u8),
                2 if !data.is_empty() => data[at] = [0, 0xff, 0x80, 0x7f][self.below(4)],
                _ if !data.is_empty() => data[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
    }
}
