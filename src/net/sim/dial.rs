//! Connections that the server opens outward.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use super::kernel::{Action, Change, Kernel, LinkId};
use super::link::{Answer, Link, ServerEnd};
use crate::net::StepError;

/// Errors of connect(2) and socket(2) that come at once: EADDRNOTAVAIL, ENETUNREACH, EACCES, EMFILE.
const CONNECT_ERRORS: [i32; 4] = [99, 101, 13, 24];
const ENETUNREACH: i32 = 101;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;

/// A call that nobody answers is given up after this (tcp(7), `tcp_syn_retries`).
const NO_ANSWER: u64 = 127_000_000_000;

impl Kernel {
    pub(super) fn connect(
        &mut self,
        to: SocketAddr,
        source: Option<SocketAddr>,
    ) -> Result<LinkId, StepError> {
        let answer = self.answer_of(to);
        let unreachable = (answer == Answer::IsUnreachable).then_some(ENETUNREACH);
        let mut error = self.connect_errors.pop_front().or(unreachable);
        if self.rng.happens(self.faults.connect_error) {
            error = Some(CONNECT_ERRORS[self.rng.size_below(CONNECT_ERRORS.len())]);
        }
        if let Some(error) = error {
            self.note(8, error as u64);
            return Err(StepError { step: "connect", source: io::Error::from_raw_os_error(error) });
        }
        self.ports = self.ports.wrapping_add(1);
        let own = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 254), self.ports));
        let mut link = Link::new(to, source.unwrap_or(own));
        link.server = ServerEnd::Calling;
        self.links.push(link);
        let (id, after) = (self.links.len() - 1, self.latency());
        self.note(9, id as u64);
        self.schedule(after, Action::Answer(id));
        Ok(id)
    }

    fn answer_of(&self, addr: SocketAddr) -> Answer {
        self.answers.get(&addr).copied().unwrap_or(Answer::Refuses)
    }

    pub(super) fn answer(&mut self, id: LinkId) {
        if self.links[id].server != ServerEnd::Calling {
            return; // nobody waits for it any more
        }
        match self.answer_of(self.links[id].peer_addr) {
            Answer::Takes => {
                self.links[id].server = ServerEnd::Open;
                self.called.push(id);
                self.owe(id, Change::HungUp); // whatever is armed
                self.start_to_server(id);
            }
            Answer::Refuses | Answer::IsUnreachable => self.fails(id, ECONNREFUSED),
            Answer::KeepsSilent => self.schedule(NO_ANSWER, Action::GiveUp(id)),
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
