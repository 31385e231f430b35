//! The texts of panics, which others wrote, where they are logged.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Echo, Handler, Input,
    TimerKey, from_fn,
};

use crate::inside::{collect_log, logged};
use crate::util::*;

/// Panics in each callback, with a text of several lines that commands a terminal.
struct Clumsy {
    tag: &'static str,
    unreachable: SocketAddr,
}

impl Clumsy {
    fn panic(&self, name: &str) -> ! {
        panic!("{} {name}\nsecond line\r\n\x1b[31mred\u{85}", self.tag)
    }
}

impl Handler for Clumsy {
    /// Which callback is to panic.
    type State = u8;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<u8, BoxError> {
        if conn.is_outbound() {
            self.panic("on_open");
        }
        Ok(0)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut u8,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        *state = input.take()[0];
        match *state {
            b'd' => self.panic("on_data"),
            b't' => conn.set_timer(Duration::ZERO, TimerKey(0)),
            b'q' => conn.send(&[0; 1 << 20]),
            b'c' => conn.close(),
            _ => {}
        }
        Ok(())
    }

    fn on_eof(
        &mut self,
        _conn: &mut Conn<'_>,
        state: &mut u8,
        _input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if *state == b'e' {
            self.panic("on_eof");
        }
        Ok(())
    }

    fn on_low_water(&mut self, _conn: &mut Conn<'_>, _state: &mut u8) -> Result<(), BoxError> {
        self.panic("on_low_water")
    }

    fn on_timer(
        &mut self,
        _conn: &mut Conn<'_>,
        _state: &mut u8,
        _key: TimerKey,
    ) -> Result<(), BoxError> {
        self.panic("on_timer")
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, state: u8, _reason: &CloseReason) {
        if state == b'c' {
            self.panic("on_close");
        }
    }

    fn on_connect_failed(&mut self, _: &mut Context<'_>, _: ConnId, _: &CloseReason) {
        self.panic("on_connect_failed")
    }

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(Duration::ZERO, TimerKey(0));
        reactor.connect(&[self.unreachable], &ConnectOptions::new());
        self.panic("on_start")
    }

    fn on_tick(&mut self, _: &mut Context<'_>, _: TimerKey) {
        self.panic("on_tick")
    }

    fn on_stop(&mut self, _: &mut Context<'_>) {
        self.panic("on_stop")
    }
}

#[test]
fn row_60_a_panic_of_several_lines_in_any_callback_or_closure_is_one_escaped_line_of_the_log() {
    collect_log();
    let tag = "clumsy";
    let (_taken, unreachable) = refusing("127.0.0.1:0");
    let server = Server::start(Config::new(), Clumsy { tag, unreachable });
    for message in [b"d", b"t", b"q", b"e", b"c"] {
        let mut client = server.connect();
        client.write_all(message).unwrap();
        if message == b"e" {
            client.shutdown(Shutdown::Write).unwrap();
        }
        let _ = client.read_to_end(&mut Vec::new()); // a FIN or a RST
    }
    let echo = Server::start(Config::new(), from_fn(|_conn, _input| {}));
    let target = echo.addr;
    server
        .handle
        .post(0, move |reactor| {
            reactor.connect(&[target], &ConnectOptions::new());
            panic!("clumsy closure\nsecond line\r\n\x1b[31mred\u{85}")
        })
        .unwrap_or_else(|refused| panic!("{refused}"));
    let lines = || {
        let mut lines = logged();
        lines.retain(|line| line.contains(tag));
        lines
    };
    let expected = ["on_open", "on_data", "on_eof", "on_low_water", "on_timer", "on_close"];
    let expected = [&expected[..], &["on_connect_failed", "on_start", "on_tick", "closure"]];
    let expected = expected.concat();
    wait_until("all have panicked", || lines().len() >= expected.len());
    server.stop();
    for name in expected.iter().chain(&["on_stop"]) {
        let text = format!(r"clumsy {name}\nsecond line\r\n\u{{1b}}[31mred\u{{85}}");
        let lines = lines();
        let found = lines.iter().filter(|line| line.contains(&text)).count();
        assert_eq!(found, 1, "{name}: {lines:#?}");
    }
    assert!(lines().iter().all(|line| !line.contains(char::is_control)), "{:#?}", lines());
}

#[test]
fn row_60_an_error_that_says_why_a_handler_was_not_replaced_is_one_escaped_line() {
    let server = Server::start(Config::new(), Echo);
    let mut client = server.connect();
    echo(&mut client, b"it is there");
    let refused = server.handle.replace(|_| Echo, |_id, ()| panic!("two\nlines"), DEADLINE);
    let text = refused.expect_err("it has panicked").to_string();
    assert!(text.ends_with(r"two\nlines"), "{text}");
}
