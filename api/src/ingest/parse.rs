//! A request's body as events: the usual way in one pass, the careful way when something is wrong.

use std::{borrow::Cow, cell::Cell, marker::PhantomData};

use impresario_agents::vocabulary::{EventKind, Millis, Tracked};
use serde::{Deserialize, de::DeserializeSeed};
use serde_json::value::RawValue;

use super::{
    event::{Envelope, MESSAGE_ID_CHARS_MAX, tracked},
    item::{Batch, BatchSeed, Item, OBJECT_FIELDS, TEXT_FIELDS, Text},
    reject::{Reason, Rejection},
    scan::check_raw,
    time::read_time,
};
use crate::{config::IngestLimits, problem::Problem};

/// What came of a body.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The events, and whether each came with a `messageId` of its own.
    pub(super) events: Vec<(Tracked, bool)>,
    pub(super) rejected: Vec<Rejection>,
}

/// What is known before the body is looked at.
pub(super) struct Door<'a> {
    pub(super) received_at_ms: Millis,
    pub(super) request: u64,
    pub(super) data_clock: bool,
    pub(super) limits: &'a IngestLimits,
}

/// A body, read but not yet judged: the key that opens the door may be in it.
pub(super) enum Body<'a> {
    Single(EventKind, Box<Item<'a>>),
    /// A single event that is no such thing, but is JSON.
    BadSingle(Rejection, Option<Cow<'a, str>>),
    Batch(Batch<'a, Item<'a>>),
    /// A batch in which at least one item is no event.
    Mixed(Batch<'a, &'a RawValue>),
}

impl<'a> Body<'a> {
    /// Reads a batch, or one event of `kind`.
    pub(super) fn read(text: &'a [u8], kind: Option<EventKind>, limits: &IngestLimits) -> Result<Self, Problem> {
        let text = std::str::from_utf8(text)
            .map_err(|error| Problem::malformed_json(format!("byte {} is no UTF-8", error.valid_up_to())))?;
        match kind {
            Some(kind) => Self::read_single(text, kind, limits),
            None => Self::read_batch(text, limits),
        }
    }

    fn read_single(text: &'a str, kind: EventKind, limits: &IngestLimits) -> Result<Self, Problem> {
        if text.len() > limits.event_bytes_max {
            let detail = format!("an event of {} bytes is larger than {}", text.len(), limits.event_bytes_max);
            return Err(Problem::too_large(detail));
        }
        match serde_json::from_str(text) {
            Ok(item) => Ok(Self::Single(kind, Box::new(item))),
            Err(error) if error.is_data() => {
                let raw: &RawValue = serde_json::from_str(text).map_err(|error| Problem::of_json(&error))?;
                Ok(Self::BadSingle(why_not(raw), text_field(raw, "writeKey")))
            }
            Err(error) => match serde_json::from_str::<&RawValue>(text) {
                // JSON all the same: a text in it is half a surrogate pair.
                Ok(raw) => Ok(Self::BadSingle(why_not(raw), text_field(raw, "writeKey"))),
                Err(_) => Err(Problem::of_json(&error)),
            },
        }
    }

    fn read_batch(text: &'a str, limits: &IngestLimits) -> Result<Self, Problem> {
        let too_many = Cell::new(false);
        if let Ok(batch) = seeded::<Item<'a>>(text, limits, &too_many) {
            return Ok(Self::Batch(batch));
        }
        let batch = seeded::<&RawValue>(text, limits, &too_many).map_err(|error| {
            if too_many.get() {
                return Problem::too_large(format!("a batch has more than {} events", limits.batch_events_max));
            }
            Problem::of_json(&error)
        })?;
        Ok(Self::Mixed(batch))
    }

    /// The key in the body.
    pub(super) fn write_key(&self) -> Option<&str> {
        match self {
            Self::Single(_, item) => item.write_key.as_ref().map(|key| &*key.0),
            Self::BadSingle(_, key) => key.as_deref(),
            Self::Batch(batch) => batch.write_key.as_ref().map(|key| &*key.0),
            Self::Mixed(batch) => batch.write_key.as_ref().map(|key| &*key.0),
        }
    }

    /// Judges every event.
    pub(super) fn events(self, source: &str, door: &Door<'_>) -> Result<Parsed, Problem> {
        let mut parsed = Parsed::default();
        match self {
            Self::Single(kind, item) => {
                parsed.take(&item, Some(kind), 0, &door.envelope(source, None, None));
            }
            Self::BadSingle(rejection, _) => parsed.rejected.push(rejection),
            Self::Batch(batch) => {
                let items = batch.items.ok_or_else(no_batch)?;
                let sent_at_ms = sent_at(batch.sent_at.as_ref())?;
                let envelope = door.envelope(source, sent_at_ms, batch_context(batch.context, door.limits)?);
                parsed.events.reserve(items.len());
                for (index, item) in items.iter().enumerate() {
                    parsed.take(item, None, index, &envelope);
                }
            }
            Self::Mixed(batch) => {
                let items = batch.items.ok_or_else(no_batch)?;
                let sent_at_ms = sent_at(batch.sent_at.as_ref())?;
                let envelope = door.envelope(source, sent_at_ms, batch_context(batch.context, door.limits)?);
                for (index, raw) in items.into_iter().enumerate() {
                    match serde_json::from_str::<Item<'_>>(raw.get()) {
                        Ok(item) => parsed.take(&item, None, index, &envelope),
                        Err(_) => parsed.rejected.push(why_not(raw)),
                    }
                }
            }
        }
        Ok(parsed)
    }
}

impl Parsed {
    fn take(&mut self, item: &Item<'_>, kind: Option<EventKind>, index: usize, envelope: &Envelope<'_>) {
        let own_id = item.message_id.as_ref().is_some_and(|id| !id.0.is_empty());
        match tracked(item, kind, index, envelope) {
            Ok(event) => self.events.push((event, own_id)),
            Err(reason) => {
                let message_id = item.message_id.as_ref().and_then(|id| usable_id(&id.0));
                self.rejected.push(Rejection { message_id, reason });
            }
        }
    }
}

impl<'a> Door<'a> {
    fn envelope(&self, source: &'a str, sent_at_ms: Option<Millis>, context: Option<&'a RawValue>) -> Envelope<'a>
    where
        Self: 'a,
    {
        Envelope {
            source,
            received_at_ms: self.received_at_ms,
            request: self.request,
            sent_at_ms,
            context,
            data_clock: self.data_clock,
            limits: self.limits,
        }
    }
}

fn seeded<'a, T: Deserialize<'a>>(
    text: &'a str,
    limits: &IngestLimits,
    too_many: &Cell<bool>,
) -> Result<Batch<'a, T>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = BatchSeed { items_max: limits.batch_events_max, too_many, items: PhantomData };
    let batch = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(batch)
}

fn no_batch() -> Problem {
    Problem::invalid_body("`batch`, a list of events, is missing")
}

fn sent_at(text: Option<&Text<'_>>) -> Result<Option<Millis>, Problem> {
    let read = text.map(|text| read_time(&text.0, "sentAt")).transpose();
    read.map_err(|reason| Problem::invalid_body(reason.to_string()))
}

/// The context of a whole batch; what is wrong with it is wrong with the request.
fn batch_context<'a>(raw: Option<&'a RawValue>, limits: &IngestLimits) -> Result<Option<&'a RawValue>, Problem> {
    let Some(context) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    if !context.get().starts_with('{') {
        return Err(Problem::invalid_body(Reason::WrongType("context").to_string()));
    }
    check_raw(context.get(), 1, limits).map_err(|reason| Problem::invalid_body(format!("`context`: {reason}")))?;
    Ok(Some(context))
}

/// Why a JSON value is no event, in the careful way.
fn why_not(raw: &RawValue) -> Rejection {
    let message_id = text_field(raw, "messageId").and_then(|id| usable_id(&id));
    Rejection { message_id, reason: reason(raw) }
}

fn reason(raw: &RawValue) -> Reason {
    if !raw.get().starts_with('{') {
        return Reason::NotAnObject;
    }
    let texts = TEXT_FIELDS.into_iter().map(|field| (field, true));
    for (field, is_text) in texts.chain(OBJECT_FIELDS.map(|field| (field, false))) {
        let mut seen = 0;
        let mut wrong = None;
        let looked = each_field(raw, |name, value| {
            if name != field {
                return;
            }
            seen += 1;
            let text = value.get();
            let fits = text == "null" || if is_text { text.starts_with('"') } else { text.starts_with('{') };
            if !fits {
                wrong = Some(Reason::WrongType(field));
            } else if is_text && text != "null" && serde_json::from_str::<String>(text).is_err() {
                wrong = Some(Reason::LoneSurrogate);
            }
        });
        if looked.is_err() {
            return Reason::LoneSurrogate;
        }
        if let Some(wrong) = wrong {
            return wrong;
        }
        if seen > 1 {
            return Reason::RepeatedField;
        }
    }
    Reason::LoneSurrogate
}

fn text_field<'a>(raw: &'a RawValue, field: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    let looked = each_field(raw, |name, value| {
        if name == field {
            found = serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0);
        }
    });
    looked.ok().and(found)
}

/// Looks at every field of an object, whatever is in it.
fn each_field<'a>(raw: &'a RawValue, mut look: impl FnMut(&str, &'a RawValue)) -> Result<(), serde_json::Error> {
    struct Fields<F>(F);
    impl<'de, F: FnMut(&str, &'de RawValue)> serde::de::Visitor<'de> for Fields<F> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(Text(name)) = map.next_key()? {
                (self.0)(&name, map.next_value()?);
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    serde::Deserializer::deserialize_map(&mut deserializer, Fields(&mut look))
}

fn usable_id(id: &str) -> Option<Box<str>> {
    let usable = !id.is_empty() && id.chars().count() <= MESSAGE_ID_CHARS_MAX && !id.contains('\0');
    usable.then(|| id.into())
}
