//! The memory budget: how many bytes the connections of all reactors may hold together.

use std::sync::Arc;

use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// One budget for all reactors of a server, and the sums of what they hold.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    /// Output that the kernel has not taken, and input that handlers have left.
    held: AtomicUsize,
    /// The input among the held bytes.
    input: AtomicUsize,
    /// A reactor has work that waits until there is room.
    is_awaited: AtomicBool,
    /// The server has more than one reactor.
    is_shared: bool,
}

impl Budget {
    pub(crate) fn new(limit: usize, reactors: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            held: AtomicUsize::new(0),
            input: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            is_shared: reactors > 1,
        })
    }
}

/// The bytes that one connection holds, or all connections of a reactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) output: usize,
    pub(crate) input: usize,
}

impl Held {
    pub(crate) fn total(self) -> usize {
        self.output + self.input
    }
}

/// The view that one reactor has of the [`Budget`], and the bytes that its connections hold.
///
/// Two limits apply:
/// - No handler is called while all of the budget is held, and at least half of it is output. If input is the greater
///   part, handlers are still called, because their calls consume input.
/// - No input is read for handlers while all of the budget is held, or while at least half of it is input.
///
/// So the held bytes exceed the budget by at most one read and the output of one callback for each reactor.
///
/// Memory pressure begins when more than three quarters of the budget are held, and ends when at most half is held. The
/// two marks differ so that the pressure does not change with every byte.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: Arc<Budget>,
    is_shared: bool,
    /// Of the connections of this reactor.
    held: Held,
    // As of the last call of `look`:
    is_high: bool,
    is_used_up: bool,
    takes_no_input: bool,
}

impl Memory {
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            is_shared: budget.is_shared,
            budget,
            held: Held::default(),
            is_high: false,
            is_used_up: false,
            takes_no_input: false,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.budget.limit.store(limit, Ordering::Relaxed);
        self.look();
    }

    pub(crate) fn limit(&self) -> usize {
        self.budget.limit.load(Ordering::Relaxed)
    }

    /// Updates the state if the server has other reactors, which may hold other bytes now.
    #[inline]
    pub(crate) fn look_at_others(&mut self) {
        if self.is_shared {
            self.look();
        }
    }

    /// Updates the state from the bytes that all reactors hold now.
    fn look(&mut self) {
        let (total, limit) = (self.total(), self.limit());
        let mark = if self.is_high { limit / 2 } else { limit - limit / 4 };
        self.is_high = total.total() > mark;
        self.is_used_up = is_used_up(total, limit);
        self.takes_no_input = takes_no_input(total, limit);
    }

    /// Counts that one connection holds the bytes `after` instead of `before`. Returns whether this frees room that
    /// another reactor may wait for. Then the caller wakes the other reactors.
    pub(crate) fn change(&mut self, before: Held, after: Held) -> bool {
        self.held.output = self.held.output - before.output + after.output;
        self.held.input = self.held.input - before.input + after.input;
        add(&self.budget.held, before.total(), after.total());
        if before.input != after.input {
            add(&self.budget.input, before.input, after.input);
        }
        self.look();
        let is_less = after.output < before.output || after.input < before.input;
        is_less && !self.takes_no_input && self.budget.is_awaited.swap(false, Ordering::SeqCst)
    }

    /// What all reactors hold.
    fn total(&self) -> Held {
        // Sequentially consistent, because `await_room` relies on it. On x86-64 these are plain loads.
        let input = self.budget.input.load(Ordering::SeqCst);
        let total = self.budget.held.load(Ordering::SeqCst);
        Held { output: total.saturating_sub(input), input }
    }

    /// What the connections of this reactor hold.
    pub(crate) fn held(&self) -> usize {
        self.held.total()
    }

    pub(crate) fn is_high(&self) -> bool {
        self.is_high
    }

    /// Whether the budget is used up: no handler is called.
    #[inline]
    pub(crate) fn is_used_up(&self) -> bool {
        self.is_used_up
    }

    /// Whether no input is read for handlers. Always true while the budget is used up.
    #[inline]
    pub(crate) fn takes_no_input(&self) -> bool {
        self.takes_no_input
    }

    /// Whether handlers would still be called with this many more bytes of output.
    pub(crate) fn has_room_beside(&self, bytes: usize) -> bool {
        let Held { output, input } = self.total();
        !is_used_up(Held { output: output.saturating_add(bytes), input }, self.limit())
    }

    /// Announces that work of this reactor waits for room. Returns whether there is room already. If not, the reactor
    /// that frees room wakes this one.
    ///
    /// No wake-up is lost: [`change`](Self::change) updates the held bytes and then reads `is_awaited`. This method
    /// sets `is_awaited` and then reads the held bytes. So at least one of the two sees the other.
    pub(crate) fn await_room(&self) -> bool {
        self.budget.is_awaited.store(true, Ordering::SeqCst);
        !takes_no_input(self.total(), self.limit())
    }

    /// Whether work of any reactor waits for room.
    pub(crate) fn is_awaited(&self) -> bool {
        self.budget.is_awaited.load(Ordering::Relaxed)
    }

    /// Whether output must be freed before an eighth of the budget is free for more output.
    pub(crate) fn has_too_much_output(&self) -> bool {
        is_used_up(self.with_an_eighth(), self.limit())
    }

    /// Whether bytes must be freed before another eighth of the budget can be read as input.
    pub(crate) fn has_too_much_input(&self) -> bool {
        takes_no_input(self.with_an_eighth(), self.limit())
    }

    /// The bytes that all reactors hold, with an eighth of the budget added to the output. If output is not the greater
    /// part, an eighth is added to the input too.
    fn with_an_eighth(&self) -> Held {
        let Held { output, input } = self.total();
        let eighth = self.limit() / 8;
        Held { output: output + eighth, input: input + if output > input { 0 } else { eighth } }
    }
}

fn add(sum: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        sum.fetch_add(after - before, Ordering::SeqCst);
    } else {
        sum.fetch_sub(before - after, Ordering::SeqCst);
    }
}

fn is_used_up(held: Held, limit: usize) -> bool {
    held.total() >= limit && held.output >= half(limit)
}

fn takes_no_input(held: Held, limit: usize) -> bool {
    held.total() >= limit || held.input >= half(limit)
}

fn half(limit: usize) -> usize {
    (limit / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Held = Held { output: 0, input: 0 };

    fn output(output: usize) -> Held {
        Held { output, input: 0 }
    }

    fn memory(limit: usize) -> Memory {
        Memory::new(Budget::new(limit, 1))
    }

    #[test]
    fn pressure_comes_at_three_quarters_and_goes_at_half() {
        let mut memory = memory(100);
        let mut high = |held: usize| {
            memory.change(output(memory.held()), output(held));
            memory.is_high()
        };
        assert_eq!([75, 76, 51, 50, 75].map(&mut high), [false, true, true, false, false]);
    }

    #[test]
    fn the_budget_is_used_up_when_no_byte_of_it_is_left() {
        let mut memory = memory(800);
        memory.change(NOTHING, output(799));
        assert!(!memory.is_used_up() && memory.has_room_beside(0) && !memory.has_room_beside(1));
        memory.change(output(300), output(301));
        assert!(memory.is_used_up() && memory.takes_no_input() && !memory.has_room_beside(0));
        memory.change(output(100), output(0));
        assert!(!memory.is_used_up() && memory.has_too_much_output());
        memory.change(output(1), output(0));
        assert!(!memory.has_too_much_output());
        memory.change(NOTHING, output(200));
        memory.set_limit(2_000);
        assert!(!memory.is_used_up() && !memory.takes_no_input());
    }

    #[test]
    fn input_stops_reading_at_half_and_never_the_calls_that_take_it() {
        let mut memory = memory(800);
        memory.change(NOTHING, Held { output: 0, input: 400 });
        assert!(memory.takes_no_input() && !memory.is_used_up());
        memory.change(NOTHING, Held { output: 399, input: 300 });
        assert!(!memory.is_used_up() && memory.has_too_much_input());
        memory.change(NOTHING, output(1));
        assert!(memory.is_used_up());
        memory.change(Held { output: 0, input: 700 }, NOTHING);
        assert!(!memory.is_used_up() && !memory.takes_no_input());
    }

    #[test]
    fn however_small_the_budget_is_a_byte_can_be_read_and_answered() {
        let mut memory = memory(1);
        assert!(!memory.takes_no_input());
        memory.change(NOTHING, Held { output: 0, input: 1 });
        assert!(memory.takes_no_input() && !memory.is_used_up());
        memory.change(Held { output: 0, input: 1 }, output(1));
        assert!(memory.is_used_up() && memory.has_too_much_output());
    }

    #[test]
    fn one_budget_holds_for_all_reactors_and_the_one_that_waits_for_room_is_woken_once() {
        let budget = Budget::new(100, 2);
        let (mut one, mut other) = (Memory::new(Arc::clone(&budget)), Memory::new(budget));
        one.change(NOTHING, output(60));
        other.change(NOTHING, output(40));
        assert!(other.is_used_up() && !one.is_used_up(), "it has not looked since");
        one.look_at_others();
        assert!(one.is_used_up());
        assert!(!other.await_room());
        assert!(one.change(output(60), output(50)), "another reactor waits for this room");
        assert!(!one.change(output(50), output(40)), "it was woken");
        other.look_at_others();
        assert!(!other.is_used_up() && other.await_room());
        assert_eq!((one.held(), other.held()), (40, 40));
    }
}
