use time::OffsetDateTime;
use time::macros::format_description;

use readyloop::{BoxError, Conn, Handler, Input};

/// Sends the date and time, in UTC, and closes ([RFC 867](https://www.rfc-editor.org/rfc/rfc867)). Input is discarded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Daytime;

impl Handler for Daytime {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.send(line(OffsetDateTime::now_utc())?.as_bytes());
        conn.close();
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

/// The first of the two forms that RFC 867 suggests.
fn line(now: OffsetDateTime) -> Result<String, BoxError> {
    let form = format_description!(
        "[weekday], [month repr:long] [day padding:none], [year] [hour]:[minute]:[second]-UTC\r\n"
    );
    Ok(now.format(&form)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_form_of_rfc_867() -> Result<(), BoxError> {
        let then = OffsetDateTime::from_unix_timestamp(1_709_165_107)?;
        assert_eq!(line(then)?, "Thursday, February 29, 2024 00:05:07-UTC\r\n");
        Ok(())
    }
}
