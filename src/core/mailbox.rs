//! A queue of messages from other threads.

use std::collections::VecDeque;

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};

/// Why a mailbox refuses an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Full,
    Closed,
}

/// A bounded queue from many threads to one reader, which sleeps while the queue is empty.
///
/// The mailbox does not wake the reader. [`push`](Self::push) returns whether the caller has to wake it: true once for
/// each time that the queue changes from empty to not empty. The reader checks [`has_some`](Self::has_some) before it
/// sleeps, and is woken for each item that is pushed after the check. So no wake-up is lost, and a flood of items costs
/// one wake-up. The model in `loom/` tries all orders.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    /// Whether the queue has items. The reader checks this each turn, without the lock.
    has_some: AtomicBool,
    inbox: Mutex<Inbox<T>>,
}

#[derive(Debug)]
struct Inbox<T> {
    /// The items, each with its weight.
    items: VecDeque<(usize, T)>,
    weight: usize,
    most_items: usize,
    most_weight: usize,
    /// The reader was woken, or is about to be, and has not emptied the queue since.
    is_called: bool,
    is_closed: bool,
}

impl<T> Mailbox<T> {
    /// A mailbox for this many items with this total weight.
    pub(crate) fn new(most_items: usize, most_weight: usize) -> Self {
        Self {
            has_some: AtomicBool::new(false),
            inbox: Mutex::new(Inbox {
                items: VecDeque::new(),
                weight: 0,
                most_items,
                most_weight,
                is_called: false,
                is_closed: false,
            }),
        }
    }

    pub(crate) fn set_limits(&self, most_items: usize, most_weight: usize) {
        let mut inbox = self.lock();
        (inbox.most_items, inbox.most_weight) = (most_items, most_weight);
    }

    /// Adds an item. Returns whether the caller has to wake the reader.
    ///
    /// # Errors
    /// Returns the item, and why it was refused.
    pub(crate) fn push<I>(
        &self,
        item: I,
        weight: usize,
        wrap: impl FnOnce(I) -> T,
    ) -> Result<bool, (I, NotTaken)> {
        let mut inbox = self.lock();
        if inbox.is_closed {
            return Err((item, NotTaken::Closed));
        }
        let total = inbox.weight.saturating_add(weight);
        // If the queue has no weight, an item above the limit is accepted. Otherwise it could never be sent.
        let is_too_heavy = total > inbox.most_weight && inbox.weight > 0;
        if inbox.items.len() >= inbox.most_items || is_too_heavy {
            return Err((item, NotTaken::Full));
        }
        inbox.weight = total;
        inbox.items.push_back((weight, wrap(item)));
        self.has_some.store(true, Ordering::Release);
        Ok(!std::mem::replace(&mut inbox.is_called, true))
    }

    /// The reader could not be woken: the next `push` has to try again.
    pub(crate) fn not_woken(&self) {
        self.lock().is_called = false;
    }

    /// Whether the queue has items. An item that is pushed after this check wakes the reader.
    pub(crate) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Acquire)
    }

    /// Takes at most this many items, in order.
    pub(crate) fn take(&self, most: usize, into: &mut Vec<T>) {
        if !self.has_some() {
            return;
        }
        let mut inbox = self.lock();
        let count = inbox.items.len().min(most);
        let mut weight = inbox.weight;
        into.extend(inbox.items.drain(..count).map(|(of_item, item)| {
            weight -= of_item;
            item
        }));
        inbox.weight = weight;
        // If items are left, the reader does not sleep and need not be woken.
        inbox.is_called = !inbox.items.is_empty();
        self.has_some.store(inbox.is_called, Ordering::Release);
    }

    /// Refuses all further items. Items in the queue can still be taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<T>> {
        // `wrap` only allocates, so nothing panics between two changes of the inbox.
        self.inbox.lock().unwrap_or_else(crate::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(mailbox: &Mailbox<u8>, item: u8) -> Result<bool, (u8, NotTaken)> {
        mailbox.push(item, 10, |item| item)
    }

    #[test]
    fn the_reader_is_woken_once_for_a_batch() {
        let mailbox = Mailbox::new(10, 1_000);
        assert_eq!(push(&mailbox, 1), Ok(true));
        assert_eq!(push(&mailbox, 2), Ok(false));
        let mut taken = Vec::new();
        mailbox.take(10, &mut taken);
        assert_eq!((taken, mailbox.has_some()), (vec![1, 2], false));
        assert_eq!(push(&mailbox, 3), Ok(true));
    }

    #[test]
    fn a_reader_that_leaves_items_does_not_sleep_and_is_not_woken() {
        let mailbox = Mailbox::new(10, 1_000);
        for item in 0..3 {
            let _ = push(&mailbox, item);
        }
        let mut taken = Vec::new();
        mailbox.take(2, &mut taken);
        assert!(mailbox.has_some());
        assert_eq!(push(&mailbox, 3), Ok(false));
        mailbox.take(9, &mut taken);
        assert_eq!(taken, [0, 1, 2, 3]);
    }

    #[test]
    fn an_item_above_a_limit_or_after_the_close_comes_back() {
        let mailbox = Mailbox::new(2, 25);
        assert!(push(&mailbox, 1).is_ok() && push(&mailbox, 2).is_ok());
        assert_eq!(push(&mailbox, 3), Err((3, NotTaken::Full)));
        mailbox.take(2, &mut Vec::new());
        assert!(mailbox.push(4, 1, |item| item).is_ok());
        assert_eq!(mailbox.push(5, 25, |item| item), Err((5, NotTaken::Full)));
        mailbox.set_limits(2, 26);
        assert!(mailbox.push(5, 25, |item| item).is_ok());
        mailbox.take(2, &mut Vec::new());
        assert!(mailbox.push(4, 1_000, |item| item).is_ok(), "above the limit, but alone");
        mailbox.close();
        assert_eq!(push(&mailbox, 5), Err((5, NotTaken::Closed)));
        let mut taken = Vec::new();
        mailbox.take(9, &mut taken);
        assert_eq!(taken, [4], "an accepted item is not lost");
    }
}
