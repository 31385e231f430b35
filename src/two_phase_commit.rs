//! A change that all reactors apply, or none.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::refusal::{CallError, Refusal, ReplaceError};

/// Several threads prepare a change, and apply it only if all of them can. Each thread votes, and waits for the
/// outcome. If the deadline passes first, that is the outcome too, so all threads get the same outcome.
pub(crate) struct TwoPhaseCommit {
    /// `None` if it is beyond the range of the clock.
    deadline: Option<Instant>,
    votes: Mutex<Votes>,
    changed: Condvar,
}

struct Votes {
    missing: usize,
    agreed: usize,
    /// How many threads have agreed and have not applied the change yet.
    undone: usize,
    /// How many votes of stopped threads will be dropped unused.
    excused: usize,
    outcome: Option<Result<(), ReplaceError>>,
}

/// The vote of one thread. Dropping it unused rejects the change.
pub(crate) struct Participant(Option<Arc<TwoPhaseCommit>>);

/// A thread applies the change until this is dropped.
pub(crate) struct Applying(Arc<TwoPhaseCommit>);

impl Participant {
    /// Votes in favour, and waits for the outcome. Returns `Some` if the change is to be applied.
    pub(crate) fn agree(mut self) -> Option<Applying> {
        let commit = self.0.take().expect("one vote is cast once");
        let mut votes = commit.lock();
        votes.missing -= 1;
        votes.agreed += 1;
        votes.undone += 1;
        commit.close_if_complete(&mut votes);
        let is_agreed = commit.wait(votes).outcome == Some(Ok(()));
        is_agreed.then(|| Applying(commit))
    }

    pub(crate) fn reject(mut self, why: ReplaceError) {
        if let Some(commit) = self.0.take() {
            commit.reject(why);
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let Some(commit) = self.0.take() else { return };
        let mut votes = commit.lock();
        if votes.excused > 0 {
            votes.excused -= 1;
        } else {
            drop(votes);
            commit.reject(CallError::NoAnswer.into());
        }
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        self.0.lock().undone -= 1;
        self.0.changed.notify_all();
    }
}

impl TwoPhaseCommit {
    pub(crate) fn new(participants: usize, timeout: Duration) -> Arc<Self> {
        let votes =
            Votes { missing: participants, agreed: 0, undone: 0, excused: 0, outcome: None };
        Arc::new(Self {
            deadline: Instant::now().checked_add(timeout),
            votes: Mutex::new(votes),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn participant(self: &Arc<Self>) -> Participant {
        Participant(Some(Arc::clone(self)))
    }

    /// Excuses a thread that has stopped: the outcome does not depend on its vote, which is dropped later.
    pub(crate) fn is_absent(&self) {
        let mut votes = self.lock();
        votes.missing -= 1;
        votes.excused += 1;
        self.close_if_complete(&mut votes);
    }

    pub(crate) fn reject(&self, why: ReplaceError) {
        self.lock().outcome.get_or_insert(Err(why));
        self.changed.notify_all();
    }

    /// Waits for the outcome. If it is to apply the change, also waits until all threads have applied it.
    pub(crate) fn outcome(&self) -> Result<(), ReplaceError> {
        let mut votes = self.wait(self.lock());
        while votes.outcome == Some(Ok(())) && votes.undone > 0 {
            votes = self.changed.wait(votes).unwrap_or_else(PoisonError::into_inner);
        }
        votes.outcome.clone().expect("`wait` returns with an outcome")
    }

    fn close_if_complete(&self, votes: &mut Votes) {
        if votes.missing == 0 {
            let stopped = CallError::Refused(Refusal::Stopped).into();
            votes.outcome.get_or_insert(if votes.agreed > 0 { Ok(()) } else { Err(stopped) });
            self.changed.notify_all();
        }
    }

    /// Waits for an outcome.
    fn wait<'a>(&'a self, mut votes: MutexGuard<'a, Votes>) -> MutexGuard<'a, Votes> {
        while votes.outcome.is_none() {
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                votes.outcome = Some(Err(CallError::TimedOut.into()));
                self.changed.notify_all();
                break;
            }
            let left = left.unwrap_or(Duration::MAX);
            let waited = self.changed.wait_timeout(votes, left);
            votes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        votes
    }

    fn lock(&self) -> MutexGuard<'_, Votes> {
        self.votes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn all_do_it_or_none() {
        for rejects in [false, true] {
            let commit = TwoPhaseCommit::new(3, LONG);
            let did = Mutex::new(0);
            let outcome = thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        if let Some(_doing) = commit.participant().agree() {
                            *did.lock().unwrap() += 1;
                        }
                    });
                }
                let third = commit.participant();
                if rejects {
                    commit.reject(ReplaceError::Panicked("no".to_owned()));
                } else {
                    commit.is_absent();
                }
                drop(third);
                commit.outcome()
            });
            assert_eq!(outcome.is_err(), rejects);
            assert_eq!(did.into_inner().unwrap(), if rejects { 0 } else { 2 });
        }
    }

    #[test]
    fn a_worker_that_waits_too_long_does_not_do_it() {
        let commit = TwoPhaseCommit::new(2, Duration::ZERO);
        assert!(commit.participant().agree().is_none());
        assert!(commit.participant().agree().is_none(), "not even if the last one comes after all");
        assert_eq!(commit.outcome(), Err(CallError::TimedOut.into()));
    }

    #[test]
    fn a_worker_that_cannot_vote_rejects() {
        let commit = TwoPhaseCommit::new(2, LONG);
        drop(commit.participant());
        assert!(commit.participant().agree().is_none());
        assert_eq!(commit.outcome(), Err(CallError::NoAnswer.into()));
    }

    #[test]
    fn without_workers_nothing_is_done() {
        let commit = TwoPhaseCommit::new(1, LONG);
        commit.is_absent();
        assert_eq!(commit.outcome(), Err(CallError::Refused(Refusal::Stopped).into()));
    }
}
