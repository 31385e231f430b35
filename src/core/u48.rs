//! An integer of 48 bits.

/// An unsigned integer of 48 bits without alignment, to save memory in the entry of each connection. As a count of
/// milliseconds it lasts for 8,900 years. At a million counts a second it lasts for nine years. It saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct U48([u8; 6]);

impl U48 {
    const MAX: u64 = (1 << 48) - 1;

    pub(crate) fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    pub(crate) fn increment(&mut self) {
        *self = (self.get() + 1).into();
    }
}

impl From<u64> for U48 {
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
        for number in [0, 1, 255, 256, 0x1234_5678_9abc, U48::MAX] {
            assert_eq!(U48::from(number).get(), number);
        }
        assert_eq!(U48::from(u64::MAX).get(), U48::MAX);
        let mut counter = U48::from(U48::MAX - 1);
        counter.increment();
        counter.increment();
        assert_eq!(counter.get(), U48::MAX);
    }
}
