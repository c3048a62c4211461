//! What is said of journeys on the journal.

use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use crate::vocabulary::ProfileId;

/// A person is to begin a journey; its own rules of re-entry decide whether they do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyAsked {
    /// Which journey.
    pub journey: Box<str>,
    /// Who.
    pub profile: ProfileId,
    /// The campaign whose decisions its `decide` steps are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// What it is about. A JSON object.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// What brought it about, in one word.
    pub because: Box<str>,
}

impl Topic for JourneyAsked {
    const NAME: &'static str = "journey.asked";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}
