//! Handlers that are made of closures.

use std::marker::PhantomData;

use crate::conn::Conn;
use crate::handler::Handler;
use crate::input::Input;
use crate::result::Result;

/// What a closure returns: nothing, or a [`Result`].
#[diagnostic::on_unimplemented(
    message = "a closure for `on_data` returns nothing or a `readyloop::Result`, not `{Self}`"
)]
pub trait Outcome {
    /// Converts it.
    fn into_result(self) -> Result;
}

impl Outcome for () {
    fn into_result(self) -> Result {
        Ok(())
    }
}

impl Outcome for Result {
    fn into_result(self) -> Result {
        self
    }
}

/// The type of a closure that only panics or ends the process. Stable Rust has no other name for it.
type Never = <fn() -> ! as Returns>::Type;

/// Names what a function returns.
pub trait Returns {
    /// What the function returns.
    type Type;
}

impl<R> Returns for fn() -> R {
    type Type = R;
}

impl Outcome for Never {
    fn into_result(self) -> Result {
        self
    }
}

/// Makes a [`Handler`] without state from a closure. The closure is called with the bytes that arrive, as
/// [`on_data`](Handler::on_data) is. It returns nothing, or a [`Result`].
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, from_fn};
///
/// let shout = from_fn(|conn, input| conn.send(&input.take().to_ascii_uppercase()));
/// let reactor = Reactor::new(Config::new(), shout)?;
/// # Ok(())
/// # }
/// ```
pub fn from_fn<F, R>(mut on_data: F) -> impl Handler<State = ()>
where
    F: FnMut(&mut Conn<'_>, &mut Input<'_>) -> R + 'static,
    R: Outcome,
{
    let on_data =
        move |conn: &mut Conn<'_>, (): &mut (), input: &mut Input<'_>| on_data(conn, input);
    Closures { on_open: |_: &mut Conn<'_>| Ok(()), on_data, state: PhantomData }
}

/// A handler of two closures.
pub(crate) struct Closures<O, D, S> {
    pub(crate) on_open: O,
    pub(crate) on_data: D,
    pub(crate) state: PhantomData<fn() -> S>,
}

impl<O, D, S, R> Handler for Closures<O, D, S>
where
    O: FnMut(&mut Conn<'_>) -> Result<S> + 'static,
    D: FnMut(&mut Conn<'_>, &mut S, &mut Input<'_>) -> R + 'static,
    S: 'static,
    R: Outcome,
{
    type State = S;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<S> {
        (self.on_open)(conn)
    }

    fn on_data(&mut self, conn: &mut Conn<'_>, state: &mut S, input: &mut Input<'_>) -> Result {
        (self.on_data)(conn, state, input).into_result()
    }
}
