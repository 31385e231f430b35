//! What a framing does.

use crate::input::Input;

/// A framing: how payloads are encoded as frames in a byte stream, and decoded from it.
///
/// [`Line`](crate::Line) and [`LengthPrefix`](crate::LengthPrefix) are framings. A protocol with another one
/// implements this trait. [`Input::take_frame`] decodes with it, and [`Conn::send_frame`](crate::Conn::send_frame)
/// encodes with it.
///
/// # Examples
/// [Netstrings](https://cr.yp.to/proto/netstrings.txt): `5:hello,` is the frame of `hello`.
/// ```
/// use readyloop::{BoxError, Conn, Framer, Input, Result};
///
/// struct Netstring;
///
/// impl Framer for Netstring {
///     type Error = BoxError;
///
///     fn decode<'a>(&self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>> {
///         let bytes = input.peek();
///         let Some(colon) = bytes.iter().take(10).position(|byte| *byte == b':') else {
///             return if bytes.len() < 10 { Ok(None) } else { Err("a length has no end".into()) };
///         };
///         let length: usize = std::str::from_utf8(&bytes[..colon])?.parse()?;
///         let frame = colon + 1 + length + 1;
///         if frame > input.max_frame() {
///             return Err("a netstring is too long".into()); // its body is not awaited
///         }
///         match input.take_exact(frame).map(|frame| &frame[colon + 1..]) {
///             Some([payload @ .., b',']) => Ok(Some(payload)),
///             Some(_) => Err("a netstring ends with a comma".into()),
///             None => Ok(None),
///         }
///     }
///
///     fn encode(&self, payload: &[u8], output: &mut dyn FnMut(&[u8])) -> Result {
///         output(format!("{}:", payload.len()).as_bytes());
///         output(payload);
///         output(b",");
///         Ok(())
///     }
/// }
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(payload) = input.take_frame(&Netstring)? {
///         conn.send_frame(&Netstring, payload)?;
///     }
///     Ok(())
/// }
/// # let mut input = Input::new(b"5:hello,0:,3:t");
/// # assert_eq!(input.take_frame(&Netstring).unwrap(), Some(&b"hello"[..]));
/// # assert_eq!(input.take_frame(&Netstring).unwrap(), Some(&b""[..]));
/// # assert_eq!(input.take_frame(&Netstring).unwrap(), None);
/// # let mut frame = Vec::new();
/// # Netstring.encode(b"hello", &mut |bytes| frame.extend_from_slice(bytes)).unwrap();
/// # assert_eq!(frame, b"5:hello,");
/// ```
pub trait Framer {
    /// Why a frame cannot be decoded, or a payload cannot be encoded: [`FrameError`](crate::FrameError),
    /// [`BoxError`](crate::BoxError) or the protocol's own type.
    type Error;

    /// Takes the next frame from `input` and returns its payload. If the frame is not complete yet, takes nothing
    /// and returns `None`; the next call sees the same bytes, and more behind them.
    ///
    /// An implementation should return an error as soon as it knows that the frame is longer than [`Input::max_frame`].
    ///
    /// # Errors
    /// If the bytes are not a frame. The handler should then end the connection.
    fn decode<'a>(&self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, Self::Error>;

    /// Passes the frame of `payload` to `output`, piece by piece and in order.
    ///
    /// To encode into memory, give `&mut |bytes| frame.extend_from_slice(bytes)` as the output.
    ///
    /// # Errors
    /// If the framing cannot carry the payload. An implementation must check this before it passes the first piece,
    /// because each passed piece is sent.
    fn encode(&self, payload: &[u8], output: &mut dyn FnMut(&[u8])) -> Result<(), Self::Error>;
}

impl<'a> Input<'a> {
    /// Takes the next frame and returns its payload. Takes nothing and returns `None` if the frame is not complete yet.
    ///
    /// # Errors
    /// As [`Framer::decode`]. If a callback returns the error with `?`, the connection ends.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{FrameError, Input, LengthPrefix};
    ///
    /// # fn main() -> Result<(), FrameError> {
    /// let mut input = Input::new(b"\x02hi\x05the");
    /// assert_eq!(input.take_frame(&LengthPrefix::U8)?, Some(&b"hi"[..]));
    /// assert_eq!(input.take_frame(&LengthPrefix::U8)?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_frame<F: Framer + ?Sized>(
        &mut self,
        framer: &F,
    ) -> Result<Option<&'a [u8]>, F::Error> {
        framer.decode(self)
    }
}
