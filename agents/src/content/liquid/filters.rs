//! The filters.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    dates,
    numbers::{self, Number},
    texts,
    value::{self, equal, is_true, sorting, text},
};
use crate::content::limits;

macro_rules! filters {
    ($($name:literal $filter:ident $least:literal $most:literal,)*) => {
        /// A filter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Filter { $($filter,)* }

        impl Filter {
            /// The filter of a name.
            pub(super) fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$filter),)* _ => None }
            }

            /// How many values it takes, at least and at most.
            pub(super) fn arguments(self) -> (usize, usize) {
                match self { $(Self::$filter => ($least, $most),)* }
            }
        }

        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($name,)*];
    };
}

filters! {
    "abs" Abs 0 0,
    "append" Append 1 1,
    "at_least" AtLeast 1 1,
    "at_most" AtMost 1 1,
    "capitalize" Capitalize 0 0,
    "ceil" Ceil 0 0,
    "compact" Compact 0 1,
    "concat" Concat 1 1,
    "date" Date 1 1,
    "default" Default 1 1,
    "divided_by" DividedBy 1 1,
    "downcase" Downcase 0 0,
    "escape" Escape 0 0,
    "escape_once" EscapeOnce 0 0,
    "find" Find 1 2,
    "first" First 0 0,
    "floor" Floor 0 0,
    "join" Join 0 1,
    "json" Json 0 0,
    "last" Last 0 0,
    "lstrip" StripLeft 0 0,
    "map" Map 1 1,
    "minus" Minus 1 1,
    "modulo" Modulo 1 1,
    "newline_to_br" NewlineToBr 0 0,
    "plus" Plus 1 1,
    "prepend" Prepend 1 1,
    "remove" Remove 1 1,
    "remove_first" RemoveFirst 1 1,
    "remove_last" RemoveLast 1 1,
    "replace" Replace 1 2,
    "replace_first" ReplaceFirst 1 2,
    "replace_last" ReplaceLast 2 2,
    "reverse" Reverse 0 0,
    "round" Round 0 1,
    "rstrip" StripRight 0 0,
    "size" Size 0 0,
    "slice" Slice 1 2,
    "sort" Sort 0 1,
    "sort_natural" SortNatural 0 1,
    "split" Split 1 1,
    "strip" Strip 0 0,
    "strip_html" StripHtml 0 0,
    "strip_newlines" StripNewlines 0 0,
    "sum" Sum 0 1,
    "times" Times 1 1,
    "truncate" Truncate 0 2,
    "truncatewords" TruncateWords 0 2,
    "uniq" Uniq 0 1,
    "upcase" Upcase 0 0,
    "url_decode" UrlDecode 0 0,
    "url_encode" UrlEncode 0 0,
    "where" Where 1 2,
}

/// What a filter knows beside its input.
pub(super) struct Around<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) now_ms: i64,
    /// Whether what is said becomes HTML.
    pub(super) html: bool,
    /// `allow_false: true` of `default`.
    pub(super) allow_false: bool,
}

const TOO_LARGE: &str = "a value on its way through the filters is too large";

impl Filter {
    /// Whether what comes of it in HTML is escaped already.
    pub(super) fn is_safe(self) -> bool {
        matches!(self, Self::Escape | Self::EscapeOnce | Self::NewlineToBr)
    }

    /// What comes of `input`.
    ///
    /// # Errors
    /// It would be too large.
    pub(super) fn apply(
        self,
        input: &Value,
        arguments: &[Cow<'_, Value>],
        around: &Around<'_>,
    ) -> Result<Value, &'static str> {
        let first = arguments.first().map_or(&Value::Null, AsRef::as_ref);
        let second = arguments.get(1).map_or(&Value::Null, AsRef::as_ref);
        let number = || numbers::or_nought(input);
        let other = || numbers::or_nought(first);
        let done = match self {
            Self::Abs => number().abs().value(),
            Self::AtLeast => of_two(number(), other(), std::cmp::Ordering::Less),
            Self::AtMost => of_two(number(), other(), std::cmp::Ordering::Greater),
            Self::Ceil => number().ceil().value(),
            Self::Floor => number().floor().value(),
            Self::DividedBy => number().divided_by(other()).map_or(Value::Null, Number::value),
            Self::Modulo => number().modulo(other()).map_or(Value::Null, Number::value),
            Self::Minus => number().minus(other()).value(),
            Self::Plus => number().plus(other()).value(),
            Self::Times => number().times(other()).value(),
            Self::Round => number().round(numbers::whole(first).unwrap_or(0)).value(),
            Self::Date => {
                let format = text(first);
                dates::date(input, &format, around.zone, around.now_ms).map_or_else(|| input.clone(), Value::String)
            }
            Self::Default => {
                let missing = !(is_true(input) || (around.allow_false && input.is_boolean())) || value::is_empty(input);
                if missing { first.clone() } else { input.clone() }
            }
            Self::Json => Value::String(input.to_string()),
            Self::Size => match input {
                Value::String(text) => text.chars().count().into(),
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                _ => 0.into(),
            },
            Self::First => value::field(input, "first").map_or(Value::Null, Cow::into_owned),
            Self::Last => value::field(input, "last").map_or(Value::Null, Cow::into_owned),
            Self::Slice => return Ok(slice(input, first, second)),
            Self::Split => return split(&text(input), &text(first)),
            Self::Join
            | Self::Compact
            | Self::Concat
            | Self::Find
            | Self::Map
            | Self::Reverse
            | Self::Sort
            | Self::SortNatural
            | Self::Sum
            | Self::Uniq
            | Self::Where => return self.of_list(input, first, second, arguments.len()),
            _ => return self.of_text(&text(input), first, second, arguments.len(), around).map(Value::String),
        };
        Ok(done)
    }

    fn of_text(
        self,
        input: &str,
        first: &Value,
        second: &Value,
        given: usize,
        around: &Around<'_>,
    ) -> Result<String, &'static str> {
        let (one, two) = (text(first), text(second));
        if matches!(self, Self::Replace | Self::ReplaceFirst)
            && texts::replaced_bytes(input, &one, &two) > limits::VALUE_BYTES_MAX
        {
            return Err(TOO_LARGE);
        }
        let end = if given > 1 { two.as_str() } else { "..." };
        Ok(match self {
            Self::Append => format!("{input}{one}"),
            Self::Prepend => format!("{one}{input}"),
            Self::Capitalize => texts::capitalize(input),
            Self::Downcase => input.to_lowercase(),
            Self::Upcase => input.to_uppercase(),
            Self::Escape => texts::escape(input),
            Self::EscapeOnce => texts::escape_once(input),
            Self::NewlineToBr => {
                let lines = input.replace("\r\n", "\n");
                let lines = if around.html { texts::escape(&lines) } else { lines };
                lines.replace('\n', "<br />\n")
            }
            Self::Remove => input.replace(&one, ""),
            Self::RemoveFirst => input.replacen(&one, "", 1),
            Self::RemoveLast => texts::replace_last(input, &one, ""),
            Self::Replace => input.replace(&one, &two),
            Self::ReplaceFirst => input.replacen(&one, &two, 1),
            Self::ReplaceLast => texts::replace_last(input, &one, &two),
            Self::Strip => input.trim().to_owned(),
            Self::StripLeft => input.trim_start().to_owned(),
            Self::StripRight => input.trim_end().to_owned(),
            Self::StripHtml => texts::strip_html(input),
            Self::StripNewlines => input.replace(['\r', '\n'], ""),
            Self::Truncate => texts::truncate(input, numbers::whole(first).unwrap_or(50), end),
            Self::TruncateWords => texts::truncate_words(input, numbers::whole(first).unwrap_or(15), end),
            Self::UrlDecode => texts::url_decode(input),
            Self::UrlEncode => texts::url_encode(input),
            // All others were dealt with.
            _ => input.to_owned(),
        })
    }

    fn of_list(self, input: &Value, first: &Value, second: &Value, given: usize) -> Result<Value, &'static str> {
        let items = items_of(input);
        let name = text(first);
        let field = |item: &Value| -> Value {
            match given {
                0 => item.clone(),
                _ => value::field(item, &name).map_or(Value::Null, Cow::into_owned),
            }
        };
        let is_wanted = |item: &&Value| {
            let found = field(item);
            if given > 1 { equal(&found, second) } else { is_true(&found) }
        };
        Ok(match self {
            Self::Join => {
                let between = if given > 0 { name.as_str() } else { " " };
                let said: usize = items.iter().map(value::weight).sum();
                if said.saturating_add(items.len().saturating_mul(between.len())) > limits::VALUE_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                Value::String(items.iter().map(text).collect::<Vec<_>>().join(between))
            }
            Self::Compact => items.iter().filter(|item| !field(item).is_null()).cloned().collect(),
            Self::Concat => {
                let others = items_of(first);
                if items.len() + others.len() > limits::LIST_MAX {
                    return Err(TOO_LARGE);
                }
                items.iter().chain(others.iter()).cloned().collect()
            }
            Self::Find => items.iter().find(is_wanted).cloned().unwrap_or(Value::Null),
            Self::Where => items.iter().filter(is_wanted).cloned().collect(),
            Self::Map => items.iter().map(field).collect(),
            Self::Reverse => items.iter().rev().cloned().collect(),
            Self::Sum => {
                let add = |sum: Number, item: &Value| sum.plus(numbers::or_nought(&field(item)));
                items.iter().fold(Number::Whole(0), add).value()
            }
            Self::Sort | Self::SortNatural => {
                let key = |item: &Value| match field(item) {
                    Value::String(text) if self == Self::SortNatural => Value::String(text.to_lowercase()),
                    other => other,
                };
                let mut keyed: Vec<_> = items.iter().map(|item| (key(item), item)).collect();
                keyed.sort_by(|(one, _), (other, _)| sorting(one, other));
                keyed.into_iter().map(|(_, item)| item.clone()).collect()
            }
            _ => {
                // Equal ones are found by how they are written; numbers by what they count.
                let written = |item: &Value| {
                    numbers::of(item).filter(|_| item.is_number()).map_or_else(|| item.to_string(), Number::text)
                };
                let mut seen = std::collections::BTreeSet::new();
                items.iter().filter(|item| seen.insert(written(&field(item)))).cloned().collect()
            }
        })
    }
}

fn of_two(one: Number, other: Number, take_other_if: std::cmp::Ordering) -> Value {
    if one.order(other) == Some(take_other_if) { other.value() } else { one.value() }
}

/// The items of a list; a single value is a list of its own, nothing is none.
fn items_of(value: &Value) -> Cow<'_, [Value]> {
    match value {
        Value::Array(items) => Cow::Borrowed(items),
        Value::Null => Cow::Owned(Vec::new()),
        other => Cow::Owned(vec![other.clone()]),
    }
}

fn slice(input: &Value, start: &Value, count: &Value) -> Value {
    let start = numbers::whole(start).unwrap_or(0);
    let count = if count.is_null() { 1 } else { numbers::whole(count).unwrap_or(0) };
    if let Value::Array(items) = input {
        let (from, to) = texts::slice(items.len(), start, count);
        return items.get(from..to).unwrap_or_default().to_vec().into();
    }
    let chars: Vec<char> = text(input).chars().collect();
    let (from, to) = texts::slice(chars.len(), start, count);
    Value::String(chars.get(from..to).unwrap_or_default().iter().collect())
}

fn split(input: &str, by: &str) -> Result<Value, &'static str> {
    let pieces: Vec<Value> = if by.is_empty() {
        input.chars().map(|c| c.to_string().into()).take(limits::LIST_MAX + 1).collect()
    } else if by == " " {
        input.split_whitespace().map(Into::into).take(limits::LIST_MAX + 1).collect()
    } else {
        input
            .trim_end_matches(by)
            .split(by)
            .filter(|_| !input.is_empty())
            .map(Into::into)
            .take(limits::LIST_MAX + 1)
            .collect()
    };
    if pieces.len() > limits::LIST_MAX {
        return Err(TOO_LARGE);
    }
    Ok(pieces.into())
}
