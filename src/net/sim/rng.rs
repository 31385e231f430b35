//! Random numbers that can be repeated.

/// A random number generator: SplitMix64 (Steele, Lea and Flood, 2014). It is small and fast, and every seed is a good
/// seed. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed. The same seed gives the same numbers.
    ///
    /// # Examples
    /// ```
    /// use readyloop::sim::Rng;
    /// let (mut a, mut b) = (Rng::new(7), Rng::new(7));
    /// assert_eq!(a.next_u64(), b.next_u64());
    /// assert!(a.below(10) < 10);
    /// ```
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number from 0 to `limit - 1`. 0 if `limit` is 0. The bias is below `limit / 2^64`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        ((self.next_u64() as u128 * limit as u128) >> 64) as u64
    }

    /// A random size from 0 to `limit - 1`: see [`below`](Self::below).
    pub const fn size_below(&mut self, limit: usize) -> usize {
        self.below(limit as u64) as usize
    }

    /// True with a probability of `chance` in 256.
    pub const fn happens(&mut self, chance: u8) -> bool {
        (self.next_u64() as u8) < chance
    }
}
