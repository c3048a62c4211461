//! The identifiers of one person, and those an event names.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    json,
    oddity::{Oddities, Oddity},
};
use crate::vocabulary::{EventKind, Identifier, IdentifierKind, Millis, ProfileId, Stamp, Tracked};

/// Identifiers kept of one person; the caps of [`limits`](crate::identity::limits) come before it.
pub(super) const IDENTIFIERS_MAX: usize = 250;
/// Nodes remembered that claim one identifier of a person, the first by event time: as many as the
/// largest cap of claimants.
const CLAIMS_MAX: usize = 50;
/// Longest identifier, in bytes.
const VALUE_MAX: usize = 320;
const SYSTEM_MAX: usize = 64;
/// External ids of one event looked at.
const EXTERNAL_IDS_MAX: usize = 50;

/// An identifier of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIdentifier {
    /// What sort it is.
    #[serde(rename = "k")]
    pub kind: IdentifierKind,
    /// Its text, normalised.
    #[serde(rename = "v")]
    pub value: Box<str>,
    /// Under which of the person's nodes it was named first, and when.
    #[serde(rename = "f")]
    first: Claim,
    /// The same of the other nodes, in order.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<Claim>,
}

/// The first event filed under a node that names an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Claim(Stamp, ProfileId);

/// How an event's naming an identifier compares with what was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// All of it was known.
    Known,
    /// Not under this node, or not from so early: it is to be claimed.
    Claim,
    /// The person was not known by it.
    New,
}

impl KnownIdentifier {
    pub(super) fn new(kind: IdentifierKind, value: Box<str>, anchor: ProfileId, stamp: Stamp) -> Self {
        Self { kind, value, first: Claim(stamp, anchor), more: Vec::new() }
    }

    /// Time of the first event that named it.
    pub fn first_at_ms(&self) -> Millis {
        self.first.0.0
    }

    /// Its node.
    pub fn node(&self) -> Option<ProfileId> {
        Identifier::new(self.kind.clone(), &self.value).map(|identifier| identifier.node())
    }

    /// False where the node's claim is known from no later.
    fn claim(&mut self, claim: Claim) -> bool {
        let known = |known: &Claim| known.1 == claim.1;
        if known(&self.first) && self.first <= claim {
            return false;
        }
        if self.more.iter().any(|other| known(other) && *other <= claim) {
            return false;
        }
        let last = self.more.last().copied();
        let replaces = known(&self.first) || self.more.iter().any(known);
        if !replaces && self.more.len() + 1 >= CLAIMS_MAX && last.is_some_and(|last| last < claim) {
            return false;
        }
        self.more.retain(|other| !known(other));
        if known(&self.first) {
            self.first = claim;
        } else {
            self.more.push(claim);
        }
        self.more.push(self.first);
        self.more.sort_unstable();
        self.first = self.more.remove(0);
        self.more.truncate(CLAIMS_MAX - 1);
        true
    }
}

/// The identifiers of one person, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identifiers(Vec<KnownIdentifier>);

impl Identifiers {
    fn place(&self, kind: &IdentifierKind, value: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|known| known.kind.cmp(kind).then_with(|| (*known.value).cmp(value)))
    }

    /// Notes that an event of `stamp`, filed under `anchor`, names one.
    pub(super) fn note(&mut self, kind: &IdentifierKind, value: &str, anchor: ProfileId, stamp: Stamp) -> Noted {
        let known = self.place(kind, value).ok().and_then(|place| self.0.get_mut(place));
        match known.map(|known| known.claim(Claim(stamp, anchor))) {
            Some(false) => Noted::Known,
            Some(true) => Noted::Claim,
            None => Noted::New,
        }
    }

    /// Adds one; false where one had to go.
    pub(super) fn add(&mut self, known: KnownIdentifier) -> bool {
        match self.place(&known.kind, &known.value) {
            Ok(place) => {
                if let Some(own) = self.0.get_mut(place) {
                    own.claim(known.first);
                    for claim in known.more {
                        own.claim(claim);
                    }
                }
                true
            }
            Err(place) => {
                self.0.insert(place, known);
                let fits = self.0.len() <= IDENTIFIERS_MAX;
                self.0.truncate(IDENTIFIERS_MAX);
                fits
            }
        }
    }

    pub(super) fn merge(&mut self, others: Self) -> bool {
        others.0.into_iter().fold(true, |fits, other| fits & self.add(other))
    }

    /// By kind and text.
    pub fn iter(&self) -> std::slice::Iter<'_, KnownIdentifier> {
        self.0.iter()
    }
}

/// An identifier an event names beside the one it is filed under.
pub(super) struct Named<'a> {
    pub(super) kind: IdentifierKind,
    pub(super) text: Cow<'a, str>,
    /// It is named by an alias to be the same person, even if it is another known person.
    pub(super) by_alias: bool,
}

/// Collects what an event names, and leaves out what names nobody.
pub(super) struct Naming<'a, 'o> {
    pub(super) named: Vec<Named<'a>>,
    pub(super) oddities: &'o mut Oddities,
}

impl<'a> Naming<'a, '_> {
    /// The ids of the call itself.
    pub(super) fn call(&mut self, event: &'a Tracked) {
        if let (Some(_), Some(anonymous_id)) = (&event.user_id, &event.anonymous_id) {
            self.add(IdentifierKind::AnonymousId, Cow::Borrowed(anonymous_id), false);
        }
        let previous_id = event.previous_id.as_deref().filter(|_| event.kind == EventKind::Alias);
        let Some(previous_id) = previous_id.filter(|id| event.user_id.as_deref() != Some(*id)) else { return };
        // Segment's specification lets it be either; only as a user id may it join two known persons.
        self.add(IdentifierKind::AnonymousId, Cow::Borrowed(previous_id), false);
        if event.anonymous_id.as_deref() != Some(previous_id) {
            self.add(IdentifierKind::UserId, Cow::Borrowed(previous_id), true);
        }
    }

    /// E-mail address and phone number among traits.
    pub(super) fn traits(&mut self, email: Option<&'a RawValue>, phone: Option<&'a RawValue>) {
        for (kind, value) in [(IdentifierKind::Email, email), (IdentifierKind::Phone, phone)] {
            let Some(value) = value else { continue };
            match json::text_or_number(value) {
                Some(text) if text.trim().is_empty() => {}
                Some(text) => self.add(kind, text, false),
                None => self.oddities.count(Oddity::WrongType),
            }
        }
    }

    /// `context.device`.
    pub(super) fn device(&mut self, device: &'a RawValue) {
        let [token] = json::pick(device.get(), &["token"]).values;
        if let Some(token) = token.and_then(json::text).filter(|token| !token.is_empty()) {
            self.add(IdentifierKind::DeviceToken, token, false);
        }
    }

    /// `context.externalIds`: objects of `id`, `type`, `collection` and `encoding`.
    pub(super) fn external_ids(&mut self, ids: &'a RawValue) {
        let Some(ids) = json::elements(ids) else { return self.oddities.count(Oddity::WrongType) };
        for object in ids.into_iter().take(EXTERNAL_IDS_MAX) {
            let [id, system, collection, encoding] =
                json::pick(object.get(), &["id", "type", "collection", "encoding"]).values;
            let collection = collection.and_then(json::text).unwrap_or(Cow::Borrowed("users"));
            if collection != "users" {
                continue;
            }
            let plain = encoding.and_then(json::text).is_none_or(|encoding| encoding == "none");
            match (id.and_then(json::text_or_number), system.and_then(json::text)) {
                (Some(id), Some(system)) if plain && !system.is_empty() && system.len() <= SYSTEM_MAX => {
                    let kind = IdentifierKind::from_name(&system);
                    let kind = kind.unwrap_or_else(|| IdentifierKind::External(system.into()));
                    self.add(kind, id, false);
                }
                _ => self.oddities.count(Oddity::Identifier),
            }
        }
    }

    fn add(&mut self, kind: IdentifierKind, text: Cow<'a, str>, by_alias: bool) {
        if text.is_empty() || text.len() > VALUE_MAX {
            self.oddities.count(Oddity::Identifier);
        } else if is_placeholder(&text) {
            self.oddities.count(Oddity::Placeholder);
        } else {
            self.named.push(Named { kind, text, by_alias });
        }
    }
}

/// Whether a text stands for nobody, as broken integrations send it for everybody.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "null",
        "undefined",
        "none",
        "nil",
        "nan",
        "unknown",
        "anonymous",
        "guest",
        "n/a",
        "na",
        "false",
        "[object object]",
    ];
    let text = text.trim();
    text.bytes().all(|byte| matches!(byte, b'0' | b'-')) || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_nobody() {
        for text in ["0", "000-000", "-", "NULL", " undefined ", "Anonymous", "[object Object]"] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["10", "anna", "nullius", "a-0"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
