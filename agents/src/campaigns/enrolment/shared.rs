//! What all workers hear: plans that start and end, sending that stops and goes on.

use impresario_runtime::{AgentError, Event, Keys, OnMany, OnShared, Step};

use super::{Enrolment, Plans, due, topics::EnrolPage};
use crate::{
    campaigns::{CampaignEnded, CampaignStarted},
    goals::{GoalEnded, GoalSet},
    vocabulary::{SendingResumed, SendingStopped},
};

/// Persons looked at in one page.
const PAGE_PERSONS: usize = 512;

/// Begins to make everybody of this worker due who is, for these campaigns.
fn enrol(campaigns: Vec<Box<str>>, step: &mut Step<'_>) {
    if !campaigns.is_empty() {
        let (worker, _) = step.worker();
        let page = EnrolPage { campaigns, after: None, worker: worker as u16 };
        step.publish_to(step.worker_partition(), page);
    }
}

macro_rules! shares {
    ($topic:ty, |$plans:ident, $event:ident, $step:ident| $body:expr) => {
        impl OnShared<$topic> for Enrolment {
            type Shared = Plans;

            fn on_shared(
                &self,
                $plans: &mut Plans,
                $event: &Event<'_, $topic>,
                $step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                $body;
                Ok(())
            }
        }
    };
}

// The audience is kept from the goal on: who enters before a plan starts is due once it does.
shares!(GoalSet, |plans, event, _step| plans.watched.insert(event.id.clone()));
shares!(GoalEnded, |plans, event, _step| plans.watched.remove(&event.id));
shares!(CampaignStarted, |plans, event, step| {
    plans.start(&event.campaign, event.plan.clone(), event.seq);
    enrol(vec![event.campaign.clone()], step);
});
shares!(CampaignEnded, |plans, event, _step| plans.end(&event.campaign));
shares!(SendingStopped, |plans, event, _step| plans.set_stopped(&event.scope, true));
shares!(SendingResumed, |plans, event, step| {
    let campaigns = plans.set_stopped(&event.scope, false);
    enrol(campaigns, step);
});

impl OnMany<EnrolPage> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, EnrolPage>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let plans = step.shared::<Plans>()?;
        let page = keys.after(event.after.as_ref(), PAGE_PERSONS)?;
        for profile in &page {
            let concerned = keys.get(profile)?.is_some_and(|person| {
                event.campaigns.iter().any(|id| person.campaigns.get(id).is_some_and(|enrolled| enrolled.member))
            });
            if concerned {
                keys.change(profile, |person| due::time_has_come(person, *profile, plans, step))?;
            }
        }
        if page.len() == PAGE_PERSONS {
            let next = EnrolPage { after: page.last().copied(), ..event.body.clone() };
            step.publish_to(step.worker_partition(), next);
        }
        Ok(())
    }
}
