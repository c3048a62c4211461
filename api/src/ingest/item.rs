//! One event and one batch as clients send them, borrowed from the body.

use std::{borrow::Cow, cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A text, borrowed where it has no escapes. (`Option<Cow<str>>` would always be copied.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

macro_rules! item {
    ($($field:ident: $kind:ty = $name:literal,)*) => {
        /// One event. Fields nobody keeps (`integrations`, `version`, ..) are skipped.
        #[derive(Debug, Default)]
        pub(super) struct Item<'a> {
            $(pub(super) $field: Option<$kind>,)*
        }

        impl<'de> Visitor<'de> for ItemVisitor<'de> {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event, a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut item = Item::default();
                while let Some(Text(key)) = map.next_key()? {
                    match &*key {
                        $($name => {
                            if item.$field.is_some() {
                                return Err(A::Error::duplicate_field($name));
                            }
                            item.$field = map.next_value()?;
                        })*
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(item)
            }
        }
    };
}

struct ItemVisitor<'a>(PhantomData<&'a ()>);

item! {
    kind: Text<'a> = "type",
    message_id: Text<'a> = "messageId",
    user_id: Text<'a> = "userId",
    anonymous_id: Text<'a> = "anonymousId",
    previous_id: Text<'a> = "previousId",
    group_id: Text<'a> = "groupId",
    event: Text<'a> = "event",
    name: Text<'a> = "name",
    timestamp: Text<'a> = "timestamp",
    original_timestamp: Text<'a> = "originalTimestamp",
    sent_at: Text<'a> = "sentAt",
    properties: &'a RawValue = "properties",
    traits: &'a RawValue = "traits",
    context: &'a RawValue = "context",
    write_key: Text<'a> = "writeKey",
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    // By hand: the derived one would take a list for an object of unnamed fields.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor(PhantomData))
    }
}

/// Every field of [`Item`] that is a text; the others are objects.
pub(super) const TEXT_FIELDS: [&str; 12] = [
    "type",
    "messageId",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "event",
    "name",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "writeKey",
];

/// The fields of [`Item`] that are objects.
pub(super) const OBJECT_FIELDS: [&str; 3] = ["properties", "traits", "context"];

/// A batch with its items as `T`.
#[derive(Debug)]
pub(super) struct Batch<'a, T> {
    pub(super) items: Option<Vec<T>>,
    pub(super) write_key: Option<Text<'a>>,
    pub(super) sent_at: Option<Text<'a>>,
    pub(super) context: Option<&'a RawValue>,
}

/// Reads a batch, and never more than so many items of it into memory.
pub(super) struct BatchSeed<'s, T> {
    pub(super) items_max: usize,
    /// Set where there are more.
    pub(super) too_many: &'s Cell<bool>,
    pub(super) items: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for BatchSeed<'_, T> {
    type Value = Batch<'de, T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for BatchSeed<'_, T> {
    type Value = Batch<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `batch`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut batch = Batch { items: None, write_key: None, sent_at: None, context: None };
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "batch" if batch.items.is_some() => return Err(A::Error::duplicate_field("batch")),
                "batch" => {
                    let seed = ItemsSeed { items_max: self.items_max, too_many: self.too_many, items: PhantomData };
                    batch.items = Some(map.next_value_seed(seed)?);
                }
                "writeKey" => batch.write_key = map.next_value()?,
                "sentAt" => batch.sent_at = map.next_value()?,
                "context" => batch.context = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(batch)
    }
}

struct ItemsSeed<'s, T> {
    items_max: usize,
    too_many: &'s Cell<bool>,
    items: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for ItemsSeed<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemsSeed<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::with_capacity(self.items_max.min(128));
        while let Some(item) = seq.next_element()? {
            if items.len() == self.items_max {
                self.too_many.set(true);
                return Err(A::Error::custom("too many events in one batch"));
            }
            items.push(item);
        }
        Ok(items)
    }
}
