use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{Channel, ProfileId};

/// What sending is stopped of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopScope {
    /// Everything: the kill switch.
    Everything,
    /// One channel.
    Channel(Channel),
    /// One campaign.
    Campaign(Box<str>),
}

/// Sending stops, at once, until it is resumed. Transactional messages stop with [`StopScope::Everything`] and
/// their channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendingStopped {
    /// Of what.
    pub scope: StopScope,
    /// Who stopped it: a key's name or an agent's.
    pub by: Box<str>,
    /// Why.
    pub why: Box<str>,
}

impl Topic for SendingStopped {
    const NAME: &'static str = "sending.stopped";
}

/// Sending goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendingResumed {
    /// Of what.
    pub scope: StopScope,
    /// Who resumed it.
    pub by: Box<str>,
}

impl Topic for SendingResumed {
    const NAME: &'static str = "sending.resumed";
}

/// Nothing that persuades is to be sent to a person until [`MarketingFreed`]: they have an open ticket. Said
/// again with another reason, the later one stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketingHeld {
    /// Whom.
    pub profile: ProfileId,
    /// Why, in words, without personal data, e.g. `2 open tickets`.
    pub why: Box<str>,
}

impl Topic for MarketingHeld {
    const NAME: &'static str = "marketing.held";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// What held marketing back is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketingFreed {
    /// Whom.
    pub profile: ProfileId,
}

impl Topic for MarketingFreed {
    const NAME: &'static str = "marketing.freed";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}
