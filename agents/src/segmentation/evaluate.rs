//! Who is in: a definition's tree over one person, now, and until when that stands.

use serde_json::Value;

use super::{
    Aggregate,
    definitions::Definitions,
    measure::{Item, Measured},
    person::Person,
    plan::{Leaf, LeafTest, Node, Sequence, TotalTest, in_test_unit},
    score::ChurnTest,
    truth::{FOREVER, MICROS, Truth, micros_of},
};
use crate::vocabulary::{Feature, Millis, Unit};

/// A person at an instant.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) person: &'a Person,
    pub(super) definitions: &'a Definitions,
    pub(super) now: Millis,
}

impl Node {
    /// Whether it holds, and before which instant time alone can't change that.
    pub(super) fn truth(&self, view: View<'_>) -> Truth {
        match self {
            Self::All(nodes) => all(nodes, view, false),
            Self::Any(nodes) => all(nodes, view, true).not(),
            Self::Not(node) => node.truth(view).not(),
            Self::Leaf(leaf) => {
                let truth = leaf.truth(view);
                // What stands stands for a millisecond at least, or a timer would fire at once, for ever.
                Truth { until: truth.until.max(view.now.saturating_add(1)), ..truth }
            }
        }
    }

    /// The tests that decide, with what was found, where it is known whether the whole holds. Looks again only
    /// for which of several parts decides.
    pub(super) fn explain(&self, view: View<'_>, holds: bool) -> String {
        const PARTS_MAX: usize = 4;
        let (nodes, all) = match self {
            Self::All(nodes) => (nodes, true),
            Self::Any(nodes) => (nodes, false),
            Self::Not(node) => return format!("not ({})", node.explain(view, !holds)),
            Self::Leaf(leaf) => return leaf.explain(view, holds),
        };
        if holds == all {
            let parts: Vec<_> = nodes.iter().take(PARTS_MAX).map(|node| node.explain(view, holds)).collect();
            return parts.join(if all { " and " } else { " or " });
        }
        let decisive = match nodes.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|node| node.truth(view).holds == holds),
        };
        decisive.map_or_else(String::new, |node| node.explain(view, holds))
    }
}

/// Whether all nodes hold; with `negated`, whether none does.
fn all(nodes: &[Node], view: View<'_>, negated: bool) -> Truth {
    let (mut holds, mut first_change, mut last_failing) = (true, FOREVER, Millis::MIN);
    for node in nodes {
        let truth = node.truth(view);
        if truth.holds != negated {
            first_change = first_change.min(truth.until);
        } else {
            holds = false;
            last_failing = last_failing.max(truth.until);
            if last_failing == FOREVER {
                break;
            }
        }
    }
    // As long as one fails for sure, the whole does.
    Truth::until(holds, if holds { first_change } else { last_failing })
}

impl Leaf {
    fn truth(&self, view: View<'_>) -> Truth {
        let View { person, definitions, now } = view;
        match &self.test {
            LeafTest::Trait { name, test } => Truth::forever(test.holds(person.trait_value(name))),
            LeafTest::TraitInstant { name, test } => {
                test.truth(person.trait_value(name).and_then(super::instant::instant_of), now)
            }
            LeafTest::Feature { feature, test } => Truth::forever(test.holds(found_feature(person, *feature))),
            LeafTest::FeatureInstant { feature, test } => test.truth(person.feature(*feature), now),
            LeafTest::Total { measure, aggregate, test } => Truth::forever(match person.measured(*measure) {
                Some(measured) => test.holds(measured),
                None => outcome_of_none(*aggregate, test),
            }),
            LeafTest::Rolling { measure, aggregate, window, test } => {
                rolling(person.measured(*measure), *aggregate, *window, test, now)
            }
            LeafTest::Sequence(sequence) => sequence.truth(person, now),
            LeafTest::Member(id) => {
                let segment = definitions.place_of(id);
                Truth::forever(segment.is_some_and(|segment| person.member_since(segment).is_some()))
            }
            LeafTest::Sample { share, salt } => Truth::forever(in_sample(person, *share, salt)),
            LeafTest::Churn(test) => test.truth(person, definitions.rhythm(), now),
        }
    }

    fn explain(&self, view: View<'_>, holds: bool) -> String {
        let View { person, definitions, now } = view;
        let found = match &self.test {
            LeafTest::Trait { name, .. } | LeafTest::TraitInstant { name, .. } => {
                // Traits are personal data; what is there is told, not what it says.
                person.trait_value(name).map_or("missing".to_owned(), |_| "present".to_owned())
            }
            LeafTest::Feature { feature, .. } | LeafTest::FeatureInstant { feature, .. } => {
                person.feature(*feature).map_or("none".to_owned(), |value| say_feature(*feature, value))
            }
            LeafTest::Total { measure, .. } => say(person.measured(*measure), None),
            LeafTest::Rolling { measure, window, .. } => {
                say(person.measured(*measure), Some(now.saturating_sub(*window)))
            }
            LeafTest::Churn(_) => ChurnTest::found(person, definitions.rhythm(), now),
            LeafTest::Sequence(_) | LeafTest::Member(_) | LeafTest::Sample { .. } => {
                return format!("{}: {}", self.words, if holds { "yes" } else { "no" });
            }
        };
        format!("{}: {found}", self.words)
    }
}

fn found_feature(person: &Person, feature: Feature) -> Option<i128> {
    match person.feature(feature) {
        Some(value) => Some(in_test_unit(feature, value)),
        // What is counted or summed up is nought before the first of it.
        None => (feature.unit() != Unit::Instant).then_some(0),
    }
}

fn say_feature(feature: Feature, value: i64) -> String {
    match feature.unit() {
        Unit::Count => value.to_string(),
        Unit::Money => format!("{}.{:02}", value / 1_000_000, (value % 1_000_000).abs() / 10_000),
        Unit::Instant => super::instant::Instant::from_ms(value).to_string(),
    }
}

fn say(measured: Option<&Measured>, after: Option<Millis>) -> String {
    let after = after.unwrap_or(Millis::MIN);
    match measured {
        None => "none".into(),
        Some(Measured::Count(count)) => count.to_string(),
        Some(Measured::Sum(sum)) => format!("{}", *sum as f64 / 1e6),
        Some(Measured::Min(number) | Measured::Max(number)) => {
            number.map_or("none".into(), |number| format!("{}", number as f64 / 1e6))
        }
        Some(Measured::First(item) | Measured::Last(item)) => item.as_ref().map_or("none", |_| "one").into(),
        Some(Measured::Distinct(hashes)) => hashes.len().to_string(),
        Some(Measured::Instants(instants)) => {
            format!("{} events", instants.len() - instants.partition_point(|at| *at <= after))
        }
        Some(Measured::Log(items)) => {
            format!("{} events", items.len() - items.partition_point(|item| item.at <= after))
        }
    }
}

/// By a hash of the profile: the same people each time, others for another salt.
fn in_sample(person: &Person, share: u64, salt: &str) -> bool {
    let Some(profile) = person.profile else { return false };
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"sample");
    hasher.update(&profile.0.to_le_bytes());
    hasher.update(salt.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) <= share
}

impl TotalTest {
    fn holds(&self, measured: &Measured) -> bool {
        match (self, measured) {
            (Self::Number(test), Measured::Count(count)) => test.holds(Some(i128::from(*count) * MICROS)),
            (Self::Number(test), Measured::Sum(sum)) => test.holds(Some(*sum)),
            (Self::Number(test), Measured::Min(number) | Measured::Max(number)) => test.holds(number.map(i128::from)),
            (Self::Number(test), Measured::Distinct(hashes)) => test.holds_count(hashes.len()),
            (Self::Value(test), Measured::First(item) | Measured::Last(item)) => {
                test.holds(item.as_ref().map(|item| &item.value))
            }
            // A plan asks a measure for what it was made for.
            _ => false,
        }
    }
}

/// A rolling window's outcome now, and when the next event to fall out of it changes that.
fn rolling(measured: Option<&Measured>, aggregate: Aggregate, window: Millis, test: &TotalTest, now: Millis) -> Truth {
    let start = now.saturating_sub(window);
    match (measured, test) {
        (Some(Measured::Instants(instants)), TotalTest::Number(test)) => {
            let inside = instants.get(instants.partition_point(|at| *at <= start)..).unwrap_or_default();
            let holds = test.holds_count(inside.len());
            let until = test.changes_below(inside.len()).and_then(|fewer| {
                // It changes when only so many are left: when the one before them falls out.
                inside.get(inside.len() - fewer - 1).map(|at| at.saturating_add(window))
            });
            Truth::until(holds, until.unwrap_or(FOREVER))
        }
        (Some(Measured::Log(items)), test) => {
            let inside = items.get(items.partition_point(|item| item.at <= start)..).unwrap_or_default();
            let outcomes = outcomes(inside, aggregate, test);
            let holds = outcomes.first().copied().unwrap_or_else(|| outcome_of_none(aggregate, test));
            let change = outcomes.iter().position(|outcome| *outcome != holds);
            // Events of one instant fall out together: an outcome between them is none.
            let next = change.and_then(|left| inside.get(left.checked_sub(1)?));
            Truth::until(holds, next.map_or(FOREVER, |item| item.at.saturating_add(window)))
        }
        (_, test) => Truth::forever(outcome_of_none(aggregate, test)),
    }
}

fn outcome_of_none(aggregate: Aggregate, test: &TotalTest) -> bool {
    match (test, aggregate) {
        (TotalTest::Number(test), Aggregate::Min | Aggregate::Max) => test.holds(None),
        (TotalTest::Number(test), _) => test.holds_count(0),
        (TotalTest::Value(test), _) => test.holds(None),
    }
}

/// The outcome with the `n` oldest events gone, for every n from none to all.
fn outcomes(items: &[Item], aggregate: Aggregate, test: &TotalTest) -> Vec<bool> {
    let mut outcomes = vec![false; items.len() + 1];
    let mut running = Running::default();
    let newest_of_value = if aggregate == Aggregate::Distinct { newest_of_value(items) } else { Vec::new() };
    // From the newest to the oldest: each step takes one more in.
    for left in (0..=items.len()).rev() {
        if let Some(item) = items.get(left) {
            running.take(item, aggregate);
            running.distinct += usize::from(newest_of_value.get(left) == Some(&true));
        }
        let outcome = match (test, aggregate) {
            (TotalTest::Number(test), Aggregate::Sum) => test.holds(Some(running.sum)),
            (TotalTest::Number(test), Aggregate::Min) => test.holds(running.least.map(i128::from)),
            (TotalTest::Number(test), Aggregate::Max) => test.holds(running.greatest.map(i128::from)),
            (TotalTest::Number(test), Aggregate::Distinct) => test.holds_count(running.distinct),
            (TotalTest::Number(test), _) => test.holds_count(items.len() - left),
            (TotalTest::Value(test), Aggregate::First) => test.holds(items.get(left).map(|item| &item.value)),
            (TotalTest::Value(test), _) => {
                let newest = items.last().filter(|_| left < items.len());
                test.holds(newest.map(|item| &item.value))
            }
        };
        if let Some(place) = outcomes.get_mut(left) {
            *place = outcome;
        }
    }
    outcomes
}

/// Whether no newer event has the same value, for each event: so many are different from there on.
fn newest_of_value(items: &[Item]) -> Vec<bool> {
    let mut by_value: Vec<(u64, usize)> = (0..).zip(items).map(|(at, item)| (hash_at_hand(&item.value), at)).collect();
    by_value.sort_unstable();
    let mut newest = vec![false; items.len()];
    for (index, (value, at)) in by_value.iter().enumerate() {
        let is_newest = by_value.get(index + 1).is_none_or(|(next, _)| next != value);
        if let Some(place) = newest.get_mut(*at).filter(|_| is_newest) {
            *place = true;
        }
    }
    newest
}

/// A hash for telling the values of one list apart, kept nowhere; 1 and 1.0 are one value.
fn hash_at_hand(value: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    match value {
        Value::String(text) => text.hash(&mut hasher),
        Value::Number(number) => number.as_f64().map(|number| (number + 0.0).to_bits()).hash(&mut hasher),
        other => other.to_string().hash(&mut hasher),
    }
    std::mem::discriminant(value).hash(&mut hasher);
    hasher.finish()
}

#[derive(Default)]
struct Running {
    sum: i128,
    least: Option<i64>,
    greatest: Option<i64>,
    distinct: usize,
}

impl Running {
    fn take(&mut self, item: &Item, aggregate: Aggregate) {
        let micros = |value: &Value| micros_of(value);
        match aggregate {
            Aggregate::Sum => self.sum += micros(&item.value).map_or(0, i128::from),
            Aggregate::Min => self.least = [self.least, micros(&item.value)].into_iter().flatten().min(),
            Aggregate::Max => self.greatest = self.greatest.max(micros(&item.value)),
            Aggregate::Distinct | Aggregate::Count | Aggregate::First | Aggregate::Last => {}
        }
    }
}

impl Sequence {
    fn truth(&self, person: &Person, now: Millis) -> Truth {
        let instants = |measure| match person.measured(measure) {
            Some(Measured::Instants(instants)) => instants.as_slice(),
            _ => &[],
        };
        let (firsts, thens) = (instants(self.first), instants(self.then));
        let start = self.rolling.map(|window| now.saturating_sub(window));
        let mut ripens = FOREVER;
        // The newest first: what it shows stands longest.
        for first in firsts.iter().rev() {
            if start.is_some_and(|start| *first <= start) || self.from.is_some_and(|from| *first < from) {
                break;
            }
            if self.to.is_some_and(|to| *first >= to) {
                continue;
            }
            let deadline = first.saturating_add(self.within);
            let next = thens.get(thens.partition_point(|then| then <= first)).filter(|then| **then < deadline);
            let falls_out = self.rolling.map_or(FOREVER, |window| first.saturating_add(window));
            match (self.followed, next) {
                (true, Some(_)) => return Truth::until(true, falls_out),
                (false, None) if now >= deadline => return Truth::until(true, falls_out),
                (false, None) if deadline < falls_out => ripens = ripens.min(deadline),
                _ => {}
            }
        }
        Truth::until(false, ripens)
    }
}
