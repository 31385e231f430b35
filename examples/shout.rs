//! Replaces the handler of a running echo server while a client is connected. The new handler answers in capital
//! letters: `cargo run --example shout`.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use readyloop::{Config, Conn, ConnId, Handler, Input, Result, Server};

/// How many lines a client has sent. The second version continues the count of the first one.
type Lines = u32;

/// A handler whose type is chosen at run time, so that it can be replaced by a handler of another type.
type Version = Box<dyn Handler<State = Lines> + Send>;

struct Echo;

struct Shout;

/// Answers each line, with its number before it.
fn answer(
    conn: &mut Conn,
    lines: &mut Lines,
    input: &mut Input,
    how: fn(&[u8]) -> Vec<u8>,
) -> Result {
    if let Some(line) = input.take_line()? {
        *lines += 1;
        conn.send(format!("{lines}: ").as_bytes());
        conn.send(&how(line));
        conn.send(b"\n");
    }
    Ok(())
}

impl Handler for Echo {
    type State = Lines;

    fn on_open(&mut self, _conn: &mut Conn) -> Result<Lines> {
        Ok(0)
    }

    fn on_data(&mut self, conn: &mut Conn, lines: &mut Lines, input: &mut Input) -> Result {
        answer(conn, lines, input, <[u8]>::to_vec)
    }
}

impl Handler for Shout {
    type State = Lines;

    fn on_open(&mut self, _conn: &mut Conn) -> Result<Lines> {
        Ok(0)
    }

    fn on_data(&mut self, conn: &mut Conn, lines: &mut Lines, input: &mut Input) -> Result {
        answer(conn, lines, input, <[u8]>::to_ascii_uppercase)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server::new(Config::new(), 2, |_reactor| -> Version { Box::new(Echo) })?;
    let addr = server.listen("127.0.0.1:0")?;
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());

    let mut client = TcpStream::connect(addr)?;
    let mut answers = BufReader::new(client.try_clone()?).lines();
    let mut say = |line: &str| -> io::Result<()> {
        client.write_all(format!("{line}\n").as_bytes())?;
        let answer = answers.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        println!("{line:18} → {answer}");
        Ok(())
    };
    say("can you hear me?")?;
    say("good evening")?;

    // The connection stays, and so does its count: `None` keeps a state as it is.
    let keep = |_id: ConnId, _lines: &Lines| None;
    handle.replace(|_reactor| -> Version { Box::new(Shout) }, keep, Duration::from_secs(10))?;
    say("what was that?")?;

    // If the migration of one state panics, the old handler stays.
    let broken = |_id: ConnId, lines: &Lines| Some(lines.checked_sub(1_000).expect("so many"));
    let refused =
        handle.replace(|_reactor| -> Version { Box::new(Echo) }, broken, Duration::from_secs(10));
    println!("{:18} → {}", "(a broken version)", refused.expect_err("it panics"));
    say("still here?")?;

    handle.drain(Duration::from_secs(10));
    drop(client);
    println!("{}", serving.join().expect("no panic escapes")?);
    Ok(())
}
