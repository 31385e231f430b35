//! The result of a callback.

/// Any error that a callback may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a callback. Any error converts with `?`, and so does a text: `Err("no such user")?`.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Input, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     let Some(line) = input.take_line()? else { return Ok(()) };
///     let number: u64 = std::str::from_utf8(line)?.parse()?;
///     let half = number.checked_div(2).ok_or("cannot be halved")?;
///     conn.send(half.to_string().as_bytes());
///     Ok(())
/// }
/// ```
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;
