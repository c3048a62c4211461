//! What the journal says of messages and of how they came about: for traces, expectations and invariants.

use std::collections::{BTreeMap, BTreeSet};

use impresario_agents::{
    campaigns::{CampaignStarted, Plan},
    goals::{GoalProgress, PlanProposed, ProposalClosed},
    journeys::{JourneyEnded, JourneyMoved},
    vocabulary::{
        Arm, Channel, DecisionId, DecisionMade, DecisionRequested, Delivered, Group, MessageClass, MessageId,
        MessageRefused, MessageRequested, MessageReturned, MessageSent, Millis, ProfileId, ReceiptCame, Refusal,
        SendingResumed, SendingStopped, SituationDetected, SituationOf, SituationResolved,
    },
};
use impresario_runtime::{
    Topic,
    store::{Entry, Seq, StoreError},
};

/// One message that was let through.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) seq: Seq,
    pub(crate) at_ms: Millis,
    pub(crate) profile: ProfileId,
    pub(crate) class: MessageClass,
    pub(crate) campaign: Option<Box<str>>,
    pub(crate) channel: Channel,
    pub(crate) template: Box<str>,
    pub(crate) offer: Option<Box<str>>,
    pub(crate) because: Box<str>,
    pub(crate) guards: usize,
    /// Whether a channel has taken it; `None` while nobody knows.
    pub(crate) taken: Option<bool>,
}

/// Something that was refused to somebody.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) at_ms: Millis,
    pub(crate) profile: ProfileId,
    /// None for all channels.
    pub(crate) channel: Option<Channel>,
    pub(crate) by: Refusal,
}

/// One decision.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) profile: ProfileId,
    pub(crate) campaign: Box<str>,
    pub(crate) group: Group,
    pub(crate) arm: Option<Arm>,
    pub(crate) withheld: Option<Refusal>,
}

/// One situation of one person.
#[derive(Clone, Debug)]
pub(crate) struct Situation {
    pub(crate) id: Box<str>,
    pub(crate) profile: ProfileId,
    pub(crate) kind: Box<str>,
    pub(crate) context: serde_json::Value,
    pub(crate) resolved: bool,
}

/// One run of one person through a journey.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) profile: ProfileId,
    pub(crate) journey: Box<str>,
    pub(crate) step: String,
    pub(crate) ended: Option<String>,
}

/// Everything read so far.
#[derive(Default)]
pub(crate) struct Contacts {
    pub(crate) sent: BTreeMap<MessageId, Sent>,
    /// Messages that were asked for with a word on their channel: why it was chosen, and in place of which.
    pub(crate) asked: BTreeMap<MessageId, (Option<Box<str>>, Option<Channel>)>,
    /// In the order they were sent.
    pub(crate) order: Vec<MessageId>,
    /// Messages that were taken since somebody last looked.
    pub(crate) taken: Vec<MessageId>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) decided: Vec<Decided>,
    pub(crate) situations: Vec<Situation>,
    /// By the entry they began with.
    pub(crate) runs: BTreeMap<Seq, Run>,
    /// Where each run began.
    began: BTreeMap<u64, Seq>,
    pub(crate) plans: BTreeMap<Box<str>, Plan>,
    /// Who is in a holdout, by what the gate said of them.
    pub(crate) held_out: BTreeSet<(Box<str>, ProfileId)>,
    /// Messages that were said to be sent more than once.
    pub(crate) twice: Vec<MessageId>,
    /// Up to where invariants have looked at messages.
    pub(crate) checked: usize,
    /// Decisions with a message.
    pub(crate) with_message: BTreeMap<DecisionId, MessageId>,
}

/// A line for a trace: of one person, of an operator, of everybody.
pub(crate) enum Told {
    Person(ProfileId, String),
    Operator(String),
    Everybody(String),
    Nothing,
}

impl Contacts {
    /// Reads one entry; `None` where it is about something else.
    pub(crate) fn take(&mut self, topic: &str, entry: &Entry) -> Result<Option<Told>, StoreError> {
        Ok(Some(match topic {
            MessageRequested::NAME => {
                let asked: &MessageRequested = entry.decode(MessageRequested::VERSION)?;
                let gone = asked.instead_of.as_ref();
                if asked.channel_because.is_some() || gone.is_some() {
                    let known = (asked.channel_because.clone(), gone.map(|gone| gone.channel));
                    self.asked.entry(asked.id).or_insert(known);
                }
                match (gone, &asked.channel_because) {
                    (Some(gone), _) => {
                        let what = format!("is to get {} instead of {}", of(asked.channel), of(gone.channel));
                        Told::Person(asked.profile, format!("{what}: {} ({})", gone.by.guard, gone.by.why))
                    }
                    (None, Some(why)) => Told::Person(asked.profile, format!("is to get {}: {why}", of(asked.channel))),
                    (None, None) => Told::Nothing,
                }
            }
            MessageSent::NAME => self.sent(entry, entry.decode(MessageSent::VERSION)?),
            Delivered::NAME => {
                let delivered: &Delivered = entry.decode(Delivered::VERSION)?;
                let Delivered { id, profile, channel, failed, held, .. } = delivered;
                if let Some(sent) = self.sent.get_mut(id).filter(|_| held.is_none()) {
                    sent.taken = Some(failed.is_none());
                    if failed.is_none() {
                        self.taken.push(*id);
                    }
                }
                match failed {
                    Some(why) => Told::Person(*profile, format!("could not be reached by {}: {why}", channel.name())),
                    None => Told::Nothing,
                }
            }
            MessageReturned::NAME => {
                let MessageReturned { id, profile, channel, by, .. } = entry.decode(MessageReturned::VERSION)?;
                self.returned(*id);
                let what = format!("does not get {} yet: {} ({})", of(*channel), by.guard, by.why);
                Told::Person(*profile, what)
            }
            ReceiptCame::NAME => {
                let ReceiptCame { profile, channel, kind, machine, .. } = entry.decode(ReceiptCame::VERSION)?;
                let what = format!("{kind:?}").to_lowercase();
                let by = if *machine { "a machine " } else { "" };
                Told::Person(*profile, format!("{by}{what} {}", of(*channel)))
            }
            MessageRefused::NAME => {
                let MessageRefused { profile, channel, by, .. } = entry.decode(MessageRefused::VERSION)?;
                let what = format!("does not get {}: {} ({})", of(*channel), by.guard, by.why);
                let (channel, by) = (Some(*channel), by.clone());
                self.refused.push(Refused { at_ms: entry.at_ms, profile: *profile, channel, by });
                Told::Person(*profile, what)
            }
            impresario_agents::vocabulary::MessageHeld::NAME => {
                let held: &impresario_agents::vocabulary::MessageHeld = entry.decode(1)?;
                let what = format!("must wait for a message: {} ({})", held.by.guard, held.by.why);
                Told::Person(held.profile, what)
            }
            DecisionRequested::NAME => self.requested(entry, entry.decode(DecisionRequested::VERSION)?),
            DecisionMade::NAME => self.decided(entry.at_ms, entry.decode(DecisionMade::VERSION)?),
            SituationDetected::NAME => {
                let SituationDetected { id, kind, of, context, because, .. } =
                    entry.decode(SituationDetected::VERSION)?;
                match of {
                    SituationOf::Person(profile) => {
                        let (id, kind, context) = (id.clone(), kind.clone(), context.clone());
                        let what = format!("situation {kind}: {because}");
                        self.situations.push(Situation { id, profile: *profile, kind, context, resolved: false });
                        Told::Person(*profile, what)
                    }
                    SituationOf::Channel(channel) => {
                        Told::Everybody(format!("situation {kind} on {}: {because}", channel.name()))
                    }
                }
            }
            SituationResolved::NAME => {
                let SituationResolved { id, kind, of, because } = entry.decode(SituationResolved::VERSION)?;
                for known in self.situations.iter_mut().filter(|known| known.id == *id) {
                    known.resolved = true;
                }
                match of {
                    SituationOf::Person(profile) => {
                        Told::Person(*profile, format!("situation {kind} is over: {because}"))
                    }
                    SituationOf::Channel(channel) => {
                        Told::Everybody(format!("situation {kind} on {} is over: {because}", channel.name()))
                    }
                }
            }
            CampaignStarted::NAME => {
                let CampaignStarted { campaign, plan, .. } = entry.decode(CampaignStarted::VERSION)?;
                self.plans.insert(campaign.clone(), plan.clone());
                Told::Everybody(format!("campaign {campaign} runs with {} arms", plan.arms.len()))
            }
            JourneyMoved::NAME => {
                let JourneyMoved { run, journey, profile, to, because, .. } = entry.decode(JourneyMoved::VERSION)?;
                let began = *self.began.entry(*run).or_insert(entry.seq);
                let (profile, step) = (*profile, to.to_string());
                self.runs.insert(began, Run { profile, journey: journey.clone(), step, ended: None });
                Told::Person(profile, format!("comes to {to} in journey {journey} ({because})"))
            }
            JourneyEnded::NAME => {
                let JourneyEnded { run, journey, profile, outcome, .. } = entry.decode(JourneyEnded::VERSION)?;
                if let Some(run) = self.began.get(run).and_then(|began| self.runs.get_mut(began)) {
                    run.ended = Some(outcome.name().to_owned());
                }
                Told::Person(*profile, format!("has ended journey {journey}: {outcome:?}"))
            }
            PlanProposed::NAME => {
                let PlanProposed { goal, number, audience, because, .. } = entry.decode(PlanProposed::VERSION)?;
                Told::Everybody(format!("goal {goal} proposes plan {number} for {audience} people: {because}"))
            }
            ProposalClosed::NAME => {
                let ProposalClosed { goal, number, outcome, by, why } = entry.decode(ProposalClosed::VERSION)?;
                let outcome = format!("{outcome:?}").to_lowercase();
                Told::Operator(format!("proposal {number} of {goal} is {outcome} by {by}: {why}"))
            }
            GoalProgress::NAME => {
                let GoalProgress { goal, value, baseline, people, reached, .. } =
                    entry.decode(GoalProgress::VERSION)?;
                match reached {
                    true => {
                        Told::Everybody(format!("goal {goal} is reached: {value:.3}, from {baseline:.3}, of {people}"))
                    }
                    // It is measured every hour in which anything happens.
                    false => Told::Nothing,
                }
            }
            impresario_agents::campaigns::CampaignEnded::NAME => {
                let ended: &impresario_agents::campaigns::CampaignEnded = entry.decode(1)?;
                Told::Everybody(format!("campaign {} is over: {}", ended.campaign, ended.why))
            }
            SendingStopped::NAME => {
                let SendingStopped { scope, by, why } = entry.decode(SendingStopped::VERSION)?;
                Told::Operator(format!("{by} stopped sending of {scope:?}: {why}"))
            }
            SendingResumed::NAME => {
                let SendingResumed { scope, by } = entry.decode(SendingResumed::VERSION)?;
                Told::Operator(format!("{by} resumed sending of {scope:?}"))
            }
            _ => return Ok(None),
        }))
    }

    fn sent(&mut self, entry: &Entry, message: &MessageSent) -> Told {
        let MessageSent { id, profile, class, campaign, decision, channel, template, offer, guards, because, .. } =
            message;
        let sent = Sent {
            seq: entry.seq,
            at_ms: entry.at_ms,
            profile: *profile,
            class: *class,
            campaign: campaign.clone(),
            channel: *channel,
            template: template.0.clone(),
            offer: offer.clone(),
            because: because.clone(),
            guards: guards.len(),
            taken: None,
        };
        if self.sent.insert(*id, sent).is_some() {
            self.twice.push(*id);
        }
        self.order.push(*id);
        if let Some(other) = decision.and_then(|decision| self.with_message.insert(decision, *id))
            && other != *id
        {
            self.twice.push(other);
        }
        let offer = offer.as_ref().map(|offer| format!(" with {offer}")).unwrap_or_default();
        let because = if because.is_empty() { String::new() } else { format!(", because of {because}") };
        Told::Person(*profile, format!("gets {}: {}{offer}{because}", of(*channel), template.0))
    }

    /// It is as if it had not been sent.
    fn returned(&mut self, id: MessageId) {
        self.sent.remove(&id);
        if let Some(place) = self.order.iter().position(|known| *known == id) {
            self.order.remove(place);
            self.checked -= usize::from(place < self.checked);
        }
    }

    fn requested(&mut self, entry: &Entry, asked: &DecisionRequested) -> Told {
        if asked.group == Group::Holdout {
            self.held_out.insert((asked.campaign.clone(), asked.profile));
        }
        for verdict in &asked.channels {
            if let Some(by) = &verdict.refused {
                let (profile, channel) = (asked.profile, Some(verdict.channel));
                self.refused.push(Refused { at_ms: entry.at_ms, profile, channel, by: by.clone() });
            }
        }
        Told::Nothing
    }

    fn decided(&mut self, at_ms: Millis, made: &DecisionMade) -> Told {
        let DecisionMade { campaign, profile, group, arm, withheld, propensity, candidates, .. } = made;
        if let Some(by) = withheld {
            self.refused.push(Refused { at_ms, profile: *profile, channel: None, by: by.clone() });
        }
        self.decided.push(Decided {
            profile: *profile,
            campaign: campaign.clone(),
            group: *group,
            arm: arm.clone(),
            withheld: withheld.clone(),
        });
        let what = match (arm, withheld) {
            (_, Some(by)) => format!("nothing: {} ({})", by.guard, by.why),
            (None, None) => "nothing".to_owned(),
            (Some(arm), None) => {
                let offer = arm.offer.as_ref().map(|offer| format!(" with {offer}")).unwrap_or_default();
                let hour = arm.hour.map(|hour| format!(" from {hour}:00")).unwrap_or_default();
                format!("{} by {}{offer}{hour}", arm.template, arm.channel.name())
            }
        };
        let group = format!("{group:?}").to_lowercase();
        let many = candidates.len();
        Told::Person(*profile, format!("{campaign} decides {what} [{group}, p {propensity:.3} of {many}]"))
    }
}

/// A message of a channel, in words.
fn of(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "an e-mail",
        Channel::Sms => "a text message",
        Channel::Push => "a push notification",
    }
}
