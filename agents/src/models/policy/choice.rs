use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::{
    belief::{Belief, MEMBERS},
    design::Design,
};
use crate::models::normal::uniform;

/// What was chosen, out of what, and how likely that was. The draw was made from exactly these likelihoods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The chosen arm's number.
    pub chosen: u16,
    /// How likely it was.
    pub propensity: f32,
    /// All arms that could be chosen, ascending, each with how likely it was; together 1.
    pub candidates: Vec<(u16, f32)>,
    /// Whether another arm was chosen than the one believed best for the person.
    pub explored: bool,
}

/// What the draws of the belief say.
pub(super) struct Votes {
    /// The share of votes of each arm, in the order asked for.
    pub(super) shares: Vec<f64>,
    /// The arm believed best on average.
    pub(super) best: u16,
}

/// Lets every draw vote for its best arm; a tie goes to the arm with the lower number.
pub(super) fn vote(belief: &Belief, design: &Design, features: &[f32], arms: &[u16]) -> Votes {
    let features: Vec<f64> = features.iter().map(|feature| f64::from(*feature)).collect();
    let mut room = vec![0.0; features.len()];
    // What each block comes to for this person: on average, and as each draw has it.
    let mut block_means = vec![0.0; design.blocks];
    let mut block_draws = vec![[0.0_f32; MEMBERS]; design.blocks];
    if !features.is_empty() {
        let drawn = belief.block_draws.chunks_exact(MEMBERS);
        for (block, ((mean, draws), normal)) in
            block_means.iter_mut().zip(&mut block_draws).zip(drawn).enumerate().skip(1)
        {
            let (block_mean, variance) = belief.people.of_person(block, &features, &mut room);
            *mean = block_mean;
            let (middle, sd) = (block_mean as f32, variance.sqrt() as f32);
            for (draw, normal) in draws.iter_mut().zip(normal) {
                *draw = middle + sd * normal;
            }
        }
    }
    let mut highest = [f32::NEG_INFINITY; MEMBERS];
    let mut places = [0_u32; MEMBERS];
    let mut best = (f64::NEG_INFINITY, 0);
    for (place, &arm) in (0_u32..).zip(arms) {
        let number = usize::from(arm);
        let (Some(parts), Some(draws)) =
            (design.arms.get(number), belief.draws.get(number * MEMBERS..(number + 1) * MEMBERS))
        else {
            continue;
        };
        let mut sums = [0.0_f32; MEMBERS];
        sums.copy_from_slice(draws);
        let mut mean = belief.mean_of(design, number);
        for &block in &parts.blocks {
            mean += block_means.get(block).copied().unwrap_or_default();
            if let Some(block) = block_draws.get(block) {
                for (sum, draw) in sums.iter_mut().zip(block) {
                    *sum += draw;
                }
            }
        }
        for ((high, held), sum) in highest.iter_mut().zip(&mut places).zip(&sums) {
            let higher = sum > high;
            *high = if higher { *sum } else { *high };
            *held = if higher { place } else { *held };
        }
        if mean > best.0 {
            best = (mean, arm);
        }
    }
    let mut shares = vec![0.0; arms.len()];
    for place in places {
        if let Some(share) = shares.get_mut(place as usize) {
            *share += 1.0 / MEMBERS as f64;
        }
    }
    Votes { shares, best: best.1 }
}

/// The likelihoods: the shares of votes, of what the floor leaves.
pub(super) fn likelihoods(arms: &[u16], shares: &[f64], floor: f64) -> Vec<(u16, f32)> {
    let count = arms.len() as f64;
    let floor = floor.clamp(0.0, 1.0 / count);
    let left = 1.0 - floor * count;
    arms.iter().zip(shares).map(|(arm, share)| (*arm, (floor + left * share) as f32)).collect()
}

pub(super) fn draw<R: Rng + ?Sized>(arms: &[u16], shares: &[f64], best: u16, floor: f64, rng: &mut R) -> Choice {
    let candidates = likelihoods(arms, shares, floor);
    let sum: f64 = candidates.iter().map(|(_, likelihood)| f64::from(*likelihood)).sum();
    let mut left = uniform(rng) * sum;
    // Rounding may leave a rest after the last one; then it is the last that can be chosen.
    let mut drawn = (best, 0.0);
    for &(arm, likelihood) in candidates.iter().filter(|(_, likelihood)| *likelihood > 0.0) {
        drawn = (arm, likelihood);
        left -= f64::from(likelihood);
        if left < 0.0 {
            break;
        }
    }
    let (chosen, propensity) = drawn;
    Choice { chosen, propensity, explored: chosen != best, candidates }
}
