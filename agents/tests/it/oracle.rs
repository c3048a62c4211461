//! Who is in a segment, by looking at all raw events each time: slow, simple, and written from the
//! documentation of the conditions alone.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use impresario_agents::{
    rhythm::RhythmFitted,
    segmentation::{
        Aggregate, Comparison, Condition, Instant, PropertyFilter, SHRINKAGE_GAPS, SampleCondition, ScoreCondition,
        Selector, SequenceCondition, Span, Window, instant_of,
    },
    vocabulary::{EventKind, Identifier, IdentifierKind, Millis, ProfileId, Text, Tracked},
};
use serde_json::{Map, Value};

/// What the journal has told so far.
#[derive(Default)]
pub(crate) struct Oracle {
    /// All events in the order they came in, each once.
    events: Vec<Raw>,
    /// The segments that stand.
    pub(crate) segments: BTreeMap<Box<str>, Condition>,
    /// Everybody's rhythm.
    pub(crate) rhythm: Option<RhythmFitted>,
}

struct Raw {
    tracked: Tracked,
    properties: Map<String, Value>,
    nodes: Vec<ProfileId>,
}

impl Raw {
    fn place(&self) -> (Millis, u32) {
        (self.tracked.at_ms, tie(&self.tracked.message_id))
    }
}

/// One person's events, by event time; those of one instant by a hash of the message id.
type Events<'a> = Vec<&'a Raw>;

/// What is known of a person.
pub(crate) struct Known<'a> {
    id: ProfileId,
    events: Events<'a>,
    traits: BTreeMap<&'a str, &'a Value>,
}

impl Oracle {
    /// An event has come in.
    pub(crate) fn tracked(&mut self, tracked: &Tracked) {
        let named = |kind: IdentifierKind, text: &Option<Text>| Identifier::new(kind, text.as_deref()?);
        let mut nodes: Vec<ProfileId> = [
            named(IdentifierKind::UserId, &tracked.user_id),
            named(IdentifierKind::AnonymousId, &tracked.anonymous_id),
        ]
        .into_iter()
        .flatten()
        .map(|identifier| identifier.node())
        .collect();
        if tracked.kind == EventKind::Alias {
            // It may be either.
            let previous = [IdentifierKind::UserId, IdentifierKind::AnonymousId];
            nodes.extend(previous.into_iter().filter_map(|kind| named(kind, &tracked.previous_id)).map(|id| id.node()));
        }
        self.events.push(Raw { tracked: tracked.clone(), properties: tracked.properties.parse(), nodes });
    }

    /// Everybody, by id: whoever shares an identifier is one person, named by the lowest.
    pub(crate) fn people(&self) -> BTreeMap<ProfileId, Known<'_>> {
        let mut person_of: BTreeMap<ProfileId, ProfileId> = BTreeMap::new();
        for node in self.events.iter().flat_map(|event| &event.nodes) {
            person_of.insert(*node, *node);
        }
        loop {
            let before = person_of.clone();
            for event in &self.events {
                let lowest = event.nodes.iter().filter_map(|node| person_of.get(node)).min().copied().unwrap();
                for node in &event.nodes {
                    person_of.insert(*node, lowest);
                }
            }
            if before == person_of {
                break;
            }
        }
        let mut people: BTreeMap<ProfileId, Events<'_>> = BTreeMap::new();
        for event in &self.events {
            let id = event.nodes.first().and_then(|node| person_of.get(node)).unwrap();
            people.entry(*id).or_default().push(event);
        }
        people.into_iter().map(|(id, events)| (id, Known::new(id, events))).collect()
    }

    /// Who is in a segment of this condition.
    pub(crate) fn members(&self, condition: &Condition, now: Millis) -> BTreeSet<ProfileId> {
        let people = self.people();
        people.values().filter(|person| self.holds(person, condition, now)).map(|person| person.id).collect()
    }

    /// Whether a condition holds for a person.
    pub(crate) fn holds(&self, person: &Known<'_>, condition: &Condition, now: Millis) -> bool {
        match condition {
            Condition::All(inner) => inner.iter().all(|inner| self.holds(person, inner, now)),
            Condition::Any(inner) => inner.iter().any(|inner| self.holds(person, inner, now)),
            Condition::Not(inner) => !self.holds(person, inner, now),
            Condition::Trait(asked) => compare(person.trait_at(&asked.name), asked.op, &asked.value, now),
            Condition::Feature(asked) => compare(person.feature(&asked.name).as_ref(), asked.op, &asked.value, now),
            Condition::Event(asked) => {
                let events = person.meant(&asked.selector(), &asked.window, now);
                let found = aggregate(&events, asked.aggregate, asked.property.as_deref().unwrap_or_default());
                compare(found.as_ref(), asked.op, &asked.value, now)
            }
            Condition::Absent(asked) => {
                let selector = Selector { kind: asked.kind, name: asked.name.clone(), filters: asked.filters.clone() };
                person.meant(&selector, &asked.window, now).is_empty()
            }
            Condition::Sequence(asked) => person.sequence(asked, now),
            Condition::Segment(id) => self.segments.get(id).is_some_and(|inner| self.holds(person, inner, now)),
            Condition::Sample(asked) => in_sample(person.id, asked),
            Condition::Score(asked) => self.score(person, asked, now),
        }
    }

    /// Churn risk: passed at the last order plus mean gap times `-ln(1 - threshold)`.
    fn score(&self, person: &Known<'_>, asked: &ScoreCondition, now: Millis) -> bool {
        let orders = person.orders();
        let (Some(first), Some(last), Some(rhythm)) = (orders.first(), orders.last(), &self.rhythm) else {
            return false;
        };
        let days: BTreeSet<i64> = orders.iter().map(|at| at.div_euclid(86_400_000)).collect();
        let gaps = days.len() as i64 - 1;
        let mean = (SHRINKAGE_GAPS * rhythm.mean_gap_ms + (last - first)) / (SHRINKAGE_GAPS + gaps);
        let factor_micros = (-(1.0 - asked.value).ln() * 1e6).round() as i128;
        let wait = i128::from(mean.max(1)) * factor_micros / 1_000_000;
        let passed = i128::from(now) >= i128::from(*last) + wait.max(1);
        if asked.op == Comparison::Less { !passed } else { passed }
    }

    /// Instants at which time alone may change something.
    pub(crate) fn edges(&self) -> BTreeSet<Millis> {
        let mut spans = BTreeSet::new();
        let mut instants = BTreeSet::new();
        self.segments.values().for_each(|condition| times(condition, &mut spans, &mut instants));
        instants.extend(self.events.iter().map(|event| event.tracked.at_ms));
        let traits = self.events.iter().flat_map(|event| event.properties.values());
        instants.extend(traits.filter_map(instant_of).filter(|at| *at > 1_000_000_000_000));
        let after = instants.iter().flat_map(|at| spans.iter().flat_map(move |span| [at + span, at - span]));
        let mut edges: BTreeSet<Millis> = after.collect();
        edges.extend(instants);
        edges
    }
}

fn times(condition: &Condition, spans: &mut BTreeSet<Millis>, instants: &mut BTreeSet<Millis>) {
    let mut window = |window: &Window| {
        spans.extend(window.last.map(Span::ms));
        instants.extend(window.from.into_iter().chain(window.to).map(Instant::ms));
    };
    match condition {
        Condition::All(inner) | Condition::Any(inner) => {
            inner.iter().for_each(|inner| times(inner, spans, instants));
        }
        Condition::Not(inner) => times(inner, spans, instants),
        Condition::Event(asked) => window(&asked.window),
        Condition::Absent(asked) => window(&asked.window),
        Condition::Sequence(asked) => {
            window(&asked.window);
            spans.insert(asked.within.ms());
        }
        Condition::Trait(asked) => spans.extend(span_of(&asked.value)),
        Condition::Feature(asked) => spans.extend(span_of(&asked.value)),
        _ => {}
    }
}

impl<'a> Known<'a> {
    fn new(id: ProfileId, mut events: Events<'a>) -> Self {
        events.sort_by_key(|event| event.place());
        let mut traits = BTreeMap::new();
        for event in events.iter().filter(|event| event.tracked.kind == EventKind::Identify) {
            traits.extend(event.properties.iter().map(|(name, value)| (name.as_str(), value)));
        }
        Self { id, events, traits }
    }

    fn trait_at(&self, path: &str) -> Option<&Value> {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        let mut found = *self.traits.get(name)?;
        for part in rest.split('.').filter(|part| !part.is_empty()) {
            found = found.as_object()?.get(part)?;
        }
        Some(found)
    }

    fn orders(&self) -> Vec<Millis> {
        self.tracks("Order Completed").map(|event| event.tracked.at_ms).collect()
    }

    fn tracks(&self, name: &'static str) -> impl Iterator<Item = &'a Raw> {
        let tracked = self.events.iter().filter(|event| event.tracked.kind == EventKind::Track).copied();
        tracked.filter(move |event| &*event.tracked.name == name)
    }

    /// A feature, recomputed. A count of nothing is 0, an instant of nothing is missing.
    fn feature(&self, name: &str) -> Option<Value> {
        let of_kind = |kind| self.events.iter().filter(|event| event.tracked.kind == kind).count();
        let at = |event: &&Raw| event.tracked.at_ms;
        let count = match name {
            "events" => self.events.len(),
            "pages" => of_kind(EventKind::Page),
            "screens" => of_kind(EventKind::Screen),
            "orders" => self.orders().len(),
            "order_days" => self.orders().iter().map(|at| at.div_euclid(86_400_000)).collect::<BTreeSet<_>>().len(),
            "product_views" => self.tracks("Product Viewed").count(),
            "first_seen_at" => return Some(self.events.first().map(at)?.into()),
            "last_seen_at" => return Some(self.events.last().map(at)?.into()),
            "first_order_at" => return Some((*self.orders().first()?).into()),
            "last_order_at" => return Some((*self.orders().last()?).into()),
            "last_product_view_at" => return Some(self.tracks("Product Viewed").last()?.tracked.at_ms.into()),
            "value.EUR" => {
                let euro = self.tracks("Order Completed").filter(|event| event.properties["currency"] == "EUR");
                return Some(euro.map(|event| event.properties["revenue"].as_f64().unwrap()).sum::<f64>().into());
            }
            other => panic!("the oracle knows no feature {other}"),
        };
        Some((count as u64).into())
    }

    /// The events of a selector in a stretch of time, by event time.
    fn meant(&self, selector: &Selector, window: &Window, now: Millis) -> Events<'a> {
        let meant = |event: &&Raw| {
            let tracked = &event.tracked;
            tracked.kind == selector.kind
                && selector.name.as_ref().is_none_or(|name| **name == *tracked.name)
                && selector.filters.iter().all(|filter| passes(event, filter, now))
                && in_window(tracked.at_ms, window, now)
        };
        self.events.iter().copied().filter(meant).collect()
    }

    fn sequence(&self, asked: &SequenceCondition, now: Millis) -> bool {
        let firsts = self.meant(&asked.first, &asked.window, now);
        let thens = self.meant(&asked.then, &Window::default(), now);
        firsts.iter().map(|first| first.tracked.at_ms).any(|a| {
            let came = thens.iter().map(|then| then.tracked.at_ms).any(|b| a < b && b < a + asked.within.ms());
            if asked.followed { came } else { !came && now >= a + asked.within.ms() }
        })
    }
}

fn in_window(at: Millis, window: &Window, now: Millis) -> bool {
    window.last.is_none_or(|last| at <= now && now < at + last.ms())
        && window.from.is_none_or(|from| at >= from.ms())
        && window.to.is_none_or(|to| at < to.ms())
}

fn passes(event: &Raw, filter: &PropertyFilter, now: Millis) -> bool {
    compare(property(event, &filter.property), filter.op, &filter.value, now)
}

fn property<'a>(event: &'a Raw, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut found = event.properties.get(parts.next()?)?;
    for part in parts {
        found = found.as_object()?.get(part)?;
    }
    Some(found)
}

fn aggregate(events: &[&Raw], how: Aggregate, path: &str) -> Option<Value> {
    let is_one = |value: &&Value| value.is_string() || value.is_number() || value.is_boolean();
    let there = || events.iter().filter_map(|event| property(event, path)).filter(is_one);
    let numbers = || there().filter_map(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    match how {
        Aggregate::Count => Some(events.len().into()),
        Aggregate::Sum => Some(numbers().sum::<f64>().into()),
        Aggregate::Min => numbers().reduce(f64::min).map(Into::into),
        Aggregate::Max => numbers().reduce(f64::max).map(Into::into),
        Aggregate::First => there().next().cloned(),
        Aggregate::Last => there().next_back().cloned(),
        Aggregate::Distinct => {
            let mut seen: Vec<&Value> = Vec::new();
            for value in there() {
                if !seen.iter().any(|known| equal(known, value)) {
                    seen.push(value);
                }
            }
            Some(seen.len().into())
        }
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

fn span_of(value: &Value) -> Option<Millis> {
    value.as_str()?.parse::<Span>().ok().map(Span::ms)
}

fn compare(found: Option<&Value>, op: Comparison, wanted: &Value, now: Millis) -> bool {
    let Some(found) = found.filter(|found| !found.is_null()) else {
        return matches!(op, Comparison::Missing | Comparison::NotEqual);
    };
    let order = match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => found.as_f64().partial_cmp(&wanted.as_f64()),
        (Value::String(found), Value::String(wanted)) => Some(found.cmp(wanted)),
        _ => None,
    };
    let texts = found.as_str().zip(wanted.as_str());
    let at = instant_of(found);
    let moments = at.zip(instant_of(wanted));
    let distance = at.zip(span_of(wanted));
    match op {
        Comparison::Exists => true,
        Comparison::Missing => false,
        Comparison::Equal => equal(found, wanted),
        Comparison::NotEqual => !equal(found, wanted),
        Comparison::Less => order.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Comparison::Contains => match found {
            Value::Array(list) => list.iter().any(|element| equal(element, wanted)),
            _ => texts.is_some_and(|(found, wanted)| found.contains(wanted)),
        },
        Comparison::In => wanted.as_array().is_some_and(|list| list.iter().any(|one| equal(found, one))),
        Comparison::StartsWith => texts.is_some_and(|(found, wanted)| found.starts_with(wanted)),
        Comparison::EndsWith => texts.is_some_and(|(found, wanted)| found.ends_with(wanted)),
        Comparison::Before => moments.is_some_and(|(found, wanted)| found < wanted),
        Comparison::After => moments.is_some_and(|(found, wanted)| found >= wanted),
        Comparison::WithinLast => distance.is_some_and(|(at, span)| at <= now && now < at + span),
        Comparison::LongerAgoThan => distance.is_some_and(|(at, span)| now >= at + span),
        Comparison::WithinNext => distance.is_some_and(|(at, span)| now <= at && at < now + span),
    }
}

/// The message id's part of an event's stamp: FNV-1a, folded to 32 bits.
fn tie(message_id: &str) -> u32 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = message_id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (hash ^ (hash >> 32)) as u32
}

/// By 64 bits of BLAKE3 over the word `sample`, the profile's number and the salt.
fn in_sample(id: ProfileId, asked: &SampleCondition) -> bool {
    let bytes = [b"sample".as_slice(), &id.0.to_le_bytes(), asked.salt.as_bytes()].concat();
    let hash = blake3::hash(&bytes);
    let number = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
    number <= (asked.percent / 100.0 * u64::MAX as f64) as u64
}
