//! A scenario, read and checked: who there is, and what happens in which order.

use std::{collections::BTreeMap, fmt, sync::Arc};

use impresario_agents::{
    profiles::Profiles,
    rhythm::Rhythm,
    segmentation::Segmentation,
    vocabulary::{Channel, EventKind, Identifier, Millis, ProfileId},
};
use impresario_runtime::{
    Agent, Topic, new_entry,
    store::{Journal, NewEntry, StoreError},
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::answers::Answers;

/// A scenario file, read and checked.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, in kebab-case.
    pub name: String,
    /// When it begins.
    pub start_ms: Millis,
    pub(crate) zone: TimeZone,
    pub(crate) seed: u64,
    pub(crate) people: Vec<Person>,
    /// The people behind each name that `who` may say: one, or a population.
    pub(crate) names: BTreeMap<String, Vec<usize>>,
    pub(crate) actions: Vec<Planned>,
    pub(crate) faults: Faults,
    pub(crate) always: Vec<Invariant>,
    /// What its orders are compared with.
    pub(crate) compare: Option<Compare>,
    /// How thoroughly it is put to the proof.
    pub(crate) proof: Proof,
    /// Hundredths that offers take off, by offer.
    pub(crate) discounts: BTreeMap<String, f64>,
}

/// How thoroughly a scenario is put to the proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    /// In every way there is.
    #[default]
    Whole,
    /// Run again: for scenarios of many people.
    Short,
}

/// The same world with another policy, or with none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Variant {
    /// What was learned decides.
    Policy,
    /// Nothing is sent.
    Twin,
    /// Chance decides.
    Uniform,
    /// The arm that is best for all people together, by their hidden ways.
    BestArm(u16),
    /// Chance decides until so many rewards, then the arm that did best.
    Ab(u32),
}

/// By how much there must be more orders than in other variants, of all seeds together.
#[derive(Clone, Debug)]
pub(crate) struct Compare {
    pub(crate) seeds: Vec<u64>,
    pub(crate) twin: Option<f64>,
    pub(crate) uniform: Option<f64>,
    pub(crate) best_arm: Option<f64>,
    pub(crate) ab: Option<(u32, f64)>,
}

/// One person of the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) device: Option<String>,
    /// Everything the person can be recognised by.
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) external: Vec<(String, String)>,
    pub(crate) push: Option<String>,
    pub(crate) zone: Option<String>,
    /// What an `identify` says of the person: e-mail, phone, consent and traits.
    pub(crate) traits: Map<String, Value>,
    pub(crate) generated: bool,
    /// What the person does with messages; the system never sees it.
    pub(crate) answers: Option<Arc<Answers>>,
    /// Channels whose messages to the person come back.
    pub(crate) bounces: Vec<Channel>,
}

/// Something that happens at an instant.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) at_ms: Millis,
    /// The line of the file it comes from.
    pub(crate) line: u64,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Somebody is erased.
    Erase { person: usize },
    /// An event arrives at the door.
    Send(Box<Send>),
    /// An operator defines a segment.
    Define { name: String, definition: Value },
    /// An operator sets a goal.
    Goal { name: String, goal: Value },
    /// An operator says that an identifier is somebody else's.
    Unmerge(ProfileId),
    /// An operator releases an identifier from quarantine.
    Release(ProfileId),
    /// An operator, a provider or a program says something.
    Say(Saying),
    /// A receipt of the newest message to somebody by a channel.
    Receipt(Receipt),
    /// An operator answers the newest proposal of a goal.
    Answer { goal: String, approved: bool, why: String },
    /// The process is killed, its unsynced writes lost, and starts again at once or at an instant.
    Kill { until_ms: Option<Millis> },
    /// Something must be so.
    Expect(Expect),
}

type MakeEntry = dyn Fn(&Journal) -> Result<NewEntry, StoreError> + std::marker::Send + Sync;

/// A word from outside, ready for the journal.
#[derive(Clone)]
pub(crate) struct Saying {
    /// What it is, for telling it apart from others of that instant.
    pub(crate) what: String,
    entry: Arc<MakeEntry>,
}

impl Saying {
    /// The word `topic`.
    pub(crate) fn new<T: Topic + Clone>(what: impl Into<String>, topic: T) -> Self {
        Self { what: what.into(), entry: Arc::new(move |journal| new_entry(journal, 0, topic.clone())) }
    }

    /// Its entry in a journal.
    pub(crate) fn entry(&self, journal: &Journal) -> Result<NewEntry, StoreError> {
        (self.entry)(journal)
    }
}

impl fmt::Debug for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Saying").field(&self.what).finish()
    }
}

/// A receipt that a provider sends.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    pub(crate) person: usize,
    pub(crate) channel: Channel,
    pub(crate) kind: impresario_agents::vocabulary::ReceiptKind,
    pub(crate) machine: bool,
}

/// One event on its way.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    /// Which of the scenario's events this is, from 1.
    pub(crate) number: u64,
    /// The message id the file gives it; else it follows from the number.
    pub(crate) message_id: Option<String>,
    pub(crate) person: usize,
    pub(crate) kind: EventKind,
    pub(crate) name: String,
    pub(crate) user_id: Option<String>,
    pub(crate) anonymous_id: Option<String>,
    pub(crate) previous_id: Option<String>,
    pub(crate) group_id: Option<String>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) context: Map<String, Value>,
    /// When it happened.
    pub(crate) happened_ms: Millis,
    pub(crate) fate: Fate,
}

/// What faults have done to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    AsPlanned,
    Delayed,
    Copy,
}

/// What must be so.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    Segment { name: String, has: Vec<String>, has_not: Vec<String>, size: Option<u64> },
    Profile(ExpectProfile),
    State(ExpectState),
    Situation(ExpectSituation),
    Message(ExpectMessage),
    NoMessage(ExpectNoMessage),
    Decision(ExpectDecision),
    Proposal(ExpectProposal),
    Goal(ExpectGoal),
    Journey(ExpectJourney),
    DeadLetters(u64),
    Profiles(u64),
}

/// A situation that was told.
#[derive(Clone, Debug)]
pub(crate) struct ExpectSituation {
    pub(crate) who: Vec<String>,
    pub(crate) kind: String,
    /// Whether it must be over, or must not be.
    pub(crate) resolved: Option<bool>,
    /// Fields of its context that must be so.
    pub(crate) context: Map<String, Value>,
    /// Whether there must be none.
    pub(crate) none: bool,
}

/// A message that was delivered.
#[derive(Clone, Debug)]
pub(crate) struct ExpectMessage {
    pub(crate) to: Vec<String>,
    pub(crate) channel: Option<Channel>,
    /// No later than so long after the customer's event it comes of.
    pub(crate) within_ms: Option<Millis>,
    pub(crate) contains: Vec<String>,
    pub(crate) cause: Option<String>,
    pub(crate) at_ms: Option<Millis>,
    pub(crate) since_ms: Option<Millis>,
    pub(crate) template: Option<String>,
    pub(crate) offer: Option<String>,
    /// In the place of one by this channel, which did not go.
    pub(crate) instead_of: Option<Channel>,
    /// What was learned of the person that chose the channel: a part of the words.
    pub(crate) chosen: Option<String>,
    /// So many of them, and no more.
    pub(crate) times: Option<u64>,
}

/// A message that was not sent.
#[derive(Clone, Debug)]
pub(crate) struct ExpectNoMessage {
    pub(crate) to: Vec<String>,
    pub(crate) channel: Option<Channel>,
    pub(crate) since_ms: Option<Millis>,
    pub(crate) because: Option<String>,
}

/// The newest proposal of a goal.
#[derive(Clone, Debug)]
pub(crate) struct ExpectProposal {
    pub(crate) goal: String,
    /// `open`, `approved`, `rejected`, `expired`, `void`; `none` where there is none.
    pub(crate) outcome: Option<String>,
    /// Which one it is.
    pub(crate) number: Option<u32>,
}

/// Where somebody is in a journey.
#[derive(Clone, Debug)]
pub(crate) struct ExpectJourney {
    pub(crate) who: Vec<String>,
    pub(crate) journey: String,
    /// At this step.
    pub(crate) at: Option<String>,
    /// Ended as this: `converted`, `finished`, `stopped`, `stuck`, or as the file of the journey says.
    pub(crate) ended: Option<String>,
    /// So often begun.
    pub(crate) times: Option<u64>,
}

/// How a goal stands.
#[derive(Clone, Debug)]
pub(crate) struct ExpectGoal {
    pub(crate) goal: String,
    pub(crate) running: Option<bool>,
    pub(crate) paused: Option<bool>,
    pub(crate) reached: Option<bool>,
    /// The metric as last measured is at least this.
    pub(crate) at_least: Option<f64>,
    /// And at most this.
    pub(crate) at_most: Option<f64>,
    /// Whether it is better than its holdout, beyond doubt.
    pub(crate) lifted: Option<bool>,
    /// A part of the reason its campaign ended for.
    pub(crate) ended: Option<String>,
}

/// A decision that was made.
#[derive(Clone, Debug)]
pub(crate) struct ExpectDecision {
    pub(crate) who: Vec<String>,
    pub(crate) campaign: Option<String>,
    pub(crate) group: Option<String>,
    /// Whether something is to be done, or nothing.
    pub(crate) nothing: Option<bool>,
    pub(crate) channel: Option<Channel>,
    pub(crate) template: Option<String>,
    pub(crate) offer: Option<String>,
    pub(crate) withheld: Option<String>,
    pub(crate) times: Option<u64>,
}

/// What an agent keeps, as it shows itself in JSON.
#[derive(Clone, Debug)]
pub(crate) struct ExpectState {
    pub(crate) agent: String,
    pub(crate) of: StateOf,
    /// Null for nothing at all; of an object, only what is written is compared.
    pub(crate) is: Value,
}

/// Whose state it is.
#[derive(Clone, Debug)]
pub(crate) enum StateOf {
    /// Of agents that keep something of every person.
    People(Vec<String>),
    /// The key as the agent writes it.
    Key(String),
}

#[derive(Clone, Debug)]
pub(crate) struct ExpectProfile {
    pub(crate) who: Vec<String>,
    pub(crate) traits: Map<String, Value>,
    /// Features by name, in the unit they are kept in.
    pub(crate) features: Vec<(String, i64)>,
    pub(crate) same_as: Vec<String>,
    pub(crate) not_same_as: Vec<String>,
}

/// What goes wrong, beside what the plan itself already shows (copies, delays, kills at instants).
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Share of events that come twice, in hundredths, and within which time.
    pub(crate) duplicates: Option<(u32, Millis)>,
    /// Share of events that come late, in hundredths, and by how much at most.
    pub(crate) late: Option<(u32, Millis)>,
    /// Within which time events change places.
    pub(crate) reordered: Option<Millis>,
    pub(crate) panics: Vec<Panic>,
    /// When, until when it is down, and the line that says so.
    pub(crate) kills_at: Vec<(Millis, Option<Millis>, u64)>,
    pub(crate) kills_after_commit: Vec<u64>,
    pub(crate) rotate_workers: usize,
}

/// An agent that breaks at one event.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    pub(crate) agent: String,
    pub(crate) event: u64,
    /// How often; `None` for every time.
    pub(crate) times: Option<u32>,
}

impl Scenario {
    /// The names of its segments and goals, in the order they come up.
    pub fn segment_names(&self) -> Vec<&str> {
        let named = self.actions.iter().filter_map(|planned| match &planned.action {
            Action::Define { name, .. } | Action::Goal { name, .. } => Some(name.as_str()),
            _ => None,
        });
        named.collect()
    }

    /// How many events it sends, copies made by faults aside.
    pub fn events(&self) -> u64 {
        self.actions.iter().filter(|planned| matches!(planned.action, Action::Send(_))).count() as u64
    }

    /// The people behind `names`, each once, in order.
    pub(crate) fn people_of(&self, names: &[String]) -> Vec<usize> {
        let found: std::collections::BTreeSet<usize> =
            names.iter().filter_map(|name| self.names.get(name)).flatten().copied().collect();
        found.into_iter().collect()
    }

    /// An instant as the scenario's people read it on their clocks.
    pub(crate) fn show(&self, at_ms: Millis) -> String {
        let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
        crate::show::show(&at.to_zoned(self.zone.clone()))
    }

    /// The seed of everything left to chance.
    pub(crate) fn run_seed(&self) -> [u8; 32] {
        *blake3::Hasher::new().update(b"scenario").update(&self.seed.to_le_bytes()).finalize().as_bytes()
    }
}

/// Agents that take customer events, or what came of one directly, and can be made to break over it.
pub(crate) const BREAKABLE: [&str; 3] = [Profiles::NAME, Segmentation::NAME, Rhythm::NAME];

/// What must hold after every step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Who is in a segment is who entered it and has not left it, by the journal's entries.
    MembershipMatchesEntries,
    /// Who is in a segment is who a look over the whole journal finds, wherever something is expected.
    MembershipMatchesJournal,
    /// A segment's size is the number of its members.
    SizeMatchesMembers,
    /// No event is in the journal twice.
    NoDuplicateEvents,
    /// The journal's places, instants and hash chain hold.
    JournalVerifies,
    /// No entry was set aside.
    NoDeadLetters,
    /// At the end, people and memberships are what they would be without the faults.
    FaultsChangeNothing,
    /// Nobody gets the same message twice, and no decision brings forth two.
    NoDuplicateMessage,
    /// Nothing that persuades goes by a channel its reader has not agreed to, or has refused.
    ConsentRespected,
    /// Nobody gets more messages that persuade than so many within so long.
    FrequencyCap {
        /// So many.
        max: u32,
        /// Within so long, milliseconds.
        per_ms: Millis,
        /// By this channel; by all together where none is said.
        channel: Option<Channel>,
    },
    /// Nothing that persuades goes in the hours of rest of whoever gets it.
    QuietHoursRespected {
        /// From this minute of the day.
        from: i16,
        /// Until this minute of the day.
        until: i16,
    },
    /// Nobody of a holdout gets anything of its campaign.
    HoldoutUntouched,
    /// Every message comes of something from outside, says what, and passed guards.
    EveryMessageHasACause,
    /// No campaign sends more, to more people, or for more money than its plan allows.
    BudgetRespected,
}
