//! Which arm: how likely each is, and the draw.

use impresario_runtime::RunSeed;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{Plan, features};
use crate::{
    models::policy::{Policy, PolicyError, PolicyParams, RewardKind},
    vocabulary::{Channel, DecisionId},
};

/// What a reward is usually in size, where it counts people's actions, and where it is money.
const ACTION_SCALE: f64 = 0.3;
const MONEY_SCALE: f64 = 20.0;
/// What is expected before anything is learned, in log-odds: of a channel for whoever answers it (the root of
/// their click rate, so 1 against 0 is all against none), and of an hour for whoever is active at it. They are
/// wide enough that some dozens of answers move them.
const ANSWERS: (f64, f64) = (3.0, 0.5);
const ACTIVE: (f64, f64) = (1.0, 0.3);
/// Places of the factors in [`PolicyParams::of_arms`].
const CHANNEL_FACTOR: usize = 2;
const HOUR_FACTOR: usize = 3;

/// A policy for a plan's arms that knows nothing yet but this: people go on answering the channels they answered
/// and being active at the hours they were.
///
/// # Errors
/// Arms that no policy can have.
pub(super) fn policy(plan: &Plan) -> Result<Policy, PolicyError> {
    // Unsubscriptions and complaints make rewards negative: an amount, not a chance.
    let scale = if plan.reward.revenue > 0.0 { MONEY_SCALE } else { ACTION_SCALE };
    let count = u16::try_from(features::NAMES.len()).unwrap_or(u16::MAX);
    let mut policy = Policy::new(PolicyParams::of_arms(&plan.arms, count, RewardKind::Amount { scale }))?;
    let mut expected = Vec::new();
    for (factor, place) in policy.params().factors.iter().zip(0_usize..) {
        for (level, number) in factor.levels.iter().zip(0_u16..) {
            let channel = Channel::ALL.into_iter().find(|channel| *channel.name() == **level);
            match (place, channel, level.parse::<u8>()) {
                (CHANNEL_FACTOR, Some(channel), _) => {
                    expected.push((place, number, features::answers_at(channel), ANSWERS));
                }
                (HOUR_FACTOR, _, Ok(hour)) => expected.push((place, number, features::active_place(hour), ACTIVE)),
                _ => {}
            }
        }
    }
    for (factor, level, feature, (mean, sd)) in expected {
        policy.expect(factor, level, feature, mean, sd);
    }
    Ok(policy)
}

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
