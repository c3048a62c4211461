//! Which arm: how likely each is, and the draw.

use impresario_runtime::RunSeed;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::vocabulary::DecisionId;

/// Arms by number, each with how likely it is; together 1.
pub(super) type Candidates = Vec<(u16, f32)>;

/// Chance of one decision: its own, whatever else is decided in what order, on however many workers.
pub(super) fn chance(seed: &RunSeed, decision: DecisionId) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(b"decision").update(&decision.0.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// A number from 0 up to and without 1.
pub(super) fn fraction(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// All of `arms` alike.
pub(super) fn evenly(arms: &[u16]) -> Candidates {
    arms.iter().map(|arm| (*arm, 1.0 / arms.len().max(1) as f32)).collect()
}

/// Draws one of `candidates`: its number and how likely it was.
pub(super) fn draw(candidates: &[(u16, f32)], rng: &mut ChaCha8Rng) -> (u16, f32) {
    let total: f64 = candidates.iter().map(|(_, likely)| f64::from(*likely)).sum();
    let mut left = fraction(rng) * total;
    for (arm, likely) in candidates {
        left -= f64::from(*likely);
        if left < 0.0 {
            return (*arm, *likely);
        }
    }
    // What rounding left over goes to the last one that can be chosen.
    candidates.iter().rev().find(|(_, likely)| *likely > 0.0).copied().unwrap_or((0, 1.0))
}
