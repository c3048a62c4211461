//! What counts of each person, for the campaigns they are in.

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Shared, Step, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    interval::BUCKETS,
    topics::{Cell, Deeds, OutcomeCounted},
};
use crate::{
    campaigns::{CampaignEnded, CampaignStarted},
    parting::{self, OfPerson},
    vocabulary::{
        DecisionRequested, Feature, Group, PersonDescribed, ProfileChanged, ProfileId, ProfileMerged, ProfileParted,
        RewardObserved, Unit,
    },
};

/// Campaigns one person counts for, the newest.
const CAMPAIGNS_MAX: usize = 100;
/// Ids that make a difference; more count as so many.
const IDS_MAX: u16 = 8;

/// The agent that tells what people do who count for a campaign.
pub struct Outcomes;

/// The campaigns that run, each with the entry that started it and its currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running(Vec<(Box<str>, Seq, Box<str>)>);

impl Shared for Running {}

impl Running {
    fn of(&self, campaign: &str) -> Option<(Seq, &str)> {
        self.0.iter().find(|(id, _, _)| **id == *campaign).map(|(_, plan, currency)| (*plan, &**currency))
    }
}

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    #[serde(rename = "d", default)]
    decided: Seq,
    /// The campaigns they count for.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    counted: Vec<Counted>,
}

/// One person in one campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    #[serde(rename = "c")]
    campaign: Box<str>,
    #[serde(rename = "p")]
    plan: Seq,
    #[serde(rename = "l")]
    cell: Cell,
    /// The feature that holds what they have paid.
    #[serde(rename = "v")]
    paid: Feature,
    /// Their orders when they began to count.
    #[serde(rename = "o")]
    orders: i64,
    /// What they had paid then, millionths.
    #[serde(rename = "m")]
    paid_micros: i64,
    #[serde(rename = "n")]
    did: Deeds,
}

impl OfPerson for Person {
    fn decided(&mut self) -> &mut Seq {
        &mut self.decided
    }

    /// Whose deeds were whose is not known any more: nobody counts on.
    fn begin_again(self) -> Self {
        Self::default()
    }
}

impl Counted {
    fn say(&self, people: i64, did: Deeds, step: &mut Step<'_>) {
        if people != 0 || did != Deeds::default() {
            let Self { campaign, plan, cell, .. } = self;
            step.publish(OutcomeCounted { campaign: campaign.clone(), plan: *plan, cell: *cell, people, did });
        }
    }

    /// What they did more is told.
    fn did(&mut self, more: Deeds, step: &mut Step<'_>) {
        self.did.add(&more, 1);
        self.say(0, more, step);
    }

    fn leave(&self, step: &mut Step<'_>) {
        let mut back = Deeds::default();
        back.add(&self.did, -1);
        self.say(-1, back, step);
    }
}

impl Agent for Outcomes {
    const NAME: &'static str = "outcomes";
    type Key = ProfileId;
    type State = Person;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|asked: &DecisionRequested| asked.profile);
        routes.on(|reward: &RewardObserved| reward.profile);
        routes.on_some(|changed: &ProfileChanged| {
            let counts = |(feature, _): &(Feature, i64)| *feature == Feature::ORDERS || feature.unit() == Unit::Money;
            changed.features.iter().any(counts).then_some(changed.profile)
        });
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<CampaignStarted>();
        routes.on_shared::<CampaignEnded>();
    }

    fn merge(&self, winner: &mut Person, loser: Person, step: &mut Step<'_>) -> Result<(), AgentError> {
        for theirs in loser.counted {
            let same = |own: &&mut Counted| own.campaign == theirs.campaign && own.plan == theirs.plan;
            let Some(own) = winner.counted.iter_mut().find(same) else {
                winner.counted.push(theirs);
                continue;
            };
            own.leave(step);
            theirs.leave(step);
            own.cell.ids = (own.cell.ids + theirs.cell.ids).min(IDS_MAX);
            // Once any of a person's ids is held out, the person is.
            own.cell.group = own.cell.group.max(theirs.cell.group);
            own.did.add(&theirs.did, 1);
            own.did.buyers = own.did.buyers.min(1);
            own.did.converted = own.did.converted.min(1);
            own.orders += theirs.orders;
            own.paid_micros += theirs.paid_micros;
            own.say(1, own.did, step);
        }
        let surplus = winner.counted.len().saturating_sub(CAMPAIGNS_MAX);
        winner.counted.drain(..surplus);
        Ok(())
    }
}

impl On<DecisionRequested> for Outcomes {
    fn on(
        &self,
        person: &mut Person,
        event: &Event<'_, DecisionRequested>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some((plan, currency)) = step.shared::<Running>()?.of(&event.campaign) else {
            step.unchanged();
            return Ok(());
        };
        if person.counted.iter().any(|counted| counted.campaign == event.campaign && counted.plan == plan) {
            step.unchanged();
            return Ok(());
        }
        let paid = currency.as_bytes().try_into().map_or(Feature::value(*b"USD"), Feature::value);
        let described = match event.cause {
            0 => None,
            cause => step.entry_if_kept::<PersonDescribed>(cause)?,
        };
        let standing = described.as_ref().map(|held| held.body()).transpose()?.map(|body| body.standing.as_slice());
        let of = |wanted: Feature| {
            let mut standing = standing.into_iter().flatten();
            standing.find(|(feature, _)| *feature == wanted).map_or(0, |(_, value)| *value)
        };
        let (orders, paid_micros) = (of(Feature::ORDERS), of(paid));
        let bucket = (event.profile.0 % BUCKETS as u64) as u16;
        let cell = Cell { group: event.group, bucket, ids: event.ids.clamp(1, IDS_MAX) };
        let did = Deeds { paid_before_micros: paid_micros, ..Deeds::default() };
        let campaign = event.campaign.clone();
        person.counted.retain(|counted| counted.campaign != campaign);
        let counted = Counted { campaign, plan, cell, paid, orders, paid_micros, did };
        counted.say(1, did, step);
        person.counted.push(counted);
        let surplus = person.counted.len().saturating_sub(CAMPAIGNS_MAX);
        person.counted.drain(..surplus);
        Ok(())
    }
}

impl On<ProfileChanged> for Outcomes {
    fn on(
        &self,
        person: &mut Person,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if person.counted.is_empty() {
            step.unchanged();
            return Ok(());
        }
        let of = |wanted: Feature| event.features.iter().find(|(feature, _)| *feature == wanted).map(|(_, is)| *is);
        for counted in &mut person.counted {
            let mut more = Deeds::default();
            if let Some(orders) = of(Feature::ORDERS) {
                more.orders = orders - counted.orders - counted.did.orders;
                more.buyers = i64::from(orders > counted.orders) - counted.did.buyers;
            }
            if let Some(paid) = of(counted.paid) {
                more.revenue_micros = paid - counted.paid_micros - counted.did.revenue_micros;
            }
            counted.did(more, step);
        }
        Ok(())
    }
}

impl On<RewardObserved> for Outcomes {
    fn on(
        &self,
        person: &mut Person,
        event: &Event<'_, RewardObserved>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some(counted) = person.counted.iter_mut().find(|counted| counted.campaign == event.campaign) else {
            step.unchanged();
            return Ok(());
        };
        let outcome = &event.outcome;
        let more = Deeds {
            discount_micros: outcome.discount_micros,
            cost_micros: outcome.cost_micros,
            converted: i64::from(outcome.conversions > 0 && counted.did.converted == 0),
            messages: i64::from(outcome.sent),
            clicks: i64::from(outcome.clicked),
            ..Deeds::default()
        };
        counted.did(more, step);
        Ok(())
    }
}

impl OnMany<ProfileMerged> for Outcomes {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::merged(keys, event, step)
    }
}

impl OnMany<ProfileParted> for Outcomes {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::parted(keys, event)
    }
}

impl OnShared<CampaignStarted> for Outcomes {
    type Shared = Running;

    fn on_shared(
        &self,
        running: &mut Running,
        event: &Event<'_, CampaignStarted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if event.revises && running.of(&event.campaign).is_some() {
            // The campaign runs on, and whoever counts for it counts on.
            return Ok(());
        }
        running.0.retain(|(id, _, _)| *id != event.campaign);
        running.0.push((event.campaign.clone(), event.seq, event.plan.reward.currency.clone()));
        Ok(())
    }
}

impl OnShared<CampaignEnded> for Outcomes {
    type Shared = Running;

    fn on_shared(
        &self,
        running: &mut Running,
        event: &Event<'_, CampaignEnded>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        running.0.retain(|(id, _, _)| *id != event.campaign);
        Ok(())
    }
}

/// How likely somebody with so many ids is in a group.
pub(super) fn likely(group: Group, ids: u16, holdout: f64, random: f64) -> f64 {
    let none = |share: f64| libm::pow(1.0 - share.clamp(0.0, 1.0), f64::from(ids));
    match group {
        Group::Holdout => 1.0 - none(holdout),
        Group::Random => none(holdout) * (1.0 - none(random)),
        Group::Policy => none(holdout) * none(random),
    }
}
