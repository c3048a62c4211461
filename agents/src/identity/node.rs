//! One identifier in the graph of who is who.

use serde::{Deserialize, Serialize};

use super::limits::{ALIASES_MAX, HELD_MAX, RELEASED_MAX, claimants_max, identifiers_max};
use crate::vocabulary::{IdentifierKind, ProfileId, Stamp};

/// A kind of identifier, with no name of an outside system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sort {
    /// A user id.
    #[serde(rename = "u")]
    UserId,
    /// An anonymous id.
    #[default]
    #[serde(rename = "a")]
    AnonymousId,
    /// An e-mail address.
    #[serde(rename = "e")]
    Email,
    /// A phone number.
    #[serde(rename = "p")]
    Phone,
    /// A push token.
    #[serde(rename = "t")]
    DeviceToken,
    /// An id in another system.
    #[serde(rename = "x")]
    External,
}

impl Sort {
    pub(super) fn of(kind: &IdentifierKind) -> Self {
        match kind {
            IdentifierKind::UserId => Self::UserId,
            IdentifierKind::AnonymousId => Self::AnonymousId,
            IdentifierKind::Email => Self::Email,
            IdentifierKind::Phone => Self::Phone,
            IdentifierKind::DeviceToken => Self::DeviceToken,
            IdentifierKind::External(_) => Self::External,
        }
    }

    /// Whether events may be filed under it.
    pub(super) fn is_anchor(self) -> bool {
        matches!(self, Self::UserId | Self::AnonymousId)
    }
}

/// An event named this node together with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    #[serde(rename = "c")]
    class: Class,
    /// When that was first.
    #[serde(rename = "t")]
    pub(super) stamp: Stamp,
    #[serde(rename = "o")]
    pub(super) other: ProfileId,
    /// An operator has released it: it counts whatever the cap.
    #[serde(rename = "f", default, skip_serializing_if = "is_false")]
    free: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What a cap counts together: who claims this node, or what of a sort this node claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Class {
    #[serde(rename = "c")]
    Claimants,
    #[serde(rename = "i")]
    Identifiers(Sort),
}

/// A node: what is known of one identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    #[serde(rename = "s")]
    pub(super) sort: Sort,
    /// By class, then by when.
    #[serde(rename = "l", skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    /// User ids an alias has joined to this one.
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub(super) aliases: Vec<ProfileId>,
    /// User ids an operator has parted this one from: no alias joins them again.
    #[serde(rename = "x", skip_serializing_if = "Vec::is_empty")]
    pub(super) apart: Vec<ProfileId>,
    /// An operator has parted it from its person: it is a person of its own.
    #[serde(rename = "p", skip_serializing_if = "is_false")]
    pub(super) pinned: bool,
    /// Whose it is, where that is another node.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub(super) person: Option<ProfileId>,
    /// All nodes of the person, where this is the lowest of several.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub(super) members: Vec<ProfileId>,
    /// It has passed a cap.
    #[serde(rename = "q", skip_serializing_if = "is_false")]
    pub(super) quarantined: bool,
    #[serde(rename = "r", skip_serializing_if = "is_false")]
    released: bool,
}

/// What taking in a link has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Linked {
    /// It was not known, or not from so early.
    pub(super) changed: bool,
    /// It was not known.
    pub(super) new: bool,
    /// It is within the cap.
    pub(super) held: bool,
    /// Another link that is beyond the cap for it now.
    pub(super) pushed_out: Option<ProfileId>,
}

impl Node {
    /// Whose it is.
    pub fn person(&self, own: ProfileId) -> ProfileId {
        self.person.unwrap_or(own)
    }

    /// All nodes of the person this is the lowest node of.
    pub fn members(&self) -> &[ProfileId] {
        &self.members
    }

    /// Whether an operator may part it from its person: an alias joined it, or it is no user id.
    pub fn can_be_parted(&self) -> bool {
        if self.sort == Sort::UserId { !self.aliases.is_empty() } else { !self.pinned }
    }

    /// All it was ever named together with, as far as that is remembered.
    pub(super) fn others(&self) -> impl Iterator<Item = ProfileId> + '_ {
        self.links.iter().map(|link| link.other)
    }

    /// How many claim it, as far as that is remembered.
    pub fn claimants(&self) -> usize {
        self.links.iter().filter(|link| link.class == Class::Claimants).count()
    }

    /// Whether it stands for a person of its own: a user id, or one an operator has parted.
    pub(super) fn is_source(&self) -> bool {
        self.sort == Sort::UserId || self.pinned
    }

    fn class(&self, other: Sort) -> Class {
        let claimed = other.is_anchor() && (self.sort != Sort::UserId || other == Sort::UserId);
        if claimed { Class::Claimants } else { Class::Identifiers(other) }
    }

    fn cap(&self, class: Class) -> usize {
        match class {
            Class::Claimants if self.released => RELEASED_MAX,
            Class::Claimants => claimants_max(self.sort),
            Class::Identifiers(sort) => identifiers_max(sort),
        }
    }

    /// Takes in that an event of `stamp` named it together with `other`.
    pub(super) fn link(&mut self, other: ProfileId, sort: Sort, stamp: Stamp) -> Linked {
        let class = self.class(sort);
        let known = self.links.iter().position(|link| link.other == other);
        let mut free = self.released;
        if let Some(place) = known {
            if self.links.get(place).is_some_and(|link| link.stamp <= stamp) {
                return Linked { held: self.holds(other), ..Linked::default() };
            }
            free |= self.links.remove(place).free;
        }
        let link = Link { class, stamp, other, free };
        let place = self.links.partition_point(|known| known.place() < link.place());
        self.links.insert(place, link);
        let mut of_class =
            (0..self.links.len()).filter(|place| self.links.get(*place).is_some_and(|l| l.class == class));
        if let Some(surplus) = of_class.nth(HELD_MAX) {
            self.links.remove(surplus);
        }
        let cap = self.cap(class);
        let counted = self.links.iter().filter(|link| link.class == class && !link.free);
        let pushed_out = counted.map(|link| link.other).nth(cap).filter(|pushed| *pushed != other);
        Linked { changed: true, new: known.is_none(), held: self.holds(other), pushed_out }
    }

    /// Whether the link to `other` is within its cap.
    pub(super) fn holds(&self, other: ProfileId) -> bool {
        let Some(link) = self.links.iter().find(|link| link.other == other) else { return false };
        let before = self.links.iter().filter(|known| known.class == link.class && !known.free);
        link.free || before.take_while(|known| known.other != other).count() < self.cap(link.class)
    }

    /// The links within their caps.
    pub(super) fn held(&self) -> impl Iterator<Item = &Link> {
        let mut class = None;
        let mut count = 0;
        self.links.iter().filter(move |link| {
            if class != Some(link.class) {
                (class, count) = (Some(link.class), 0);
            }
            count += usize::from(!link.free);
            link.free || count <= self.cap(link.class)
        })
    }

    /// An operator releases it; who it is linked to.
    pub(super) fn release(&mut self) -> Vec<ProfileId> {
        self.released = true;
        self.quarantined = false;
        self.links.iter_mut().for_each(|link| link.free = true);
        self.links.iter().map(|link| link.other).collect()
    }

    /// The link to `other` counts whatever the cap.
    pub(super) fn free(&mut self, other: ProfileId) {
        self.links.iter_mut().filter(|link| link.other == other).for_each(|link| link.free = true);
    }

    /// An alias joins it to `other`; false where that changes nothing.
    pub(super) fn join(&mut self, other: ProfileId) -> bool {
        let joins = !self.aliases.contains(&other) && !self.apart.contains(&other) && self.aliases.len() < ALIASES_MAX;
        if joins {
            self.aliases.push(other);
        }
        joins
    }

    /// An operator parts it from `other`.
    pub(super) fn part(&mut self, other: ProfileId) {
        self.aliases.retain(|known| *known != other);
        if !self.apart.contains(&other) {
            self.apart.push(other);
        }
    }
}

impl Link {
    fn place(&self) -> (Class, Stamp, ProfileId) {
        (self.class, self.stamp, self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_by_event_time_are_held_in_any_order() {
        let cap = claimants_max(Sort::AnonymousId);
        let claims: Vec<_> =
            (0..cap as u64 + 3).map(|place| (ProfileId(place), Stamp(1_000 - place as i64, 0))).collect();
        let fold = |order: &mut dyn Iterator<Item = &(ProfileId, Stamp)>| {
            let mut node = Node { sort: Sort::AnonymousId, ..Node::default() };
            for (other, stamp) in order {
                node.link(*other, Sort::UserId, *stamp);
            }
            node
        };
        let node = fold(&mut claims.iter());
        assert_eq!(node, fold(&mut claims.iter().rev()));
        let held: Vec<_> = claims.iter().map(|(other, _)| node.holds(*other)).collect();
        assert_eq!(held, (0..cap + 3).map(|place| place >= 3).collect::<Vec<_>>());
        assert_eq!(node.held().count(), cap);
        assert_eq!(node.claimants(), cap + 3);
    }

    #[test]
    fn a_link_tells_what_it_did() {
        let cap = claimants_max(Sort::AnonymousId) as u64;
        let mut node = Node { sort: Sort::AnonymousId, ..Node::default() };
        for place in 0..cap {
            node.link(ProfileId(place), Sort::UserId, Stamp(100 + place as i64, 0));
        }
        let late = node.link(ProfileId(500), Sort::UserId, Stamp(900, 0));
        assert_eq!(late, Linked { changed: true, new: true, held: false, pushed_out: None });
        let again = node.link(ProfileId(500), Sort::UserId, Stamp(950, 0));
        assert_eq!(again, Linked::default());
        let earlier = node.link(ProfileId(500), Sort::UserId, Stamp(1, 0));
        let pushed_out = Some(ProfileId(cap - 1));
        assert_eq!(earlier, Linked { changed: true, new: false, held: true, pushed_out });
        assert_eq!(node.release().len(), cap as usize + 1);
        assert!(node.holds(ProfileId(cap - 1)));
    }
}
