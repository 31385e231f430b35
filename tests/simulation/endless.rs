//! A server that sends without end.

use readyloop::{BoxError, Conn, Handler, Input};

/// Sends lines without end, no faster than its peer reads. Input is discarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endless;

impl Handler for Endless {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        fill(conn);
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

    fn on_low_water(&mut self, conn: &mut Conn<'_>, _state: &mut ()) -> Result<(), BoxError> {
        conn.restart_idle_timeout(); // A peer that reads is not idle.
        fill(conn);
        Ok(())
    }

    fn on_shutdown(&mut self, conn: &mut Conn<'_>, _state: &mut ()) -> Result<(), BoxError> {
        conn.close();
        Ok(())
    }
}

fn fill(conn: &mut Conn<'_>) {
    while !conn.is_above_high_water() {
        conn.send(b"another line of sixty-four bytes, as some servers like to send\r\n");
    }
}
