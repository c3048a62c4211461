//! The identity agent: who is who.
//!
//! It hears of every identifier an event names beside its own, works out which of them are one person, and
//! says what follows: two people are one ([`MergeDecided`]), or one is several ([`PartDecided`]). The agents
//! that keep something of every person follow. One worker does it for everybody: claims are few (a person has
//! some identifiers, and some thousand events), and one order of decisions is what lets all others be simple.

pub mod limits;
mod node;
mod quarantine;
mod settle;
mod topics;

use std::collections::BTreeSet;

use impresario_runtime::{Agent, AgentError, Checkpoint, Event, Keys, OnMany, Reading, Routes, Step};

pub use node::{Node, Sort};
pub use quarantine::{Quarantine, Quarantined};
pub use topics::{
    Cap, IdentifierClaimed, IdentifierQuarantined, IdentifierReleased, IdentityConflict, MergeDecided, NodeParted,
    PartDecided, UnmergeAsked,
};

use self::settle::{person_of, settle, size_of};
use crate::vocabulary::{Identifier, ProfileId};

/// The agent.
pub struct Identity;

impl Agent for Identity {
    const NAME: &'static str = "identity";
    type Key = ProfileId;
    type State = Node;
    // What a claim does depends on all nodes of the people on both sides.
    const CHECKPOINT: Checkpoint = Checkpoint::Whole;
    // Whose an identifier is depends on who else claimed it, and when.
    const FOLDS_REMAINDERS: bool = true;

    fn routes(routes: &mut Routes<Self>) {
        routes.on_many::<IdentifierClaimed>();
        routes.on_many::<UnmergeAsked>();
        routes.on_many::<IdentifierReleased>();
    }
}

impl OnMany<IdentifierClaimed> for Identity {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, IdentifierClaimed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let claim = event.body;
        if claim.node == claim.anchor {
            return Ok(());
        }
        if claim.by_alias && claim.node.is_known_person() && claim.anchor.is_known_person() {
            return join(keys, claim, step);
        }
        link(keys, claim, step)
    }
}

/// Two user ids are one person's, an alias says.
fn join(keys: &mut Keys<'_, Identity>, claim: &IdentifierClaimed, step: &mut Step<'_>) -> Result<(), AgentError> {
    let mut joins = false;
    for (id, other) in [(claim.node, claim.anchor), (claim.anchor, claim.node)] {
        let joined = keys.change(&id, |node| {
            node.sort = Sort::UserId;
            Ok(node.join(other))
        })?;
        joins |= joined.unwrap_or_default();
    }
    if joins { settle(keys, &[claim.node, claim.anchor], step) } else { Ok(()) }
}

fn link(keys: &mut Keys<'_, Identity>, claim: &IdentifierClaimed, step: &mut Step<'_>) -> Result<(), AgentError> {
    let IdentifierClaimed { node, anchor, stamp, .. } = *claim;
    let of_node = Sort::of(&claim.identifier.kind);
    let of_anchor = if anchor.is_known_person() { Sort::UserId } else { Sort::AnonymousId };
    let (own, other) = (person_of(keys, anchor)?, person_of(keys, node)?);
    if own != other && size_of(keys, own)? + size_of(keys, other)? > limits::PERSON_NODES_MAX {
        return quarantine(keys, node, Some(claim.identifier.clone()), Cap::Person, step);
    }
    let mut take_in = |id: ProfileId, sort: Sort, other: ProfileId, other_sort: Sort| {
        let linked = keys.change(&id, |node| {
            node.sort = sort;
            Ok(node.link(other, other_sort, stamp))
        })?;
        Ok::<_, AgentError>(linked.unwrap_or_default())
    };
    let claimed = take_in(node, of_node, anchor, of_anchor)?;
    let claims = take_in(anchor, of_anchor, node, of_node)?;
    let conflict = IdentityConflict { holder: other, claimant: own, identifier: claim.identifier.clone() };
    if !claimed.changed && !claims.changed {
        // Said again of who begins anew.
        if own != other && claimed.held && claims.held {
            step.publish(conflict);
        }
        return Ok(());
    }
    let identifier = || Some(claim.identifier.clone());
    if !claimed.held || claimed.pushed_out.is_some() {
        quarantine(keys, node, identifier(), Cap::Claimants, step)?;
    }
    if !claims.held {
        quarantine(keys, node, identifier(), Cap::Identifiers, step)?;
    }
    if let Some(pushed_out) = claims.pushed_out {
        quarantine(keys, pushed_out, None, Cap::Identifiers, step)?;
    }
    let beside = [claimed.pushed_out, claims.pushed_out];
    let seeds: Vec<_> = [node, anchor].into_iter().chain(beside.into_iter().flatten()).collect();
    settle(keys, &seeds, step)?;
    let (holder, claimant) = (person_of(keys, node)?, person_of(keys, anchor)?);
    if holder != claimant && claimed.new && claimed.held && claims.held {
        step.publish(IdentityConflict { holder, claimant, identifier: claim.identifier.clone() });
    }
    Ok(())
}

/// Says that an identifier has passed a cap, once.
fn quarantine(
    keys: &mut Keys<'_, Identity>,
    node: ProfileId,
    identifier: Option<Identifier>,
    cap: Cap,
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let was = keys.change(&node, |state| Ok(std::mem::replace(&mut state.quarantined, true)))?;
    if was == Some(false) {
        step.publish(IdentifierQuarantined { node, identifier, cap });
    }
    Ok(())
}

impl OnMany<UnmergeAsked> for Identity {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, UnmergeAsked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let node = event.node;
        let Some(found) = keys.get(&node)? else {
            step.unchanged();
            return Ok(());
        };
        let others = if found.sort == Sort::UserId { found.aliases.clone() } else { Vec::new() };
        let pins = found.sort != Sort::UserId;
        for other in others {
            for (one, other) in [(node, other), (other, node)] {
                keys.change(&one, |state| {
                    state.part(other);
                    Ok(())
                })?;
            }
        }
        if pins {
            keys.change(&node, |state| {
                state.pinned = true;
                Ok(())
            })?;
        }
        settle(keys, &[node], step)
    }
}

impl OnMany<IdentifierReleased> for Identity {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, IdentifierReleased>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let node = event.node;
        if keys.get(&node)?.is_none() {
            step.unchanged();
            return Ok(());
        }
        let others = keys.change(&node, |state| Ok(state.release()))?.unwrap_or_default();
        let mut seeds = vec![node];
        let mut size = size_of(keys, node)?;
        for other in others {
            keys.change(&other, |state| {
                state.free(node);
                Ok(())
            })?;
            let person = person_of(keys, other)?;
            if !seeds.contains(&person) {
                size += size_of(keys, person)?;
                seeds.push(person);
            }
        }
        if size > limits::PERSON_NODES_MAX {
            return Err(AgentError::Reject("a released identifier would make too large a person".into()));
        }
        settle(keys, &seeds, step)
    }
}

/// How many nodes the people have at most whom releasing `node` may make one.
///
/// # Errors
/// The store's error.
pub fn size_if_released(reading: &mut Reading<'_, Identity>, node: ProfileId) -> Result<usize, AgentError> {
    let Some(found) = reading.get(&node)? else { return Ok(0) };
    let nodes: Vec<_> = found.others().chain([node]).collect();
    let mut people = BTreeSet::new();
    for node in nodes {
        people.insert(reading.get(&node)?.map_or(node, |found| found.person(node)));
    }
    let mut size = 0;
    for person in people {
        size += reading.get(&person)?.map_or(1, |found| found.members().len().max(1));
    }
    Ok(size)
}
