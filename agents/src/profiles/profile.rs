//! One customer, folded from events in any order.

use impresario_runtime::store::Seq;
use serde::{Deserialize, Serialize};

use super::{
    changes::{Changes, write_trait},
    consent::Consents,
    days::Days,
    hours::Hours,
    identifiers::{Identifiers, KnownIdentifier},
    messages::Messages,
    newest::{LastWrites, Newest, Write},
    oddity::{Bound, Bounds, Oddities},
    shop::Shop,
    touch::Touches,
};
use crate::vocabulary::{DAY_MS, Feature, Millis, ProfileChanged, ProfileId, RhythmDelta, Stamp};

/// Traits kept, those last written.
pub(super) const TRAITS_MAX: usize = 255;
/// Groups and traits of groups kept, those last written.
pub(super) const GROUP_WRITES_MAX: usize = 50;
/// Events kept for the timeline.
pub(super) const TIMELINE_MAX: usize = 100;
/// Identifiers of others remembered of one person.
const DISPUTED_MAX: usize = 250;
/// Between a group's id and the name of its trait.
pub(super) const GROUP_MARK: char = '\0';

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Who; none before the first event.
    #[serde(rename = "i")]
    pub id: Option<ProfileId>,
    /// What they are known by.
    #[serde(rename = "d")]
    pub identifiers: Identifiers,
    /// What is said of them, by the last who said it. Null is the mark of a removed trait.
    #[serde(rename = "t", skip_serializing_if = "LastWrites::is_empty")]
    pub traits: LastWrites<TRAITS_MAX>,
    /// Groups they belong to, and the groups' traits behind a [`GROUP_MARK`].
    #[serde(rename = "g", skip_serializing_if = "LastWrites::is_empty")]
    pub(super) groups: LastWrites<GROUP_WRITES_MAX>,
    /// When the first and the last event happened.
    #[serde(rename = "s")]
    pub seen: Option<(Millis, Millis)>,
    /// Events of any sort.
    #[serde(rename = "n")]
    pub events: u32,
    /// `page` calls.
    #[serde(rename = "p", skip_serializing_if = "is_zero")]
    pub pages: u32,
    /// `screen` calls.
    #[serde(rename = "c", skip_serializing_if = "is_zero")]
    pub screens: u32,
    /// Counts and sums by day.
    #[serde(rename = "y")]
    pub days: Days,
    /// Hours of the week.
    #[serde(rename = "h")]
    pub hours: Hours,
    /// Everything commercial.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub shop: Option<Box<Shop>>,
    /// Engagement by channel.
    #[serde(rename = "m", skip_serializing_if = "Messages::is_empty")]
    pub messages: Messages,
    /// What they have agreed to and refused.
    #[serde(rename = "k", skip_serializing_if = "Consents::is_empty")]
    pub consents: Consents,
    /// Where they came from.
    #[serde(rename = "f", skip_serializing_if = "Option::is_none")]
    pub touches: Option<Box<Touches>>,
    /// The newest events, for the timeline.
    #[serde(rename = "l", with = "crate::packing")]
    pub(super) timeline: Newest<(Stamp, Seq), TIMELINE_MAX>,
    /// What was passed over.
    #[serde(rename = "q", skip_serializing_if = "Oddities::is_empty")]
    pub oddities: Oddities,
    /// Which collections were full.
    #[serde(rename = "b")]
    pub bounds: Bounds,
    /// The entry that last began it anew, when it was parted; 0 for none.
    #[serde(rename = "e", skip_serializing_if = "is_never")]
    pub(super) begun_at: Seq,
    /// The profiles that have become this one, each with the entry that began it anew and the one that
    /// brought it here: what was said of them in between is in this profile.
    #[serde(rename = "z", skip_serializing_if = "Vec::is_empty")]
    pub(super) held: Vec<(ProfileId, Seq, Seq)>,
    /// Nodes of identifiers they were seen with that belong to somebody else.
    #[serde(rename = "x", skip_serializing_if = "Vec::is_empty")]
    disputed: Vec<ProfileId>,
    /// The decision by which it is on its way to another profile; 0 for none.
    #[serde(rename = "w", skip_serializing_if = "is_never")]
    pub(super) leaves_by: Seq,
}

fn is_never(seq: &Seq) -> bool {
    *seq == 0
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Profile {
    /// Reads a little of all that folding an event needs (see [`impresario_runtime::Agent::touch`]).
    pub(super) fn touch(&self) -> usize {
        let byte = |text: &str| text.as_bytes().first().copied().map_or(0, usize::from);
        let identifiers = self.identifiers.iter().fold(0, |read: usize, known| read.wrapping_add(byte(&known.value)));
        let newest = self.timeline.iter().next_back().map_or(0, |(stamp, _)| stamp.0 as usize);
        let day = self.days.newest().map_or(0, |day| day.events as usize);
        let shop = self.shop.as_deref().map_or(0, |shop| {
            shop.viewed
                .iter()
                .next_back()
                .map_or(0, |viewed| viewed.stamp.0 as usize)
                .wrapping_add(shop.orders as usize)
        });
        [newest, day, self.hours.touch(), shop].into_iter().fold(identifiers, usize::wrapping_add)
    }

    /// Takes in the profile `other`, which is the same person, with the entry at `seq`; what that changes here.
    pub(super) fn merge(&mut self, id: ProfileId, other: Self, seq: Seq) -> ProfileChanged {
        self.id = Some(id);
        let mut changes = Changes::default();
        let before = self.features();
        let gaps_before = self.gaps();
        let gaps_of_other = other.gaps();
        self.held.extend(other.id.map(|loser| (loser, other.begun_at, seq)));
        self.held.extend(other.held);
        other.disputed.into_iter().for_each(|node| self.dispute(node));
        self.bounds.merge(other.bounds);
        self.bounds.note(Bound::Identifiers, self.identifiers.merge(other.identifiers));
        for write in other.traits.into_writes() {
            write_trait(&mut self.traits, write, &mut self.bounds, &mut changes);
        }
        for write in other.groups.into_writes() {
            self.groups.set(write);
            self.bounds.note(Bound::Groups, self.groups.take_surplus().is_none());
        }
        self.seen = match (self.seen, other.seen) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (own, other) => own.or(other),
        };
        self.events = self.events.saturating_add(other.events);
        self.pages = self.pages.saturating_add(other.pages);
        self.screens = self.screens.saturating_add(other.screens);
        self.days.merge(&other.days);
        self.hours.merge(other.hours);
        if let Some(shop) = other.shop {
            self.shop.get_or_insert_default().merge(*shop, &mut self.days, &mut self.bounds);
        }
        self.messages.merge(&other.messages);
        self.consents.merge(other.consents);
        if let Some(touches) = other.touches {
            self.touches.get_or_insert_default().merge(*touches);
        }
        self.timeline.merge(other.timeline);
        self.oddities.merge(&other.oddities);
        let after = self.features();
        for (feature, _) in before.iter().filter(|(feature, _)| !after.iter().any(|(known, _)| known == feature)) {
            changes.feature(*feature, 0);
        }
        after.into_iter().filter(|now| !before.contains(now)).for_each(|(feature, now)| changes.feature(feature, now));
        let own = self.gaps();
        changes.rhythm = RhythmDelta {
            gaps: own.gaps - gaps_before.gaps - gaps_of_other.gaps,
            gaps_ms: own.gaps_ms.saturating_sub(gaps_before.gaps_ms).saturating_sub(gaps_of_other.gaps_ms),
        };
        changes.into_changed(id, 0)
    }

    /// The person's part in everybody's purchase rhythm.
    pub fn gaps(&self) -> RhythmDelta {
        self.shop.as_ref().map(|shop| shop.gaps()).unwrap_or_default()
    }

    /// All features that are not zero, by feature.
    pub fn features(&self) -> Vec<(Feature, i64)> {
        let mut features = Vec::new();
        let mut tell = |feature, number| features.push((feature, number));
        if let Some((first, last)) = self.seen {
            tell(Feature::FIRST_SEEN_AT, first);
            tell(Feature::LAST_SEEN_AT, last);
        }
        for (feature, number) in
            [(Feature::EVENTS, self.events), (Feature::PAGES, self.pages), (Feature::SCREENS, self.screens)]
        {
            if number > 0 {
                tell(feature, number.into());
            }
        }
        if let Some(shop) = &self.shop {
            shop.features(&mut tell);
        }
        self.messages.features(&mut tell);
        self.consents.features(&mut tell);
        features.sort_unstable_by_key(|(feature, _)| *feature);
        features
    }

    /// Groups they belong to, by id, each with what is said of it.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for write in self.groups.iter() {
            let Some((id, name)) = write.name.split_once(GROUP_MARK) else { continue };
            if groups.last().is_none_or(|last| last.id != id) {
                groups.push(Group { id, at_ms: write.stamp.0, traits: Vec::new() });
            }
            if let Some(group) = groups.last_mut() {
                group.at_ms = group.at_ms.max(write.stamp.0);
                if !name.is_empty() && !write.value.is_null() {
                    group.traits.push((name, write));
                }
            }
        }
        groups
    }

    /// The same with no places of the journal, to compare histories that came in another order.
    #[must_use]
    pub fn without_timeline(&self) -> Self {
        Self { timeline: Newest::default(), begun_at: 0, held: Vec::new(), disputed: Vec::new(), ..self.clone() }
    }

    /// Notes that an identifier they were seen with is somebody else's.
    pub(super) fn dispute(&mut self, node: ProfileId) {
        if !self.disputed.contains(&node) && self.disputed.len() < DISPUTED_MAX {
            self.disputed.push(node);
        }
    }

    /// Whether an identifier they were seen with was said to be somebody else's.
    pub(super) fn is_disputed(&self, known: &KnownIdentifier) -> bool {
        known.node().is_some_and(|node| self.disputed.contains(&node))
    }

    /// All its events' places in the journal, where it has few enough to know them.
    pub(super) fn all_places(&self) -> Option<Vec<Seq>> {
        let all = self.events as usize == self.timeline.len();
        all.then(|| self.timeline.iter().map(|(_, seq)| *seq).collect())
    }

    /// Whether events were folded into it that lie before the entry at `kept_from`, all of which came before
    /// `since_ms`. It may say so of one with more events than it has places of, all of the first day after that.
    pub fn began_before(&self, kept_from: Seq, since_ms: Millis) -> bool {
        match self.all_places() {
            Some(places) => places.iter().any(|place| *place < kept_from),
            // By the customers' clocks, which may be somewhat wrong.
            None => self.seen.is_none_or(|(first, _)| first < since_ms.saturating_add(DAY_MS)),
        }
    }

    /// The newest events, newest first: event time and place in the journal.
    pub fn timeline(&self) -> impl Iterator<Item = (Millis, Seq)> {
        self.timeline.iter().rev().map(|(stamp, seq)| (stamp.0, *seq))
    }
}

/// A group a person belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    /// Its id.
    pub id: &'a str,
    /// Event time of the last call that named it.
    pub at_ms: Millis,
    /// What is said of it, by name.
    pub traits: Vec<(&'a str, &'a Write)>,
}
