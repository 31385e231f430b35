//! Unsigned LEB128, the varint of Protocol Buffers: seven bits a byte, the lowest first; the high bit says that
//! another byte follows.

/// The longest encoding of a 64-bit number, in bytes.
pub(super) const LONGEST: usize = 10;

/// The result of decoding a number from the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// More bytes must follow. `so_far` is the value of the bytes that have arrived.
    Incomplete { so_far: u64 },
    /// The number is complete. Its encoding takes `width` bytes.
    Complete { value: u64, width: usize },
    /// The encoding is too long, overflows, or is not the shortest one.
    Invalid,
}

pub(super) fn read(bytes: &[u8]) -> Number {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let is_last = byte & 0x80 == 0;
        let is_above_64_bits = at == LONGEST - 1 && *byte > 1;
        let is_superfluous = is_last && *byte == 0 && at > 0;
        if is_above_64_bits || is_superfluous {
            return Number::Invalid;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if is_last {
            return Number::Complete { value, width: at + 1 };
        }
    }
    Number::Incomplete { so_far: value }
}

/// The shortest encoding, and its length in bytes.
pub(super) fn write(mut number: u64) -> ([u8; LONGEST], usize) {
    let mut bytes = [0; LONGEST];
    let mut width = 0;
    loop {
        bytes[width] = (number & 0x7f) as u8;
        number >>= 7;
        width += 1;
        if number == 0 {
            return (bytes, width);
        }
        bytes[width - 1] |= 0x80;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_numbers_of_the_documentation_of_protocol_buffers_are_read() {
        assert_eq!(read(&[1]), Number::Complete { value: 1, width: 1 });
        assert_eq!(read(&[0x96, 0x01, 7]), Number::Complete { value: 150, width: 2 });
        assert_eq!(read(&[0x96]), Number::Incomplete { so_far: 22 });
        assert_eq!(read(&[]), Number::Incomplete { so_far: 0 });
    }

    #[test]
    fn what_is_longer_than_needed_or_than_64_bits_is_invalid() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&most), Number::Complete { value: u64::MAX, width: 10 });
        let mut above = most;
        above[9] = 0x02;
        for bytes in
            [&[0xff; 10][..], &[0x80; 10], &[0xff; 1_000], &above, &[0x80, 0], &[1 << 7, 1 << 7, 0]]
        {
            assert_eq!(read(bytes), Number::Invalid, "{bytes:?}");
        }
        assert!(matches!(read(&[0xff; 9]), Number::Incomplete { .. }), "it may still end");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), shift in 0..64u32) {
            let number = number >> shift;
            let (bytes, width) = write(number);
            prop_assert_eq!(read(&bytes[..width]), Number::Complete { value: number, width });
            for end in 0..width {
                let is_incomplete = matches!(read(&bytes[..end]), Number::Incomplete { .. });
                prop_assert!(is_incomplete);
            }
        }
    }
}
