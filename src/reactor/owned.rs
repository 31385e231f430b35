//! What callbacks reach of the program's own data.

use std::any::Any;

use super::Socket;
use crate::handler::Handler;
use crate::view::Owned;

/// What depends on the type of the handler.
pub(super) struct Program<H: Handler, T> {
    pub(super) handler: H,
    /// By the slots of the table.
    pub(super) sockets: Vec<Option<Socket<T, H::State>>>,
}

type Slots<T, S> = [Option<Socket<T, S>>];

/// Between callbacks all is there.
impl<H: Handler, T> Owned for Program<H, T> {
    fn state(&mut self, slot: u32) -> Option<&mut dyn Any> {
        state(&mut self.sockets, slot as usize)
    }

    fn with_handler(&mut self, act: &mut dyn FnMut(&mut dyn Any, &mut dyn Owned)) {
        act(&mut self.handler, &mut Others::all(&mut self.sockets));
    }
}

/// In a callback: the states of all connections but that whose state is the callback's argument.
pub(super) struct Others<'a, T, S> {
    /// The slots before its own, and those after it.
    pub(super) before: &'a mut Slots<T, S>,
    pub(super) after: &'a mut Slots<T, S>,
}

impl<'a, T, S> Others<'a, T, S> {
    /// In a callback that has no state as its argument.
    pub(super) fn all(slots: &'a mut Slots<T, S>) -> Self {
        Self { before: slots, after: &mut [] }
    }
}

impl<T, S: 'static> Owned for Others<'_, T, S> {
    fn state(&mut self, slot: u32) -> Option<&mut dyn Any> {
        let slot = slot as usize;
        match slot.checked_sub(self.before.len()) {
            None => state(self.before, slot),
            Some(0) => None,
            Some(beyond) => state(self.after, beyond - 1),
        }
    }

    /// The callback is the handler's own.
    fn with_handler(&mut self, _: &mut dyn FnMut(&mut dyn Any, &mut dyn Owned)) {}
}

fn state<T, S: 'static>(slots: &mut Slots<T, S>, slot: usize) -> Option<&mut dyn Any> {
    Some(slots.get_mut(slot)?.as_mut()?.state.as_mut()?)
}
