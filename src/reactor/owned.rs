//! What callbacks reach of the program's own data.

use std::any::Any;

use crate::handler::Handler;
use crate::net;
use crate::view::Owned;

/// What depends on the type of the handler.
pub(super) struct Program<H: Handler, T> {
    pub(super) handler: H,
    /// By the slots of the table.
    pub(super) sockets: Vec<Option<Socket<T, H::State>>>,
}

/// A socket, and what the handler keeps for it.
pub(super) struct Socket<T, S> {
    pub(super) stream: T,
    /// `None` until `on_open` has returned one, and for ever if it refused.
    pub(super) state: Option<S>,
}

type Slots<T, S> = [Option<Socket<T, S>>];

/// Between callbacks all is there.
impl<H: Handler, T: net::Socket> Owned for Program<H, T> {
    fn state(&mut self, slot: u32) -> Option<&mut dyn Any> {
        state(&mut self.sockets, slot as usize)
    }

    fn socket(&self, slot: u32) -> Option<&dyn net::Socket> {
        socket(&self.sockets, slot as usize)
    }

    fn with_handler(&mut self, act: &mut dyn FnMut(&mut dyn Any, &mut dyn Owned)) {
        act(&mut self.handler, &mut Others::all(&mut self.sockets));
    }
}

/// In a callback: the sockets of all connections, and all states but that which is the callback's argument.
pub(super) struct Others<'a, T, S> {
    /// The slots before that of the state.
    pub(super) before: &'a mut Slots<T, S>,
    /// The socket in its slot.
    pub(super) own: Option<&'a T>,
    /// The slots after it.
    pub(super) after: &'a mut Slots<T, S>,
}

impl<'a, T, S> Others<'a, T, S> {
    /// In a callback that has no state as its argument.
    pub(super) fn all(slots: &'a mut Slots<T, S>) -> Self {
        Self { before: slots, own: None, after: &mut [] }
    }
}

impl<T: net::Socket, S: 'static> Owned for Others<'_, T, S> {
    fn state(&mut self, slot: u32) -> Option<&mut dyn Any> {
        match (slot as usize).checked_sub(self.before.len()) {
            None => state(self.before, slot as usize),
            Some(0) => None,
            Some(beyond) => state(self.after, beyond - 1),
        }
    }

    fn socket(&self, slot: u32) -> Option<&dyn net::Socket> {
        match (slot as usize).checked_sub(self.before.len()) {
            None => socket(self.before, slot as usize),
            Some(0) => self.own.map(|own| own as _),
            Some(beyond) => socket(self.after, beyond - 1),
        }
    }

    /// The callback is the handler's own.
    fn with_handler(&mut self, _: &mut dyn FnMut(&mut dyn Any, &mut dyn Owned)) {}
}

fn state<T, S: 'static>(slots: &mut Slots<T, S>, slot: usize) -> Option<&mut dyn Any> {
    Some(slots.get_mut(slot)?.as_mut()?.state.as_mut()?)
}

fn socket<T: net::Socket, S>(slots: &Slots<T, S>, slot: usize) -> Option<&dyn net::Socket> {
    Some(&slots.get(slot)?.as_ref()?.stream)
}
