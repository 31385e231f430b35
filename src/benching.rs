//! What `cargo bench --bench pure` drives of the parts that are not public: each function is one load, and
//! returns what the part says of it, so that none of it can be left out by the compiler.

use std::iter;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::core::admission::Admission;
use crate::core::kept::Kept;
use crate::core::memory::Budget;
use crate::core::outbox::Outbox;
use crate::core::wheel::{Step, Wheel};
use crate::id::{ConnId, Numbers, draw_numbers};
use crate::input::Input;
use crate::net::{Event, Token};
use crate::table::Table;

/// Queues each piece, then consumes all in portions, as a kernel takes them. Returns how many slices there
/// were to send, over all portions.
pub fn queue_and_drain<'a>(pieces: impl Iterator<Item = &'a [u8]>, portion: usize) -> usize {
    let mut outbox = Outbox::default();
    pieces.for_each(|piece| outbox.push(piece));
    let mut slices = 0;
    while !outbox.is_empty() {
        slices += outbox.slices().count();
        outbox.consume(outbox.len().min(portion));
    }
    slices
}

/// Bytes come in chunks, and all complete lines are taken after each; what is unfinished is kept. Returns how
/// many lines there were.
pub fn take_lines<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut kept = Kept::default();
    let mut lines = 0;
    for chunk in chunks {
        kept.append(chunk);
        let shown = kept.len();
        let search = kept.take_search();
        let mut input = Input::resume(kept.bytes(), search);
        lines += iter::from_fn(|| input.take_until(b"\r\n")).count();
        let left = input.len();
        let search = input.into_search();
        kept.consume(shown - left);
        kept.put_search(search);
    }
    lines
}

/// Alarms for the slots from 0 on.
#[derive(Debug)]
pub struct Alarms(Wheel);

impl Alarms {
    /// Sets one at each of these times.
    pub fn set(times: &[u64]) -> Self {
        let mut wheel = Wheel::with_capacity(times.len());
        (0..).zip(times).for_each(|(slot, time)| wheel.set(slot, *time));
        Self(wheel)
    }

    /// Sets all anew, so much later.
    pub fn put_off(&mut self, times: &[u64], later: u64) {
        (0..).zip(times).for_each(|(slot, time)| self.0.set(slot, time + later));
    }

    /// Does all that is due. Returns how many have rung.
    pub fn ring(&mut self, now: u64) -> usize {
        let steps = iter::from_fn(|| self.0.step(now));
        steps.filter(|step| matches!(step, Step::Rings(_))).count()
    }
}

/// The table of a reactor with as many connections as one likes.
#[derive(Debug)]
pub struct Connections {
    table: Table,
    ids: Vec<ConnId>,
    ready: Vec<ConnId>,
}

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

impl Connections {
    /// Lets so many in, each with its deadline.
    pub fn open(count: usize) -> Self {
        let config = Config::new();
        let door = Arc::new(Mutex::new(Admission::new(config.admission(None, 1), 1)));
        let budget = Budget::new(config.queue_budget, 1);
        let numbers = Arc::new(Numbers::new(draw_numbers(1), 1));
        let mut table = Table::new(config, &door, budget, &numbers, 1, Instant::now(), 0);
        let ids = iter::repeat_with(|| open_one(&mut table)).take(count).collect();
        Self { table, ids, ready: Vec::new() }
    }

    /// Each hundredth becomes readable, or whatever the stride is. Returns how many are listed for it.
    pub fn mark(&mut self, stride: usize) -> usize {
        for id in self.ids.iter().step_by(stride) {
            let token = Token::Conn { slot: id.slot, tag: id.tag() };
            let event = Event {
                token,
                readable: true,
                writable: false,
                more_follows: false,
                hung_up: false,
            };
            self.table.mark(id.slot, id.tag(), event);
        }
        self.table.swap_ready(&mut self.ready);
        self.ready.len()
    }

    /// Serves those that are listed, as if a read had brought something and then nothing more. Returns how many
    /// that were.
    pub fn work(&mut self) -> usize {
        let now = self.table.stamp();
        for id in &self.ready {
            let Some(entry) = self.table.unlist(*id) else { continue };
            entry.readable = false;
            entry.heard_of(now);
            self.table.watch(*id);
            self.table.relist_if_busy(*id);
        }
        self.ready.drain(..).count()
    }

    /// So much time passes.
    pub fn pass(&mut self, time: Duration) {
        self.table.set_elapsed(self.table.elapsed() + time);
    }

    /// Removes all. Returns how many are left.
    pub fn close(&mut self) -> usize {
        self.ids.drain(..).for_each(|id| self.table.remove(id));
        self.table.ids().count()
    }
}

fn open_one(table: &mut Table) -> ConnId {
    table.door().opened(0, PEER.ip(), false);
    table.door().arrived(0, PEER.ip(), false);
    let id = table.insert(PEER, PEER);
    table.watch(id);
    id
}
