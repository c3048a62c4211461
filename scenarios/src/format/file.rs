//! The shape of a scenario file, as serde reads it. What it means is worked out in the plan.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::model::Proof;

use super::messages::{
    AnswersFile, ExpectDecisionFile, ExpectGoalFile, ExpectJourneyFile, ExpectMessageFile, ExpectNoMessageFile,
    ExpectProposalFile, ExpectSituationFile, InvariantFile, MessageFile, ReceiptFile, RejectFile, ScopeFile,
};

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) scenario: Spanned<String>,
    pub(crate) start: Spanned<String>,
    pub(crate) seed: u64,
    pub(crate) people: IndexMap<String, Spanned<PersonFile>>,
    #[serde(default)]
    pub(crate) segments: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) goals: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) templates: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) offers: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) journeys: IndexMap<String, Spanned<Map<String, Value>>>,
    /// The messaging policy.
    pub(crate) gate: Option<Spanned<Map<String, Value>>>,
    pub(crate) timeline: Vec<Spanned<TimelineFile>>,
    #[serde(default)]
    pub(crate) faults: FaultsFile,
    #[serde(default)]
    pub(crate) always: Vec<Spanned<InvariantFile>>,
    pub(crate) compare: Option<Spanned<CompareFile>>,
    #[serde(default)]
    pub(crate) proof: Proof,
}

/// What the policy's orders are compared with, and by how much there must be more of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareFile {
    pub(crate) seeds: Vec<u64>,
    pub(crate) twin: Option<Spanned<String>>,
    pub(crate) uniform: Option<Spanned<String>>,
    pub(crate) best_arm: Option<Spanned<String>>,
    pub(crate) ab: Option<Spanned<AbFile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AbFile {
    pub(crate) rewards: u32,
    pub(crate) by: Spanned<String>,
}

/// One named person, or a whole population.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonFile {
    pub(crate) like: Option<Spanned<String>>,
    pub(crate) id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) push: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) external: Option<IndexMap<String, String>>,
    pub(crate) zone: Option<Spanned<String>>,
    pub(crate) consent: Option<Vec<String>>,
    pub(crate) traits: Option<Map<String, Value>>,
    pub(crate) answers: Option<Spanned<IndexMap<String, Spanned<f64>>>>,
    pub(crate) answers_after: Option<Spanned<String>>,
    pub(crate) bounces: Option<Vec<Spanned<String>>>,
    pub(crate) population: Option<Spanned<PopulationFile>>,
}

/// People who are alike, with habits the system never sees.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PopulationFile {
    pub(crate) count: Spanned<u32>,
    pub(crate) seed: Option<u64>,
    #[serde(default)]
    pub(crate) habits: Vec<Spanned<HabitFile>>,
    #[serde(default)]
    pub(crate) answers: Vec<Spanned<AnswersFile>>,
}

/// Something a generated person does again and again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HabitFile {
    pub(crate) track: String,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
    pub(crate) every: Option<Spanned<String>>,
    pub(crate) per_day: Option<Spanned<f64>>,
    pub(crate) differ: Option<Spanned<String>>,
    pub(crate) spread: Option<Spanned<String>>,
    pub(crate) begin: Option<Spanned<String>>,
    pub(crate) stop: Option<Spanned<String>>,
}

/// One entry of the timeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimelineFile {
    pub(crate) at: Spanned<String>,
    #[serde(default)]
    pub(crate) events: Vec<Spanned<EventFile>>,
    #[serde(default)]
    pub(crate) define_segment: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) set_goal: IndexMap<String, Spanned<Map<String, Value>>>,
    #[serde(default)]
    pub(crate) define_template: IndexMap<String, Spanned<Map<String, Value>>>,
    pub(crate) remove_template: Option<Spanned<OneOrMore>>,
    #[serde(default)]
    pub(crate) define_journey: IndexMap<String, Spanned<Map<String, Value>>>,
    pub(crate) erase: Option<Spanned<OneOrMore>>,
    #[serde(default)]
    pub(crate) unmerge: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) release: Vec<Spanned<String>>,
    #[serde(default)]
    pub(crate) messages: Vec<Spanned<MessageFile>>,
    #[serde(default)]
    pub(crate) receipts: Vec<Spanned<ReceiptFile>>,
    pub(crate) approve: Option<Spanned<OneOrMore>>,
    #[serde(default)]
    pub(crate) reject: Vec<Spanned<RejectFile>>,
    pub(crate) stop: Option<Spanned<ScopeFile>>,
    pub(crate) resume: Option<Spanned<ScopeFile>>,
    pub(crate) withdraw_consent: Option<Spanned<WithdrawFile>>,
    #[serde(default)]
    pub(crate) expect: Vec<Spanned<ExpectFile>>,
}

/// Whose consent to what is taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) channel: Spanned<OneOrMore>,
}

/// What somebody does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFile {
    pub(crate) who: Spanned<OneOrMore>,
    pub(crate) track: Option<String>,
    pub(crate) page: Option<String>,
    pub(crate) screen: Option<String>,
    pub(crate) identify: Option<Map<String, Value>>,
    pub(crate) group: Option<String>,
    pub(crate) alias: Option<String>,
    pub(crate) properties: Option<Map<String, Value>>,
    pub(crate) traits: Option<Map<String, Value>>,
    pub(crate) times: Option<Spanned<u32>>,
    pub(crate) every: Option<Spanned<String>>,
    pub(crate) late: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) anonymous: bool,
    pub(crate) device: Option<String>,
    pub(crate) message_id: Option<Spanned<String>>,
}

/// A name, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a name or a list of names")]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::More(names) => names,
        }
    }
}

/// What must have come of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExpectFile {
    Segment(ExpectSegmentFile),
    Profile(ExpectProfileFile),
    State(ExpectStateFile),
    Situation(ExpectSituationFile),
    NoSituation(ExpectSituationFile),
    Message(Box<ExpectMessageFile>),
    NoMessage(ExpectNoMessageFile),
    Decision(ExpectDecisionFile),
    Proposal(ExpectProposalFile),
    Goal(ExpectGoalFile),
    Journey(ExpectJourneyFile),
    DeadLetters(u64),
    Profiles(u64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectStateFile {
    pub(crate) agent: String,
    pub(crate) who: Option<Spanned<OneOrMore>>,
    pub(crate) key: Option<String>,
    pub(crate) is: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectSegmentFile {
    pub(crate) name: Spanned<String>,
    pub(crate) has: Option<Spanned<OneOrMore>>,
    pub(crate) has_not: Option<Spanned<OneOrMore>>,
    pub(crate) size: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectProfileFile {
    pub(crate) who: Spanned<OneOrMore>,
    #[serde(default)]
    pub(crate) traits: Map<String, Value>,
    #[serde(default)]
    pub(crate) features: IndexMap<String, Spanned<Value>>,
    pub(crate) same_as: Option<Spanned<OneOrMore>>,
    pub(crate) not_same_as: Option<Spanned<OneOrMore>>,
}

/// What goes wrong.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultsFile {
    pub(crate) duplicates: Option<Spanned<DuplicatesFile>>,
    pub(crate) late: Option<Spanned<LateFile>>,
    pub(crate) reordered: Option<Spanned<ReorderedFile>>,
    #[serde(default)]
    pub(crate) panics: Vec<Spanned<PanicFile>>,
    #[serde(default)]
    pub(crate) kills: Vec<Spanned<KillFile>>,
    #[serde(default)]
    pub(crate) rotate_workers: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DuplicatesFile {
    pub(crate) share: Spanned<String>,
    pub(crate) within: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LateFile {
    pub(crate) share: Spanned<String>,
    pub(crate) by: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReorderedFile {
    pub(crate) within: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PanicFile {
    pub(crate) agent: String,
    pub(crate) event: u64,
    pub(crate) times: Spanned<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KillFile {
    pub(crate) at: Option<Spanned<String>>,
    pub(crate) after_commit: Option<u64>,
    #[serde(rename = "for")]
    pub(crate) lasts: Option<Spanned<String>>,
}
