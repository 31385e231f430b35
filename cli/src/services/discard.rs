use readyloop::{BoxError, Conn, Handler, Input};

/// Discards all input ([RFC 863](https://www.rfc-editor.org/rfc/rfc863)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Discard;

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
