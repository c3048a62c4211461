//! The enrolment agent: who is due for a decision, and what decisions come to.
//!
//! It keeps for every person of a goal's audience when they are next due, and for every decision that was made
//! what has happened since, until its attribution window is over; then it says so once, whatever the group.
//! One durable timer a person, the earliest of all that is to be done, so a million people who wait are a
//! million timers and nothing else, and those overdue after a restart come once.

mod due;
mod outcome;
mod parting;
mod person;
mod plans;
mod shared;
mod topics;

use impresario_runtime::{Agent, AgentError, Keys, Routes, Step};

pub(crate) use self::outcome::is_counted;
use self::topics::{EnrolPage, EnrolmentDue, OutcomeForwarded};
pub use self::{
    person::{Enrolled, Open, Person},
    plans::Plans,
    topics::{StandingAsked, StandingTold},
};
use super::{CampaignEnded, CampaignStarted, DecisionWanted};
use crate::{
    goals::{GoalEnded, GoalSet},
    segmentation::{SegmentEntered, SegmentLeft},
    vocabulary::{
        DecisionMade, MessageRefused, MessageReturned, MessageSent, PersonDescribed, ProfileChanged, ProfileId,
        ProfileMerged, ProfileParted, ProfileSettled, ReceiptCame, SendingResumed, SendingStopped, SituationDetected,
    },
};

/// The agent.
pub struct Enrolment;

impl Agent for Enrolment {
    const NAME: &'static str = "enrolment";
    type Key = ProfileId;
    type State = Person;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_shared::<GoalSet>();
        routes.on_shared::<GoalEnded>();
        routes.on_shared::<CampaignStarted>();
        routes.on_shared::<CampaignEnded>();
        routes.on_shared::<SendingStopped>();
        routes.on_shared::<SendingResumed>();
        routes.on_many::<EnrolPage>();
        routes.on_many::<SegmentEntered>();
        routes.on_many::<SegmentLeft>();
        routes.on_many::<SituationDetected>();
        routes.on_many::<DecisionWanted>();
        routes.on_many::<EnrolmentDue>();
        routes.on_many::<PersonDescribed>();
        routes.on_many::<DecisionMade>();
        routes.on_many::<MessageSent>();
        routes.on_many::<MessageReturned>();
        routes.on_many::<MessageRefused>();
        routes.on_many::<ReceiptCame>();
        routes.on_many::<ProfileChanged>();
        routes.on_many::<StandingTold>();
        routes.on_many::<OutcomeForwarded>();
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_many::<ProfileSettled>();
    }

    fn merge_into(
        &self,
        key: &ProfileId,
        winner: &mut Person,
        loser: Person,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let plans = step.shared::<Plans>()?;
        loser.timer.into_iter().for_each(|timer| step.cancel(timer));
        winner.merge(loser);
        outcome::keep_within_bounds(winner, plans, step)?;
        if !winner.open.is_empty() {
            step.publish(StandingAsked { profile: *key });
        }
        due::wake(winner, *key, plans, step);
        Ok(())
    }
}

/// Where the state of `profile` is now: here, or on the way to another worker's key.
enum Home {
    Here(ProfileId),
    Elsewhere(ProfileId),
}

/// Follows the pointers from a profile to who it has become.
fn home(keys: &mut Keys<'_, Enrolment>, profile: ProfileId) -> Result<Home, AgentError> {
    let mut at = profile;
    while let Some(next) = keys.moved_to(&at)? {
        if !keys.owns(&next) {
            return Ok(Home::Elsewhere(next));
        }
        at = next;
    }
    Ok(Home::Here(at))
}
