//! Tests of single values, and how long their outcome stands.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Comparison, condition::PropertyFilter, instant::instant_of, span::Span};
use crate::vocabulary::Millis;

/// Later than any instant: what holds by then holds for ever, as far as time goes.
pub(super) const FOREVER: Millis = Millis::MAX;

/// Millionths in one: numbers are compared as whole millionths.
pub(super) const MICROS: i128 = 1_000_000;

/// Whether something holds now, and before which instant time alone can't change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) holds: bool,
    pub(super) until: Millis,
}

impl Truth {
    pub(super) const fn forever(holds: bool) -> Self {
        Self { holds, until: FOREVER }
    }

    pub(super) const fn until(holds: bool, until: Millis) -> Self {
        Self { holds, until }
    }

    pub(super) const fn not(self) -> Self {
        Self { holds: !self.holds, until: self.until }
    }
}

/// Millionths of a JSON number, or of a text that is one; `None` beyond nine trillion.
pub(super) fn micros_of(value: &Value) -> Option<i64> {
    const LARGEST: f64 = 9.2e12;
    let number = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => return whole.checked_mul(MICROS as i64),
            None => number.as_f64()?,
        },
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    (number.abs() <= LARGEST).then(|| (number * MICROS as f64).round() as i64)
}

/// A test of a number.
#[derive(Clone, Debug)]
pub(super) struct NumberTest {
    op: Comparison,
    /// Millionths, in order.
    wanted: Vec<i128>,
}

impl NumberTest {
    pub(super) fn new(op: Comparison, value: &Value) -> Result<Self, String> {
        let number = |value: &Value| match value {
            Value::Number(number) => match micros_of(value) {
                Some(0) if number.as_f64() != Some(0.0) => Err(format!("{value} is less than a millionth")),
                Some(micros) => Ok(i128::from(micros)),
                None => Err(format!("{value} is too large")),
            },
            _ => Err(format!("a number is wanted, not {value}")),
        };
        let wanted = match (op, value) {
            (Comparison::Exists | Comparison::Missing, Value::Null) => Vec::new(),
            (Comparison::Exists | Comparison::Missing, _) => return Err("takes no value".into()),
            (Comparison::In, Value::Array(list)) => list.iter().map(number).collect::<Result<_, _>>()?,
            (Comparison::In, _) => return Err("a list is wanted".into()),
            (
                Comparison::Equal
                | Comparison::NotEqual
                | Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual,
                value,
            ) => vec![number(value)?],
            _ => return Err("is no comparison of numbers".into()),
        };
        let mut wanted: Vec<i128> = wanted;
        wanted.sort_unstable();
        Ok(Self { op, wanted })
    }

    /// Whether it holds for so many millionths.
    pub(super) fn holds(&self, found: Option<i128>) -> bool {
        let Some(found) = found else { return matches!(self.op, Comparison::Missing | Comparison::NotEqual) };
        let wanted = self.wanted.first().copied().unwrap_or_default();
        match self.op {
            Comparison::Equal => found == wanted,
            Comparison::NotEqual => found != wanted,
            Comparison::Less => found < wanted,
            Comparison::LessOrEqual => found <= wanted,
            Comparison::Greater => found > wanted,
            Comparison::GreaterOrEqual => found >= wanted,
            Comparison::In => self.wanted.binary_search(&found).is_ok(),
            Comparison::Exists => true,
            _ => false,
        }
    }

    pub(super) fn holds_count(&self, count: usize) -> bool {
        self.holds(Some(count as i128 * MICROS))
    }

    /// The largest smaller count for which the outcome is another one.
    pub(super) fn changes_below(&self, count: usize) -> Option<usize> {
        let now = self.holds_count(count);
        // The outcome is constant but at the wanted numbers: only their neighbours can be the first change.
        let near = self.wanted.iter().flat_map(|wanted| {
            let floor = wanted.div_euclid(MICROS);
            [floor - 1, floor, floor + 1]
        });
        near.filter_map(|near| usize::try_from(near).ok())
            .filter(|near| *near < count && self.holds_count(*near) != now)
            .max()
    }
}

/// A test of an instant.
#[derive(Clone, Debug)]
pub(super) enum InstantTest {
    Before(Millis),
    After(Millis),
    WithinLast(Millis),
    LongerAgoThan(Millis),
    WithinNext(Millis),
}

impl InstantTest {
    /// `None` where the comparison is none of instants.
    pub(super) fn new(op: Comparison, value: &Value) -> Option<Result<Self, String>> {
        let instant = || instant_of(value).ok_or_else(|| format!("an instant is wanted, not {value}"));
        let span = || match value {
            Value::String(text) => text.parse::<Span>().map(Span::ms),
            _ => Err(format!("a length of time such as \"7d\" is wanted, not {value}")),
        };
        Some(match op {
            Comparison::Before => instant().map(Self::Before),
            Comparison::After => instant().map(Self::After),
            Comparison::WithinLast => span().map(Self::WithinLast),
            Comparison::LongerAgoThan => span().map(Self::LongerAgoThan),
            Comparison::WithinNext => span().map(Self::WithinNext),
            _ => return None,
        })
    }

    pub(super) fn truth(&self, found: Option<Millis>, now: Millis) -> Truth {
        let Some(found) = found else { return Truth::forever(false) };
        match *self {
            Self::Before(wanted) => Truth::forever(found < wanted),
            Self::After(wanted) => Truth::forever(found >= wanted),
            Self::WithinLast(span) if now < found => {
                let _ = span;
                Truth::until(false, found)
            }
            Self::WithinLast(span) if now < found.saturating_add(span) => {
                Truth::until(true, found.saturating_add(span))
            }
            Self::WithinLast(_) => Truth::forever(false),
            Self::LongerAgoThan(span) if now >= found.saturating_add(span) => Truth::forever(true),
            Self::LongerAgoThan(span) => Truth::until(false, found.saturating_add(span)),
            Self::WithinNext(_) if now > found => Truth::forever(false),
            Self::WithinNext(span) if now > found.saturating_sub(span) => Truth::until(true, found.saturating_add(1)),
            Self::WithinNext(span) => Truth::until(false, found.saturating_sub(span).saturating_add(1)),
        }
    }
}

/// A test of any JSON value.
#[derive(Clone, Debug)]
pub(super) struct ValueTest {
    op: Comparison,
    wanted: Value,
    /// What is wanted, as an instant, where it is one.
    instant: Option<Millis>,
    /// What is wanted, where it is one of a list.
    one_of: OneOf,
}

/// The values of a list, so that a long one costs little more than a short one.
#[derive(Clone, Debug, Default)]
struct OneOf {
    texts: BTreeSet<Box<str>>,
    /// Bits of the numbers; nought has one sign.
    numbers: BTreeSet<u64>,
    others: Vec<Value>,
}

impl OneOf {
    fn new(wanted: &Value) -> Self {
        let mut one_of = Self::default();
        for value in wanted.as_array().into_iter().flatten() {
            match (value, bits_of(value)) {
                (Value::String(text), _) => drop(one_of.texts.insert(text.as_str().into())),
                (_, Some(bits)) => drop(one_of.numbers.insert(bits)),
                (other, None) if one_of.others.contains(other) => {}
                (other, None) => one_of.others.push(other.clone()),
            }
        }
        one_of
    }

    fn holds(&self, found: &Value) -> bool {
        match (found, bits_of(found)) {
            (Value::String(text), _) => self.texts.contains(text.as_str()),
            (_, Some(bits)) => self.numbers.contains(&bits),
            (other, None) => self.others.contains(other),
        }
    }
}

fn bits_of(value: &Value) -> Option<u64> {
    // Adding nought makes -0 the common one.
    value.as_f64().map(|number| (number + 0.0).to_bits())
}

impl ValueTest {
    pub(super) fn new(op: Comparison, wanted: &Value) -> Result<Self, String> {
        match (op, wanted) {
            (Comparison::Exists | Comparison::Missing, Value::Null) => {}
            (Comparison::Exists | Comparison::Missing, _) => return Err("takes no value".into()),
            (Comparison::In, Value::Array(_)) => {}
            (Comparison::In, _) => return Err("a list is wanted".into()),
            (Comparison::StartsWith | Comparison::EndsWith, Value::String(_)) => {}
            (Comparison::StartsWith | Comparison::EndsWith, _) => return Err("a text is wanted".into()),
            (
                Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual,
                Value::Number(_) | Value::String(_),
            ) => {}
            (Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual, _) => {
                return Err("a number or a text is wanted".into());
            }
            (Comparison::Equal | Comparison::NotEqual | Comparison::Contains, Value::Null) => {
                return Err("a value is wanted; use `missing` or `exists`".into());
            }
            (Comparison::Equal | Comparison::NotEqual | Comparison::Contains, _) => {}
            (Comparison::Before | Comparison::After, value) if instant_of(value).is_some() => {}
            (Comparison::Before | Comparison::After, _) => return Err(format!("an instant is wanted, not {wanted}")),
            _ => return Err("compares with the present, which is not for properties".into()),
        }
        Ok(Self { op, wanted: wanted.clone(), instant: instant_of(wanted), one_of: OneOf::new(wanted) })
    }

    pub(super) fn holds(&self, found: Option<&Value>) -> bool {
        let Some(found) = found.filter(|found| !found.is_null()) else {
            return matches!(self.op, Comparison::Missing | Comparison::NotEqual);
        };
        match self.op {
            Comparison::Exists => true,
            Comparison::Equal => same(found, &self.wanted),
            Comparison::NotEqual => !same(found, &self.wanted),
            Comparison::In => self.one_of.holds(found),
            Comparison::Contains => match (found, &self.wanted) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (Value::Array(list), wanted) => list.iter().any(|one| same(one, wanted)),
                _ => false,
            },
            Comparison::StartsWith => both_texts(found, &self.wanted, |text, part| text.starts_with(part)),
            Comparison::EndsWith => both_texts(found, &self.wanted, |text, part| text.ends_with(part)),
            Comparison::Less => self.order(found).is_some_and(std::cmp::Ordering::is_lt),
            Comparison::LessOrEqual => self.order(found).is_some_and(std::cmp::Ordering::is_le),
            Comparison::Greater => self.order(found).is_some_and(std::cmp::Ordering::is_gt),
            Comparison::GreaterOrEqual => self.order(found).is_some_and(std::cmp::Ordering::is_ge),
            Comparison::Before => instant_of(found).zip(self.instant).is_some_and(|(found, wanted)| found < wanted),
            Comparison::After => instant_of(found).zip(self.instant).is_some_and(|(found, wanted)| found >= wanted),
            _ => false,
        }
    }

    fn order(&self, found: &Value) -> Option<std::cmp::Ordering> {
        match (found, &self.wanted) {
            (Value::Number(found), Value::Number(wanted)) => found.as_f64()?.partial_cmp(&wanted.as_f64()?),
            (Value::String(found), Value::String(wanted)) => Some(found.cmp(wanted)),
            _ => None,
        }
    }
}

fn both_texts(found: &Value, wanted: &Value, test: impl Fn(&str, &str) -> bool) -> bool {
    matches!((found, wanted), (Value::String(found), Value::String(wanted)) if test(found, wanted))
}

/// Equal, numbers by value: 1 and 1.0 are the same.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// The value under a name: the member of that name, else dots go into nested objects.
pub(super) fn lookup<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    object.get(first)?.as_object().and_then(|inner| lookup(inner, rest))
}

/// A test of one property, ready for use.
#[derive(Clone, Debug)]
pub(super) struct PropertyTest {
    property: Box<str>,
    test: ValueTest,
}

impl PropertyTest {
    pub(super) fn new(filter: &PropertyFilter) -> Result<Self, String> {
        if filter.property.is_empty() {
            return Err("the property's name is empty".into());
        }
        let test = ValueTest::new(filter.op, &filter.value);
        let test = test.map_err(|why| format!("property `{}`: {why}", filter.property))?;
        Ok(Self { property: filter.property.clone(), test })
    }

    pub(super) fn holds(&self, properties: &Map<String, Value>) -> bool {
        self.test.holds(lookup(properties, &self.property))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared() {
        let check = |op, wanted: Value, found: Value, expect| {
            let test = ValueTest::new(op, &wanted).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(test.holds(Some(&found)), expect, "{found} {op:?} {wanted}");
        };
        check(Comparison::Equal, json!(1), json!(1.0), true);
        check(Comparison::Equal, json!("1"), json!(1), false);
        check(Comparison::NotEqual, json!(1), Value::Null, true);
        check(Comparison::Contains, json!("nn"), json!("anna"), true);
        check(Comparison::Contains, json!("a"), json!(["a", "b"]), true);
        check(Comparison::In, json!(["x", 2]), json!(2.0), true);
        check(Comparison::In, json!(["x", 2, true, 0]), json!(-0.0), true);
        check(Comparison::In, json!(["x", 2, true, [1]]), json!([1]), true);
        check(Comparison::In, json!(["x", 2, true]), json!("2"), false);
        check(Comparison::Less, json!("2026-01-01"), json!("2025-12-31"), true);
        check(Comparison::Greater, json!(3), json!("4"), false);
        check(Comparison::Missing, Value::Null, Value::Null, true);
        check(Comparison::Before, json!("2026-05-04"), json!("2026-05-03T23:59:59.999Z"), true);
        check(Comparison::After, json!("2026-05-04"), json!(1_777_852_800), true);
        check(Comparison::Before, json!("2026-05-04"), json!("soon"), false);
        assert!(ValueTest::new(Comparison::WithinLast, &json!("7d")).is_err());
        assert!(ValueTest::new(Comparison::Exists, &json!(1)).is_err());
    }

    #[test]
    fn instants_say_until_when_their_outcome_stands() {
        let week = InstantTest::WithinLast(7);
        assert_eq!(week.truth(Some(100), 99), Truth::until(false, 100));
        assert_eq!(week.truth(Some(100), 100), Truth::until(true, 107));
        assert_eq!(week.truth(Some(100), 107), Truth::forever(false));
        let ago = InstantTest::LongerAgoThan(7);
        assert_eq!(ago.truth(Some(100), 106), Truth::until(false, 107));
        assert_eq!(ago.truth(Some(100), 107), Truth::forever(true));
        let next = InstantTest::WithinNext(7);
        assert_eq!(next.truth(Some(100), 93), Truth::until(false, 94));
        assert_eq!(next.truth(Some(100), 94), Truth::until(true, 101));
        assert_eq!(next.truth(Some(100), 101), Truth::forever(false));
    }

    #[test]
    fn the_next_lower_count_that_matters_is_found() {
        let check = |op, wanted: Value, count, expect| {
            let test = NumberTest::new(op, &wanted).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(test.changes_below(count), expect, "{op:?} {wanted} at {count}");
        };
        check(Comparison::GreaterOrEqual, json!(3), 5, Some(2));
        check(Comparison::GreaterOrEqual, json!(3), 2, None);
        check(Comparison::GreaterOrEqual, json!(2.5), 5, Some(2));
        check(Comparison::Less, json!(3), 5, Some(2));
        check(Comparison::Equal, json!(3), 3, Some(2));
        check(Comparison::Equal, json!(3), 9, Some(3));
        check(Comparison::In, json!([1, 4]), 4, Some(3));
        check(Comparison::NotEqual, json!(0), 7, Some(0));
        check(Comparison::Exists, Value::Null, 7, None);
    }

    #[test]
    fn numbers_are_whole_millionths() {
        let check = |wanted: Value, fits: bool| {
            assert_eq!(NumberTest::new(Comparison::GreaterOrEqual, &wanted).is_ok(), fits, "{wanted}");
        };
        check(json!(0), true);
        check(json!(0.000_001), true);
        check(json!(1e-7), false);
        check(json!(1e300), false);
    }

    #[test]
    fn nested_members_are_found() {
        let object = json!({"a.b": 1, "c": {"d": {"e": 2}}});
        let object = object.as_object().cloned().unwrap_or_default();
        assert_eq!(lookup(&object, "a.b"), Some(&json!(1)));
        assert_eq!(lookup(&object, "c.d.e"), Some(&json!(2)));
        assert_eq!(lookup(&object, "c.x"), None);
    }
}
