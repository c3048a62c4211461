//! From an event as a client sent it to one as the agents know it, or the reason why not.

use std::borrow::Cow;

use impresario_agents::vocabulary::{EventKind, KeptNode, Millis, RawJson, Text as KeptText, Tracked};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    item::{Item, Text},
    reject::Reason,
    scan::check_raw,
    time::{happened_at, read_time},
};
use crate::config::IngestLimits;

/// Characters of a `messageId` at most.
pub const MESSAGE_ID_CHARS_MAX: usize = 100;
/// Bytes of an id at most.
pub const ID_BYTES_MAX: usize = 512;
/// Bytes of the name of an event or a page at most.
pub const NAME_BYTES_MAX: usize = 512;

/// The event whose money is looked at.
const ORDER: &str = "Order Completed";

/// What the events of one request have in common.
pub(super) struct Envelope<'a> {
    /// Which source they come from.
    pub(super) source: &'a str,
    /// When the request came in.
    pub(super) received_at_ms: Millis,
    /// Tells the requests of one millisecond apart.
    pub(super) request: u64,
    /// When the client says it sent all of it.
    pub(super) sent_at_ms: Option<Millis>,
    /// Context for all events.
    pub(super) context: Option<&'a RawValue>,
    /// Whether the journal's clock only moves with the data: then the client's clock is not set
    /// against it, and what the event says is when it happened.
    pub(super) data_clock: bool,
    pub(super) limits: &'a IngestLimits,
}

/// The kind behind a `type`.
pub(super) fn kind_from_name(name: &str) -> Option<EventKind> {
    match name {
        "track" => Some(EventKind::Track),
        "identify" => Some(EventKind::Identify),
        "page" => Some(EventKind::Page),
        "screen" => Some(EventKind::Screen),
        "group" => Some(EventKind::Group),
        "alias" => Some(EventKind::Alias),
        _ => None,
    }
}

/// One event, checked. `kind` is given by the path, or is the item's own `type`.
pub(super) fn tracked(
    item: &Item<'_>,
    kind: Option<EventKind>,
    index: usize,
    envelope: &Envelope<'_>,
) -> Result<Tracked, Reason> {
    let kind = match kind {
        Some(kind) => kind,
        None => {
            let name = item.kind.as_ref().ok_or(Reason::Missing("`type`"))?;
            kind_from_name(&name.0).ok_or(Reason::UnknownType)?
        }
    };
    let user_id = id(item.user_id.as_ref(), "userId")?;
    let anonymous_id = id(item.anonymous_id.as_ref(), "anonymousId")?;
    if user_id.is_none() && anonymous_id.is_none() {
        return Err(Reason::Missing("userId or anonymousId"));
    }
    let previous_id = id(item.previous_id.as_ref(), "previousId")?;
    let group_id = id(item.group_id.as_ref(), "groupId")?;
    let name = match kind {
        EventKind::Track => text(item.event.as_ref(), "event", NAME_BYTES_MAX)?.ok_or(Reason::Missing("`event`"))?,
        EventKind::Page | EventKind::Screen => text(item.name.as_ref(), "name", NAME_BYTES_MAX)?.unwrap_or_default(),
        _ => "",
    };
    match kind {
        EventKind::Alias if previous_id.is_none() => return Err(Reason::Missing("`previousId`")),
        EventKind::Group if group_id.is_none() => return Err(Reason::Missing("`groupId`")),
        _ => {}
    }
    let context = merged_context(object(item.context, "context")?, object(envelope.context, "context")?)?;
    let traits = object(item.traits, "traits")?;
    let properties = match kind {
        EventKind::Identify | EventKind::Group => match traits {
            Some(traits) => Some(traits),
            // Some clients send the traits of an identify call in its context alone.
            None => context.as_deref().and_then(traits_of_context),
        },
        EventKind::Alias => None,
        _ => object(item.properties, "properties")?,
    };
    let kept = properties.map_or(0, str::len) + context.as_deref().map_or(0, str::len);
    if kept > envelope.limits.event_bytes_max {
        return Err(Reason::TooLarge);
    }
    for raw in properties.into_iter().chain(context.as_deref()) {
        check_raw(raw, 1, envelope.limits)?;
    }
    check_order(kind, name, properties.unwrap_or_default())?;
    let times = times(item, envelope)?;
    let message_id: KeptText = match text(item.message_id.as_ref(), "messageId", MESSAGE_ID_CHARS_MAX * 4)? {
        Some(id) if id.chars().count() > MESSAGE_ID_CHARS_MAX => return Err(Reason::TooLong("messageId")),
        Some(id) => id.into(),
        None => made_id(item, index, envelope).into(),
    };
    Ok(Tracked {
        kind,
        message_id,
        user_id: user_id.map(Into::into),
        anonymous_id: anonymous_id.map(Into::into),
        previous_id: previous_id.map(Into::into),
        group_id: group_id.map(Into::into),
        name: name.into(),
        at_ms: times.at_ms,
        original_at_ms: times.original_at_ms,
        sent_at_ms: times.sent_at_ms,
        received_at_ms: envelope.received_at_ms,
        properties: raw(properties),
        context: raw(context.as_deref()),
        source: envelope.source.into(),
        kept_node: KeptNode::default(),
    })
}

/// The id of an event that came with none: a hash of what it says and when and where it came.
fn made_id(item: &Item<'_>, index: usize, envelope: &Envelope<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    let texts = [&item.user_id, &item.anonymous_id, &item.event, &item.name, &item.timestamp, &item.original_timestamp];
    for field in texts {
        hasher.update(field.as_ref().map_or("", |text| &text.0).as_bytes());
        hasher.update(&[0]);
    }
    for field in [item.properties, item.traits, item.context] {
        hasher.update(field.map_or("", RawValue::get).as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&envelope.received_at_ms.to_le_bytes());
    hasher.update(&envelope.request.to_le_bytes());
    hasher.update(&(index as u64).to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    format!("made-{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

struct Times {
    at_ms: Millis,
    original_at_ms: Option<Millis>,
    sent_at_ms: Option<Millis>,
}

fn times(item: &Item<'_>, envelope: &Envelope<'_>) -> Result<Times, Reason> {
    let read = |text: &Option<Text<'_>>, field| text.as_ref().map(|text| read_time(&text.0, field)).transpose();
    let sent_at_ms = read(&item.sent_at, "sentAt")?.or(envelope.sent_at_ms);
    let original = read(&item.original_timestamp, "originalTimestamp")?;
    let original_at_ms = match original {
        Some(original) => Some(original),
        None => read(&item.timestamp, "timestamp")?.or(sent_at_ms),
    };
    let sent_by_our_clock = sent_at_ms.filter(|_| !envelope.data_clock);
    let at_ms = happened_at(envelope.received_at_ms, sent_by_our_clock, original_at_ms);
    Ok(Times { at_ms, original_at_ms, sent_at_ms })
}

/// A text that is there: not null, not empty, not too long, with no NUL in it.
fn text<'t>(text: Option<&'t Text<'_>>, field: &'static str, bytes_max: usize) -> Result<Option<&'t str>, Reason> {
    let Some(text) = text.map(|text| &*text.0).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > bytes_max {
        return Err(Reason::TooLong(field));
    }
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Reason::NulIn(field));
    }
    Ok(Some(text))
}

fn id<'t>(value: Option<&'t Text<'_>>, field: &'static str) -> Result<Option<&'t str>, Reason> {
    text(value, field, ID_BYTES_MAX)
}

/// The raw text of an object; `None` for null and for nothing.
fn object<'a>(raw: Option<&'a RawValue>, field: &'static str) -> Result<Option<&'a str>, Reason> {
    match raw.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) if text.starts_with('{') => Ok(Some(text)),
        Some(_) => Err(Reason::WrongType(field)),
    }
}

fn raw(text: Option<&str>) -> RawJson {
    text.map_or_else(RawJson::default, RawJson::from_checked)
}

/// The batch's context under the item's own.
fn merged_context<'a>(own: Option<&'a str>, batch: Option<&'a str>) -> Result<Option<Cow<'a, str>>, Reason> {
    let (own, batch) = match (own, batch) {
        (Some(own), None | Some("{}")) => return Ok(Some(Cow::Borrowed(own))),
        (None, batch) => return Ok(batch.map(Cow::Borrowed)),
        (Some(own), Some(batch)) => (own, batch),
    };
    let parse = |text: &str| serde_json::from_str::<Map<String, Value>>(text).map_err(|_| Reason::WrongType("context"));
    let mut merged = parse(batch)?;
    merged.extend(parse(own)?);
    serde_json::to_string(&merged).map(|text| Some(Cow::Owned(text))).map_err(|_| Reason::WrongType("context"))
}

fn traits_of_context(context: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Context<'a> {
        #[serde(borrow, default)]
        traits: Option<&'a RawValue>,
    }
    let context: Context<'_> = serde_json::from_str(context).ok()?;
    context.traits.map(RawValue::get).filter(|traits| traits.starts_with('{'))
}

/// An order's money is never below zero: a refund is an event of its own.
///
/// # Errors
/// [`Reason::NegativeRevenue`].
pub(crate) fn check_order(kind: EventKind, name: &str, properties: &str) -> Result<(), Reason> {
    #[derive(Deserialize)]
    struct Money<'a> {
        #[serde(borrow, default)]
        revenue: Option<&'a RawValue>,
        #[serde(borrow, default)]
        total: Option<&'a RawValue>,
        #[serde(borrow, default)]
        value: Option<&'a RawValue>,
    }
    if kind != EventKind::Track || name != ORDER {
        return Ok(());
    }
    let Ok(money) = serde_json::from_str::<Money<'_>>(properties) else { return Ok(()) };
    let below_zero = |raw: &RawValue| {
        let digits = raw.get().trim_matches('"').trim();
        digits.starts_with('-') && digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
    };
    let amounts = [money.revenue, money.total, money.value];
    if amounts.into_iter().flatten().any(below_zero) { Err(Reason::NegativeRevenue) } else { Ok(()) }
}
