//! The words every agent shares: customer events, profiles, decisions, messages, situations, instants.

mod contact;
mod control;
mod decision;
mod email;
mod event;
mod feature;
mod identifier;
mod ids;
mod json;
mod message;
mod profile;
mod situation;

pub use contact::{Address, ConsentState, Contact, ContactChanged};
pub use control::{MarketingFreed, MarketingHeld, SendingResumed, SendingStopped, StopScope};
pub use decision::{
    Arm, ChannelVerdict, DecisionDue, DecisionId, DecisionIdError, DecisionMade, DecisionRequested, Group, Outcome,
    PersonDescribed, Refusal, Reserved, RewardObserved,
};
pub use event::{EventKind, KeptNode, Stamp, Tracked};
pub use feature::{Channel, Feature, Unit};
pub use identifier::{Identifier, IdentifierKind};
pub use ids::{ProfileId, ProfileIdError};
pub use json::RawJson;
pub use message::{
    Content, Deliver, Delivered, HeldBack, InsteadOf, MessageClass, MessageHeld, MessageId, MessageRefused,
    MessageRequested, MessageReturned, MessageSent, MessageWithdrawn, PersonTold, ReceiptCame, ReceiptKind,
    RenderAsked,
};
pub use profile::{ProfileChanged, ProfileMerged, ProfileParted, ProfileSettled, RhythmDelta};
pub use situation::{SituationDetected, SituationOf, SituationResolved};

/// A text that is part of an event: short ones need no memory of their own.
pub type Text = smol_str::SmolStr;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Milliseconds of one day of 24 hours.
pub const DAY_MS: Millis = 86_400_000;
