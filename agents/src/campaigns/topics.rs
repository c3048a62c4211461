//! What is said of campaigns on the journal.

use impresario_runtime::{AgentKey, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use crate::{
    content::split_level,
    vocabulary::{Arm, Channel, MessageId, Millis, ProfileId, Refusal, Reserved},
};

/// How far a campaign may go by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autonomy {
    /// It decides and records, and touches nobody.
    Observe,
    /// Each plan is a proposal that a person approves.
    #[default]
    Recommend,
    /// It acts, inside budgets and blast radius.
    Autonomous,
}

/// What makes a person due for a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanTrigger {
    /// Being in the audience: on entering it, and every so often while in it.
    Audience {
        /// How long from one decision to the next, milliseconds.
        every_ms: Millis,
    },
    /// A situation of this kind, of a person in the audience.
    Situation {
        /// Its kind.
        kind: Box<str>,
    },
}

/// How an arm is chosen of those that may be. All but [`Strategy::Learn`] are there to be compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// What was learned of people like this one decides.
    #[default]
    Learn,
    /// Chance decides, evenly, for ever.
    Uniform,
    /// Always the arm of this number; nothing where it may not be.
    Fixed(u16),
    /// Chance decides evenly until so many rewards have come, then always the arm with the best mean.
    AbThenCommit {
        /// How many rewards are waited for.
        rewards: u32,
    },
}

/// What must not be passed; none for no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Messages.
    pub messages: Option<u64>,
    /// What sending costs, millionths of the goal's currency.
    pub cost_micros: Option<i64>,
    /// What is given away, millionths.
    pub discount_micros: Option<i64>,
}

/// What a reward is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardSpec {
    /// Of a conversion.
    pub conversion: f32,
    /// Of one unit of the currency paid, less discount and cost.
    pub revenue: f32,
    /// Of a click.
    pub click: f32,
    /// Of an open, by a person.
    pub open: f32,
    /// Of an unsubscription; below zero.
    pub unsubscribe: f32,
    /// Of a complaint; below zero.
    pub complaint: f32,
    /// The event that is a conversion; an order unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<str>>,
    /// Three letters (ISO 4217).
    pub currency: Box<str>,
}

/// What a goal is compiled to: whom, what, by which channel, when, and inside which bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The goal it serves; the campaign has the same id.
    pub goal: Box<str>,
    /// The segment whose members may be due.
    pub audience: Box<str>,
    /// What makes them due.
    pub trigger: PlanTrigger,
    /// All arms; the first is number 1, since number 0 is nothing. Numbers stay as long as a campaign runs.
    pub arms: Vec<Arm>,
    /// Numbers of arms that an earlier plan of the campaign had and this one has not: nothing chooses them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<u16>,
    /// What it sends as it was when the plan was made: `template:NAME` or `offer:NAME` and a hash of its content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<(Box<str>, Box<str>)>,
    /// The topic of consent its messages belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// The journey a person begins when due; none where a decision is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<Box<str>>,
    /// What is rewarded.
    pub reward: RewardSpec,
    /// How long after a decision what happens is put down to it, milliseconds.
    pub attribution_ms: Millis,
    /// The least likelihood of every arm that may be chosen.
    pub exploration_floor: f64,
    /// The share of ids that is left alone for this goal.
    pub holdout_share: f64,
    /// The share of ids for which chance decides.
    pub random_share: f64,
    /// What must not be passed.
    pub budget: Budget,
    /// People it may ever send to.
    pub blast_radius: u64,
    /// What one message costs, millionths, by channel.
    pub costs_micros: Vec<(Channel, i64)>,
    /// What an offer gives away at most, millionths, by offer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts_micros: Vec<(Box<str>, i64)>,
    /// How far it goes by itself.
    pub autonomy: Autonomy,
    /// How an arm is chosen.
    #[serde(default)]
    pub strategy: Strategy,
}

impl Plan {
    /// How a template (or `template#variant`) is named in [`Plan::content`].
    pub fn template_key(level: &str) -> Box<str> {
        format!("template:{}", split_level(level).0).into()
    }

    /// How an offer is named in [`Plan::content`].
    pub fn offer_key(offer: &str) -> Box<str> {
        format!("offer:{offer}").into()
    }

    /// The arms that may be chosen, by number.
    pub fn standing_arms(&self) -> impl Iterator<Item = (u16, &Arm)> {
        (1_u16..).zip(&self.arms).filter(|(number, _)| !self.retired.contains(number))
    }
}

/// A plan is in force, until another one is or the campaign ends. Paused is a campaign by
/// [`SendingStopped`](crate::vocabulary::SendingStopped).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignStarted {
    /// Its id, the goal's.
    pub campaign: Box<str>,
    /// What is in force.
    pub plan: Plan,
    /// Whether it takes the place of another plan of a campaign that runs on, with what was measured, spent and
    /// learned; else a campaign begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revises: bool,
}

impl Topic for CampaignStarted {
    const NAME: &'static str = "campaign.started";
}

/// A campaign is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignEnded {
    /// Its id.
    pub campaign: Box<str>,
    /// Why: `goal reached`, `goal ended`, `horizon over`, ...
    pub why: Box<str>,
    /// It has come to its end by itself, and nobody has stopped it: what was let through before may still go out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finished: bool,
}

impl Topic for CampaignEnded {
    const NAME: &'static str = "campaign.ended";
}

/// A journey wants a decision of a campaign for the person who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionWanted {
    /// Of which campaign.
    pub campaign: Box<str>,
    /// For whom.
    pub profile: ProfileId,
    /// As [`DecisionDue::context`](crate::vocabulary::DecisionDue::context).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub context: serde_json::Value,
}

impl Topic for DecisionWanted {
    const NAME: &'static str = "decision.wanted";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// A message for a campaign that comes of none of its decisions (a journey's step, a program's) may go as far as
/// the gate is concerned: the campaign is asked to set aside what it takes of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendAsked {
    /// Which message.
    pub message: MessageId,
    /// Of which campaign.
    pub campaign: Box<str>,
    /// To whom.
    pub profile: ProfileId,
    /// By which channel.
    pub channel: Channel,
    /// The offer in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Box<str>>,
    /// Whether something of the campaign was sent to them before: then they count among its people already.
    #[serde(default)]
    pub reached_before: bool,
}

/// What a campaign says of it: what is set aside, or why nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendAnswered {
    /// Which message.
    pub message: MessageId,
    /// Of which campaign.
    pub campaign: Box<str>,
    /// To whom.
    pub profile: ProfileId,
    /// The plan in force.
    pub plan: Seq,
    /// What is set aside.
    #[serde(default, skip_serializing_if = "Reserved::is_nothing")]
    pub reserved: Reserved,
    /// Why nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

impl Topic for SpendAnswered {
    const NAME: &'static str = "campaign.spend.answered";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// What was set aside for such a message is spent, or given back, or on its way again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendSettled {
    /// Which message.
    pub message: MessageId,
    /// Of which campaign.
    pub campaign: Box<str>,
    /// To whom.
    pub profile: ProfileId,
    /// As [`SpendAnswered::plan`].
    pub plan: Seq,
    /// Whether it was sent.
    pub sent: bool,
    /// It had been sent, and its channel gave it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// What it is about of what was set aside.
    pub reserved: Reserved,
}

macro_rules! of_campaign {
    ($topic:ident, $name:literal) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(AgentKey::partition(&self.campaign.to_string()))
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }

            /// That something was set aside or spent tells nothing of whom it was for.
            fn remainder(&self) -> Option<Self> {
                Some(Self { message: MessageId(0), profile: ProfileId(0), ..self.clone() })
            }
        }
    };
}

of_campaign!(SpendAsked, "campaign.spend.asked");
of_campaign!(SpendSettled, "campaign.spend.settled");
