//! Looking at the journal as a whole: a definition tried before it is saved, and memberships of the past.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use impresario_runtime::{
    SubjectForgotten, Topic,
    store::{Chunk, Journal, Seq, StoreError},
};
use serde::Serialize;

use super::{
    Condition, Person, SegmentDefined, SegmentEntered, SegmentLeft,
    check::{DefinitionError, check_condition, references},
    definitions::Definitions,
    evaluate::View,
    measure::Look,
    person::Standing,
};
use crate::{
    rhythm::RhythmFitted,
    vocabulary::{Millis, ProfileChanged, ProfileId, ProfileMerged, ProfileParted, Tracked},
};

/// Chunks of the journal kept at hand: an event and the change it made lie close together.
const CHUNKS_AT_HAND: usize = 64;

/// What a definition would come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// How many people would be in it.
    pub size: u64,
    /// Of how many.
    pub people: u64,
    /// Some of them, the lowest profile ids first.
    pub sample: Vec<ProfileId>,
    /// The journal's last entry that was looked at.
    pub seq: Seq,
}

/// Who would be in a segment of this condition at `now`, by what was known then. Reads the whole journal: not on an agent's thread.
///
/// # Errors
/// What is wrong with the condition.
pub fn preview(
    journal: &Journal,
    standing: &BTreeMap<Box<str>, Condition>,
    condition: &Condition,
    now: Millis,
    sample_max: usize,
) -> Result<Result<Preview, StoreError>, DefinitionError> {
    check_condition(condition, None, standing)?;
    let mut definitions = Definitions::default();
    // `~` is in no id, so this is nobody else's.
    let tried = SegmentDefined { id: "~".into(), name: "~".into(), condition: condition.clone(), goal: None };
    let order = add(&mut definitions, tried, standing)?;
    Ok(people(journal, &mut definitions, now).map(|(mut people, seq)| {
        let mut found = Preview { size: 0, people: people.len() as u64, sample: Vec::new(), seq };
        for (profile, person) in &mut people {
            if is_in(person, &definitions, &order, now) {
                found.size += 1;
                if found.sample.len() < sample_max {
                    found.sample.push(*profile);
                }
            }
        }
        found
    }))
}

/// Adds a definition after those it looks at; their places in that order, its own last.
fn add(
    definitions: &mut Definitions,
    defined: SegmentDefined,
    standing: &BTreeMap<Box<str>, Condition>,
) -> Result<Vec<u32>, DefinitionError> {
    let mut order = Vec::new();
    let mut below = Vec::new();
    references(&defined.condition, &mut below);
    for id in below {
        match (definitions.place_of(&id), standing.get(&id)) {
            (Some(place), _) => order.push(place),
            (None, Some(condition)) => {
                let inner = SegmentDefined { name: id.clone(), id, condition: condition.clone(), goal: None };
                order.extend(add(definitions, inner, standing)?);
            }
            (None, None) => {}
        }
    }
    order.push(definitions.define_ready(defined)?);
    Ok(order)
}

fn is_in(person: &mut Person, definitions: &Definitions, order: &[u32], now: Millis) -> bool {
    let mut holds = false;
    for place in order {
        let Some(plan) = definitions.plan(*place) else { continue };
        holds = plan.root.truth(View { person, definitions, now }).holds;
        person.set_standing(Standing { segment: *place, since: holds.then_some(now), until: None });
    }
    holds
}

/// Everybody, as the journal tells of them up to `now`, measured for `definitions`, which come to know
/// everybody's rhythm of then.
fn people(
    journal: &Journal,
    definitions: &mut Definitions,
    now: Millis,
) -> Result<(BTreeMap<ProfileId, Person>, Seq), StoreError> {
    let mut people: BTreeMap<ProfileId, Person> = BTreeMap::new();
    let changed_topic = journal.known_name(ProfileChanged::NAME);
    let merged_topic = journal.known_name(ProfileMerged::NAME);
    let parted_topic = journal.known_name(ProfileParted::NAME);
    let rhythm_topic = journal.known_name(RhythmFitted::NAME);
    let forgotten_topic = journal.known_name(SubjectForgotten::NAME);
    let mut at_hand: VecDeque<Arc<Chunk>> = VecDeque::new();
    let mut next = 1;
    while let Some(chunk) = journal.chunk(next)? {
        at_hand.push_back(Arc::clone(&chunk));
        if at_hand.len() > CHUNKS_AT_HAND {
            at_hand.pop_front();
        }
        for entry in chunk.from(next).iter().filter(|entry| entry.erased.is_none()) {
            if entry.at_ms > now {
                people.retain(|_, person| person.profile().is_some());
                return Ok((people, entry.seq - 1));
            }
            if Some(entry.topic) == changed_topic {
                let changed: &ProfileChanged = entry.decode(ProfileChanged::VERSION)?;
                let person = people.entry(changed.profile).or_default();
                person.apply(changed);
                if changed.event != 0 && definitions.looks_at_events() {
                    fold(journal, &at_hand, changed.event, |event| {
                        definitions.fold_event(person, &mut Look::new(event), now, &mut Vec::new());
                    })?;
                }
            } else if Some(entry.topic) == merged_topic {
                let merged: &ProfileMerged = entry.decode(ProfileMerged::VERSION)?;
                let overtaken = people.get(&merged.loser).is_some_and(|person| person.decided > merged.decided);
                if !overtaken && let Some(mut loser) = people.remove(&merged.loser) {
                    people.entry(merged.winner).or_default().merge_measures(&mut loser);
                }
            } else if Some(entry.topic) == forgotten_topic {
                let forgotten: &SubjectForgotten = entry.decode(SubjectForgotten::VERSION)?;
                for subject in &forgotten.subjects {
                    people.remove(&ProfileId(subject.0));
                }
            } else if Some(entry.topic) == parted_topic {
                let parted: &ProfileParted = entry.decode(ProfileParted::VERSION)?;
                people.remove(&parted.profile);
                if parted.heir.is_none() {
                    people.entry(parted.profile).or_default().begin_again(Person::default(), parted, entry.seq);
                }
            } else if Some(entry.topic) == rhythm_topic {
                definitions.set_rhythm(entry.decode::<RhythmFitted>(RhythmFitted::VERSION)?.clone());
            }
        }
        next = chunk.last() + 1;
    }
    people.retain(|_, person| person.profile().is_some());
    Ok((people, next - 1))
}

fn fold(
    journal: &Journal,
    at_hand: &VecDeque<Arc<Chunk>>,
    seq: Seq,
    look: impl FnOnce(&Tracked),
) -> Result<(), StoreError> {
    let near = at_hand.iter().rev().find(|chunk| chunk.first() <= seq && seq <= chunk.last()).map(Arc::clone);
    let chunk = match near {
        Some(chunk) => Some(chunk),
        None => journal.chunk(seq)?,
    };
    let entry = chunk.as_ref().and_then(|chunk| chunk.get(seq)).filter(|entry| entry.erased.is_none());
    if let Some(entry) = entry {
        look(entry.decode(Tracked::VERSION)?);
    }
    Ok(())
}

/// Who was in a segment at an instant, and since when.
pub type Members = BTreeMap<ProfileId, Millis>;

/// Who was in a segment at `at_ms` (whatever happened in that millisecond included), by the entries of
/// who entered and left. Reads the journal up to there: not on an agent's thread.
///
/// # Errors
/// Damage with its place, or the store's own error.
pub fn members_at(journal: &Journal, segment: &str, at_ms: Millis) -> Result<Members, StoreError> {
    let entered_topic = journal.known_name(SegmentEntered::NAME);
    let left_topic = journal.known_name(SegmentLeft::NAME);
    let mut members = Members::new();
    let mut next = 1;
    while let Some(chunk) = journal.chunk(next)? {
        for entry in chunk.from(next).iter().filter(|entry| entry.erased.is_none()) {
            if entry.at_ms > at_ms {
                return Ok(members);
            }
            if Some(entry.topic) == entered_topic {
                let entered: &SegmentEntered = entry.decode(SegmentEntered::VERSION)?;
                if &*entered.segment == segment {
                    members.insert(entered.profile, entry.at_ms);
                }
            } else if Some(entry.topic) == left_topic {
                let left: &SegmentLeft = entry.decode(SegmentLeft::VERSION)?;
                if &*left.segment == segment {
                    members.remove(&left.profile);
                }
            }
        }
        next = chunk.last() + 1;
    }
    Ok(members)
}
