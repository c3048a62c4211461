//! The messaging agent: what is to be sent to a person, when, and whether it may.
//!
//! Whoever wants a message says so ([`DecisionMade`], [`MessageRequested`]). It waits for its instant, is checked
//! by the [`gate`](crate::gate) then, is filled in with what `profiles` tells at that instant, checked again, and
//! only then said to be sent, together with the effect that delivers it. What must wait is held by a durable
//! timer and checked from the beginning when its time has come; what is held by a stop, when sending is resumed.
//! So is what its channel gives back. What a message takes of its campaign's bounds is set aside before it goes.

mod history;
mod person;
mod receipts;
mod routing;
mod send;
mod spend;
mod topics;
mod weave;

use impresario_runtime::{Agent, AgentError, Event, On, OnShared, Routes, Shared, Step};
use serde::{Deserialize, Serialize};

pub use history::{Fate, Letter};
pub use person::{Correspondent, Pending};
pub use spend::Spend;
pub use topics::ConsentConfirmed;

use self::topics::{MessageDue, MessagingForwarded, ResumePage};
use crate::{
    campaigns::{CampaignEnded, CampaignStarted, SpendAnswered},
    content::{Catalog, OfferDefined, OfferRemoved, TemplateDefined, TemplateRemoved},
    gate::{GatePolicySet, House, Running, check_policy},
    suppression::{AddressSuppressed, SuppressionLifted},
    vocabulary::{
        ContactChanged, DecisionMade, Delivered, MarketingFreed, MarketingHeld, MessageRequested, MessageWithdrawn,
        PersonDescribed, PersonTold, ProfileId, ProfileMerged, ProfileParted, ReceiptCame, Refusal, SendingResumed,
        SendingStopped,
    },
};

/// Campaigns remembered after their end, so that what is late is refused with the reason.
const CAMPAIGNS_MAX: usize = 2_000;

/// The agent.
pub struct Messaging;

/// What all people share.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Common {
    /// What the gate goes by.
    pub house: House,
    /// Templates and offers.
    pub catalog: Catalog,
}

impl Shared for Common {
    fn restored(&mut self) {
        self.catalog.restored();
    }
}

impl Agent for Messaging {
    const NAME: &'static str = "messaging";
    type Key = ProfileId;
    type State = Correspondent;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|changed: &ContactChanged| changed.profile);
        routes.on_many::<PersonDescribed>();
        routes.on_many::<DecisionMade>();
        routes.on_many::<MessageRequested>();
        routes.on_many::<MessageWithdrawn>();
        routes.on_many::<MessageDue>();
        routes.on_many::<PersonTold>();
        routes.on_many::<SpendAnswered>();
        routes.on_many::<Delivered>();
        routes.on_many::<ReceiptCame>();
        routes.on_many::<ConsentConfirmed>();
        routes.on_many::<MarketingHeld>();
        routes.on_many::<MarketingFreed>();
        routes.on_many::<MessagingForwarded>();
        routes.on_many::<ResumePage>();
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<CampaignStarted>();
        routes.on_shared::<CampaignEnded>();
        routes.on_shared::<SendingStopped>();
        routes.on_shared::<SendingResumed>();
        routes.on_shared::<GatePolicySet>();
        routes.on_shared::<TemplateDefined>();
        routes.on_shared::<TemplateRemoved>();
        routes.on_shared::<OfferDefined>();
        routes.on_shared::<OfferRemoved>();
        routes.on_shared::<AddressSuppressed>();
        routes.on_shared::<SuppressionLifted>();
    }

    fn merge_into(
        &self,
        profile: &ProfileId,
        winner: &mut Correspondent,
        loser: Correspondent,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        weave::unite(*profile, winner, loser, step);
        Ok(())
    }

    /// What waited for them is sent to nobody, and gives back what was set aside for it.
    fn forget(&self, _: &ProfileId, person: &mut Correspondent, step: &mut Step<'_>) -> Result<(), AgentError> {
        for mut pending in std::mem::take(&mut person.pending) {
            let by = Refusal { guard: "erased".into(), why: "the person was erased".into() };
            send::refuse(person, &mut pending, by, step);
        }
        Ok(())
    }

    fn came_late(&self, _: Correspondent, _: &mut Step<'_>) -> Result<(), AgentError> {
        Ok(())
    }
}

impl On<ContactChanged> for Messaging {
    fn on(
        &self,
        person: &mut Correspondent,
        event: &Event<'_, ContactChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        person.ledger.hear(&event.contact, step.now_ms());
        person.contact = Some(event.contact.clone());
        Ok(())
    }
}

macro_rules! shared {
    ($topic:ident, |$common:ident, $event:ident, $step:ident| $do:block) => {
        impl OnShared<$topic> for Messaging {
            type Shared = Common;

            fn on_shared(
                &self,
                $common: &mut Common,
                $event: &Event<'_, $topic>,
                $step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                let _ = &$step;
                $do
                Ok(())
            }
        }
    };
}

shared!(CampaignStarted, |common, event, step| {
    let campaigns = &mut common.house.campaigns;
    let before = campaigns.get(&event.campaign).filter(|_| event.revises);
    let running = Running::of(&event.plan, event.seq, before);
    campaigns.insert(event.campaign.clone(), running);
    while campaigns.len() > CAMPAIGNS_MAX {
        let ended = campaigns.iter().filter(|(_, running)| running.ended.is_some());
        let Some(oldest) = ended.min_by_key(|(_, running)| running.plan).map(|(id, _)| id.clone()) else { break };
        campaigns.remove(&oldest);
    }
});

shared!(CampaignEnded, |common, event, step| {
    if let Some(running) = common.house.campaigns.get_mut(&event.campaign) {
        (running.ended, running.finished) = (Some(event.why.clone()), event.finished);
    }
});

shared!(SendingStopped, |common, event, step| {
    common.house.stops.insert(event.scope.clone(), event.why.clone());
});

shared!(SendingResumed, |common, event, step| {
    if common.house.stops.remove(&event.scope).is_some() {
        let (worker, _) = step.worker();
        step.publish_to(step.worker_partition(), ResumePage { worker: worker as u16, after: None });
    }
});

shared!(GatePolicySet, |common, event, step| {
    check_policy(&event.policy).map_err(|error| AgentError::Reject(error.to_string()))?;
    common.house.policy = event.policy.clone();
});

macro_rules! catalogued {
    ($($topic:ident: $fold:ident),*) => {
        $(shared!($topic, |common, event, step| {
            let folded = common.catalog.$fold(event.body, event.seq, event.at_ms);
            folded.map_err(|why| AgentError::Reject(why.to_string()))?;
        });)*
    };
}

catalogued!(
    TemplateDefined: define_template, TemplateRemoved: remove_template,
    OfferDefined: define_offer, OfferRemoved: remove_offer
);

shared!(AddressSuppressed, |common, event, step| {
    let known = common.house.suppressed.entry(event.address).or_insert(event.why);
    // The reason that ranks first is the one that is told.
    *known = event.why.min(*known);
});

shared!(SuppressionLifted, |common, event, step| {
    common.house.suppressed.remove(&event.address);
});
