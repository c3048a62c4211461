//! The troupe live: actors on ractor, one writer thread, effects performed as they become durable.
//!
//! Architecture invariant: no business message travels in an actor's mailbox. The journal is the
//! mailbox; what the actors get is an empty, coalesced doorbell, and questions.

mod actor;
mod bell;
mod counts;
mod effects;
mod erase;
mod host;
mod message;
mod observe;
mod spawn;
mod stage;
mod time;

pub use erase::Gatherer;
pub use host::Host;
pub(crate) use spawn::{OwnRuntime, off_thread};
