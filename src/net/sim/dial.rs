//! Outbound connections of the server.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::kernel::{Action, Change, Kernel, LinkId};
use super::link::{Answer, DialAttempt, Link, ServerEnd};
use crate::step_error::StepError;

const EPERM: i32 = 1;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EAFNOSUPPORT: i32 = 97;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
const ENETUNREACH: i32 = 101;
const ENOBUFS: i32 = 105;
const EHOSTUNREACH: i32 = 113;

/// Errors that are returned at once, each with the system call that fails. Those of bind(2) are last, because bind(2)
/// is only called with a source address.
const CONNECT_ERRORS: [(&str, i32); 20] = [
    ("socket", EACCES),
    ("socket", EAFNOSUPPORT),
    ("socket", EMFILE),
    ("socket", ENFILE),
    ("socket", ENOBUFS),
    ("socket", ENOMEM),
    ("connect", EACCES),
    ("connect", EADDRINUSE),
    ("connect", EADDRNOTAVAIL),
    ("connect", EAFNOSUPPORT),
    ("connect", EAGAIN),
    ("connect", EHOSTUNREACH),
    ("connect", ENETUNREACH),
    ("connect", ENOBUFS),
    ("connect", EPERM),
    ("bind", EACCES),
    ("bind", EADDRINUSE),
    ("bind", EADDRNOTAVAIL),
    ("bind", EAFNOSUPPORT),
    ("bind", ENOMEM),
];
const OF_BIND: usize = 5;

const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;

/// The local address of connections without a source address.
const OWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254)), 0);

/// A connection attempt without an answer fails after this time, in nanoseconds (tcp(7), `tcp_syn_retries`).
const NO_ANSWER: u64 = 127_000_000_000;

impl Kernel {
    pub(super) fn connect(
        &mut self,
        to: SocketAddr,
        source: Option<SocketAddr>,
    ) -> Result<LinkId, StepError> {
        let failed = self.connect_error(to, source);
        let at = Duration::from_nanos(self.now);
        self.dial_attempts.push(DialAttempt { addr: to, at, failed, waits: self.waits });
        if let Some((step, number)) = failed {
            self.note(8, number as u64);
            return Err(StepError { step, source: io::Error::from_raw_os_error(number) });
        }
        self.ports = self.ports.wrapping_add(1);
        let mut own = source.unwrap_or(OWN);
        if own.port() == 0 {
            own.set_port(self.ports);
        }
        let mut link = Link::new(to, own);
        link.server = ServerEnd::Calling;
        self.links.push(link);
        let (id, after) = (self.links.len() - 1, self.latency());
        self.note(9, id as u64);
        self.schedule(after, Action::Answer(id));
        Ok(id)
    }

    /// The error of the next connection attempt, if it fails at once.
    fn connect_error(
        &mut self,
        to: SocketAddr,
        source: Option<SocketAddr>,
    ) -> Option<(&'static str, i32)> {
        let unreachable = self.answer_of(to) == Answer::Unreachable;
        let error = self.connect_errors.pop_front();
        let full = self.is_out_of_descriptors();
        let error = error.or_else(|| full.then_some(("socket", EMFILE)));
        let error = error.or_else(|| unreachable.then_some(("connect", ENETUNREACH)));
        if !self.rng.happens(self.faults.connect_error) {
            return error;
        }
        let possible = CONNECT_ERRORS.len() - if source.is_some() { 0 } else { OF_BIND };
        Some(CONNECT_ERRORS[self.rng.size_below(possible)])
    }

    fn answer_of(&self, addr: SocketAddr) -> Answer {
        self.answers.get(&addr).copied().unwrap_or(Answer::Refuse)
    }

    pub(super) fn answer(&mut self, id: LinkId) {
        if self.links[id].server != ServerEnd::Calling {
            return; // the server has closed the socket
        }
        match self.answer_of(self.links[id].peer_addr) {
            Answer::Accept => {
                self.links[id].server = ServerEnd::Open;
                self.dialled.push(id);
                self.owe(id, Change::HungUp); // armed or not
                self.start_to_server(id);
            }
            Answer::Refuse | Answer::Unreachable => self.fails(id, ECONNREFUSED),
            Answer::Silence => self.schedule(NO_ANSWER, Action::GiveUp(id)),
        }
    }

    pub(super) fn give_up(&mut self, id: LinkId) {
        if self.links[id].server == ServerEnd::Calling {
            self.fails(id, ETIMEDOUT);
        }
    }

    fn fails(&mut self, id: LinkId, error: i32) {
        let link = &mut self.links[id];
        (link.is_reset, link.error) = (true, Some(error));
        self.owe(id, Change::HungUp);
    }

    pub(super) fn is_connected(&mut self, id: LinkId) -> io::Result<bool> {
        self.interrupted()?;
        if let Some(error) = self.take_error(id) {
            return Err(error);
        }
        match self.links[id].server {
            _ if self.links[id].is_reset => Err(ErrorKind::ConnectionReset.into()),
            ServerEnd::Calling => Ok(false),
            _ => Ok(true),
        }
    }
}
