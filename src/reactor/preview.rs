//! Bytes in the log.

use std::fmt::{self, Write};
use std::io::IoSlice;

/// The log shows this much of a chunk.
const SHOWN: usize = 64;

/// The beginning of a chunk, quoted, with everything escaped that is no plain character: what a peer
/// sends can neither break the line nor command the terminal.
pub(super) struct Preview<'a> {
    slices: &'a [IoSlice<'a>],
    len: usize,
}

impl<'a> Preview<'a> {
    /// The first `len` bytes of these slices.
    pub(super) fn new(slices: &'a [IoSlice<'a>], len: usize) -> Self {
        Self { slices, len }
    }
}

impl fmt::Display for Preview<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.slices.iter().flat_map(|slice| slice.iter());
        f.write_char('"')?;
        for byte in bytes.take(self.len.min(SHOWN)) {
            write!(f, "{}", byte.escape_ascii())?;
        }
        f.write_str(if self.len > SHOWN { "\"…" } else { "\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_shown_on_one_line_and_cut_when_long() {
        let slices = [IoSlice::new(b"hi\r\n"), IoSlice::new(b"\x1b[31m")];
        assert_eq!(Preview::new(&slices, 5).to_string(), r#""hi\r\n\x1b""#);
        let long = [IoSlice::new(&[b'x'; 100])];
        assert_eq!(Preview::new(&long, 100).to_string(), format!("\"{}\"…", "x".repeat(64)));
    }
}
