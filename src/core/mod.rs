//! The parts that do not depend on the operating system: bytes, states and deadlines go in, decisions come out.
//!
//! Nothing here calls the kernel or reads a clock: time is an argument. So these parts can be tested alone, and behave
//! the same on a simulated network. Memory is the exception: long queues take theirs from the system ([`block`]). Two
//! parts ([`mailbox`] and [`seqlock`]) are shared by threads. A model checker tries all orders of their operations.

pub(crate) mod accept_fault;
pub(crate) mod admission;
pub(crate) mod backoff;
pub(crate) mod block;
pub(crate) mod clock;
pub(crate) mod deadlines;
pub(crate) mod dial_fault;
pub(crate) mod exhaustion;
pub(crate) mod lru_list;
pub(crate) mod mailbox;
pub(crate) mod memory;
pub(crate) mod outbox;
pub(crate) mod peer_addr;
pub(crate) mod per_ip;
pub(crate) mod phase;
pub(crate) mod rate_limiter;
pub(crate) mod search;
pub(crate) mod seqlock;
pub(crate) mod shared_bodies;
pub(crate) mod token_bucket;
pub(crate) mod u48;
pub(crate) mod unread;
pub(crate) mod wheel;
