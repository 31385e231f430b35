//! The bytes at hand.

use std::fmt;

use crate::core::search::Search;

/// The bytes that a handler may take, in the order in which the peer sent them.
///
/// A handler takes what it can use. The rest is kept for it and stands before the bytes of the next
/// call, up to [`max_input`](crate::Config::max_input). What is taken borrows from the input, not
/// from this struct, so several pieces can be held at once.
///
/// # Examples
/// A handler of lines takes one a call, and leaves an unfinished one:
/// ```
/// use readyloop::{Conn, Input};
///
/// fn answer_line(conn: &mut Conn, input: &mut Input) {
///     if let Some(line) = input.take_until(b"\n") {
///         conn.send(b"you said: ");
///         conn.send(line);
///         conn.send(b"\n");
///     }
/// }
/// ```
/// A handler of messages with a length in front looks before it takes:
/// ```
/// use readyloop::Input;
///
/// fn next_message<'a>(input: &mut Input<'a>) -> Option<&'a [u8]> {
///     let header = input.peek().first_chunk::<2>()?;
///     let length = usize::from(u16::from_be_bytes(*header));
///     input.take_exact(2 + length).map(|message| &message[2..])
/// }
/// # let mut input = Input::new(b"\0\x02hi\0\x05the");
/// # assert_eq!(next_message(&mut input), Some(&b"hi"[..]));
/// # assert_eq!(next_message(&mut input), None);
/// ```
pub struct Input<'a> {
    bytes: &'a [u8],
    search: Search,
}

impl<'a> Input<'a> {
    /// An input of these bytes, to try a parser without a connection.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"GET /");
    /// assert_eq!(input.take_until(b" "), Some(&b"GET"[..]));
    /// ```
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::resume(bytes, Search::default())
    }

    pub(crate) fn resume(bytes: &'a [u8], search: Search) -> Self {
        Self { bytes, search }
    }

    pub(crate) fn into_search(self) -> Search {
        self.search
    }

    /// How many bytes are at hand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All bytes at hand, without taking them.
    #[must_use]
    pub fn peek(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes everything.
    ///
    /// # Examples
    /// ```
    /// let mut input = readyloop::Input::new(b"all of it");
    /// assert_eq!(input.take(), b"all of it");
    /// assert!(input.is_empty());
    /// ```
    pub fn take(&mut self) -> &'a [u8] {
        self.split(self.bytes.len())
    }

    /// Takes `count` bytes, or nothing if there are fewer.
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

    /// Takes the bytes before the first `delimiter`, and the delimiter itself, which is not part of
    /// what is returned. Takes nothing if there is none.
    ///
    /// What was searched in vain is not searched again when more bytes have come, so a line costs
    /// the same however it trickles in.
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
        assert!(!delimiter.is_empty(), "a delimiter has at least one byte");
        let at = self.search.find(self.bytes, delimiter)?;
        let found = self.split(at);
        self.split(delimiter.len());
        Some(found)
    }

    fn split(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        self.search.advance(count);
        taken
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("len", &self.len()).finish_non_exhaustive()
    }
}
