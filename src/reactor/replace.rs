//! Another handler takes over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Reactor;
use super::callback::{contain, panic_message};
use crate::ballot::Ballot;
use crate::handle::ReplaceError;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;

/// A handler that is ready to take over, with the states that it is to have.
pub(crate) struct Successor<H: Handler> {
    handler: H,
    states: Vec<(ConnId, H::State)>,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Puts another handler in place of the one that runs, as Erlang's `code_change` does, and returns the
    /// former. Connections, queued bytes, input and timers stay. `migrate` is shown the state of each
    /// connection and returns the one to have from now on, or `None` if that is the same.
    ///
    /// [`Handle::replace`](crate::Handle::replace) does so from another thread, and on all reactors.
    /// [`on_start`](Handler::on_start) and [`on_stop`](Handler::on_stop) are not called: the reactor goes on.
    ///
    /// # Errors
    /// If `migrate` panics, what it says; then nothing has changed.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use readyloop::{Config, Reactor, from_fn};
    ///
    /// let greet = |greeting: &'static str| from_fn(move |conn, _input| conn.send(greeting.as_bytes()));
    /// let mut reactor = Reactor::new(Config::new(), greet("hello"))?;
    /// let _former = reactor.replace(greet("good evening"), |_id, ()| None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace(
        &mut self,
        new: H,
        migrate: impl FnMut(ConnId, &H::State) -> Option<H::State>,
    ) -> Result<H, String> {
        let successor = self.prepare(|| new, migrate)?;
        Ok(self.hand_to(successor))
    }

    /// Makes all that the new handler needs, and changes nothing.
    pub(crate) fn prepare(
        &mut self,
        new: impl FnOnce() -> H,
        mut migrate: impl FnMut(ConnId, &H::State) -> Option<H::State>,
    ) -> Result<Successor<H>, String> {
        let migrated = || {
            let handler = new();
            let ids = self.table.ids();
            let states = ids.filter_map(|id| {
                let state = self.sockets[id.slot as usize].as_ref()?.state.as_ref()?;
                Some((id, migrate(id, state)?))
            });
            Successor { states: states.collect(), handler }
        };
        catch_unwind(AssertUnwindSafe(migrated)).map_err(panic_message)
    }

    /// Changes to the new handler if all reactors can.
    pub(crate) fn take_over(&mut self, successor: Result<Successor<H>, String>, ballot: &Ballot) {
        match successor {
            Err(message) => ballot.reject(ReplaceError::Panicked(message)),
            Ok(successor) if ballot.agree() => {
                let former = self.hand_to(successor);
                ballot.done();
                contain(|| drop(former));
            }
            Ok(successor) => contain(|| drop(successor)),
        }
    }

    fn hand_to(&mut self, successor: Successor<H>) -> H {
        for (id, state) in successor.states {
            if let Some(socket) = &mut self.sockets[id.slot as usize] {
                let former = socket.state.replace(state);
                contain(|| drop(former));
            }
        }
        std::mem::replace(&mut self.handler, successor.handler)
    }
}
