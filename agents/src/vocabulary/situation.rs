use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{Channel, Millis, ProfileId};

/// What a situation is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SituationOf {
    /// One person.
    Person(ProfileId),
    /// One channel.
    Channel(Channel),
}

/// A significant change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SituationDetected {
    /// Its id: a hash of what it is about, its kind and when it began.
    pub id: Box<str>,
    /// `purchase_intent`, `cart_left`, `bounce_surge`, `complaint_surge`.
    pub kind: Box<str>,
    /// What it is about.
    pub of: SituationOf,
    /// When it began, event time.
    pub since_ms: Millis,
    /// What it is about in detail, e.g. `{"product_id": "SHOE-42"}`; for templates.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// What was found, in words, e.g. `3 views within 24 h, no order`.
    pub because: Box<str>,
}

impl Topic for SituationDetected {
    const NAME: &'static str = "situation.detected";

    fn partition(&self) -> Option<u16> {
        match &self.of {
            SituationOf::Person(profile) => Some(profile.partition()),
            SituationOf::Channel(_) => None,
        }
    }

    fn subject(&self) -> Option<SubjectId> {
        match &self.of {
            SituationOf::Person(profile) => Some((*profile).into()),
            SituationOf::Channel(_) => None,
        }
    }
}

/// It is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SituationResolved {
    /// Its id.
    pub id: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// What it was about.
    pub of: SituationOf,
    /// Why, in words: `ordered`, `time`.
    pub because: Box<str>,
}

impl Topic for SituationResolved {
    const NAME: &'static str = "situation.resolved";

    fn partition(&self) -> Option<u16> {
        match &self.of {
            SituationOf::Person(profile) => Some(profile.partition()),
            SituationOf::Channel(_) => None,
        }
    }

    fn subject(&self) -> Option<SubjectId> {
        match &self.of {
            SituationOf::Person(profile) => Some((*profile).into()),
            SituationOf::Channel(_) => None,
        }
    }
}
