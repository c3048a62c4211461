//! The usual ways to choose, to be measured against.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;

use crate::models::{
    matrix::{cholesky, packed_len, row_at, solve_lower, solve_upper},
    normal::{gamma, standard_normal, uniform},
};

/// Chooses and learns.
pub(super) trait Rival {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize;
    fn learn(&mut self, arm: usize, reward: f64);
}

fn any(arms: usize, rng: &mut ChaCha8Rng) -> usize {
    ((uniform(rng) * arms as f64) as usize).min(arms.saturating_sub(1))
}

/// The first of the highest.
fn highest(values: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (place, value) in values.enumerate() {
        if value > best.1 {
            best = (place, value);
        }
    }
    best.0
}

/// Trials and rewards by arm.
#[derive(Clone, Debug)]
struct Record(Vec<(f64, f64)>);

impl Record {
    fn new(arms: usize) -> Self {
        Self(vec![(0.0, 0.0); arms])
    }

    fn add(&mut self, arm: usize, reward: f64) {
        if let Some((trials, rewards)) = self.0.get_mut(arm) {
            *trials += 1.0;
            *rewards += reward;
        }
    }

    fn best(&self) -> usize {
        highest(self.0.iter().map(|(trials, rewards)| if *trials > 0.0 { rewards / trials } else { 0.0 }))
    }
}

pub(super) struct Evenly {
    pub(super) arms: usize,
}

impl Rival for Evenly {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        any(self.arms, rng)
    }

    fn learn(&mut self, _: usize, _: f64) {}
}

pub(super) struct Abtest {
    record: Record,
    left: u64,
}

impl Abtest {
    pub(super) fn new(arms: usize, rounds: u64) -> Self {
        Self { record: Record::new(arms), left: rounds }
    }
}

impl Rival for Abtest {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        if self.left > 0 { any(self.record.0.len(), rng) } else { self.record.best() }
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        if self.left > 0 {
            self.left -= 1;
            self.record.add(arm, reward);
        }
    }
}

pub(super) struct EpsilonGreedy {
    record: Record,
    epsilon: f64,
}

impl EpsilonGreedy {
    pub(super) fn new(arms: usize, epsilon: f64) -> Self {
        Self { record: Record::new(arms), epsilon }
    }
}

impl Rival for EpsilonGreedy {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        if uniform(rng) < self.epsilon { any(self.record.0.len(), rng) } else { self.record.best() }
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        self.record.add(arm, reward);
    }
}

/// Auer, Cesa-Bianchi & Fischer 2002.
pub(super) struct Ucb1 {
    record: Record,
    rounds: f64,
}

impl Ucb1 {
    pub(super) fn new(arms: usize) -> Self {
        Self { record: Record::new(arms), rounds: 0.0 }
    }
}

impl Rival for Ucb1 {
    fn choose(&mut self, _: &mut ChaCha8Rng) -> usize {
        let log = 2.0 * libm::log(self.rounds.max(1.0));
        highest(self.record.0.iter().map(|(trials, rewards)| match *trials {
            0.0 => f64::MAX,
            trials => rewards / trials + (log / trials).sqrt(),
        }))
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        self.rounds += 1.0;
        self.record.add(arm, reward);
    }
}

/// Beta Thompson sampling of each arm by itself, from an even prior.
pub(super) struct Thompson {
    record: Record,
}

impl Thompson {
    pub(super) fn new(arms: usize) -> Self {
        Self { record: Record::new(arms) }
    }
}

impl Rival for Thompson {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        highest(self.record.0.iter().map(|(trials, rewards)| {
            let good = gamma(1.0 + rewards, rng);
            good / (good + gamma(1.0 + trials - rewards, rng))
        }))
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        self.record.add(arm, reward);
    }
}

/// Linear Thompson sampling over main and pair effects.
pub(super) struct Factored {
    arms: Vec<Vec<usize>>,
    precision: Vec<f64>,
    target: Vec<f64>,
    lower: Vec<f64>,
    mean: Vec<f64>,
    fresh: u32,
}

/// Its prior: of every effect, in rewards; the variance of a reward; rounds between two looks.
const EFFECT_VARIANCE: f64 = 0.001;
const NOISE_VARIANCE: f64 = 0.05;
const LOOK_EVERY: u32 = 100;

impl Factored {
    pub(super) fn new(levels: &[Vec<u16>]) -> Self {
        let mut numbers: BTreeMap<(usize, usize, u16, u16), usize> = BTreeMap::new();
        let mut number = |key| {
            let next = numbers.len() + 1;
            *numbers.entry(key).or_insert(next)
        };
        let mut arms = Vec::with_capacity(levels.len());
        for levels in levels {
            let mut effects = vec![0];
            for (first, one) in levels.iter().enumerate() {
                effects.push(number((first, first, *one, 0)));
                for (second, other) in levels.iter().enumerate().skip(first + 1) {
                    effects.push(number((first, second, *one, *other)));
                }
            }
            effects.sort_unstable();
            arms.push(effects);
        }
        let side = numbers.len() + 1;
        let mut precision = vec![0.0; packed_len(side)];
        for place in 0..side {
            precision[row_at(place) + place] = 1.0 / EFFECT_VARIANCE;
        }
        let mut factored =
            Self { arms, precision, target: vec![0.0; side], lower: Vec::new(), mean: Vec::new(), fresh: 0 };
        factored.look();
        factored
    }

    fn look(&mut self) {
        self.lower.clone_from(&self.precision);
        cholesky(&mut self.lower);
        self.mean.clone_from(&self.target);
        solve_lower(&self.lower, &mut self.mean);
        solve_upper(&self.lower, &mut self.mean);
    }
}

impl Rival for Factored {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        let mut drawn: Vec<f64> = self.mean.iter().map(|_| standard_normal(rng)).collect();
        solve_upper(&self.lower, &mut drawn);
        drawn.iter_mut().zip(&self.mean).for_each(|(drawn, mean)| *drawn += mean);
        highest(self.arms.iter().map(|effects| effects.iter().filter_map(|effect| drawn.get(*effect)).sum()))
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        for (number, &row) in self.arms[arm].iter().enumerate() {
            self.target[row] += reward / NOISE_VARIANCE;
            for &column in self.arms[arm].iter().take(number + 1) {
                self.precision[row_at(row) + column] += 1.0 / NOISE_VARIANCE;
            }
        }
        self.fresh += 1;
        if self.fresh >= LOOK_EVERY {
            self.fresh = 0;
            self.look();
        }
    }
}
