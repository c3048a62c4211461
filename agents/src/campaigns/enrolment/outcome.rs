//! What decisions come to: messages, receipts, orders, and at the end of the window the reward.

use impresario_runtime::{AgentError, Event, Keys, OnMany, Step, Topic};
use serde::Deserialize;

use super::{
    Enrolment, Home, Open, Person, Plans, due, home,
    person::OPEN_MAX,
    topics::{OutcomeForwarded, StandingAsked, StandingTold},
};
use crate::{
    campaigns::{PlanTrigger, RewardSpec, cost_of},
    vocabulary::{
        DecisionMade, Feature, MessageRefused, MessageReturned, MessageSent, Millis, Outcome, PersonDescribed,
        ProfileChanged, ProfileId, ReceiptCame, ReceiptKind, Refusal, RewardObserved, Tracked, Unit,
    },
};

/// How soon somebody is due again whose turn was lost by no fault of theirs.
const AGAIN_MS: Millis = 3_600_000;
/// Messages of one decision whose receipts are looked for.
const MESSAGES_MAX: usize = 8;

/// What is rewarded of an outcome.
fn reward(spec: &RewardSpec, outcome: &Outcome) -> f32 {
    let money = outcome.revenue_micros.saturating_sub(outcome.discount_micros).saturating_sub(outcome.cost_micros);
    let flag = |is: bool, worth: f32| if is { f64::from(worth) } else { 0.0 };
    let sum = f64::from(spec.conversion) * f64::from(outcome.conversions)
        + f64::from(spec.revenue) * (money as f64 / 1e6)
        + flag(outcome.clicked, spec.click)
        + flag(outcome.opened, spec.open)
        + flag(outcome.unsubscribed, spec.unsubscribe)
        + flag(outcome.complained, spec.complaint);
    sum as f32
}

/// Closes those open decisions that `which` says, and tells what they have come to.
pub(super) fn close(
    person: &mut Person,
    plans: &Plans,
    step: &mut Step<'_>,
    which: impl Fn(&Open) -> bool,
) -> Result<(), AgentError> {
    let mut kept = Vec::with_capacity(person.open.len());
    for open in std::mem::take(&mut person.open) {
        if !which(&open) {
            kept.push(open);
            continue;
        }
        // One that was erased tells nothing more.
        let Some(made) = step.entry_if_kept::<DecisionMade>(open.made)? else { continue };
        let made = made.body()?;
        let spec = plans.campaigns.get(&open.campaign).map(|standing| &standing.plan.reward);
        step.publish(RewardObserved {
            id: open.id,
            campaign: open.campaign,
            profile: made.profile,
            group: made.group,
            chosen: made.chosen,
            propensity: made.propensity,
            features: made.features.clone(),
            reward: spec.map_or(0.0, |spec| reward(spec, &open.outcome)),
            outcome: open.outcome,
            decided_ms: open.decided_ms,
            plan: made.plan,
        });
    }
    person.open = kept;
    if person.open.is_empty() {
        person.known = None;
    }
    Ok(())
}

/// Closes the oldest decisions early where there are more than may be open at once.
pub(super) fn keep_within_bounds(person: &mut Person, plans: &Plans, step: &mut Step<'_>) -> Result<(), AgentError> {
    while person.open.len() > OPEN_MAX {
        let Some(oldest) = person.open.first().map(|open| open.id) else { break };
        close(person, plans, step, |open| open.id == oldest)?;
    }
    Ok(())
}

/// What may happen to a person that their decisions must know.
trait Happening: Topic {
    fn profile(&self) -> ProfileId;

    /// Whether it concerns what is kept of the person.
    fn concerns(&self, person: &Person) -> bool;

    /// Takes it in; `place` and `at_ms` are those of the entry.
    fn happen(&self, person: &mut Person, plans: &Plans, at: (u64, Millis)) -> Result<(), AgentError>;
}

/// Takes `what`, said at `place`, in where the person's state is now.
fn happened<T: Happening>(
    keys: &mut Keys<'_, Enrolment>,
    profile: ProfileId,
    what: &T,
    at: (u64, Millis),
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    match home(keys, profile)? {
        Home::Elsewhere(profile) => step.publish(OutcomeForwarded { profile, entry: at.0 }),
        Home::Here(profile) => {
            if !keys.get(&profile)?.is_some_and(|person| what.concerns(person)) {
                return Ok(());
            }
            let plans = step.shared::<Plans>()?;
            keys.change(&profile, |person| {
                let asked = person.known.is_none();
                what.happen(person, plans, at)?;
                keep_within_bounds(person, plans, step)?;
                if asked && person.known.is_none() && T::NAME == DecisionMade::NAME {
                    step.publish(StandingAsked { profile });
                }
                due::wake(person, profile, plans, step);
                Ok(())
            })?;
        }
    }
    Ok(())
}

macro_rules! happens {
    ($($topic:ty),*) => {
        $(impl OnMany<$topic> for Enrolment {
            fn on_many(
                &self,
                keys: &mut Keys<'_, Self>,
                event: &Event<'_, $topic>,
                step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                happened(keys, event.body.profile(), event.body, (event.seq, event.at_ms), step)
            }
        })*

        impl OnMany<OutcomeForwarded> for Enrolment {
            fn on_many(
                &self,
                keys: &mut Keys<'_, Self>,
                event: &Event<'_, OutcomeForwarded>,
                step: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                // One that was erased meanwhile is nobody's any more.
                $(
                    let mut found = None;
                    step.look_back(event.entry, event.entry, 1, |past| {
                        found = past.get::<$topic>()?.cloned().map(|what| (what, (past.seq(), past.at_ms())));
                        Ok(())
                    })?;
                    if let Some((what, at)) = found {
                        return happened(keys, event.profile, &what, at, step);
                    }
                )*
                Ok(())
            }
        }
    };
}

happens!(DecisionMade, PersonDescribed, MessageSent, MessageReturned, MessageRefused, ReceiptCame, StandingTold);

impl Happening for DecisionMade {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        !person.open.iter().any(|open| open.id == self.id)
    }

    fn happen(&self, person: &mut Person, plans: &Plans, (made, at_ms): (u64, Millis)) -> Result<(), AgentError> {
        let window_ms = plans.campaigns.get(&self.campaign).map_or(0, |standing| standing.plan.attribution_ms);
        // What is sent later, at an hour of the person's day, has its whole window after that.
        let from_ms = self.at_ms.max(at_ms);
        person.open.push(Open {
            id: self.id,
            campaign: self.campaign.clone(),
            made,
            decided_ms: at_ms,
            until_ms: from_ms.saturating_add(window_ms),
            messages: Vec::new(),
            offer: self.arm.as_ref().is_some_and(|arm| arm.offer.is_some()),
            outcome: Outcome::default(),
        });
        if self.withheld.as_ref().is_some_and(passes) {
            due_again(person, plans, &self.campaign, at_ms);
        }
        Ok(())
    }
}

impl Happening for PersonDescribed {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, _: &Person) -> bool {
        true
    }

    fn happen(&self, person: &mut Person, _: &Plans, _: (u64, Millis)) -> Result<(), AgentError> {
        person.known = Some(self.standing.clone());
        Ok(())
    }
}

impl Happening for StandingTold {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        !person.open.is_empty()
    }

    fn happen(&self, person: &mut Person, _: &Plans, _: (u64, Millis)) -> Result<(), AgentError> {
        person.known = Some(self.standing.clone());
        Ok(())
    }
}

impl Happening for MessageSent {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        self.campaign.as_ref().is_some_and(|campaign| person.campaigns.contains_key(campaign))
            || person.open.iter().any(|open| Some(open.id) == self.decision)
    }

    fn happen(&self, person: &mut Person, plans: &Plans, _: (u64, Millis)) -> Result<(), AgentError> {
        let Some(campaign) = &self.campaign else { return Ok(()) };
        person.campaigns.entry(campaign.clone()).or_default().reached = true;
        let cost = plans.campaigns.get(campaign).map_or(0, |standing| cost_of(&standing.plan, self.channel));
        let mut opens = person.open.iter_mut().rev();
        let open = match self.decision {
            Some(decision) => opens.find(|open| open.id == decision),
            // A journey's own message is put down to its last decision.
            None => opens.find(|open| open.campaign == *campaign),
        };
        if let Some(open) = open.filter(|open| !open.messages.contains(&self.id)) {
            open.outcome.sent = true;
            open.offer |= self.offer.is_some();
            open.outcome.cost_micros = open.outcome.cost_micros.saturating_add(cost);
            if open.messages.len() < MESSAGES_MAX {
                open.messages.push(self.id);
            }
        }
        Ok(())
    }
}

/// Whether what held a message back is the campaign's own state, which passes: that it was stopped, or that what it
/// sends was changed.
fn passes(by: &Refusal) -> bool {
    matches!(&*by.guard, "stopped" | "autonomy")
}

/// The person is decided on again soon, and not only when their next turn would have come.
fn due_again(person: &mut Person, plans: &Plans, campaign: &str, at_ms: Millis) {
    let trigger = plans.active(campaign).map(|standing| &standing.plan.trigger);
    let (Some(PlanTrigger::Audience { every_ms }), Some(enrolled)) = (trigger, person.campaigns.get_mut(campaign))
    else {
        return;
    };
    let again_ms = at_ms.saturating_add(AGAIN_MS.min(*every_ms));
    enrolled.last_due_ms = enrolled.last_due_ms.map(|last| last.min(again_ms.saturating_sub(*every_ms)));
}

impl Happening for MessageRefused {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        self.decision.is_some_and(|decision| person.open.iter().any(|open| open.id == decision)) && passes(&self.by)
    }

    fn happen(&self, person: &mut Person, plans: &Plans, (_, at_ms): (u64, Millis)) -> Result<(), AgentError> {
        if let Some(campaign) = &self.campaign {
            due_again(person, plans, campaign, at_ms);
        }
        Ok(())
    }
}

impl Happening for MessageReturned {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        person.open.iter().any(|open| open.messages.contains(&self.id))
    }

    fn happen(&self, person: &mut Person, plans: &Plans, _: (u64, Millis)) -> Result<(), AgentError> {
        for open in person.open.iter_mut().filter(|open| open.messages.contains(&self.id)) {
            let cost = plans.campaigns.get(&open.campaign).map_or(0, |standing| cost_of(&standing.plan, self.channel));
            open.messages.retain(|id| *id != self.id);
            open.outcome.sent = !open.messages.is_empty();
            open.outcome.cost_micros = open.outcome.cost_micros.saturating_sub(cost);
        }
        Ok(())
    }
}

impl Happening for ReceiptCame {
    fn profile(&self) -> ProfileId {
        self.profile
    }

    fn concerns(&self, person: &Person) -> bool {
        !self.machine && person.open.iter().any(|open| open.messages.contains(&self.id))
    }

    fn happen(&self, person: &mut Person, _: &Plans, _: (u64, Millis)) -> Result<(), AgentError> {
        for open in person.open.iter_mut().filter(|open| open.messages.contains(&self.id)) {
            let outcome = &mut open.outcome;
            match self.kind {
                ReceiptKind::Opened => outcome.opened = true,
                ReceiptKind::Clicked | ReceiptKind::Replied => outcome.clicked = true,
                ReceiptKind::Unsubscribed => outcome.unsubscribed = true,
                ReceiptKind::Complained => outcome.complained = true,
                ReceiptKind::Delivered | ReceiptKind::Bounced => {}
            }
        }
        Ok(())
    }
}

/// Whether a feature counts orders or what was paid.
pub(crate) fn is_counted(feature: Feature) -> bool {
    feature == Feature::ORDERS || feature.unit() == Unit::Money
}

/// What of an order gave something away.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    discount: Option<f64>,
}

/// What an order says that it gave away, millionths.
fn discount_micros(event: &Tracked) -> i64 {
    let given = serde_json::from_str::<Given>(event.properties.as_str()).ok().and_then(|given| given.discount);
    given
        .filter(|given| given.is_finite() && (0.0..1e9).contains(given))
        .map_or(0, |given| (given * 1e6).round() as i64)
}

impl OnMany<ProfileChanged> for Enrolment {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let plans = step.shared::<Plans>()?;
        if plans.campaigns.is_empty() {
            return Ok(());
        }
        let Some(person) = keys.get(&event.profile)?.filter(|person| !person.open.is_empty()) else { return Ok(()) };
        let counted: Vec<_> = event.features.iter().filter(|(feature, _)| is_counted(*feature)).copied().collect();
        let of_event = |open: &Open| {
            plans.campaigns.get(&open.campaign).is_some_and(|standing| standing.plan.reward.event.is_some())
        };
        if counted.is_empty() && !person.open.iter().any(of_event) {
            return Ok(());
        }
        // Where two profiles became one, and where a past is told again, nothing has happened.
        let is_news = event.event != 0 && !person.settling;
        let tracked = if is_news { step.entry_if_kept::<Tracked>(event.event)? } else { None };
        let tracked = tracked.as_ref().map(|held| held.body()).transpose()?;
        keys.change(&event.profile, |person| {
            put_down(person, &counted, tracked, plans);
            Ok(())
        })?;
        Ok(())
    }
}

/// Puts down to the open decisions what an event has changed; with none, it is only noted.
fn put_down(person: &mut Person, counted: &[(Feature, i64)], tracked: Option<&Tracked>, plans: &Plans) {
    let mut known = person.known.take();
    let deltas: Vec<(Feature, i64)> = counted
        .iter()
        .map(|(feature, now)| {
            let Some(known) = &mut known else {
                // From where to count is being asked for; that an order was made is known all the same.
                return (*feature, i64::from(*feature == Feature::ORDERS));
            };
            let place = known.iter().position(|(other, _)| other == feature);
            let before = place.and_then(|place| known.get_mut(place));
            match before {
                Some((_, before)) => (*feature, now.saturating_sub(std::mem::replace(before, *now))),
                None => {
                    known.push((*feature, *now));
                    (*feature, *now)
                }
            }
        })
        .collect();
    person.known = known;
    let Some(tracked) = tracked else { return };
    let of = |feature: Feature| deltas.iter().find(|(known, _)| *known == feature).map_or(0, |(_, delta)| *delta);
    let orders = u32::try_from(of(Feature::ORDERS).max(0)).unwrap_or(u32::MAX);
    for open in person.latest_before(tracked.at_ms) {
        let Some(standing) = plans.campaigns.get(&open.campaign) else { continue };
        let conversions = match &standing.plan.reward.event {
            Some(name) => u32::from(*tracked.name == **name),
            None => orders,
        };
        let outcome = &mut open.outcome;
        outcome.conversions = outcome.conversions.saturating_add(conversions);
        outcome.revenue_micros = outcome.revenue_micros.saturating_add(standing.value().map_or(0, of));
        if open.offer && orders > 0 {
            outcome.discount_micros = outcome.discount_micros.saturating_add(discount_micros(tracked));
        }
    }
}
