//! The server's system calls.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::kernel::{Action, Change, Kernel, LinkId, Listener};
use super::link::{ServerEnd, Watched};

/// Errors of accept(2) that are not fatal: ECONNABORTED, EPERM, EPROTO, ENOPROTOOPT, ENETDOWN, EHOSTDOWN, ENONET,
/// EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EMFILE, ENFILE, ENOMEM, ENOBUFS.
const ACCEPT_ERRORS: [i32; 14] = [103, 1, 71, 92, 100, 112, 64, 113, 101, 110, 24, 23, 12, 105];
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

impl Kernel {
    pub(super) fn listen(
        &mut self,
        addr: SocketAddr,
        backlog: usize,
        watched: Watched,
    ) -> io::Result<SocketAddr> {
        let mut addr = addr;
        if addr.port() == 0 {
            self.ports += 1;
            addr.set_port(49_151 + self.ports);
        }
        if self.listeners.iter().any(|listener| listener.open && listener.addr == addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.push(Listener {
            addr,
            watched,
            backlog,
            queue: VecDeque::new(),
            edge: None,
            open: true,
            shut_down: false,
            fails: None,
        });
        Ok(addr)
    }

    pub(super) fn close_listener(&mut self, addr: SocketAddr) {
        let Some(index) = self.listener_at(addr) else { return };
        self.listeners[index].open = false;
        self.listeners[index].edge = None;
        for link in std::mem::take(&mut self.listeners[index].queue) {
            self.send_reset(link);
        }
    }

    /// Shuts a listener down under its owner. From now on `accept` fails with EINVAL.
    pub(super) fn break_listener(&mut self, addr: SocketAddr) {
        let due = self.due();
        if let Some(index) = self.listener_at(addr) {
            self.listeners[index].shut_down = true;
            self.listeners[index].edge = Some(due);
        }
    }

    pub(super) fn fail_every_accept(&mut self, addr: SocketAddr, error: Option<i32>) {
        if let Some(index) = self.listener_at(addr) {
            self.listeners[index].fails = error;
        }
    }

    pub(super) fn listener_at(&self, addr: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.open && listener.addr == addr)
    }

    pub(super) fn accept(&mut self, addr: SocketAddr) -> io::Result<(LinkId, SocketAddr)> {
        self.interrupted()?;
        let index = self.listener_at(addr).ok_or_else(|| io::Error::from_raw_os_error(EINVAL))?;
        if self.listeners[index].shut_down {
            return Err(io::Error::from_raw_os_error(EINVAL));
        }
        let full = self.is_out_of_descriptors().then_some(EMFILE);
        let mut error = self.accept_errors.pop_front().or(self.listeners[index].fails).or(full);
        if self.rng.happens(self.faults.accept_error) {
            error = Some(ACCEPT_ERRORS[self.rng.size_below(ACCEPT_ERRORS.len())]);
        }
        if let Some(error) = error {
            self.note(1, error as u64);
            return Err(io::Error::from_raw_os_error(error));
        }
        let blocks = self.rng.happens(self.faults.accept_blocks);
        let due = self.due();
        let listener = &mut self.listeners[index];
        if blocks && !listener.queue.is_empty() {
            listener.edge = Some(due);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let id = listener.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        self.links[id].server = ServerEnd::Open;
        self.note(2, id as u64);
        Ok((id, self.links[id].peer_addr))
    }

    pub(super) fn register(&mut self, id: LinkId, watched: Watched) -> io::Result<()> {
        if self.rng.happens(self.faults.register_refused) {
            let error = if self.rng.happens(128) { ENOSPC } else { ENOMEM };
            return Err(io::Error::from_raw_os_error(error));
        }
        self.links[id].watched = Some(watched);
        self.owe(id, Change::HungUp); // a new registration reports the current state, armed or not
        Ok(())
    }

    pub(super) fn read(&mut self, id: LinkId, into: &mut [u8]) -> io::Result<usize> {
        self.interrupted()?;
        self.calls.0 += 1;
        let result = self.read_some(id, into);
        self.note(3, id as u64);
        self.note(3, *result.as_ref().unwrap_or(&usize::MAX) as u64);
        if let Ok(count) = result {
            self.traffic.0 += count as u64;
            self.note_bytes(&into[..count]);
        }
        result
    }

    fn read_some(&mut self, id: LinkId, into: &mut [u8]) -> io::Result<usize> {
        let (blocks, short) =
            (self.rng.happens(self.faults.read_blocks), self.rng.happens(self.faults.short_read));
        let link = &mut self.links[id];
        if link.queue.is_empty() {
            // After a FIN only SO_ERROR returns the error.
            if !link.fin_at_server
                && let Some(error) = link.error.take()
            {
                return Err(io::Error::from_raw_os_error(error));
            }
            if link.is_reset || link.fin_at_server {
                return Ok(0);
            }
        }
        if link.queue.is_empty() || blocks {
            link.read_armed = true;
            if !link.queue.is_empty() {
                self.owe(id, Change::Readable);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = link.queue.len().min(into.len());
        if short {
            count = 1 + self.rng.size_below(count);
        }
        let asked = into.len();
        for (to, from) in into.iter_mut().zip(self.links[id].queue.drain(..count)) {
            *to = from;
        }
        if count < asked && !self.links[id].queue.is_empty() {
            self.owe(id, Change::Readable); // as if the rest had come a moment later
        }
        self.start_to_server(id);
        Ok(count)
    }

    pub(super) fn write(&mut self, id: LinkId, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.interrupted()?;
        self.calls.1 += 1;
        let result = self.write_some(id, slices);
        self.note(4, id as u64);
        self.note(4, *result.as_ref().unwrap_or(&usize::MAX) as u64);
        if let Ok(count) = result {
            self.traffic.1 += count as u64;
        }
        result
    }

    fn write_some(&mut self, id: LinkId, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let (blocks, short) =
            (self.rng.happens(self.faults.write_blocks), self.rng.happens(self.faults.short_write));
        let link = &mut self.links[id];
        if let Some(error) = link.error.take() {
            return Err(io::Error::from_raw_os_error(error));
        }
        if link.is_reset || link.server_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let asked: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.faults.buffer.saturating_sub(link.sending.len());
        if room == 0 || blocks {
            link.write_blocked = room == 0;
            link.write_armed = true;
            if room > 0 {
                self.owe(id, Change::Writable);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = asked.min(room);
        if short {
            count = 1 + self.rng.size_below(count);
        }
        let link = &mut self.links[id];
        link.sending.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        link.write_blocked = count < asked && count == room;
        if count < asked && count < room {
            self.owe(id, Change::Writable); // as if there were room a moment later
        }
        self.start_to_peer(id);
        Ok(count)
    }

    pub(super) fn take_error(&mut self, id: LinkId) -> Option<io::Error> {
        self.links[id].error.take().map(io::Error::from_raw_os_error)
    }

    pub(super) fn local_addr(&self, id: LinkId) -> SocketAddr {
        self.links[id].server_addr
    }

    pub(super) fn shutdown_write(&mut self, id: LinkId) -> io::Result<()> {
        self.note(5, id as u64);
        if self.links[id].is_reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.links[id].server_finished = true;
        self.start_to_peer(id);
        Ok(())
    }

    pub(super) fn close(&mut self, id: LinkId) {
        self.note(6, id as u64);
        self.forget_token(id);
        let link = &mut self.links[id];
        if link.is_reset || link.server == ServerEnd::Calling {
            link.server = ServerEnd::Gone;
        } else if link.queue.is_empty() {
            link.server = ServerEnd::Orphan;
            link.server_finished = true;
            self.start_to_peer(id);
            self.start_to_server(id);
        } else {
            self.send_reset(id); // unread input: RFC 2525, 2.17
        }
    }

    pub(super) fn reset(&mut self, id: LinkId) {
        self.note(7, id as u64);
        self.forget_token(id);
        self.send_reset(id);
    }

    fn forget_token(&mut self, id: LinkId) {
        self.links[id].edge = None;
        if let Some(watched) = self.links[id].watched.take()
            && self.faults.stale > 0
        {
            self.stale.push(watched);
        }
    }

    pub(super) fn send_reset(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        link.server = ServerEnd::Gone;
        link.sending.clear();
        link.queue.clear();
        self.schedule(after, Action::ResetPeer(id));
    }
}
