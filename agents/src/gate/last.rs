//! The last look: once more, right before a channel acts.

use impresario_runtime::RunSeed;

use super::{Ask, Circumstances, House, Verdict, hash_of, verdict};
use crate::vocabulary::{Deliver, MessageClass, Millis, Refusal};

/// Whether a message that was let through may still go: sending was not stopped, its campaign runs, the address is
/// theirs and not suppressed, consent stands, marketing is not held back. Caps and quiet hours were
/// settled when it was let through: it counts among what was sent already.
///
/// # Errors
/// Why it may not.
pub fn last_look(
    message: &Deliver,
    at_ms: Millis,
    person: &Circumstances<'_>,
    house: &House,
    seed: &RunSeed,
) -> Result<(), Refusal> {
    let refused = |guard: &str, why: &str| Err(Refusal { guard: guard.into(), why: why.into() });
    let ask = Ask {
        at_ms,
        // What a persuading message is asked beside is asked here or settled before.
        class: MessageClass::Transactional,
        channel: message.channel,
        topic: message.topic.as_deref(),
        campaign: message.campaign.as_deref(),
        plan: None,
        template: Ok(()),
        // Asking for a confirmation is owed to whoever has asked.
        confirms: message.class == MessageClass::Transactional,
    };
    match verdict(&ask, person, house, seed) {
        Verdict::Allowed { .. } => {}
        Verdict::Held { by, .. } | Verdict::Refused(by) => return Err(by),
    }
    if message.class == MessageClass::Marketing
        && let Some(why) = person.held_back
    {
        return refused("ticket", why);
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
