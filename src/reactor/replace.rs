//! Replacing the handler of a running reactor.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Reactor;
use crate::contain::contain;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::panic_message::panic_message;
use crate::refusal::ReplaceError;
use crate::two_phase_commit::Participant;

/// A handler that is ready to take over, with the states that it is to have.
pub(crate) struct Successor<H: Handler> {
    handler: H,
    states: Vec<(ConnId, H::State)>,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Replaces the handler of this reactor at once, and returns the former one.
    #[cfg(feature = "sim")]
    pub(crate) fn replace(
        &mut self,
        new: H,
        migrate: impl FnMut(ConnId, &H::State) -> Option<H::State>,
    ) -> Result<H, ReplaceError> {
        let successor = self.prepare(|| new, migrate)?;
        Ok(self.hand_to(successor))
    }

    /// Makes all that the new handler needs, and changes nothing.
    pub(crate) fn prepare(
        &mut self,
        new: impl FnOnce() -> H,
        mut migrate: impl FnMut(ConnId, &H::State) -> Option<H::State>,
    ) -> Result<Successor<H>, ReplaceError> {
        // What has been made is not dropped while a panic unwinds, as it may panic itself.
        let (mut handler, mut states) = (None, Vec::new());
        let make = || {
            handler = Some(new());
            for id in self.table.ids() {
                let socket = self.program.sockets.get(id.slot as usize); // none if it is being opened
                let state =
                    socket.and_then(Option::as_ref).and_then(|socket| socket.state.as_ref());
                if let Some(migrated) = state.and_then(|state| migrate(id, state)) {
                    states.push((id, migrated));
                }
            }
        };
        let made = catch_unwind(AssertUnwindSafe(make));
        match (made, handler) {
            (Ok(()), Some(handler)) => Ok(Successor { handler, states }),
            (made, handler) => {
                dismiss(states);
                contain(|| drop(handler));
                let message = made.err().map(panic_message).unwrap_or_default();
                Err(ReplaceError::Panicked(message))
            }
        }
    }

    /// Changes to the new handler if all reactors can.
    pub(crate) fn take_over(
        &mut self,
        successor: Result<Successor<H>, ReplaceError>,
        participant: Participant,
    ) {
        match successor {
            Err(error) => participant.reject(error),
            Ok(successor) => match participant.agree() {
                Some(doing) => {
                    let former = self.hand_to(successor);
                    drop(doing);
                    contain(|| drop(former));
                }
                None => {
                    dismiss(successor.states);
                    contain(|| drop(successor.handler));
                }
            },
        }
    }

    fn hand_to(&mut self, successor: Successor<H>) -> H {
        for (id, state) in successor.states {
            if let Some(socket) = &mut self.program.sockets[id.slot as usize] {
                let former = socket.state.replace(state);
                contain(|| drop(former));
            }
        }
        std::mem::replace(&mut self.program.handler, successor.handler)
    }
}

/// Drops states one by one: any of them may panic when it is dropped, and two at once would be too many.
fn dismiss<S>(states: Vec<(ConnId, S)>) {
    for (_, state) in states {
        contain(|| drop(state));
    }
}
