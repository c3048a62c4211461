//! What is counted of effects.

use std::sync::atomic::AtomicU64;

/// What is counted of effects, since the process started.
#[derive(Default)]
pub(super) struct EffectCounts {
    pub(super) pending: AtomicU64,
    pub(super) attempting: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
}
