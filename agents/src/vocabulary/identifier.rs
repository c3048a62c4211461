use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ProfileId, email};

/// What sort of thing identifies a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// The person's id in the shop's own database.
    UserId,
    /// One device or browser before the person is known.
    AnonymousId,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A push token (`context.device.token`).
    DeviceToken,
    /// An id in another system (`context.externalIds`), of the named type.
    External(Box<str>),
}

impl IdentifierKind {
    /// Its name in the API, e.g. `user_id`, `email`, `external:salesforce`.
    pub fn name(&self) -> String {
        match self {
            Self::UserId => "user_id".into(),
            Self::AnonymousId => "anonymous_id".into(),
            Self::Email => "email".into(),
            Self::Phone => "phone".into(),
            Self::DeviceToken => "device_token".into(),
            Self::External(system) => format!("external:{system}"),
        }
    }

    /// The kind behind a name; `None` where there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "user_id" => Some(Self::UserId),
            "anonymous_id" => Some(Self::AnonymousId),
            "email" => Some(Self::Email),
            "phone" => Some(Self::Phone),
            "device_token" => Some(Self::DeviceToken),
            _ => name.strip_prefix("external:").filter(|system| !system.is_empty()).map(|s| Self::External(s.into())),
        }
    }
}

/// One identifier of a person, normalised for matching.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// What sort it is.
    #[serde(rename = "k")]
    pub kind: IdentifierKind,
    /// Its text: an e-mail address normalised, a phone number as digits with a leading `+` where it
    /// had one, anything else as it came.
    #[serde(rename = "v")]
    pub value: Box<str>,
}

impl Identifier {
    /// An identifier out of its text; `None` where nothing of it is left.
    pub fn new(kind: IdentifierKind, text: &str) -> Option<Self> {
        let value: String = match kind {
            IdentifierKind::Email => email::normalise(text)?,
            IdentifierKind::Phone => {
                let plus = text.trim_start().starts_with('+').then_some('+');
                plus.into_iter().chain(text.chars().filter(char::is_ascii_digit)).collect()
            }
            _ => text.to_owned(),
        };
        let usable = match kind {
            IdentifierKind::Phone => value.len() >= 5,
            _ => !value.is_empty(),
        };
        usable.then(|| Self { kind, value: value.into() })
    }

    /// Its place in the identity graph: 63 bits of BLAKE3 over kind and text. Among a million people
    /// two share a node with a chance of 5e-8.
    pub fn node(&self) -> ProfileId {
        node_of(&self.kind, &self.value)
    }
}

/// [`Identifier::node`] with no identifier at hand; `value` is normalised already.
pub(super) fn node_of(kind: &IdentifierKind, value: &str) -> ProfileId {
    let mut hasher = blake3::Hasher::new();
    let tag = match kind {
        IdentifierKind::UserId => 0,
        IdentifierKind::AnonymousId => 1,
        IdentifierKind::Email => 2,
        IdentifierKind::Phone => 3,
        IdentifierKind::DeviceToken => 4,
        IdentifierKind::External(_) => 5,
    };
    hasher.update(&[tag]);
    if let IdentifierKind::External(system) = kind {
        hasher.update(&(system.len() as u64).to_le_bytes());
        hasher.update(system.as_bytes());
    }
    hasher.update(value.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    ProfileId::of_hash(u64::from_le_bytes([a, b, c, d, e, f, g, h]), *kind == IdentifierKind::UserId)
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.value)
    }
}
