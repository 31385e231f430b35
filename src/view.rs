//! The parts of a reactor that a callback can reach.

use std::any::Any;

use crate::conn_info::ConnInfo;
use crate::id::ConnId;
use crate::net::Socket;
use crate::table::{Entry, Table};

/// The part of a reactor that [`Conn`](crate::Conn) and [`Context`](crate::Context) borrow.
pub(crate) struct View<'a> {
    pub(crate) table: &'a mut Table,
    pub(crate) owned: &'a mut (dyn Owned + 'a),
    /// The connection whose callback runs, if one does.
    pub(crate) current: Option<ConnId>,
}

/// The program's side of the table: the handler, and the state and the socket of each connection. A part that the
/// running callback has borrowed is missing.
pub(crate) trait Owned {
    fn state(&mut self, slot: u32) -> Option<&mut dyn Any>;

    fn socket(&self, slot: u32) -> Option<&dyn Socket>;

    /// Calls a closure once with the handler and the other parts. Does nothing in a callback, which has borrowed the
    /// handler.
    fn with_handler(&mut self, act: &mut dyn FnMut(&mut dyn Any, &mut dyn Owned));
}

impl View<'_> {
    pub(crate) fn reborrow(&mut self) -> View<'_> {
        View { table: self.table, owned: self.owned, current: self.current }
    }

    /// A snapshot of a connection.
    pub(crate) fn info(&self, id: ConnId, entry: &Entry) -> ConnInfo {
        let listener = self.table.listener_of(entry);
        ConnInfo {
            id,
            peer: entry.peer().into(),
            reactor: self.table.reactor(),
            listener: listener.map(|listener| listener.addr.into()),
            listener_tag: listener.map_or(0, |listener| listener.tag),
            age: self.table.since(entry.opened()),
            idle: self.table.since(entry.since()),
            bytes_in: entry.bytes_in(),
            bytes_out: entry.bytes_out(),
            reads: entry.reads(),
            writes: entry.writes(),
            queued: self.table.queued(id, self.current),
            is_open: entry.phase.is_before_the_end(),
        }
    }

    /// Changes a connection, unless it is closed.
    pub(crate) fn change(&mut self, id: ConnId, how: impl FnOnce(&mut Entry)) {
        let entry = self.table.entry(id);
        if entry.phase.is_closed() {
            return;
        }
        how(entry);
        if Some(id) != self.current {
            self.table.list_if_busy(id); // after its own callback the reactor checks anyway
        }
    }

    /// Changes what a connection reads, unless it is about to end.
    pub(crate) fn change_reading(&mut self, id: ConnId, how: impl FnOnce(&mut Entry)) {
        if self.table.entry(id).phase.is_before_the_end() {
            self.change(id, how);
        }
    }
}
