//! The contextual bandit over factored arms: what to do for a person, or nothing, learning from what came of it.
//!
//! How good an arm is for a person is a sum: of the shop's base, of being contacted at all, of each level of
//! each factor (template, offer, channel, hour), of each pair of levels, of the arm itself, and of the person's
//! features weighed by each level. All are uncertain, with normal beliefs whose widths are learned from the data
//! (empirical Bayes), so what does not matter is shrunk away, and arms share what they learn.
//!
//! [`MEMBERS`] draws from the belief are kept. Each votes for the arm it finds best for the person, and an arm's
//! likelihood is its share of votes beside the exploration floor (Thompson 1933; ensembles: Lu & Van Roy 2017).
//! So the likelihoods are known exactly before the draw is made, and the draw is made from them.

mod belief;
mod choice;
mod design;
mod params;
mod people;
mod watch;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use belief::MEMBERS;
pub use choice::Choice;
pub use params::{Factor, PolicyError, PolicyParams, RewardKind};

use belief::Belief;
use design::Design;
use rand_core::Rng;

/// Number of the arm that is nothing.
pub const NOTHING: u16 = 0;

/// What is believed of an arm for an average person.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// The expected reward.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
    /// How many rewards were seen.
    pub trials: u64,
}

/// A policy: what is known of the arms, and the choice by it.
#[derive(Clone, Debug)]
pub struct Policy {
    belief: Belief,
    /// Follows from the parameters.
    design: Design,
}

impl Policy {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// Parameters that are not as [`PolicyParams`] says.
    pub fn new(params: PolicyParams) -> Result<Self, PolicyError> {
        params.check()?;
        let design = Design::of(&params);
        let belief = Belief::new(params, &design);
        Ok(Self { belief, design })
    }

    /// Before anything is learned: expects a level of a factor to be worth more to people with more of a feature,
    /// by `mean` log-odds for each 1 of it, with this standard deviation. What is learned moves it from there.
    /// Where all arms have the same level there is nothing to tell them apart by.
    pub fn expect(&mut self, factor: usize, level: u16, feature: usize, mean: f64, sd: f64) {
        if let Some(block) = self.design.block_of(&self.belief.params, factor, level) {
            self.belief.start(block, feature, mean, sd);
        }
    }

    /// Its parameters.
    pub fn params(&self) -> &PolicyParams {
        &self.belief.params
    }

    /// Chooses among `eligible` (numbers of arms, [`NOTHING`] among them where that is allowed) for a person with
    /// these features; each is chosen with a likelihood of at least `floor`, or evenly where that is too much.
    ///
    /// # Errors
    /// No arm or an unknown one; another number of features than the parameters say, or one that is no number.
    pub fn decide<R: Rng + ?Sized>(
        &self,
        features: &[f32],
        eligible: &[u16],
        floor: f64,
        rng: &mut R,
    ) -> Result<Choice, PolicyError> {
        self.check_features(features)?;
        let arms = self.known(eligible)?;
        let votes = choice::vote(&self.belief, &self.design, features, &arms);
        Ok(choice::draw(&arms, &votes.shares, votes.best, floor, rng))
    }

    /// Chooses evenly among `eligible`, for those for whom chance decides.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn evenly<R: Rng + ?Sized>(
        &self,
        features: &[f32],
        eligible: &[u16],
        rng: &mut R,
    ) -> Result<Choice, PolicyError> {
        self.decide(features, eligible, 1.0, rng)
    }

    /// Learns what an arm came to for a person. It makes no difference who chose it, or how likely that was: the
    /// policy, chance, or the holdout (whose arm is [`NOTHING`]).
    ///
    /// # Errors
    /// As [`Self::decide`]; a reward that is no number.
    pub fn learn(&mut self, features: &[f32], arm: u16, reward: f32) -> Result<(), PolicyError> {
        self.check_features(features)?;
        self.known(&[arm])?;
        if !reward.is_finite() {
            return Err(PolicyError::Reward);
        }
        self.belief.learn(&self.design, features, arm, f64::from(reward));
        Ok(())
    }

    /// What is believed of an arm, for the average person it was chosen for.
    pub fn posterior(&self, arm: u16) -> Option<Posterior> {
        self.belief.posterior(&self.design, arm)
    }

    /// How likely each of `eligible` would be chosen for this person, without a choice.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub fn likelihoods(&self, features: &[f32], eligible: &[u16], floor: f64) -> Result<Vec<(u16, f32)>, PolicyError> {
        self.check_features(features)?;
        let arms = self.known(eligible)?;
        let votes = choice::vote(&self.belief, &self.design, features, &arms);
        Ok(choice::likelihoods(&arms, &votes.shares, floor))
    }

    /// How many rewards it has learned from.
    pub fn learned(&self) -> u64 {
        self.belief.learned
    }

    /// How often it has found that the world has changed, and begun to learn anew.
    pub fn changes(&self) -> u32 {
        self.belief.changes
    }

    /// The first 128 bits of the BLAKE3 hash of what it knows, hexadecimal: two policies with the same hash
    /// decide alike.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.belief.hash_into(&mut hasher);
        hasher.finalize().to_hex().chars().take(32).collect()
    }

    fn check_features(&self, features: &[f32]) -> Result<(), PolicyError> {
        let wanted = usize::from(self.belief.params.features);
        if features.len() != wanted {
            return Err(PolicyError::Features { found: features.len(), wanted });
        }
        if features.iter().all(|feature| feature.is_finite()) { Ok(()) } else { Err(PolicyError::Feature) }
    }

    /// The arms in ascending order, each once.
    fn known(&self, eligible: &[u16]) -> Result<Vec<u16>, PolicyError> {
        let mut arms = eligible.to_vec();
        arms.sort_unstable();
        arms.dedup();
        let last = *arms.last().ok_or(PolicyError::NoArm)?;
        if usize::from(last) < self.design.arms.len() { Ok(arms) } else { Err(PolicyError::Arm(last)) }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.belief.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let belief = Belief::deserialize(deserializer)?;
        belief.params.check().map_err(D::Error::custom)?;
        let design = Design::of(&belief.params);
        if belief.fits(&design) { Ok(Self { belief, design }) } else { Err(D::Error::custom(PolicyError::State)) }
    }
}
