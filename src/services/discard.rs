use crate::{BoxError, Conn, Handler, Input};

/// Throws away all that it gets ([RFC 863](https://www.rfc-editor.org/rfc/rfc863)).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, services::Discard};
///
/// let reactor = Reactor::new(Config::new(), Discard)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Handler for Discard {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        _conn: &mut Conn<'_>,
        _state: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        Ok(())
    }
}
