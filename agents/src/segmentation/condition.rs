//! What a segment asks of a person: the JSON shape of a definition.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{instant::Instant, span::Span};
use crate::vocabulary::EventKind;

/// One condition, a JSON object with a single key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Every one of them holds.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// What is known of the person: `{"trait": {"name": "plan", "op": "=", "value": "pro"}}`.
    Trait(TraitCondition),
    /// A number kept for the person: `{"feature": {"name": "orders", "op": ">=", "value": 3}}`.
    Feature(FeatureCondition),
    /// What the person did, counted or summed up:
    /// `{"event": {"name": "Order Completed", "window": {"last": "30d"}, "op": ">=", "value": 2}}`.
    Event(EventCondition),
    /// What the person did not do: `{"absent": {"name": "Order Completed", "window": {"last": "30d"}}}`.
    Absent(AbsentCondition),
    /// One thing after another, or one thing and not the other:
    /// `{"sequence": {"first": {"name": "Product Added"}, "then": {"name": "Order Completed"}, "within": "2h", "followed": false}}`.
    Sequence(SequenceCondition),
    /// Membership of another segment, by its id: `{"segment": "vip"}`.
    Segment(Box<str>),
    /// A random share of everybody, the same people each time: `{"sample": {"percent": 10, "salt": "may"}}`.
    Sample(SampleCondition),
    /// A model's score: `{"score": {"model": "churn_risk", "op": ">=", "value": 0.9}}`.
    Score(ScoreCondition),
}

/// How a value is compared. A missing value satisfies `missing` and `!=` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal; numbers by value.
    #[serde(rename = "=")]
    Equal,
    /// Not equal, or missing.
    #[serde(rename = "!=")]
    NotEqual,
    /// Less; texts by their Unicode code points.
    #[serde(rename = "<")]
    Less,
    /// Less or equal.
    #[serde(rename = "<=")]
    LessOrEqual,
    /// Greater.
    #[serde(rename = ">")]
    Greater,
    /// Greater or equal.
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// A text holds the text, a list the element.
    #[serde(rename = "contains")]
    Contains,
    /// Equal to one of a list.
    #[serde(rename = "in")]
    In,
    /// There, and not null.
    #[serde(rename = "exists")]
    Exists,
    /// Not there, or null.
    #[serde(rename = "missing")]
    Missing,
    /// A text begins with the text.
    #[serde(rename = "starts_with")]
    StartsWith,
    /// A text ends with the text.
    #[serde(rename = "ends_with")]
    EndsWith,
    /// An instant before the given one.
    #[serde(rename = "before")]
    Before,
    /// An instant at or after the given one.
    #[serde(rename = "after")]
    After,
    /// An instant not in the future and less than so long ago, e.g. `"7d"`.
    #[serde(rename = "within_last")]
    WithinLast,
    /// An instant at least so long ago.
    #[serde(rename = "longer_ago_than")]
    LongerAgoThan,
    /// An instant from now on, less than so far away.
    #[serde(rename = "within_next")]
    WithinNext,
}

/// A test of a trait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraitCondition {
    /// The trait's name; dots go into nested objects, e.g. `address.city`.
    pub name: Box<str>,
    /// How it is compared.
    pub op: Comparison,
    /// With what; none for `exists` and `missing`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

/// A test of a feature: a count, an amount of money in the currency's unit, or an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCondition {
    /// The feature's name, e.g. `orders`, `value.EUR`, `last_order_at`, `email.opened`.
    pub name: Box<str>,
    /// How it is compared.
    pub op: Comparison,
    /// With what; none for `exists` and `missing`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

/// Which events are meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Which call they come as; `track` unless said.
    #[serde(default = "track", skip_serializing_if = "is_track")]
    pub kind: EventKind,
    /// The event's, page's or screen's name; any name where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Tests of their properties, all of which must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PropertyFilter>,
}

fn track() -> EventKind {
    EventKind::Track
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_track(kind: &EventKind) -> bool {
    *kind == EventKind::Track
}

/// A test of one property of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyFilter {
    /// The property's name; dots go into nested objects.
    pub property: Box<str>,
    /// How it is compared. Comparisons with the present are not for properties.
    pub op: Comparison,
    /// With what; none for `exists` and `missing`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

/// What is made of the events that are meant.
///
/// A property's values are its texts (up to 512 bytes), numbers and truth values; null, lists and objects are
/// none. Its numbers are also the texts that are one, e.g. `"12.50"`. Of two events of one instant, a fixed
/// but arbitrary one comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// How many there are.
    #[default]
    Count,
    /// Sum of a property's numbers; 0 for none.
    Sum,
    /// Least of a property's numbers.
    Min,
    /// Greatest of a property's numbers.
    Max,
    /// A property of the first of them that has it, by event time.
    First,
    /// A property of the last of them that has it, by event time.
    Last,
    /// How many different values of a property there are.
    Distinct,
}

/// A stretch of time: rolling (`last`), or fixed (`from`, `to`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The last so long, e.g. `"30d"`: an event counts from its instant until exactly so long after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Span>,
    /// From this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Instant>,
    /// Before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Instant>,
}

impl Window {
    /// Whether it is all of time.
    pub fn is_ever(&self) -> bool {
        *self == Self::default()
    }
}

/// A test of what a person did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCondition {
    /// Which call they come as; `track` unless said.
    #[serde(default = "track", skip_serializing_if = "is_track")]
    pub kind: EventKind,
    /// The event's, page's or screen's name; any name where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Tests of their properties, all of which must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PropertyFilter>,
    /// What is made of them; `count` unless said.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// Of which property; none for `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<Box<str>>,
    /// In which stretch of time; ever unless said.
    #[serde(default, skip_serializing_if = "Window::is_ever")]
    pub window: Window,
    /// How it is compared.
    pub op: Comparison,
    /// With what.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

impl EventCondition {
    /// Which events it looks at.
    pub fn selector(&self) -> Selector {
        Selector { kind: self.kind, name: self.name.clone(), filters: self.filters.clone() }
    }
}

/// That a person did not do something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsentCondition {
    /// Which call they come as; `track` unless said.
    #[serde(default = "track", skip_serializing_if = "is_track")]
    pub kind: EventKind,
    /// The event's, page's or screen's name; any name where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// Tests of their properties, all of which must hold.
    #[serde(default, rename = "where", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PropertyFilter>,
    /// In which stretch of time; ever unless said.
    #[serde(default, skip_serializing_if = "Window::is_ever")]
    pub window: Window,
}

/// That one event was followed by another, or was not.
///
/// An event of `then` at instant b follows one of `first` at a where a < b < a + within. With
/// `followed: false`, that for some `first` so long has passed and no `then` came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceCondition {
    /// What comes first.
    pub first: Selector,
    /// What comes then.
    pub then: Selector,
    /// How soon.
    pub within: Span,
    /// Whether it came, or did not come; true unless said.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub followed: bool,
    /// When the first event must have been; ever unless said.
    #[serde(default, skip_serializing_if = "Window::is_ever")]
    pub window: Window,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_yes(followed: &bool) -> bool {
    *followed
}

/// A random share of everybody: those for whom the first 64 bits (little endian) of BLAKE3 over the word
/// `sample`, the profile's number (8 bytes, little endian) and the salt are within that share of all numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleCondition {
    /// Which share, above 0 and at most 100.
    pub percent: f64,
    /// Samples of different salts are independent of each other.
    #[serde(default)]
    pub salt: Box<str>,
}

/// Which model's score is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreModel {
    /// Probability that the person would have ordered again by now, were they still a customer.
    ChurnRisk,
}

/// A test of a model's score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreCondition {
    /// Which model.
    pub model: ScoreModel,
    /// `>=` or `<`.
    pub op: Comparison,
    /// With what, above 0 and below 1.
    pub value: f64,
}
