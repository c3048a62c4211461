//! The profiles agent: one customer out of many identifiers.
//!
//! It folds [`Tracked`] events into [`Profile`]s and says exactly one
//! [`ProfileChanged`](crate::vocabulary::ProfileChanged) for each. What it keeps does not depend on the
//! order events come in: late events end in the profile that timely ones would have made. Who is who it hears
//! from [`identity`](crate::identity): it follows, and tells others only once its own profile has followed.

mod accounts;
mod changes;
mod consent;
mod contact;
mod days;
mod described;
mod find;
mod fold;
mod hours;
mod identifiers;
pub(crate) mod json;
mod messages;
mod money;
mod names;
mod newest;
mod oddity;
mod orders;
mod parting;
mod profile;
mod purchase;
mod receipts;
mod routing;
mod shop;
mod telling;
mod touch;

use impresario_runtime::{Agent, AgentError, Routes, Step};

pub use accounts::{ACCOUNT_ID_MAX, Account, AccountNamed, Accounts, after_account, member_key, member_of_key};
pub use consent::{Consent, Consents};
pub use days::{DAYS_MAX, Day, Days, Rolling, Sums, day_of};
pub use find::{Found, look_at, node_of};
pub use fold::Folded;
pub use hours::{HOURS, Histogram, Hours};
pub use identifiers::{Identifiers, KnownIdentifier};
pub use messages::{Engagement, Messages};
pub use money::{Currency, Micros};
pub use newest::{LastWrites, Newest, Write};
pub use oddity::{Bound, Bounds, Oddities, Oddity};
pub use parting::{EventsReturned, PartPage};
pub use profile::{Group, Profile};
pub use receipts::RefusalForwarded;
pub use routing::EventForwarded;
pub use shop::{Product, ProductTouch, Shop, Subscription};
pub use touch::{Touch, Touches};

use crate::{
    campaigns::enrolment::StandingAsked,
    identity::{IdentityConflict, MergeDecided, NodeParted, PartDecided},
    suppression::{AddressHash, AddressSuppressed, WhySuppressed},
    vocabulary::{DecisionDue, Identifier, ProfileId, ProfileMerged, ReceiptCame, RenderAsked, Tracked},
};

/// The customer data platform's core.
pub struct Profiles;

impl Agent for Profiles {
    const NAME: &'static str = "profiles";
    type Key = ProfileId;
    type State = Profile;
    const STATE_VERSION: u8 = 2;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<Tracked>();
        routes.touches(Tracked::node);
        routes.on_many::<EventForwarded>();
        routes.on_many::<IdentityConflict>();
        routes.on_many::<MergeDecided>();
        routes.on_many::<PartDecided>();
        routes.on_many::<NodeParted>();
        routes.on_many::<PartPage>();
        routes.on_many::<EventsReturned>();
        routes.on_many::<DecisionDue>();
        routes.on_many::<StandingAsked>();
        routes.on_many::<RenderAsked>();
        routes.on_many::<ReceiptCame>();
        routes.on_many::<RefusalForwarded>();
    }

    fn touch(profile: &Profile) -> usize {
        profile.touch()
    }

    /// Whoever else keeps something of the loser hears of it from here: after all that was said of the
    /// loser, and in order with all that is said of the winner.
    fn merge_into(
        &self,
        id: &ProfileId,
        winner: &mut Profile,
        loser: Profile,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some(loser_id) = loser.id.filter(|_| loser.events > 0) else { return Ok(()) };
        let decided = loser.leaves_by;
        let changed = winner.merge(*id, loser, step.seq());
        step.publish(ProfileMerged { loser: loser_id, winner: *id, decided });
        step.publish(changed);
        step.publish(winner.contact_changed(*id));
        Ok(())
    }

    /// Who is erased is not to be written to at the addresses they had; that alone outlives them.
    fn forget(&self, _: &ProfileId, profile: &mut Profile, step: &mut Step<'_>) -> Result<(), AgentError> {
        for known in profile.identifiers.iter().filter(|known| !profile.is_disputed(known)) {
            let identifier = Identifier { kind: known.kind.clone(), value: known.value.clone() };
            if let Some(address) = AddressHash::of(step.seed(), &identifier) {
                step.publish(AddressSuppressed { address, why: WhySuppressed::Erased });
            }
        }
        Ok(())
    }

    fn came_late(&self, late: Profile, step: &mut Step<'_>) -> Result<(), AgentError> {
        parting::give_back_late(late, step)
    }
}
