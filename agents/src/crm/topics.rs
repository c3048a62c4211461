//! What is said of deals, leads and tasks on the journal.

use impresario_runtime::{AgentKey, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Millis, ProfileId};

/// A deal is begun, or told again: what is told later stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealCreated {
    /// Whose.
    pub profile: ProfileId,
    /// Its id, of the shop's own or the operator's, 1 to 64 bytes.
    pub deal: Box<str>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub name: Box<str>,
    /// Its stage, e.g. `new`.
    pub stage: Box<str>,
    /// What it is worth, millionths of the currency.
    #[serde(default)]
    pub value_micros: i64,
    /// Three letters (ISO 4217); empty where no value is told.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub currency: Box<str>,
    /// When, event time.
    pub at_ms: Millis,
    /// Who says so: a key's name, or the event's source.
    pub by: Box<str>,
}

/// A deal has come to another stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealStageChanged {
    /// Whose.
    pub profile: ProfileId,
    /// Which deal.
    pub deal: Box<str>,
    /// To which stage.
    pub stage: Box<str>,
    /// When, event time.
    pub at_ms: Millis,
    /// Who says so.
    pub by: Box<str>,
}

/// A deal is won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealWon {
    /// Whose.
    pub profile: ProfileId,
    /// Which deal.
    pub deal: Box<str>,
    /// When, event time.
    pub at_ms: Millis,
    /// Who says so.
    pub by: Box<str>,
}

/// A deal is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealLost {
    /// Whose.
    pub profile: ProfileId,
    /// Which deal.
    pub deal: Box<str>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub why: Box<str>,
    /// When, event time.
    pub at_ms: Millis,
    /// Who says so.
    pub by: Box<str>,
}

/// A lead has become hot, or is no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadScored {
    /// Who.
    pub profile: ProfileId,
    /// The score now, thousandths of a point.
    pub score_milli: i64,
    /// Whether it is hot.
    pub hot: bool,
    /// What it is made of: what was done, and how many thousandths of a point it is worth now.
    pub parts: Vec<(Box<str>, i64)>,
}

/// Why a person should see to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A lead is hot.
    HotLead,
    /// A message was not sent, since a ticket is open.
    TicketOpen,
    /// Somebody of high value has complained.
    Complaint,
}

impl TaskKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HotLead => "hot_lead",
            Self::TicketOpen => "ticket_open",
            Self::Complaint => "complaint",
        }
    }
}

/// A person should see to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCreated {
    /// Its id: `t_` and sixteen hexadecimal digits.
    pub id: Box<str>,
    /// To whom.
    pub profile: ProfileId,
    /// Why.
    pub kind: TaskKind,
    /// Why, in words, without personal data.
    pub why: Box<str>,
}

/// A task is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDone {
    /// Its id.
    pub id: Box<str>,
    /// Whom it is about.
    pub profile: ProfileId,
    /// Who did it: a key's name.
    pub by: Box<str>,
}

/// How leads are scored, from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeadsSet {
    /// The settings, whole.
    pub settings: super::LeadSettings,
    /// Who set them.
    pub by: Box<str>,
}

impl Topic for LeadsSet {
    const NAME: &'static str = "lead.settings.set";
    const PERSONAL: bool = false;
}

macro_rules! of_person {
    ($($topic:ident = $name:literal,)*) => {
        $(impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(self.profile.partition())
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }
        })*
    };
}

of_person! {
    DealCreated = "deal.created",
    DealStageChanged = "deal.stage_changed",
    DealWon = "deal.won",
    DealLost = "deal.lost",
    LeadScored = "lead.scored",
    TaskCreated = "task.created",
    TaskDone = "task.done",
}
