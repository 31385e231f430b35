//! Timers for hundreds of thousands of connections.

/// Each level has 64 buckets. A bucket is as wide as the whole level below.
const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;

/// Enough levels for 8 × 6 bits of milliseconds: 8,900 years.
const LEVELS: usize = 8;

/// The longest time of an alarm, in ticks: 24 days if a tick is a millisecond. An alarm that is further ahead rings
/// after this time, and has to be set again.
const FARTHEST: u64 = 1 << 31;

/// No slot.
const NONE: u32 = u32::MAX;

/// Marks a link to the head of a bucket, not to a slot. No table has so many slots.
const HEAD: u32 = 1 << 31;

/// Slots from here on are in the second half. Each half is an array that is as long as its highest slot needs. So two
/// kinds of alarms can both number their slots from 0, and still ring in one order.
pub(crate) const SECOND_HALF: u32 = 1 << 30;

/// A hierarchical timing wheel (Varghese and Lauck, 1987) with one alarm for each slot. Times are in ticks. Setting an
/// alarm, cancelling it, finding the next one and each [`step`](Self::step) cost O(1).
///
/// The level of an alarm is that of the highest group of six bits in which its time differs from the wheel's position.
/// Its bucket is the value of that group:
///
/// ```text
///   position  …|000011|000101|111110        level 0: the next 64 ticks, a tick a bucket
///   alarm     …|000011|001000|000001        level 1: bucket 8, a bucket 64 ticks wide
///                        ▲
/// ```
///
/// When the position reaches a bucket of a higher level, its alarms move down, one a step. A slot takes 12 bytes: the
/// links of a doubly linked list, and the low half of its time.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The tick up to which the wheel has advanced. No alarm is set before it.
    position: u64,
    halves: [Vec<Alarm>; 2],
    heads: [[u32; BUCKETS]; LEVELS],
    /// A bit for each bucket that is not empty.
    occupied: [u64; LEVELS],
    /// A bit for each level that is not empty: each turn asks for the lowest.
    occupied_levels: u8,
    /// The bucket of a higher level whose alarms are moving down.
    emptying: Option<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Alarm {
    /// The slot before this one in the list, or the bucket that the list begins in, marked with [`HEAD`]. [`NONE`] if
    /// the alarm is not set.
    before: u32,
    after: u32,
    /// The low bits of the time. The rest follows from the position, which is never more than `FARTHEST` behind.
    time: u32,
}

const UNSET: Alarm = Alarm { before: NONE, after: NONE, time: 0 };

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The alarm of this slot rings. It is not set any more.
    Rings(u32),
    /// One alarm was moved closer.
    Moved,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: usize,
    index: usize,
    /// Its first tick.
    start: u64,
}

impl Wheel {
    /// Reserves memory for this many slots of the first half. There may be more.
    pub(crate) fn with_capacity(slots: usize) -> Self {
        Self {
            position: 0,
            halves: [Vec::with_capacity(slots), Vec::new()],
            heads: [[NONE; BUCKETS]; LEVELS],
            occupied: [0; LEVELS],
            occupied_levels: 0,
            emptying: None,
        }
    }

    /// Sets the alarm of a slot, or changes it. A time in the past counts as now. A time beyond [`FARTHEST`] is lowered
    /// to it.
    pub(crate) fn set(&mut self, slot: u32, time: u64) {
        self.unset(slot);
        let (half, index) = place(slot);
        if self.halves[half].len() <= index {
            self.halves[half].resize(index + 1, UNSET);
        }
        let time = time.clamp(self.position, self.position.saturating_add(FARTHEST));
        self.link(slot, time);
    }

    pub(crate) fn unset(&mut self, slot: u32) {
        if self.is_set(slot) {
            self.unlink(slot);
        }
    }

    /// When the alarm of a slot rings. `None` if it is not set.
    pub(crate) fn time_of(&self, slot: u32) -> Option<u64> {
        self.is_set(slot).then(|| self.full_time(self.alarm(slot).time))
    }

    fn is_set(&self, slot: u32) -> bool {
        let (half, index) = place(slot);
        self.halves[half].get(index).is_some_and(|alarm| alarm.before != NONE)
    }

    fn alarm(&self, slot: u32) -> &Alarm {
        let (half, index) = place(slot);
        &self.halves[half][index]
    }

    fn alarm_mut(&mut self, slot: u32) -> &mut Alarm {
        let (half, index) = place(slot);
        &mut self.halves[half][index]
    }

    /// When the next step is due, to ring an alarm or to move one closer. No alarm rings before.
    pub(crate) fn next(&self) -> Option<u64> {
        self.earliest().map(|bucket| bucket.start.max(self.position))
    }

    /// Does the next step that is due by `now`, in the order of the alarms' times. Returns `None` if no step is due.
    pub(crate) fn step(&mut self, now: u64) -> Option<Step> {
        let Some(bucket) = self.earliest().filter(|bucket| bucket.start <= now) else {
            self.position = self.position.max(now);
            return None;
        };
        self.position = self.position.max(bucket.start);
        let slot = self.heads[bucket.level][bucket.index];
        let time = self.full_time(self.alarm(slot).time);
        self.unlink(slot);
        if bucket.level == 0 {
            return Some(Step::Rings(slot));
        }
        self.emptying = Some(bucket).filter(|bucket| self.is_occupied(*bucket));
        self.link(slot, time);
        Some(Step::Moved)
    }

    fn full_time(&self, low: u32) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let ahead = low.wrapping_sub(self.position as u32);
        self.position + u64::from(ahead)
    }

    /// The bucket of the next step. A bucket that is being emptied is first. Otherwise it is the first bucket of the
    /// lowest occupied level: a level ends where the next bucket of the level above begins, so all its buckets are due
    /// earlier.
    fn earliest(&self) -> Option<Bucket> {
        if let Some(bucket) = self.emptying {
            return Some(bucket);
        }
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros();
        let index = self.occupied[level as usize].trailing_zeros();
        let shift = BITS * level;
        let level_start = self.position >> (shift + BITS) << (shift + BITS);
        let start = level_start + (u64::from(index) << shift);
        Some(Bucket { level: level as usize, index: index as usize, start })
    }

    fn link(&mut self, slot: u32, time: u64) {
        let differing = (self.position ^ time) | 1;
        let level = (differing.ilog2() / BITS) as usize;
        let level = level.min(LEVELS - 1);
        let index = (time >> (BITS * level as u32)) as usize % BUCKETS;
        let first = std::mem::replace(&mut self.heads[level][index], slot);
        if first != NONE {
            self.alarm_mut(first).before = slot;
        }
        self.occupied[level] |= 1 << index;
        self.occupied_levels |= 1 << level;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
        let (head, time) = (HEAD | (level * BUCKETS + index) as u32, time as u32);
        *self.alarm_mut(slot) = Alarm { before: head, after: first, time };
    }

    fn unlink(&mut self, slot: u32) {
        let Alarm { before, after, .. } = std::mem::replace(self.alarm_mut(slot), UNSET);
        if after != NONE {
            self.alarm_mut(after).before = before;
        }
        if before & HEAD == 0 {
            self.alarm_mut(before).after = after;
            return;
        }
        let bucket = (before & !HEAD) as usize;
        let (level, index) = (bucket / BUCKETS, bucket % BUCKETS);
        self.heads[level][index] = after;
        if after == NONE {
            self.occupied[level] &= !(1 << index);
            if self.occupied[level] == 0 {
                self.occupied_levels &= !(1 << level);
            }
            self.emptying = self.emptying.filter(|bucket| self.is_occupied(*bucket));
        }
    }

    fn is_occupied(&self, bucket: Bucket) -> bool {
        self.occupied[bucket.level] & (1 << bucket.index) != 0
    }
}

/// The half of a slot, and its index there.
fn place(slot: u32) -> (usize, usize) {
    (usize::from(slot >= SECOND_HALF), (slot & !SECOND_HALF) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// All that rings by `now`.
    fn ring(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let steps = std::iter::from_fn(|| wheel.step(now));
        steps
            .filter_map(|step| if let Step::Rings(slot) = step { Some(slot) } else { None })
            .collect()
    }

    #[test]
    fn a_slot_costs_twelve_bytes() {
        assert_eq!(size_of::<Alarm>(), 12);
    }

    #[test]
    fn an_alarm_rings_at_its_time_and_once() {
        let mut wheel = Wheel::with_capacity(0);
        wheel.set(7, 5_000);
        assert_eq!(wheel.time_of(7), Some(5_000));
        assert_eq!(ring(&mut wheel, 4_999), []);
        assert_eq!(ring(&mut wheel, 5_000), [7]);
        assert_eq!((wheel.time_of(7), wheel.next()), (None, None));
    }

    #[test]
    fn an_alarm_can_be_taken_back_and_set_anew() {
        let mut wheel = Wheel::with_capacity(0);
        for slot in 0..3 {
            wheel.set(slot, 100);
        }
        wheel.unset(1);
        wheel.set(2, 200);
        assert_eq!(ring(&mut wheel, 100), [0]);
        assert_eq!(ring(&mut wheel, 200), [2]);
    }

    #[test]
    fn one_that_lies_too_far_ahead_rings_early_and_one_in_the_past_at_once() {
        let mut wheel = Wheel::with_capacity(0);
        wheel.set(0, u64::MAX);
        assert_eq!(wheel.time_of(0), Some(FARTHEST));
        assert_eq!(ring(&mut wheel, FARTHEST), [0]);
        wheel.set(0, 3);
        assert_eq!(ring(&mut wheel, FARTHEST), [0]);
    }

    #[test]
    fn a_step_is_one_alarm_however_many_are_due() {
        let mut wheel = Wheel::with_capacity(0);
        for slot in 0..100_000 {
            wheel.set(slot, 3_600_000);
        }
        let mut rung = 0;
        let mut steps = 0_u32;
        while let Some(step) = wheel.step(3_600_000) {
            steps += 1;
            rung += u32::from(matches!(step, Step::Rings(_)));
        }
        assert_eq!(rung, 100_000);
        assert!(steps <= 100_000 * LEVELS as u32, "{steps} steps");
    }

    #[derive(Clone, Debug)]
    enum Action {
        Set(u32, u64),
        Unset(u32),
        /// Time passes, but at most this many steps are made.
        Pass(u64, usize),
        /// Time passes to when the wheel says that there is something to do.
        PassToNext,
    }

    /// Of either half.
    fn slot() -> impl Strategy<Value = u32> {
        prop_oneof![0..6u32, SECOND_HALF..SECOND_HALF + 6]
    }

    fn action() -> impl Strategy<Value = Action> {
        let ahead = (0..33u32, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1));
        prop_oneof![
            4 => (slot(), ahead.clone()).prop_map(|(slot, ahead)| Action::Set(slot, ahead)),
            1 => slot().prop_map(Action::Unset),
            2 => (ahead, prop_oneof![0..4usize, Just(usize::MAX)])
                .prop_map(|(time, steps)| Action::Pass(time, steps)),
            3 => Just(Action::PassToNext),
        ]
    }

    proptest! {
        #[test]
        fn rings_as_a_sorted_map_would(
            start in prop_oneof![Just(0u64), 0..(1u64 << 40)],
            actions in prop::collection::vec(action(), 1..120),
        ) {
            let mut wheel = Wheel::with_capacity(0);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            prop_assert_eq!(wheel.step(start), None);
            let mut now = start;
            for action in actions {
                let mut most = usize::MAX;
                match action {
                    Action::Set(slot, ahead) => {
                        // The wheel may be behind, if it was not let make all its steps.
                        let time = (now + ahead).min(wheel.position + FARTHEST);
                        wheel.set(slot, now + ahead);
                        model.insert(slot, time);
                    }
                    Action::Unset(slot) => {
                        wheel.unset(slot);
                        model.remove(&slot);
                    }
                    Action::Pass(time, steps) => (now, most) = (now + time, steps),
                    Action::PassToNext => now = now.max(wheel.next().unwrap_or(now)),
                }
                let earliest = model.values().min().copied();
                prop_assert!(wheel.next() <= earliest || earliest.is_none());
                prop_assert_eq!(wheel.next().is_none(), model.is_empty());
                let mut last = 0;
                let mut ended = false;
                for _ in 0..most {
                    let Some(step) = wheel.step(now) else { ended = true; break };
                    if let Step::Rings(slot) = step {
                        let time = model.remove(&slot);
                        prop_assert!(time.is_some_and(|time| time <= now && time >= last));
                        last = time.unwrap_or(0);
                    }
                }
                if ended {
                    prop_assert!(model.values().all(|time| *time > now), "late: {:?}", model);
                }
                for slot in (0..6).chain(SECOND_HALF..SECOND_HALF + 6) {
                    prop_assert_eq!(wheel.time_of(slot), model.get(&slot).copied());
                }
            }
        }
    }
}
