use std::fmt;

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::{Channel, Feature, Millis, ProfileId};

/// A decision about one person: a hash of the person, the campaign and the number of the decision. Shown as
/// `d_` and sixteen lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(pub u64);

impl DecisionId {
    /// The id of a person's `number`th decision in a campaign.
    pub fn of(profile: ProfileId, campaign: &str, number: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"decision").update(&profile.0.to_le_bytes()).update(&number.to_le_bytes());
        hasher.update(campaign.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d_{:016x}", self.0)
    }
}

/// The text is not `d_` and sixteen hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision id is `d_` and sixteen hexadecimal digits")]
pub struct DecisionIdError;

impl std::str::FromStr for DecisionId {
    type Err = DecisionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("d_").filter(|digits| digits.len() == 16);
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        value.map(DecisionId).ok_or(DecisionIdError)
    }
}

impl AgentKey for DecisionId {
    fn encode(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        u64::decode(bytes).map(Self)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Which of a goal's groups a person is in. A salted hash decides, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// What the campaign has learned decides.
    Policy,
    /// Chance decides, evenly, so that "the right message" can be told from "any message".
    Random,
    /// Left alone: nothing that persuades is ever sent.
    Holdout,
}

/// What is done for a person; a combination of one level of each factor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arm {
    /// The template.
    pub template: Box<str>,
    /// The offer; none for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// By which channel.
    pub channel: Channel,
    /// From which hour of the person's day on, 0 to 23; none for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<u8>,
}

/// A person is due for a decision. `profiles` describes them, then the gate says what may be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionDue {
    /// Its id.
    pub id: DecisionId,
    /// Which campaign.
    pub campaign: Box<str>,
    /// Who.
    pub profile: ProfileId,
    /// What it is about, to be rendered: e.g. the product of a purchase intent. A JSON object.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// Whether something of the campaign was sent to them before: then they count among its people already.
    #[serde(default)]
    pub reached_before: bool,
}

impl Topic for DecisionDue {
    const NAME: &'static str = "decision.due";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// The person as they are at that instant, for whoever decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonDescribed {
    /// For which decision.
    pub due: DecisionDue,
    /// Who they are now; another than `due.profile` where two profiles have become one meanwhile.
    pub profile: ProfileId,
    /// The features, as `campaigns::features` names them, each about -1 to 1.
    pub features: Vec<f32>,
    /// Their orders and what they have paid, by feature, as they stand: what comes after is counted from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing: Vec<(Feature, i64)>,
}

impl Topic for PersonDescribed {
    const NAME: &'static str = "decision.described";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// Why something may not be done, e.g. `no_consent`, with what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which guard refused, in one word: `consent`, `suppression`, `holdout`, `cap`, `quiet_hours`, `budget`,
    /// `blast_radius`, `autonomy`, `stopped`, `template`, `address`, `ticket`.
    pub guard: Box<str>,
    /// Why, in words, without personal data.
    pub why: Box<str>,
}

/// What the gate says of one channel before anything is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelVerdict {
    /// Which channel.
    pub channel: Channel,
    /// The earliest instant at which it may be used, as far as is known now; later than now where quiet hours
    /// or a cap hold it.
    pub from_ms: Millis,
    /// The hours of the person's day in which it may be used, the lowest bit for hour 0.
    pub hours: u32,
    /// Why it may not be used at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// A decision is asked of a campaign: all that it may look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRequested {
    /// Its id.
    pub id: DecisionId,
    /// Which campaign.
    pub campaign: Box<str>,
    /// Who.
    pub profile: ProfileId,
    /// Which group they are in: the gate, which knows their ids, draws it.
    pub group: Group,
    /// The person, as [`PersonDescribed::features`].
    pub features: Vec<f32>,
    /// What the gate says of each channel.
    pub channels: Vec<ChannelVerdict>,
    /// The person's zone, or the workspace's.
    pub zone: Box<str>,
    /// As [`DecisionDue::context`].
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// As [`DecisionDue::reached_before`].
    #[serde(default)]
    pub reached_before: bool,
    /// Of how many ids the group was drawn ([`Contact::ids`](super::Contact::ids)): somebody with more is in the
    /// holdout more likely, and whoever measures must weigh them by it.
    #[serde(default)]
    pub ids: u16,
}

impl Topic for DecisionRequested {
    const NAME: &'static str = "decision.requested";

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A decision is made; all that it came of is on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionMade {
    /// Its id.
    pub id: DecisionId,
    /// Which campaign.
    pub campaign: Box<str>,
    /// Who.
    pub profile: ProfileId,
    /// Which group they are in.
    pub group: Group,
    /// What is to be done; none for nothing.
    pub arm: Option<Arm>,
    /// Why nothing is done, where it was not the policy's own choice: `observe`, `budget`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Refusal>,
    /// The chosen arm's number in the plan's arms; 0 is nothing.
    pub chosen: u16,
    /// How likely it was chosen.
    pub propensity: f32,
    /// The arms that could be chosen, each with how likely it was.
    pub candidates: Vec<(u16, f32)>,
    /// The person, as it was looked at.
    pub features: Vec<f32>,
    /// Hash of the model that decided (BLAKE3, the first 128 bits, hexadecimal).
    pub model: Box<str>,
    /// Whether another arm than the best known was chosen.
    pub explored: bool,
    /// The plan it rode on: the place of the entry that started it.
    pub plan: u64,
    /// When it is to be done, as far as is known now.
    pub at_ms: Millis,
    /// As [`DecisionDue::context`].
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
    /// What was set aside for it of the campaign's bounds, and is given back if its message is refused.
    #[serde(default, skip_serializing_if = "Reserved::is_nothing")]
    pub reserved: Reserved,
}

/// What a decision takes of its campaign's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reserved {
    /// Messages.
    pub messages: u64,
    /// People it reaches who were not reached before.
    pub people: u64,
    /// What sending costs, millionths of the goal's currency.
    pub cost_micros: i64,
    /// What its offer gives away at most, millionths.
    pub discount_micros: i64,
}

impl Reserved {
    /// Whether nothing was set aside.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Topic for DecisionMade {
    const NAME: &'static str = "decision.made";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// What a decision has come to, at the end of its attribution window: what the policy learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardObserved {
    /// Which decision.
    pub id: DecisionId,
    /// Which campaign.
    pub campaign: Box<str>,
    /// Who.
    pub profile: ProfileId,
    /// Which group they are in.
    pub group: Group,
    /// The chosen arm's number.
    pub chosen: u16,
    /// How likely it was chosen.
    pub propensity: f32,
    /// The person, as they were looked at.
    pub features: Vec<f32>,
    /// The reward, in the plan's unit.
    pub reward: f32,
    /// What it is made of.
    pub outcome: Outcome,
    /// When the decision was made.
    pub decided_ms: Millis,
    /// The plan it rode on: the place of the entry that put it into force; 0 where that was not noted yet.
    #[serde(default)]
    pub plan: Seq,
}

impl Topic for RewardObserved {
    const NAME: &'static str = "reward.observed";

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// What happened inside an attribution window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Whether a message was sent.
    pub sent: bool,
    /// Opened by a person; what machines open never counts.
    pub opened: bool,
    /// Clicked.
    pub clicked: bool,
    /// Orders made, or conversions of the goal's event.
    pub conversions: u32,
    /// What was paid, millionths of the goal's currency.
    pub revenue_micros: i64,
    /// What was given away, millionths.
    pub discount_micros: i64,
    /// What sending cost, millionths.
    pub cost_micros: i64,
    /// Unsubscribed.
    pub unsubscribed: bool,
    /// Complained.
    pub complained: bool,
}
