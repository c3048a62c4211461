//! Whoever unsubscribes says something: an event of theirs like any other, so that segments, consents that come
//! later and whoever tells their history anew all hear of it.

use impresario_runtime::{AgentError, AgentKey, Event, Keys, OnMany, Step, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Profile, Profiles, described::found};
use crate::vocabulary::{EventKind, IdentifierKind, Millis, ProfileId, RawJson, ReceiptCame, ReceiptKind, Tracked};

/// Somebody has unsubscribed whose profile another worker keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalForwarded {
    /// The profile, or the next pointer to it.
    pub profile: ProfileId,
    /// The place of the [`ReceiptCame`] entry.
    pub receipt: Seq,
}

impl Topic for RefusalForwarded {
    const NAME: &'static str = "profile.refusal.forwarded";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

impl OnMany<ReceiptCame> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ReceiptCame>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if matches!(event.kind, ReceiptKind::Unsubscribed | ReceiptKind::Complained) {
            refused(keys, event.profile, event.body, event.seq, step)
        } else {
            step.unchanged();
            Ok(())
        }
    }
}

impl OnMany<RefusalForwarded> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, RefusalForwarded>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some(receipt) = step.entry_if_kept::<ReceiptCame>(event.receipt)? else { return Ok(()) };
        refused(keys, event.profile, receipt.body()?, event.receipt, step)
    }
}

fn refused(
    keys: &mut Keys<'_, Profiles>,
    profile: ProfileId,
    receipt: &ReceiptCame,
    seq: Seq,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let now_ms = step.now_ms();
    match found(keys, profile, |_, known| refusal(known, receipt, now_ms))? {
        Ok(event) => event.flatten().into_iter().for_each(|event| step.publish(event)),
        Err(next) => step.publish(RefusalForwarded { profile: next, receipt: seq }),
    }
    Ok(())
}

/// What somebody says by unsubscribing; nothing where they had said it.
fn refusal(profile: &Profile, receipt: &ReceiptCame, now_ms: Millis) -> Option<Tracked> {
    let channel = receipt.channel.name();
    let said = profile.consents.iter().find(|consent| consent.of == channel);
    if said.as_ref().is_some_and(|said| !said.granted) {
        return None;
    }
    let id = |kind: IdentifierKind| profile.identifiers.iter().find(|known| known.kind == kind);
    let user_id = id(IdentifierKind::UserId);
    let anonymous_id = if user_id.is_none() { id(IdentifierKind::AnonymousId) } else { None };
    user_id.or(anonymous_id)?;
    // A grant dated ahead of its time is taken back, too.
    let at_ms = said.map_or(now_ms, |said| now_ms.max(said.at_ms.saturating_add(1)));
    Some(Tracked {
        kind: EventKind::Identify,
        message_id: format!("receipt {} {channel} {now_ms}", receipt.id).into(),
        user_id: user_id.map(|known| known.value.as_ref().into()),
        anonymous_id: anonymous_id.map(|known| known.value.as_ref().into()),
        previous_id: None,
        group_id: None,
        name: "".into(),
        at_ms,
        original_at_ms: None,
        sent_at_ms: None,
        received_at_ms: now_ms,
        properties: RawJson::default(),
        context: RawJson::from_checked(json!({ "consent": { "channels": { channel: false } } }).to_string()),
        source: "receipt".into(),
        kept_node: Default::default(),
    })
}
