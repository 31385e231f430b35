//! An answer that is on its way from a reactor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::reactor::group::Group;
use crate::refusal::CallError;

/// An answer that is on its way from a reactor, made by [`Handle::call`](crate::Handle::call).
///
/// A thread [waits](Self::wait) for the answer. An async task awaits it, in any async runtime. Awaiting has no timeout
/// of its own. The closure runs even if the `Call` is dropped.
///
/// # Examples
/// ```
/// use readyloop::{CallError, Handle};
///
/// async fn open_connections(handle: &Handle) -> Result<u64, CallError> {
///     handle.call(0, |reactor| reactor.stats().open).await
/// }
/// ```
#[must_use = "the answer is lost if it is not waited for"]
pub struct Call<R> {
    shared: Arc<Shared<R>>,
    group: Arc<Group>,
}

struct Shared<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

enum State<R> {
    Waiting(Option<Waker>),
    Done(Result<R, CallError>),
    Taken,
}

/// The reactor's side of a [`Call`]. If it is dropped without an answer, the call ends with [`CallError::NoAnswer`].
pub(crate) struct Answerer<R>(Option<Arc<Shared<R>>>);

impl<R> Call<R> {
    pub(crate) fn new(group: Arc<Group>) -> (Self, Answerer<R>) {
        let state = Mutex::new(State::Waiting(None));
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let answerer = Answerer(Some(Arc::clone(&shared)));
        (Self { shared, group }, answerer)
    }

    /// Waits for the answer. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// - [`CallError::Refused`] if the reactor did not take the closure.
    /// - [`CallError::TimedOut`] if no answer arrives within `timeout`.
    /// - [`CallError::NoAnswer`] if the closure panicked, or was dropped before it ran.
    /// - [`CallError::OwnThread`] in a callback, because the reactor would wait for itself.
    ///
    /// A thread that makes the turns of the reactor itself must make one before it waits: the closure runs in a turn.
    pub fn wait(self, timeout: Duration) -> Result<R, CallError> {
        let mut state = self.shared.lock();
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(done) = state.take() {
                return done;
            }
            if self.group.is_in_turn_here() {
                return Err(CallError::OwnThread);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let left = left.unwrap_or(Duration::MAX);
            if left.is_zero() {
                return Err(CallError::TimedOut);
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<R> Future for Call<R> {
    type Output = Result<R, CallError>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        if let Some(done) = state.take() {
            return Poll::Ready(done);
        }
        match &mut *state {
            State::Waiting(waker) => match waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            },
            _ => panic!("a call was polled after it was ready"),
        }
        Poll::Pending
    }
}

impl<R> State<R> {
    fn take(&mut self) -> Option<Result<R, CallError>> {
        match std::mem::replace(self, Self::Taken) {
            Self::Done(done) => Some(done),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<R> Shared<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, with: Result<R, CallError>) {
        let before = std::mem::replace(&mut *self.lock(), State::Done(with));
        self.changed.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<R> Answerer<R> {
    pub(crate) fn finish(mut self, with: Result<R, CallError>) {
        if let Some(shared) = self.0.take() {
            shared.finish(with);
        }
    }
}

impl<R> Drop for Answerer<R> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.finish(Err(CallError::NoAnswer));
        }
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::Os;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    const LONG: Duration = Duration::from_secs(30);

    fn call() -> (Call<u8>, Answerer<u8>) {
        Call::new(Group::new(&Config::new(), [&Os::new().unwrap()], 1))
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_thread_that_waits_gets_the_answer() {
        let (call, answerer) = call();
        let waiting = thread::spawn(move || call.wait(LONG));
        answerer.finish(Ok(7));
        assert_eq!(waiting.join().unwrap(), Ok(7));
    }

    #[test]
    fn an_unanswered_call_ends_in_time_or_when_its_closure_is_dropped() {
        let (call_in_time, _answerer) = call();
        assert_eq!(call_in_time.wait(Duration::from_millis(1)), Err(CallError::TimedOut));
        let (call, answerer) = call();
        drop(answerer);
        assert_eq!(call.wait(LONG), Err(CallError::NoAnswer));
    }

    #[test]
    fn a_task_is_woken_once_by_its_last_waker() {
        let (call, answerer) = call();
        let mut call = Box::pin(call);
        let (first, last) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&first, &last] {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        answerer.finish(Ok(7));
        assert_eq!([first, last].map(|wakes| wakes.0.load(Ordering::SeqCst)), [0, 1]);
        let poll = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll, Poll::Ready(Ok(7)));
    }
}
