use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{Channel, Millis, ProfileId};

/// Where a person can be reached on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// On which channel.
    #[serde(rename = "c")]
    pub channel: Channel,
    /// An e-mail address as it was given, a phone number, a push token.
    #[serde(rename = "v")]
    pub value: Box<str>,
}

/// How a person stands to one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentState {
    /// `email`, `sms`, `push`; `topic:..`; `email:..` for one topic of a channel; `category:..`.
    #[serde(rename = "o")]
    pub of: Box<str>,
    /// Whether it was granted, and refused by none of the person's identifiers.
    #[serde(rename = "g")]
    pub granted: bool,
    /// Event time of what decides.
    #[serde(rename = "t")]
    pub at_ms: Millis,
}

/// What must be known of a person before anything may be sent to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Their user ids and anonymous ids, of which holdouts are drawn; ascending.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<ProfileId>,
    /// Where they can be reached; the newest of each channel first.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// What they have agreed to and refused, by what it is of.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<ConsentState>,
    /// Their time zone (IANA), where they have told one.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Box<str>>,
    /// Their language (BCP 47), where they have told one.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<Box<str>>,
}

/// How a person may be reached has changed; it is told whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactChanged {
    /// Whose.
    #[serde(rename = "p")]
    pub profile: ProfileId,
    /// As it is now.
    #[serde(rename = "c")]
    pub contact: Contact,
}

impl Topic for ContactChanged {
    const NAME: &'static str = "contact.changed";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}
