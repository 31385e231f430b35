//! A chat room: each line goes to all clients. `cargo run --example chat`, then in two terminals `nc 127.0.0.1 7001`.

use readyloop::{CloseReason, Config, Conn, Error, Handler, Input, Reactor, Report, Result};

struct Room;

impl Handler for Room {
    /// The name of the client. `None` until the client has sent it.
    type State = Option<String>;

    fn on_open(&mut self, conn: &mut Conn) -> Result<Self::State> {
        conn.send(b"What is your name?\n");
        Ok(None)
    }

    fn on_data(&mut self, conn: &mut Conn, name: &mut Self::State, input: &mut Input) -> Result {
        if let Some(line) = input.take_line()? {
            let line = std::str::from_utf8(line)?.trim();
            let news = match name {
                None => format!("* {} comes in\n", name.insert(line.to_owned())),
                Some(name) => format!("{name}: {line}\n"),
            };
            conn.reactor().broadcast(news);
        }
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn, name: Self::State, _reason: &CloseReason) {
        if let Some(name) = name {
            conn.reactor().broadcast(format!("* {name} has left\n"));
        }
    }
}

fn main() -> Result<Report, Error> {
    // A client that reads more slowly than the others write is reset before its queue fills the memory. A client may
    // listen without writing, so there is no idle timeout.
    let config = Config::new().queue_limit(256 * 1024).idle_timeout(None);
    let mut reactor = Reactor::new(config, Room)?;
    println!("listening on {}", reactor.listen("127.0.0.1:7001")?);
    reactor.run()
}
