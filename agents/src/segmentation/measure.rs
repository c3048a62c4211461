//! What is kept of a person's events: one measure for each question that definitions ask of them.
//!
//! A measure does not depend on the order its events come in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Aggregate, Selector,
    truth::{PropertyTest, lookup, micros_of},
};
use crate::vocabulary::{EventKind, Millis, Tracked};

/// Events of one person kept for one measure at most; of more, the newest are kept.
pub(super) const EVENTS_MAX: usize = 10_000;
/// Different values of one person remembered for one measure at most.
const DISTINCT_MAX: usize = 10_000;
/// Length of a text kept for `first` and `last`, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// What a measure measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct MeasureSpec {
    pub(super) selector: Selector,
    pub(super) keep: Keep,
    /// Of which property.
    #[serde(default)]
    pub(super) property: Option<Box<str>>,
}

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Keep {
    /// One value over a fixed stretch of time, or ever.
    Total { aggregate: Aggregate, from: Option<Millis>, to: Option<Millis> },
    /// The events themselves, for so long; for ever where there is no horizon.
    Log { horizon: Option<Millis> },
}

impl MeasureSpec {
    /// Whether it keeps all that `other` keeps, and for longer.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let longer = match (&self.keep, &other.keep) {
            (Keep::Log { horizon: None }, Keep::Log { horizon: Some(_) }) => true,
            (Keep::Log { horizon: Some(own) }, Keep::Log { horizon: Some(other) }) => own > other,
            _ => false,
        };
        longer && self.selector == other.selector && self.property == other.property
    }
}

/// A measure ready for use.
pub(super) struct Measure {
    pub(super) spec: MeasureSpec,
    filters: Vec<PropertyTest>,
}

/// An event as measures look at it: its properties parsed once, when first asked for.
pub(super) struct Look<'a> {
    event: &'a Tracked,
    properties: Option<Map<String, Value>>,
}

impl<'a> Look<'a> {
    pub(super) fn new(event: &'a Tracked) -> Self {
        Self { event, properties: None }
    }

    pub(super) fn kind(&self) -> EventKind {
        self.event.kind
    }

    pub(super) fn name(&self) -> &'a str {
        &self.event.name
    }

    fn properties(&mut self) -> &Map<String, Value> {
        self.properties.get_or_insert_with(|| self.event.properties.parse())
    }
}

impl Measure {
    pub(super) fn new(spec: MeasureSpec) -> Result<Self, String> {
        let filters = spec.selector.filters.iter().map(PropertyTest::new).collect::<Result<_, _>>()?;
        Ok(Self { spec, filters })
    }

    /// What an event of the right kind and name adds to the measure; `None` where it is not meant.
    pub(super) fn addition(&self, look: &mut Look<'_>, now: Millis) -> Option<Addition> {
        let at = look.event.at_ms;
        let (outside, forget) = match &self.spec.keep {
            Keep::Total { from, to, .. } => (from.is_some_and(|from| at < from) || to.is_some_and(|to| at >= to), None),
            Keep::Log { horizon } => {
                let start = horizon.map(|horizon| now.saturating_sub(horizon));
                (start.is_some_and(|start| at <= start), start)
            }
        };
        if outside || !(self.filters.is_empty() || self.filters.iter().all(|filter| filter.holds(look.properties()))) {
            return None;
        }
        let value = match &self.spec.property {
            None => None,
            Some(property) => Some(lookup(look.properties(), property).filter(|value| is_scalar(value))?.clone()),
        };
        Some(Addition { at, tie: look.event.tie(), value, forget })
    }

    /// A measure of nothing yet.
    pub(super) fn empty(&self) -> Measured {
        match &self.spec.keep {
            Keep::Total { aggregate: Aggregate::Count, .. } => Measured::Count(0),
            Keep::Total { aggregate: Aggregate::Sum, .. } => Measured::Sum(0),
            Keep::Total { aggregate: Aggregate::Min, .. } => Measured::Min(None),
            Keep::Total { aggregate: Aggregate::Max, .. } => Measured::Max(None),
            Keep::Total { aggregate: Aggregate::First, .. } => Measured::First(None),
            Keep::Total { aggregate: Aggregate::Last, .. } => Measured::Last(None),
            Keep::Total { aggregate: Aggregate::Distinct, .. } => Measured::Distinct(Vec::new()),
            Keep::Log { .. } if self.spec.property.is_none() => Measured::Instants(Vec::new()),
            Keep::Log { .. } => Measured::Log(Vec::new()),
        }
    }
}

/// What one event adds.
pub(super) struct Addition {
    at: Millis,
    tie: u32,
    value: Option<Value>,
    /// Events at or before this instant are out of every window.
    forget: Option<Millis>,
}

fn is_scalar(value: &Value) -> bool {
    match value {
        Value::String(text) => text.len() <= TEXT_BYTES_MAX,
        Value::Number(_) | Value::Bool(_) => true,
        _ => false,
    }
}

/// What has been measured of one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Measured {
    /// How many.
    #[serde(rename = "c")]
    Count(u64),
    /// Millionths.
    #[serde(rename = "s")]
    Sum(i128),
    /// Millionths.
    #[serde(rename = "n")]
    Min(Option<i64>),
    /// Millionths.
    #[serde(rename = "x")]
    Max(Option<i64>),
    /// The first with its property.
    #[serde(rename = "f")]
    First(Option<Item>),
    /// The last with its property.
    #[serde(rename = "l")]
    Last(Option<Item>),
    /// Hashes of the different values, in order.
    #[serde(rename = "d")]
    Distinct(Vec<u64>),
    /// Instants of all of them, in order.
    #[serde(rename = "i", with = "crate::packing")]
    Instants(Vec<Millis>),
    /// All of them with their property, in order.
    #[serde(rename = "g")]
    Log(Vec<Item>),
}

/// One event that was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    #[serde(rename = "a")]
    pub(super) at: Millis,
    #[serde(rename = "t")]
    pub(super) tie: u32,
    #[serde(rename = "v")]
    pub(super) value: Value,
}

impl Item {
    fn place(&self) -> (Millis, u32) {
        (self.at, self.tie)
    }
}

impl Measured {
    /// Reads a little of it.
    pub(super) fn touch(&self) -> usize {
        match self {
            Self::Instants(instants) => instants.last().map_or(0, |at| *at as usize),
            Self::Log(items) => items.last().map_or(0, |item| item.at as usize),
            _ => 0,
        }
    }

    /// Takes an event in; whether it counts.
    pub(super) fn add(&mut self, addition: Addition) -> bool {
        let Addition { at, tie, value, forget } = addition;
        if let Some(until) = forget {
            self.forget(until);
        }
        let micros = || value.as_ref().and_then(micros_of);
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => match micros() {
                Some(number) => *sum += i128::from(number),
                None => return false,
            },
            Self::Min(least) => match micros() {
                Some(number) => *least = Some(least.map_or(number, |least| least.min(number))),
                None => return false,
            },
            Self::Max(greatest) => match micros() {
                Some(number) => *greatest = Some(greatest.map_or(number, |greatest| greatest.max(number))),
                None => return false,
            },
            Self::First(_) | Self::Last(_) | Self::Log(_) => match value {
                Some(value) => self.put(Item { at, tie, value }),
                None => return false,
            },
            Self::Distinct(hashes) => match value {
                Some(value) => insert_hash(hashes, hash_of(&value)),
                None => return false,
            },
            Self::Instants(instants) => {
                let place = instants.partition_point(|known| *known <= at);
                instants.insert(place, at);
                drop_oldest(instants);
            }
        }
        true
    }

    fn put(&mut self, item: Item) {
        match self {
            Self::First(first) if first.as_ref().is_none_or(|first| item.place() < first.place()) => {
                *first = Some(item);
            }
            Self::Last(last) if last.as_ref().is_none_or(|last| item.place() >= last.place()) => *last = Some(item),
            Self::Log(items) => {
                let place = items.partition_point(|known| known.place() <= item.place());
                items.insert(place, item);
                drop_oldest(items);
            }
            _ => {}
        }
    }

    /// Forgets events at or before `until`.
    fn forget(&mut self, until: Millis) {
        match self {
            Self::Instants(instants) => {
                let gone = instants.partition_point(|at| *at <= until);
                instants.drain(..gone);
            }
            Self::Log(items) => {
                let gone = items.partition_point(|item| item.at <= until);
                items.drain(..gone);
            }
            _ => {}
        }
    }

    /// Takes in what was measured of somebody who turned out to be the same person.
    pub(super) fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum), Self::Sum(more)) => *sum += more,
            (Self::Min(least), Self::Min(other)) => *least = [*least, other].into_iter().flatten().min(),
            (Self::Max(greatest), Self::Max(other)) => *greatest = (*greatest).max(other),
            (this @ Self::First(_), Self::First(Some(item))) | (this @ Self::Last(_), Self::Last(Some(item))) => {
                this.put(item);
            }
            (Self::Distinct(hashes), Self::Distinct(more)) => {
                more.into_iter().for_each(|hash| insert_hash(hashes, hash));
            }
            (Self::Instants(instants), Self::Instants(more)) => {
                instants.extend(more);
                instants.sort_unstable();
                drop_oldest(instants);
            }
            (Self::Log(items), Self::Log(more)) => {
                items.extend(more);
                items.sort_by_key(Item::place);
                drop_oldest(items);
            }
            // The same measure is of the same shape for everybody; a first or last of nothing adds nothing.
            _ => {}
        }
    }
}

fn drop_oldest<T>(events: &mut Vec<T>) {
    if events.len() > EVENTS_MAX {
        events.drain(..events.len() - EVENTS_MAX);
    }
}

fn insert_hash(hashes: &mut Vec<u64>, hash: u64) {
    if let Err(place) = hashes.binary_search(&hash)
        && hashes.len() < DISTINCT_MAX
    {
        hashes.insert(place, hash);
    }
}

/// 64 bits of BLAKE3 over the value as JSON; 1 and 1.0 are one value.
fn hash_of(value: &Value) -> u64 {
    let text = match value {
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| format!("{number:?}")),
        other => other.to_string(),
    };
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(text.as_bytes()).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
