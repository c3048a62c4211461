//! From the wish to the intent: schedule, check, fill in, check again, say it.

use impresario_runtime::{AgentError, Step, store::Seq};

use super::{
    Common, Correspondent, Fate, Letter, Pending,
    person::PENDING_MAX,
    spend::{self, Settled, Spend},
    topics::{MessageDue, WAITS_MS},
};
use crate::{
    content::RenderInput,
    gate::{self, Ask, Ride, Verdict},
    vocabulary::{
        Channel, DecisionMade, DecisionRequested, Deliver, Group, MessageClass, MessageHeld, MessageId, MessageRefused,
        MessageRequested, MessageSent, PersonDescribed, PersonTold, ProfileId, Refusal, RenderAsked,
    },
};

/// A person is described: the gate draws their group and says what each channel may do.
pub(super) fn described(
    profile: ProfileId,
    person: &Correspondent,
    described: &PersonDescribed,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let house = &step.shared::<Common>()?.house;
    let due = &described.due;
    let running = house.campaigns.get(&due.campaign);
    let group = running.map_or(Group::Policy, |running| {
        gate::group_of(&due.campaign, running, person.contact.as_ref(), &house.policy)
    });
    let (channels, zone) = gate::look(&due.campaign, step.now_ms(), &person.circumstances(), house, step.seed());
    step.publish(DecisionRequested {
        id: due.id,
        campaign: due.campaign.clone(),
        profile,
        group,
        features: described.features.clone(),
        channels,
        zone,
        context: due.context.clone(),
        reached_before: due.reached_before,
        ids: person.contact.as_ref().map_or(0, |contact| u16::try_from(contact.ids.len()).unwrap_or(u16::MAX)),
    });
    Ok(())
}

/// A decision wants something done, or nothing.
pub(super) fn decided(
    profile: ProfileId,
    person: &mut Correspondent,
    decision: &DecisionMade,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let Some(arm) = &decision.arm else {
        step.unchanged();
        return Ok(());
    };
    let common = step.shared::<Common>()?;
    let topic = common.house.campaigns.get(&decision.campaign).and_then(|running| running.topic.clone());
    let request = MessageRequested {
        id: MessageId::of_decision(decision.id),
        profile,
        class: MessageClass::Marketing,
        campaign: Some(decision.campaign.clone()),
        decision: Some(decision.id),
        template: arm.template.clone(),
        offer: arm.offer.clone(),
        channel: arm.channel,
        topic,
        at_ms: decision.at_ms,
        until_ms: None,
        context: decision.context.clone(),
        because: "decision".into(),
        channel_because: None,
        instead_of: None,
    };
    requested(profile, person, request, Some((decision.plan, (decision.group, decision.chosen))), step)
}

/// Somebody wants a message to be sent. Asked for twice, it is one.
pub(super) fn requested(
    profile: ProfileId,
    person: &mut Correspondent,
    mut request: MessageRequested,
    decided: Option<(Seq, (Group, u16))>,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let (id, now_ms) = (request.id, step.now_ms());
    if !person.is_new(id) {
        step.unchanged();
        return Ok(());
    }
    request.profile = profile;
    if request.topic.is_none()
        && let Some(campaign) = &request.campaign
    {
        let running = step.shared::<Common>()?.house.campaigns.get(campaign);
        request.topic = running.and_then(|running| running.topic.clone());
    }
    person.letters.add(Letter {
        id,
        channel: request.channel,
        class: request.class,
        template: request.template.clone(),
        offer: request.offer.clone(),
        campaign: request.campaign.clone(),
        decision: request.decision,
        because: request.because.clone(),
        channel_because: request.channel_because.clone(),
        instead_of: request.instead_of.clone(),
        to: None,
        token: None,
        fates: vec![(now_ms, Fate::Asked)],
    });
    let until_ms = request.until_ms.unwrap_or_else(|| request.at_ms.max(now_ms).saturating_add(WAITS_MS));
    let at_ms = request.at_ms;
    let (plan, arm) = decided.unzip();
    let mut pending = Pending { arm, ..Pending::new(request, plan, until_ms) };
    if person.pending.len() >= PENDING_MAX {
        let why = format!("{PENDING_MAX} messages wait for them already");
        refuse(person, &mut pending, Refusal { guard: "cap".into(), why: why.into() }, step);
        return Ok(());
    }
    person.pending.push(pending);
    if at_ms > now_ms {
        wake(profile, person, id, at_ms, step);
        return Ok(());
    }
    attempt(profile, person, id, None, step)
}

pub(super) fn wake(profile: ProfileId, person: &mut Correspondent, id: MessageId, at_ms: i64, step: &mut Step<'_>) {
    let Some(pending) = person.pending.iter_mut().find(|pending| pending.request.id == id) else { return };
    if let Some(timer) = pending.timer.take() {
        step.cancel(timer);
    }
    pending.timer = Some(step.schedule(at_ms, &MessageDue { profile, id }));
}

/// A message's time has come, or sending goes on, or what it is to be filled in with is told.
pub(super) fn attempt(
    profile: ProfileId,
    person: &mut Correspondent,
    id: MessageId,
    told: Option<&PersonTold>,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let now_ms = step.now_ms();
    let common = step.shared::<Common>()?;
    let Some(pending) = person.pending.iter_mut().find(|pending| pending.request.id == id) else {
        step.unchanged();
        return Ok(());
    };
    if pending.request.at_ms > now_ms {
        // A clock that was put back: its time comes again.
        let at_ms = pending.request.at_ms;
        wake(profile, person, id, at_ms, step);
        return Ok(());
    }
    let answered = told.is_some() && std::mem::take(&mut pending.asked);
    let pending = pending.clone();
    let request = &pending.request;
    if now_ms > pending.until_ms {
        let why = Refusal { guard: "late".into(), why: "its time has passed".into() };
        return drop_pending(person, &pending, why, step);
    }
    let ids = person.contact.as_ref().map_or(&[][..], |contact| &contact.ids);
    let known = common.catalog.check_for(&request.template, request.channel, request.offer.as_deref(), ids);
    // What a template persuades with does not become owed by being asked for as such.
    let owed = known.as_ref().is_ok_and(|known| known.class == MessageClass::Transactional);
    let class = if owed { request.class } else { MessageClass::Marketing };
    let topic = request.topic.clone().or_else(|| known.as_ref().ok().and_then(|known| known.topic.clone()));
    let ask = Ask {
        at_ms: now_ms,
        class,
        channel: request.channel,
        topic: topic.as_deref(),
        campaign: request.campaign.as_deref(),
        ride: pending.plan.map(|plan| Ride {
            plan,
            template: &request.template,
            offer: request.offer.as_deref(),
            content: [
                common.catalog.template_fingerprint(&request.template),
                request.offer.as_deref().and_then(|offer| common.catalog.offer_fingerprint(offer)),
            ],
        }),
        let_through: false,
        template: known.as_ref().map(drop).map_err(|refusal| &*refusal.why),
        // Asking for a confirmation is owed to whoever has asked.
        confirms: class == MessageClass::Transactional,
    };
    let (address, guards) = match gate::verdict(&ask, &person.circumstances(), &common.house, step.seed()) {
        Verdict::Allowed { address, guards } => (address, guards),
        Verdict::Refused(by) => return drop_pending(person, &pending, by, step),
        Verdict::Held { until_ms, by } => {
            if until_ms.is_some_and(|until_ms| until_ms > pending.until_ms) {
                return drop_pending(person, &pending, by, step);
            }
            hold(profile, person, id, until_ms, by, step);
            return Ok(());
        }
    };
    match pending.spend {
        Spend::NotAsked if spend::needs_asking(request) => {
            spend::ask(profile, person, &pending, step);
            return Ok(());
        }
        // Its answer comes here again.
        Spend::Asked => return Ok(()),
        Spend::NotAsked | Spend::Reserved(..) => {}
    }
    if !answered {
        let traits = common.catalog.traits_of(&request.template);
        ask_person(profile, person, &pending, traits, step);
        return Ok(());
    }
    let Some(told) = told else { return Ok(()) };
    let Some(contact) = person.contact.clone() else { return Ok(()) };
    let message = id.to_string();
    let input = RenderInput {
        traits: &told.traits,
        features: &told.features,
        contact: &contact,
        context: &request.context,
        now_ms,
        zone: contact.zone.as_deref().unwrap_or(&common.house.policy.zone),
        campaign: request.campaign.as_deref(),
        message: Some(&message),
    };
    let rendered = common.catalog.render(&request.template, request.channel, request.offer.as_deref(), &input);
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(by) => return drop_pending(person, &pending, by, step),
    };
    let reached_before = spend::reach(person, request.campaign.as_deref());
    if let Some(mut pending) = take_out(person, id, step) {
        spend::settle(&mut pending, Settled::Sent { reached_before }, step);
        person.leaves(pending);
    }
    if let Some(letter) = person.letters.get_mut(id) {
        letter.note(now_ms, Fate::Sent(guards.clone()));
        letter.to = gate::hash_of(&address, step.seed());
        letter.token = (address.channel == Channel::Push).then(|| gate::token_hash(&address.value));
    }
    if class == MessageClass::Marketing {
        let channel = request.channel;
        gate::remember(&mut person.sent, gate::Contacted { at_ms: now_ms, id, channel, topic: topic.clone() });
    }
    let asked_campaign = spend::needs_asking(request).then(|| ["blast_radius", "budget"].map(Box::from));
    step.publish(MessageSent {
        id,
        profile,
        class,
        campaign: request.campaign.clone(),
        decision: request.decision,
        arm: pending.arm,
        channel: request.channel,
        template: (request.template.clone(), rendered.version),
        offer: request.offer.clone(),
        guards: guards.into_iter().chain(asked_campaign.into_iter().flatten()).collect(),
        because: request.because.clone(),
        reached_before,
    });
    step.effect(&Deliver {
        id,
        profile,
        campaign: request.campaign.clone(),
        channel: request.channel,
        class,
        topic,
        address: address.value,
        content: rendered.content,
    });
    Ok(())
}

fn ask_person(
    profile: ProfileId,
    person: &mut Correspondent,
    pending: &Pending,
    traits: Vec<Box<str>>,
    step: &mut Step<'_>,
) {
    let id = pending.request.id;
    if let Some(pending) = person.pending.iter_mut().find(|pending| pending.request.id == id) {
        (pending.asked, pending.stopped) = (true, false);
        if let Some(timer) = pending.timer.take() {
            step.cancel(timer);
        }
    }
    step.publish(RenderAsked { message: id, asker: profile, profile, traits });
}

fn hold(
    profile: ProfileId,
    person: &mut Correspondent,
    id: MessageId,
    until_ms: Option<i64>,
    by: Refusal,
    step: &mut Step<'_>,
) {
    let now_ms = step.now_ms();
    let Some(pending) = person.pending.iter_mut().find(|pending| pending.request.id == id) else { return };
    pending.stopped = until_ms.is_none();
    // What a stop holds is looked at when sending goes on, and given up when its time has passed.
    let wake_ms = until_ms.unwrap_or(pending.until_ms.saturating_add(1));
    person.letters.note(id, now_ms, Fate::Held { until_ms, by: by.clone() });
    wake(profile, person, id, wake_ms, step);
    step.publish(MessageHeld { id, profile, until_ms: wake_ms, by });
}

/// Takes a message out of what waits, and its timer with it.
pub(super) fn take_out(person: &mut Correspondent, id: MessageId, step: &mut Step<'_>) -> Option<Pending> {
    let place = person.pending.iter().position(|pending| pending.request.id == id)?;
    let mut pending = person.pending.remove(place);
    if let Some(timer) = pending.timer.take() {
        step.cancel(timer);
    }
    Some(pending)
}

pub(super) fn drop_pending(
    person: &mut Correspondent,
    pending: &Pending,
    by: Refusal,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    take_out(person, pending.request.id, step);
    refuse(person, &mut pending.clone(), by, step);
    Ok(())
}

pub(super) fn refuse(person: &mut Correspondent, pending: &mut Pending, by: Refusal, step: &mut Step<'_>) {
    person.letters.note(pending.request.id, step.now_ms(), Fate::Refused(by.clone()));
    tell_refused(pending, by, step);
}

/// A message that was asked for is not wanted any more: who set something aside for it gets it back.
pub(super) fn withdraw(person: &mut Correspondent, pending: &mut Pending, because: Box<str>, step: &mut Step<'_>) {
    person.letters.note(pending.request.id, step.now_ms(), Fate::Withdrawn(because.clone()));
    if pending.request.campaign.is_some() {
        tell_refused(pending, Refusal { guard: "withdrawn".into(), why: because }, step);
    }
}

fn tell_refused(pending: &mut Pending, by: Refusal, step: &mut Step<'_>) {
    spend::settle(pending, Settled::GivenBack, step);
    let request = &pending.request;
    step.publish(MessageRefused {
        id: request.id,
        profile: request.profile,
        campaign: request.campaign.clone(),
        decision: request.decision,
        channel: request.channel,
        by,
    });
}
