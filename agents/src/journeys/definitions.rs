//! All journeys, as every worker knows them.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Shared, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    JourneyDefined,
    check::{check_journey, limits},
    definition::{ChannelChoice, Entry, Journey},
};
use crate::{
    segmentation::{Selector, is_selected},
    vocabulary::{Millis, Tracked},
};

/// One version of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// The place of the entry that defined it.
    pub version: Seq,
    /// When that was.
    pub at_ms: Millis,
    /// What it is.
    pub journey: Journey,
}

/// One journey with its versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// Its versions that are kept, the newest last.
    pub versions: Vec<Version>,
    /// Whether nobody begins it any more.
    #[serde(default)]
    pub removed: bool,
}

/// All journeys; the value that the workers share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definitions {
    journeys: BTreeMap<Box<str>, Versions>,
    /// Names of events that some version looks at.
    #[serde(skip)]
    names: BTreeSet<Box<str>>,
    /// Whether some version looks at events of any name.
    #[serde(skip)]
    any_name: bool,
    #[serde(skip)]
    uses_best: bool,
}

impl Shared for Definitions {
    fn restored(&mut self) {
        self.index();
    }
}

impl Definitions {
    /// The journeys that somebody may begin, by id, each as it is now.
    pub fn standing(&self) -> impl Iterator<Item = (&str, &Version)> {
        let journeys = self.journeys.iter().filter(|(_, versions)| !versions.removed);
        journeys.filter_map(|(id, versions)| Some((&**id, versions.versions.last()?)))
    }

    /// How many journeys there have been, removed ones included.
    pub fn len(&self) -> usize {
        self.journeys.len()
    }

    /// Whether there has never been one.
    pub fn is_empty(&self) -> bool {
        self.journeys.is_empty()
    }

    /// A journey with all its versions, also a removed one.
    pub fn get(&self, id: &str) -> Option<&Versions> {
        self.journeys.get(id)
    }

    /// A journey as it is now, unless it is removed.
    pub fn current(&self, id: &str) -> Option<&Version> {
        self.journeys.get(id).filter(|versions| !versions.removed)?.versions.last()
    }

    /// One version of a journey, where it is kept.
    pub fn version(&self, id: &str, version: Seq) -> Option<&Journey> {
        let mut kept = self.journeys.get(id)?.versions.iter();
        kept.find(|kept| kept.version == version).map(|kept| &kept.journey)
    }

    pub(super) fn define(&mut self, defined: &JourneyDefined, version: Seq, at_ms: Millis) -> Result<(), String> {
        check_journey(&defined.id, &defined.journey)?;
        if !self.journeys.contains_key(&defined.id) && self.journeys.len() >= limits::JOURNEYS_MAX {
            return Err(format!("there are {} journeys already", limits::JOURNEYS_MAX));
        }
        let own = self.journeys.entry(defined.id.clone()).or_default();
        own.removed = false;
        own.versions.push(Version { version, at_ms, journey: defined.journey.clone() });
        if own.versions.len() > limits::VERSIONS_MAX {
            own.versions.remove(0);
        }
        self.index();
        Ok(())
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        let found = self.journeys.get_mut(id).filter(|versions| !versions.removed);
        found.map(|versions| versions.removed = true).is_some()
    }

    fn index(&mut self) {
        let (mut names, mut any_name, mut uses_best) = (BTreeSet::new(), false, false);
        let mut look = |selector: &Selector| match &selector.name {
            Some(name) => drop(names.insert(name.clone())),
            None => any_name = true,
        };
        for version in self.journeys.values().flat_map(|versions| &versions.versions) {
            let journey = &version.journey;
            journey.conversion.iter().for_each(&mut look);
            if let Some(Entry::Event(selector)) = &journey.entry {
                look(selector);
            }
            for step in &journey.steps {
                let answers = step.wait.iter().flat_map(|wait| &wait.on);
                answers.filter_map(|answer| answer.event.as_ref()).for_each(&mut look);
                let channels = step.send.iter().flat_map(|send| &send.channels);
                uses_best |= channels.into_iter().any(|channel| *channel == ChannelChoice::Best);
            }
        }
        (self.names, self.any_name, self.uses_best) = (names, any_name, uses_best);
    }

    /// Whether any version looks at events at all.
    pub(super) fn looks_at_events(&self) -> bool {
        self.any_name || !self.names.is_empty()
    }

    /// Whether some version may look at this event.
    pub(super) fn looks_at(&self, event: &Tracked) -> bool {
        self.any_name || self.names.contains(event.name.as_str())
    }

    /// Whether some version tries the channel a person answers most first.
    pub(super) fn uses_best(&self) -> bool {
        self.uses_best
    }

    /// The journeys that are begun by this.
    pub(super) fn begun_by<'a>(&'a self, is_it: impl Fn(&Entry) -> bool + 'a) -> impl Iterator<Item = &'a str> {
        let begun = self.standing().filter(move |(_, version)| version.journey.entry.as_ref().is_some_and(&is_it));
        begun.map(|(id, _)| id)
    }

    /// The journeys that are begun by this event.
    pub(super) fn begun_by_event<'a>(&'a self, event: &'a Tracked) -> impl Iterator<Item = &'a str> {
        self.begun_by(|entry| matches!(entry, Entry::Event(selector) if is_selected(selector, event)))
    }
}
