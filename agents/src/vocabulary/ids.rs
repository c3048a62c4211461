use std::{fmt, str::FromStr};

use impresario_runtime::{AgentKey, SubjectId};
use serde::{Deserialize, Serialize};

/// One customer, however many identifiers they are known by.
///
/// It is the [node](super::Identifier::node) of the identifier of theirs that ranks highest: a user id
/// before anything else, then the lower number. Shown as `p_` and sixteen lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(pub u64);

impl ProfileId {
    /// Set in the nodes of all identifiers but user ids, so that the lower number ranks higher.
    const UNKNOWN_PERSON: u64 = 1 << 63;

    pub(super) fn of_hash(hash: u64, known: bool) -> Self {
        let low = hash & !Self::UNKNOWN_PERSON;
        Self(if known { low } else { low | Self::UNKNOWN_PERSON })
    }

    /// Whether it comes from a user id: a person the shop knows, not a device or an address.
    pub fn is_known_person(self) -> bool {
        self.0 & Self::UNKNOWN_PERSON == 0
    }
}

impl AgentKey for ProfileId {
    fn encode(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        u64::decode(bytes).map(Self)
    }

    fn subject(&self) -> Option<SubjectId> {
        Some((*self).into())
    }

    fn of_subject(subject: SubjectId) -> Option<Self> {
        Some(Self(subject.0))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl From<ProfileId> for SubjectId {
    fn from(profile: ProfileId) -> Self {
        Self(profile.0)
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p_{:016x}", self.0)
    }
}

/// The text is not `p_` and sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profile id is `p_` and sixteen hexadecimal digits")]
pub struct ProfileIdError;

impl FromStr for ProfileId {
    type Err = ProfileIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("p_").filter(|digits| digits.len() == 16);
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(ProfileId).ok_or(ProfileIdError)
    }
}
