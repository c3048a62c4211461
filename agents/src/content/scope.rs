//! What a template may speak of: the person, what the message is about, the offer, the instant.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::{Offer, RenderInput};
use crate::vocabulary::{Channel, Feature, Millis, Unit};

/// The names a template may begin with.
pub(super) const ROOTS: [&str; 8] =
    ["person", "customer", "features", "context", "offer", "campaign", "message", "now"];

/// Those under which a person's traits are.
pub(super) const PERSON_ROOTS: [&str; 2] = ["person", "customer"];

/// What an offer has.
const OFFER_FIELDS: [&str; 9] =
    ["id", "name", "code", "percent", "amount", "currency", "ends_at", "valid_until", "until"];

/// What a message has.
const MESSAGE_FIELDS: [&str; 4] = ["id", "channel", "template", "variant"];

/// Whether a name may have such a field. Those of a person and of what a message is about are anybody's.
pub(super) fn has_field(root: &str, field: &str) -> bool {
    match root {
        "features" => Feature::names().iter().any(|name| name.split('.').next() == Some(field)),
        "offer" => OFFER_FIELDS.contains(&field),
        "message" => MESSAGE_FIELDS.contains(&field),
        _ => true,
    }
}

/// The same trait as another client writes it: `first_name` for `firstName`, and the other way round.
pub(super) fn other_spelling(name: &str) -> Option<String> {
    if name.contains('_') {
        let mut words = name.split('_');
        let mut camel = words.next()?.to_owned();
        for word in words {
            let mut chars = word.chars();
            camel.extend(chars.next().map(|first| first.to_ascii_uppercase()));
            camel.push_str(chars.as_str());
        }
        return Some(camel);
    }
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(char.to_ascii_lowercase());
    }
    Some(snake)
}

/// An instant as templates see it: ISO 8601 with the person's offset.
pub(super) fn iso(at_ms: Millis, zone: &TimeZone) -> Option<String> {
    let at = Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone());
    Some(at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// All of it, for one message.
pub(super) fn scope(
    input: &RenderInput<'_>,
    level: (&str, Option<&str>),
    channel: Channel,
    offer: Option<(&str, &Offer)>,
    zone: &TimeZone,
) -> Map<String, Value> {
    let mut scope = Map::new();
    let person = Value::Object(person(input, zone));
    for root in PERSON_ROOTS {
        scope.insert(root.to_owned(), person.clone());
    }
    scope.insert("features".to_owned(), Value::Object(features(input.features, zone)));
    scope.insert("context".to_owned(), input.context.clone());
    scope.insert("now".to_owned(), iso(input.now_ms, zone).map_or(Value::Null, Value::String));
    scope.insert("campaign".to_owned(), input.campaign.into());
    let (template, variant) = level;
    let message = json!({ "id": input.message, "channel": channel.name(), "template": template, "variant": variant });
    scope.insert("message".to_owned(), message);
    if let Some((id, offer)) = offer {
        scope.insert("offer".to_owned(), Value::Object(offer_of(id, offer, input.now_ms, zone)));
    }
    scope
}

fn person(input: &RenderInput<'_>, zone: &TimeZone) -> Map<String, Value> {
    let mut person = input.traits.as_object().cloned().unwrap_or_default();
    let respelled: Vec<_> =
        person.iter().filter_map(|(name, value)| Some((other_spelling(name)?, value.clone()))).collect();
    for (name, value) in respelled {
        person.entry(name).or_insert(value);
    }
    for (name, channel) in [("email", Channel::Email), ("phone", Channel::Sms)] {
        let address = input.contact.addresses.iter().find(|address| address.channel == channel);
        if let Some(address) = address {
            person.entry(name).or_insert_with(|| address.value.as_ref().into());
        }
    }
    person.entry("locale").or_insert_with(|| input.contact.locale.as_deref().into());
    person.entry("zone").or_insert_with(|| zone.iana_name().into());
    person
}

/// Numbers as people write them: money in units of its currency, instants as ISO 8601.
fn features(features: &[(Feature, i64)], zone: &TimeZone) -> Map<String, Value> {
    let mut all = Map::new();
    for (feature, number) in features {
        let value = match feature.unit() {
            Unit::Count => Value::from(*number),
            Unit::Instant => iso(*number, zone).map_or(Value::Null, Value::String),
            Unit::Money => money(*number),
        };
        let name = feature.to_string();
        match name.split_once('.') {
            Some((group, name)) => {
                let group = all.entry(group).or_insert_with(|| Value::Object(Map::new()));
                if let Some(group) = group.as_object_mut() {
                    group.insert(name.to_owned(), value);
                }
            }
            None => {
                all.insert(name, value);
            }
        }
    }
    all
}

/// An amount of money: a whole number where it is one.
fn money(micros: i64) -> Value {
    if micros % 1_000_000 == 0 { Value::from(micros / 1_000_000) } else { Value::from(micros as f64 / 1e6) }
}

/// A number: a whole one where it is one.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::from(number as i64) } else { Value::from(number) }
}

fn offer_of(id: &str, offer: &Offer, now_ms: Millis, zone: &TimeZone) -> Map<String, Value> {
    let mut all = Map::new();
    let mut tell = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    tell("id", id.into());
    tell("name", offer.name.as_ref().into());
    tell("code", offer.code.as_deref().into());
    tell("percent", offer.percent.map_or(Value::Null, number));
    tell("amount", offer.amount.map_or(Value::Null, number));
    tell("currency", offer.currency.as_deref().into());
    if let Some(ends_ms) = offer.ends_ms(now_ms) {
        let ends_at = iso(ends_ms, zone).map_or(Value::Null, Value::String);
        tell("ends_at", ends_at.clone());
        tell("valid_until", ends_at);
        tell("until", until(now_ms, ends_ms, zone).map_or(Value::Null, Value::String));
    }
    all
}

/// The end as people say it: the hour where it is today's, else the day with it.
fn until(now_ms: Millis, ends_ms: Millis, zone: &TimeZone) -> Option<String> {
    let local = |at_ms| Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(zone.clone()));
    let (now, ends) = (local(now_ms)?, local(ends_ms)?);
    let format = if now.date() == ends.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    Some(ends.strftime(format).to_string())
}
