//! The memory that connections hold, all together.

/// The sum of what waits in all queues, against its budget.
///
/// From three quarters of the budget on there is pressure, until half of it is left: between the two it
/// stays as it was, so that it does not change with every byte. Above the whole, what is too much goes,
/// and an eighth with it, so that looking for the largest queues is rare.
#[derive(Debug)]
pub(crate) struct Pressure {
    budget: usize,
    held: usize,
    is_high: bool,
}

impl Pressure {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, held: 0, is_high: false }
    }

    pub(crate) fn set_budget(&mut self, budget: usize) {
        self.budget = budget;
        self.judge();
    }

    /// One connection holds `after` bytes now, and held `before`.
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.held = self.held - before + after;
        self.judge();
    }

    fn judge(&mut self) {
        let mark = if self.is_high { self.budget / 2 } else { self.budget - self.budget / 4 };
        self.is_high = self.held > mark;
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn is_high(&self) -> bool {
        self.is_high
    }

    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.held.checked_add(bytes).is_some_and(|total| total <= self.budget)
    }

    /// How many bytes have to go, if it is over its budget.
    pub(crate) fn excess(&self) -> Option<usize> {
        (self.held > self.budget).then(|| self.held - (self.budget - self.budget / 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_comes_at_three_quarters_and_goes_at_half() {
        let mut pressure = Pressure::new(100);
        let mut high = |held: usize| {
            pressure.change(pressure.held(), held);
            pressure.is_high()
        };
        assert_eq!([75, 76, 51, 50, 75].map(&mut high), [false, true, true, false, false]);
    }

    #[test]
    fn above_the_budget_an_eighth_more_goes_than_is_too_much() {
        let mut pressure = Pressure::new(800);
        pressure.change(0, 800);
        assert_eq!((pressure.excess(), pressure.has_room_for(0)), (None, true));
        assert!(!pressure.has_room_for(1));
        pressure.change(300, 400);
        assert_eq!((pressure.held(), pressure.excess()), (900, Some(200)));
        pressure.set_budget(2_000);
        assert_eq!((pressure.excess(), pressure.is_high()), (None, false));
    }
}
