//! What is said of messages between agents, beside the vocabulary.

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{MessageId, Millis, ProfileId};

macro_rules! of_person {
    ($topic:ident, $name:literal) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(self.profile.partition())
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }
        }
    };
}

/// A message's time has come: everything is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MessageDue {
    /// Whose.
    pub(super) profile: ProfileId,
    /// Which.
    pub(super) id: MessageId,
}

of_person!(MessageDue, "message.due");

/// A person has confirmed a grant of consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentConfirmed {
    /// Who.
    pub profile: ProfileId,
    /// Of what, as [`ConsentState::of`](crate::vocabulary::ConsentState::of).
    pub of: Box<str>,
}

of_person!(ConsentConfirmed, "consent.confirmed");

/// Something was said of a profile that has become another one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MessagingForwarded {
    /// Whose it is, or the next pointer to it.
    pub(super) profile: ProfileId,
    /// What sort of entry.
    pub(super) what: Forwarded,
    /// Its place.
    pub(super) entry: Seq,
}

of_person!(MessagingForwarded, "message.forwarded");

/// What can be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Forwarded {
    Described,
    Decision,
    Request,
    Withdrawn,
    Due,
    Told,
    Delivered,
    Receipt,
    Confirmed,
    Held,
    Freed,
    Spend,
}

/// Sending was resumed: a page of the worker's people is looked at for what was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumePage {
    pub(super) worker: u16,
    pub(super) after: Option<ProfileId>,
}

impl Topic for ResumePage {
    const NAME: &'static str = "message.resume.page";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.worker)
    }
}

/// The instant after which a message that was never sent is given up, where nobody said when.
pub(super) const WAITS_MS: Millis = 7 * crate::vocabulary::DAY_MS;
