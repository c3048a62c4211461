//! The profiles agent: one customer out of many identifiers.
//!
//! It folds [`Tracked`] events into [`Profile`]s and says exactly one
//! [`ProfileChanged`](crate::vocabulary::ProfileChanged) for each. What it keeps does not depend on the
//! order events come in: late events end in the profile that timely ones would have made.

mod changes;
mod days;
mod find;
mod fold;
mod hours;
mod identifiers;
mod identity;
mod json;
mod messages;
mod money;
mod names;
mod newest;
mod oddity;
mod profile;
mod purchase;
mod shop;
mod touch;

use impresario_runtime::{Agent, AgentError, Routes, Step};

pub use days::{DAYS_MAX, Day, Days, Rolling, Sums, day_of};
pub use find::{Found, look_at, node_of};
pub use fold::Folded;
pub use hours::{HOURS, Histogram, Hours};
pub use identifiers::{Identifiers, KnownIdentifier};
pub use identity::{EventForwarded, IdentifierClaimed, IdentityConflict, MergeAsked};
pub use messages::{Engagement, Messages};
pub use money::{Currency, Micros};
pub use newest::{LastWrites, Newest, Stamp, Write};
pub use oddity::{Bound, Bounds, Oddities, Oddity};
pub use profile::{Group, Profile};
pub use shop::{Product, ProductTouch, Shop, Subscription};
pub use touch::{Touch, Touches};

use crate::{
    suppression::{AddressHash, AddressSuppressed, WhySuppressed},
    vocabulary::{Identifier, ProfileId, Tracked},
};

/// The customer data platform's core.
pub struct Profiles;

impl Agent for Profiles {
    const NAME: &'static str = "profiles";
    type Key = ProfileId;
    type State = Profile;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Tracked>();
        routes.touches(Tracked::node);
        routes.on_many::<EventForwarded>();
        routes.on_many::<IdentifierClaimed>();
        routes.on_many::<MergeAsked>();
        routes.on_many::<IdentityConflict>();
    }

    fn touch(profile: &Profile) -> usize {
        profile.touch()
    }

    fn merge(&self, winner: &mut Profile, loser: Profile, step: &mut Step<'_>) -> Result<(), AgentError> {
        let id = winner.id.ok_or_else(|| AgentError::Reject("a profile was to become one that never was".into()))?;
        step.publish(winner.merge(id, loser));
        Ok(())
    }

    /// Who is erased is not to be written to at the addresses they had; that alone outlives them.
    fn forget(&self, _: &ProfileId, profile: &mut Profile, step: &mut Step<'_>) -> Result<(), AgentError> {
        for known in profile.identifiers.iter().filter(|known| !known.disputed) {
            let identifier = Identifier { kind: known.kind.clone(), value: known.value.clone() };
            if let Some(address) = AddressHash::of(step.seed(), &identifier) {
                step.publish(AddressSuppressed { address, why: WhySuppressed::Erased });
            }
        }
        Ok(())
    }
}
