//! What an action is worth in the long run: not the next click, but all that a customer will still do, when each
//! contact tires them a little.
//!
//! A person is in one of a few states (how tired, how long since they bought, which kind of customer). What an
//! action does there is learned: how the state changes, and what it brings. Plans are made by value iteration
//! in worlds drawn from what is believed (posterior sampling, Osband, Russo & Van Roy 2013) or in the expected
//! one. States share what they learn: what was never tried in a state is expected to do what it did in states that
//! are like it in each of their factors (naive Bayes over kinds of change; additive for rewards).

mod planner;
mod pooled;

use rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

pub use planner::{Plan, Prospect, World};

use super::normal::{gamma, standard_normal};
use pooled::{Pooled, RewardFit};

/// What a state shares with others weighs as much as so many own steps.
const SHARED_WEIGHT: f64 = 10.0;
/// Makes weights add up to 1, by chance or not.
type Settle<'a> = &'a mut dyn FnMut(&mut [(u32, f64)]);

/// States, actions and factors at most.
const STATES_MAX: usize = 4_096;
const ACTIONS_MAX: usize = 64;
const FACTORS_MAX: usize = 8;

/// What the states and actions are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LongRunParams {
    /// Each state's level of each factor, no two the same. At most 4,096 states of 8 factors.
    pub states: Vec<Vec<u16>>,
    /// Whether an action can be taken, by state and action; at most 64 actions. The first can always be taken: it
    /// is to do nothing.
    pub allowed: Vec<Vec<bool>>,
    /// What a reward one step later is worth, 0 to below 1.
    pub discount: f64,
}

/// What is wrong with the parameters.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LongRunError {
    /// Sizes that are too big or do not fit together.
    #[error(
        "there are 1 to {STATES_MAX} different states of 1 to {FACTORS_MAX} factors, and 1 to {ACTIONS_MAX} actions in each"
    )]
    Size,
    /// The discount.
    #[error("a discount is a number from 0 to below 1")]
    Discount,
    /// A state or action that is not there, or a reward that is no number.
    #[error("a step has a known state, an action allowed there, a number as reward and a known next state")]
    Step,
}

/// What is known of each action in each state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LongRun {
    params: LongRunParams,
    /// By state, by action.
    seen: Vec<Vec<Seen>>,
}

/// What came of an action in a state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    steps: u32,
    rewards: f64,
    squares: f64,
    /// Next states in ascending order, each with how often.
    next: Vec<(u32, u32)>,
}

impl LongRun {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// Parameters that are not as [`LongRunParams`] says.
    pub fn new(params: LongRunParams) -> Result<Self, LongRunError> {
        let states = params.states.len();
        let factors = params.states.first().map_or(0, Vec::len);
        let actions = params.allowed.first().map_or(0, Vec::len);
        let mut different = params.states.clone();
        different.sort_unstable();
        different.dedup();
        let fits = (1..=STATES_MAX).contains(&states)
            && different.len() == states
            && (1..=FACTORS_MAX).contains(&factors)
            && (1..=ACTIONS_MAX).contains(&actions)
            && params.states.iter().all(|levels| levels.len() == factors)
            && params.allowed.len() == states
            && params.allowed.iter().all(|allowed| allowed.len() == actions && allowed.first() == Some(&true));
        if !fits {
            return Err(LongRunError::Size);
        }
        if !(0.0..1.0).contains(&params.discount) {
            return Err(LongRunError::Discount);
        }
        Ok(Self { seen: vec![vec![Seen::default(); actions]; states], params })
    }

    /// Learns one step.
    ///
    /// # Errors
    /// States or an action that are not there.
    pub fn learn(&mut self, state: u32, action: u16, reward: f64, next: u32) -> Result<(), LongRunError> {
        let allowed = self.params.allowed.get(state as usize).and_then(|allowed| allowed.get(usize::from(action)));
        let known = (next as usize) < self.params.states.len() && allowed == Some(&true);
        let seen = self.seen.get_mut(state as usize).and_then(|seen| seen.get_mut(usize::from(action)));
        let Some(seen) = seen.filter(|_| known && reward.is_finite()) else { return Err(LongRunError::Step) };
        seen.steps += 1;
        seen.rewards += reward;
        seen.squares += reward * reward;
        match seen.next.binary_search_by_key(&next, |(state, _)| *state) {
            Ok(place) => seen.next[place].1 += 1,
            Err(place) => seen.next.insert(place, (next, 1)),
        }
        Ok(())
    }

    /// The world as it is expected to be, with those actions only that were tried so often in a state: what few
    /// have tried is not done to all. Where no other was, there is the first action, which is to be the harmless one.
    pub fn expected(&self, tried_min: u32) -> World {
        let mut world = self.worlds(&mut normalised, &mut |_| 0.0);
        for (prospects, seen) in world.steps.iter_mut().zip(&self.seen) {
            let allowed = prospects.iter().filter(|prospect| prospect.is_some()).count();
            if allowed > 1 {
                for (prospect, seen) in prospects.iter_mut().zip(seen).skip(1) {
                    if seen.steps < tried_min {
                        *prospect = None;
                    }
                }
            }
        }
        world
    }

    /// A world drawn from what is believed.
    pub fn drawn<R: Rng>(&self, rng: &mut R) -> World {
        let mut other = rand_chacha::ChaCha8Rng::from_rng(rng);
        self.worlds(
            &mut |next| {
                for (_, weight) in next.iter_mut() {
                    *weight = gamma(*weight, rng).max(1e-300);
                }
                normalised(next);
            },
            &mut |sd| sd * standard_normal(&mut other),
        )
    }

    fn worlds(&self, settle: Settle<'_>, stray: &mut dyn FnMut(f64) -> f64) -> World {
        let pooled = Pooled::of(&self.params, &self.seen);
        let rewards = RewardFit::of(&self.params, &self.seen);
        let steps = self.seen.iter().enumerate().map(|(state, by_action)| {
            let by_action = by_action.iter().enumerate().map(|(action, seen)| {
                let allowed = self.params.allowed.get(state)?.get(action)?;
                if !*allowed {
                    return None;
                }
                let mut next = pooled.expected(&self.params, state, action, SHARED_WEIGHT);
                for &(to, times) in &seen.next {
                    match next.binary_search_by_key(&to, |(state, _)| *state) {
                        Ok(place) => next[place].1 += f64::from(times),
                        Err(place) => next.insert(place, (to, f64::from(times))),
                    }
                }
                settle(&mut next);
                let (mean, sd) = rewards.expected(&self.params, state, action, seen);
                Some(Prospect { reward: mean + stray(sd), next })
            });
            by_action.collect()
        });
        World { steps: steps.collect(), discount: self.params.discount }
    }
}

fn normalised(next: &mut [(u32, f64)]) {
    let sum: f64 = next.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in next {
        *weight /= sum;
    }
}
