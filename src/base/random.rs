//! Numbers that look random and are the same on every machine, for what is made up or tried at
//! random: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators",
//! 2016). Nothing secret is made of them.

/// The numbers of one seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Those of this seed; seeds beside each other give numbers that have nothing in common.
    pub fn new(seed: u64) -> Random {
        // Zero would stay zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one, below `n`; 0 for 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_numbers_and_all_of_them_come() {
        let of = |seed| {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| random.below(6)).collect::<Vec<u64>>()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        for n in 0..6 {
            let count = of(0).iter().filter(|m| **m == n).count();
            assert!((100..250).contains(&count), "{n} came {count} times");
        }
        assert_eq!(Random::new(3).below(0), 0);
    }
}
