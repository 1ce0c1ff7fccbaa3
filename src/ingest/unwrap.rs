//! RTMP timestamps count milliseconds in 32 bits and wrap after 49.7 days. One connection's clock,
//! unwrapped.

/// A connection's clock; audio and video share it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrap {
    last: Option<i64>,
}

impl Unwrap {
    /// The timestamp as a time that never wraps, milliseconds: the one nearest to the newest seen.
    pub fn timestamp(&mut self, ts: u32) -> i64 {
        let time = match self.last {
            None => i64::from(ts),
            // The low 32 bits of `last` and `ts` differ by less than 2^31 in one direction: that is
            // the step.
            Some(last) => last + i64::from(ts.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(time);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::Unwrap;

    #[test]
    fn a_wrap_is_a_small_step_and_a_step_back_stays_one() {
        let mut u = Unwrap::default();
        let times: Vec<i64> =
            [u32::MAX - 10, u32::MAX, 22, 12, 55].into_iter().map(|t| u.timestamp(t)).collect();
        let base = i64::from(u32::MAX);
        assert_eq!(times, [base - 10, base, base + 23, base + 13, base + 56]);
    }
}
