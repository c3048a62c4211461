//! The filters: those of the crate that take whatever they are given, and the house's own.
//!
//! The crate's others stop at what they don't expect, where a template of the field goes on, or grow without bound.

use std::fmt;

use liquid_core::{
    Expression, Result, Runtime, Value, ValueView,
    parser::{Filter as CrateFilter, FilterArguments, FilterReflection, ParameterReflection, ParseFilter},
};
use liquid_lib::stdlib;

use super::{
    around::{around, burn, fail},
    dates, lists,
    numbers::{self, Number},
    texts,
    values::{self, Kind, is_empty, is_true, kind, number, text, weight},
    words::RANGE,
};
use crate::content::limits;

macro_rules! filters {
    ($($name:literal $filter:ident $least:literal $most:literal,)*) => {
        /// A filter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Filter { Range, $($filter,)* }

        impl Filter {
            /// The filter of a name.
            pub(super) fn of(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$filter),)* _ => None }
            }

            fn name(self) -> &'static str {
                match self { Self::Range => RANGE, $(Self::$filter => $name,)* }
            }

            /// How many values it takes, at least and at most.
            pub(super) fn arguments(self) -> (usize, usize) {
                match self { Self::Range => (1, 1), $(Self::$filter => ($least, $most),)* }
            }
        }

        const ALL: &[Filter] = &[Filter::Range, $(Filter::$filter,)*];

        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($name,)*];
    };
}

filters! {
    "abs" Abs 0 0,
    "append" Append 1 1,
    "array_to_sentence_string" Sentence 0 1,
    "at_least" AtLeast 1 1,
    "at_most" AtMost 1 1,
    "base64_decode" Base64Decode 0 0,
    "base64_encode" Base64Encode 0 0,
    "capitalize" Capitalize 0 0,
    "ceil" Ceil 0 0,
    "compact" Compact 0 1,
    "concat" Concat 1 1,
    "date" Date 0 2,
    "date_to_long_string" DateToLongString 0 0,
    "date_to_rfc822" DateToRfc822 0 0,
    "date_to_string" DateToString 0 0,
    "date_to_xmlschema" DateToXmlschema 0 0,
    "default" Default 1 1,
    "divided_by" DividedBy 1 1,
    "downcase" Downcase 0 0,
    "escape" Escape 0 0,
    "escape_once" EscapeOnce 0 0,
    "find" Find 1 2,
    "find_index" FindIndex 1 2,
    "first" First 0 0,
    "floor" Floor 0 0,
    "group_by" GroupBy 1 1,
    "has" Has 1 2,
    "join" Join 0 1,
    "json" Json 0 0,
    "jsonify" Jsonify 0 0,
    "last" Last 0 0,
    "lstrip" StripLeft 0 0,
    "map" Map 1 1,
    "minus" Minus 1 1,
    "modulo" Modulo 1 1,
    "newline_to_br" NewlineToBr 0 0,
    "normalize_whitespace" NormalizeWhitespace 0 0,
    "number_of_words" NumberOfWords 0 0,
    "plus" Plus 1 1,
    "pop" Pop 0 0,
    "prepend" Prepend 1 1,
    "push" Push 1 1,
    "reject" Reject 1 2,
    "remove" Remove 1 1,
    "remove_first" RemoveFirst 1 1,
    "remove_last" RemoveLast 1 1,
    "replace" Replace 1 2,
    "replace_first" ReplaceFirst 1 2,
    "replace_last" ReplaceLast 2 2,
    "reverse" Reverse 0 0,
    "round" Round 0 1,
    "rstrip" StripRight 0 0,
    "shift" Shift 0 0,
    "size" Size 0 0,
    "slice" Slice 1 2,
    "slugify" Slugify 0 0,
    "sort" Sort 0 1,
    "sort_natural" SortNatural 0 1,
    "split" Split 1 1,
    "strip" Strip 0 0,
    "strip_html" StripHtml 0 0,
    "strip_newlines" StripNewlines 0 0,
    "sum" Sum 0 1,
    "times" Times 1 1,
    "to_integer" ToInteger 0 0,
    "truncate" Truncate 0 2,
    "truncatewords" TruncateWords 0 2,
    "uniq" Uniq 0 1,
    "unshift" Unshift 1 1,
    "upcase" Upcase 0 0,
    "url_decode" UrlDecode 0 0,
    "url_encode" UrlEncode 0 0,
    "where" Where 1 2,
    "xml_escape" XmlEscape 0 0,
}

/// Why a filter stops.
pub(super) const TOO_LARGE: &str = "a value on its way through the filters is too large";

/// What a filter is given beside its input, and how much of it.
pub(super) struct Given {
    pub(super) first: Value,
    pub(super) second: Value,
    pub(super) count: usize,
    /// `allow_false: true` of `default`.
    allow_false: bool,
}

/// All filters, as the crate's parser takes them.
pub(super) fn plugins() -> impl Iterator<Item = (&'static str, Box<dyn ParseFilter>)> {
    ALL.iter().map(|filter| (filter.name(), Plugin(*filter).into()))
}

#[derive(Clone)]
struct Plugin(Filter);

impl ParseFilter for Plugin {
    fn parse(&self, arguments: FilterArguments<'_>) -> Result<Box<dyn CrateFilter>> {
        let named = arguments.keyword.map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Box::new(Call {
            filter: self.0,
            of_crate: self.0.of_crate().map(|filter| filter.parse(nothing())).transpose()?,
            arguments: arguments.positional.collect(),
            named,
        }))
    }

    fn reflection(&self) -> &dyn FilterReflection {
        self
    }
}

impl FilterReflection for Plugin {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn description(&self) -> &str {
        ""
    }

    fn positional_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }

    fn keyword_parameters(&self) -> &'static [ParameterReflection] {
        &[]
    }
}

fn nothing<'a>() -> FilterArguments<'a> {
    FilterArguments { positional: Box::new(std::iter::empty()), keyword: Box::new(std::iter::empty()) }
}

/// One filter, called.
#[derive(Debug)]
struct Call {
    filter: Filter,
    /// The crate's own, where it takes anything.
    of_crate: Option<Box<dyn CrateFilter>>,
    arguments: Vec<Expression>,
    named: Vec<(String, Expression)>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.filter.name())
    }
}

impl CrateFilter for Call {
    fn evaluate(&self, input: &dyn ValueView, runtime: &dyn Runtime) -> Result<Value> {
        let input = input.to_value();
        let argument = |place: usize| -> Result<Value> {
            self.arguments.get(place).map_or(Ok(Value::Nil), |argument| Ok(argument.evaluate(runtime)?.into_owned()))
        };
        let mut given =
            Given { first: argument(0)?, second: argument(1)?, count: self.arguments.len(), allow_false: false };
        for (name, value) in &self.named {
            given.allow_false |= name == "allow_false" && is_true(&value.evaluate(runtime)?.into_owned());
        }
        burn(runtime, 1 + (weight(&input) + weight(&given.first) + weight(&given.second)) / 16)?;
        let done = match &self.of_crate {
            Some(filter) if matches!(kind(&input), Kind::Text(_)) => filter.evaluate(&input, runtime)?,
            Some(filter) => filter.evaluate(&Value::scalar(text(&input)), runtime)?,
            None => self.filter.apply(&input, &given, runtime).map_err(|what| fail(runtime, what))?,
        };
        let bytes = weight(&done);
        burn(runtime, bytes / 16)?;
        if bytes > limits::VALUE_BYTES_MAX && matches!(done, Value::Scalar(_)) {
            return Err(fail(runtime, TOO_LARGE));
        }
        Ok(done)
    }
}

impl Filter {
    /// The crate's own filter.
    fn of_crate(self) -> Option<Box<dyn ParseFilter>> {
        Some(match self {
            Self::Downcase => stdlib::Downcase.into(),
            Self::Escape | Self::XmlEscape => stdlib::Escape.into(),
            Self::EscapeOnce => stdlib::EscapeOnce.into(),
            Self::Strip => stdlib::Strip.into(),
            Self::StripHtml => stdlib::StripHtml.into(),
            Self::StripLeft => stdlib::Lstrip.into(),
            Self::StripNewlines => stdlib::StripNewlines.into(),
            Self::StripRight => stdlib::Rstrip.into(),
            Self::Upcase => stdlib::Upcase.into(),
            _ => return None,
        })
    }

    /// Whether what comes of it in HTML is escaped already.
    pub(super) fn is_safe(self) -> bool {
        matches!(self, Self::Escape | Self::EscapeOnce | Self::NewlineToBr | Self::XmlEscape)
    }

    /// What comes of `input`.
    ///
    /// # Errors
    /// It would be too large.
    fn apply(self, input: &Value, given: &Given, runtime: &dyn Runtime) -> Result<Value, &'static str> {
        let Given { first, second, .. } = given;
        let other = || number(first);
        Ok(match self {
            Self::Range => lists::range(input, first)?,
            Self::Abs => number(input).abs().value(),
            Self::AtLeast => of_two(number(input), other(), std::cmp::Ordering::Less),
            Self::AtMost => of_two(number(input), other(), std::cmp::Ordering::Greater),
            Self::Ceil => number(input).ceil().value(),
            Self::Floor => number(input).floor().value(),
            Self::DividedBy => number(input).divided_by(other()).map_or(Value::Nil, Number::value),
            Self::Modulo => number(input).modulo(other()).map_or(Value::Nil, Number::value),
            Self::Minus => number(input).minus(other()).value(),
            Self::Plus => number(input).plus(other()).value(),
            Self::Times => number(input).times(other()).value(),
            Self::Round => number(input).round(numbers::whole(first).unwrap_or(0)).value(),
            Self::ToInteger => Value::scalar(numbers::whole(input).unwrap_or(0)),
            Self::Date => {
                let format = if given.count > 0 { text(first) } else { dates::LONG.to_owned() };
                date(input, &format, second, runtime)
            }
            Self::DateToLongString => date(input, "%d %B %Y", second, runtime),
            Self::DateToRfc822 => date(input, "%a, %d %b %Y %H:%M:%S %z", second, runtime),
            Self::DateToString => date(input, "%d %b %Y", second, runtime),
            Self::DateToXmlschema => date(input, "%Y-%m-%dT%H:%M:%S%:z", second, runtime),
            Self::Default => {
                let is_kept = is_true(input) || (given.allow_false && matches!(kind(input), Kind::Flag(_)));
                if is_kept && !is_empty(input) { input.clone() } else { first.clone() }
            }
            Self::Json | Self::Jsonify => Value::scalar(values::json(input).to_string()),
            Self::Size => values::count(values::size(input).unwrap_or(0)),
            Self::NumberOfWords => values::count(text(input).split_whitespace().count()),
            Self::Slice => slice(input, first, second),
            Self::Split => lists::split(&text(input), &text(first))?,
            _ => match self.of_list(input, given)? {
                Some(done) => done,
                None => Value::scalar(self.of_text(&text(input), given, around(runtime).html)?),
            },
        })
    }

    fn of_text(self, input: &str, given: &Given, html: bool) -> Result<String, &'static str> {
        let (one, two) = (text(&given.first), text(&given.second));
        if matches!(self, Self::Replace | Self::ReplaceFirst)
            && texts::replaced_bytes(input, &one, &two) > limits::VALUE_BYTES_MAX
        {
            return Err(TOO_LARGE);
        }
        let end = if given.count > 1 { two.as_str() } else { "..." };
        Ok(match self {
            Self::Append => format!("{input}{one}"),
            Self::Prepend => format!("{one}{input}"),
            Self::Base64Decode => texts::base64_decode(input),
            Self::Base64Encode => texts::base64_encode(input),
            Self::Capitalize => texts::capitalize(input),
            Self::NewlineToBr => {
                let lines = input.replace("\r\n", "\n");
                let lines = if html { texts::escape(&lines) } else { lines.as_str().into() };
                lines.replace('\n', "<br />\n")
            }
            Self::NormalizeWhitespace => texts::normalize_whitespace(input),
            Self::Remove => input.replace(&one, ""),
            Self::RemoveFirst => input.replacen(&one, "", 1),
            Self::RemoveLast => texts::replace_last(input, &one, ""),
            Self::Replace => input.replace(&one, &two),
            Self::ReplaceFirst => input.replacen(&one, &two, 1),
            Self::ReplaceLast => texts::replace_last(input, &one, &two),
            Self::Slugify => texts::slugify(input),
            Self::Truncate => texts::truncate(input, numbers::whole(&given.first).unwrap_or(50), end),
            Self::TruncateWords => texts::truncate_words(input, numbers::whole(&given.first).unwrap_or(15), end),
            Self::UrlDecode => texts::url_decode(input),
            Self::UrlEncode => texts::url_encode(input),
            // All others were dealt with.
            _ => input.to_owned(),
        })
    }
}

fn of_two(one: Number, other: Number, take_other_if: std::cmp::Ordering) -> Value {
    if one.order(other) == Some(take_other_if) { other.value() } else { one.value() }
}

fn date(input: &Value, format: &str, zone: &Value, runtime: &dyn Runtime) -> Value {
    let around = around(runtime);
    let zone = dates::zone(zone, &around.zone);
    dates::date(input, format, &zone, around.now_ms).map_or_else(|| input.clone(), Value::scalar)
}

fn slice(input: &Value, start: &Value, count: &Value) -> Value {
    let start = numbers::whole(start).unwrap_or(0);
    let count = if matches!(kind(count), Kind::Nothing) { 1 } else { numbers::whole(count).unwrap_or(0) };
    if let Kind::List(items) = kind(input) {
        let (from, to) = texts::slice(items.len(), start, count);
        return Value::Array(items.get(from..to).unwrap_or_default().to_vec());
    }
    let chars: Vec<char> = text(input).chars().collect();
    let (from, to) = texts::slice(chars.len(), start, count);
    Value::scalar(chars.get(from..to).unwrap_or_default().iter().collect::<String>())
}
