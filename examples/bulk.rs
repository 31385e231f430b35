//! A client sends a line with a number. The server answers with this many bytes and a newline. The second argument is
//! the memory budget in MiB: `cargo run --example bulk -- 127.0.0.1:7002 16`
//!
//! The handler is written in the simplest way: one message a call. However much the clients ask for, and in whatever
//! order they read, the reactor calls the handler only while the memory budget has room.

use std::error::Error;

use readyloop::{Config, Conn, Handler, Input, Reactor, Result};

/// No answer is longer than this many bytes.
const MOST: usize = 64 << 20;

pub(crate) struct Bulk;

impl Handler for Bulk {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn, (): &mut (), input: &mut Input) -> Result {
        if let Some(line) = input.take_line()? {
            let count: usize = std::str::from_utf8(line)?.parse()?;
            let mut answer = vec![b'x'; count.min(MOST)];
            answer.push(b'\n');
            conn.send(&answer);
        }
        Ok(())
    }
}

#[allow(dead_code, reason = "the tests have the handler alone")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(budget)) = (args.next(), args.next()) else {
        return Err(
            "usage: bulk ADDR MIB (the address to listen on, and the memory budget in MiB)".into(),
        );
    };
    let config = Config::new().queue_budget(budget.parse::<usize>()? << 20);
    let mut reactor = Reactor::new(config, Bulk)?;
    println!("listening on {}", reactor.listen(listen)?);
    reactor.run()?;
    Ok(())
}
