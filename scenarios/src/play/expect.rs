//! Whether what was expected has come.

use std::collections::BTreeSet;

use impresario_agents::vocabulary::{Feature, Millis, ProfileId, Unit};
use impresario_runtime::{Driver, RuntimeError};
use serde_json::Value;

use super::{
    aims,
    crowd::Crowd,
    letters,
    seen::Seen,
    world::{self, Profile},
};
use crate::{
    Scenario,
    model::{Expect, ExpectProfile, ExpectState, StateOf},
};

/// People told by name in one failure.
const NAMES_MAX: usize = 10;

/// What is otherwise than expected, in words.
pub(crate) fn check(
    expected: &Expect,
    scenario: &Scenario,
    (seen, crowd): (&Seen, &Crowd),
    driver: &mut Driver,
) -> Result<Vec<String>, RuntimeError> {
    if let Some(wrong) = letters::check(expected, scenario, (seen, crowd), driver)? {
        return Ok(wrong);
    }
    let mut wrong = Vec::new();
    match expected {
        Expect::Segment { name, has, has_not, size } => {
            let members = world::members(driver, name)?;
            for (names, wanted) in [(has, true), (has_not, false)] {
                let mut others = Vec::new();
                for index in scenario.people_of(names) {
                    let (who, there) = match who(scenario, index, driver)? {
                        (who, Some(profile)) => (who, members.contains(&profile.id)),
                        (who, None) => (who, false),
                    };
                    if there != wanted {
                        others.push(who);
                    }
                }
                if !others.is_empty() {
                    let is = if wanted { "is not in" } else { "is in" };
                    wrong.push(format!(
                        "{} {is} segment `{name}`, which has {}",
                        list(&others),
                        everybody(&members, seen)
                    ));
                }
            }
            let is = members.len() as u64;
            if size.is_some_and(|size| size != is) {
                let wanted = size.unwrap_or_default();
                wrong.push(format!("segment `{name}` has {is} members, not {wanted}: {}", everybody(&members, seen)));
            }
        }
        Expect::Profile(expected) => profile(expected, scenario, driver, &mut wrong)?,
        Expect::State(expected) => state(expected, scenario, driver, &mut wrong)?,
        Expect::DeadLetters(wanted) if *wanted != seen.facts.dead_letters => {
            wrong.push(format!("{} entries were set aside, not {wanted}", seen.facts.dead_letters));
        }
        Expect::Profiles(wanted) => {
            let profiles = world::profiles(driver)?.len() as u64;
            if profiles != *wanted {
                wrong.push(format!("there are {profiles} profiles, not {wanted}"));
            }
        }
        Expect::DeadLetters(_) => {}
        Expect::Situation(_) | Expect::Message(_) | Expect::NoMessage(_) | Expect::Decision(_) | Expect::Journey(_) => {
        }
        Expect::Proposal(expected) => aims::proposal(expected, driver, &mut wrong)?,
        Expect::Goal(expected) => aims::goal(expected, driver, &mut wrong)?,
    }
    Ok(wrong)
}

fn profile(
    expected: &ExpectProfile,
    scenario: &Scenario,
    driver: &mut Driver,
    wrong: &mut Vec<String>,
) -> Result<(), RuntimeError> {
    let ExpectProfile { who: names, traits, features, same_as, not_same_as } = expected;
    for index in scenario.people_of(names) {
        let (name, found) = who(scenario, index, driver)?;
        let Some(found) = found else {
            wrong.push(format!("nobody knows {name} yet"));
            continue;
        };
        for (key, wanted) in traits {
            let is = found.traits.get(key).unwrap_or(&Value::Null);
            if is != wanted {
                wrong.push(format!("{name}'s trait `{key}` is {is}, not {wanted}"));
            }
        }
        for (key, wanted) in features {
            let is = found.features.get(key);
            if is != Some(wanted) {
                let is = is.map_or_else(|| "not there".to_owned(), |is| feature(scenario, key, *is));
                wrong.push(format!("{name}'s `{key}` is {is}, not {}", feature(scenario, key, *wanted)));
            }
        }
        for (others, wanted) in [(same_as, true), (not_same_as, false)] {
            for other in scenario.people_of(others).into_iter().filter(|other| *other != index) {
                let (other_name, other) = who(scenario, other, driver)?;
                let same = other.is_some_and(|other| other.id == found.id);
                if same != wanted {
                    let are = if wanted { "two people, not one" } else { "one person, not two" };
                    wrong.push(format!("{name} and {other_name} are {are}"));
                }
            }
        }
    }
    Ok(())
}

fn state(
    expected: &ExpectState,
    scenario: &Scenario,
    driver: &mut Driver,
    wrong: &mut Vec<String>,
) -> Result<(), RuntimeError> {
    let ExpectState { agent, of, is: wanted } = expected;
    if !driver.status().iter().any(|status| status.agent == *agent) {
        wrong.push(format!("there is no agent `{agent}`"));
        return Ok(());
    }
    let mut keys = Vec::new();
    match of {
        StateOf::Key(key) => keys.push((format!("`{key}`"), Some(key.clone()))),
        StateOf::People(names) => {
            for index in scenario.people_of(names) {
                let (name, found) = who(scenario, index, driver)?;
                keys.push((name, found.map(|found| found.id.to_string())));
            }
        }
    }
    for (name, key) in keys {
        let found = match key {
            Some(key) => driver.state_json(agent, &key)?.and_then(|found| found.state),
            None => None,
        };
        let is = found.unwrap_or(Value::Null);
        if !holds(&is, wanted) {
            wrong.push(format!("`{agent}` keeps {is} for {name}, not {wanted}"));
        }
    }
    Ok(())
}

/// Whether `is` is what is wanted; of an object, only the fields that are wanted count.
fn holds(is: &Value, wanted: &Value) -> bool {
    match (is, wanted) {
        (Value::Object(is), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| holds(is.get(key).unwrap_or(&Value::Null), wanted))
        }
        _ => is == wanted,
    }
}

/// A person's name, and the profile that has their user id, or their device where that is unknown.
fn who(scenario: &Scenario, index: usize, driver: &mut Driver) -> Result<(String, Option<Profile>), RuntimeError> {
    let Some(person) = scenario.people.get(index) else { return Ok((String::new(), None)) };
    for identifier in &person.identifiers {
        if let Some(profile) = world::profile(driver, identifier.node())? {
            return Ok((person.name.clone(), Some(profile)));
        }
    }
    Ok((person.name.clone(), None))
}

fn feature(scenario: &Scenario, name: &str, value: i64) -> String {
    match Feature::from_name(name).map(Feature::unit) {
        Some(Unit::Money) => {
            let sign = if value < 0 { "-" } else { "" };
            let micros = value.unsigned_abs();
            let text = format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            // Two decimals at least, more only where there are more.
            text.strip_suffix("0000").map_or_else(|| text.clone(), str::to_owned)
        }
        Some(Unit::Instant) => scenario.show(value as Millis),
        _ => value.to_string(),
    }
}

fn everybody(members: &BTreeSet<ProfileId>, seen: &Seen) -> String {
    let mut names: Vec<String> = members.iter().map(|member| seen.name(*member)).collect();
    names.sort_unstable();
    if names.is_empty() { "nobody".to_owned() } else { list(&names) }
}

fn list(names: &[String]) -> String {
    match names.get(..NAMES_MAX) {
        Some(first) if names.len() > NAMES_MAX => format!("{} and {} more", first.join(", "), names.len() - NAMES_MAX),
        _ => names.join(", "),
    }
}
