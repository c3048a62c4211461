//! A table of arms with the true chance of success of each, from some round on.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::rivals::{Abtest, EpsilonGreedy, Evenly, Factored, Rival, Thompson, Ucb1};
use crate::models::{
    normal::uniform,
    policy::{Factor, Policy, PolicyError, PolicyParams, RewardKind},
};

/// A table of arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What an arm is made of.
    pub factors: Vec<Factor>,
    /// Each arm's level of each factor.
    pub arms: Vec<Vec<u16>>,
    /// From which round on each set of chances holds; ascending, the first 0.
    pub from: Vec<u64>,
    /// The chances, by set, by arm.
    pub chances: Vec<Vec<f64>>,
}

/// Who may play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Player {
    /// The project's policy.
    Policy,
    /// Any arm.
    Uniform,
    /// Any arm for the first fifth of the rounds, then the best of them for ever.
    AbThenCommit,
    /// The best so far, and any arm one time in ten.
    EpsilonGreedy,
    /// Upper confidence bounds.
    Ucb1,
    /// Each arm by itself.
    BetaThompson,
    /// Main and pair effects with fixed widths; a change goes unseen.
    FactoredThompson,
}

impl Player {
    /// All, the project's first.
    pub const ALL: [Self; 7] = [
        Self::Policy,
        Self::Uniform,
        Self::AbThenCommit,
        Self::EpsilonGreedy,
        Self::Ucb1,
        Self::BetaThompson,
        Self::FactoredThompson,
    ];

    /// Its name, in lowercase with underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Uniform => "uniform",
            Self::AbThenCommit => "ab_then_commit",
            Self::EpsilonGreedy => "epsilon_greedy",
            Self::Ucb1 => "ucb1",
            Self::BetaThompson => "beta_thompson",
            Self::FactoredThompson => "factored_thompson",
        }
    }
}

/// Plays so many rounds; the regret (what the best arm of each round would have had more, as expected) after each
/// of the rounds in `marks`, ascending. `floor` is the policy's exploration floor.
///
/// # Errors
/// A table with more arms than a policy has.
pub fn play(
    table: &Table,
    player: Player,
    rounds: u64,
    marks: &[u64],
    floor: f64,
    seed: u64,
) -> Result<Vec<f64>, PolicyError> {
    let params = PolicyParams {
        factors: table.factors.clone(),
        arms: table.arms.clone(),
        features: 0,
        reward: RewardKind::Chance,
    };
    let arms = table.arms.len();
    let mut rival: Box<dyn Rival> = match player {
        Player::Policy => Box::new(OfPolicy::new(params, floor)?),
        Player::Uniform => Box::new(Evenly { arms }),
        Player::AbThenCommit => Box::new(Abtest::new(arms, rounds / 5)),
        Player::EpsilonGreedy => Box::new(EpsilonGreedy::new(arms, 0.1)),
        Player::Ucb1 => Box::new(Ucb1::new(arms)),
        Player::BetaThompson => Box::new(Thompson::new(arms)),
        Player::FactoredThompson => Box::new(Factored::new(&table.arms)),
    };
    let (mut rng, mut world) = (ChaCha8Rng::seed_from_u64(seed), ChaCha8Rng::seed_from_u64(!seed));
    let mut regret = 0.0;
    let mut at_marks = Vec::with_capacity(marks.len());
    for round in 0..rounds {
        let set = table.from.iter().rposition(|from| *from <= round).unwrap_or_default();
        let Some(chances) = table.chances.get(set) else { break };
        let arm = rival.choose(&mut rng);
        let chance = chances.get(arm).copied().unwrap_or_default();
        regret += chances.iter().copied().fold(0.0, f64::max) - chance;
        rival.learn(arm, if uniform(&mut world) < chance { 1.0 } else { 0.0 });
        if marks.contains(&(round + 1)) {
            at_marks.push(regret);
        }
    }
    Ok(at_marks)
}

/// The project's policy among all arms but nothing.
struct OfPolicy {
    policy: Policy,
    eligible: Vec<u16>,
    floor: f64,
}

impl OfPolicy {
    fn new(params: PolicyParams, floor: f64) -> Result<Self, PolicyError> {
        let policy = Policy::new(params)?;
        let arms = u16::try_from(policy.params().arms.len()).unwrap_or(u16::MAX);
        Ok(Self { policy, eligible: (1..=arms).collect(), floor })
    }
}

impl Rival for OfPolicy {
    fn choose(&mut self, rng: &mut ChaCha8Rng) -> usize {
        let choice = self.policy.decide(&[], &self.eligible, self.floor, rng);
        choice.map_or(0, |choice| usize::from(choice.chosen) - 1)
    }

    fn learn(&mut self, arm: usize, reward: f64) {
        let arm = u16::try_from(arm + 1).unwrap_or(u16::MAX);
        // The arm is one the policy has chosen, and the reward is 0 or 1.
        let _ = self.policy.learn(&[], arm, reward as f32);
    }
}
