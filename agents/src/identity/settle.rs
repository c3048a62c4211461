//! Who is who, worked out anew for the people a claim concerns.
//!
//! The rule: all links between identifiers are taken in the order of event time (then of message id, then
//! of node). A link makes its two sides one person unless both have a user id already, or something else that
//! stands for a person of its own. User ids are joined by aliases alone. So who is who depends on the
//! events and on what operators said, never on the order of delivery: it is a minimum spanning forest whose
//! trees have one such source each (Kruskal 1956), and a forest changes along one cycle alone when a link
//! comes. That is why it is enough to look at the people on the link's two sides.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{AgentError, Keys, Step};

use super::{Identity, MergeDecided, NodeParted, PartDecided};
use crate::vocabulary::{ProfileId, Stamp};

/// Whose the node `id` is.
pub(super) fn person_of(keys: &mut Keys<'_, Identity>, id: ProfileId) -> Result<ProfileId, AgentError> {
    Ok(keys.get(&id)?.map_or(id, |node| node.person(id)))
}

/// How many nodes the person `id` has.
pub(super) fn size_of(keys: &mut Keys<'_, Identity>, id: ProfileId) -> Result<usize, AgentError> {
    Ok(keys.get(&id)?.map_or(1, |node| node.members.len().max(1)))
}

/// Works out anew who is who among the people `seeds` belong to, and says what has changed.
pub(super) fn settle(
    keys: &mut Keys<'_, Identity>,
    seeds: &[ProfileId],
    step: &mut Step<'_>,
) -> Result<(), AgentError> {
    let mut region = Region::default();
    for seed in seeds {
        let person = person_of(keys, *seed)?;
        region.take(keys, person)?;
    }
    loop {
        let parts = region.parts();
        let mut grown = false;
        for person in region.around(&parts, keys)? {
            grown |= region.take(keys, person)?;
        }
        if !grown {
            return region.decide(&parts, keys, step);
        }
    }
}

/// Some people, with all their nodes.
#[derive(Default)]
struct Region(BTreeMap<ProfileId, Seen>);

struct Seen {
    /// Whose it was.
    person: ProfileId,
    source: bool,
    anchor: bool,
    held: Vec<(Stamp, ProfileId)>,
    aliases: Vec<ProfileId>,
}

/// Nodes that are one person.
struct Part {
    nodes: Vec<ProfileId>,
    has_source: bool,
}

impl Region {
    /// Takes a person in; false where they were in it.
    fn take(&mut self, keys: &mut Keys<'_, Identity>, person: ProfileId) -> Result<bool, AgentError> {
        if self.0.contains_key(&person) {
            return Ok(false);
        }
        let mut members = keys.get(&person)?.map(|node| node.members.clone()).unwrap_or_default();
        if members.is_empty() {
            members.push(person);
        }
        for id in members {
            let Some(node) = keys.get(&id)? else { continue };
            let held = node.held().map(|link| (link.stamp, link.other)).collect();
            let (source, anchor, aliases) = (node.is_source(), node.sort.is_anchor(), node.aliases.clone());
            self.0.insert(id, Seen { person, source, anchor, held, aliases });
        }
        Ok(true)
    }

    /// The links both sides hold, in order.
    fn links(&self) -> Vec<(Stamp, ProfileId, ProfileId)> {
        let side = |id: ProfileId, stamp: Stamp, other: ProfileId| (id.min(other), id.max(other), stamp);
        let sides =
            self.0.iter().flat_map(|(id, seen)| seen.held.iter().map(move |(at, other)| side(*id, *at, *other)));
        let mut sides: Vec<_> = sides.collect();
        sides.sort_unstable();
        let both = sides.windows(2).filter_map(|pair| match pair {
            [(low, high, stamp), (low_too, high_too, _)] if (low, high) == (low_too, high_too) => {
                Some((*stamp, *low, *high))
            }
            _ => None,
        });
        let mut links: Vec<_> = both.collect();
        links.sort_unstable();
        links
    }

    /// Who is who within the region.
    fn parts(&self) -> Vec<Part> {
        let mut groups = Groups::new(self.0.iter().map(|(id, seen)| (*id, seen.source)));
        for (_, one, other) in self.links() {
            groups.join(one, other, false);
        }
        for (id, seen) in &self.0 {
            seen.aliases.iter().for_each(|other| groups.join(*id, *other, true));
        }
        groups.parts()
    }

    /// People outside that a part with no source is linked to: nothing keeps them apart.
    fn around(&self, parts: &[Part], keys: &mut Keys<'_, Identity>) -> Result<BTreeSet<ProfileId>, AgentError> {
        let mut found = BTreeSet::new();
        for id in parts.iter().filter(|part| !part.has_source).flat_map(|part| &part.nodes) {
            let Some(seen) = self.0.get(id) else { continue };
            for (_, other) in seen.held.iter().filter(|(_, other)| !self.0.contains_key(other)) {
                if let Some(node) = keys.get(other)?.filter(|node| node.holds(*id)) {
                    found.insert(node.person(*other));
                }
            }
        }
        Ok(found)
    }

    /// Writes down who is who, and says what has changed: first who is parted, then who is merged.
    fn decide(self, parts: &[Part], keys: &mut Keys<'_, Identity>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let mut before: BTreeMap<ProfileId, Vec<ProfileId>> = BTreeMap::new();
        self.0.iter().for_each(|(id, seen)| before.entry(seen.person).or_default().push(*id));
        let mut place_of = BTreeMap::new();
        for (place, part) in parts.iter().enumerate() {
            place_of.extend(part.nodes.iter().map(|id| (*id, place)));
        }
        // Who comes into each part as a whole: people who were not parted, and the pieces of those who were.
        let mut comes: Vec<Vec<ProfileId>> = parts.iter().map(|_| Vec::new()).collect();
        for (person, nodes) in &before {
            let mut pieces: BTreeMap<usize, Vec<ProfileId>> = BTreeMap::new();
            for id in nodes {
                pieces.entry(place_of.get(id).copied().unwrap_or_default()).or_default().push(*id);
            }
            if pieces.len() > 1 {
                self.part(*person, &pieces, step);
            }
            for (place, nodes) in pieces {
                if let (Some(lowest), Some(come)) = (nodes.first(), comes.get_mut(place)) {
                    come.push(*lowest);
                }
            }
        }
        for (part, come) in parts.iter().zip(comes) {
            let Some(winner) = part.nodes.first().copied() else { continue };
            for loser in come.into_iter().filter(|loser| *loser != winner) {
                step.publish(MergeDecided { loser, winner });
            }
            if before.get(&winner) == Some(&part.nodes) {
                continue;
            }
            for id in &part.nodes {
                keys.change(id, |node| {
                    node.person = (*id != winner).then_some(winner);
                    node.members = if *id == winner && part.nodes.len() > 1 { part.nodes.clone() } else { Vec::new() };
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn part(&self, person: ProfileId, pieces: &BTreeMap<usize, Vec<ProfileId>>, step: &mut Step<'_>) {
        let is_anchor = |id: &&ProfileId| self.0.get(*id).is_some_and(|seen| seen.anchor);
        let mut homes = Vec::new();
        let mut told = Vec::new();
        for nodes in pieces.values() {
            let Some(lowest) = nodes.first().copied() else { continue };
            let anchors: Vec<_> = nodes.iter().filter(is_anchor).copied().collect();
            homes.extend(anchors.iter().map(|id| (*id, lowest)));
            for id in nodes.iter().filter(|id| **id != person) {
                let anchors = if *id == lowest { anchors.clone() } else { Vec::new() };
                told.push(NodeParted { node: *id, person: lowest, anchors });
            }
        }
        // The person last: what comes of it finds all nodes begun anew already.
        told.into_iter().for_each(|node| step.publish(node));
        step.publish(PartDecided { profile: person, homes });
    }
}

/// Disjoint sets of nodes, each with at most one source until aliases join them.
struct Groups {
    ids: Vec<ProfileId>,
    above: Vec<usize>,
    sources: Vec<bool>,
}

impl Groups {
    /// `nodes` in order, each with whether it is a source.
    fn new(nodes: impl Iterator<Item = (ProfileId, bool)>) -> Self {
        let (ids, sources): (Vec<_>, Vec<_>) = nodes.unzip();
        let above = (0..ids.len()).collect();
        Self { ids, above, sources }
    }

    fn root(&mut self, id: ProfileId) -> Option<usize> {
        let mut place = self.ids.binary_search(&id).ok()?;
        loop {
            let above = *self.above.get(place)?;
            if above == place {
                return Some(place);
            }
            let further = *self.above.get(above)?;
            *self.above.get_mut(place)? = further;
            place = further;
        }
    }

    fn join(&mut self, one: ProfileId, other: ProfileId, by_alias: bool) {
        let (Some(one), Some(other)) = (self.root(one), self.root(other)) else { return };
        let (low, high) = (one.min(other), one.max(other));
        let both = self.sources.get(low) == Some(&true) && self.sources.get(high) == Some(&true);
        if low == high || (both && !by_alias) {
            return;
        }
        let source = self.sources.get(high).copied().unwrap_or_default();
        if let (Some(above), Some(sources)) = (self.above.get_mut(high), self.sources.get_mut(low)) {
            *above = low;
            *sources |= source;
        }
    }

    fn parts(mut self) -> Vec<Part> {
        let mut by_root: BTreeMap<usize, Part> = BTreeMap::new();
        for id in self.ids.clone() {
            let Some(root) = self.root(id) else { continue };
            let has_source = self.sources.get(root).copied().unwrap_or_default();
            by_root.entry(root).or_insert(Part { nodes: Vec::new(), has_source }).nodes.push(id);
        }
        by_root.into_values().collect()
    }
}
