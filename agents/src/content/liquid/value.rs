//! Values, as Liquid says and compares them.

use std::cmp::Ordering;

use serde_json::Value;

use super::numbers::{self, Number};

/// What takes as long to copy as so many bytes.
pub(super) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 8 + text.len(),
        Value::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 8 + fields.iter().map(|(name, value)| 16 + name.len() + weight(value)).sum::<usize>(),
    }
}

/// Only nil and false are not.
pub(super) fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Whether its size is nought.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Whether it is not there, or nothing but white space.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        other => is_empty(other),
    }
}

/// As it is said. Nothing is said of what is not there.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut out = String::new();
            say(other, &mut out);
            out
        }
    }
}

fn say(value: &Value, out: &mut String) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(_) => out.push_str(&numbers::of(value).map(Number::text).unwrap_or_default()),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => items.iter().for_each(|item| say(item, out)),
        Value::Object(_) => out.push_str(&value.to_string()),
    }
}

/// Whether two are equal; numbers by what they count.
pub(super) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => order(one, other) == Some(Ordering::Equal),
        _ => one == other,
    }
}

/// Which comes first; none where they can't be compared.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => numbers::of(one)?.order(numbers::of(other)?),
        (Value::String(one), Value::String(other)) => Some(one.as_str().cmp(other)),
        _ => None,
    }
}

/// The same for sorting, where all must have a place: numbers, then texts, then the rest, nothing last.
pub(super) fn sorting(one: &Value, other: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Null => 3,
        _ => 2,
    };
    rank(one).cmp(&rank(other)).then_with(|| order(one, other).unwrap_or(Ordering::Equal))
}

/// Whether a text has another in it, or a list an equal item, or an object a field.
pub(super) fn contains(whole: &Value, part: &Value) -> bool {
    match whole {
        Value::String(whole) => !part.is_null() && whole.contains(&text(part)),
        Value::Array(items) => items.iter().any(|item| equal(item, part)),
        Value::Object(fields) => part.as_str().is_some_and(|name| fields.contains_key(name)),
        _ => false,
    }
}

/// A field of a value, or what Liquid says of it: `size`, `first`, `last`.
pub(super) fn field<'v>(value: &'v Value, name: &str) -> Option<std::borrow::Cow<'v, Value>> {
    use std::borrow::Cow;
    match (value, name) {
        (Value::Object(fields), _) if fields.contains_key(name) => fields.get(name).map(Cow::Borrowed),
        (Value::Object(fields), "size") => Some(Cow::Owned(fields.len().into())),
        (Value::Array(items), "size") => Some(Cow::Owned(items.len().into())),
        (Value::Array(items), "first") => items.first().map(Cow::Borrowed),
        (Value::Array(items), "last") => items.last().map(Cow::Borrowed),
        (Value::Array(items), _) => at(items, name.parse().ok()?).map(Cow::Borrowed),
        (Value::String(text), "size") => Some(Cow::Owned(text.chars().count().into())),
        _ => None,
    }
}

/// An item by its place; below nought from the end.
pub(super) fn at(items: &[Value], place: i64) -> Option<&Value> {
    let place = if place < 0 { place.checked_add(i64::try_from(items.len()).ok()?)? } else { place };
    items.get(usize::try_from(place).ok()?)
}
