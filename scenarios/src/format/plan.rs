//! From the file to what happens, in order.

use std::collections::BTreeSet;

use impresario_agents::{profiles::node_of, vocabulary::ProfileId};
use jiff::Zoned;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;

use super::{
    EVENTS_MAX,
    commands::{commands, define_journeys, define_templates, discounts, say_content, stop_everything},
    events::{events, known},
    expectations::expectation,
    faults::faults,
    file::{CompareFile, File, TimelineFile},
    messages::{self, invariant},
    people::{self, Cast},
    read_at,
    time::Calendar,
    wrong,
};
use crate::{
    FormatError, Scenario,
    model::{Action, Compare, Faults, Planned, Variant},
    play::world::Standing,
};

/// What is defined up to here.
#[derive(Default)]
struct Segments {
    names: BTreeSet<String>,
    goals: BTreeSet<String>,
    /// Put into goals that act, where another policy is tried.
    strategy: Option<Value>,
    standing: Standing,
}

pub(crate) fn plan(file: &File, variant: Option<&Variant>) -> Result<Scenario, FormatError> {
    check_name(&file.scenario)?;
    let start: Zoned = read_at(&file.start, |text| {
        text.parse().map_err(|_| {
            format!("`{text}` is not an instant with its zone; write e.g. `2026-05-04T08:00:00+02:00[Europe/Warsaw]`")
        })
    })?;
    let start_ms = start.timestamp().as_millisecond();
    let zone = start.time_zone().clone();
    let mut calendar = Calendar::new(start.clone());
    let mut cast = people::cast(&file.people, file.seed, &calendar)?;
    let mut segments = Segments::default();
    let mut planned = Vec::new();
    segments.strategy = variant.and_then(strategy);
    if variant == Some(&Variant::Twin) {
        planned.push(Planned { at_ms: start_ms, line: 0, action: Action::Say(stop_everything()) });
    }
    say_content(file, start_ms, &mut planned)?;
    define(&file.segments, start_ms, &mut segments, &mut planned)?;
    set_goals(&file.goals, start_ms, &mut segments, &mut planned)?;
    if file.timeline.is_empty() {
        return Err(wrong(&file.scenario, "the timeline is empty: nothing would happen"));
    }
    for entry in &file.timeline {
        timeline(entry, &mut calendar, &cast, &mut segments, &mut planned)?;
    }
    let end_ms = planned.iter().map(|planned| planned.at_ms).max().unwrap_or(start_ms);
    // At one instant what generated people do comes first, then all as in the file.
    let mut all = cast.live(start_ms, end_ms)?;
    all.append(&mut planned);
    let mut planned = all;
    planned.sort_by_key(|planned| planned.at_ms);
    number(&mut planned, file)?;
    if !planned.iter().any(|planned| matches!(planned.action, Action::Expect(_))) {
        return Err(wrong(&file.scenario, "nothing is expected: the scenario could not fail"));
    }
    let calendar = Calendar::new(start);
    let mut faults = faults(&file.faults, &calendar)?;
    for planned in &planned {
        let down = |(from_ms, until_ms, _): &&(_, Option<_>, _)| {
            until_ms.is_some_and(|until_ms| (*from_ms..until_ms).contains(&planned.at_ms))
        };
        if matches!(planned.action, Action::Expect(_)) && faults.kills_at.iter().any(|kill| down(&kill)) {
            let what = "nothing can be expected while the process is down".to_owned();
            return Err(FormatError { line: planned.line, column: 1, what });
        }
    }
    let compare = file.compare.as_ref().map(compare).transpose()?;
    let mut always = file.always.iter().map(invariant).collect::<Result<Vec<_>, _>>()?;
    always.sort_unstable();
    always.dedup();
    if variant.is_some() {
        planned.retain(|planned| !matches!(planned.action, Action::Expect(_)));
        always.clear();
        faults = Faults::default();
    }
    let Cast { people, names, .. } = cast;
    Ok(Scenario {
        name: file.scenario.value.clone(),
        start_ms,
        zone,
        seed: file.seed,
        people,
        names,
        actions: planned,
        faults,
        always,
        compare,
        proof: file.proof,
        discounts: discounts(file)?,
    })
}

fn strategy(variant: &Variant) -> Option<Value> {
    match variant {
        Variant::Policy | Variant::Twin => None,
        Variant::Uniform => Some(json!("uniform")),
        Variant::BestArm(arm) => Some(json!({ "fixed": arm })),
        Variant::Ab(rewards) => Some(json!({ "ab_then_commit": { "rewards": rewards } })),
    }
}

fn compare(spanned: &Spanned<CompareFile>) -> Result<Compare, FormatError> {
    let CompareFile { seeds, twin, uniform, best_arm, ab } = &spanned.value;
    if seeds.is_empty() || seeds.len() > 20 {
        return Err(wrong(spanned, "`seeds` are 1 to 20 whole numbers"));
    }
    let by = |by: &Option<Spanned<String>>| by.as_ref().map(messages::share).transpose();
    let (twin, uniform, best_arm) = (by(twin)?, by(uniform)?, by(best_arm)?);
    let ab = ab.as_ref().map(|ab| Ok((ab.value.rewards, messages::share(&ab.value.by)?))).transpose()?;
    Ok(Compare { seeds: seeds.clone(), twin, uniform, best_arm, ab })
}

fn check_name(name: &Spanned<String>) -> Result<(), FormatError> {
    let kebab = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    match name.value.len() {
        1..=80 if name.value.chars().all(kebab) => Ok(()),
        _ => Err(wrong(name, "a scenario's name is lowercase words joined by hyphens, at most 80 characters")),
    }
}

fn timeline(
    entry: &Spanned<TimelineFile>,
    calendar: &mut Calendar,
    cast: &Cast,
    segments: &mut Segments,
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    let TimelineFile { at, events: said, define_segment, set_goal, unmerge, release, erase, expect, .. } = &entry.value;
    let at_ms = read_at(at, |text| calendar.go_to(text))?;
    let before = planned.len();
    commands(&entry.value, at_ms, (cast, &segments.goals), planned)?;
    define_templates(&entry.value.define_template, at_ms, planned)?;
    define_journeys(&entry.value.define_journey, at_ms, planned)?;
    define(define_segment, at_ms, segments, planned)?;
    set_goals(set_goal, at_ms, segments, planned)?;
    for event in said {
        planned.extend(events(event, at_ms, cast)?);
        if planned.len() > EVENTS_MAX {
            return Err(wrong(event, format!("there are more than {EVENTS_MAX} events")));
        }
    }
    for (names, action) in [(unmerge, Action::Unmerge as fn(ProfileId) -> Action), (release, Action::Release)] {
        for name in names {
            let what =
                "an identifier is a kind and a text, e.g. `user_id:bob`, `anonymous_id:tablet`, `email:a@b.test`";
            let node = node_of(&name.value).ok_or_else(|| wrong(name, what))?;
            planned.push(Planned { at_ms, line: name.referenced.line(), action: action(node) });
        }
    }
    if let Some(who) = erase {
        let names = known(who, cast)?;
        for person in names.iter().filter_map(|name| cast.names.get(name)).flatten().copied() {
            planned.push(Planned { at_ms, line: who.referenced.line(), action: Action::Erase { person } });
        }
    }
    for expected in expect {
        let action = Action::Expect(expectation(expected, cast, (&segments.names, &segments.goals), calendar)?);
        planned.push(Planned { at_ms, line: expected.referenced.line(), action });
    }
    if planned.len() == before {
        return Err(wrong(
            entry,
            "an entry says what happens, e.g. `events`, `set_goal`, `approve`, `stop`, or `expect`",
        ));
    }
    Ok(())
}

type Definitions = indexmap::IndexMap<String, Spanned<Map<String, Value>>>;

fn define(
    file: &Definitions,
    at_ms: i64,
    segments: &mut Segments,
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    for (name, definition) in file {
        let json = Value::Object(definition.value.clone());
        segments.standing.segment(name, &json).map_err(|why| wrong(definition, format!("segment `{name}`: {why}")))?;
        segments.names.insert(name.clone());
        let action = Action::Define { name: name.clone(), definition: json };
        planned.push(Planned { at_ms, line: definition.referenced.line(), action });
    }
    Ok(())
}

fn set_goals(
    file: &Definitions,
    at_ms: i64,
    segments: &mut Segments,
    planned: &mut Vec<Planned>,
) -> Result<(), FormatError> {
    for (name, goal) in file {
        let mut members = goal.value.clone();
        if let Some(strategy) = segments.strategy.as_ref().filter(|_| members.contains_key("templates")) {
            members.insert("strategy".into(), strategy.clone());
        }
        let json = Value::Object(members);
        segments.standing.goal(name, &json).map_err(|why| wrong(goal, format!("goal `{name}`: {why}")))?;
        segments.names.insert(name.clone());
        segments.goals.insert(name.clone());
        let action = Action::Goal { name: name.clone(), goal: json };
        planned.push(Planned { at_ms, line: goal.referenced.line(), action });
    }
    Ok(())
}

/// Gives every event its number.
fn number(planned: &mut [Planned], file: &File) -> Result<(), FormatError> {
    let mut number = 0;
    for planned in planned {
        if let Action::Send(send) = &mut planned.action {
            number += 1;
            send.number = number;
        }
    }
    for panic in &file.faults.panics {
        if panic.value.event == 0 || panic.value.event > number {
            return Err(wrong(panic, format!("`event` is 1 to {number}: the scenario has so many")));
        }
    }
    Ok(())
}
