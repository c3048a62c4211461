//! Why one event is not taken, in words that hold nothing personal.

use std::fmt;

use utoipa::ToSchema;

/// Why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// It is not a JSON object.
    NotAnObject,
    /// A field is of the wrong type.
    WrongType(&'static str),
    /// A field is there twice.
    RepeatedField,
    /// A field that must be there is missing or empty.
    Missing(&'static str),
    /// Its `type` is none of Segment's calls.
    UnknownType,
    /// A text is longer than may be.
    TooLong(&'static str),
    /// An id or name holds a NUL.
    NulIn(&'static str),
    /// A time is not ISO 8601.
    BadTime(&'static str),
    /// A text holds half of a surrogate pair.
    LoneSurrogate,
    /// A number is too large for any machine's arithmetic.
    NumberOutOfRange,
    /// Objects and arrays too deep inside one another.
    TooDeep,
    /// An object of too many keys.
    TooManyKeys,
    /// It is too large.
    TooLarge,
    /// The money of an order is below zero.
    NegativeRevenue,
}

impl Reason {
    /// The stable code it is counted under.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::WrongType(_) => "wrong_type",
            Self::RepeatedField => "repeated_field",
            Self::Missing("userId or anonymousId") => "missing_id",
            Self::Missing(_) => "missing_field",
            Self::UnknownType => "unknown_type",
            Self::TooLong("messageId") => "message_id_too_long",
            Self::TooLong(_) => "text_too_long",
            Self::NulIn(_) => "nul_character",
            Self::BadTime(_) => "bad_timestamp",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::TooDeep => "too_deep",
            Self::TooManyKeys => "too_many_keys",
            Self::TooLarge => "event_too_large",
            Self::NegativeRevenue => "negative_revenue",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("the event is not a JSON object"),
            Self::WrongType(field) => write!(f, "`{field}` is of the wrong type"),
            Self::RepeatedField => f.write_str("a field is there twice"),
            Self::Missing(field) => write!(f, "{field} is missing or empty"),
            Self::UnknownType => f.write_str("`type` is none of identify, track, page, screen, group, alias"),
            Self::TooLong(field) => write!(f, "`{field}` is longer than may be"),
            Self::NulIn(field) => write!(f, "`{field}` holds a NUL character"),
            Self::BadTime(field) => write!(f, "`{field}` is not an ISO 8601 time"),
            Self::LoneSurrogate => f.write_str("a text holds half of a surrogate pair"),
            Self::NumberOutOfRange => f.write_str("a number is out of range"),
            Self::TooDeep => f.write_str("objects and arrays are too deep inside one another"),
            Self::TooManyKeys => f.write_str("an object has too many keys"),
            Self::TooLarge => f.write_str("the event is too large"),
            Self::NegativeRevenue => f.write_str("the money of an order is below zero"),
        }
    }
}

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// Its `messageId`, where it has a usable one.
    pub message_id: Option<Box<str>>,
    /// Why.
    pub reason: Reason,
}

/// What an event that was not taken looks like to an operator.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
pub struct RejectionView {
    /// When it came, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Its `messageId`, where it has a usable one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
    /// The stable code of the reason.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
}
