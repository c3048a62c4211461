use serde::{Deserialize, Serialize};

use super::design::Parts;

/// The change that is looked for: odds times this, or divided by it.
const ODDS_RATIO: f64 = 1.7;
/// How much evidence (log of the likelihood ratio) is a change: of a false alarm a level's trial has a chance of
/// about `exp(-14)`, one in a million.
const ALARM: f64 = 14.0;
/// Nothing is a change before so many rewards.
const TRIALS_MIN: u64 = 1_000;

/// Watches each level of each factor for a change of what it comes to: two cumulative sums of log-likelihood
/// ratios against what is expected, one for worse and one for better (Page 1954).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// By block: worse, better.
    sums: Vec<(f64, f64)>,
    trials: u64,
}

impl Watch {
    pub(super) fn new(blocks: usize) -> Self {
        Self { sums: vec![(0.0, 0.0); blocks], trials: 0 }
    }

    pub(super) fn blocks(&self) -> usize {
        self.sums.len()
    }

    /// Takes in a reward from 0 to 1 of an arm whose chance was expected to be `expected`; whether something has
    /// changed, after which it watches anew.
    pub(super) fn alarms(&mut self, parts: &Parts, expected: f64, reward: f64) -> bool {
        self.trials += 1;
        if self.trials < TRIALS_MIN {
            return false;
        }
        let evidence = |ratio: f64| {
            let odds = expected / (1.0 - expected) * ratio;
            let chance = odds / (1.0 + odds);
            reward * libm::log(chance / expected) + (1.0 - reward) * libm::log((1.0 - chance) / (1.0 - expected))
        };
        let (worse, better) = (evidence(1.0 / ODDS_RATIO), evidence(ODDS_RATIO));
        let mut alarm = false;
        for &block in &parts.blocks {
            let Some((down, up)) = self.sums.get_mut(block) else { continue };
            *down = (*down + worse).max(0.0);
            *up = (*up + better).max(0.0);
            alarm |= *down > ALARM || *up > ALARM;
        }
        if alarm {
            *self = Self::new(self.sums.len());
        }
        alarm
    }
}
