//! What a scenario asks of the troupe: who plays, what operators say, and how people stand.
//!
//! The one place in this crate that knows what the agents say and keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use impresario_agents::{
    goals::{Goal, GoalEnded, GoalSet, missing},
    identity::{Cap, IdentifierQuarantined, IdentifierReleased, Identity, IdentityConflict, UnmergeAsked},
    profiles::Profiles,
    rhythm::RhythmFitted,
    segmentation::{
        Condition, Definitions, Reason, SegmentDefined, SegmentEntered, SegmentLeft, SegmentRemoved, SegmentSizes,
        Segmentation, Trigger, check, preview,
    },
    vocabulary::{Identifier, IdentifierKind, Millis, ProfileId, ProfileParted},
};
use impresario_runtime::{
    AgentError, Driver, RuntimeError, SubjectErased, SubjectForgotten, Topic,
    store::{Entry, StoreError},
};
use serde_json::{Map, Value};

/// Keys read of a worker at once.
const PAGE: usize = 1_024;
/// Pointers followed from one identifier.
const POINTERS_MAX: usize = 64;

/// What operators have defined so far, for checking what comes next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(BTreeMap<Box<str>, Condition>);

impl Standing {
    /// A segment out of the API's JSON; its id is `name`.
    pub(crate) fn segment(&mut self, name: &str, json: &Value) -> Result<SegmentDefined, String> {
        let mut json = json.clone();
        if let Some(members) = json.as_object_mut() {
            if members.contains_key("id") {
                return Err("the name before the colon is the id; leave `id` out".into());
            }
            members.insert("id".into(), name.into());
            members.entry("name").or_insert_with(|| name.into());
            let known = ["id", "name", "condition"];
            if let Some(other) = members.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(format!("a segment has `name` and `condition`, not `{other}`"));
            }
        }
        let defined: SegmentDefined = serde_json::from_value(json).map_err(|error| error.to_string())?;
        self.add(&defined)?;
        Ok(defined)
    }

    /// A goal out of the API's JSON; its id is `name`, and so is its segment's.
    pub(crate) fn goal(&mut self, name: &str, json: &Value) -> Result<GoalSet, String> {
        let mut json = json.clone();
        if let Some(members) = json.as_object_mut() {
            members.entry("name").or_insert_with(|| name.into());
        }
        let goal: Goal = serde_json::from_value(json).map_err(|error| error.to_string())?;
        if let Some(first) = missing(&goal).first() {
            return Err(format!("`{}`: {}", first.field, first.why));
        }
        self.add(&goal.segment(name))?;
        Ok(GoalSet { id: name.into(), goal })
    }

    fn add(&mut self, defined: &SegmentDefined) -> Result<(), String> {
        check(defined, &self.0).map_err(|error| error.to_string())?;
        self.0.insert(defined.id.clone(), defined.condition.clone());
        Ok(())
    }
}

/// What an entry says that belongs into a trace.
pub(crate) enum Said {
    Entered { segment: String, profile: ProfileId, why: String },
    Left { segment: String, profile: ProfileId, why: String, erased: bool },
    Person { profile: ProfileId, what: String },
    Operator(String),
    Everybody(String),
}

/// What an entry of `topic` says, if a reader of a trace wants to know.
pub(crate) fn said(topic: &str, entry: &Entry, name: impl Fn(ProfileId) -> String) -> Result<Option<Said>, StoreError> {
    Ok(Some(match topic {
        SegmentEntered::NAME => {
            let SegmentEntered { segment, profile, reason } = entry.decode(SegmentEntered::VERSION)?;
            Said::Entered { segment: segment.to_string(), profile: *profile, why: why(reason) }
        }
        SegmentLeft::NAME => {
            let SegmentLeft { segment, profile, reason, .. } = entry.decode(SegmentLeft::VERSION)?;
            Said::Left {
                segment: segment.to_string(),
                profile: *profile,
                why: why(reason),
                erased: reason.by == Trigger::Erasure,
            }
        }
        SubjectForgotten::NAME => {
            let forgotten: &SubjectForgotten = entry.decode(SubjectForgotten::VERSION)?;
            Said::Operator(format!("everybody forgot {}", name(ProfileId(forgotten.person.0))))
        }
        SubjectErased::NAME => {
            let erased: &SubjectErased = entry.decode(SubjectErased::VERSION)?;
            Said::Operator(format!("nothing is held of {} any more", name(ProfileId(erased.person.0))))
        }
        SegmentDefined::NAME => {
            let SegmentDefined { id, goal, .. } = entry.decode(SegmentDefined::VERSION)?;
            match goal {
                Some(goal) => Said::Everybody(format!("segment {id} serves goal {goal}")),
                None => Said::Operator(format!("defined segment {id}")),
            }
        }
        SegmentRemoved::NAME => {
            let SegmentRemoved { id } = entry.decode(SegmentRemoved::VERSION)?;
            Said::Operator(format!("removed segment {id}"))
        }
        GoalSet::NAME => {
            let GoalSet { id, .. } = entry.decode(GoalSet::VERSION)?;
            Said::Operator(format!("set goal {id}"))
        }
        GoalEnded::NAME => {
            let GoalEnded { id } = entry.decode(GoalEnded::VERSION)?;
            Said::Operator(format!("ended goal {id}"))
        }
        IdentityConflict::NAME => {
            let IdentityConflict { holder, claimant, identifier } = entry.decode(IdentityConflict::VERSION)?;
            let what = format!("is not {}, though both use {}", name(*holder), identifier.value);
            Said::Person { profile: *claimant, what }
        }
        IdentifierQuarantined::NAME => {
            let IdentifierQuarantined { node, identifier, cap } = entry.decode(IdentifierQuarantined::VERSION)?;
            let identifier = identifier.as_ref().map_or_else(|| node.to_string(), |known| known.value.to_string());
            let why = match cap {
                Cap::Claimants => "too many people use it",
                Cap::Identifiers => "it is one too many of its kind for one person",
                Cap::Person => "the person has too many identifiers",
            };
            Said::Everybody(format!("{identifier} glues nobody any more: {why}"))
        }
        IdentifierReleased::NAME => {
            let IdentifierReleased { node } = entry.decode(IdentifierReleased::VERSION)?;
            Said::Operator(format!("released {}", name(*node)))
        }
        UnmergeAsked::NAME => {
            let UnmergeAsked { node } = entry.decode(UnmergeAsked::VERSION)?;
            Said::Operator(format!("parted {} from the rest", name(*node)))
        }
        ProfileParted::NAME => {
            let ProfileParted { profile, heir, .. } = entry.decode(ProfileParted::VERSION)?;
            let what = match heir {
                Some(heir) => format!("is {} now", name(*heir)),
                None => "begins anew, with the events of their own".to_owned(),
            };
            Said::Person { profile: *profile, what }
        }
        RhythmFitted::NAME => {
            let RhythmFitted { mean_gap_ms, gaps } = entry.decode(RhythmFitted::VERSION)?;
            let tenths = mean_gap_ms / 8_640_000;
            let times = if *gaps == 1 { "gap" } else { "gaps" };
            Said::Everybody(format!("orders every {}.{} days, by {gaps} {times}", tenths / 10, tenths % 10))
        }
        _ => return Ok(None),
    }))
}

/// Has somebody erased, whom the shop knows by `user_id`; once, however often it is asked for at `at_ms`.
pub(crate) fn erase(driver: &mut Driver, user_id: &str, at_ms: Millis) -> Result<(), RuntimeError> {
    let Some(mut profile) = Identifier::new(IdentifierKind::UserId, user_id).map(|known| known.node()) else {
        return Ok(());
    };
    for _ in 0..POINTERS_MAX {
        let moved = driver.read::<Profiles, _>(&profile, |reading| reading.moved_to(&profile))?;
        match moved.map_err(|error| RuntimeError::Setup(error.to_string()))? {
            Some(next) => profile = next,
            None => break,
        }
    }
    let asked = driver.erasure(profile.into())?.is_some_and(|status| status.asked_ms >= at_ms);
    if asked { Ok(()) } else { driver.erase(profile.into()) }
}

fn why(reason: &Reason) -> String {
    let by = match reason.by {
        Trigger::Event => "event",
        Trigger::Time => "time",
        Trigger::Definition => "definition",
        Trigger::Merge => "merge",
        Trigger::Rhythm => "rhythm",
        Trigger::Segment => "segment",
        Trigger::Erasure => "erasure",
    };
    format!("{by}; {}", reason.because)
}

/// A customer as the system knows them.
pub(crate) struct Profile {
    pub(crate) id: ProfileId,
    pub(crate) traits: Map<String, Value>,
    /// Features that are not zero, and those that are by their name.
    pub(crate) features: BTreeMap<String, i64>,
    pub(crate) identifiers: Vec<String>,
    /// Everything else that is kept, as JSON.
    pub(crate) rest: Value,
}

/// The profile an identifier's node leads to.
pub(crate) fn profile(driver: &mut Driver, node: ProfileId) -> Result<Option<Profile>, RuntimeError> {
    let person = driver.read::<Identity, _>(&node, |reading| Ok(reading.get(&node)?.map(|found| found.person(node))));
    let mut id = person?.map_err(unread)?.unwrap_or(node);
    for _ in 0..POINTERS_MAX {
        let read = driver.read::<Profiles, _>(&id, |reading| {
            if let Some(next) = reading.moved_to(&id)? {
                return Ok(Err(next));
            }
            Ok(Ok(reading.get(&id)?.filter(|state| state.events > 0).map(|state| look(id, state))))
        })?;
        let read = read.map_err(unread)?;
        match read {
            Ok(found) => return Ok(found),
            Err(next) => id = next,
        }
    }
    Err(RuntimeError::Setup(format!("profile {node} is at the end of more than {POINTERS_MAX} pointers")))
}

fn look(id: ProfileId, state: &impresario_agents::profiles::Profile) -> Profile {
    let mut rest = serde_json::to_value(state).unwrap_or_default();
    if let Some(members) = rest.as_object_mut() {
        // What is shown beside it, and the events' places: those may differ after a crash.
        for place in ["d", "e", "w", "x", "z"] {
            members.remove(place);
        }
        if let Some(Value::Array(timeline)) = members.get_mut("l") {
            for event in timeline {
                *event = event.get(0).cloned().unwrap_or_default();
            }
        }
    }
    let traits = state.traits.iter().filter(|write| !write.value.is_null());
    let identifiers = state.identifiers.iter().map(|known| format!("{}:{}", known.kind.name(), known.value));
    let features = state.features();
    Profile {
        id,
        traits: traits.map(|write| (write.name.to_string(), write.value.clone())).collect(),
        features: features.iter().map(|(feature, value)| (feature.to_string(), *value)).collect(),
        identifiers: identifiers.collect(),
        rest,
    }
}

/// All profiles, by id.
pub(crate) fn profiles(driver: &mut Driver) -> Result<Vec<Profile>, RuntimeError> {
    let mut found = Vec::new();
    for worker in 0..driver.workers::<Profiles>() {
        let mut from = Vec::new();
        loop {
            let page = driver.read_worker::<Profiles, _>(worker, |reading| {
                let keys = reading.keys_from(&from, PAGE)?;
                let mut page = Vec::new();
                for key in &keys {
                    page.extend(reading.get(key)?.filter(|state| state.events > 0).map(|state| look(*key, state)));
                }
                Ok((keys, page))
            })?;
            let (keys, page) = page.map_err(unread)?;
            found.extend(page);
            match keys.last() {
                Some(last) if keys.len() == PAGE => from = after(last),
                _ => break,
            }
        }
    }
    found.sort_by_key(|profile| profile.id);
    Ok(found)
}

/// A state that can't be read.
pub(crate) fn unread(error: AgentError) -> RuntimeError {
    match error {
        AgentError::Retry(why) | AgentError::Reject(why) => RuntimeError::Setup(why),
    }
}

/// The first bytes after `key`.
fn after(key: &ProfileId) -> Vec<u8> {
    let mut bytes = impresario_runtime::AgentKey::encode(key);
    bytes.push(0);
    bytes
}

/// The ids of all segments, goals' among them.
pub(crate) fn segments(driver: &mut Driver) -> Result<Vec<String>, RuntimeError> {
    driver.read_worker::<Segmentation, _>(0, |reading| {
        let definitions = reading.shared::<Definitions>();
        definitions
            .map(|all| all.segments().map(|segment| segment.defined.id.to_string()).collect())
            .unwrap_or_default()
    })
}

/// Who belongs into each segment, found by folding the whole journal anew.
pub(crate) fn previews(driver: &mut Driver) -> Result<BTreeMap<String, BTreeSet<ProfileId>>, RuntimeError> {
    let (now_ms, journal) = (driver.now_ms(), Arc::clone(driver.journal()));
    let standing = driver.read_worker::<Segmentation, _>(0, |reading| {
        reading.shared::<Definitions>().map(Definitions::conditions).unwrap_or_default()
    })?;
    let mut found = BTreeMap::new();
    for (id, condition) in &standing {
        let looked = preview(&journal, &standing, condition, now_ms, usize::MAX);
        let looked = looked.map_err(|error| RuntimeError::Setup(error.to_string()))??;
        found.insert(id.to_string(), looked.sample.into_iter().collect());
    }
    Ok(found)
}

/// Memberships of everybody, by segment, with since when.
pub(crate) fn memberships(driver: &mut Driver) -> Result<BTreeMap<String, BTreeMap<ProfileId, Millis>>, RuntimeError> {
    let mut members: BTreeMap<String, BTreeMap<ProfileId, Millis>> = BTreeMap::new();
    for worker in 0..driver.workers::<Segmentation>() {
        let mut from = Vec::new();
        loop {
            let page = driver.read_worker::<Segmentation, _>(worker, |reading| {
                let keys = reading.keys_from(&from, PAGE)?;
                let mut page = Vec::new();
                for key in &keys {
                    let Some(person) = reading.get(key)?.cloned() else { continue };
                    let Some(definitions) = reading.shared::<Definitions>() else { continue };
                    let of = Segmentation::memberships(&person, definitions);
                    page.extend(of.into_iter().map(|(segment, since)| (segment.to_string(), *key, since)));
                }
                Ok((keys, page))
            })?;
            let (keys, page) = page.map_err(unread)?;
            for (segment, profile, since) in page {
                members.entry(segment).or_default().insert(profile, since);
            }
            match keys.last() {
                Some(last) if keys.len() == PAGE => from = after(last),
                _ => break,
            }
        }
    }
    Ok(members)
}

/// The segments one person is in.
pub(crate) fn segments_of(driver: &mut Driver, profile: ProfileId) -> Result<BTreeSet<String>, RuntimeError> {
    let found = driver.read::<Segmentation, _>(&profile, |reading| {
        let person = reading.get(&profile)?.cloned();
        let of = person.zip(reading.shared::<Definitions>());
        let of = of.map(|(person, definitions)| Segmentation::memberships(&person, definitions)).unwrap_or_default();
        Ok(of.into_iter().map(|(segment, _)| segment.to_string()).collect())
    })?;
    found.map_err(unread)
}

/// Who is in a segment.
pub(crate) fn members(driver: &mut Driver, segment: &str) -> Result<BTreeSet<ProfileId>, RuntimeError> {
    let all = memberships(driver)?;
    Ok(all.get(segment).map(|members| members.keys().copied().collect()).unwrap_or_default())
}

/// How large a segment says it is.
pub(crate) fn size(driver: &mut Driver, segment: &str) -> Result<u64, RuntimeError> {
    let key = segment.to_owned();
    let size = driver
        .read::<SegmentSizes, _>(&key, |reading| reading.get(&key).map(|state| state.map_or(0, |state| state.size)))?;
    size.map_err(unread)
}
