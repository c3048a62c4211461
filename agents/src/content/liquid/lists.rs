//! Filters on lists.

use std::{borrow::Cow, collections::BTreeMap};

use liquid_core::{Object, Value};

use super::{
    filters::{Filter, Given, TOO_LARGE},
    numbers::{self, Number},
    texts,
    values::{self, Kind, equal, is_true, json, kind, number, sorting, text, weight},
};
use crate::content::limits;

/// Why a range stops: [`limits::LIST_MAX`].
const TOO_LONG_RANGE: &str = "a range may have 5000 numbers";

impl Filter {
    /// What comes of a list; none where it is no filter of lists.
    ///
    /// # Errors
    /// It would be too large.
    pub(super) fn of_list(self, input: &Value, given: &Given) -> Result<Option<Value>, &'static str> {
        let Given { first, second, count, .. } = given;
        let items = items_of(input);
        let name = text(first);
        let field = |item: &Value| if *count == 0 { item.clone() } else { values::field(item, &name) };
        let is_wanted = |item: &Value| {
            let found = field(item);
            if *count > 1 { equal(&found, second) } else { is_true(&found) }
        };
        let kept = |keep: &dyn Fn(&Value) -> bool| -> Value {
            Value::Array(items.iter().filter(|item| keep(item)).cloned().collect())
        };
        Ok(Some(match self {
            Self::First => items.first().filter(|_| is_list(input)).cloned().unwrap_or(Value::Nil),
            Self::Last => items.last().filter(|_| is_list(input)).cloned().unwrap_or(Value::Nil),
            Self::Join => {
                let between = if *count > 0 { name.as_str() } else { " " };
                let said: usize = items.iter().map(weight).sum();
                if said.saturating_add(items.len().saturating_mul(between.len())) > limits::VALUE_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                Value::scalar(items.iter().map(text).collect::<Vec<_>>().join(between))
            }
            Self::Sentence => {
                let said: usize = items.iter().map(weight).sum();
                if said.saturating_add(items.len().saturating_mul(2)) > limits::VALUE_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                let items: Vec<_> = items.iter().map(text).collect();
                Value::scalar(texts::sentence(&items, if *count > 0 { &name } else { "and" }))
            }
            Self::Compact => kept(&|item| !matches!(kind(&field(item)), Kind::Nothing)),
            Self::Where => kept(&is_wanted),
            Self::Reject => kept(&|item| !is_wanted(item)),
            Self::Has => Value::scalar(items.iter().any(is_wanted)),
            Self::Find => items.iter().find(|item| is_wanted(item)).cloned().unwrap_or(Value::Nil),
            Self::FindIndex => items.iter().position(is_wanted).map_or(Value::Nil, values::count),
            Self::Concat => chained(&items, &items_of(first))?,
            Self::Push => chained(&items, std::slice::from_ref(first))?,
            Self::Unshift => chained(std::slice::from_ref(first), &items)?,
            Self::Pop => Value::Array(items.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default()),
            Self::Shift => Value::Array(items.split_first().map(|(_, rest)| rest.to_vec()).unwrap_or_default()),
            Self::Map => Value::Array(items.iter().map(field).collect()),
            Self::Reverse => Value::Array(items.iter().rev().cloned().collect()),
            Self::Sum => {
                let add = |sum: Number, item: &Value| sum.plus(number(&field(item)));
                items.iter().fold(Number::Whole(0), add).value()
            }
            Self::Sort | Self::SortNatural => {
                let key = |item: &Value| match field(item) {
                    key if self == Self::SortNatural && matches!(kind(&key), Kind::Text(_)) => {
                        Value::scalar(text(&key).to_lowercase())
                    }
                    key => key,
                };
                let mut keyed: Vec<_> = items.iter().map(|item| (key(item), item)).collect();
                keyed.sort_by(|(one, _), (other, _)| sorting(one, other));
                Value::Array(keyed.into_iter().map(|(_, item)| item.clone()).collect())
            }
            Self::Uniq => {
                let mut seen = std::collections::BTreeSet::new();
                Value::Array(items.iter().filter(|item| seen.insert(written(&field(item)))).cloned().collect())
            }
            Self::GroupBy => grouped(&items, field),
            _ => return Ok(None),
        }))
    }
}

/// Equal values are written the same: numbers by what they count.
fn written(value: &Value) -> String {
    match kind(value) {
        Kind::Number(number) => number.text(),
        _ => json(value).to_string(),
    }
}

/// Groups in the order of their first items, each with its `name` and its `items`.
fn grouped(items: &[Value], field: impl Fn(&Value) -> Value) -> Value {
    let mut places = BTreeMap::new();
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in items {
        let name = field(item);
        let place = *places.entry(written(&name)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(item.clone()),
            None => groups.push((name, vec![item.clone()])),
        }
    }
    let group = |(name, items): (Value, Vec<Value>)| {
        let fields = [("name".into(), name), ("items".into(), Value::Array(items))];
        Value::Object(fields.into_iter().collect::<Object>())
    };
    Value::Array(groups.into_iter().map(group).collect())
}

fn is_list(value: &Value) -> bool {
    matches!(value, Value::Array(_))
}

/// The items of a list; a single value is a list of its own, nothing is none.
fn items_of(value: &Value) -> Cow<'_, [Value]> {
    match kind(value) {
        Kind::List(items) => Cow::Borrowed(items),
        Kind::Nothing => Cow::Owned(Vec::new()),
        _ => Cow::Owned(vec![value.clone()]),
    }
}

fn chained(one: &[Value], other: &[Value]) -> Result<Value, &'static str> {
    if one.len() + other.len() > limits::LIST_MAX {
        return Err(TOO_LARGE);
    }
    Ok(Value::Array(one.iter().chain(other).cloned().collect()))
}

/// The whole numbers from one to another.
///
/// # Errors
/// They are too many.
pub(super) fn range(from: &Value, to: &Value) -> Result<Value, &'static str> {
    let (from, to) = (numbers::whole(from).unwrap_or(0), numbers::whole(to).unwrap_or(0));
    let length = usize::try_from(to.saturating_sub(from).saturating_add(1)).unwrap_or(0);
    if length > limits::LIST_MAX {
        return Err(TOO_LONG_RANGE);
    }
    Ok(Value::Array((from..=to).take(length).map(Value::scalar).collect()))
}

/// The pieces of a text.
///
/// # Errors
/// They are too many.
pub(super) fn split(input: &str, by: &str) -> Result<Value, &'static str> {
    let piece = |piece: &str| Value::scalar(piece.to_owned());
    let most = limits::LIST_MAX + 1;
    let pieces: Vec<Value> = if by.is_empty() {
        input.chars().map(|c| Value::scalar(c.to_string())).take(most).collect()
    } else if by == " " {
        input.split_whitespace().map(piece).take(most).collect()
    } else {
        input.trim_end_matches(by).split(by).filter(|_| !input.is_empty()).map(piece).take(most).collect()
    };
    if pieces.len() > limits::LIST_MAX {
        return Err(TOO_LARGE);
    }
    Ok(Value::Array(pieces))
}
