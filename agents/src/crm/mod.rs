//! The CRM agent: leads, deals, tickets, and tasks for people where a message would be wrong.
//!
//! While a ticket is open, nothing that persuades is sent: the agent says so, and the gate obeys.

mod lead;
mod names;
mod person;
mod topics;

use impresario_runtime::{
    Agent, AgentError, AgentKey, Event, Keys, On, OnMany, OnShared, Routes, Step, SubjectId, Topic,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use lead::{Deed, Deeds, LeadSettings, check_leads};
pub use person::{Deal, DealStatus, Relation, Task};
pub use topics::{
    DealCreated, DealLost, DealStageChanged, DealWon, LeadScored, LeadsSet, TaskCreated, TaskDone, TaskKind,
};

use self::{
    names::{Meaning, meaning},
    person::TICKET_HOLDS_MS,
};
use crate::{
    parting,
    profiles::json,
    segmentation::{ConditionsAnswered, ConditionsAsked},
    vocabulary::{
        DecisionMade, EventKind, Feature, MarketingFreed, MarketingHeld, MessageHeld, MessageRefused, ProfileChanged,
        ProfileId, ProfileMerged, ProfileParted, ProfileSettled, ReceiptCame, ReceiptKind, Refusal, Stamp, Tracked,
    },
};

/// Longest id of a deal or a ticket, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest name or reason of a deal, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// The instant an open ticket no longer holds marketing back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TicketDue {
    #[serde(rename = "p")]
    profile: ProfileId,
}

impl Topic for TicketDue {
    const NAME: &'static str = "ticket.due";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// The agent.
pub struct Crm;

impl Agent for Crm {
    const NAME: &'static str = "crm";
    type Key = ProfileId;
    type State = Relation;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|created: &DealCreated| created.profile);
        routes.on(|changed: &DealStageChanged| changed.profile);
        routes.on(|won: &DealWon| won.profile);
        routes.on(|lost: &DealLost| lost.profile);
        routes.on(|done: &TaskDone| done.profile);
        routes.on(|answered: &ConditionsAnswered| answered.profile);
        routes.on(|due: &TicketDue| due.profile);
        routes.on(|settled: &ProfileSettled| settled.profile);
        routes.on_some(|receipt: &ReceiptCame| {
            let matters = matches!(receipt.kind, ReceiptKind::Clicked | ReceiptKind::Replied | ReceiptKind::Complained);
            (matters && !receipt.machine).then_some(receipt.profile)
        });
        routes.on_some(|refused: &MessageRefused| by_ticket(&refused.by).then_some(refused.profile));
        routes.on_some(|made: &DecisionMade| made.withheld.as_ref().is_some_and(by_ticket).then_some(made.profile));
        routes.on_some(|held: &MessageHeld| by_ticket(&held.by).then_some(held.profile));
        routes.on_many::<ProfileChanged>();
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<LeadsSet>();
    }

    fn merge_into(
        &self,
        profile: &ProfileId,
        winner: &mut Relation,
        loser: Relation,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let told = winner.held;
        winner.merge(loser);
        if winner.held != told && winner.held == Some(winner.open_tickets(step.now_ms())) {
            // It was said of who is no more.
            winner.held = None;
        }
        settle(*profile, winner, step);
        score(*profile, winner, step)
    }
}

fn by_ticket(by: &Refusal) -> bool {
    &*by.guard == "ticket"
}

/// Says whether marketing is held back, where that has changed.
fn settle(profile: ProfileId, own: &mut Relation, step: &mut Step<'_>) {
    match own.open_tickets(step.now_ms()) {
        0 if own.held.take().is_some() => step.publish(MarketingFreed { profile }),
        0 => {}
        open if own.held != Some(open) => {
            own.held = Some(open);
            let why = if open == 1 { "1 open ticket".to_owned() } else { format!("{open} open tickets") };
            step.publish(MarketingHeld { profile, why: why.into() });
        }
        _ => {}
    }
}

/// Looks whether a lead has become hot, or is no longer.
fn score(profile: ProfileId, own: &mut Relation, step: &mut Step<'_>) -> Result<(), AgentError> {
    let settings = step.shared::<LeadSettings>()?;
    if !own.lead {
        return Ok(());
    }
    let parts = own.deeds.parts(settings, step.now_ms());
    let score_milli: i64 = parts.iter().map(|(_, worth)| worth).sum();
    let hot = i64::from(settings.hot) * 1_000;
    let is_hot = if own.hot { score_milli * 2 >= hot } else { score_milli >= hot };
    if is_hot == own.hot {
        return Ok(());
    }
    own.hot = is_hot;
    let parts = parts.into_iter().map(|(deed, worth)| (deed.name().into(), worth)).collect();
    step.publish(LeadScored { profile, score_milli, hot: is_hot, parts });
    if is_hot {
        let why = format!("a lead of {} points, hot from {} on", score_milli / 1_000, settings.hot);
        task(profile, own, TaskKind::HotLead, why, step);
    }
    Ok(())
}

/// Makes a task, unless one of its kind is open already.
fn task(profile: ProfileId, own: &mut Relation, kind: TaskKind, why: String, step: &mut Step<'_>) {
    if own.has_open(kind) {
        return;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"task").update(&profile.0.to_le_bytes()).update(kind.name().as_bytes());
    hasher.update(&step.seq().to_le_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    let id: Box<str> = format!("t_{:016x}", u64::from_le_bytes([a, b, c, d, e, f, g, h])).into();
    let why: Box<str> = why.into();
    own.add_task(Task { id: id.clone(), kind, why: why.clone(), at_ms: step.now_ms(), done: None });
    step.publish(TaskCreated { id, profile, kind, why });
}

impl OnMany<ProfileChanged> for Crm {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if event.event == 0 {
            return Ok(());
        }
        let shops = |(feature, _): &(Feature, i64)| {
            matches!(*feature, Feature::PRODUCT_VIEWS | Feature::CART_ADDS | Feature::CHECKOUTS | Feature::ORDERS)
        };
        let profile = event.profile;
        let shopped = event.features.iter().any(shops);
        // Shopping gives points to leads alone, and most events are of that.
        if shopped && !keys.get(&profile)?.is_some_and(|own| own.lead) {
            return Ok(());
        }
        let Some(tracked) = step.entry_if_kept::<Tracked>(event.event)? else { return Ok(()) };
        let tracked = tracked.body()?;
        let meaning = if tracked.kind == EventKind::Track { meaning(&tracked.name) } else { None };
        match meaning {
            Some(Meaning::TicketOpened | Meaning::TicketClosed) => {
                let open = meaning == Some(Meaning::TicketOpened);
                keys.change(&profile, |own| {
                    own.ticket(
                        &id_in(tracked, &["ticket_id", "conversation_id", "case_id", "id"]),
                        Stamp::of(tracked),
                        open,
                    );
                    if open {
                        step.schedule(tracked.at_ms + TICKET_HOLDS_MS, &TicketDue { profile });
                    }
                    settle(profile, own, step);
                    Ok(())
                })?;
            }
            Some(Meaning::Did(deed)) => {
                let is_lead = keys.get(&profile)?.is_some_and(|own| own.lead);
                if is_lead || deed.makes_lead() {
                    keys.change(&profile, |own| {
                        own.lead = true;
                        own.deeds.add(deed, tracked.at_ms);
                        score(profile, own, step)
                    })?;
                }
            }
            Some(deal) => match deal_in(tracked) {
                Some(id) => say_deal(profile, id, deal, tracked, step),
                // There is no telling which.
                None => drop(keys.change(&profile, |own| {
                    own.unnamed_deals = own.unnamed_deals.saturating_add(1);
                    Ok(())
                })?),
            },
            None => {}
        }
        Ok(())
    }
}

/// The first of these properties that is an id; empty where there is none.
fn id_in(tracked: &Tracked, names: &[&str; 4]) -> String {
    let picked = json::pick(tracked.properties.as_str(), names).values;
    let ids = picked.into_iter().flatten().filter_map(json::text_or_number);
    let id = ids.into_iter().find(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
    id.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Which deal an event tells of.
fn deal_in(tracked: &Tracked) -> Option<Box<str>> {
    let id = id_in(tracked, &["deal_id", "opportunity_id", "id", "name"]);
    (!id.is_empty()).then(|| id.into())
}

/// Says what an event tells of a deal.
fn say_deal(profile: ProfileId, deal: Box<str>, meaning: Meaning, tracked: &Tracked, step: &mut Step<'_>) {
    let picked = json::pick(tracked.properties.as_str(), &["name", "stage", "value", "amount", "currency", "reason"]);
    let [name, stage, value, amount, currency, reason] = picked.values;
    let text = |value: Option<&RawValue>| -> Box<str> {
        let text = value.and_then(json::text).unwrap_or_default();
        json::cut(&text, TEXT_BYTES_MAX).into()
    };
    let (at_ms, by): (_, Box<str>) = (tracked.at_ms, tracked.source.as_str().into());
    match meaning {
        Meaning::DealWon => step.publish(DealWon { profile, deal, at_ms, by }),
        Meaning::DealLost => step.publish(DealLost { profile, deal, why: text(reason), at_ms, by }),
        Meaning::DealMoved => step.publish(DealStageChanged { profile, deal, stage: text(stage), at_ms, by }),
        _ => {
            let value_micros = value.or(amount).and_then(micros_of).unwrap_or_default();
            let stage = Some(text(stage)).filter(|stage| !stage.is_empty()).unwrap_or_else(|| "new".into());
            let currency = Some(text(currency)).filter(|code| code.len() == 3).unwrap_or_default();
            step.publish(DealCreated { profile, deal, name: text(name), stage, value_micros, currency, at_ms, by });
        }
    }
}

/// Millionths of an amount, number or text; none where it is none, or beyond nine trillion.
fn micros_of(value: &RawValue) -> Option<i64> {
    let amount: f64 = json::text_or_number(value)?.trim().parse().ok()?;
    (amount.abs() <= 9e12).then(|| (amount * 1e6).round() as i64)
}

impl On<DealCreated> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, DealCreated>, step: &mut Step<'_>) -> Result<(), AgentError> {
        own.deal_told(event.body);
        // Somebody to deal with is a lead.
        own.lead = true;
        score(event.profile, own, step)
    }
}

impl On<DealStageChanged> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, DealStageChanged>, _: &mut Step<'_>) -> Result<(), AgentError> {
        own.deal_moved(&event.deal, Some(&event.stage), DealStatus::Open, "", event.body.at_ms);
        Ok(())
    }
}

impl On<DealWon> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, DealWon>, _: &mut Step<'_>) -> Result<(), AgentError> {
        own.deal_moved(&event.deal, None, DealStatus::Won, "", event.body.at_ms);
        Ok(())
    }
}

impl On<DealLost> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, DealLost>, _: &mut Step<'_>) -> Result<(), AgentError> {
        own.deal_moved(&event.deal, None, DealStatus::Lost, &event.why, event.body.at_ms);
        Ok(())
    }
}

impl On<TaskDone> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, TaskDone>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let task = own.tasks.iter_mut().find(|task| task.id == event.id && task.done.is_none());
        match task {
            Some(task) => task.done = Some((event.by.clone(), event.at_ms)),
            None => step.unchanged(),
        }
        Ok(())
    }
}

impl On<ReceiptCame> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, ReceiptCame>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let profile = event.profile;
        if event.kind == ReceiptKind::Complained {
            // Whether they are of high value is asked of who knows.
            let settings = step.shared::<LeadSettings>()?;
            let question = step.seq() ^ profile.0.rotate_left(17);
            own.asked = Some(question);
            step.publish(ConditionsAsked { profile, question, conditions: vec![settings.high_value.clone()] });
            return Ok(());
        }
        if !own.lead {
            step.unchanged();
            return Ok(());
        }
        own.deeds.add(Deed::Answer, event.at_ms);
        score(profile, own, step)
    }
}

impl On<ConditionsAnswered> for Crm {
    fn on(
        &self,
        own: &mut Relation,
        event: &Event<'_, ConditionsAnswered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if own.asked != Some(event.question) {
            step.unchanged();
            return Ok(());
        }
        own.asked = None;
        if event.holds.first().copied().unwrap_or(false) {
            let why = "somebody of high value has marked a message as spam".to_owned();
            task(event.profile, own, TaskKind::Complaint, why, step);
        }
        Ok(())
    }
}

/// A message was not sent since a ticket is open: somebody should speak to them, once for each ticket.
fn held_back(profile: ProfileId, own: &mut Relation, step: &mut Step<'_>) {
    if !own.see_to_tickets(step.now_ms()) {
        step.unchanged();
        return;
    }
    let why = "a message was held back, since a ticket is open".to_owned();
    task(profile, own, TaskKind::TicketOpen, why, step);
}

impl On<MessageRefused> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, MessageRefused>, step: &mut Step<'_>) -> Result<(), AgentError> {
        held_back(event.profile, own, step);
        Ok(())
    }
}

impl On<MessageHeld> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, MessageHeld>, step: &mut Step<'_>) -> Result<(), AgentError> {
        held_back(event.profile, own, step);
        Ok(())
    }
}

impl On<DecisionMade> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, DecisionMade>, step: &mut Step<'_>) -> Result<(), AgentError> {
        held_back(event.profile, own, step);
        Ok(())
    }
}

impl On<TicketDue> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, TicketDue>, step: &mut Step<'_>) -> Result<(), AgentError> {
        settle(event.profile, own, step);
        Ok(())
    }
}

impl On<ProfileSettled> for Crm {
    fn on(&self, own: &mut Relation, event: &Event<'_, ProfileSettled>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if own.is_empty() {
            step.unchanged();
        }
        settle(event.profile, own, step);
        Ok(())
    }
}

impl OnMany<ProfileMerged> for Crm {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::merged(keys, event, step)
    }
}

impl OnMany<ProfileParted> for Crm {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        parting::parted(keys, event)
    }
}

impl OnShared<LeadsSet> for Crm {
    type Shared = LeadSettings;

    fn on_shared(
        &self,
        settings: &mut LeadSettings,
        event: &Event<'_, LeadsSet>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        check_leads(&event.settings).map_err(AgentError::Reject)?;
        *settings = event.settings.clone();
        Ok(())
    }
}
