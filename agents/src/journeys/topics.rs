//! What is said of journeys on the journal.

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::Journey;
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

/// A journey is defined, or defined anew under the same id: who is in it finishes as they began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyDefined {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    pub id: Box<str>,
    /// What it is from now on.
    pub journey: Journey,
}

impl Topic for JourneyDefined {
    const NAME: &'static str = "journey.defined";
    const PERSONAL: bool = false;
}

/// Nobody begins a journey any more; who is in it finishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyRemoved {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for JourneyRemoved {
    const NAME: &'static str = "journey.removed";
    const PERSONAL: bool = false;
}

/// A person's journey is to stop where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyStopped {
    /// Which journey.
    pub journey: Box<str>,
    /// Whose.
    pub profile: ProfileId,
    /// Who wants it: a key's name.
    pub by: Box<str>,
}

impl Topic for JourneyStopped {
    const NAME: &'static str = "journey.stopped";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A person is about to begin a journey; whoever counts them says whether there is room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyEntering {
    /// The person's run through the journey.
    pub run: u64,
    /// Which journey.
    pub journey: Box<str>,
    /// Which version of it: the place of the entry that defined it.
    pub version: Seq,
    /// Who.
    pub profile: ProfileId,
    /// How many may be in it at once.
    pub people_max: u64,
}

/// There is room: the run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyAdmitted {
    /// The run.
    pub run: u64,
    /// Who.
    pub profile: ProfileId,
}

/// There is no room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyTurnedAway {
    /// The run.
    pub run: u64,
    /// Who.
    pub profile: ProfileId,
    /// Why, in one word: `people_max`.
    pub because: Box<str>,
}

/// A person has come to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyMoved {
    /// The run.
    pub run: u64,
    /// Which journey.
    pub journey: Box<str>,
    /// Which version of it.
    pub version: Seq,
    /// Who.
    pub profile: ProfileId,
    /// From which step; none at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<str>>,
    /// To which step.
    pub to: Box<str>,
    /// What the step before ended with: `timeout`, `clicked`, `sent`, ...; what began the journey, at first.
    pub because: Box<str>,
}

/// How a journey has ended for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The event it is for has come.
    Converted,
    /// Its last step is done, or an `end` step, which may name another outcome.
    Finished(Box<str>),
    /// It was stopped: by whom, or `merged`, `erased`.
    Stopped(Box<str>),
    /// It could not go on.
    Stuck(Stuck),
}

impl Outcome {
    /// The name it is counted under.
    pub fn name(&self) -> &str {
        match self {
            Self::Converted => "converted",
            Self::Finished(name) => name,
            Self::Stopped(_) => "stopped",
            Self::Stuck(_) => "stuck",
        }
    }
}

/// Why a journey could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stuck {
    /// The version it began on is no longer kept.
    VersionGone,
    /// It was to enter, and nobody said whether there is room.
    EntryUnanswered,
    /// A `decide` step has no campaign to ask.
    NoCampaign,
    /// The campaign was asked, and has decided nothing.
    NoDecision,
    /// A message was asked for, and neither sent nor refused.
    MessageUnanswered,
    /// A condition was asked, and not answered.
    ConditionUnanswered,
    /// It waits for nothing: its step is none that can be done.
    NothingPending,
}

impl Stuck {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::VersionGone => "version_gone",
            Self::EntryUnanswered => "entry_unanswered",
            Self::NoCampaign => "no_campaign",
            Self::NoDecision => "no_decision",
            Self::MessageUnanswered => "message_unanswered",
            Self::ConditionUnanswered => "condition_unanswered",
            Self::NothingPending => "nothing_pending",
        }
    }
}

/// A journey has ended for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyEnded {
    /// The run.
    pub run: u64,
    /// Which journey.
    pub journey: Box<str>,
    /// Which version of it.
    pub version: Seq,
    /// Who.
    pub profile: ProfileId,
    /// At which step; none where it had not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<str>>,
    /// How.
    pub outcome: Outcome,
}

/// The instant a step of a person's run is over by time alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunDue {
    #[serde(rename = "p")]
    pub(super) profile: ProfileId,
    #[serde(rename = "r")]
    pub(super) run: u64,
    /// At which of its steps: one that is over already waits for nothing.
    #[serde(rename = "v")]
    pub(super) visit: u32,
}

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

/// Topics that are counted: that somebody was at a step tells nothing of whom.
macro_rules! counted {
    ($topic:ident, $name:literal) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(AgentKey::partition(&self.journey.to_string()))
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }

            fn remainder(&self) -> Option<Self> {
                Some(Self { run: 0, profile: ProfileId(0), ..self.clone() })
            }
        }
    };
}

of_person!(JourneyAdmitted, "journey.admitted");
of_person!(JourneyTurnedAway, "journey.turned_away");
of_person!(RunDue, "journey.due");
counted!(JourneyEntering, "journey.entering");
counted!(JourneyMoved, "journey.moved");
counted!(JourneyEnded, "journey.ended");
