//! Calling the handler, and outliving what it does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Reactor;
use super::owned::{Others, Socket};
use super::rate_limited_log::{Notice, RateLimitedLog};
use super::turn_timer::Served;
use crate::close_reason::CloseReason;
use crate::conn::Conn;
use crate::contain::contain;
use crate::context::Context;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::one_line::{Escaped, OneLine};
use crate::panic_message::panic_message;
use crate::result::BoxError;
use crate::table::Table;
use crate::view::View;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Runs one callback of a connection, and does what it asked for. Unread input is offered again after it:
    /// the handler may be able to use it now.
    pub(super) fn callback(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut H, &mut Conn<'_>, &mut H::State) -> Result<(), BoxError>,
    ) {
        self.call(id, call);
        self.settle(id);
        self.table.entry(id).offer_again();
    }

    /// Runs one callback of a connection. What it asked for is done later, by [`settle`](Self::settle).
    #[inline]
    pub(super) fn call(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut H, &mut Conn<'_>, &mut H::State) -> Result<(), BoxError>,
    ) {
        let (before, rest) = self.program.sockets.split_at_mut(id.slot as usize);
        let [Some(Socket { stream, state: Some(state) }), after @ ..] = rest else { return };
        let owned = &mut Others { before, own: Some(stream), after };
        let handler = &mut self.program.handler;
        let (table, log) = (&mut self.table, &mut self.log);
        guarded(table, log, id, |table| {
            let view = View { table, owned, current: Some(id) };
            call(handler, &mut Conn::new(view, id), state)
        });
    }

    /// Closes a connection in order, for a reason of the reactor's own. The handler has the last word.
    pub(super) fn close_in_order(&mut self, id: ConnId, reason: CloseReason) {
        let entry = self.table.entry(id);
        if entry.phase.is_before_the_end() {
            let known = entry.reason_mut().take();
            self.serves(Served::Conn(id));
            self.call(id, |handler, conn, state| handler.on_closing(conn, state, &reason));
            let said = self.table.entry(id).reason_mut();
            // That the handler closes or fails in this callback is no reason, in whichever phase it does.
            if matches!(said, None | Some(CloseReason::Closed | CloseReason::Handler(_))) {
                let said = std::mem::replace(said, known);
                contain(|| drop(said));
            }
        }
        self.table.entry(id).close(reason);
        self.begin(id);
    }

    /// Runs a callback that is not for anything the peer has done, unless the connection is about to end.
    /// Returns whether it was run.
    pub(super) fn visit(
        &mut self,
        id: ConnId,
        call: impl FnOnce(&mut H, &mut Conn<'_>, &mut H::State) -> Result<(), BoxError>,
    ) -> bool {
        if self.table.get(id).is_none() {
            return false;
        }
        self.serves(Served::Conn(id));
        self.begin(id);
        let can_be_called = self.table.entry(id).phase.is_before_the_end();
        if can_be_called {
            self.callback(id, call);
        }
        self.relist(id);
        can_be_called
    }

    pub(super) fn call_on_close(&mut self, id: ConnId, state: H::State, reason: &CloseReason) {
        let (handler, owned) =
            (&mut self.program.handler, &mut Others::all(&mut self.program.sockets));
        guarded(&mut self.table, &mut self.log, id, |table| {
            let view = View { table, owned, current: Some(id) };
            handler.on_close(&mut Conn::new(view, id), state, reason);
            Ok(())
        });
    }

    /// The first turn begins.
    pub(super) fn start(&mut self) {
        if !std::mem::replace(&mut self.is_started, true) {
            self.callback_of_reactor(|handler, context| handler.on_start(context));
        }
    }

    /// Runs a callback that belongs to no connection, so that a panic has none to end.
    pub(super) fn callback_of_reactor(&mut self, call: impl FnOnce(&mut H, &mut Context<'_>)) {
        let (handler, table) = (&mut self.program.handler, &mut self.table);
        let owned = &mut Others::all(&mut self.program.sockets);
        let run = || call(handler, &mut Context { view: View { table, owned, current: None } });
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.table.stats.count().panics += 1;
            // Not inside `error!`, which evaluates nothing while the log is off: the payload's own `Drop` may panic.
            let message = Escaped(panic_message(payload));
            log::error!("the handler panicked: {message}");
        }
    }
}

/// Runs a callback. If it fails or panics that ends its connection, and there is nothing to return.
///
/// Asserting unwind safety is right for the table, which is in order whenever a callback runs. What
/// state a panic leaves the handler in is for the handler to care for: its docs say so.
#[inline]
pub(super) fn guarded<T>(
    table: &mut Table,
    log: &mut RateLimitedLog,
    id: ConnId,
    call: impl FnOnce(&mut Table) -> Result<T, BoxError>,
) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(|| call(table))) {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(error)) => failed(table, log, id, error),
        Err(payload) => {
            let reason = CloseReason::Panic(panic_message(payload));
            log::error!("{id} ended: {reason}");
            table.stats.count().panics += 1;
            table.entry(id).cut(reason, true);
        }
    }
    None
}

/// A callback has returned an error. Its text is the user's, so that to show it may panic.
#[cold]
fn failed(table: &mut Table, log: &mut RateLimitedLog, id: ConnId, error: BoxError) {
    contain(|| {
        if RateLimitedLog::is_enabled() {
            let (peer, error) = (table.entry(id).peer(), OneLine(&*error).to_string());
            log.add(Notice::HandlerFailed { id, peer, error }, table.clock.now());
        }
    });
    contain(|| table.entry(id).close(CloseReason::Handler(error)));
}
