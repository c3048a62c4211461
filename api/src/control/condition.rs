//! The shape of a condition in the OpenAPI document.
//!
//! The agents' own types are what is read; they know nothing of HTTP. These stand for them in the
//! document, and a test holds the two together.
#![expect(dead_code, reason = "shapes of the document alone: nothing is ever made of them")]

use utoipa::ToSchema;

/// One condition: an object with a single key.
#[derive(ToSchema)]
#[schema(as = Condition, rename_all = "snake_case")]
pub(super) enum ConditionSchema {
    /// Every one of them holds.
    #[schema(no_recursion)]
    All(Vec<ConditionSchema>),
    /// At least one of them holds.
    #[schema(no_recursion)]
    Any(Vec<ConditionSchema>),
    /// It does not hold.
    #[schema(no_recursion)]
    Not(Box<ConditionSchema>),
    /// What is known of the person.
    Trait(TraitConditionSchema),
    /// A number kept for the person.
    Feature(FeatureConditionSchema),
    /// What the person did, counted or summed up.
    Event(EventConditionSchema),
    /// What the person did not do.
    Absent(AbsentConditionSchema),
    /// One thing after another, or one thing and not the other.
    Sequence(SequenceConditionSchema),
    /// Membership of another segment, by its id.
    Segment(String),
    /// A random share of everybody, the same people each time.
    Sample(SampleConditionSchema),
    /// A model's score.
    Score(ScoreConditionSchema),
}

/// How a value is compared. A missing value satisfies `missing` and `!=` alone.
#[derive(ToSchema)]
#[schema(as = Comparison)]
pub(super) enum ComparisonSchema {
    /// Equal; numbers by value.
    #[schema(rename = "=")]
    Equal,
    /// Not equal, or missing.
    #[schema(rename = "!=")]
    NotEqual,
    /// Less; texts by their Unicode code points.
    #[schema(rename = "<")]
    Less,
    /// Less or equal.
    #[schema(rename = "<=")]
    LessOrEqual,
    /// Greater.
    #[schema(rename = ">")]
    Greater,
    /// Greater or equal.
    #[schema(rename = ">=")]
    GreaterOrEqual,
    /// A text holds the text, a list the element.
    #[schema(rename = "contains")]
    Contains,
    /// Equal to one of a list.
    #[schema(rename = "in")]
    In,
    /// There, and not null.
    #[schema(rename = "exists")]
    Exists,
    /// Not there, or null.
    #[schema(rename = "missing")]
    Missing,
    /// A text begins with the text.
    #[schema(rename = "starts_with")]
    StartsWith,
    /// A text ends with the text.
    #[schema(rename = "ends_with")]
    EndsWith,
    /// An instant before the given one.
    #[schema(rename = "before")]
    Before,
    /// An instant at or after the given one.
    #[schema(rename = "after")]
    After,
    /// An instant not in the future and less than so long ago, e.g. `"7d"`.
    #[schema(rename = "within_last")]
    WithinLast,
    /// An instant at least so long ago.
    #[schema(rename = "longer_ago_than")]
    LongerAgoThan,
    /// An instant from now on, less than so far away.
    #[schema(rename = "within_next")]
    WithinNext,
}

/// A test of a trait.
#[derive(ToSchema)]
#[schema(as = TraitCondition)]
pub(super) struct TraitConditionSchema {
    /// The trait's name; dots go into nested objects, e.g. `address.city`.
    name: String,
    /// How it is compared.
    op: ComparisonSchema,
    /// With what; none for `exists` and `missing`.
    #[schema(required = false)]
    value: serde_json::Value,
}

/// A test of a feature: a count, an amount of money in the currency's unit, or an instant.
#[derive(ToSchema)]
#[schema(as = FeatureCondition)]
pub(super) struct FeatureConditionSchema {
    /// The feature's name, e.g. `orders`, `value.EUR`, `last_order_at`, `email.opened`.
    name: String,
    /// How it is compared.
    op: ComparisonSchema,
    /// With what; none for `exists` and `missing`.
    #[schema(required = false)]
    value: serde_json::Value,
}

/// Which of Segment's calls.
#[derive(ToSchema)]
#[schema(as = EventKind, rename_all = "lowercase")]
pub(super) enum EventKindSchema {
    /// Who the person is.
    Identify,
    /// What the person did.
    Track,
    /// A web page seen.
    Page,
    /// An app screen seen.
    Screen,
    /// The group the person belongs to.
    Group,
    /// Two identifiers are one person.
    Alias,
}

/// Which events are meant.
#[derive(ToSchema)]
#[schema(as = Selector)]
pub(super) struct SelectorSchema {
    /// Which call they come as; `track` unless said.
    kind: Option<EventKindSchema>,
    /// The event's, page's or screen's name; any name where there is none.
    name: Option<String>,
    /// Tests of their properties, all of which must hold.
    #[schema(rename = "where")]
    filters: Option<Vec<PropertyFilterSchema>>,
}

/// A test of one property of an event.
#[derive(ToSchema)]
#[schema(as = PropertyFilter)]
pub(super) struct PropertyFilterSchema {
    /// The property's name; dots go into nested objects.
    property: String,
    /// How it is compared. Comparisons with the present are not for properties.
    op: ComparisonSchema,
    /// With what; none for `exists` and `missing`.
    #[schema(required = false)]
    value: serde_json::Value,
}

/// What is made of the events that are meant.
#[derive(ToSchema)]
#[schema(as = Aggregate, rename_all = "lowercase")]
pub(super) enum AggregateSchema {
    /// How many there are.
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
#[derive(ToSchema)]
#[schema(as = Window)]
pub(super) struct WindowSchema {
    /// The last so long, e.g. `"30d"`: an event counts from its instant until exactly so long after it.
    last: Option<String>,
    /// From this instant on (RFC 3339, or a date).
    from: Option<String>,
    /// Before this instant (RFC 3339, or a date).
    to: Option<String>,
}

/// A test of what a person did.
#[derive(ToSchema)]
#[schema(as = EventCondition)]
pub(super) struct EventConditionSchema {
    /// Which call they come as; `track` unless said.
    kind: Option<EventKindSchema>,
    /// The event's, page's or screen's name; any name where there is none.
    name: Option<String>,
    /// Tests of their properties, all of which must hold.
    #[schema(rename = "where")]
    filters: Option<Vec<PropertyFilterSchema>>,
    /// What is made of them; `count` unless said.
    aggregate: Option<AggregateSchema>,
    /// Of which property; none for `count`.
    property: Option<String>,
    /// In which stretch of time; ever unless said.
    window: Option<WindowSchema>,
    /// How it is compared.
    op: ComparisonSchema,
    /// With what.
    #[schema(required = false)]
    value: serde_json::Value,
}

/// That a person did not do something.
#[derive(ToSchema)]
#[schema(as = AbsentCondition)]
pub(super) struct AbsentConditionSchema {
    /// Which call they come as; `track` unless said.
    kind: Option<EventKindSchema>,
    /// The event's, page's or screen's name; any name where there is none.
    name: Option<String>,
    /// Tests of their properties, all of which must hold.
    #[schema(rename = "where")]
    filters: Option<Vec<PropertyFilterSchema>>,
    /// In which stretch of time; ever unless said.
    window: Option<WindowSchema>,
}

/// That one event was followed by another, or was not.
#[derive(ToSchema)]
#[schema(as = SequenceCondition)]
pub(super) struct SequenceConditionSchema {
    /// What comes first.
    first: SelectorSchema,
    /// What comes then.
    then: SelectorSchema,
    /// How soon, e.g. `"2h"`.
    within: String,
    /// Whether it came, or did not come; true unless said.
    followed: Option<bool>,
    /// When the first event must have been; ever unless said.
    window: Option<WindowSchema>,
}

/// A random share of everybody.
#[derive(ToSchema)]
#[schema(as = SampleCondition)]
pub(super) struct SampleConditionSchema {
    /// Which share, above 0 and at most 100.
    percent: f64,
    /// Samples of different salts are independent of each other.
    salt: Option<String>,
}

/// Which model's score is meant.
#[derive(ToSchema)]
#[schema(as = ScoreModel, rename_all = "snake_case")]
pub(super) enum ScoreModelSchema {
    /// Probability that the person would have ordered again by now, were they still a customer.
    ChurnRisk,
}

/// A test of a model's score.
#[derive(ToSchema)]
#[schema(as = ScoreCondition)]
pub(super) struct ScoreConditionSchema {
    /// Which model.
    model: ScoreModelSchema,
    /// `>=` or `<`.
    op: ComparisonSchema,
    /// With what, above 0 and below 1.
    value: f64,
}
