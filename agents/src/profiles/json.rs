//! Reading what is wanted out of raw JSON, and nothing else of it.
//!
//! A field of the wrong type is for the caller to count and pass over: nothing here fails an event.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The wanted fields of an object, raw; a null field counts as none.
pub(crate) struct Picked<'a, const N: usize> {
    /// In the order of the names asked for.
    pub(crate) values: [Option<&'a RawValue>; N],
    /// The text is not an object, or can't be read to its end.
    pub(crate) broken: bool,
}

/// Finds the fields `names` in the object `text`; of a field given twice the last counts.
pub(crate) fn pick<'a, const N: usize>(text: &'a str, names: &[&str; N]) -> Picked<'a, N> {
    let mut values = [None; N];
    let mut visit = |key: FieldName<'_>| names.iter().position(|name| *name == key.0);
    let broken = walk(text, &mut visit, &mut |place: usize, value| {
        if let Some(slot) = values.get_mut(place) {
            *slot = Some(value).filter(|value| value.get() != "null");
        }
    });
    Picked { values, broken: broken.is_err() }
}

/// Shows every field of the object `text`. True where it could be read to its end.
pub(crate) fn each_field<'a>(text: &'a str, mut show: impl FnMut(&str, &'a RawValue)) -> bool {
    let mut own = |key: FieldName<'_>| Some(key.0.to_owned());
    walk(text, &mut own, &mut |name: String, value| show(&name, value)).is_ok()
}

/// The elements of an array; none where it is no array.
pub(crate) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// A string's text; `None` for anything else, and for a string that is no Unicode.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// The text of a string or of a number: ids come as both.
pub(crate) fn text_or_number(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if number { Some(Cow::Borrowed(raw)) } else { text(value) }
}

/// The first `bytes_max` bytes of a text, no character split.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Bytes a value takes at most once it is kept.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(_) => 9,
        Value::String(text) => 5 + text.len(),
        Value::Array(items) => 5 + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => 5 + fields.iter().map(|(name, value)| 5 + name.len() + weight(value)).sum::<usize>(),
    }
}

struct FieldName<'n>(&'n str);

fn walk<'a, K>(
    text: &'a str,
    want: &mut dyn FnMut(FieldName<'_>) -> Option<K>,
    show: &mut dyn FnMut(K, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    (&mut deserializer).deserialize_map(Walk { want, show })
}

struct Walk<'w, 'a, K> {
    want: &'w mut dyn FnMut(FieldName<'_>) -> Option<K>,
    show: &'w mut dyn FnMut(K, &'a RawValue),
}

impl<'a, K> Visitor<'a> for Walk<'_, 'a, K> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(wanted) = map.next_key_seed(Name(&mut *self.want))? {
            match wanted {
                Some(key) => (self.show)(key, map.next_value::<&'a RawValue>()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Name<'w, K>(&'w mut dyn FnMut(FieldName<'_>) -> Option<K>);

impl<'de, K> DeserializeSeed<'de> for Name<'_, K> {
    type Value = Option<K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<K> Visitor<'_> for Name<'_, K> {
    type Value = Option<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok((self.0)(FieldName(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_fields_are_found_and_others_passed_over() {
        let object = r#"{"a":{"deep":[1,2]},"b":"x","c":null,"b":"y","d\n":1}"#;
        let found = pick(object, &["b", "c", "a", "none", "d\n"]);
        let found: Vec<_> = found.values.iter().map(|value| value.map(RawValue::get)).collect();
        assert_eq!(found, [Some("\"y\""), None, Some(r#"{"deep":[1,2]}"#), None, Some("1")]);
    }

    #[test]
    fn what_is_no_object_is_broken() {
        for text in ["", "[]", "7", "\"x\"", "{\"a\":", "{\"a\":1,}"] {
            assert!(pick(text, &["a"]).broken, "{text}");
        }
        assert!(!pick("{}", &["a"]).broken);
    }

    #[test]
    fn text_is_read_with_and_without_escapes() {
        let read = |raw: &str| text(serde_json::from_str::<&RawValue>(raw).unwrap()).map(Cow::into_owned);
        assert_eq!(read("\"plain\"").as_deref(), Some("plain"));
        assert_eq!(read(r#""a\"b\u0041""#).as_deref(), Some("a\"bA"));
        assert_eq!(read(r#""\ud800""#), None);
        assert_eq!(read("7"), None);
    }
}
