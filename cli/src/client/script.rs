//! Clients on one reactor that send messages at a fixed interval and compare the replies.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::args::Plan;
use super::message::{fill_in, on_one_line, reply_len};
use super::tally::Tally;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::open_files;
use crate::streams::{self, Unwritten};
use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Handler, Input, Reactor,
    TimerKey,
};

/// How many connections are opened at the same time: fewer than the usual backlog of servers. Otherwise the kernel has
/// to retry some of them, after a second.
const CONNECTING: u32 = 100;

/// How many bytes beyond its replies a server may send before the client gives up the connection.
const EXCESS: usize = 64 * 1024;

/// It is time for the next message.
const SEND: TimerKey = TimerKey(0);

/// The reply, or the server's end after the last reply, has timed out.
const OVERDUE: TimerKey = TimerKey(1);

/// # Errors
/// [`Failure::System`] if a reply was not right or not printed, a message was not sent, or a signal came before the
/// end.
pub(crate) fn run(
    plan: Plan,
    addrs: Vec<SocketAddr>,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let refused = |error: readyloop::Error| Failure::System(error.to_string());
    open_files::must_allow(plan.clients)?;
    let mut reactor = Reactor::new(config(&plan), Script::new(plan, addrs)).map_err(refused)?;
    let handle = reactor.handle();
    interrupt.on_first(move || {
        handle.stop();
        true
    });
    while reactor.turn(None).map_err(refused)?.is_continue() {
        reactor.handler_mut().print(interrupt);
    }
    reactor.handler_mut().print(interrupt);
    interrupt.ends_at_once();
    sum_up(&reactor.handler_mut().tally, interrupt.has_come())
}

fn sum_up(tally: &Tally, is_interrupted: bool) -> Result<(), Failure> {
    if tally.is_all_right() && !is_interrupted {
        let is_said = streams::say(&format!("readyloop: {tally}"));
        return is_said
            .then_some(())
            .ok_or_else(|| Failure::of_flag("standard error", "the summary could not be written"));
    }
    let interrupted = if is_interrupted { "interrupted: " } else { "" };
    let error = tally.first_error().map_or_else(String::new, |what| format!("; first: {what}"));
    Err(Failure::System(format!("{interrupted}{tally}{error}")))
}

/// The script has timeouts of its own. A message never waits for room in its queue. A connection does not linger: the
/// script has waited for the server's end already.
fn config(plan: &Plan) -> Config {
    let longest = fill_in(&plan.message, u32::MAX, u32::MAX).len();
    Config::new()
        .high_water(longest.max(64 * 1024))
        .first_byte_timeout(None)
        .idle_timeout(None)
        .write_timeout(None)
        .linger_timeout(Duration::ZERO)
        .max_age(None)
}

/// The handler of all clients.
struct Script {
    plan: Plan,
    addrs: Vec<SocketAddr>,
    options: ConnectOptions,
    tally: Tally,
    /// How many clients have begun to connect. They are numbered from 1.
    begun: u32,
    connecting: HashMap<ConnId, u32>,
    gone: u32,
    /// Lines to print at the end of the turn.
    lines: String,
}

/// One client.
struct Client {
    number: u32,
    /// When the first message was sent.
    begin: Instant,
    sent: u32,
    waits: bool,
    /// Whether the last reply was right so far.
    is_right: bool,
    is_done: bool,
    received: Vec<u8>,
    /// How many bytes belong to no reply.
    excess: usize,
}

impl Script {
    fn new(plan: Plan, addrs: Vec<SocketAddr>) -> Self {
        Self {
            addrs,
            options: ConnectOptions::new().timeout(plan.timeout),
            tally: Tally::new(plan.clients, plan.count),
            begun: 0,
            connecting: HashMap::new(),
            gone: 0,
            lines: String::new(),
            plan,
        }
    }

    fn connect_next(&mut self, reactor: &mut Context<'_>) {
        if self.begun < self.plan.clients {
            self.begun += 1;
            let id = reactor.connect(&self.addrs, &self.options);
            self.connecting.insert(id, self.begun);
        }
    }

    fn has_connected(&mut self, id: ConnId) -> u32 {
        self.connecting.remove(&id).expect("every connection was begun here")
    }

    fn message(&self, client: &Client) -> String {
        fill_in(&self.plan.message, client.sent, client.number)
    }

    fn send_next(&mut self, conn: &mut Conn<'_>, client: &mut Client) {
        client.sent += 1;
        client.waits = true;
        self.tally.sent += 1;
        conn.send(self.message(client).as_bytes());
        conn.set_timer(self.plan.timeout, OVERDUE);
    }

    /// Continues if the reply is complete.
    fn go_on(&mut self, conn: &mut Conn<'_>, client: &mut Client) -> Result<(), BoxError> {
        if !client.waits {
            return self.refuse_excess(client);
        }
        let message = self.message(client);
        let Some(len) = reply_len(&client.received, message.as_bytes()) else {
            return check_excess(client.received.len().saturating_sub(message.len()));
        };
        self.compare(client, message.as_bytes(), len);
        self.refuse_excess(client)?;
        conn.cancel_timer(OVERDUE);
        if client.sent == self.plan.count {
            client.is_done = true;
            conn.shutdown_write(); // The rest of what the server sends is read.
            conn.set_timer(self.plan.timeout, OVERDUE);
            return Ok(());
        }
        let wait = self.plan.wait_for_next(client.sent, client.begin.elapsed());
        if wait.is_zero() {
            self.send_next(conn, client);
        } else {
            conn.set_timer(wait, SEND);
        }
        Ok(())
    }

    /// Bytes that arrive while no reply is awaited belong to the previous reply. So that reply is wrong. They are
    /// discarded, so that they are not part of the next reply.
    fn refuse_excess(&mut self, client: &mut Client) -> Result<(), BoxError> {
        if client.received.is_empty() {
            return Ok(());
        }
        client.excess += client.received.len();
        client.received.clear();
        let Client { number, sent, .. } = client;
        self.tally.error(|| {
            format!("client {number}: more came back than was sent, with or after reply {sent}")
        });
        if mem::take(&mut client.is_right) {
            self.tally.wrong_after_all();
        }
        check_excess(client.excess)
    }

    fn compare(&mut self, client: &mut Client, message: &[u8], len: usize) {
        let reply: Vec<u8> = client.received.drain(..len).collect();
        let is_right = reply == message;
        client.is_right = is_right;
        client.waits = false;
        self.tally.reply(is_right);
        if !is_right {
            let Client { number, sent, .. } = client;
            self.tally.error(|| format!("client {number}: reply {sent} is wrong"));
        }
        if !self.plan.is_quiet {
            if self.plan.clients > 1 {
                self.lines.push_str(&format!("{}: ", client.number));
            }
            self.lines.push_str(&on_one_line(&reply));
            self.lines.push('\n');
        }
    }

    /// Counts an incomplete reply as wrong if its beginning is wrong.
    fn judge_the_rest(&mut self, client: &Client) {
        if client.waits && !self.message(client).as_bytes().starts_with(&client.received) {
            self.tally.wrong_start();
        }
    }

    fn one_is_gone(&mut self, reactor: &mut Context<'_>) {
        self.gone += 1;
        if self.gone == self.plan.clients {
            reactor.stop();
        }
    }

    /// Prints the replies of the turn. Replies that cannot be printed are counted.
    fn print(&mut self, interrupt: &Interrupt) {
        let lines = mem::take(&mut self.lines);
        if lines.is_empty() {
            return;
        }
        let unwritten = match self.tally.is_printed() {
            true => streams::write_all_unless(interrupt, io::stdout(), lines.as_bytes()).err(),
            false => Some(Unwritten { written: 0, error: io::ErrorKind::BrokenPipe.into() }),
        };
        if let Some(Unwritten { written, error }) = unwritten {
            let left = lines.as_bytes()[written..].iter().filter(|byte| **byte == b'\n').count();
            self.tally.unprinted(left as u64);
            self.tally.error(|| format!("standard output: {error}"));
        }
    }
}

fn check_excess(excess: usize) -> Result<(), BoxError> {
    if excess > EXCESS {
        return Err("the server sends much more than it has received".into());
    }
    Ok(())
}

impl Handler for Script {
    type State = Client;

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        for _ in 0..CONNECTING {
            self.connect_next(reactor);
        }
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Client, BoxError> {
        let mut client = Client {
            number: self.has_connected(conn.id()),
            begin: Instant::now(),
            sent: 0,
            waits: false,
            is_right: false,
            is_done: false,
            received: Vec::new(),
            excess: 0,
        };
        self.connect_next(&mut conn.reactor());
        self.send_next(conn, &mut client);
        Ok(client)
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let number = self.has_connected(id);
        if matches!(reason, CloseReason::Stopped) {
            return;
        }
        self.tally.failed();
        self.tally.error(|| format!("client {number}: {reason}"));
        self.connect_next(reactor);
        self.one_is_gone(reactor);
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        client: &mut Client,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        client.received.extend_from_slice(input.take());
        self.go_on(conn, client)
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        client: &mut Client,
        key: TimerKey,
    ) -> Result<(), BoxError> {
        if key == SEND {
            self.send_next(conn, client);
            return Ok(());
        }
        if client.is_done {
            conn.close(); // The server does not finish. That is no error.
            return Ok(());
        }
        // A late reply could not be distinguished from the next one.
        let (Client { number, sent, .. }, timeout) = (&*client, self.plan.timeout);
        self.tally.error(|| format!("client {number}: no reply {sent} within {timeout:?}"));
        client.is_done = true;
        conn.abort();
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, client: Client, reason: &CloseReason) {
        self.judge_the_rest(&client);
        if !client.is_done && !matches!(reason, CloseReason::Stopped) {
            let (number, count) = (client.number, self.plan.count);
            let replies = client.sent - u32::from(client.waits);
            self.tally.failed();
            self.tally
                .error(|| format!("client {number}: {reason}, after {replies} of {count} replies"));
        }
        self.one_is_gone(&mut conn.reactor());
    }
}
