//! Tries the orders in which threads can meet at what they share with a reactor, by the model checker loom:
//! `cargo run --release --manifest-path loom/Cargo.toml`.
//!
//! The files are the library's own; only `crate::sync` is loom's here.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

#[allow(dead_code)]
#[path = "../../src/core/seqlock.rs"]
mod seqlock;
#[allow(dead_code)]
#[path = "../../src/core/mailbox.rs"]
mod mailbox;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

use seqlock::Seqlock;
use mailbox::{Mailbox, NotTaken};

/// What wakes the poll: as an eventfd that epoll watches, it stays rung until a wait has returned for it.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = self.changed.wait(rung).unwrap();
        }
    }
}

struct Reactor {
    mailbox: Mailbox<u8>,
    bell: Bell,
}

impl Reactor {
    fn new(most_items: usize) -> Arc<Self> {
        Arc::new(Self { mailbox: Mailbox::new(most_items, usize::MAX), bell: Bell::default() })
    }

    /// As `Remote::post`.
    fn post(&self, item: u8) -> Result<(), NotTaken> {
        if self.mailbox.push(item, 1, |item| item).map_err(|(_, why)| why)? {
            self.bell.ring();
        }
        Ok(())
    }

    /// As a turn: it waits unless something is known to be there, and takes out at most so many.
    fn turn(&self, budget: usize, taken: &mut Vec<u8>) {
        if !self.mailbox.has_some() {
            self.bell.wait();
        }
        self.mailbox.take(budget, taken);
    }
}

/// Loom stops with a deadlock if a wake-up is lost. Two messages of one thread meet those of another; the
/// reader takes one at a time, or all.
fn every_message_is_read_without_further_ado() {
    for budget in [1, 9] {
        let mut model = loom::model::Builder::new();
        // All orders with at most three interruptions; with more of them it takes hours.
        model.preemption_bound = Some(3);
        model.check(move || {
            let reactor = Reactor::new(9);
            let posters = [vec![1, 2], vec![3]].map(|items| {
                let reactor = Arc::clone(&reactor);
                thread::spawn(move || {
                    items.into_iter().for_each(|item| reactor.post(item).unwrap());
                })
            });
            let mut taken = Vec::new();
            while taken.len() < 3 {
                reactor.turn(budget, &mut taken);
            }
            posters.into_iter().for_each(|poster| poster.join().unwrap());
            let first = taken.iter().position(|item| *item == 1);
            assert!(first < taken.iter().position(|item| *item == 2), "out of order: {taken:?}");
            taken.sort_unstable();
            assert_eq!(taken, [1, 2, 3]);
        });
    }
}

/// At a stop and at its limit: what is delivered and what comes back is what was sent.
fn nothing_is_lost_when_the_reactor_stops() {
    loom::model(|| {
        let reactor = Reactor::new(1);
        let posters = [1, 2].map(|item| {
            let reactor = Arc::clone(&reactor);
            thread::spawn(move || reactor.post(item).is_err())
        });
        let mut taken = Vec::new();
        reactor.mailbox.take(9, &mut taken);
        reactor.mailbox.close();
        reactor.mailbox.take(9, &mut taken);
        let returned = posters.map(|poster| poster.join().unwrap());
        let mut after = Vec::new();
        reactor.mailbox.take(9, &mut after);
        assert!(after.is_empty(), "taken in after the close");
        assert_eq!(taken.len() + returned.into_iter().filter(|returned| *returned).count(), 2);
    });
}

/// A reader sees all figures of one writing, and none that is older than one it has seen.
fn figures_are_read_whole() {
    loom::model(|| {
        let seqlock = Arc::new(Seqlock::<2>::new());
        let writer = {
            let seqlock = Arc::clone(&seqlock);
            thread::spawn(move || (1..=2).for_each(|number| seqlock.write([number; 2])))
        };
        let mut last = 0;
        for _ in 0..2 {
            if let Some([one, other]) = seqlock.try_read() {
                assert_eq!(one, other);
                assert!(one >= last);
                last = one;
            }
        }
        writer.join().unwrap();
        assert_eq!(seqlock.try_read(), Some([2, 2]));
    });
}

fn main() {
    let models: [(&str, fn()); 3] = [
        ("every message is read", every_message_is_read_without_further_ado),
        ("nothing is lost at a stop", nothing_is_lost_when_the_reactor_stops),
        ("figures are read whole", figures_are_read_whole),
    ];
    for (name, model) in models {
        model();
        println!("{name}");
    }
}
