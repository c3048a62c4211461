use serde::{Deserialize, Serialize};

use super::design::Parts;
use crate::models::matrix::{multiply, packed_len, row_at};

/// The widest belief of one feature's weight: of everybody, of being contacted, of a level.
const EVERYBODY_SD: f64 = 0.3;
const CONTACT_SD: f64 = 0.15;
const LEVEL_SD: f64 = 0.1;

/// What person features are worth, by block: a normal belief of the weights of each, apart from the others'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct People {
    features: usize,
    /// Block by block.
    means: Vec<f64>,
    /// Block by block, the lower triangles of their covariances.
    covariances: Vec<f64>,
}

impl People {
    /// Widths in `unit`s, that of the reward's scale.
    pub(super) fn new(features: u16, blocks: usize, unit: f64) -> Self {
        let features = usize::from(features);
        let size = packed_len(features);
        let mut covariances = vec![0.0; size * blocks];
        if size > 0 {
            for (block, covariance) in covariances.chunks_exact_mut(size).enumerate() {
                let sd = match block {
                    0 => EVERYBODY_SD,
                    1 => CONTACT_SD,
                    _ => LEVEL_SD,
                };
                for row in 0..features {
                    covariance[row_at(row) + row] = sd * sd * unit * unit;
                }
            }
        }
        Self { features, means: vec![0.0; features * blocks], covariances }
    }

    /// Before anything is learned: expects this of the weight of one feature in one block, this surely.
    pub(super) fn start(&mut self, block: usize, feature: usize, mean: f64, sd: f64) {
        if feature >= self.features {
            return;
        }
        if let Some(held) = self.means.get_mut(block * self.features + feature) {
            *held = mean;
        }
        let cell = block * packed_len(self.features) + row_at(feature) + feature;
        if let Some(held) = self.covariances.get_mut(cell) {
            *held = sd * sd;
        }
    }

    pub(super) fn blocks(&self) -> usize {
        self.means.len().checked_div(self.features).unwrap_or_default()
    }

    pub(super) fn fits(&self, features: u16, blocks: usize) -> bool {
        let features = usize::from(features);
        self.features == features
            && self.means.len() == features * blocks
            && self.covariances.len() == packed_len(features) * blocks
            && self.means.iter().chain(&self.covariances).all(|number| number.is_finite())
    }

    fn mean(&self, block: usize) -> &[f64] {
        self.means.get(block * self.features..(block + 1) * self.features).unwrap_or_default()
    }

    fn covariance(&self, block: usize) -> &[f64] {
        let size = packed_len(self.features);
        self.covariances.get(block * size..(block + 1) * size).unwrap_or_default()
    }

    /// A block's mean and variance for a person, with `room` for its work.
    pub(super) fn of_person(&self, block: usize, features: &[f64], room: &mut [f64]) -> (f64, f64) {
        multiply(self.covariance(block), features, room);
        let mean = features.iter().zip(self.mean(block)).map(|(x, mean)| x * mean).sum();
        let variance: f64 = features.iter().zip(room.iter()).map(|(x, product)| x * product).sum();
        (mean, variance.max(0.0))
    }

    /// What an arm's blocks come to for a person.
    pub(super) fn offset(&self, parts: &Parts, features: &[f64]) -> f64 {
        std::iter::once(&0)
            .chain(&parts.blocks)
            .map(|block| features.iter().zip(self.mean(*block)).map(|(x, mean)| x * mean).sum::<f64>())
            .sum()
    }

    /// Takes in that an arm came to `surprise` more than expected, where all that is not known of it beside the
    /// features has this variance (one step of a Kalman filter).
    pub(super) fn learn(&mut self, parts: &Parts, features: &[f64], surprise: f64, other_variance: f64) {
        let size = packed_len(self.features);
        if size == 0 {
            return;
        }
        let blocks: Vec<usize> = std::iter::once(0).chain(parts.blocks.iter().copied()).collect();
        let mut gains = vec![0.0; self.features * blocks.len()];
        let mut variance = other_variance;
        for (gain, block) in gains.chunks_exact_mut(self.features).zip(&blocks) {
            variance += self.of_person(*block, features, gain).1;
        }
        for (gain, block) in gains.chunks_exact(self.features).zip(&blocks) {
            let means = self.means.iter_mut().skip(block * self.features);
            for (mean, gain) in means.zip(gain) {
                *mean += gain * surprise / variance;
            }
            let mut cells = self.covariances.iter_mut().skip(block * size);
            for (row, left) in gain.iter().enumerate() {
                for (right, cell) in gain.iter().take(row + 1).zip(cells.by_ref()) {
                    *cell -= left * right / variance;
                }
            }
        }
    }

    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        for number in self.means.iter().chain(&self.covariances) {
            hasher.update(&number.to_le_bytes());
        }
    }
}
