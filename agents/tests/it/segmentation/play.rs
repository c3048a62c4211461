//! One script played on the troupe, and compared with the oracle at every instant.

use std::{collections::BTreeMap, sync::Arc};

use impresario_agents::{
    rhythm::RhythmFitted,
    segmentation::{
        Condition, Definitions, SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved, SegmentSizes,
        Segmentation, Trigger, check, members_at, preview,
    },
    troupe,
    vocabulary::{Millis, ProfileId, Text, Tracked},
};
use impresario_runtime::{
    Driver, RuntimeError, Topic, each_entry, new_entry,
    store::{Commit, Entry, Journal, JournalLimits, MemoryEngine, OUTSIDE, StoreError},
};

use super::random::{Action, Script, Sent};
use crate::{
    oracle::Oracle,
    support::{START, With, event},
};

pub(super) struct Play {
    pub(super) driver: Driver,
    /// What was done, to be done again.
    pub(super) steps: Vec<Step>,
    oracle: Oracle,
    read_to: u64,
    sent: usize,
}

/// One thing done to the driver.
#[derive(Clone)]
pub(super) enum Step {
    Event(Tracked),
    Define(SegmentDefined),
    Remove(SegmentRemoved),
    AdvanceTo(Millis),
}

impl Step {
    pub(super) fn take(&self, driver: &mut Driver) -> Result<(), RuntimeError> {
        match self {
            Self::Event(tracked) => {
                let dedup = blake3::hash(tracked.message_id.as_bytes());
                let dedup = u64::from_le_bytes(dedup.as_bytes()[..8].try_into().unwrap());
                let mut commit = Commit::new(OUTSIDE);
                commit.entries.push(new_entry(driver.journal(), dedup, tracked.clone())?);
                driver.submit(commit).map(drop)
            }
            Self::Define(defined) => driver.say(defined.clone()).map(drop),
            Self::Remove(removed) => driver.say(removed.clone()).map(drop),
            Self::AdvanceTo(at) => driver.advance_to(*at),
        }
    }
}

/// Who is in which segment, and since when.
pub(super) type Standing = BTreeMap<Box<str>, BTreeMap<ProfileId, Millis>>;

impl Play {
    pub(super) fn new(script: &Script) -> Self {
        let journal = Journal::open(Arc::new(MemoryEngine::new()), JournalLimits::default()).unwrap();
        let mut driver = Driver::start(journal, troupe(script.workers), [7; 32], START).unwrap();
        driver.rotate(script.rotate);
        Self { driver, steps: Vec::new(), oracle: Oracle::default(), read_to: 0, sent: 0 }
    }

    pub(super) fn act(&mut self, action: &Action) {
        let now = self.driver.now_ms();
        match action {
            Action::Events(events) => {
                let mut again = Vec::new();
                for sent in events {
                    self.sent += 1;
                    let tracked = tracked(sent, self.sent, now);
                    again.extend(sent.again.then(|| tracked.clone()));
                    self.take(Step::Event(tracked));
                }
                // These are dropped: nobody need do them again.
                again.into_iter().for_each(|tracked| Step::Event(tracked).take(&mut self.driver).unwrap());
            }
            Action::Define(place, condition) => {
                let defined = defined(*place, condition);
                if check(&defined, &self.oracle.segments).is_ok() {
                    self.take(Step::Define(defined));
                }
            }
            Action::Remove(place) => {
                let id = format!("s{place}").into_boxed_str();
                if self.oracle.segments.contains_key(&id) {
                    self.take(Step::Remove(SegmentRemoved { id }));
                }
            }
            Action::Wait(ms) => self.take(Step::AdvanceTo(now + ms)),
            Action::ToEdge(place, beside) => {
                let edges: Vec<_> =
                    self.oracle.edges().into_iter().map(|at| at + beside).filter(|at| *at > now).collect();
                if let Some(edge) = edges.get(place % edges.len().max(1)) {
                    self.take(Step::AdvanceTo(*edge));
                }
            }
        }
        self.take(Step::AdvanceTo(self.driver.now_ms()));
        self.listen();
    }

    fn take(&mut self, step: Step) {
        step.take(&mut self.driver).unwrap();
        self.steps.push(step);
    }

    /// The oracle hears what is new in the journal.
    fn listen(&mut self) {
        let journal = Arc::clone(self.driver.journal());
        each_entry::<StoreError>(&journal, self.read_to + 1, |entry| hear(&mut self.oracle, &journal, entry)).unwrap();
        self.read_to = journal.head();
    }

    pub(super) fn standing(&mut self) -> Standing {
        let mut found = standing(&mut self.driver);
        for id in self.oracle.segments.keys() {
            found.entry(id.clone()).or_default();
        }
        found
    }

    /// All ways of asking who is in agree with the oracle.
    pub(super) fn compare(&mut self) {
        let now = self.driver.now_ms();
        let standing = self.standing();
        for (id, condition) in self.oracle.segments.clone() {
            let wanted = self.oracle.members(&condition, now);
            let found: Vec<_> = standing[&id].keys().copied().collect();
            let told = serde_json::to_string(&condition).unwrap();
            assert_eq!(found, wanted.iter().copied().collect::<Vec<_>>(), "members of {id} at {now}: {told}");
            let replayed = members_at(self.driver.journal(), &id, now).unwrap();
            assert_eq!(replayed, standing[&id], "members of {id} by entries at {now}: {told}");
            let size = self.driver.read::<SegmentSizes, _>(&id.to_string(), |reading| {
                reading.get(&id.to_string()).unwrap().map_or(0, |size| size.size)
            });
            assert_eq!(size.unwrap(), wanted.len() as u64, "size of {id} at {now}: {told}");
        }
        let stray: Vec<_> = standing.keys().filter(|id| !self.oracle.segments.contains_key(*id)).collect();
        assert!(stray.is_empty(), "members of segments that are no more: {stray:?}");
    }

    pub(super) fn compare_previews(&self) {
        let (now, standing) = (self.driver.now_ms(), &self.oracle.segments);
        for (id, condition) in standing {
            if let Ok(found) = preview(self.driver.journal(), standing, condition, now, 1_000) {
                let wanted: Vec<_> = self.oracle.members(condition, now).into_iter().collect();
                let told = serde_json::to_string(condition).unwrap();
                assert_eq!(found.unwrap().sample, wanted, "preview of {id} at {now}: {told}");
            }
        }
    }

    /// Whoever entered or left by time alone did so in the very instant.
    pub(super) fn check_instants(&self) {
        let journal = self.driver.journal();
        let mut oracle = Oracle::default();
        let mut changes = 0;
        each_entry::<StoreError>(journal, 1, |entry| {
            let name = journal.name_of(entry.topic);
            let change = if name == SegmentEntered::NAME {
                let entered: &SegmentEntered = entry.decode(SegmentEntered::VERSION)?;
                Some((&entered.segment, entered.profile, &entered.reason, true))
            } else if name == SegmentLeft::NAME {
                let left: &SegmentLeft = entry.decode(SegmentLeft::VERSION)?;
                Some((&left.segment, left.profile, &left.reason, false))
            } else {
                None
            };
            if let Some((id, profile, reason, entered)) = change.filter(|change| change.2.by == Trigger::Time) {
                changes += 1;
                let people = oracle.people();
                let holds = |at| oracle.holds(&people[&profile], &oracle.segments[id], at);
                let flip = (holds(entry.at_ms - 1), holds(entry.at_ms));
                assert_eq!(flip, (!entered, entered), "{id} at {}: {reason:?}", entry.at_ms);
            }
            hear(&mut oracle, journal, entry)
        })
        .unwrap();
    }
}

fn hear(oracle: &mut Oracle, journal: &Journal, entry: &Entry) -> Result<(), StoreError> {
    let name = journal.name_of(entry.topic);
    if name == Tracked::NAME {
        oracle.tracked(entry.decode(Tracked::VERSION)?);
    } else if name == SegmentDefined::NAME {
        let defined: &SegmentDefined = entry.decode(SegmentDefined::VERSION)?;
        oracle.segments.insert(defined.id.clone(), defined.condition.clone());
    } else if name == SegmentRemoved::NAME {
        let removed: &SegmentRemoved = entry.decode(SegmentRemoved::VERSION)?;
        oracle.segments.remove(&removed.id);
    } else if name == RhythmFitted::NAME {
        oracle.rhythm = Some(entry.decode::<RhythmFitted>(RhythmFitted::VERSION)?.clone());
    }
    Ok(())
}

pub(super) fn defined(place: usize, condition: &Condition) -> SegmentDefined {
    SegmentDefined {
        id: format!("s{place}").into(),
        name: "of a test".into(),
        condition: condition.clone(),
        goal: None,
    }
}

pub(super) fn tracked(sent: &Sent, number: usize, now: Millis) -> Tracked {
    let user = |place: usize| Text::from(format!("user-{place}"));
    let at = now - sent.late_ms;
    let made = Tracked {
        user_id: sent.user.map(user),
        anonymous_id: sent.anonymous.map(|place| format!("device-{place}").into()),
        previous_id: sent.previous.map(user),
        name: sent.name.into(),
        received_at_ms: now,
        ..event(sent.kind, &format!("m{number}"), at)
    };
    made.properties(&sent.properties)
}

pub(super) fn standing(driver: &mut Driver) -> Standing {
    let mut found = Standing::new();
    for worker in 0..driver.workers::<Segmentation>() {
        let memberships = driver.read_worker::<Segmentation, _>(worker, |reading| {
            let definitions: &Definitions = reading.shared().unwrap();
            let mut found = Vec::new();
            for profile in reading.keys_from(&[], 10_000).unwrap() {
                if let Some(person) = reading.get(&profile).unwrap() {
                    found.push((profile, Segmentation::memberships(person, definitions)));
                }
            }
            found
        });
        for (profile, memberships) in memberships.unwrap() {
            for (id, since) in memberships {
                found.entry(id).or_default().insert(profile, since);
            }
        }
    }
    found
}
