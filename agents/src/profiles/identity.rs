//! How identifiers become one person.
//!
//! Every identifier has a node, and a node is nothing, a live profile, or a pointer to another node.
//! Pointers go from the higher number to the lower alone, so following them always ends; a person's
//! profile ends at the lowest of all their nodes, whichever way their identifiers were joined.

use impresario_runtime::{AgentError, AgentKey, Event, Keys, OnMany, Step, SubjectId, Topic, store::Seq};
use serde::{Deserialize, Serialize};

use super::Profiles;
use crate::vocabulary::{Identifier, ProfileId, ProfileMerged, Tracked};

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

/// An event of a person names an identifier that was not known to be theirs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierClaimed {
    /// Its node.
    pub node: ProfileId,
    /// The identifier.
    pub identifier: Identifier,
    /// The person's profile.
    pub profile: ProfileId,
    /// An alias says so: it may join two people the shop knows.
    pub by_alias: bool,
}

impl Topic for IdentifierClaimed {
    const NAME: &'static str = "profile.identifier.claimed";
    const JOINS: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.node.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.profile.into())
    }

    fn joins(&self) -> Option<[SubjectId; 2]> {
        Some([self.node.into(), self.profile.into()])
    }
}

/// Two profiles, or pointers to them, are one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeAsked {
    /// Who has the identifier.
    pub holder: ProfileId,
    /// Who else was seen with it.
    pub claimant: ProfileId,
    /// The identifier.
    pub identifier: Identifier,
    /// An alias says so.
    pub by_alias: bool,
}

impl MergeAsked {
    /// The one that becomes the other.
    fn loser(&self) -> ProfileId {
        self.holder.max(self.claimant)
    }

    fn winner(&self) -> ProfileId {
        self.holder.min(self.claimant)
    }

    /// Whether the two are known to be different people.
    fn is_conflict(&self) -> bool {
        let both_known = self.holder.is_known_person() && self.claimant.is_known_person();
        both_known && !self.by_alias && self.holder != self.claimant
    }

    /// Asks for the merge, unless it is done, or the two are known to be different people.
    fn ask(self, step: &mut Step<'_>) {
        if self.holder == self.claimant {
            return;
        }
        if self.is_conflict() {
            let Self { holder, claimant, identifier, .. } = self;
            return step.publish(IdentityConflict { holder, claimant, identifier });
        }
        step.publish(self);
    }
}

impl Topic for MergeAsked {
    const NAME: &'static str = "profile.merge.asked";
    const JOINS: bool = true;

    fn partition(&self) -> Option<u16> {
        Some(self.loser().partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.claimant.into())
    }

    fn joins(&self) -> Option<[SubjectId; 2]> {
        Some([self.holder.into(), self.claimant.into()])
    }
}

/// An identifier was seen with two people the shop knows: it stays with the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityConflict {
    /// Who has it.
    pub holder: ProfileId,
    /// Who else was seen with it.
    pub claimant: ProfileId,
    /// The identifier.
    pub identifier: Identifier,
}

impl Topic for IdentityConflict {
    const NAME: &'static str = "profile.identity.conflict";

    fn partition(&self) -> Option<u16> {
        Some(self.claimant.partition())
    }

    fn subject(&self) -> Option<SubjectId> {
        Some(self.claimant.into())
    }
}

impl Profiles {
    /// Folds `event` into the profile at the end of the pointers from `node` on, here or on the
    /// worker that keeps it.
    fn fold_at(
        keys: &mut Keys<'_, Self>,
        node: ProfileId,
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
        let folded = keys.change(&profile, |state| Ok(state.fold(profile, event, seq)))?;
        if let Some(folded) = folded {
            folded.claims.into_iter().for_each(|claim| step.publish(claim));
            step.publish(folded.changed);
        }
        Ok(())
    }
}

impl OnMany<Tracked> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, Tracked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        Self::fold_at(keys, event.node(), event.body, event.seq, step)
    }
}

impl OnMany<EventForwarded> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, EventForwarded>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let Some(tracked) = step.entry_if_kept::<Tracked>(event.event)? else { return Ok(()) };
        Self::fold_at(keys, event.profile, tracked.body()?, tracked.seq, step)
    }
}

impl OnMany<IdentifierClaimed> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, IdentifierClaimed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let IdentifierClaimed { node, ref identifier, profile: claimant, by_alias } = *event.body;
        if node == claimant {
            return Ok(());
        }
        let holder = keys.moved_to(&node)?;
        let asked = MergeAsked { holder: holder.unwrap_or(node), claimant, identifier: identifier.clone(), by_alias };
        let is_new = holder.is_none() && !asked.is_conflict() && keys.get(&node)?.is_none();
        if is_new && claimant < node {
            keys.hand_over(&node, &claimant, step)?;
            return Ok(());
        }
        if is_new {
            // The new node ranks higher than all the person had: their profile moves to it.
            keys.change(&node, |state| {
                state.id = Some(node);
                Ok(())
            })?;
        }
        asked.ask(step);
        Ok(())
    }
}

impl OnMany<MergeAsked> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, MergeAsked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let (loser, winner) = (event.loser(), event.winner());
        if let Some(next) = keys.moved_to(&loser)? {
            let mut asked = event.body.clone();
            let place = if asked.holder == loser { &mut asked.holder } else { &mut asked.claimant };
            *place = next;
            asked.ask(step);
        } else if keys.hand_over(&loser, &winner, step)? {
            step.publish(ProfileMerged { loser, winner });
        }
        Ok(())
    }
}

impl OnMany<IdentityConflict> for Profiles {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, IdentityConflict>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if keys.moved_to(&event.claimant)?.is_none() && keys.get(&event.claimant)?.is_some() {
            keys.change(&event.claimant, |state| {
                state.identifiers.dispute(&event.identifier, event.holder);
                Ok(())
            })?;
        }
        Ok(())
    }
}
