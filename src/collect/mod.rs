//! Looks after the logs of writers that are gone: the node's own agent, beside its origin.
//!
//! `adopt` finds logs whose lock is free, which is the proof that their writer is dead, seals them,
//! tells the registry where each of them ends, and that this node serves them. Who serves them is
//! the `origin` room, in the same process.
//!
//! Invariant: nothing here decides that a writer is dead; the lock does.

pub mod adopt;
pub mod metrics;
