//! The wires between the two ends, and the actions of peers.

use std::net::SocketAddr;

use super::kernel::{Action, Change, Kernel, LinkId, nanos};
use super::link::{Ending, Link, Reading, ServerEnd};

/// How often a SYN is sent again.
const SYN_RETRIES: u32 = 6;

/// A SYN that finds the backlog full is sent again after this time, in nanoseconds. The time doubles with each retry.
const SYN_AGAIN: u64 = 1_000_000_000;

impl Kernel {
    fn segment(&mut self, most: usize) -> usize {
        match most {
            0 => 0,
            _ if self.faults.tiny_segments => 1 + self.rng.size_below(most.min(8)),
            _ if self.rng.happens(self.faults.split) => 1 + self.rng.size_below(most),
            _ => most,
        }
    }

    pub(super) fn start_to_server(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if !link.to_server_scheduled && link.has_something_for_server() {
            link.to_server_scheduled = true;
            self.schedule(after, Action::ToServer(id));
        }
    }

    pub(super) fn start_to_peer(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if !link.to_peer_scheduled && link.has_something_for_peer() {
            link.to_peer_scheduled = true;
            self.schedule(after, Action::ToPeer(id));
        }
    }

    pub(super) fn arrive(&mut self, id: LinkId) {
        let addr = self.links[id].server_addr;
        if self.links[id].ending.is_some() {
            return; // the peer has given up
        }
        let Some(index) = self.listener_at(addr) else {
            self.links[id].ending = Some(Ending::Refused);
            return;
        };
        let due = self.due();
        let listener = &mut self.listeners[index];
        if listener.queue.len() >= listener.backlog {
            return self.send_syn_again(id);
        }
        listener.queue.push_back(id);
        listener.edge.get_or_insert(due);
        self.links[id].server = ServerEnd::Queued;
        self.start_to_server(id);
    }

    /// Waits twice as long each time, and gives up in the end (tcp(7), `tcp_syn_retries`).
    fn send_syn_again(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.syns += 1;
        if link.syns > SYN_RETRIES {
            link.ending = Some(Ending::Refused);
        } else {
            let after = SYN_AGAIN << (link.syns - 1);
            self.schedule(after, Action::Arrive(id));
        }
    }

    pub(super) fn move_to_server(&mut self, id: LinkId) {
        self.links[id].to_server_scheduled = false;
        let link = &self.links[id];
        match link.server {
            _ if link.vanished || link.peer_reset || link.is_reset => return,
            ServerEnd::Connecting | ServerEnd::Calling => return, // sending starts when it is connected
            ServerEnd::Orphan | ServerEnd::Gone if !link.outgoing.is_empty() => {
                // These bytes arrive for a closed socket. The RST also destroys the bytes on their way to the peer.
                self.links[id].outgoing.clear();
                return self.send_reset(id);
            }
            _ => {}
        }
        let room = self.faults.buffer.saturating_sub(link.queue.len());
        let count = self.segment(link.outgoing.len().min(room));
        let link = &mut self.links[id];
        link.queue.extend(link.outgoing.drain(..count));
        let finishes = link.outgoing.is_empty() && link.peer_finished && !link.fin_at_server;
        link.fin_at_server |= finishes;
        if count > 0 || finishes {
            self.owe(id, Change::Readable);
        }
        if self.links[id].queue.len() < self.faults.buffer {
            self.start_to_server(id);
        }
    }

    pub(super) fn move_to_peer(&mut self, id: LinkId) {
        self.links[id].to_peer_scheduled = false;
        let after = self.latency();
        let link = &self.links[id];
        if link.server == ServerEnd::Gone || link.vanished {
            return;
        }
        if link.peer_closed && !link.sending.is_empty() {
            self.schedule(after, Action::ResetServer(id));
            return;
        }
        let room = self.faults.buffer.saturating_sub(link.arrived.len());
        let count = self.segment(link.sending.len().min(room));
        let link = &mut self.links[id];
        link.arrived.extend(link.sending.drain(..count));
        link.fin_at_peer |= link.sending.is_empty() && link.server_finished;
        let free = self.faults.buffer - link.sending.len().min(self.faults.buffer);
        if link.write_blocked && free > self.faults.buffer / 3 {
            link.write_blocked = false;
            self.owe(id, Change::Writable);
        }
        self.start_peer_reading(id);
        if self.links[id].arrived.len() < self.faults.buffer {
            self.start_to_peer(id);
        }
    }

    fn start_peer_reading(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        let idle = link.arrived.is_empty() && !link.fin_at_peer;
        if link.reading_scheduled == Some(link.plan) || idle || link.ending.is_some() {
            return;
        }
        let after = match link.reading {
            Reading::Never | Reading::Slowly { bytes: 0, .. } => return,
            Reading::AtOnce => 0,
            Reading::Slowly { every, .. } => nanos(every),
        };
        let plan = link.plan;
        link.reading_scheduled = Some(plan);
        self.schedule(after, Action::PeerReads(id, plan));
    }

    pub(super) fn peer_reads(&mut self, id: LinkId, plan: u32) {
        let link = &mut self.links[id];
        if plan != link.plan {
            return; // a later plan replaces this one
        }
        link.reading_scheduled = None;
        if link.vanished || link.ending.is_some() {
            return;
        }
        let most = match link.reading {
            Reading::Never => return,
            Reading::AtOnce => usize::MAX,
            Reading::Slowly { bytes, .. } => bytes,
        };
        let count = most.min(link.arrived.len());
        let bytes: Vec<u8> = link.arrived.drain(..count).collect();
        link.received.extend_from_slice(&bytes);
        if link.arrived.is_empty() && link.fin_at_peer {
            link.ending = Some(Ending::Fin);
        }
        self.note_bytes(&bytes);
        self.start_peer_reading(id);
        self.start_to_peer(id);
    }

    pub(super) fn reset_server(&mut self, id: LinkId) {
        let destroys = self.rng.happens(self.faults.reset_destroys);
        let link = &mut self.links[id];
        link.outgoing.clear();
        link.sending.clear();
        match link.server {
            ServerEnd::Queued | ServerEnd::Open if !link.is_reset => {
                const EPIPE: i32 = 32;
                const ECONNRESET: i32 = 104;
                link.is_reset = true;
                link.error = Some(if link.fin_at_server { EPIPE } else { ECONNRESET });
                if destroys && !link.fin_at_server {
                    link.queue.clear();
                }
                self.owe(id, Change::HungUp);
            }
            ServerEnd::Orphan => link.server = ServerEnd::Gone,
            _ => {}
        }
    }

    pub(super) fn reset_peer(&mut self, id: LinkId) {
        let destroys = self.rng.happens(self.faults.reset_destroys);
        let link = &mut self.links[id];
        if link.ending.is_some() || link.vanished {
            return;
        }
        link.ending = Some(Ending::Reset);
        link.outgoing.clear();
        let arrived = std::mem::take(&mut link.arrived);
        if !destroys && link.reading != Reading::Never {
            link.received.extend(arrived);
        }
    }

    // Actions of peers:

    pub(super) fn dial(&mut self, from: SocketAddr, to: SocketAddr) -> LinkId {
        self.links.push(Link::new(from, to));
        let (id, after) = (self.links.len() - 1, self.latency());
        self.schedule(after, Action::Arrive(id));
        id
    }

    pub(super) fn peer_sends(&mut self, id: LinkId, bytes: &[u8]) -> bool {
        let link = &mut self.links[id];
        let is_there = matches!(link.ending, None | Some(Ending::Fin)) && !link.vanished;
        let can = is_there && !link.peer_finished;
        if can {
            link.outgoing.extend(bytes);
            self.start_to_server(id);
        }
        can
    }

    pub(super) fn peer_finishes(&mut self, id: LinkId) {
        self.links[id].peer_finished = true;
        self.start_to_server(id);
    }

    pub(super) fn peer_closes(&mut self, id: LinkId) {
        if !self.links[id].arrived.is_empty() {
            return self.peer_resets(id);
        }
        self.peer_finishes(id);
        let link = &mut self.links[id];
        link.peer_closed = true;
        link.ending.get_or_insert(Ending::Own);
    }

    pub(super) fn peer_resets(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if matches!(link.ending, None | Some(Ending::Fin)) {
            link.ending = Some(Ending::Own);
            link.peer_closed = true;
            link.peer_reset = true;
            link.outgoing.clear();
            self.schedule(after, Action::ResetServer(id));
        }
    }

    pub(super) fn set_reading(&mut self, id: LinkId, reading: Reading) {
        self.links[id].reading = reading;
        self.links[id].plan += 1;
        self.start_peer_reading(id);
    }
}
