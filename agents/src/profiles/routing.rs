//! How an event finds its person.
//!
//! An event is filed under a node: its user id, else its anonymous id. A node is a live profile or a pointer to
//! another node. The event is folded where the pointers end, here or on the worker that keeps it.

use impresario_runtime::{AgentError, AgentKey, Event, Keys, OnMany, Step, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::{Profiles, accounts::AccountNamed};
use crate::{
    identity::{IdentityConflict, MergeDecided},
    vocabulary::{EventKind, ProfileId, Tracked},
};

/// An event's node is a pointer to a profile that another worker keeps: it is folded there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventForwarded {
    /// The profile, or the next pointer to it.
    pub profile: ProfileId,
    /// The place of the [`Tracked`] entry.
    pub event: Seq,
}

impl Topic for EventForwarded {
    const NAME: &'static str = "profile.event.forwarded";

    fn partition(&self) -> Option<u16> {
        Some(self.profile.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }
}

/// Folds `event`, filed under `anchor`, into the profile at the end of the pointers from `node` on, here or
/// on the worker that keeps it.
pub(super) fn fold_at(
    keys: &mut Keys<'_, Profiles>,
    node: ProfileId,
    anchor: ProfileId,
    event: &Tracked,
    seq: Seq,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let mut profile = node;
    while let Some(next) = keys.moved_to(&profile)? {
        if !keys.owns(&next) {
            step.publish(EventForwarded { profile: next, event: seq });
            return Ok(());
        }
        profile = next;
    }
    let folded = keys.change(&profile, |state| {
        let folded = state.fold(profile, anchor, event, seq);
        let contact = folded.contact.then(|| state.contact_changed(profile));
        Ok((folded, contact))
    })?;
    if let Some((folded, contact)) = folded {
        if event.kind == EventKind::Group && event.group_id.is_some() {
            step.publish(AccountNamed { node: anchor, event: seq });
        }
        folded.claims.into_iter().for_each(|claim| step.publish(claim));
        step.publish(folded.changed);
        contact.into_iter().for_each(|contact| step.publish(contact));
    }
    Ok(())
}

/// Folds events that were another profile's into `profile`.
pub(super) fn fold_back(
    keys: &mut Keys<'_, Profiles>,
    profile: ProfileId,
    events: &[Seq],
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    for place in events {
        // One that was erased meanwhile is nobody's any more.
        let Some(tracked) = step.entry_if_kept::<Tracked>(*place)? else { continue };
        let event = tracked.body()?;
        fold_at(keys, profile, event.node(), event, *place, step)?;
    }
    Ok(())
}

impl OnMany<Tracked> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, Tracked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let node = event.node();
        fold_at(keys, node, node, event.body, event.seq, step)
    }
}

impl OnMany<EventForwarded> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, EventForwarded>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        // One that was erased on the way is nobody's any more.
        let Some(tracked) = step.entry_if_kept::<Tracked>(event.event)? else { return Ok(()) };
        let anchor = tracked.body()?.node();
        let sent_too_early = event.cause < keys.begun_at(&event.profile)?;
        if sent_too_early && anchor != event.profile {
            // The person was parted since: the node's own worker knows whose it is now.
            step.publish(EventForwarded { profile: anchor, event: event.event });
            return Ok(());
        }
        fold_at(keys, event.profile, anchor, tracked.body()?, tracked.seq, step)
    }
}

impl OnMany<IdentityConflict> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, IdentityConflict>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if let Some(claimant) = keys.moved_to(&event.claimant)? {
            if claimant != event.holder {
                step.publish(IdentityConflict { claimant, ..event.body.clone() });
            }
        } else if keys.get(&event.claimant)?.is_some() {
            let contact = keys.change(&event.claimant, |state| {
                state.dispute(event.identifier.node());
                Ok(state.contact_changed(event.claimant))
            })?;
            contact.into_iter().for_each(|contact| step.publish(contact));
        }
        Ok(())
    }
}

impl OnMany<MergeDecided> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, MergeDecided>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let MergeDecided { loser, winner } = *event.body;
        if keys.get(&loser)?.is_some() {
            keys.change(&loser, |state| {
                state.leaves_by = event.seq;
                Ok(())
            })?;
        }
        keys.hand_over(&loser, &winner, step)?;
        Ok(())
    }
}
