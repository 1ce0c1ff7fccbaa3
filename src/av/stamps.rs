//! Times of packets as libav gives them, made continuous: 33-bit clocks go on past their end, and
//! a packet without a decoding time gets the one that its place implies. Pure.

/// Bits of the clock of MPEG-TS (ISO/IEC 13818-1, 2.4.3.7): it wraps every 26.5 hours.
pub(super) const TS_BITS: u32 = 33;

/// The clock of a file; its tracks share it when it wraps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    /// Bits of the clock; `None` when it never wraps.
    pub(super) bits: Option<u32>,
    newest: Option<i64>,
}

impl Clock {
    pub(super) fn new(bits: Option<u32>) -> Clock {
        Clock { bits, newest: None }
    }

    /// The time nearest to the newest one that has the same low bits.
    fn continuous(&mut self, dts: i64) -> i64 {
        let Some(bits) = self.bits else { return dts };
        let dts = self.newest.map_or(dts, |n| n.wrapping_add(signed(dts.wrapping_sub(n), bits)));
        self.newest = Some(dts);
        dts
    }
}

/// The low `bits` of a number as a signed number.
fn signed(n: i64, bits: u32) -> i64 {
    let shift = i64::BITS - bits;
    n << shift >> shift
}

/// The times of one track.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stamps {
    /// Where the next packet would be.
    next: Option<i64>,
}

impl Stamps {
    /// Has no packet had a place yet?
    pub(super) fn is_new(&self) -> bool {
        self.next.is_none()
    }

    /// DTS and composition offset of a packet; `None` when it has no time at all, or an offset that
    /// is beyond belief.
    pub(super) fn place(
        &mut self,
        clock: &mut Clock,
        (dts, pts): (Option<i64>, Option<i64>),
        duration: i64,
    ) -> Option<(i64, i32)> {
        let raw = dts.or_else(|| self.guess(pts)).or(self.next)?;
        let offset = pts.map_or(0, |p| p.wrapping_sub(raw));
        let cts = clock.bits.map_or(offset, |bits| signed(offset, bits));
        let cts = i32::try_from(cts).ok()?;
        let dts = clock.continuous(raw);
        self.next = Some(dts.saturating_add(duration.max(0)));
        Some((dts, cts))
    }

    /// A packet that is not shown before its place is decoded at its place.
    fn guess(&self, pts: Option<i64>) -> Option<i64> {
        pts.map(|p| self.next.map_or(p, |n| n.min(p)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_is_a_small_step() {
        let end = 1i64 << TS_BITS;
        let (mut clock, mut video) = (Clock::new(Some(TS_BITS)), Stamps::default());
        let mut place = |d, p| video.place(&mut clock, (Some(d), Some(p)), 3600).expect("times");
        assert_eq!(place(end - 3600, end - 3600), (end - 3600, 0));
        // The picture is shown after the wrap and decoded before it.
        assert_eq!(place(end - 1, 3599), (end - 1, 3600));
        assert_eq!(place(3600, 7200), (end + 3600, 3600));
        // libav has unwrapped it already.
        assert_eq!(place(end + 7200, end + 7200), (end + 7200, 0));
        // A second wrap.
        assert_eq!(place(end - 1, end - 1), (end - 1, 0));
    }

    #[test]
    fn missing_times_follow_from_their_place() {
        let (mut clock, mut s) = (Clock::new(None), Stamps::default());
        assert_eq!(s.place(&mut clock, (None, None), 40), None);
        assert_eq!(s.place(&mut clock, (None, Some(100)), 40), Some((100, 0)));
        assert_eq!(s.place(&mut clock, (None, Some(260)), 40), Some((140, 120)));
        assert_eq!(s.place(&mut clock, (None, None), 40), Some((180, 0)));
        assert_eq!(s.place(&mut clock, (Some(220), Some(i64::MAX)), 40), None);
    }
}
