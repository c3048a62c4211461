//! What the analytics agents say to each other.

use impresario_runtime::{AgentKey, Topic};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{Group, Millis};

/// In which sums a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Their group.
    pub group: Group,
    /// Which bucket: a hash of the person.
    pub bucket: u16,
    /// Of how many ids the group was drawn.
    pub ids: u16,
}

/// Something of one person that counts for a campaign. Sums of these are all that is kept: nothing in it tells
/// who it was, so it stays when they are erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounted {
    /// The campaign.
    pub campaign: Box<str>,
    /// The place of the entry that started the plan; sums of an earlier plan are not added to.
    pub plan: u64,
    /// To which sums it is added.
    pub cell: Cell,
    /// 1 where the person begins to count, -1 where they count elsewhere now.
    pub people: i64,
    /// What they did.
    pub did: Deeds,
}

/// What one person, or many, did since they began to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deeds {
    /// Orders made.
    pub orders: i64,
    /// What was paid less refunds, millionths of the goal's currency.
    pub revenue_micros: i64,
    /// What had been paid before, millionths.
    pub paid_before_micros: i64,
    /// What was given away, millionths.
    pub discount_micros: i64,
    /// What sending cost, millionths.
    pub cost_micros: i64,
    /// People who ordered at all.
    pub buyers: i64,
    /// People who did the goal's event at all.
    pub converted: i64,
    /// Messages sent.
    pub messages: i64,
    /// Messages clicked.
    pub clicks: i64,
}

impl Deeds {
    /// Both together.
    pub(super) fn add(&mut self, other: &Self, times: i64) {
        self.orders += times * other.orders;
        self.revenue_micros += times * other.revenue_micros;
        self.paid_before_micros += times * other.paid_before_micros;
        self.discount_micros += times * other.discount_micros;
        self.cost_micros += times * other.cost_micros;
        self.buyers += times * other.buyers;
        self.converted += times * other.converted;
        self.messages += times * other.messages;
        self.clicks += times * other.clicks;
    }
}

impl Topic for OutcomeCounted {
    const NAME: &'static str = "outcome.counted";

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }

    fn remainder(&self) -> Option<Self> {
        Some(self.clone())
    }
}

/// A campaign is to be measured again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgressDue {
    pub(super) campaign: Box<str>,
}

impl Topic for ProgressDue {
    const NAME: &'static str = "analytics.progress_due";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }
}

/// What a goal's metric was over the time before its campaign began: a look over the whole journal, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineWanted {
    /// The campaign.
    pub campaign: Box<str>,
    /// The place of the entry that started the plan.
    pub plan: u64,
    /// The segment whose people are looked at.
    pub audience: Box<str>,
    /// From here.
    pub from_ms: Millis,
    /// To here.
    pub until_ms: Millis,
    /// The currency of amounts.
    pub currency: Box<str>,
    /// The event of a conversion.
    pub event: Option<Box<str>>,
    /// What is measured.
    pub metric: crate::goals::Metric,
}

impl Topic for BaselineWanted {
    const NAME: &'static str = "analytics.baseline_wanted";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(AgentKey::partition(&self.campaign.to_string()))
    }
}
