//! What is said about situations, beside the situations themselves.

use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::vocabulary::ProfileId;

/// When something is a situation, from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SituationsSet {
    /// The settings, whole.
    pub settings: Settings,
    /// Who set them: a key's name.
    pub by: Box<str>,
}

impl Topic for SituationsSet {
    const NAME: &'static str = "situation.settings.set";
    const PERSONAL: bool = false;
}

/// So many views within so long tell best who is about to buy, as far as has been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntentLearned {
    /// Its place among [`CANDIDATES`](super::CANDIDATES).
    pub candidate: u8,
    /// What was found, in words.
    pub because: Box<str>,
}

impl Topic for IntentLearned {
    const NAME: &'static str = "situation.intent.learned";
    const PERSONAL: bool = false;
}

/// What became of somebody who looked at a product again: it tells nothing of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentObserved {
    /// Which candidates they met before it was over, the lowest bit for the first.
    #[serde(rename = "m")]
    pub met: u16,
    /// Whether they ordered within the horizon.
    #[serde(rename = "o")]
    pub ordered: bool,
}

impl Topic for IntentObserved {
    const NAME: &'static str = "situation.intent.observed";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(().partition())
    }
}

/// The instant at which time alone may begin or end a situation of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SituationDue {
    #[serde(rename = "p")]
    pub(super) profile: ProfileId,
}

impl Topic for SituationDue {
    const NAME: &'static str = "situation.due";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}
