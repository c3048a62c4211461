//! What enrolment says to itself and asks of profiles.

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Feature, ProfileId};

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

/// The instant a person is due, or an attribution window is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EnrolmentDue {
    #[serde(rename = "p")]
    pub(super) profile: ProfileId,
}

of_person!(EnrolmentDue, "enrolment.due");

/// What happened to a profile that has become another one, which another worker keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OutcomeForwarded {
    /// Who it has become, or the next pointer to them.
    #[serde(rename = "p")]
    pub(super) profile: ProfileId,
    /// The place of what happened.
    #[serde(rename = "e")]
    pub(super) entry: Seq,
}

of_person!(OutcomeForwarded, "enrolment.forwarded");

/// How a person's orders stand is to be told, since it is not known from where to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingAsked {
    /// Whose.
    #[serde(rename = "p")]
    pub profile: ProfileId,
}

of_person!(StandingAsked, "enrolment.standing.asked");

/// How a person's orders stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandingTold {
    /// Whose.
    #[serde(rename = "p")]
    pub profile: ProfileId,
    /// As [`PersonDescribed::standing`](crate::vocabulary::PersonDescribed::standing).
    #[serde(rename = "s")]
    pub standing: Vec<(Feature, i64)>,
}

of_person!(StandingTold, "enrolment.standing");

/// One page of making the members of an audience due: a plan has started, or sending goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct EnrolPage {
    pub(super) campaigns: Vec<Box<str>>,
    pub(super) after: Option<ProfileId>,
    pub(super) worker: u16,
}

impl Topic for EnrolPage {
    const NAME: &'static str = "enrolment.page";
    const PERSONAL: bool = false;
}
