//! Values, as Liquid says and compares them.

use std::cmp::Ordering;

use liquid_core::{
    Object, Value, ValueCow, ValueView,
    model::{KString, KStringCow, ScalarCow, State},
};
use serde_json::Value as Json;

use super::numbers::{self, Number};

/// A value, taken apart.
pub(super) enum Kind<'v> {
    Nothing,
    Flag(bool),
    Number(Number),
    Text(KStringCow<'v>),
    List(&'v [Value]),
    Object(&'v Object),
}

/// What a value is.
pub(super) fn kind(value: &Value) -> Kind<'_> {
    match value {
        Value::Nil | Value::State(_) => Kind::Nothing,
        Value::Array(items) => Kind::List(items),
        Value::Object(fields) => Kind::Object(fields),
        Value::Scalar(scalar) => match scalar.type_name() {
            "whole number" => Kind::Number(Number::Whole(scalar.to_integer().unwrap_or_default())),
            "fractional number" => Kind::Number(Number::Fraction(scalar.to_float().unwrap_or_default())),
            "boolean" => Kind::Flag(scalar.to_bool().unwrap_or_default()),
            _ => Kind::Text(scalar.to_kstr()),
        },
    }
}

/// The value of data.
pub(super) fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::scalar(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::scalar(whole),
            None => Number::Fraction(number.as_f64().unwrap_or_default()).value(),
        },
        Json::String(text) => Value::scalar(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(of_json).collect()),
        Json::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (KString::from_ref(name), of_json(value))).collect())
        }
    }
}

/// The value as data, its fields in their order.
pub(super) fn json(value: &Value) -> Json {
    match kind(value) {
        Kind::Nothing => Json::Null,
        Kind::Flag(flag) => Json::Bool(flag),
        Kind::Number(number) => number.json(),
        Kind::Text(text) => Json::String(text.as_str().to_owned()),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Object(fields) => fields.iter().map(|(name, value)| (name.to_string(), json(value))).collect(),
    }
}

/// The fields of an object by name: the crate keeps them in an order that differs each run.
pub(super) fn sorted(fields: &Object) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    sorted
}

/// What takes as long to copy as so many bytes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Nil | Value::State(_) => 8,
        Value::Scalar(scalar) if scalar.type_name() == "string" => 8 + scalar.to_kstr().len(),
        Value::Scalar(_) => 8,
        Value::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 8 + fields.iter().map(|(name, value)| 16 + name.len() + weight(value)).sum::<usize>(),
    }
}

/// The same of data.
pub(super) fn json_weight(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 8 + text.len(),
        Json::Array(items) => 8 + items.iter().map(json_weight).sum::<usize>(),
        Json::Object(fields) => {
            8 + fields.iter().map(|(name, value)| 16 + name.len() + json_weight(value)).sum::<usize>()
        }
    }
}

/// Only nil and false are not.
pub(super) fn is_true(value: &Value) -> bool {
    !matches!(kind(value), Kind::Nothing | Kind::Flag(false)) || matches!(value, Value::State(_))
}

/// Whether its size is nought.
pub(super) fn is_empty(value: &Value) -> bool {
    match kind(value) {
        Kind::Text(text) => text.is_empty(),
        Kind::List(items) => items.is_empty(),
        Kind::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Whether it is not there, or nothing but white space.
fn is_blank(value: &Value) -> bool {
    match kind(value) {
        Kind::Nothing | Kind::Flag(false) => true,
        Kind::Text(text) => text.trim().is_empty(),
        _ => is_empty(value),
    }
}

/// As it is said. Nothing is said of what is not there.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    say(value, &mut out);
    out
}

fn say(value: &Value, out: &mut String) {
    match kind(value) {
        Kind::Nothing => {}
        Kind::Flag(flag) => out.push_str(if flag { "true" } else { "false" }),
        Kind::Number(number) => out.push_str(&number.text()),
        Kind::Text(text) => out.push_str(&text),
        Kind::List(items) => items.iter().for_each(|item| say(item, out)),
        Kind::Object(_) => out.push_str(&json(value).to_string()),
    }
}

/// Whether two are equal; numbers by what they count; `empty` and `blank` to whatever is so.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::State(State::Empty), other) => is_empty(other),
        (one, Value::State(State::Empty)) => is_empty(one),
        (Value::State(_), other) => is_blank(other),
        (one, Value::State(_)) => is_blank(one),
        _ => match (kind(one), kind(other)) {
            (Kind::Nothing, Kind::Nothing) => true,
            (Kind::Flag(one), Kind::Flag(other)) => one == other,
            (Kind::Number(one), Kind::Number(other)) => one.order(other) == Some(Ordering::Equal),
            (Kind::Text(one), Kind::Text(other)) => one == other,
            (Kind::List(one), Kind::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
            }
            (Kind::Object(one), Kind::Object(other)) => {
                let is_same = |(name, value): (&_, &Value)| other.get(name).is_some_and(|found| equal(value, found));
                one.len() == other.len() && one.iter().all(is_same)
            }
            _ => false,
        },
    }
}

/// Which comes first; none where they can't be compared.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (kind(one), kind(other)) {
        (Kind::Number(one), Kind::Number(other)) => one.order(other),
        (Kind::Text(one), Kind::Text(other)) => Some(one.as_str().cmp(other.as_str())),
        _ => None,
    }
}

/// The same for sorting, where all must have a place: numbers, then texts, then the rest, nothing last.
pub(super) fn sorting(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match kind(value) {
        Kind::Number(_) => 0,
        Kind::Text(_) => 1,
        Kind::Nothing => 3,
        _ => 2,
    };
    let flags = match (kind(one), kind(other)) {
        (Kind::Flag(one), Kind::Flag(other)) => one.cmp(&other),
        _ => Ordering::Equal,
    };
    rank(one).cmp(&rank(other)).then(flags).then_with(|| order(one, other).unwrap_or(Ordering::Equal))
}

/// Whether a text has another in it, or a list an equal item, or an object a field.
pub(super) fn contains(whole: &Value, part: &Value) -> bool {
    match kind(whole) {
        Kind::Text(whole) => !matches!(kind(part), Kind::Nothing) && whole.contains(&text(part)),
        Kind::List(items) => items.iter().any(|item| equal(item, part)),
        Kind::Object(fields) => matches!(kind(part), Kind::Text(name) if fields.contains_key(name.as_str())),
        _ => false,
    }
}

/// How many items, fields or characters.
pub(super) fn size(value: &Value) -> Option<usize> {
    match kind(value) {
        Kind::Text(text) => Some(text.chars().count()),
        Kind::List(items) => Some(items.len()),
        Kind::Object(fields) => Some(fields.len()),
        _ => None,
    }
}

/// A number of things.
pub(super) fn count(things: usize) -> Value {
    Value::scalar(i64::try_from(things).unwrap_or(i64::MAX))
}

/// An item by its place; below nought from the end.
fn place(length: usize, at: i64) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok()
}

/// Which item of a list a step of a path means.
fn item(step: &ScalarCow<'_>, length: usize) -> Option<usize> {
    match step.to_kstr().as_str() {
        "first" => Some(0),
        "last" => length.checked_sub(1),
        _ => {
            let at = step.to_integer().or_else(|| step.to_float().filter(|at| at.is_finite()).map(|at| at as i64));
            place(length, at?)
        }
    }
}

/// What is at the end of a path, or what Liquid says of it: `size`, `first`, `last`.
pub(super) fn find<'v>(value: &'v Value, path: &[ScalarCow<'_>]) -> Option<ValueCow<'v>> {
    let Some((step, rest)) = path.split_first() else { return Some(ValueCow::Borrowed(value.as_view())) };
    let found = match value {
        Value::Array(items) => item(step, items.len()).and_then(|at| items.get(at)),
        Value::Object(fields) => fields.get(step.to_kstr().as_str()),
        _ => None,
    };
    match found {
        Some(found) => find(found, rest),
        None if rest.is_empty() && step.to_kstr() == "size" => size(value).map(|size| ValueCow::Owned(count(size))),
        None => None,
    }
}

/// The same of data.
pub(super) fn find_json<'v>(json: &'v Json, path: &[ScalarCow<'_>]) -> Option<Found<'v>> {
    let Some((step, rest)) = path.split_first() else { return Some(Found::Data(json)) };
    let found = match json {
        Json::Array(items) => item(step, items.len()).and_then(|at| items.get(at)),
        Json::Object(fields) => fields.get(step.to_kstr().as_str()),
        _ => None,
    };
    match (found, json) {
        (Some(found), _) => find_json(found, rest),
        (None, _) if !rest.is_empty() || step.to_kstr() != "size" => None,
        (None, Json::String(text)) => Some(Found::Size(text.chars().count())),
        (None, Json::Array(items)) => Some(Found::Size(items.len())),
        (None, Json::Object(fields)) => Some(Found::Size(fields.len())),
        (None, _) => None,
    }
}

/// What is at the end of a path of data.
pub(super) enum Found<'v> {
    Data(&'v Json),
    Size(usize),
}

/// A field of a value.
pub(super) fn field(value: &Value, name: &str) -> Value {
    let found = find(value, &[ScalarCow::new(name)]);
    found.map_or(Value::Nil, ValueCow::into_owned)
}

/// The number of a value; nought where it is none.
pub(super) fn number(value: &Value) -> Number {
    numbers::of(value).unwrap_or(Number::Whole(0))
}
