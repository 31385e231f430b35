//! A number in six bytes.

/// A number below 2^48, wherever it stands: for what every connection's entry holds and eight bytes are
/// more than is needed. As milliseconds it reaches for 8,900 years, as a counter that grows a million
/// times a second for nine. It stops at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SixBytes([u8; 6]);

impl SixBytes {
    const MAX: u64 = (1 << 48) - 1;

    pub(crate) fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    pub(crate) fn increment(&mut self) {
        *self = (self.get() + 1).into();
    }
}

impl From<u64> for SixBytes {
    fn from(number: u64) -> Self {
        let [a, b, c, d, e, f, ..] = number.min(Self::MAX).to_le_bytes();
        Self([a, b, c, d, e, f])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_as_it_went_in_and_stops_at_the_end() {
        for number in [0, 1, 255, 256, 0x1234_5678_9abc, SixBytes::MAX] {
            assert_eq!(SixBytes::from(number).get(), number);
        }
        assert_eq!(SixBytes::from(u64::MAX).get(), SixBytes::MAX);
        let mut counter = SixBytes::from(SixBytes::MAX - 1);
        counter.increment();
        counter.increment();
        assert_eq!(counter.get(), SixBytes::MAX);
    }
}
