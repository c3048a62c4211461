//! What a goal is: its JSON shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    campaigns::{Autonomy, Budget, Strategy},
    segmentation::{Comparison, Condition, SampleCondition, ScoreCondition, ScoreModel, SegmentDefined, Span},
    vocabulary::Channel,
};

/// What a goal is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Who is slipping away: customers whose time since their last order is long for their own rhythm.
    ChurnRisk,
    /// Orders per person of the audience.
    Orders,
    /// What is paid, less refunds, per person, in the goal's currency.
    Revenue,
    /// Revenue less what was given away and what sending cost, per person.
    Margin,
    /// The share of people with an order who make no other within the horizon.
    Churn,
    /// The share of people with an order who make another within the horizon.
    Retention,
    /// The share of messages that a person clicks.
    Engagement,
    /// The share of people who do the goal's event within the horizon.
    Conversion,
    /// What a person has paid in all their time, less refunds, in the goal's currency.
    LifetimeValue,
}

impl Metric {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChurnRisk => "churn_risk",
            Self::Orders => "orders",
            Self::Revenue => "revenue",
            Self::Margin => "margin",
            Self::Churn => "churn",
            Self::Retention => "retention",
            Self::Engagement => "engagement",
            Self::Conversion => "conversion",
            Self::LifetimeValue => "lifetime_value",
        }
    }

    /// Whether it is an amount of money.
    pub fn is_money(self) -> bool {
        matches!(self, Self::Revenue | Self::Margin | Self::LifetimeValue)
    }

    /// Whether it is a share, from 0 to 1.
    pub fn is_share(self) -> bool {
        matches!(self, Self::ChurnRisk | Self::Churn | Self::Retention | Self::Engagement | Self::Conversion)
    }

    /// Which way is better.
    pub fn better(self) -> Direction {
        match self {
            Self::ChurnRisk | Self::Churn => Direction::Decrease,
            _ => Direction::Increase,
        }
    }
}

/// Which way a metric is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up.
    Increase,
    /// Down.
    Decrease,
}

/// How far a metric is to move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// To this value.
    Absolute(f64),
    /// By this share of the baseline, e.g. 0.1 for a tenth.
    Relative(f64),
}

/// What must not get worse; a campaign that breaks one stops at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// Most unsubscriptions for a message sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe_rate_max: Option<f64>,
    /// Most complaints for a message sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaint_rate_max: Option<f64>,
    /// Most messages that come back, for a message sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce_rate_max: Option<f64>,
}

impl Guardrails {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// In place of an offer's name: no offer.
pub const NO_OFFER: &str = "none";

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Its name for people, 1 to 200 characters.
    pub name: Box<str>,
    /// What it is measured by.
    pub metric: Metric,
    /// From which risk on a customer counts as slipping away, above 0 and below 1; 0.9 unless said: nine
    /// in ten of such a customer's gaps between orders would be over by now.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// Whom it is about; everybody unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Condition>,
    /// Which way the metric is to move; the better way unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// How far; no end but the horizon unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The horizon: how long it has, e.g. `30d`; for ever unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// The event of [`Metric::Conversion`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<str>>,
    /// Three letters (ISO 4217); `USD` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Box<str>>,
    /// The kind of situation that makes a person due; being in the audience unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub situation: Option<Box<str>>,
    /// The channels it may use; with no channel and no template it acts on nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// The templates it may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Box<str>>,
    /// The offers it may make, `none` for making none; none unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Box<str>>,
    /// The hours of a person's day at which it may begin to send; at once unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<u8>,
    /// The topic of consent its messages belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// The journey a person begins when due; a single decision unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journey: Option<Box<str>>,
    /// What must not be passed.
    #[serde(default, skip_serializing_if = "is_no_budget")]
    pub budget: Budget,
    /// People it may ever send to; a tenth more than the audience of the plan unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<u64>,
    /// What must not get worse.
    #[serde(default, skip_serializing_if = "Guardrails::is_none")]
    pub guardrails: Guardrails,
    /// The share of people left alone, to measure against.
    #[serde(default = "holdout")]
    pub holdout: f64,
    /// The share of people for whom chance decides.
    #[serde(default = "random_control")]
    pub random_control: f64,
    /// How far it goes by itself.
    #[serde(default)]
    pub autonomy: Autonomy,
    /// How an arm is chosen; by what is learned of people unless said.
    #[serde(default, skip_serializing_if = "is_learning")]
    pub strategy: Strategy,
    /// How long after a decision what happens is put down to it.
    #[serde(default = "attribution")]
    pub attribution: Span,
    /// How long from one decision about a person to the next.
    #[serde(default = "every")]
    pub every: Span,
    /// The least likelihood of every arm that may be chosen.
    /// A twentieth of all decisions, spread evenly, and at most a hundredth each, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exploration: Option<f64>,
    /// What one message costs, by channel, in the goal's currency.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<Channel, f64>,
    /// What an offer gives away at most, by offer, in the goal's currency.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub discounts: BTreeMap<Box<str>, f64>,
}

fn is_no_budget(budget: &Budget) -> bool {
    *budget == Budget::default()
}

fn is_learning(strategy: &Strategy) -> bool {
    *strategy == Strategy::Learn
}

/// The threshold of a goal that names none.
pub fn threshold() -> f64 {
    0.9
}

fn holdout() -> f64 {
    0.1
}

fn random_control() -> f64 {
    0.05
}

fn attribution() -> Span {
    Span::from_ms(3 * crate::vocabulary::DAY_MS)
}

fn every() -> Span {
    Span::from_ms(7 * crate::vocabulary::DAY_MS)
}

impl Goal {
    /// A goal of this name and metric with all else unsaid.
    pub fn new(name: &str, metric: Metric) -> Self {
        Self {
            name: name.into(),
            metric,
            threshold: threshold(),
            audience: None,
            direction: None,
            target: None,
            within: None,
            event: None,
            currency: None,
            situation: None,
            channels: Vec::new(),
            templates: Vec::new(),
            offers: Vec::new(),
            hours: Vec::new(),
            topic: None,
            journey: None,
            budget: Budget::default(),
            blast_radius: None,
            guardrails: Guardrails::default(),
            holdout: holdout(),
            random_control: random_control(),
            autonomy: Autonomy::default(),
            strategy: Strategy::default(),
            attribution: attribution(),
            every: every(),
            exploration: None,
            costs: BTreeMap::new(),
            discounts: BTreeMap::new(),
        }
    }

    /// Whether it acts on anybody: else it makes its segment, and that is all.
    pub fn acts(&self) -> bool {
        !self.channels.is_empty() || !self.templates.is_empty() || self.journey.is_some()
    }

    /// Which way its metric is to move.
    pub fn direction(&self) -> Direction {
        self.direction.unwrap_or(self.metric.better())
    }

    /// The currency of its amounts.
    pub fn currency(&self) -> &str {
        self.currency.as_deref().unwrap_or("USD")
    }

    /// The condition of the segment that serves it.
    pub fn condition(&self) -> Condition {
        if self.metric != Metric::ChurnRisk {
            let everybody = || Condition::Sample(SampleCondition { percent: 100.0, salt: "".into() });
            return self.audience.clone().unwrap_or_else(everybody);
        }
        let score =
            ScoreCondition { model: ScoreModel::ChurnRisk, op: Comparison::GreaterOrEqual, value: self.threshold };
        match &self.audience {
            Some(audience) => Condition::All(vec![Condition::Score(score), audience.clone()]),
            None => Condition::Score(score),
        }
    }

    /// The definition of the segment that serves the goal of this id: it has the goal's id and name.
    pub fn segment(&self, id: &str) -> SegmentDefined {
        SegmentDefined { id: id.into(), name: self.name.clone(), condition: self.condition(), goal: Some(id.into()) }
    }
}
