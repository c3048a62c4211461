use serde::{Deserialize, Serialize};

use super::{
    PolicyParams, Posterior, RewardKind,
    design::{Design, Kind, Parts},
    people::People,
    watch::Watch,
};
use crate::models::{
    matrix::{cholesky, packed_len, row_at, solve_lower, solve_upper},
    normal::Normals,
};

/// How many draws of the belief vote.
pub const MEMBERS: usize = 32;

/// New draws at the latest after so many rewards.
const REFRESH_EVERY_MAX: u64 = 100;
/// Where the base of chances is thought to lie before anything is seen, in log-odds: about one in twenty.
const BASE_MEAN: f64 = -3.0;
/// Variances of the base, of being contacted, of levels, of pairs and of an arm by itself before anything is
/// seen, in log-odds.
const BASE_VARIANCE: f64 = 4.0;
const CONTACT_VARIANCE: f64 = 0.5;
const MAIN_VARIANCE: f64 = 0.1;
const PAIR_VARIANCE: f64 = 0.03;
const OWN_VARIANCE: f64 = 0.01;
/// How many coefficients' worth the widths above weigh beside the data.
const WIDTH_WEIGHT: f64 = 2.0;
/// How much of the belief's width the draws have: a little less explores less and costs less
/// (Chapelle & Li 2011).
const DRAW_WIDTH: f64 = 0.85;
/// A standard deviation of 1 in log-odds is this many of a reward's standard deviations where chances are small.
const AMOUNT_UNIT: f64 = 0.22;

/// What is left of the evidence, and so of certainty, where something has changed.
const KEPT_AFTER_CHANGE: f64 = 0.02;
/// Steps of Newton's method then.
const STEPS_AFTER_CHANGE: usize = 4;

/// What is known: sums by arm, the belief that follows from them, and draws of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Belief {
    pub(super) params: PolicyParams,
    /// Rewards learned from.
    pub(super) learned: u64,
    /// Of them, since the draws were made.
    fresh: u64,
    sums: Vec<Sums>,
    /// Of all rewards, and of their squares.
    rewards: (f64, f64),
    pub(super) people: People,
    /// Means of the coefficients.
    means: Vec<f64>,
    /// What each arm has by itself beside its coefficients.
    own: Vec<f64>,
    /// Variances of the groups.
    variances: Vec<f64>,
    own_variance: f64,
    /// Looks out for changes.
    watch: Watch,
    /// How many there were.
    pub(super) changes: u32,
    /// Draws of each arm's sum for somebody whose features are all 0, arm by arm, [`MEMBERS`] each.
    pub(super) draws: Vec<f32>,
    /// Standard normal draws by block of features, [`MEMBERS`] each.
    pub(super) block_draws: Vec<f32>,
}

/// What has come of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    trials: f64,
    rewards: f64,
    /// Of the features of the people it was chosen for.
    features: Vec<f64>,
}

impl Belief {
    pub(super) fn new(params: PolicyParams, design: &Design) -> Self {
        let arms = design.arms.len();
        let (unit, base) = match params.reward {
            RewardKind::Chance => (1.0, BASE_MEAN),
            RewardKind::Amount { scale } => (AMOUNT_UNIT * scale, 0.0),
        };
        let mut means = vec![0.0; design.groups.len()];
        if let Some(mean) = means.first_mut() {
            *mean = base;
        }
        let sums = Sums { features: vec![0.0; usize::from(params.features)], ..Sums::default() };
        let mut belief = Self {
            learned: 0,
            fresh: 0,
            sums: vec![sums; arms],
            rewards: (0.0, 0.0),
            people: People::new(params.features, design.blocks, unit),
            means,
            own: vec![0.0; arms],
            variances: first_variances(design),
            own_variance: OWN_VARIANCE,
            watch: Watch::new(design.blocks),
            changes: 0,
            draws: Vec::new(),
            block_draws: Vec::new(),
            params,
        };
        belief.refresh(design);
        belief
    }

    /// Expects this of the weight of one feature in one block, in log-odds.
    pub(super) fn start(&mut self, block: usize, feature: usize, mean: f64, sd: f64) {
        let unit = match self.params.reward {
            RewardKind::Chance => 1.0,
            RewardKind::Amount { scale } => AMOUNT_UNIT * scale,
        };
        self.people.start(block, feature, mean * unit, sd * unit);
    }

    /// Whether its parts have the sizes its parameters ask for.
    pub(super) fn fits(&self, design: &Design) -> bool {
        let arms = design.arms.len();
        let features = usize::from(self.params.features);
        self.sums.len() == arms
            && self.sums.iter().all(|sums| sums.features.len() == features)
            && self.means.len() == design.groups.len()
            && self.own.len() == arms
            && self.watch.blocks() == design.blocks
            && self.variances.len() == design.groups_len
            && self.draws.len() == arms * MEMBERS
            && self.block_draws.len() == design.blocks * MEMBERS
            && (features == 0 || self.people.blocks() == design.blocks)
            && self.people.fits(self.params.features, design.blocks)
    }

    pub(super) fn learn(&mut self, design: &Design, features: &[f32], arm: u16, reward: f64) {
        let place = usize::from(arm);
        let Some(parts) = design.arms.get(place) else { return };
        let reward = match self.params.reward {
            RewardKind::Chance => reward.clamp(0.0, 1.0),
            RewardKind::Amount { .. } => reward,
        };
        let features: Vec<f64> = features.iter().map(|feature| f64::from(*feature)).collect();
        let sum = self.mean_of(design, place) + self.people.offset(parts, &features);
        let (expected, weight) = self.expected(sum);
        let others = 1.0 / weight + self.draws_variance(place);
        self.people.learn(parts, &features, (reward - expected) / self.slope(weight), others);
        if let Some(sums) = self.sums.get_mut(place) {
            sums.trials += 1.0;
            sums.rewards += reward;
            for (sum, feature) in sums.features.iter_mut().zip(&features) {
                *sum += feature;
            }
        }
        self.rewards.0 += reward;
        self.rewards.1 += reward * reward;
        self.learned += 1;
        self.fresh += 1;
        // Amounts have no chance to compare with: a change of those is learned as evidence outweighs evidence.
        if matches!(self.params.reward, RewardKind::Chance) && self.watch.alarms(parts, expected, reward) {
            self.forget_most(design);
        }
        if self.fresh >= REFRESH_EVERY_MAX.min(8 + self.learned / 50) {
            self.fresh = 0;
            self.refresh(design);
        }
    }

    /// Something has changed, and it can't be told what: all evidence counts little from now on.
    fn forget_most(&mut self, design: &Design) {
        for sums in &mut self.sums {
            sums.trials *= KEPT_AFTER_CHANGE;
            sums.rewards *= KEPT_AFTER_CHANGE;
            sums.features.iter_mut().for_each(|sum| *sum *= KEPT_AFTER_CHANGE);
        }
        self.changes += 1;
        self.fresh = 0;
        for _ in 0..STEPS_AFTER_CHANGE {
            self.refresh(design);
        }
    }

    pub(super) fn posterior(&self, design: &Design, arm: u16) -> Option<Posterior> {
        let place = usize::from(arm);
        let sums = self.sums.get(place)?;
        let sum = self.mean_of(design, place) + self.average_offset(design.arms.get(place)?, sums);
        let (mean, weight) = self.expected(sum);
        let sd = self.draws_variance(place).sqrt() / DRAW_WIDTH * self.slope(weight);
        Some(Posterior { mean, sd, trials: sums.trials as u64 })
    }

    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.learned.to_le_bytes()).update(&self.fresh.to_le_bytes());
        for sums in &self.sums {
            hasher.update(&sums.trials.to_le_bytes()).update(&sums.rewards.to_le_bytes());
        }
        self.people.hash_into(hasher);
        for number in self.draws.iter().chain(&self.block_draws) {
            hasher.update(&number.to_le_bytes());
        }
    }

    /// An arm's sum for somebody whose features are all 0, as expected.
    pub(super) fn mean_of(&self, design: &Design, place: usize) -> f64 {
        design.arms.get(place).map_or(0.0, |parts| self.coefficients_sum(parts, &self.means))
            + self.own.get(place).copied().unwrap_or_default()
    }

    fn coefficients_sum(&self, parts: &Parts, values: &[f64]) -> f64 {
        parts.coefficients.iter().filter_map(|coefficient| values.get(*coefficient)).sum()
    }

    fn average_offset(&self, parts: &Parts, sums: &Sums) -> f64 {
        if sums.trials > 0.0 { self.people.offset(parts, &sums.features) / sums.trials } else { 0.0 }
    }

    /// The reward a sum stands for, and what one trial of it weighs: the inverse of a reward's variance, in the
    /// sum's unit.
    fn expected(&self, sum: f64) -> (f64, f64) {
        match self.params.reward {
            RewardKind::Chance => {
                let chance = 1.0 / (1.0 + libm::exp(-sum));
                (chance, (chance * (1.0 - chance)).max(1e-6))
            }
            RewardKind::Amount { .. } => (sum, 1.0 / self.noise()),
        }
    }

    /// By how much a reward grows with its sum, where a trial has this weight.
    fn slope(&self, weight: f64) -> f64 {
        match self.params.reward {
            RewardKind::Chance => weight,
            RewardKind::Amount { .. } => 1.0,
        }
    }

    /// The variance of an amount.
    fn noise(&self) -> f64 {
        let RewardKind::Amount { scale } = self.params.reward else { return 1.0 };
        let trials = self.learned as f64;
        let spread = if trials > 0.0 { self.rewards.1 - self.rewards.0 * self.rewards.0 / trials } else { 0.0 };
        (scale * scale + spread.max(0.0)) / (trials + 1.0)
    }

    /// The variance of an arm's draws.
    fn draws_variance(&self, place: usize) -> f64 {
        let draws = self.draws.get(place * MEMBERS..(place + 1) * MEMBERS).unwrap_or_default();
        let mean = draws.iter().map(|draw| f64::from(*draw)).sum::<f64>() / MEMBERS as f64;
        draws.iter().map(|draw| (f64::from(*draw) - mean) * (f64::from(*draw) - mean)).sum::<f64>() / MEMBERS as f64
    }

    /// Works the belief out anew from the sums (one step of Newton's method from where it stood; Laplace's
    /// approximation), and draws from it.
    fn refresh(&mut self, design: &Design) {
        let side = design.groups.len();
        let unit = match self.params.reward {
            RewardKind::Chance => 1.0,
            RewardKind::Amount { .. } => AMOUNT_UNIT * AMOUNT_UNIT * self.noise(),
        };
        let own_variance = self.own_variance * unit;
        let mut precision = vec![0.0; packed_len(side)];
        let mut target = vec![0.0; side];
        for (place, group) in design.groups.iter().enumerate() {
            precision[row_at(place) + place] =
                1.0 / (self.variances.get(group.number).copied().unwrap_or(1.0) * unit).max(1e-12);
        }
        if matches!(self.params.reward, RewardKind::Chance) {
            target[0] = BASE_MEAN * precision[0];
        }
        // What each arm's own trials say of its sum, and how much that weighs.
        let mut said = Vec::with_capacity(design.arms.len());
        for (place, (parts, sums)) in design.arms.iter().zip(&self.sums).enumerate() {
            if sums.trials == 0.0 {
                said.push((0.0, 0.0));
                continue;
            }
            let sum = self.mean_of(design, place);
            let (expected, weight) = self.expected(sum + self.average_offset(parts, sums));
            let seen = sum + (sums.rewards / sums.trials - expected) / self.slope(weight);
            let weight = weight * sums.trials;
            said.push((seen, weight));
            let shared = weight / (1.0 + weight * own_variance);
            for (number, &row) in parts.coefficients.iter().enumerate() {
                target[row] += shared * seen;
                for &column in parts.coefficients.iter().take(number + 1) {
                    precision[row_at(row) + column] += shared;
                }
            }
        }
        cholesky(&mut precision);
        solve_lower(&precision, &mut target);
        solve_upper(&precision, &mut target);
        self.means = target;
        let own_precision = 1.0 / own_variance.max(1e-12);
        for ((own, parts), (seen, weight)) in self.own.iter_mut().zip(&design.arms).zip(&said) {
            let shared: f64 = parts.coefficients.iter().filter_map(|coefficient| self.means.get(*coefficient)).sum();
            *own = (seen - shared) * weight / (weight + own_precision);
        }
        self.draw(design, &precision, &said, own_precision, unit);
    }

    fn draw(&mut self, design: &Design, lower: &[f64], said: &[(f64, f64)], own_precision: f64, unit: f64) {
        let mut normals = Normals::seeded(self.learned);
        let mut draws = vec![0.0_f32; design.arms.len() * MEMBERS];
        let mut squares = vec![0.0; design.groups_len];
        let mut own_squares = 0.0;
        let mut drawn = vec![0.0; design.groups.len()];
        for member in 0..MEMBERS {
            drawn.iter_mut().for_each(|value| *value = normals.draw());
            solve_upper(lower, &mut drawn);
            for ((group, value), mean) in design.groups.iter().zip(&drawn).zip(&self.means) {
                squares[group.number] += (mean + value) * (mean + value);
            }
            for (place, (parts, (_, weight))) in design.arms.iter().zip(said).enumerate() {
                let shared = self.coefficients_sum(parts, &drawn);
                let precision = weight + own_precision;
                let own = normals.draw() / precision.sqrt() - shared * weight / precision;
                let own_value = self.own.get(place).copied().unwrap_or_default() + own;
                own_squares += own_value * own_value;
                let sum = self.mean_of(design, place) + DRAW_WIDTH * (shared + own);
                draws[place * MEMBERS + member] = sum as f32;
            }
        }
        self.draws = draws;
        self.block_draws = (0..design.blocks * MEMBERS).map(|_| normals.draw() as f32).collect();
        self.widen(design, &squares, own_squares, unit);
    }

    /// The widths that fit what is believed now (one step of expectation-maximisation).
    fn widen(&mut self, design: &Design, squares: &[f64], own_squares: f64, unit: f64) {
        let members = MEMBERS as f64;
        for (place, first) in first_variances(design).into_iter().enumerate() {
            let of_group = || design.groups.iter().filter(|group| group.number == place);
            if of_group().all(|group| matches!(group.kind, Kind::Base | Kind::Contact)) {
                continue;
            }
            let count = of_group().count() as f64;
            self.variances[place] = (squares[place] / members / unit + WIDTH_WEIGHT * first) / (count + WIDTH_WEIGHT);
        }
        let arms = design.arms.len() as f64;
        self.own_variance = (own_squares / members / unit + WIDTH_WEIGHT * OWN_VARIANCE) / (arms + WIDTH_WEIGHT);
    }
}

fn first_variances(design: &Design) -> Vec<f64> {
    let mut variances = vec![0.0; design.groups_len];
    for group in &design.groups {
        variances[group.number] = match group.kind {
            Kind::Base => BASE_VARIANCE,
            Kind::Contact => CONTACT_VARIANCE,
            Kind::Main => MAIN_VARIANCE,
            Kind::Pair => PAIR_VARIANCE,
        };
    }
    variances
}
