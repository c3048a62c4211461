//! What comes back: delivered or not, opened, bounced, unsubscribed. What forbids acts at once.

use impresario_runtime::{AgentError, Step};

use super::{Correspondent, Fate};
use crate::{
    suppression::{AddressSuppressed, WhySuppressed},
    vocabulary::{Delivered, ReceiptCame, ReceiptKind},
};

pub(super) fn delivered(
    person: &mut Correspondent,
    delivered: &Delivered,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let fate = delivered.failed.clone().map_or(Fate::Delivered, Fate::Failed);
    person.letters.note(delivered.id, step.now_ms(), fate);
    Ok(())
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
