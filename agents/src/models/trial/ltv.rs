//! Cohorts of simulated customers in a world whose truth is known, met by what plans for the long run.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::models::{
    longrun::{LongRun, LongRunError, LongRunParams, Plan, World},
    normal::{standard_normal, uniform},
};

/// One customer in so many is met as a drawn world has it, the others as the expected one does.
const EXPLORERS_ONE_IN: usize = 5;
/// What so many have tried is done to the others, where it is best.
const TRIED_MIN: u32 = 20;
/// Worlds drawn for them each week.
const DRAWN_WORLDS: usize = 8;

/// A world, and who comes to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// The truth.
    pub world: World,
    /// What the learner may know beforehand: the states' factors and which actions there are.
    pub params: LongRunParams,
    /// The distribution of the states customers begin in.
    pub start: Vec<f64>,
    /// By state, whether somebody there is still subscribed.
    pub subscribed: Vec<bool>,
    /// What a reward strays from the expected one by, as a standard deviation.
    pub reward_noise: f64,
}

/// What a cohort came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Came {
    /// Discounted reward of a customer, on average.
    pub value: f64,
    /// The share still subscribed at the end.
    pub still_subscribed: f64,
}

/// Meets one cohort, and learns from each week before the next.
///
/// # Errors
/// A world that is not as the parameters say.
pub fn meet(
    market: &Market,
    learner: &mut LongRun,
    people: usize,
    weeks: u32,
    seed: u64,
) -> Result<Came, LongRunError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut states: Vec<u32> = (0..people).map(|_| one_of(market.start.iter().copied(), &mut rng)).collect();
    let (mut value, mut worth) = (0.0, 1.0);
    let mut expected = Plan::default();
    let mut drawn: Vec<Plan> = vec![Plan::default(); DRAWN_WORLDS];
    for _ in 0..weeks {
        expected = learner.expected(TRIED_MIN).plan(&expected.values);
        for plan in &mut drawn {
            *plan = learner.drawn(&mut rng).plan(&plan.values);
        }
        let mut week = 0.0;
        for (person, state) in states.iter_mut().enumerate() {
            let explorer = person % EXPLORERS_ONE_IN == 0;
            let plan = drawn.get(person / EXPLORERS_ONE_IN % DRAWN_WORLDS).filter(|_| explorer).unwrap_or(&expected);
            let action = plan.actions.get(*state as usize).copied().unwrap_or_default();
            let prospects = market.world.steps.get(*state as usize).ok_or(LongRunError::Step)?;
            let prospect = prospects.get(usize::from(action)).and_then(Option::as_ref).ok_or(LongRunError::Step)?;
            let place = one_of(prospect.next.iter().map(|(_, chance)| *chance), &mut rng);
            let next = prospect.next.get(place as usize).map(|(next, _)| *next).ok_or(LongRunError::Step)?;
            let strays = if market.reward_noise > 0.0 { market.reward_noise * standard_normal(&mut rng) } else { 0.0 };
            learner.learn(*state, action, prospect.reward + strays, next)?;
            // Counted as expected: what strays evens out.
            week += prospect.reward;
            *state = next;
        }
        value += worth * week / people as f64;
        worth *= market.world.discount;
    }
    let subscribed = states.iter().filter(|state| market.subscribed.get(**state as usize) == Some(&true)).count();
    Ok(Came { value, still_subscribed: subscribed as f64 / people as f64 })
}

/// What the best plan for ever comes to in so many weeks, as expected.
pub fn optimum(market: &Market, weeks: u32) -> Came {
    let plan = market.world.plan(&[]);
    let mut here = market.start.clone();
    let (mut value, mut worth) = (0.0, 1.0);
    for _ in 0..weeks {
        let mut there = vec![0.0; here.len()];
        for ((prospects, action), share) in market.world.steps.iter().zip(&plan.actions).zip(&here) {
            let Some(Some(prospect)) = prospects.get(usize::from(*action)) else { continue };
            value += worth * share * prospect.reward;
            for (next, chance) in &prospect.next {
                if let Some(there) = there.get_mut(*next as usize) {
                    *there += share * chance;
                }
            }
        }
        here = there;
        worth *= market.world.discount;
    }
    let still_subscribed = here.iter().zip(&market.subscribed).filter(|(_, is)| **is).map(|(share, _)| share).sum();
    Came { value, still_subscribed }
}

fn one_of(chances: impl Iterator<Item = f64>, rng: &mut ChaCha8Rng) -> u32 {
    let mut left = uniform(rng);
    let mut last = 0;
    for (place, chance) in (0_u32..).zip(chances) {
        if chance > 0.0 {
            last = place;
        }
        left -= chance;
        if left < 0.0 {
            break;
        }
    }
    last
}
