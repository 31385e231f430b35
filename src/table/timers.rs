//! The timers that are set, and their owners.

use std::collections::BTreeMap;

use slab::Slab;

use crate::core::wheel::SECOND_HALF;
use crate::timer_key::TimerKey;

/// Whose timer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Reactor,
    /// The connection in this slot. Its timers end with it, so the slot's next connection has none.
    Conn(u32),
}

#[derive(Debug)]
struct Timer {
    owner: Owner,
    key: TimerKey,
    /// In milliseconds since the table was made.
    time: u64,
}

/// Names for timers: the wheel knows them by their slots in its second half, handlers by their keys.
///
/// To set or to find one costs O(log n) among all, so that one owner may have as many as all have.
#[derive(Debug, Default)]
pub(super) struct Timers {
    slots: Slab<Timer>,
    by_key: BTreeMap<(Owner, TimerKey), u32>,
}

impl Timers {
    /// Returns the wheel's slot for a timer, that of the former one if the key was set already.
    pub(super) fn set(&mut self, owner: Owner, key: TimerKey, time: u64) -> u32 {
        let slot = *self.by_key.entry((owner, key)).or_insert_with(|| {
            let index = self.slots.insert(Timer { owner, key, time });
            SECOND_HALF + u32::try_from(index).expect("so many timers fit in no memory")
        });
        self.slots[index(slot)].time = time;
        slot
    }

    /// Forgets a timer. Returns its slot.
    pub(super) fn cancel(&mut self, owner: Owner, key: TimerKey) -> Option<u32> {
        let slot = self.by_key.remove(&(owner, key))?;
        self.slots.remove(index(slot));
        Some(slot)
    }

    /// Forgets one of an owner's timers. Returns its slot.
    pub(super) fn cancel_any(&mut self, owner: Owner) -> Option<u32> {
        let of_owner = (owner, TimerKey(0))..=(owner, TimerKey(u64::MAX));
        let (&(_, key), _) = self.by_key.range(of_owner).next()?;
        self.cancel(owner, key)
    }

    pub(super) fn has(&self, slot: u32) -> bool {
        self.slots.contains(index(slot))
    }

    /// The alarm in this slot has rung. Returns the timer if it is due, and forgets it; else when it is.
    pub(super) fn ring(&mut self, slot: u32, now: u64) -> Result<(Owner, TimerKey), u64> {
        let &Timer { owner, key, time } = &self.slots[index(slot)];
        if time > now {
            return Err(time);
        }
        self.cancel(owner, key);
        Ok((owner, key))
    }
}

fn index(slot: u32) -> usize {
    (slot - SECOND_HALF) as usize
}
