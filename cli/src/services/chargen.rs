use readyloop::{BoxError, Conn, Handler, Input};

/// The printing characters of ASCII, space to tilde.
const FIRST: u8 = b' ';
const CHARACTERS: u8 = b'~' - b' ' + 1;

/// The number of characters in a line, before CR LF.
const WIDTH: u8 = 72;

/// Sends lines of characters without end, each beginning one character later than the one before
/// ([RFC 864](https://www.rfc-editor.org/rfc/rfc864)). Input is discarded.
///
/// The service sends no faster than its peer reads: it stops at the high-water mark, and continues when the queue has
/// fallen to the low-water mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chargen;

impl Handler for Chargen {
    /// The character, counted from the first, that begins the next line.
    type State = u8;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<u8, BoxError> {
        let mut start = 0;
        fill(conn, &mut start);
        Ok(start)
    }

    fn on_data(
        &mut self,
        _conn: &mut Conn<'_>,
        _start: &mut u8,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        Ok(())
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, start: &mut u8) -> Result<(), BoxError> {
        conn.restart_idle_timeout(); // A peer that reads is not idle.
        fill(conn, start);
        Ok(())
    }

    fn on_shutdown(&mut self, conn: &mut Conn<'_>, _start: &mut u8) -> Result<(), BoxError> {
        conn.close(); // There is always more to send, so the connection would never be quiet.
        Ok(())
    }
}

fn fill(conn: &mut Conn<'_>, start: &mut u8) {
    while !conn.is_above_high_water() {
        conn.send(&line(*start));
        *start = (*start + 1) % CHARACTERS;
    }
}

fn line(start: u8) -> [u8; WIDTH as usize + 2] {
    let mut line = [b'\n'; WIDTH as usize + 2];
    for (character, column) in line.iter_mut().zip(0..WIDTH) {
        *character = FIRST + (start + column) % CHARACTERS;
    }
    line[usize::from(WIDTH)] = b'\r';
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_rfc() {
        let first =
            b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
        assert_eq!(&line(0), first);
        let last = line(CHARACTERS - 1);
        assert!(last.starts_with(b"~ !\"") && last.ends_with(b"f\r\n"));
    }
}
