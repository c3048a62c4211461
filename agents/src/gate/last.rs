//! The last look: once more, right before a channel acts.

use impresario_runtime::RunSeed;

use super::{Ask, Circumstances, House, Verdict, hash_of, is_quiet, verdict, verdict::zone_for};
use crate::vocabulary::{Deliver, MessageClass, Millis, Refusal};

/// How long after it was let through a message that persuades may still go. A server that was down lets what came
/// due in between through as of then; caps and quiet hours hold for when it goes.
pub const LATE_MAX_MS: Millis = 15 * 60_000;

/// Whether a message that was let through at `let_through_ms` was so too long ago at `at_ms`. What is owed never is.
pub fn is_late(class: MessageClass, let_through_ms: Millis, at_ms: Millis) -> bool {
    class == MessageClass::Marketing && at_ms.saturating_sub(let_through_ms) > LATE_MAX_MS
}

/// Why a message that was let through does not go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Everything is to be checked again, from the beginning: time has passed it by, or a stop stands.
    Held(Refusal),
    /// Never.
    Refused(Refusal),
}

/// Whether a message that was let through at `let_through_ms` may go at `at_ms`: sending was not stopped, its
/// campaign runs, the address is theirs and not suppressed, consent stands, marketing is not held back, it is not
/// late, and no quiet hours have begun. Caps were settled when it was let through: it counts among what was sent.
///
/// # Errors
/// Why it may not.
pub fn last_look(
    message: &Deliver,
    (let_through_ms, at_ms): (Millis, Millis),
    person: &Circumstances<'_>,
    house: &House,
    seed: &RunSeed,
) -> Result<(), NotNow> {
    let by = |guard: &str, why: &str| Refusal { guard: guard.into(), why: why.into() };
    let refused = |guard: &str, why: &str| Err(NotNow::Refused(by(guard, why)));
    let held = |guard: &str, why: &str| Err(NotNow::Held(by(guard, why)));
    let ask = Ask {
        at_ms,
        // What a persuading message is asked beside is asked here or settled before.
        class: MessageClass::Transactional,
        channel: message.channel,
        topic: message.topic.as_deref(),
        campaign: message.campaign.as_deref(),
        ride: None,
        let_through: true,
        template: Ok(()),
        // Asking for a confirmation is owed to whoever has asked.
        confirms: message.class == MessageClass::Transactional,
    };
    match verdict(&ask, person, house, seed) {
        Verdict::Allowed { .. } => {}
        Verdict::Held { by, .. } => return Err(NotNow::Held(by)),
        Verdict::Refused(by) => return Err(NotNow::Refused(by)),
    }
    if message.class == MessageClass::Marketing {
        if let Some(why) = person.held_back {
            return refused("ticket", why);
        }
        if is_late(message.class, let_through_ms, at_ms) {
            return held("late", "it was let through too long ago");
        }
        if let Some(quiet) = house.policy.quiet_hours.get(&message.channel) {
            let zone = zone_for(person.contact, &house.policy);
            if zone.and_then(|zone| is_quiet(&zone, quiet, at_ms)) != Some(false) {
                return held("quiet_hours", "they have begun since it was let through");
            }
        }
    }
    // They may have several, of which the gate looks at those that may be written to.
    let known = person.contact.into_iter().flat_map(|contact| &contact.addresses);
    let mut known = known.filter(|address| address.channel == message.channel);
    let Some(address) = known.find(|address| address.value == message.address) else {
        return refused("address", "it is not theirs any more");
    };
    if hash_of(address, seed).is_some_and(|hash| house.suppressed.contains_key(&hash)) {
        return refused("suppression", "the address is suppressed by now");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        gate::Ledger,
        vocabulary::{Address, Channel, ConsentState, Contact, ProfileId},
    };

    const HOUR_MS: Millis = 3_600_000;

    #[test]
    fn what_was_let_through_does_not_go_when_it_is_late_or_quiet() {
        let address = Address { channel: Channel::Sms, value: "+48600100200".into() };
        let contact = Contact {
            ids: vec![ProfileId(1)],
            addresses: vec![address.clone()],
            consents: vec![ConsentState { of: "sms".into(), granted: true, at_ms: 0 }],
            ..Contact::default()
        };
        let (ledger, dead, house) = (Ledger::default(), BTreeSet::new(), House::default());
        let person =
            Circumstances { contact: Some(&contact), ledger: &ledger, sent: &[], held_back: None, dead: &dead };
        let look = |class, let_through_ms: Millis, at_ms: Millis| {
            let message = Deliver {
                id: Default::default(),
                profile: ProfileId(1),
                campaign: None,
                channel: Channel::Sms,
                class,
                topic: None,
                address: address.value.clone(),
                content: Default::default(),
            };
            let said = last_look(&message, (let_through_ms, at_ms), &person, &house, &[7; 32]);
            said.map_err(|why| match why {
                NotNow::Held(by) => format!("held: {}", by.guard),
                NotNow::Refused(by) => by.guard.to_string(),
            })
        };
        let (marketing, owed) = (MessageClass::Marketing, MessageClass::Transactional);
        let noon = 12 * HOUR_MS;
        assert_eq!(look(marketing, noon, noon + LATE_MAX_MS), Ok(()));
        assert_eq!(look(marketing, noon, noon + LATE_MAX_MS + 1), Err("held: late".into()));
        // Quiet from nine in the evening on.
        let evening = 21 * HOUR_MS;
        assert_eq!(look(marketing, evening - 1, evening - 1), Ok(()));
        assert_eq!(look(marketing, evening - 1, evening), Err("held: quiet_hours".into()));
        assert_eq!(look(owed, noon, evening), Ok(()));
    }
}
