//! The unread bytes of a connection.

use std::ops::Deref;
use std::{fmt, mem};

use crate::core::search::Search;

/// The unread bytes of a connection, in the order in which the peer sent them.
///
/// A handler takes the bytes that it can use. The others are kept for the next call, up to
/// [`max_input`](crate::Config::max_input) bytes. The slices that are taken borrow from the connection's buffer, not
/// from this struct, so a handler can hold several at once.
///
/// `Input` dereferences to the slice of all unread bytes: `input.len()`, `input.is_empty()` and `input.starts_with(…)`
/// work.
///
/// # Examples
/// A handler of lines takes one line a call, and leaves an unfinished line:
/// ```
/// use readyloop::{Conn, Input, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(line) = input.take_line()? {
///         conn.send(b"you said: ");
///         conn.send(line);
///         conn.send(b"\n");
///     }
///     Ok(())
/// }
/// ```
/// A handler of messages with a length prefix:
/// ```
/// use readyloop::{Conn, Input, LengthPrefix, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(message) = input.take_length_prefixed(LengthPrefix::U32)? {
///         conn.send_frame(&LengthPrefix::U32, message)?;
///     }
///     Ok(())
/// }
/// ```
/// [`Framer`](crate::Framer) shows a custom framing.
pub struct Input<'a> {
    bytes: &'a [u8],
    search: Search,
    /// The longest frame that a framing accepts, in bytes.
    max: usize,
}

impl<'a> Input<'a> {
    /// An input with these bytes, to test a parser without a connection. Frames have no limit until
    /// [`limit_frames`](Self::limit_frames) sets one.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"GET /");
    /// assert_eq!(input.take_until(b" "), Some(&b"GET"[..]));
    /// ```
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::resume(bytes, Search::default(), usize::MAX)
    }

    pub(crate) fn resume(bytes: &'a [u8], search: Search, max: usize) -> Self {
        Self { bytes, search, max }
    }

    pub(crate) fn into_search(self) -> Search {
        self.search
    }

    /// The longest frame that a framing accepts, in bytes, with its prefix or ending:
    /// [`Config::max_input`](crate::Config::max_input), unless [`limit_frames`](Self::limit_frames) has lowered it. A
    /// [`Framer`](crate::Framer) refuses a longer frame as soon as the length is known.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        self.max
    }

    /// Lowers [`max_frame`](Self::max_frame) to the limit of a protocol, for this callback. A limit above the present
    /// one changes nothing.
    ///
    /// # Examples
    /// Commands of at most 512 bytes, as in SMTP (RFC 5321, section 4.5.3.1.4) and IRC:
    /// ```
    /// use readyloop::{Conn, Input, Line, Result};
    ///
    /// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
    ///     if let Some(command) = input.limit_frames(512).take_line()? {
    ///         conn.send_frame(&Line::CrLf, command)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn limit_frames(&mut self, bytes: usize) -> &mut Self {
        self.max = self.max.min(bytes);
        self
    }

    /// Returns all unread bytes and takes none.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes all bytes.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"all of it");
    /// assert_eq!(input.take(), b"all of it");
    /// assert!(input.is_empty());
    /// ```
    pub fn take(&mut self) -> &'a [u8] {
        mem::take(&mut self.bytes) // no unread byte is left, so the search need not be updated
    }

    /// Takes `count` bytes. Takes nothing and returns `None` if there are fewer.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"abc");
    /// assert_eq!(input.take_exact(2), Some(&b"ab"[..]));
    /// assert_eq!(input.take_exact(2), None);
    /// assert_eq!(input.peek(), b"c");
    /// ```
    pub fn take_exact(&mut self, count: usize) -> Option<&'a [u8]> {
        (count <= self.bytes.len()).then(|| self.split(count))
    }

    /// Takes `count` bytes, or all bytes if there are fewer.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"abc");
    /// assert_eq!(input.take_at_most(2), b"ab");
    /// assert_eq!(input.take_at_most(2), b"c");
    /// assert_eq!(input.take_at_most(2), b"");
    /// ```
    pub fn take_at_most(&mut self, count: usize) -> &'a [u8] {
        self.split(count.min(self.bytes.len()))
    }

    /// Takes the bytes before the first `delimiter`, and the delimiter itself. Returns the bytes before it. Takes
    /// nothing and returns `None` if there is no delimiter.
    ///
    /// Bytes that were searched without success are not searched again when more arrive. So the cost of a line does not
    /// depend on how slowly it arrives.
    ///
    /// # Panics
    /// If `delimiter` is empty.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"one\r\ntwo\r\nthr");
    /// assert_eq!(input.take_until(b"\r\n"), Some(&b"one"[..]));
    /// assert_eq!(input.take_until(b"\r\n"), Some(&b"two"[..]));
    /// assert_eq!(input.take_until(b"\r\n"), None);
    /// assert_eq!(input.peek(), b"thr");
    /// ```
    pub fn take_until(&mut self, delimiter: &[u8]) -> Option<&'a [u8]> {
        assert!(!delimiter.is_empty(), "take_until: the delimiter is empty");
        let at = self.find(delimiter)?;
        let found = self.split(at);
        self.split(delimiter.len());
        Some(found)
    }

    /// The position of the first `delimiter`, which must not be empty. Bytes that were searched before are not searched
    /// again.
    pub(crate) fn find(&mut self, delimiter: &[u8]) -> Option<usize> {
        self.search.find(self.bytes, delimiter)
    }

    fn split(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        self.search.advance(count);
        taken
    }
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_was_searched_and_then_taken_whole_has_nothing_to_find() {
        let mut input = Input::new(b"no end");
        assert_eq!((input.take_line(), input.take_until(b"; ")), (Ok(None), None));
        assert_eq!(input.take(), b"no end");
        assert_eq!((input.take_line(), input.take_until(b"; ")), (Ok(None), None));
        assert_eq!(input.take(), b"");
    }

    #[test]
    fn bytes_that_come_after_others_were_searched_and_taken_are_searched_from_their_start() {
        let bytes = b"head\nbody";
        let mut input = Input::new(&bytes[..4]);
        assert_eq!(input.take_line(), Ok(None));
        assert_eq!(input.take_at_most(2), b"he");
        let mut input = Input::resume(&bytes[2..], input.into_search(), usize::MAX);
        assert_eq!(input.take_line(), Ok(Some(&b"ad"[..])));
        assert_eq!(input.take(), b"body");
    }
}
