//! All or none.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::refusal::{CallError, Refusal, ReplaceError};

/// Several threads have each prepared something, and do it only if all can: each votes, and waits for the
/// outcome. That the deadline has passed is an outcome too, so all learn the same.
pub(crate) struct Ballot {
    /// `None` if that is beyond the end of time.
    deadline: Option<Instant>,
    votes: Mutex<Votes>,
    changed: Condvar,
}

struct Votes {
    missing: usize,
    agreed: usize,
    /// How many of those who have agreed have not done it yet.
    undone: usize,
    /// Votes that will be dropped, as their voters are absent.
    excused: usize,
    outcome: Option<Result<(), ReplaceError>>,
}

/// One vote. To drop it unused is to reject: whoever had it could not vote.
pub(crate) struct Voter(Option<Arc<Ballot>>);

/// One who does what was agreed, until this is dropped.
pub(crate) struct Doing(Arc<Ballot>);

impl Voter {
    /// Votes in favour, and waits. Returns something if it is to be done.
    pub(crate) fn agree(mut self) -> Option<Doing> {
        let ballot = self.0.take().expect("one vote is cast once");
        let mut votes = ballot.lock();
        votes.missing -= 1;
        votes.agreed += 1;
        votes.undone += 1;
        ballot.close_if_complete(&mut votes);
        let is_agreed = ballot.wait(votes).outcome == Some(Ok(()));
        is_agreed.then(|| Doing(ballot))
    }

    pub(crate) fn reject(mut self, why: ReplaceError) {
        if let Some(ballot) = self.0.take() {
            ballot.reject(why);
        }
    }
}

impl Drop for Voter {
    fn drop(&mut self) {
        let Some(ballot) = self.0.take() else { return };
        let mut votes = ballot.lock();
        if votes.excused > 0 {
            votes.excused -= 1;
        } else {
            drop(votes);
            ballot.reject(CallError::NoAnswer.into());
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.lock().undone -= 1;
        self.0.changed.notify_all();
    }
}

impl Ballot {
    pub(crate) fn new(voters: usize, timeout: Duration) -> Arc<Self> {
        let votes = Votes { missing: voters, agreed: 0, undone: 0, excused: 0, outcome: None };
        Arc::new(Self {
            deadline: Instant::now().checked_add(timeout),
            votes: Mutex::new(votes),
            changed: Condvar::new(),
        })
    }

    pub(crate) fn voter(self: &Arc<Self>) -> Voter {
        Voter(Some(Arc::clone(self)))
    }

    /// There is one voter less. The vote that was meant for it can be dropped.
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

    /// Waits until it is decided, and done if it is to be done.
    pub(crate) fn outcome(&self) -> Result<(), ReplaceError> {
        let mut votes = self.wait(self.lock());
        while votes.outcome == Some(Ok(())) && votes.undone > 0 {
            votes = self.changed.wait(votes).unwrap_or_else(PoisonError::into_inner);
        }
        votes.outcome.clone().expect("it was waited for")
    }

    fn close_if_complete(&self, votes: &mut Votes) {
        if votes.missing == 0 {
            let stopped = CallError::Refused(Refusal::Stopped).into();
            votes.outcome.get_or_insert(if votes.agreed > 0 { Ok(()) } else { Err(stopped) });
            self.changed.notify_all();
        }
    }

    /// Returns with an outcome.
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
            let ballot = Ballot::new(3, LONG);
            let did = Mutex::new(0);
            let outcome = thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        if let Some(_doing) = ballot.voter().agree() {
                            *did.lock().unwrap() += 1;
                        }
                    });
                }
                let third = ballot.voter();
                if rejects {
                    ballot.reject(ReplaceError::Panicked("no".to_owned()));
                } else {
                    ballot.is_absent();
                }
                drop(third);
                ballot.outcome()
            });
            assert_eq!(outcome.is_err(), rejects);
            assert_eq!(did.into_inner().unwrap(), if rejects { 0 } else { 2 });
        }
    }

    #[test]
    fn who_waits_too_long_does_not_do_it() {
        let ballot = Ballot::new(2, Duration::ZERO);
        assert!(ballot.voter().agree().is_none());
        assert!(ballot.voter().agree().is_none(), "not even if the last one comes after all");
        assert_eq!(ballot.outcome(), Err(CallError::TimedOut.into()));
    }

    #[test]
    fn who_cannot_vote_rejects() {
        let ballot = Ballot::new(2, LONG);
        drop(ballot.voter());
        assert!(ballot.voter().agree().is_none());
        assert_eq!(ballot.outcome(), Err(CallError::NoAnswer.into()));
    }

    #[test]
    fn with_nobody_there_nothing_is_done() {
        let ballot = Ballot::new(1, LONG);
        ballot.is_absent();
        assert_eq!(ballot.outcome(), Err(CallError::Refused(Refusal::Stopped).into()));
    }
}
