use serde::{Deserialize, Serialize};

use crate::vocabulary::Arm;

/// What a policy can have.
const ARMS_MAX: usize = 4_096;
const FACTORS_MAX: usize = 8;
const LEVELS_MAX: usize = 128;
const FEATURES_MAX: u16 = 48;

/// What an arm is made of, e.g. the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// Its name.
    pub name: Box<str>,
    /// What it can be.
    pub levels: Vec<Box<str>>,
}

/// What a reward is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// From 0 to 1: a conversion, a click, or a share of both. What lies outside is taken as the nearest end.
    Chance,
    /// Any amount, e.g. of money, also below zero.
    Amount {
        /// What a reward is usually in size; a rough guess will do, since the spread is learned. Above zero.
        scale: f64,
    },
}

/// What a policy chooses among.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyParams {
    /// What an arm is made of: at most 8 factors with 128 levels together.
    pub factors: Vec<Factor>,
    /// Each arm's level of each factor; the first arm is number 1, since number 0 is nothing. At most 4,096.
    pub arms: Vec<Vec<u16>>,
    /// How many features a person has, each about -1 to 1. At most 48.
    pub features: u16,
    /// What is rewarded.
    pub reward: RewardKind,
}

/// What is wrong with a policy's parameters, or with what it is asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Too many or none.
    #[error(
        "a policy has 1 to {ARMS_MAX} arms of at most {FACTORS_MAX} factors, {LEVELS_MAX} levels and {FEATURES_MAX} features"
    )]
    Size,
    /// A level that its factor does not have.
    #[error("arm {0} is not one level of each factor")]
    Level(usize),
    /// The scale of a reward.
    #[error("a reward's scale is a number above zero")]
    Scale,
    /// Nothing to choose among.
    #[error("there is no arm to choose")]
    NoArm,
    /// An arm that is not there.
    #[error("there is no arm {0}")]
    Arm(u16),
    /// Another number of features.
    #[error("a person has {wanted} features here, not {found}")]
    Features {
        /// How many there were.
        found: usize,
        /// How many there must be.
        wanted: usize,
    },
    /// A feature that is no number.
    #[error("a feature is not a number")]
    Feature,
    /// A reward that is no number.
    #[error("a reward is not a number")]
    Reward,
    /// A state that does not fit its own parameters.
    #[error("a policy's state does not fit its parameters")]
    State,
}

impl PolicyParams {
    /// Those of a plan's arms: the first of them is number 1.
    pub fn of_arms(arms: &[Arm], features: u16, reward: RewardKind) -> Self {
        let names = ["template", "offer", "channel", "hour"];
        let mut factors: Vec<Factor> =
            names.into_iter().map(|name| Factor { name: name.into(), levels: Vec::new() }).collect();
        let numbered = arms.iter().map(|arm| {
            let levels: [Box<str>; 4] = [
                arm.template.clone(),
                arm.offer.clone().unwrap_or_default(),
                format!("{:?}", arm.channel).to_lowercase().into(),
                arm.hour.map(|hour| hour.to_string()).unwrap_or_default().into(),
            ];
            factors.iter_mut().zip(levels).map(|(factor, level)| factor.number(level)).collect()
        });
        let arms = numbered.collect();
        Self { factors, arms, features, reward }
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let levels: usize = self.factors.iter().map(|factor| factor.levels.len()).sum();
        let fits = (1..=ARMS_MAX).contains(&self.arms.len())
            && self.factors.len() <= FACTORS_MAX
            && levels <= LEVELS_MAX
            && self.features <= FEATURES_MAX;
        if !fits {
            return Err(PolicyError::Size);
        }
        for (place, arm) in self.arms.iter().enumerate() {
            let mut each = arm.iter().zip(&self.factors);
            let all = each.all(|(level, factor)| usize::from(*level) < factor.levels.len());
            if !all || arm.len() != self.factors.len() {
                return Err(PolicyError::Level(place + 1));
            }
        }
        match self.reward {
            RewardKind::Amount { scale } if !(scale.is_finite() && scale > 0.0) => Err(PolicyError::Scale),
            _ => Ok(()),
        }
    }
}

impl Factor {
    /// The level's number; the next one where it is new.
    fn number(&mut self, level: Box<str>) -> u16 {
        let place = self.levels.iter().position(|known| *known == level).unwrap_or_else(|| {
            self.levels.push(level);
            self.levels.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}
