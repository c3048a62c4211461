use serde::{Deserialize, Serialize};

/// Rounds of value iteration at most, and the change of value that ends it.
const ROUNDS_MAX: usize = 2_000;
const CHANGE_MIN: f64 = 1e-6;

/// A world in which each step has a state, an action, a reward and a next state. Sparse: only what can happen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// By state, by action; none where the action can't be taken there.
    pub steps: Vec<Vec<Option<Prospect>>>,
    /// What a reward one step later is worth, 0 to below 1.
    pub discount: f64,
}

/// What an action in a state comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prospect {
    /// The expected reward.
    pub reward: f64,
    /// Next states, each with its probability.
    pub next: Vec<(u32, f64)>,
}

/// What to do in each state, and what that is worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The best action by state.
    pub actions: Vec<u16>,
    /// The value of each state, under the best actions from now on.
    pub values: Vec<f64>,
    /// The value of each action in each state; none where it can't be taken.
    pub worth: Vec<Vec<Option<f64>>>,
}

impl World {
    /// The best plan (value iteration, Bellman 1957), to within a millionth; faster from values that are near.
    pub fn plan(&self, from: &[f64]) -> Plan {
        let mut values = if from.len() == self.steps.len() { from.to_vec() } else { vec![0.0; self.steps.len()] };
        for _ in 0..ROUNDS_MAX {
            let mut change: f64 = 0.0;
            // In place: a state sees what those before it have become in this round.
            for state in 0..self.steps.len() {
                let best = self.worth(state, &values).flatten().fold(f64::NEG_INFINITY, f64::max);
                if let Some(value) = values.get_mut(state)
                    && best.is_finite()
                {
                    change = change.max((best - *value).abs());
                    *value = best;
                }
            }
            if change < CHANGE_MIN {
                break;
            }
        }
        let worth: Vec<Vec<Option<f64>>> =
            (0..self.steps.len()).map(|state| self.worth(state, &values).collect()).collect();
        let actions = worth.iter().map(|worth| best_action(worth)).collect();
        Plan { actions, values, worth }
    }

    fn worth<'a>(&'a self, state: usize, values: &'a [f64]) -> impl Iterator<Item = Option<f64>> + 'a {
        self.steps.get(state).into_iter().flatten().map(|prospect| {
            prospect.as_ref().map(|prospect| {
                let later: f64 = prospect
                    .next
                    .iter()
                    .map(|(next, chance)| chance * values.get(*next as usize).copied().unwrap_or_default())
                    .sum();
                prospect.reward + self.discount * later
            })
        })
    }
}

fn best_action(worth: &[Option<f64>]) -> u16 {
    let mut best = (0, f64::NEG_INFINITY);
    for (action, worth) in (0_u16..).zip(worth) {
        if let Some(worth) = worth
            && *worth > best.1
        {
            best = (action, *worth);
        }
    }
    best.0
}
