//! The words every agent shares: customer events, identifiers, profiles, instants, raw JSON.

mod email;
mod event;
mod feature;
mod identifier;
mod ids;
mod json;
mod profile;

pub use event::{EventKind, KeptNode, Stamp, Tracked};
pub use feature::{Channel, Feature, Unit};
pub use identifier::{Identifier, IdentifierKind};
pub use ids::{ProfileId, ProfileIdError};
pub use json::RawJson;
pub use profile::{ProfileChanged, ProfileMerged, ProfileParted, ProfileSettled, RhythmDelta};

/// A text that is part of an event: short ones need no memory of their own.
pub type Text = smol_str::SmolStr;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Milliseconds of one day of 24 hours.
pub const DAY_MS: Millis = 86_400_000;
