//! Clients that ask now and then, and measure how long the answer takes.
//!
//! They do not wait for each other: a server that stands still for a while is asked all the same, and
//! each of those it keeps waiting counts. (A client that asked one after another would ask once
//! meanwhile, and the 99th percentile would not see it.)

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::connect::{MESSAGE, connect, round_trip};
use crate::common::failure::Failure;

const CLIENTS: usize = 100;

/// One of them asks each time: 1,000 a second in all, 10 each.
const PERIOD: Duration = Duration::from_millis(1);

/// How long after the end answers are awaited.
const TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct QuietClients {
    poll: Poll,
    clients: Vec<Quiet>,
}

struct Quiet {
    stream: TcpStream,
    /// Since when it waits for an answer.
    asked: Option<Instant>,
    /// It was to ask again then, but had no answer yet.
    owed: Option<Instant>,
    missing: usize,
}

impl QuietClients {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let mut stream = connect(addr)?;
            round_trip(&mut stream)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            clients.push(Quiet { stream, asked: None, owed: None, missing: 0 });
        }
        Ok(Self { poll, clients })
    }

    pub(crate) fn ask_for(&mut self, time: Duration) -> Result<Times, Failure> {
        let mut took = Vec::new();
        let mut events = Events::with_capacity(CLIENTS);
        let mut turns = (0..CLIENTS).cycle();
        let mut next = Instant::now();
        let end = next + time;
        loop {
            let now = Instant::now();
            while next <= now.min(end) {
                let number = turns.next().ok_or("there is no client")?;
                self.clients[number].be_due(now)?;
                next += PERIOD;
            }
            let until = if next <= end { next } else { end + TIMEOUT };
            if next > end && (now >= until || self.waiting().next().is_none()) {
                break;
            }
            self.poll.poll(&mut events, Some(until - now))?;
            for event in &events {
                took.extend(self.clients[event.token().0].listen()?);
            }
        }
        Ok(Times::new(took, self.waiting().count()))
    }

    fn waiting(&self) -> impl Iterator<Item = &Quiet> {
        self.clients.iter().filter(|client| client.asked.is_some())
    }
}

impl Quiet {
    fn be_due(&mut self, now: Instant) -> Result<(), Failure> {
        if self.asked.is_none() {
            return self.ask(now);
        }
        self.owed.get_or_insert(now);
        Ok(())
    }

    fn ask(&mut self, since: Instant) -> Result<(), Failure> {
        self.asked = Some(since);
        self.missing = MESSAGE.len();
        // Nothing of it is unanswered, so there is room.
        Ok(self.stream.write_all(&MESSAGE)?)
    }

    /// Returns how long the answer took, if it is here.
    fn listen(&mut self) -> Result<Option<Duration>, Failure> {
        let mut back = [0; MESSAGE.len()];
        while self.missing > 0 {
            match self.stream.read(&mut back[..self.missing]) {
                Ok(0) => return Err("a quiet client was cut off".into()),
                Ok(count) => self.missing -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let took = self.asked.take().map(|since| since.elapsed());
        if let Some(since) = self.owed.take() {
            self.ask(since)?;
        }
        Ok(took)
    }
}

/// How long things took, the shortest first.
pub(crate) struct Times {
    took: Vec<Duration>,
    unanswered: usize,
}

impl Times {
    pub(super) fn new(mut took: Vec<Duration>, unanswered: usize) -> Self {
        took.sort_unstable();
        Self { took, unanswered }
    }

    /// The percentile, if that many were answered.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = ((self.took.len() + self.unanswered) * percent).div_ceil(100);
        self.took.get(rank.checked_sub(1)?).copied()
    }
}
