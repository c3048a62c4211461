//! Two people who are one: their history is one, and the strictest of both counts.

use impresario_runtime::Step;

use super::{
    person::{Correspondent, PENDING_MAX, Pending},
    send,
    spend::{self, Settled},
    topics::MessageDue,
};
use crate::{
    gate,
    vocabulary::{ProfileId, Refusal},
};

pub(super) fn unite(profile: ProfileId, winner: &mut Correspondent, loser: Correspondent, step: &mut Step<'_>) {
    let now_ms = step.now_ms();
    let contacts = [winner.contact.clone(), loser.contact.clone()];
    let mut refused = Vec::new();
    for (ledger, contact) in [(&winner.ledger, &contacts[0]), (&loser.ledger, &contacts[1])] {
        refused.extend(ledger.refusals(contact.as_ref()));
    }
    winner.ledger.merge(loser.ledger);
    if winner.contact.is_none() {
        winner.contact = loser.contact;
    }
    // Whoever of the two had refused other than by the profile, only a grant after this takes it back.
    for of in refused {
        for contact in contacts.iter().flatten() {
            winner.ledger.refuse(&of, contact, now_ms, "merge");
        }
    }
    gate::unite(&mut winner.sent, loser.sent);
    winner.reached.extend(loser.reached);
    winner.letters.merge(loser.letters);
    for id in loser.ids {
        winner.is_new(id);
    }
    winner.held_back = winner.held_back.take().or(loser.held_back);
    for token in loser.dead {
        winner.bury(token);
    }
    winner.decided = winner.decided.max(loser.decided);
    loser.leaving.into_iter().for_each(|leaving| winner.leaves(leaving));
    for mut pending in loser.pending {
        if let Some(timer) = pending.timer.take() {
            step.cancel(timer);
        }
        let id = pending.request.id;
        if winner.pending.len() >= PENDING_MAX {
            let why = format!("{PENDING_MAX} messages wait for them already");
            send::refuse(winner, &mut pending, Refusal { guard: "cap".into(), why: why.into() }, step);
            continue;
        }
        if winner.pending.iter().any(|known| known.request.id == id) {
            // Both had asked for it: what was set aside twice is given back once.
            spend::settle(&mut pending, Settled::GivenBack, step);
            continue;
        }
        let leaves = winner.leaving.iter().any(|leaving| leaving.request.id == id);
        if leaves || winner.sent.iter().any(|sent| sent.id == id) {
            spend::settle(&mut pending, Settled::GivenBack, step);
            continue;
        }
        let decided =
            |pending: &Pending| pending.request.campaign.clone().filter(|_| pending.request.decision.is_some());
        let same = |known: &Pending| decided(known).is_some() && decided(known) == decided(&pending);
        if winner.pending.iter().chain(&winner.leaving).any(same) {
            // The same campaign had decided on either of the two: they are one person, and get one message.
            let why = "the campaign has another message for them, as somebody else they have turned out to be";
            send::refuse(winner, &mut pending, Refusal { guard: "merge".into(), why: why.into() }, step);
            continue;
        }
        pending.request.profile = profile;
        pending.asked = false;
        if !pending.stopped {
            let due_ms = pending.request.at_ms.max(now_ms);
            pending.timer = Some(step.schedule(due_ms, &MessageDue { profile, id }));
        }
        winner.pending.push(pending);
    }
}
