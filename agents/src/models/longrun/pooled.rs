use std::collections::BTreeMap;

use super::{LongRunParams, Seen};
use crate::models::matrix::{cholesky, packed_len, row_at, solve_lower, solve_upper};

/// What one level says of a kind of change weighs against what all say as so many steps.
const LEVEL_WEIGHT: f64 = 4.0;
/// The additive fit of rewards is drawn towards nothing as by so many cells of evidence.
const RIDGE: f64 = 0.1;

/// How a state changes: by factor, by how much, or to what where it is a leap.
type Change = Vec<Move>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Move {
    Stays,
    Up,
    Down,
    To(u16),
}

fn change(from: &[u16], to: &[u16]) -> Change {
    let moves = from.iter().zip(to).map(|(from, to)| match i32::from(*to) - i32::from(*from) {
        0 => Move::Stays,
        1 => Move::Up,
        -1 => Move::Down,
        _ => Move::To(*to),
    });
    moves.collect()
}

/// What kinds of change each action has brought: over all states, and over those with each level of each factor.
pub(super) struct Pooled {
    numbers: BTreeMap<Vec<u16>, u32>,
    /// The highest level of each factor.
    highest: Vec<u16>,
    by_action: Vec<OfAction>,
    /// Of all actions together, for those never tried.
    any: OfAction,
}

#[derive(Default)]
struct OfAction {
    steps: f64,
    changes: BTreeMap<Change, Counts>,
    /// Steps by (factor, level).
    levels: BTreeMap<(usize, u16), f64>,
}

#[derive(Default)]
struct Counts {
    steps: f64,
    levels: BTreeMap<(usize, u16), f64>,
}

impl OfAction {
    fn add(&mut self, from: &[u16], change: &Change, times: f64) {
        self.steps += times;
        let counts = self.changes.entry(change.clone()).or_default();
        counts.steps += times;
        for (factor, level) in from.iter().enumerate() {
            *self.levels.entry((factor, *level)).or_default() += times;
            *counts.levels.entry((factor, *level)).or_default() += times;
        }
    }
}

impl Pooled {
    pub(super) fn of(params: &LongRunParams, seen: &[Vec<Seen>]) -> Self {
        let numbers = (0_u32..).zip(&params.states).map(|(number, levels)| (levels.clone(), number)).collect();
        let actions = seen.first().map_or(0, Vec::len);
        let mut by_action: Vec<OfAction> = (0..actions).map(|_| OfAction::default()).collect();
        let mut any = OfAction::default();
        for (from, seen) in params.states.iter().zip(seen) {
            for (of_action, seen) in by_action.iter_mut().zip(seen) {
                for (to, times) in &seen.next {
                    let Some(to) = params.states.get(*to as usize) else { continue };
                    let change = change(from, to);
                    of_action.add(from, &change, f64::from(*times));
                    any.add(from, &change, f64::from(*times));
                }
            }
        }
        let factors = params.states.first().map_or(0, Vec::len);
        let highest = (0..factors)
            .map(|factor| params.states.iter().filter_map(|levels| levels.get(factor)).max().copied().unwrap_or(0))
            .collect();
        Self { numbers, highest, by_action, any }
    }

    /// Where an action is expected to lead, ascending; the weights come to `weight`.
    pub(super) fn expected(&self, params: &LongRunParams, state: usize, action: usize, weight: f64) -> Vec<(u32, f64)> {
        let from = params.states.get(state).map(Vec::as_slice).unwrap_or_default();
        let tried = self.by_action.get(action).filter(|of_action| of_action.steps > 0.0);
        let pool = tried.unwrap_or(&self.any);
        let mut next: BTreeMap<u32, f64> = BTreeMap::new();
        for (change, counts) in &pool.changes {
            let Some(to) = self.apply(from, change) else { continue };
            let everywhere = counts.steps / pool.steps;
            let mut likely = everywhere;
            for (factor, level) in from.iter().enumerate() {
                let of_level = pool.levels.get(&(factor, *level)).copied().unwrap_or_default();
                let with_change = counts.levels.get(&(factor, *level)).copied().unwrap_or_default();
                likely *= (with_change + LEVEL_WEIGHT * everywhere) / (of_level + LEVEL_WEIGHT) / everywhere;
            }
            *next.entry(to).or_default() += likely;
        }
        let sum: f64 = next.values().sum();
        if sum > 0.0 {
            return next.into_iter().map(|(to, likely)| (to, weight * likely / sum)).collect();
        }
        // Nothing is known: it stays as it is.
        u32::try_from(state).map(|state| vec![(state, weight)]).unwrap_or_default()
    }

    /// The state a change leads to; at the ends of a factor there is nowhere to go.
    fn apply(&self, from: &[u16], change: &Change) -> Option<u32> {
        let moved = from.iter().zip(change).zip(&self.highest);
        let to: Vec<u16> = moved
            .map(|((level, change), highest)| match change {
                Move::Stays => *level,
                Move::Up => level.saturating_add(1).min(*highest),
                Move::Down => level.saturating_sub(1),
                Move::To(level) => *level,
            })
            .collect();
        self.numbers.get(&to).copied()
    }
}

/// What a step brings: for each action a sum over the levels of the state's factors, and what a state has by itself.
pub(super) struct RewardFit {
    /// Where each factor's levels begin among the coefficients.
    starts: Vec<usize>,
    by_action: Vec<Vec<f64>>,
    /// Variance of a state's own part, and of one reward.
    own: f64,
    noise: f64,
}

impl RewardFit {
    pub(super) fn of(params: &LongRunParams, seen: &[Vec<Seen>]) -> Self {
        let factors = params.states.first().map_or(0, Vec::len);
        let mut starts = Vec::with_capacity(factors);
        let mut side = 1;
        for factor in 0..factors {
            starts.push(side);
            let levels = params.states.iter().filter_map(|levels| levels.get(factor)).max();
            side += levels.map_or(0, |level| usize::from(*level)) + 1;
        }
        let actions = seen.first().map_or(0, Vec::len);
        let mut fit = Self { starts, by_action: vec![vec![0.0; side]; actions], own: 0.0, noise: 0.0 };
        for action in 0..actions {
            let mut precision = vec![0.0; packed_len(side)];
            let mut target = vec![0.0; side];
            for place in 0..side {
                precision[row_at(place) + place] = RIDGE;
            }
            for (levels, seen) in params.states.iter().zip(seen) {
                let Some(seen) = seen.get(action).filter(|seen| seen.steps > 0) else { continue };
                let rows = fit.rows(levels);
                for (number, &row) in rows.iter().enumerate() {
                    target[row] += seen.rewards / f64::from(seen.steps);
                    for &column in rows.iter().take(number + 1) {
                        precision[row_at(row) + column] += 1.0;
                    }
                }
            }
            cholesky(&mut precision);
            solve_lower(&precision, &mut target);
            solve_upper(&precision, &mut target);
            fit.by_action[action] = target;
        }
        let (mut within, mut steps, mut between, mut cells) = (0.0, 0.0, 0.0, 0.0);
        for (levels, seen) in params.states.iter().zip(seen) {
            for (action, seen) in seen.iter().enumerate().filter(|(_, seen)| seen.steps > 0) {
                let mean = seen.rewards / f64::from(seen.steps);
                within += (seen.squares - seen.rewards * mean).max(0.0);
                steps += f64::from(seen.steps - 1);
                let off = mean - fit.shared(levels, action);
                between += off * off;
                cells += 1.0;
            }
        }
        fit.noise = if steps > 0.0 { within / steps } else { 0.0 };
        fit.own = if cells > 0.0 { between / cells } else { 1.0 };
        fit
    }

    fn rows(&self, levels: &[u16]) -> Vec<usize> {
        std::iter::once(0)
            .chain(self.starts.iter().zip(levels).map(|(start, level)| start + usize::from(*level)))
            .collect()
    }

    fn shared(&self, levels: &[u16], action: usize) -> f64 {
        let Some(fit) = self.by_action.get(action) else { return 0.0 };
        self.rows(levels).iter().filter_map(|row| fit.get(*row)).sum()
    }

    /// The mean of the expected reward, and its standard deviation.
    pub(super) fn expected(&self, params: &LongRunParams, state: usize, action: usize, seen: &Seen) -> (f64, f64) {
        let shared = params.states.get(state).map_or(0.0, |levels| self.shared(levels, action));
        let steps = f64::from(seen.steps);
        // With the noise of one reward above zero, so that a state never tried has the full width.
        let noise = self.noise.max(1e-9);
        let own = self.own.max(1e-9);
        let precision = 1.0 / own + steps / noise;
        ((shared / own + seen.rewards / noise) / precision, precision.recip().sqrt())
    }
}
