//! The echo service.

use crate::conn::Conn;
use crate::handler::Handler;
use crate::input::Input;
use crate::result::BoxError;

/// Sends back everything that it receives ([RFC 862](https://www.rfc-editor.org/rfc/rfc862)).
///
/// When a client finishes sending, it receives the rest of its bytes and then a FIN.
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:7000")?;
/// reactor.run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _state: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        Ok(())
    }
}
