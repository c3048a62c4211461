//! Randomised logs: a policy plays the rows whose logged action is the one it chooses (Li et al. 2011), and its
//! final choice is valued on all rows (doubly robust; Dudík, Langford & Li 2011).

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::models::{
    normal::gamma,
    policy::{Factor, Policy, PolicyError, PolicyParams, RewardKind},
};

/// A log of actions that chance chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The actions' names.
    pub actions: Vec<Box<str>>,
    /// What was logged.
    pub rows: Vec<Row>,
}

/// One row of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The person, each feature about -1 to 1.
    pub features: Vec<f32>,
    /// What was done: the action's place.
    pub action: u16,
    /// How likely that was.
    pub propensity: f64,
    /// What it came to, 0 to 1.
    pub reward: f64,
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replayed {
    /// Mean reward of the rows played.
    pub mean: f64,
    /// How many rows that were.
    pub rows: u64,
}

/// A value with its 95% interval (normal).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Valued {
    /// The value.
    pub value: f64,
    /// Half the interval's width.
    pub margin: f64,
}

impl Log {
    /// A policy that knows nothing of these actions yet; the first of them is number 1.
    ///
    /// # Errors
    /// More features or actions than a policy has.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        let features = self.rows.first().map_or(0, |row| row.features.len());
        let actions = u16::try_from(self.actions.len()).map_err(|_| PolicyError::Size)?;
        Policy::new(PolicyParams {
            factors: vec![Factor { name: "action".into(), levels: self.actions.clone() }],
            arms: (0..actions).map(|action| vec![action]).collect(),
            features: u16::try_from(features).map_err(|_| PolicyError::Size)?,
            reward: RewardKind::Chance,
        })
    }

    /// The rows in a random order.
    fn order(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        for place in (1..order.len()).rev() {
            let other = (rng.next_u64() % (place as u64 + 1)) as usize;
            order.swap(place, other);
        }
        order
    }

    /// Replays the project's policy; gives it back with what it has learned.
    ///
    /// # Errors
    /// As [`Self::policy`].
    pub fn replay_policy(&self, floor: f64, seed: u64) -> Result<(Replayed, Policy), PolicyError> {
        let mut policy = self.policy()?;
        let eligible = self.eligible();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut played = Played::default();
        for place in self.order(&mut rng) {
            let Some(row) = self.rows.get(place) else { continue };
            let choice = policy.decide(&row.features, &eligible, floor, &mut rng)?;
            if choice.chosen == row.action + 1 {
                policy.learn(&row.features, choice.chosen, row.reward as f32)?;
                played.add(row.reward);
            }
        }
        Ok((played.came(), policy))
    }

    /// Replays Beta Thompson sampling, which looks at no features.
    pub fn replay_thompson(&self, seed: u64) -> Replayed {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut record = vec![(1.0, 1.0); self.actions.len()];
        let mut played = Played::default();
        for place in self.order(&mut rng) {
            let Some(row) = self.rows.get(place) else { continue };
            let mut best = (0, f64::NEG_INFINITY);
            for (action, (good, bad)) in (0_u16..).zip(&record) {
                let left = gamma(*good, &mut rng);
                let drawn = left / (left + gamma(*bad, &mut rng));
                if drawn > best.1 {
                    best = (action, drawn);
                }
            }
            if best.0 == row.action
                && let Some((good, bad)) = record.get_mut(usize::from(row.action))
            {
                *good += row.reward;
                *bad += 1.0 - row.reward;
                played.add(row.reward);
            }
        }
        played.came()
    }

    /// The mean reward of each action's own rows, with its interval: what it comes to, done to everybody.
    pub fn fixed(&self) -> Vec<Valued> {
        let of_action = |action: usize| {
            let rewards = self.rows.iter().filter(|row| usize::from(row.action) == action).map(|row| row.reward);
            valued(&rewards.collect::<Vec<_>>())
        };
        (0..self.actions.len()).map(of_action).collect()
    }

    /// What the policy as it stands comes to, done to everybody: doubly robust, by what each action comes to on
    /// average as the direct part.
    ///
    /// # Errors
    /// As [`Policy::decide`].
    pub fn value(&self, policy: &Policy) -> Result<Valued, PolicyError> {
        let fixed = self.fixed();
        let eligible = self.eligible();
        let mut scores = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let likelihoods = policy.likelihoods(&row.features, &eligible, 0.0)?;
            let direct: f64 =
                likelihoods.iter().zip(&fixed).map(|((_, likely), fixed)| f64::from(*likely) * fixed.value).sum();
            let place = usize::from(row.action);
            let likely = likelihoods.get(place).map_or(0.0, |(_, likely)| f64::from(*likely));
            let off = row.reward - fixed.get(place).map_or(0.0, |fixed| fixed.value);
            scores.push(direct + likely / row.propensity.max(1e-6) * off);
        }
        Ok(valued(&scores))
    }

    fn eligible(&self) -> Vec<u16> {
        (1..).take(self.actions.len()).collect()
    }
}

#[derive(Default)]
struct Played {
    rows: u64,
    rewards: f64,
}

impl Played {
    fn add(&mut self, reward: f64) {
        self.rows += 1;
        self.rewards += reward;
    }

    fn came(&self) -> Replayed {
        Replayed { mean: self.rewards / self.rows.max(1) as f64, rows: self.rows }
    }
}

fn valued(scores: &[f64]) -> Valued {
    let count = scores.len().max(1) as f64;
    let value = scores.iter().sum::<f64>() / count;
    let variance = scores.iter().map(|score| (score - value) * (score - value)).sum::<f64>() / count;
    Valued { value, margin: 1.96 * (variance / count).sqrt() }
}
