use impresario_runtime::Topic;
use serde::{Deserialize, Serialize};

use super::Channel;

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
