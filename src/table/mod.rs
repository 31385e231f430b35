//! The connections without their sockets: their ids, their states, their queues, and the ready list.
//!
//! It is apart from the sockets so that it has no type parameters: a callback's
//! [`Conn`](crate::Conn) borrows it whole and can reach the other connections too.

mod admission;
mod dial;
mod entry;
mod listeners;
mod ready;
mod sending;
mod staged;
mod timers;

use std::any::Any;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::config::Config;
use crate::conn_settings::ConnSettings;
use crate::core::admission::Admission;
use crate::core::clock::{NANOS_PER_MILLI, TurnClock};
use crate::core::deadlines::{Deadline, millis};
use crate::core::lru_list::LruList;
use crate::core::memory::{Budget, Memory};
use crate::core::phase::Phase;
use crate::core::shared_bodies::SharedBodies;
use crate::core::wheel::Wheel;
use crate::id::{ConnId, Numbers, serials_of};
use crate::stats::Tally;
use crate::timer_key::TimerKey;
pub(crate) use entry::Entry;
pub(crate) use listeners::Listener;
use listeners::{Listeners, Rules};
pub(crate) use sending::Outgoing;
pub(crate) use staged::{Piece, Staged};
pub(crate) use timers::Owner;
use timers::Timers;

/// For so many slots memory is reserved at once. What is not touched is not resident, and tables of this
/// size are mapped on their own: they grow by moving pages, and leave no holes behind.
pub(crate) const RESERVED: usize = 16 * 1024;

const HOLDS_A_SLOT: &str = "the reactor works on connections that hold a slot";

/// Between which fillings of its queue a connection goes on being read from once it was throttled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    pub(crate) high: usize,
    pub(crate) low: usize,
}

/// All connections of a reactor, and what belongs to none of them alone.
#[derive(Debug)]
pub(crate) struct Table {
    config: Config,
    pub(crate) stats: Tally,
    pub(crate) clock: TurnClock,
    pub(crate) stopping: bool,
    /// Nothing is begun any more, as what is there is ended.
    pub(crate) is_ending: bool,
    /// The reactor drains.
    pub(crate) is_draining: bool,
    /// Of all reactors of this server.
    admission: Arc<Mutex<Admission>>,
    /// How many there are.
    reactors: usize,
    /// Which of them this is.
    reactor: usize,
    /// What is shared with other threads, for [`Context::handle`](crate::Context::handle). Its type is known there.
    pub(crate) shared: Arc<dyn Any + Send + Sync>,
    /// Which numbers they have in this process.
    numbers: Arc<Numbers>,
    /// A place has become free that another reactor was waiting for.
    pub(crate) made_room: bool,
    /// The connections by their silence. Only if the idlest may be evicted.
    lru: Option<LruList>,
    /// What the callback at hand has sent to its own connection; empty between callbacks.
    pub(crate) staged: Staged,
    /// In the queues of these connections.
    bodies: SharedBodies,
    listeners: Listeners,
    /// One alarm for each connection that has a deadline, at it or before; and one for each timer.
    pub(crate) alarms: Wheel,
    /// In the second half of the wheel.
    timers: Timers,
    pub(crate) memory: Memory,
    /// The pressure has gone in this turn.
    is_relieved: bool,
    entries: Slab<Entry>,
    /// The ready list: the connections with new events.
    ready: Vec<ConnId>,
    /// And behind them those that have had their turn, and could go on.
    leftover: VecDeque<ConnId>,
    /// Connections whose handler is to be called, or that are to be read from, once the memory budget has room;
    /// those that have waited the longest first.
    waiting_for_call: VecDeque<ConnId>,
    waiting_for_read: VecDeque<ConnId>,
    /// The last of them that had its turn had waited for a call.
    had_call: bool,
    /// Those to be opened outbound whose next address is to be tried.
    to_dial: VecDeque<ConnId>,
    last_serial: u64,
}

impl Table {
    /// The table of one of so many reactors, which share the admission, the budget and the numbers. Times are
    /// counted from `epoch`.
    pub(crate) fn new(
        config: Config,
        admission: &Arc<Mutex<Admission>>,
        budget: Arc<Budget>,
        numbers: &Arc<Numbers>,
        reactors: usize,
        epoch: Instant,
        reactor: usize,
    ) -> Self {
        Self {
            admission: Arc::clone(admission),
            shared: Arc::new(()),
            numbers: Arc::clone(numbers),
            reactors,
            reactor,
            made_room: false,
            lru: config.evicts().then(LruList::new),
            memory: Memory::new(budget),
            is_relieved: false,
            alarms: Wheel::with_capacity(RESERVED),
            timers: Timers::default(),
            listeners: Listeners::new(&config),
            config,
            stats: Tally::default(),
            clock: TurnClock::new(epoch),
            stopping: false,
            is_ending: false,
            is_draining: false,
            staged: Staged::default(),
            bodies: SharedBodies::default(),
            entries: Slab::with_capacity(RESERVED),
            ready: Vec::new(),
            leftover: VecDeque::new(),
            waiting_for_call: VecDeque::new(),
            waiting_for_read: VecDeque::new(),
            had_call: false,
            to_dial: VecDeque::new(),
            last_serial: serials_of(numbers.of(reactor)),
        }
    }

    pub(crate) fn reactor(&self) -> usize {
        self.reactor
    }

    /// How many bytes may wait in the mailbox of this reactor.
    pub(crate) fn mailbox_budget(&self) -> usize {
        self.config.mailbox_budget(self.reactors)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// A turn is over. If it took long, because a callback did or the process was stopped, what happened in it is taken
    /// to have happened at its end: no peer could be heard meanwhile.
    pub(crate) fn end_turn(&mut self) {
        if self.clock.is_slow_turn() {
            let (began, ended) = self.clock.end_slow_turn();
            self.entries.iter_mut().for_each(|(_, entry)| entry.restamp(began, ended));
        }
        if std::mem::take(&mut self.is_relieved) {
            self.list_the_throttled();
        }
    }

    /// Lists connections that had to wait by lower marks, and need not by the ones in force.
    fn list_the_throttled(&mut self) {
        let throttled = self.entries.iter().filter(|(_, entry)| entry.throttled);
        let ids: Vec<_> = throttled.map(|(slot, entry)| id_of(slot, entry)).collect();
        for id in ids {
            self.list_if_busy(id);
        }
    }

    /// Applies other settings. Open connections stay, and have the new deadlines.
    pub(crate) fn reconfigure(&mut self, config: Config, descriptors: Option<usize>) {
        let limits = config.admission(descriptors, self.reactors);
        let is_as_before = limits == self.config.admission(descriptors, self.reactors)
            && limits.connections == self.admission().most_connections();
        if !is_as_before {
            self.limit_admission(limits, config.evicts());
        }
        self.memory.set_limit(config.queue_budget);
        self.listeners.reconfigure(&config);
        self.config = config;
        self.watch_all();
        self.list_the_throttled();
    }

    /// From now on connections without work are closed after `drain_quiet`: outbound connections too, or not yet.
    pub(crate) fn close_the_quiet(&mut self, outbound_too: bool) {
        self.listeners.close_the_quiet(&self.config, outbound_too);
        self.watch_all();
    }

    fn watch_all(&mut self) {
        let ids: Vec<_> = self.ids().collect();
        for id in ids {
            self.watch(id);
        }
    }

    /// When there is something to do about deadlines next, in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn next_alarm(&self) -> Option<u64> {
        self.alarms.next().map(|millis| millis * NANOS_PER_MILLI)
    }

    /// Whether there is something to do about deadlines now.
    #[inline]
    pub(crate) fn has_alarm_due(&self) -> bool {
        self.alarms.next().is_some_and(|next| next <= self.clock.passed())
    }

    /// The id that the next [`insert`](Self::insert) gives.
    pub(crate) fn next_id(&self) -> ConnId {
        let slot = u32::try_from(self.entries.vacant_key())
            .expect("each slot holds a descriptor, and Linux gives no process 2^30 of them");
        ConnId { serial: self.last_serial + 1, slot }
    }

    /// Gives a slot to a connection that was let in by the listener with this number.
    pub(crate) fn insert(&mut self, peer: SocketAddr, listener: u16) -> ConnId {
        let id = self.next_id();
        self.put(id, Entry::new(id.serial, peer, listener, self.clock.stamp()));
        self.heard_of(id);
        id
    }

    fn put(&mut self, id: ConnId, entry: Entry) {
        self.gave(id);
        self.entries.insert(entry);
        self.stats.count().open += 1;
    }

    /// No other connection gets this id.
    pub(super) fn gave(&mut self, id: ConnId) {
        self.last_serial = if id.is_last_of_its_number() {
            serials_of(self.numbers.another(self.reactor))
        } else {
            id.serial
        };
    }

    /// Frees a slot. Only when all events of a turn are marked and its work is done: what is left on the
    /// lists then names the slot's tenant by its serial number, not by the slot alone.
    pub(crate) fn remove(&mut self, id: ConnId) {
        let entry = self.entries.get_mut(id.slot as usize);
        if let Some(entry) = entry.filter(|entry| entry.serial == id.serial) {
            let (peer, listener) = (entry.peer(), entry.listener());
            entry.clear(&mut self.bodies);
            self.recount(id);
            self.entries.remove(id.slot as usize);
            self.alarms.unset(id.slot);
            while let Some(slot) = self.timers.cancel_any(Owner::Conn(id.slot)) {
                self.alarms.unset(slot);
            }
            if let Some(lru) = &mut self.lru {
                lru.forget(id.slot);
            }
            if let Some(listener) = listener {
                self.frees_a_place(peer, listener);
            }
            self.stats.count().open -= 1;
            self.stats.count().closed += 1;
        }
    }

    /// The deadline of a connection that comes first, and when.
    pub(crate) fn next_deadline(&self, id: ConnId) -> Option<(u64, Deadline)> {
        let entry = self.get(id)?;
        self.rules(entry).timeouts.next(&entry.standing(), self.clock.stamp())
    }

    /// Sets the alarm of a connection, if it would ring too late or not at all. One that rings too early
    /// is set anew when it does: so an active connection costs nothing here.
    pub(crate) fn watch(&mut self, id: ConnId) {
        if let Some((time, _)) = self.next_deadline(id)
            && self.alarms.time_of(id.slot).is_none_or(|set| set > time)
        {
            self.alarms.set(id.slot, time);
        }
    }

    /// What holds for a connection. What most connections need in most turns does not depend on it, so that an
    /// echo does not come here.
    pub(crate) fn rules(&self, entry: &Entry) -> &Rules {
        self.listeners.rules(entry.listener())
    }

    /// The same by its id; the reactor's own if it has ended.
    pub(crate) fn settings(&self, id: ConnId) -> &ConnSettings {
        &self.listeners.rules(self.get(id).and_then(Entry::listener)).settings
    }

    /// How much unread input a connection has, and how much it may have.
    #[inline] // each echo comes here
    pub(crate) fn unread(&self, id: ConnId) -> (usize, usize) {
        let entry = self.get(id).expect(HOLDS_A_SLOT);
        (entry.unread(), self.rules(entry).settings.max_input)
    }

    /// Between which fillings of its queue a connection is held back.
    ///
    /// Under pressure it takes little to have to wait, and until all of it is sent. But it takes something:
    /// otherwise a handler that produces output would send each line on its own.
    pub(crate) fn marks(&self, id: ConnId) -> Marks {
        let settings = self.settings(id);
        if self.memory.is_high() {
            Marks { high: settings.high_water / 8, low: 0 }
        } else {
            Marks { high: settings.high_water, low: settings.low_water }
        }
    }

    /// Sets a timer, or moves it. It is never due in the turn that sets it, so that none can make a turn
    /// endless.
    pub(crate) fn set_timer(&mut self, owner: Owner, after: Duration, key: TimerKey) {
        let time = self.clock.stamp().saturating_add(millis(after)).max(self.clock.passed() + 1);
        let slot = self.timers.set(owner, key, time);
        self.alarms.set(slot, time);
    }

    /// Returns whether it was set.
    pub(crate) fn cancel_timer(&mut self, owner: Owner, key: TimerKey) -> bool {
        let slot = self.timers.cancel(owner, key);
        slot.inspect(|slot| self.alarms.unset(*slot)).is_some()
    }

    /// Whether a timer has this slot in the wheel: it may have been cancelled.
    pub(crate) fn has_timer(&self, slot: u32) -> bool {
        self.timers.has(slot)
    }

    /// The alarm of a timer rings. Returns the timer if it is due.
    pub(crate) fn ring(&mut self, slot: u32) -> Option<(Owner, TimerKey)> {
        let ringing = self.timers.ring(slot, self.clock.passed());
        match ringing {
            Ok(timer) => {
                self.alarms.unset(slot); // it may have been moved while it waited for memory
                Some(timer)
            }
            Err(time) => {
                self.alarms.set(slot, time); // it was too far ahead
                None
            }
        }
    }

    /// Brings the sum of what is held up to date with one connection.
    pub(crate) fn recount(&mut self, id: ConnId) {
        let Some((mut before, mut after)) = self.get_mut(id).and_then(Entry::recount) else {
            return;
        };
        let shared = self.bodies.recount();
        before.output += shared.0;
        after.output += shared.1;
        if before != after {
            let was_high = self.memory.is_high();
            self.made_room |= self.memory.change(before, after);
            self.stats.count().waiting_bytes = self.memory.held() as u64;
            self.is_relieved |= was_high && !self.memory.is_high();
        }
    }

    /// Looks at what the other reactors hold of the memory budget.
    #[inline]
    pub(crate) fn look_at_memory(&mut self) {
        let was_high = self.memory.is_high();
        self.memory.look_at_others();
        self.is_relieved |= was_high && !self.memory.is_high();
    }

    /// The connections whose peers hold memory up: for as long as `limit` says of their settings they have taken
    /// nothing of what is queued for them, or have sent nothing more of an unfinished message. In no particular order.
    pub(crate) fn stalled(&self, limit: impl Fn(&ConnSettings) -> Duration) -> Vec<ConnId> {
        let is_stalled = |entry: &Entry| {
            let for_how_long = self.clock.stamp().saturating_sub(entry.stalled_since());
            entry.is_holding() && for_how_long >= millis(limit(&self.rules(entry).settings))
        };
        let stalled = self.entries.iter().filter(|(_, entry)| is_stalled(entry));
        stalled.map(|(slot, entry)| id_of(slot, entry)).collect()
    }

    /// Sorts connections that stall, the first to be shed first. Connections with output go before connections with
    /// input. Connections that hold mostly bodies for which others wait too go last, as their end gives little memory
    /// back. Then a connection goes earlier if nothing waits to be read from it, and if its end gives back more.
    ///
    /// It takes time in proportion to the bodies that wait for them.
    pub(crate) fn sort_for_shedding(&self, stalled: &mut [ConnId]) {
        stalled.sort_by_cached_key(|id| {
            let rank = self.get(*id).map(|entry| {
                let gives_back = entry.gives_back(&self.bodies);
                let is_mostly_alone = gives_back >= entry.held() / 2;
                (entry.queued() > 0, is_mostly_alone, !entry.readable, gives_back)
            });
            Reverse((rank, *id))
        });
    }

    #[inline]
    pub(crate) fn get(&self, id: ConnId) -> Option<&Entry> {
        self.entries.get(id.slot as usize).filter(|entry| entry.serial == id.serial)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        self.entries.get_mut(id.slot as usize).filter(|entry| entry.serial == id.serial)
    }

    /// The entry of a connection that is known to be there.
    ///
    /// # Panics
    /// If it is not: slots are freed by the reactor alone, between callbacks.
    #[inline] // each echo comes here
    pub(crate) fn entry(&mut self, id: ConnId) -> &mut Entry {
        self.get_mut(id).expect(HOLDS_A_SLOT)
    }

    /// The id of the connection in a slot.
    pub(crate) fn id_in(&self, slot: u32) -> Option<ConnId> {
        self.entries.get(slot as usize).map(|entry| ConnId { serial: entry.serial, slot })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.entries.iter().map(|(slot, entry)| id_of(slot, entry))
    }

    /// Of those that their handler has seen.
    pub(crate) fn opened_ids(&self) -> impl Iterator<Item = ConnId> {
        let opened = self.entries.iter().filter(|(_, entry)| entry.phase != Phase::Connecting);
        opened.map(|(slot, entry)| id_of(slot, entry))
    }

    /// How long ago a time is.
    pub(crate) fn since(&self, time: u64) -> Duration {
        self.clock.elapsed().saturating_sub(Duration::from_millis(time))
    }

    /// The listener where a connection came in.
    pub(crate) fn listener_of(&self, entry: &Entry) -> Option<&Listener> {
        self.listeners.get(entry.listener()?)
    }

    /// The number of a listener in this table, by which its connections name it. `None` if there are no numbers
    /// left.
    pub(crate) fn number_of(&mut self, listener: &Arc<Listener>) -> Option<u16> {
        if let Some(number) = self.listeners.find(listener) {
            return Some(number);
        }
        if self.listeners.has_closed() {
            let in_use = self.entries.iter().filter_map(|(_, entry)| entry.listener()).collect();
            self.listeners.forget_closed(&in_use);
        }
        self.listeners.add(Arc::clone(listener), &self.config)
    }
}

fn id_of(slot: usize, entry: &Entry) -> ConnId {
    let slot = u32::try_from(slot).expect("slots are counted in 30 bits by next_id");
    ConnId { serial: entry.serial, slot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close_reason::CloseReason;
    use crate::id::draw_numbers;
    use crate::net::{Event, ListenerConfig, Token};
    use crate::send_error::SendError;
    use std::net::Ipv4Addr;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    const READABLE: Event = Event {
        token: Token::Conn { slot: 0, tag: 0 },
        readable: true,
        writable: false,
        more_follows: false,
        hung_up: false,
    };

    fn table() -> Table {
        let config = Config::new();
        let admission = Arc::new(Mutex::new(Admission::new(config.admission(None, 1), 1)));
        let budget = Budget::new(config.queue_budget, 1);
        let numbers = Arc::new(Numbers::new(draw_numbers(1), 1));
        Table::new(config, &admission, budget, &numbers, 1, Instant::now(), 0)
    }

    fn insert(table: &mut Table) -> ConnId {
        table.admission().opened(0, PEER.ip(), false);
        table.admission().arrived(0, PEER.ip(), false);
        let listener = Arc::new(Listener::new(PEER, &ListenerConfig::default()));
        let number = table.number_of(&listener).unwrap();
        table.insert(PEER, number)
    }

    #[test]
    fn an_entry_fits_in_two_cache_lines_beside_its_socket() {
        // Of 128 bytes, the descriptor and the tag of a handler's state take 8, and the alarm 12. The
        // option stands for what the slab adds to an entry to mark a vacant slot.
        assert!(size_of::<Option<Entry>>() <= 96, "{} bytes", size_of::<Option<Entry>>());
    }

    #[test]
    fn an_id_never_names_its_slots_next_tenant() {
        let mut table = table();
        let first = insert(&mut table);
        table.remove(first);
        let second = insert(&mut table);
        assert_eq!(first.slot, second.slot, "the slot is used again");
        assert!(table.get(first).is_none());
        assert_eq!(table.try_send(first, b"x", Some(second)), Err(SendError::Closed));
        table.remove(first);
        assert!(table.get(second).is_some(), "a stale id removes no connection");
    }

    #[test]
    fn an_id_of_another_table_names_nothing_even_if_slot_and_count_are_equal() {
        let (mut one, mut other) = (table(), table());
        let (here, elsewhere) = (insert(&mut one), insert(&mut other));
        assert_eq!((here.slot, here.tag()), (elsewhere.slot, elsewhere.tag()));
        assert_ne!(here, elsewhere);
        assert!(one.get(elsewhere).is_none() && other.get(here).is_none());
        assert_eq!(one.try_send(elsewhere, b"x", Some(here)), Err(SendError::Closed));
    }

    #[test]
    fn a_table_that_has_used_its_ids_up_goes_on_with_others() {
        let mut table = table();
        table.last_serial += u64::from(u32::MAX) - 2;
        let ids = [(); 4].map(|()| insert(&mut table));
        assert_eq!(ids.map(ConnId::tag), [u32::MAX - 1, u32::MAX, 1, 2]);
        assert_ne!(ids[1].number(), ids[2].number());
        for id in ids {
            assert_eq!(table.numbers.reactor_of(id), Some(0));
            assert_eq!(table.get(id).map(|entry| entry.serial), Some(id.serial));
        }
    }

    #[test]
    fn an_active_connection_leaves_its_alarm_alone() {
        let mut table = table();
        let id = insert(&mut table);
        table.watch(id);
        let set = table.alarms.time_of(id.slot);
        assert_eq!(set, table.next_deadline(id).map(|(time, _)| time));
        let epoch = table.clock.now();
        for second in 1..=1_000 {
            table.clock.begin_turn(epoch + Duration::from_secs(second));
            let now = table.clock.stamp();
            table.entry(id).heard_of(now);
            table.watch(id);
            assert_eq!(table.alarms.time_of(id.slot), set);
        }
        assert!(table.next_deadline(id).map(|(time, _)| time) > set, "it is due later by now");
    }

    #[test]
    fn a_queue_that_stalls_brings_the_alarm_forward() {
        let mut table = table();
        let id = insert(&mut table);
        table.watch(id);
        let idle = table.alarms.time_of(id.slot);
        table.entry(id).push(b"x", 0);
        table.watch(id);
        assert!(table.alarms.time_of(id.slot) < idle);
    }

    #[test]
    fn two_events_for_one_connection_list_it_once() {
        let mut table = table();
        let id = insert(&mut table);
        table.mark(id.slot, id.tag(), READABLE);
        table.mark(id.slot, id.tag(), READABLE);
        let mut ready = Vec::new();
        table.swap_ready(&mut ready);
        assert_eq!(ready, [id]);
    }

    #[test]
    fn a_writable_connection_with_nothing_to_send_has_no_work() {
        let mut table = table();
        let id = insert(&mut table);
        let event = Event { readable: false, writable: true, ..READABLE };
        table.mark(id.slot, id.tag(), event);
        assert!(!table.has_ready());
    }

    #[test]
    fn an_event_for_a_slots_former_tenant_is_dropped() {
        let mut table = table();
        let first = insert(&mut table);
        table.remove(first);
        let second = insert(&mut table);
        table.mark(first.slot, first.tag(), READABLE);
        assert!(!table.has_ready());
        table.mark(second.slot, second.tag(), READABLE);
        assert!(table.has_ready());
    }

    #[test]
    fn a_failure_replaces_an_orderly_reason_only_while_bytes_are_owed() {
        let mut table = table();
        let id = insert(&mut table);
        let entry = table.entry(id);
        entry.close(CloseReason::Closed);
        entry.phase = entry.phase.after_flush();
        entry.cut(CloseReason::Aborted, true);
        assert!(matches!(entry.take_reason(), CloseReason::Closed));

        let id = insert(&mut table);
        let entry = table.entry(id);
        entry.close(CloseReason::Closed);
        entry.cut(CloseReason::Aborted, true);
        assert!(matches!(entry.take_reason(), CloseReason::Aborted));
    }
}
