//! What comes back: delivered or not, opened, bounced, unsubscribed. What forbids acts at once.

use impresario_runtime::{AgentError, Step};

use super::{
    Correspondent, Fate,
    person::PENDING_MAX,
    send,
    spend::{self, Settled},
};
use crate::{
    suppression::{AddressSuppressed, WhySuppressed},
    vocabulary::{Delivered, HeldBack, MessageRefused, MessageReturned, ProfileId, ReceiptCame, ReceiptKind, Refusal},
};

/// Times a channel may give one message back before it is given up.
const RETURNS_MAX: u16 = 100;

pub(super) fn delivered(
    profile: ProfileId,
    person: &mut Correspondent,
    delivered: &Delivered,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let place = person.leaving.iter().position(|pending| pending.request.id == delivered.id);
    let pending = place.map(|place| person.leaving.remove(place));
    let (id, now_ms) = (delivered.id, step.now_ms());
    let Some(HeldBack { until_ms, by, for_good }) = delivered.held.clone() else {
        if delivered.failed.is_some() {
            // It has reached nobody: no cap counts it.
            person.sent.retain(|sent| sent.id != id);
        }
        let fate = delivered.failed.clone().map_or(Fate::Delivered, Fate::Failed);
        person.letters.note(id, now_ms, fate);
        return Ok(());
    };
    // The channel has not acted and never will for that attempt: it counts nowhere as sent.
    person.sent.retain(|sent| sent.id != id);
    if let Some(letter) = person.letters.get_mut(id) {
        if !for_good {
            letter.note(now_ms, Fate::Held { until_ms: Some(until_ms), by: by.clone() });
        }
        (letter.to, letter.token) = (None, None);
    }
    let decision = pending.as_ref().and_then(|pending| pending.request.decision);
    let arm = pending.as_ref().and_then(|pending| pending.arm);
    let (campaign, channel) = (delivered.campaign.clone(), delivered.channel);
    step.publish(MessageReturned { id, profile, campaign, decision, arm, channel, until_ms, by: by.clone() });
    let Some(mut pending) = pending else {
        // What was asked for is not known any more, so it can't be asked for again.
        person.letters.note(id, now_ms, Fate::Refused(by.clone()));
        let campaign = delivered.campaign.clone();
        step.publish(MessageRefused { id, profile, campaign, decision, channel, by });
        return Ok(());
    };
    pending.request.profile = profile;
    pending.returned += 1;
    spend::settle(&mut pending, Settled::Returned, step);
    if let Some(because) = pending.withdrawn.take() {
        send::withdraw(person, &mut pending, because, step);
        return Ok(());
    }
    if for_good {
        send::refuse(person, &mut pending, by, step);
        return Ok(());
    }
    if until_ms.max(now_ms) > pending.until_ms || pending.returned > RETURNS_MAX {
        send::refuse(person, &mut pending, Refusal { guard: "late".into(), why: by.why }, step);
        return Ok(());
    }
    if person.pending.len() >= PENDING_MAX {
        let why = format!("{PENDING_MAX} messages wait for them already");
        send::refuse(person, &mut pending, Refusal { guard: "cap".into(), why: why.into() }, step);
        return Ok(());
    }
    person.pending.push(pending);
    if until_ms > now_ms {
        send::wake(profile, person, id, until_ms, step);
        return Ok(());
    }
    send::attempt(profile, person, id, None, step)
}

pub(super) fn receipt(
    person: &mut Correspondent,
    receipt: &ReceiptCame,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let now_ms = step.now_ms();
    let letter = person.letters.get_mut(receipt.id);
    let (to, token) = letter.as_ref().map_or((None, None), |letter| (letter.to, letter.token));
    if let Some(letter) = letter {
        letter.note(now_ms, Fate::Receipt(receipt.kind));
    }
    let suppress = |why: WhySuppressed, step: &mut Step<'_>| {
        if let Some(address) = to {
            step.publish(AddressSuppressed { address, why });
        }
    };
    match receipt.kind {
        ReceiptKind::Unsubscribed => refuse(person, receipt, step),
        ReceiptKind::Complained => {
            refuse(person, receipt, step);
            suppress(WhySuppressed::Complained, step);
        }
        ReceiptKind::Bounced => {
            suppress(WhySuppressed::Bounced, step);
            token.into_iter().for_each(|token| person.bury(token));
        }
        ReceiptKind::Delivered | ReceiptKind::Opened | ReceiptKind::Clicked | ReceiptKind::Replied => {}
    }
    Ok(())
}

fn refuse(person: &mut Correspondent, receipt: &ReceiptCame, step: &mut Step<'_>) {
    let contact = person.contact.clone().unwrap_or_default();
    person.ledger.refuse(receipt.channel.name(), &contact, step.now_ms(), "receipt");
}
