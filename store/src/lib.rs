//! The durable floor of Impresario: one journal, keyed state, timers, an effects outbox.
//!
//! From the bottom up: an [`Engine`] is a narrow door of data to an ordered key-value store (sled,
//! and an in-memory twin); the [`Journal`] lies on it: entries in compressed, hash-chained blocks,
//! committed in groups; everything else a step commits (cursor, timers, effects, state written
//! behind) goes into the same group. This crate knows nothing of actors, HTTP or marketing.

pub mod codec;
mod engine;
mod error;
mod journal;

pub use engine::*;
pub use error::StoreError;
pub use journal::*;
